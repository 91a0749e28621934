"""The training loop of every PyTorch tutorial, once, with evaluation and bookkeeping around it."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from minicnn import io, nn
from minicnn.creation import from_numpy
from minicnn.device import CPU, chosen_device, device
from minicnn.errors import ArgumentError, TrainingError
from minicnn.tensor import Tensor
from minicnn.training.callbacks import Callback, CSVLogger, ProgressBar
from minicnn.training.checkpoints import LAST, ModelCheckpoint
from minicnn.training.checks import require_batches, require_parts
from minicnn.training.history import History
from minicnn.training.interrupt import Interrupt
from minicnn.training.last_batch import require_variance
from minicnn.training.metrics import Means, Metric, probabilities, resolve
from minicnn.training.modes import evaluating


class Trainer:
    """Trains, evaluates and asks a model. The loop is `_train_epoch`, and it is the usual one.

    ::

        trainer = Trainer(model, optim.Adam(model.parameters(), lr=1e-3), nn.CrossEntropyLoss())
        history = trainer.fit(train_loader, validation_loader, epochs=20, out="runs/cats")
        trainer.evaluate(test_loader)       # {"loss": 0.11, "accuracy": 0.96}
        trainer.predict(images)             # logits, a NumPy array (N, num_classes)

    Args:
        model: a Module; its output are logits (N, num_classes), or (N, 1) for two classes.
        optimizer: of the model's parameters.
        loss: a function of (logits, labels) giving the batch's mean; for `nn.BCEWithLogitsLoss`
            labels (N,) are turned into floats (N, 1).
        metrics: names or functions, see `minicnn.training.metrics`.
        callbacks: see `minicnn.training.callbacks`.
        config: JSON-able notes kept in checkpoints and run.json, such as class names.
        device: where to compute: "cuda", "cpu", or "auto" for the GPU if there is one; the model
            moves there at once, and every batch when its turn comes. None: where the model is.
    """

    def __init__(
        self,
        model: Any,
        optimizer: Any,
        loss: Any,
        metrics: Sequence[str | Metric] = ("accuracy",),
        callbacks: Sequence[Callback] = (),
        *,
        config: Mapping[str, Any] | None = None,
        device: Any = None,
    ) -> None:
        self.model = model if device is None else model.to(chosen_device(device))
        self.optimizer = optimizer
        self.loss = loss
        self.metrics = resolve(metrics)
        self.callbacks = list(callbacks)
        self.config = dict(config or {})
        self.history = History()
        self.stop_training = False  # set by callbacks
        self.epochs = 0  # asked for
        self.finished_epochs = 0
        self.images_seen = 0  # in the epoch that is running
        self.resumed_from: Path | None = None
        self.train_loader: Any = None
        self._validation: Any = None
        self._active: list[Callback] = []
        self._interrupt = Interrupt()

    # ------------------------------------------------------------------------------ training

    def fit(
        self,
        train: Any,
        validation: Any = None,
        epochs: int = 1,
        *,
        out: str | os.PathLike[str] | None = None,
        resume: str | os.PathLike[str] | None = None,
        overwrite: bool = False,
        progress: bool = True,
    ) -> History:
        """Train until `epochs` epochs are finished, and return the History.

        Args:
            train, validation: DataLoaders, or anything that gives (images, labels) batches anew
                on each iteration.
            epochs: how many in total, those of a resumed run included.
            out: a folder for checkpoints, run.json and history.csv (`ModelCheckpoint`).
            resume: a folder with last.safetensors, or a file that `save` wrote: go on after its
                last finished epoch, to the same bits as if it had never stopped. `out` is then its
                folder.
            overwrite: let this run replace a longer one in `out`.
            progress: show the bar.

        Ctrl-C ends the run after the current batch, with everything saved; `history.interrupted`
        says so. A second Ctrl-C aborts.

        Raises:
            TrainingError: nothing to train on; a last batch of one image, where a BatchNorm needs
                two; a folder that cannot be written, all before the first epoch; a loss that is not
                finite, or a disk that fills up, later.
            CheckpointError: `resume` is unreadable or of another model or optimizer.
        """
        if not isinstance(epochs, int) or epochs < 0:
            raise ArgumentError(
                f"Trainer.fit: epochs must be an integer ≥ 0, got {epochs!r}. Use epochs=10."
            )
        require_parts(self.model, self.optimizer, self.loss)
        require_batches(train, "training")
        if validation is not None:
            require_batches(validation, "validation")
        require_variance(self.model, train)
        self._prepare(train, validation, epochs, out, resume, overwrite, progress)
        try:
            with self._interrupt:
                self._tell("on_train_begin")
                while self.finished_epochs < epochs and not (self._interrupt or self.stop_training):
                    self._run_epoch(self.finished_epochs)
                self.history.interrupted = bool(self._interrupt)
                self._tell("on_train_end")
        finally:
            self._tell("close")
        return self.history

    def _run_epoch(self, epoch: int) -> None:
        """Train and validate once; the epoch counts only if both came to their end."""
        self._tell("on_epoch_begin", epoch)
        logs = self._train_epoch(epoch)
        if self._validation is not None and not self._interrupt:
            validated = self.evaluate(self._validation)
            logs |= {f"val_{name}": value for name, value in validated.items()}
        if self._interrupt:
            return
        self.history.append(epoch, logs)
        self.finished_epochs, self.images_seen = epoch + 1, 0
        self._tell("on_epoch_end", epoch, logs)

    def _train_epoch(self, epoch: int) -> dict[str, float]:
        self.model.train()
        means = Means(self.metrics)
        for batch, (images, labels) in enumerate(self.train_loader):
            images, labels = self._beside_model(images, labels)
            self.optimizer.zero_grad()
            logits = self.model(images)
            loss = self.loss(logits, self._targets(logits, labels))
            self._require_finite(loss.item(), epoch, batch, images)
            loss.backward()
            self.optimizer.step()

            means.add(loss.item(), logits.detach().cpu().numpy(), labels.cpu().numpy())
            self.images_seen = means.samples
            self._tell("on_train_batch_end", batch, means.result())
            if self._interrupt:
                break
        if means.samples == 0:
            raise TrainingError(
                f"Trainer: epoch {epoch + 1} got no images from the training loader. A generator "
                "gives its batches only once: pass a DataLoader or a list."
            )
        return means.result()

    # ---------------------------------------------------------------------------- evaluating

    def evaluate(self, loader: Any) -> dict[str, float]:
        """{"loss": …, "accuracy": …} over all batches, in eval mode, without gradients."""
        if not callable(self.loss):
            raise ArgumentError("Trainer.evaluate: no loss was given. Use nn.CrossEntropyLoss().")
        require_batches(loader, "evaluation")
        means = Means(self.metrics)
        with evaluating(self.model):
            for batch in loader:
                images, labels = self._beside_model(*batch)
                logits = self.model(images)
                loss = self.loss(logits, self._targets(logits, labels))
                self._require_number(loss.item(), means.samples, images)
                means.add(loss.item(), logits.cpu().numpy(), labels.cpu().numpy())
                if self._interrupt:
                    break
        if means.samples == 0:
            raise TrainingError("Trainer.evaluate: the loader gave no images. Check its data.")
        return means.result()

    def predict(
        self, data: Any, *, probabilities: bool = False, batch_size: int = 32
    ) -> np.ndarray:
        """The logits (N, num_classes) of all images, in order; or their probabilities.

        Args:
            data: images (N, C, H, W) as a Tensor or array, or a loader of images or of
                (images, labels) that does not shuffle.
            probabilities: softmax of the logits, or the sigmoid of a single one.
            batch_size: of how many images at a time, if `data` is no loader.
        """
        outputs = []
        with evaluating(self.model):
            for batch in _batches(data, batch_size):
                images = batch[0] if isinstance(batch, list | tuple) else batch
                outputs.append(self.model(*self._beside_model(images)).cpu().numpy())
        if not outputs:
            raise TrainingError("Trainer.predict: no images. Give at least one batch.")
        logits = np.concatenate(outputs)
        return _probabilities(logits) if probabilities else logits

    # ---------------------------------------------------------------------- saving, resuming

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write everything that a resumed run needs to `path` (`io.save_checkpoint`)."""
        return io.save_checkpoint(
            path,
            self.model,
            self.optimizer,
            epoch=self.finished_epochs,
            history=self.history.state_dict(),
            loaders={name: loader.state_dict() for name, loader in self._stateful_loaders()},
            callbacks={name: state for name, c in self._named() if (state := c.state_dict())},
            config=self.config,
        )

    def _resume(self, path: Path) -> None:
        checkpoint = io.load_checkpoint(path)
        checkpoint.restore(self.model, self.optimizer)
        self.history.load_state_dict(checkpoint.history)
        self.finished_epochs = checkpoint.epoch
        self.config = self.config or checkpoint.config
        for name, loader in self._stateful_loaders():
            if name in checkpoint.loaders:
                loader.load_state_dict(checkpoint.loaders[name])
        for name, callback in self._named():
            if name in checkpoint.callbacks:
                callback.load_state_dict(checkpoint.callbacks[name])

    def _prepare(
        self,
        train: Any,
        validation: Any,
        epochs: int,
        out: str | os.PathLike[str] | None,
        resume: str | os.PathLike[str] | None,
        overwrite: bool,
        progress: bool,
    ) -> None:
        """Set the run up: callbacks in their order, then the resumed state."""
        self.history = History()
        self.stop_training = False
        self.epochs, self.finished_epochs, self.images_seen = epochs, 0, 0
        self.train_loader, self._validation = train, validation
        checkpoint = None if resume is None else Path(resume)
        if checkpoint is not None and checkpoint.is_dir():
            checkpoint = checkpoint / LAST
        if out is None and checkpoint is not None:
            out = checkpoint.parent
        self.resumed_from = checkpoint
        has_bar = any(isinstance(callback, ProgressBar) for callback in self.callbacks)
        added: list[Callback] = [ProgressBar()] if progress and not has_bar else []
        if out is not None:
            added += [
                CSVLogger(Path(out) / "history.csv"),
                ModelCheckpoint(out, overwrite=overwrite),
            ]
        self._active = sorted([*self.callbacks, *added], key=lambda callback: callback.order)
        for callback in self._active:
            callback.trainer = self
        if checkpoint is not None:
            self._resume(checkpoint)

    def _stateful_loaders(self) -> Iterator[tuple[str, Any]]:
        for name, loader in (("train", self.train_loader), ("validation", self._validation)):
            if hasattr(loader, "state_dict"):
                yield name, loader

    def _named(self) -> Iterator[tuple[str, Callback]]:
        """Callbacks with the names that their states are stored under."""
        seen: dict[str, int] = {}
        for callback in self._active:
            kind = type(callback).__name__
            seen[kind] = seen.get(kind, 0) + 1
            yield kind if seen[kind] == 1 else f"{kind}#{seen[kind]}", callback

    # -------------------------------------------------------------------------------- helpers

    def _tell(self, event: str, *args: Any) -> None:
        for callback in self._active:
            getattr(callback, event)(*args)

    @property
    def device(self) -> device:
        """Where the model is, and where the batches go."""
        return next((p.device for p in self.model.parameters()), CPU)

    def _beside_model(self, *batch: Any) -> tuple[Any, ...]:
        """A batch's tensors where the model is: loaders give them on the CPU."""
        where = self.device
        return tuple(x.to(where) if isinstance(x, Tensor) else x for x in batch)

    def _targets(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Labels as the loss wants them: one logit is compared with a float of its own shape."""
        if logits.ndim != 2 or logits.shape[1] != 1 or labels.ndim != 1:
            return labels
        if isinstance(self.loss, nn.CrossEntropyLoss):
            raise ArgumentError(
                "Trainer: CrossEntropyLoss of a single logit is always 0. Use BCEWithLogitsLoss, "
                "or a model with num_classes=2."
            )
        return labels.to(logits.dtype).reshape(-1, 1)

    def _require_finite(self, loss: float, epoch: int, batch: int, images: Tensor) -> None:
        if math.isfinite(loss):
            return
        remedy = _spoilt(images)
        if not remedy:
            rates = ", ".join(f"{g['lr']:g}" for g in self.optimizer.state_dict()["param_groups"])
            remedy = f"Lower the learning rate (now {rates}), or scale the images to [0, 1]."
        raise TrainingError(
            f"Trainer: the loss is {loss} in epoch {epoch + 1}, batch {batch + 1}. {remedy} "
            "Checkpoints of earlier epochs are intact."
        )

    def _require_number(self, loss: float, before: int, images: Tensor) -> None:
        """NaN has no class: argmax would call every image the first one, and count it right."""
        if math.isnan(loss):
            remedy = _spoilt(images) or "The weights or the labels are: look at both."
            raise TrainingError(
                f"Trainer.evaluate: the loss is nan in the batch after image {before}. {remedy}"
            )


def _spoilt(images: Any) -> str:
    """What to say if a batch itself is not finite, else ""."""
    if np.isfinite(images.cpu().numpy()).all():
        return ""
    return "Images of this batch hold NaN or infinity: look at the data."


_probabilities = probabilities  # `predict` has an option of that name


def _batches(data: Any, batch_size: int) -> Iterable[Any]:
    if isinstance(data, np.ndarray):
        data = from_numpy(data)
    if not isinstance(data, Tensor):
        return data
    return (data[i : i + batch_size] for i in range(0, len(data), batch_size))
