"""What happens around the training loop: a bar, a log, stopping early. The names are Keras's."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from minicnn.errors import ArgumentError
from minicnn.io import check_writable
from minicnn.io.atomic import remove_leftovers
from minicnn.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

if TYPE_CHECKING:
    from minicnn.training.trainer import Trainer

Logs = Mapping[str, float]
BAR = "{desc} {percentage:3.0f}%|{bar:20}| {n_fmt}/{total_fmt} [{elapsed}] {postfix}"


class Callback:
    """Base of all callbacks: override what you need. `self.trainer` is the running Trainer.

    `epoch` counts from 0, `logs` are {"loss": …, "accuracy": …} and after validation also "val_…".
    To stop after the epoch, set `self.trainer.stop_training = True`.
    """

    order = 0  # of two callbacks the one with the lower order is called first

    trainer: Trainer

    def on_train_begin(self) -> None:
        """Before the first epoch, after a resumed state is back: the place to check folders."""

    def on_epoch_begin(self, epoch: int) -> None:
        """Before an epoch's first batch."""

    def on_train_batch_end(self, batch: int, logs: Logs) -> None:
        """After each step; `logs` are the means of the epoch so far."""

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        """After training and validation of an epoch; the history has its values already."""

    def on_train_end(self) -> None:
        """After the last epoch, also when Ctrl-C or a callback ended it."""

    def close(self) -> None:
        """Always, errors included: give back what was opened."""

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs to go on equally; nested numbers and texts."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from what `state_dict` returned."""


class Monitor:
    """Whether a number in the logs got better: lower for a loss, higher for anything else.

    Args:
        name: which; None takes the first there is of val_accuracy, val_loss, accuracy, loss.
        min_delta: how much better is better.
    """

    def __init__(self, name: str | None = None, min_delta: float = 0.0) -> None:
        self.name = name
        self.min_delta = min_delta
        self.best: float | None = None
        self.best_epoch: int | None = None

    def improved(self, epoch: int, logs: Logs) -> bool:
        """Compare this epoch with the best so far; a tie or NaN is no improvement."""
        if self.name is None:
            preferred = ("val_accuracy", "val_loss", "accuracy", "loss")
            self.name = next(name for name in preferred if name in logs)
        if self.name not in logs:
            raise ArgumentError(
                f"monitor: nothing is called {self.name!r}. Use one of {', '.join(logs)}; "
                "names with val_ need a validation set."
            )
        value = logs[self.name]
        sign = -1 if "loss" in self.name else 1
        if value != value:
            return False
        if self.best is not None and not sign * (value - self.best) > self.min_delta:
            return False
        self.best, self.best_epoch = value, epoch
        return True

    def state_dict(self) -> dict[str, Any]:
        """The best value and its epoch."""
        return {"name": self.name, "best": self.best, "best_epoch": self.best_epoch}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from what `state_dict` returned, if it watched the same number."""
        if self.name in (None, state["name"]):
            self.name, self.best, self.best_epoch = (
                state["name"], state["best"], state["best_epoch"],
            )  # fmt: skip


class EarlyStopping(Callback):
    """Stop once `monitor` has not improved by more than `min_delta` for `patience` epochs."""

    def __init__(
        self, monitor: str | None = None, patience: int = 5, min_delta: float = 0.0
    ) -> None:
        if patience < 1:
            raise ArgumentError(
                f"EarlyStopping: patience must be at least 1, got {patience}. Use patience=5."
            )
        self.monitor = Monitor(monitor, min_delta)
        self.patience = patience
        self.waited = 0

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        self.waited = 0 if self.monitor.improved(epoch, logs) else self.waited + 1
        if self.waited >= self.patience:
            self.trainer.stop_training = True

    def state_dict(self) -> dict[str, Any]:
        return {"monitor": self.monitor.state_dict(), "waited": self.waited}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.monitor.load_state_dict(state["monitor"])
        self.waited = state["waited"]


class LearningRate(Callback):
    """Step a scheduler of `minicnn.optim.lr_scheduler` along with the training.

    ::

        schedule = optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=20)
        Trainer(model, optimizer, loss, callbacks=[LearningRate(schedule)])

    Args:
        scheduler: of the trainer's own optimizer.
        every: "epoch", or "batch" for those that count batches, such as OneCycleLR.
        monitor: the number that ReduceLROnPlateau watches; None takes val_loss, or else loss.

    Checkpoints hold its state: a resumed run goes on with the same rates.
    """

    def __init__(self, scheduler: Any, every: str = "epoch", monitor: str | None = None) -> None:
        if not isinstance(scheduler, LRScheduler):
            raise ArgumentError(
                f"LearningRate: expected a scheduler, got {type(scheduler).__name__}. "
                "Give one of minicnn.optim.lr_scheduler."
            )
        if every not in ("epoch", "batch"):
            raise ArgumentError(
                f'LearningRate: every must be "epoch" or "batch", got {every!r}.'
                " Use one of the two."
            )
        watches = isinstance(scheduler, ReduceLROnPlateau)
        if watches and every == "batch":
            raise ArgumentError(
                "LearningRate: ReduceLROnPlateau compares epochs. Use every='epoch'."
            )
        self.scheduler, self.every, self.monitor, self._watches = scheduler, every, monitor, watches

    def on_train_begin(self) -> None:
        if self.scheduler.optimizer is not self.trainer.optimizer:
            raise ArgumentError(
                "LearningRate: the scheduler belongs to another optimizer than the Trainer's. "
                "Make both of the same."
            )

    def on_train_batch_end(self, batch: int, logs: Logs) -> None:
        if self.every == "batch":
            self.scheduler.step()

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        if self.every == "batch":
            return
        if not self._watches:
            self.scheduler.step()
            return
        name = self.monitor or ("val_loss" if "val_loss" in logs else "loss")
        if name not in logs:
            raise ArgumentError(
                f"LearningRate: nothing is called {name!r}. Use one of {', '.join(logs)}; "
                "names with val_ need a validation set."
            )
        self.scheduler.step(logs[name])  # type: ignore[call-arg]  # that of ReduceLROnPlateau

    def state_dict(self) -> dict[str, Any]:
        return self.scheduler.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.scheduler.load_state_dict(dict(state))


class CSVLogger(Callback):
    """The history as a CSV file, complete after every epoch (see `History.to_csv`)."""

    order = 20  # after the checkpoint, which holds the folder's lock

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)

    def on_train_begin(self) -> None:
        check_writable(self.path.parent)
        remove_leftovers(self.path)
        if len(self.trainer.history):  # resumed: a killed run may have written one line more
            self.trainer.history.to_csv(self.path)

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        self.trainer.history.to_csv(self.path)


class ProgressBar(Callback):
    """A live bar with loss, metrics and images per second; one plain line an epoch in a log file.

    Args:
        file: where to; standard error if None.
    """

    def __init__(self, file: TextIO | None = None) -> None:
        self._file = file
        self._bar: Any = None

    def on_epoch_begin(self, epoch: int) -> None:
        from tqdm import tqdm

        file = self._file or sys.stderr
        self._started = time.perf_counter()
        self._speed = 0.0
        self._title = f"epoch {epoch + 1}/{self.trainer.epochs}"
        self._bar = tqdm(
            total=_images(self.trainer.train_loader),
            desc=self._title,
            disable=not getattr(file, "isatty", bool)(),
            file=file,
            unit="img",
            dynamic_ncols=True,
            bar_format=BAR,
        )

    def on_train_batch_end(self, batch: int, logs: Logs) -> None:
        seen = self.trainer.images_seen
        self._speed = seen / max(time.perf_counter() - self._started, 1e-9)
        if not self._bar.disable:
            self._bar.set_postfix_str(self._text(logs), refresh=False)
            self._bar.update(seen - self._bar.n)

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        if self._bar.disable:
            print(f"{self._title}: {self._text(logs)}", file=self._file or sys.stderr, flush=True)
        else:
            self._bar.set_postfix_str(self._text(logs))
        self.close()

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _text(self, logs: Logs) -> str:
        values = ", ".join(f"{name} {value:.4f}" for name, value in logs.items())
        return f"{values}, {self._speed:,.0f} images/s"


def _images(loader: Any) -> int | None:
    """How many images one pass over a loader gives, if it can say."""
    try:
        images = len(loader.dataset)
        if getattr(loader, "drop_last", False):
            return len(loader) * loader.batch_size
        return images
    except (AttributeError, TypeError):
        return None
