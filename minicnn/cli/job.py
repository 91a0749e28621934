"""One training from the command line: announced, rehearsed, run, concluded."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import click
import numpy as np

import minicnn
from minicnn import Trainer, cuda, io, models, nn, random
from minicnn.cli import runs, sources
from minicnn.cli.beforehand import require_answers, require_classes
from minicnn.cli.compiling import Compiling
from minicnn.cli.options import quoted
from minicnn.cli.progress import EpochTable, facts
from minicnn.cli.runs import Settings
from minicnn.data import DataLoader, Subset
from minicnn.device import CPU
from minicnn.device import device as Device
from minicnn.errors import ArgumentError
from minicnn.kernels import threads
from minicnn.training.checkpoints import BEST, INTERRUPTED, LAST, RUN
from minicnn.training.last_batch import starved_norm

PICTURED = 2000  # images that a picture of mistakes is chosen from
BIG_BATCH = 256  # where no gradients are kept, batches may be larger
COMPILING = "compiling the CPU kernels, once for this machine"

WRITTEN = {
    "history.csv": "loss and accuracy of every epoch",
    "curves.png": "the same, drawn",
    "predictions.png": "test images, mistakes marked",
    "filters.png": "what the first convolution learned",
    "feature_maps.png": "what it sees in one image",
    BEST: "the best epoch's weights",
    LAST: "the last epoch, to resume from",
    INTERRUPTED: "weights of the epoch that was cut short",
    RUN: "the run in words and numbers",
}


class Job:
    """One training with its data: set up, announced, run and concluded."""

    def __init__(
        self, settings: Settings, workers: int | None = None, device: Device = CPU
    ) -> None:
        self.settings, self.device = settings, device
        source = settings.source
        part = runs.training_part(settings)
        # Built-in images of their own size lie in memory: threads would get in each other's way.
        ready = not source.is_folder and settings.image_size is None
        wanted = threads.get_num_threads() if workers is None else workers
        self.workers = 0 if ready else wanted
        self.validation = self.to_evaluate("validation")
        self.test = self.to_evaluate("test")
        parts = {"train": part, "validation": self.validation, "test": self.test}
        require_classes(settings.data, parts)
        self.classes = sources.classes_of(part)
        size = self.validation[0][0].shape
        self.size = (size[0], size[1], size[2])

        minicnn.manual_seed(settings.seed)
        model = self.new_model()
        require_answers(model, self.size, len(self.classes))
        model = model.to(device)
        self.train_loader = DataLoader(
            part, batch_size=settings.batch_size, shuffle=True, num_workers=self.workers
        )
        self.validation_loader = self.reading(self.validation)
        self.table = EpochTable()
        self.trainer = Trainer(
            model,
            runs.build_optimizer(settings, model),
            nn.CrossEntropyLoss(),
            callbacks=[self.table],
            config=settings.as_config(
                classes=self.classes,
                images=[len(part), len(self.validation)],
                input_size=list(self.size),
            ),
        )
        self.history = self.trainer.history

    def to_evaluate(self, split: str) -> Any:
        """A part of the data without what stands in for damaged pictures; None if there is none.

        To know which are damaged, all are read once, before the training.
        """
        part = self.settings.source.part(split)
        if part is None or not self.settings.skip_broken or not self.settings.source.is_folder:
            return part
        if sys.stderr.isatty():
            click.echo(f"looking for damaged pictures in the {split} part …", err=True)
        for _ in self.reading(part):
            pass
        return Subset(part, np.flatnonzero(sources.own_pictures(part)).tolist())

    def reading(self, part: Any) -> DataLoader:
        """A loader of images to evaluate."""
        batch = min(BIG_BATCH, 4 * self.settings.batch_size)
        return DataLoader(part, batch_size=batch, num_workers=self.workers)

    def new_model(self) -> Any:
        """The network, with fresh weights."""
        return runs.build_model(
            self.settings.model,
            input_size=self.size,
            num_classes=len(self.classes),
            normalize=self.settings.source.normalize,
        )

    def require_variance(self) -> None:
        """An ArgumentError, before anything is written, if the last batch would stop training."""
        with Compiling(COMPILING):
            layer = starved_norm(self.trainer.model, self.train_loader)
        if layer is not None:
            images, size = len(self.train_loader.dataset), self.settings.batch_size
            raise ArgumentError(
                f"--batch-size {size}: {images} images to train end with a batch of one, of which "
                f"{layer} gets one value per channel, too few for a variance. "
                f"{fitting(images, size)}"
            )

    def rehearse(self) -> None:
        """One step on a throw-away model, so that compiling is no part of the training's time.

        It leaves no trace: random numbers go on as if it had not been.
        """
        if self.settings.backend != "numba" or self.device.type != "cpu":
            return
        before = random.get_rng_state()
        with Compiling(COMPILING):
            model = self.new_model()
            optimizer = runs.build_optimizer(self.settings, model)
            loss = nn.CrossEntropyLoss()(
                model(minicnn.zeros(2, *self.size)), minicnn.zeros(2, dtype=minicnn.int64)
            )
            loss.backward()
            optimizer.step()
        random.set_rng_state(before)

    def announce(self, out: Path, checkpoint: Path | None) -> None:
        """Say what is about to happen."""
        s, parts = self.settings, (self.train_loader.dataset, self.validation, self.test)
        numbers = sources.sizes(parts)
        if lost := sources.skipped(*parts):
            numbers += f", {len(lost):,} left out"
        parameters = sum(p.numel() for p in self.trainer.model.parameters())
        facts(
            model=f"{self.trainer.model.recipe['name']}, {parameters:,} parameters",
            data=f"{s.data}: {numbers}",
            training=f"{s.optimizer}, learning rate {s.lr:g}, batches of {s.batch_size}, "
            + ("random flips, " if s.flip else "")
            + f"seed {s.seed}",
            backend=on_what(self.device, s.backend),
            folder=out,
        )
        if checkpoint is not None:
            facts(resuming=f"after epoch {io.read_header(checkpoint)['epoch']}, from {checkpoint}")
        click.echo()

    def fit(self, out: Path, checkpoint: Path | None, *, overwrite: bool) -> None:
        """Train, with everything kept in `out`."""
        started = time.perf_counter()
        self.history = self.trainer.fit(
            self.train_loader,
            self.validation_loader,
            epochs=self.settings.epochs,
            out=out,
            resume=checkpoint,
            overwrite=overwrite,
        )
        self.seconds = time.perf_counter() - started

    def say_stopped(self, out: Path) -> None:
        """What is saved, and how to go on."""
        done = plural(len(self.history), "epoch")
        click.echo(f"\nStopped by Ctrl-C after {done}; what was learned is saved.")
        list_files(out)
        facts(go_on=f"minicnn train --resume {quoted(out)}")

    def conclude(self, out: Path, *, pictures: bool) -> None:
        """How good it is, what was written, what can be done with it."""
        accuracies = self.history.history["val_accuracy"]
        best = int(np.argmax(accuracies))
        model = models.load(out / BEST)
        shown = self.validation if self.test is None else self.test
        logits = Trainer(model, None, None, device=self.device).predict(self.reading(shown))
        labels = sources.labels_of(shown)
        right = int((logits.argmax(axis=1) == labels).sum())
        if pictures:
            draw(out, self.history, self.validation, model, shown, logits)
        click.echo()
        facts(best=f"{accuracies[best]:.1%} of the validation images, after epoch {best + 1}")
        if self.test is not None:
            facts(
                test=f"{right / len(labels):.1%} of the test images by those weights "
                f"({right} of {len(labels)})"
            )
        if self.table.images:
            speed = self.table.images / self.table.seconds
            facts(time=f"{self.seconds:.1f} s of training, {speed:,.0f} images/s")
        else:
            done = len(self.history)
            facts(time=f"none: all {done} epochs were there. More of them: --epochs {2 * done}")
        parts = self.train_loader.dataset, self.validation, self.test
        sources.say_skipped(sources.skipped(*parts), self.settings.data)
        list_files(out)
        facts(next=f"minicnn evaluate {quoted(out)}")
        click.echo(f"{'':<10}minicnn predict --run {quoted(out)} IMAGE...")


def fitting(images: int, size: int) -> str:
    """What to do, so that no image is alone: a size a little smaller, or else a little larger."""
    sizes = [*range(size - 1, 1, -1), *range(size + 1, images + 1)]
    fits = [n for n in sizes if images % n != 1]
    return f"Use --batch-size {fits[0]}" if fits else "Add images."


def on_what(device: Device, backend: str) -> str:
    """Which rung computes, and on what."""
    if device.type == "cuda":
        return f"{'numpy' if backend == 'numpy' else 'cupy'} on {cuda.get_device_name(device)}"
    return f"{backend}, {plural(threads.get_num_threads(), 'thread')}"


def plural(count: int, noun: str) -> str:
    """2 and "epoch" as "2 epochs"."""
    return f"{count} {noun}" + ("" if count == 1 else "s")


def list_files(out: Path) -> None:
    """The files of the run that are there."""
    facts(files=f"in {out}")
    for name, what in WRITTEN.items():
        if (out / name).is_file():
            click.echo(f"{'':<10}{name:<25}{what}")


def draw(out: Path, history: Any, validation: Any, model: Any, shown: Any, logits: Any) -> None:
    """The four pictures of a run; those of convolutions only where the model has one."""
    from minicnn import plot

    counts = np.bincount(sources.labels_of(validation))
    baseline = float(counts.max() / counts.sum())
    plot.curves(history, out / "curves.png", baseline=baseline)
    images = sources.first_images(shown, PICTURED)
    truth, part = (
        sources.labels_of(shown)[:PICTURED],
        "Validation" if shown is validation else "Test",
    )
    some = f" (first {PICTURED})" if len(shown) > PICTURED else ""
    plot.predictions(
        images,
        truth,
        logits[:PICTURED],
        sources.classes_of(shown),
        out / "predictions.png",
        title=f"{part} images{some}",
    )
    convolutions = [name for name, m in model.named_modules() if isinstance(m, nn.Conv2d)]
    if convolutions:
        first = convolutions[0]
        layer = model.get_submodule(first)
        plot.filters(layer, out / "filters.png", title=first)
        plot.feature_maps(model, images[0], first, out / "feature_maps.png")
