"""What a training left behind: one number per epoch for the loss and each metric."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping
from io import StringIO
from pathlib import Path
from typing import Any

from minicnn.errors import TrainingError
from minicnn.io import atomic_write_text


class History:
    """The record that `Trainer.fit` returns.

    Attributes:
        epoch: the finished epochs, counted from 0 as in Keras.
        history: {"loss": [...], "accuracy": [...], "val_loss": [...], "val_accuracy": [...]}, one
            value per finished epoch; validation values where there was a validation set.
        interrupted: Ctrl-C ended the training before its last epoch.
    """

    def __init__(self) -> None:
        self.epoch: list[int] = []
        self.history: dict[str, list[float]] = {}
        self.interrupted = False

    def append(self, epoch: int, logs: Mapping[str, float]) -> None:
        """Add the values of one finished epoch."""
        self.epoch.append(epoch)
        for name, value in logs.items():
            self.history.setdefault(name, []).append(float(value))

    def __len__(self) -> int:
        return len(self.epoch)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, History):
            return NotImplemented
        return (self.epoch, self.history) == (other.epoch, other.history)

    __hash__ = None  # type: ignore[assignment]  # it grows

    def __repr__(self) -> str:
        last = ", ".join(f"{name} {values[-1]:.4f}" for name, values in self.history.items())
        state = ", interrupted" if self.interrupted else ""
        return f"History({len(self)} epochs{state}{'; last: ' if last else ''}{last})"

    def state_dict(self) -> dict[str, Any]:
        """The lists, for a checkpoint; how the run ended is not part of it."""
        return {
            "epoch": list(self.epoch),
            "history": {name: list(values) for name, values in self.history.items()},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from what `state_dict` returned."""
        self.epoch = [int(e) for e in state["epoch"]]
        self.history = {name: list(values) for name, values in state["history"].items()}

    def to_csv(self, path: str | os.PathLike[str]) -> Path:
        """Write one line per epoch, the columns as in `history`, epochs counted from 1.

        Every digit is kept: `from_csv` returns an equal History. Raises TrainingError if the disk
        refuses; an earlier file then stays.
        """
        text = StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["epoch", *self.history])
        for i, epoch in enumerate(self.epoch):
            writer.writerow([epoch + 1, *(repr(values[i]) for values in self.history.values())])
        return atomic_write_text(path, text.getvalue())

    @classmethod
    def from_csv(cls, path: str | os.PathLike[str]) -> History:
        """Read what `to_csv` wrote; a TrainingError names a file that is something else."""
        history = cls()
        try:
            with open(path, newline="", encoding="utf-8") as file:
                rows = list(csv.reader(file))
            if not rows or rows[0][:1] != ["epoch"]:
                raise ValueError("its first column is not 'epoch'")
            for row in rows[1:]:
                values = map(float, row[1:])
                history.append(int(row[0]) - 1, dict(zip(rows[0][1:], values, strict=True)))
        except FileNotFoundError as reason:
            raise TrainingError(f"{path}: no such file. Check the path.") from reason
        except (OSError, ValueError, IndexError) as reason:
            raise TrainingError(
                f"{path} is not a history: {reason}. Name a CSV that History.to_csv wrote."
            ) from reason
        return history

    def plot(
        self, path: str | os.PathLike[str] | None = None, *, baseline: float | None = None
    ) -> Any:
        """The curves as a matplotlib Figure; see `minicnn.plot.curves`."""
        from minicnn import plot

        return plot.curves(self, path=path, baseline=baseline)
