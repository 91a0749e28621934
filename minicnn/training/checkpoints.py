"""The run's folder: the last finished epoch, the best one, and a page for people to read."""

from __future__ import annotations

import contextlib
import json
import math
import os
import platform
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from minicnn import io
from minicnn.errors import CheckpointError, TrainingError
from minicnn.io.atomic import remove_leftovers
from minicnn.training.callbacks import Callback, Logs, Monitor

if TYPE_CHECKING:
    from filelock import FileLock

LAST, BEST, INTERRUPTED = "last.safetensors", "best.safetensors", "interrupted.safetensors"
RUN = "run.json"


class ModelCheckpoint(Callback):
    """Keep a run in `folder`, written after every epoch, each file whole or not at all.

    last.safetensors         everything that `Trainer.fit(resume=folder)` needs; before the first
                             epoch it holds the start, so a kill at any moment can be resumed
    best.safetensors         only weights: those after the epoch with the best `monitor`
    interrupted.safetensors  only weights: what was learned in an epoch that Ctrl-C cut short
    run.json                 the run in words and numbers, for people

    Args:
        folder: made if missing.
        monitor: which number decides what is best (`Monitor`).
        overwrite: replace a run that got further than this one's start; else a TrainingError.
    """

    order = 10  # the other callbacks' states are part of what is saved

    def __init__(
        self,
        folder: str | os.PathLike[str],
        monitor: str | None = None,
        *,
        overwrite: bool = False,
    ) -> None:
        self.folder = Path(folder)
        self.monitor = Monitor(monitor)
        self.overwrite = overwrite
        self._lock: FileLock | None = None

    def on_train_begin(self) -> None:
        self._started = time.perf_counter()
        io.check_writable(self.folder)
        self._lock = _locked(self.folder)
        if not self.overwrite:
            self._refuse_to_lose()
        for name in (LAST, BEST, INTERRUPTED, RUN):
            remove_leftovers(self.folder / name)
        if self.trainer.finished_epochs == 0:
            self.trainer.save(self.folder / LAST)
        else:
            self._bring_best()

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        # Best before last: killed between the two, the run resumes before this epoch and writes
        # the same best again. The other way round it would never be written.
        if self.monitor.improved(epoch, logs):
            self._save_best()
        self.trainer.save(self.folder / LAST)
        (self.folder / INTERRUPTED).unlink(missing_ok=True)
        self._write_page()

    def on_train_end(self) -> None:
        if self.trainer.history.interrupted and self.trainer.images_seen:
            path = self.folder / INTERRUPTED
            io.save_weights(self.trainer.model, path, config=self.trainer.config)
        self._write_page()

    def close(self) -> None:
        if self._lock is not None:
            with contextlib.suppress(OSError):  # Windows deletes no file that is open
                Path(self._lock.lock_file).unlink()
            self._lock.release()
            self._lock = None

    def state_dict(self) -> dict[str, Any]:
        return self.monitor.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.monitor.load_state_dict(state)

    def _refuse_to_lose(self) -> None:
        path = self.folder / LAST
        if not path.exists():
            path = self.folder / BEST
            if not path.exists():
                return
        try:
            epochs = int(io.read_header(path).get("epoch", 1))
        except CheckpointError as reason:
            raise TrainingError(
                f"{path} is there and cannot be read ({reason}). Choose another folder, or move it."
            ) from reason
        cut_short = (self.folder / INTERRUPTED).exists() and self.trainer.resumed_from is None
        if epochs > self.trainer.finished_epochs or cut_short:
            raise TrainingError(
                f"{self.folder} holds a run of {epochs} epochs, which this one, starting at epoch "
                f"{self.trainer.finished_epochs + 1}, would overwrite. Continue it with "
                f"resume={str(self.folder)!r}, choose another folder, or pass overwrite=True."
            )

    def _bring_best(self) -> None:
        """A run resumed into a new folder takes its best epoch along.

        If that file is lost, the epoch that is resumed is the best there is.
        """
        origin = self.trainer.resumed_from
        source = self.folder / BEST if origin is None else origin.parent / BEST
        if source.exists() and not (self.folder / BEST).exists():
            content = source.read_bytes()
            io.atomic_write(self.folder / BEST, lambda file: file.write(content))
        elif not source.exists() and self.monitor.best is not None:
            epoch = self.trainer.finished_epochs - 1
            warnings.warn(
                f"{source} is gone: of the epochs before this resumption only the last one, "
                f"{epoch + 1}, can become the best.",
                stacklevel=2,
            )
            self.monitor.best = None
            values = self.trainer.history.history
            self.monitor.improved(epoch, {name: column[-1] for name, column in values.items()})
            self._save_best()

    def _save_best(self) -> None:
        """Weights alone, under the model's own names: a third of the size after a run with Adam."""
        done = self.trainer.finished_epochs
        path = self.folder / BEST
        io.save_weights(self.trainer.model, path, config=self.trainer.config, epoch=done)

    def _write_page(self) -> None:
        page = describe_run(self.trainer)
        page["best"] = {
            "monitor": self.monitor.name,
            "value": self.monitor.best,
            "epoch": None if self.monitor.best_epoch is None else self.monitor.best_epoch + 1,
        }
        page["seconds"] = round(time.perf_counter() - self._started, 3)
        text = json.dumps(_plain(page), indent=2, allow_nan=False)
        io.atomic_write_text(self.folder / RUN, text + "\n")


def _locked(folder: Path) -> FileLock:
    """Hold the folder: two trainings in it would overwrite each other's files.

    The operating system lets go of the lock when the process ends, however it ends.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout as reason:
        raise TrainingError(
            f"another training is writing into {folder} at this moment. "
            "Choose another folder, or wait until it has ended."
        ) from reason
    except (OSError, NotImplementedError):  # a file system without locks
        pass
    return lock


def describe_run(trainer: Any) -> dict[str, Any]:
    """What a person wants to know of a run, apart from its weights."""
    from importlib import metadata

    from minicnn.kernels import current_backend
    from minicnn.kernels.threads import get_num_threads

    optimizer, history = trainer.optimizer, trainer.history
    groups = optimizer.state_dict()["param_groups"]
    loss = trainer.loss
    return {
        "model": getattr(trainer.model, "recipe", None) or type(trainer.model).__name__,
        "parameters": sum(p.numel() for p in trainer.model.parameters()),
        "optimizer": {
            "type": type(optimizer).__name__,
            "groups": [{k: v for k, v in g.items() if k != "params"} for g in groups],
        },
        "loss": getattr(loss, "__name__", type(loss).__name__),
        "epochs": {"finished": trainer.finished_epochs, "asked": trainer.epochs},
        "interrupted": history.interrupted,
        "last": {name: values[-1] for name, values in history.history.items() if values},
        "config": trainer.config,
        "backend": current_backend().name,
        "device": str(trainer.device),
        "threads": get_num_threads(),
        "versions": {
            "minicnn": metadata.version("minicnn-engine"),
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
    }


def _plain(value: Any) -> Any:
    """Nested values as strict JSON: NaN becomes null, what JSON lacks becomes its text."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, bool | int | str) else str(value)
