"""The training as a table: a live bar for the epoch that runs, a row for each that is done."""

from __future__ import annotations

import sys
import time
from typing import Any

import click

from minicnn.training import ProgressBar
from minicnn.training.callbacks import Logs

BAR = "{desc} {bar:24} {percentage:3.0f}%  "
WIDTHS = (7, 9, 10, 15, 12, 10)


def row(*cells: str) -> str:
    """Cells as one line, each aligned to the right in its column."""
    return "  ".join(cell.rjust(width) for cell, width in zip(cells, WIDTHS, strict=True)).rstrip()


class EpochTable(ProgressBar):
    """Rows go to standard output; the bar goes to standard error, if that is a terminal.

    Attributes:
        images: how many were trained on, and
        seconds: how long that took, without validation and saving.
    """

    def __init__(self) -> None:
        super().__init__()
        self.images = 0
        self.seconds = 0.0
        self._best: float | None = None

    def on_train_begin(self) -> None:
        earlier = self.trainer.history.history.get("val_accuracy", [])
        self._best = max(earlier, default=None)
        click.echo(row("epoch", "loss", "accuracy", "validation: loss", "accuracy", "images/s"))

    def on_epoch_begin(self, epoch: int) -> None:
        from tqdm import tqdm

        self._title = f"{epoch + 1}/{self.trainer.epochs}".rjust(WIDTHS[0])
        self._seen = 0
        self._started = self._now = time.perf_counter()
        self._bar = tqdm(
            total=len(self.trainer.train_loader.dataset),
            desc=self._title,
            disable=not sys.stderr.isatty(),
            leave=False,
            ncols=79,
            nrows=20,  # or no bar appears in a terminal that does not tell its size
            bar_format=BAR,
        )

    def on_train_batch_end(self, batch: int, logs: Logs) -> None:
        self._seen, self._now = self.trainer.images_seen, time.perf_counter()
        if not self._bar.disable:
            said = f"loss {logs['loss']:.3f}  {logs['accuracy']:.1%}  {self._rate():,.0f} images/s"
            self._bar.bar_format = BAR + said  # its own field for this begins with a comma
            self._bar.update(self._seen - self._bar.n)

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        self.close()
        value = logs["val_accuracy"]
        better = self._best is None or value > self._best
        self._best = value if better else self._best
        click.echo(
            row(
                self._title,
                f"{logs['loss']:.3f}",
                f"{logs['accuracy']:.1%}",
                f"{logs['val_loss']:.3f}",
                f"{value:.1%}",
                f"{self._rate():,.0f}",
            )
            + ("  best" if better else "")
        )
        self.images += self._seen
        self.seconds += self._now - self._started

    def _rate(self) -> float:
        return self._seen / max(self._now - self._started, 1e-9)


def facts(**lines: Any) -> None:
    """Print `name   value` lines, aligned; underscores in names are spaces."""
    for name, value in lines.items():
        click.echo(f"{name.replace('_', ' '):<10}{value}")
