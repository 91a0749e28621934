"""`minicnn train`: the whole job, from the data that comes with the package to the pictures."""

from __future__ import annotations

import time
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import click
import numpy as np

import minicnn
from minicnn import Trainer, doctor, io, models, nn
from minicnn.cli import runs
from minicnn.cli.doctor import compile_kernels
from minicnn.cli.options import Finite, Page, compute_with, computing, given, option
from minicnn.cli.progress import EpochTable, facts
from minicnn.cli.runs import Settings
from minicnn.data import DataLoader
from minicnn.errors import ArgumentError
from minicnn.kernels import current_backend, threads
from minicnn.training.checkpoints import BEST, INTERRUPTED, LAST, RUN

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

# Options that a resumed run takes from the run: another value would not be the same training.
FIXED = [field.name for field in fields(Settings) if field.name != "epochs"]


@click.command("train", cls=Page)
@option(
    "--data",
    metavar="NAME",
    section="What is learned",
    help="cats-vs-dogs, or animals: all ten.",
    unless=runs.DATASET,
)
@option(
    "--train-images",
    type=click.IntRange(min=1),
    metavar="N",
    section="What is learned",
    help="Learn from the first N images only.",
    unless="all",
)
@option(
    "--model",
    metavar="NAME",
    section="What is learned",
    help="The network: one of {}.".format(", ".join(models.list_models())),
    unless=runs.MODEL,
)
@option(
    "--epochs",
    type=click.IntRange(min=1),
    metavar="N",
    section="How",
    help="How often every image is seen.",
    unless=str(runs.EPOCHS),
)
@option(
    "--batch-size",
    type=click.IntRange(min=1),
    metavar="N",
    section="How",
    help="Images in one step.",
    unless=str(runs.BATCH_SIZE),
)
@option(
    "--optimizer",
    type=click.Choice(list(runs.OPTIMIZERS)),
    metavar="NAME",
    section="How",
    help="adam, adamw, or sgd with momentum 0.9.",
    unless=runs.OPTIMIZER,
)
@option(
    "--lr",
    type=Finite(min=0, min_open=True),
    metavar="RATE",
    section="How",
    help="Learning rate.",
    unless="{adam:g}; sgd: {sgd:g}".format(**runs.LEARNING_RATE),
)
@option(
    "--flip/--no-flip",
    default=None,
    section="How",
    help="Mirror half of the training images, others in each epoch.",
    unless="yes",
)
@option(
    "--seed",
    type=click.IntRange(min=0),
    metavar="N",
    section="How",
    help="Decides all chance: the same seed gives the same bits.",
    unless="0",
)
@computing
@option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    section="Where it is kept",
    help="The run's folder.",
    unless="runs/DATA; if that is there, runs/DATA-2 …",
)
@option(
    "--overwrite",
    is_flag=True,
    section="Where it is kept",
    help="Replace the run that is in --out.",
)
@option(
    "--resume",
    is_flag=False,
    flag_value="",
    metavar="[RUN]",
    section="Where it is kept",
    help="Go on with the run in this folder or checkpoint; without RUN, with the newest.",
)
@option(
    "--pictures/--no-pictures",
    default=True,
    section="Where it is kept",
    help="Draw curves, predictions, filters and feature maps.",
    unless="yes",
)
@click.pass_context
def command(ctx: click.Context, **options: Any) -> None:
    """Train a network and keep the run in a folder.

    Without options: a CNN of three convolutions learns to tell cats from dogs
    by their silhouettes (1,491 images of 28×28), in 20 epochs. Ctrl-C ends the
    run with what was learned saved; --resume goes on with it, to the same bits
    as if it had never stopped.

    \b
    minicnn train --epochs 5 --out runs/short
    minicnn train --resume runs/short --epochs 20
    minicnn train --data animals --model cat_dog_cnn_1_2
    minicnn train --train-images 100    how far do 100 images get?
    """
    checkpoint, out, overwrite = None, options["out"], options["overwrite"]
    if options["resume"] is None:
        settings = new_settings(options)
    else:
        named = Path(options["resume"]) if options["resume"] else None
        checkpoint = runs.checkpoint_in(named, prefer=LAST)
        settings = resumed_settings(checkpoint, options)
        out = out or checkpoint.parent
    if out is not None and not overwrite:
        refuse_to_lose(out, checkpoint)

    compute_with(settings.backend, options["threads"])
    job = Job(settings)
    if out is None:
        out = runs.claim_folder(settings.data)
    elif overwrite and checkpoint is None:
        remove_run(out)
    job.announce(out, checkpoint)
    if settings.backend == "numba" and doctor.is_cold():
        click.echo("The CPU kernels are compiled first, once for this machine.")
        compile_kernels(("float32",))
        click.echo()
    job.fit(out, checkpoint, overwrite=overwrite)
    if job.history.interrupted:
        job.say_stopped(out)
        ctx.exit(130)
    job.conclude(out, pictures=options["pictures"])


# -------------------------------------------------------------------------------------- settings


def new_settings(options: dict[str, Any]) -> Settings:
    """The recipe, changed by the options that were given."""
    chosen = {field.name: options[field.name] for field in fields(Settings)}
    chosen = {name: value for name, value in chosen.items() if value is not None}
    if "lr" not in chosen:
        chosen["lr"] = runs.LEARNING_RATE[chosen.get("optimizer", runs.OPTIMIZER)]
    chosen.setdefault("backend", current_backend().name)
    return Settings(**chosen)


def resumed_settings(checkpoint: Path, options: dict[str, Any]) -> Settings:
    """The settings of the run in `checkpoint`; options that contradict them are an error."""
    config = io.read_header(checkpoint).get("config") or {}
    settings = runs.settings_of(checkpoint, config)
    for name in FIXED:
        was, now = getattr(settings, name), options[name]
        if given(name) and now != was:
            flag = "--" + name.replace("_", "-")
            before = "without it" if was is None else f"with {was}"
            raise ArgumentError(
                f"{flag} {now} contradicts {checkpoint}, which was started {before}. "
                f"Leave {flag} out, or start a new run."
            )
    if options["epochs"] is not None:
        settings = replace(settings, epochs=options["epochs"])
    return settings


def refuse_to_lose(out: Path, checkpoint: Path | None) -> None:
    """An ArgumentError if this run would replace another one's epochs in the folder `out`."""
    if checkpoint is None or out.resolve() != checkpoint.parent.resolve():
        # last alone is a start without an epoch: the best is written before it
        if any((out / name).exists() for name in (BEST, INTERRUPTED)):
            raise ArgumentError(
                f"{out} holds a run already. Go on with it (--resume {out}), replace it "
                "(--overwrite), or choose another folder (--out)."
            )
    elif checkpoint.name != LAST and (out / LAST).exists():
        raise ArgumentError(
            f"going on from {checkpoint} would replace {out / LAST}. Choose another folder "
            f"(--out), or say --overwrite; to go on after the last epoch: --resume {out}"
        )


def remove_run(out: Path) -> None:
    """Delete the files of the run in `out`, so that none of them seems to be of the next one."""
    io.check_writable(out)
    for name in WRITTEN:
        (out / name).unlink(missing_ok=True)


# ------------------------------------------------------------------------------------------- job


class Job:
    """One training with its data: set up, announced, run and concluded."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        part = runs.training_part(settings)
        self.validation, self.test = (
            runs.dataset(settings.data, split) for split in ("validation", "test")
        )
        self.classes = list(self.test.classes)
        size = tuple(self.test[0][0].shape)

        minicnn.manual_seed(settings.seed)
        model = runs.build_model(
            settings.model,
            input_size=size,
            classes=len(self.classes),
            normalize=runs.NORMALIZE[settings.data],
        )
        self.train_loader = DataLoader(part, batch_size=settings.batch_size, shuffle=True)
        self.validation_loader = DataLoader(self.validation, batch_size=BIG_BATCH)
        self.table = EpochTable()
        self.trainer = Trainer(
            model,
            runs.build_optimizer(settings, model),
            nn.CrossEntropyLoss(),
            callbacks=[self.table],
            config=settings.as_config(self.classes, list(size)),
        )
        self.history = self.trainer.history

    def announce(self, out: Path, checkpoint: Path | None) -> None:
        """Say what is about to happen."""
        s, parts = self.settings, (self.train_loader.dataset, self.validation, self.test)
        numbers = "{:,} to train, {:,} to validate, {:,} to test".format(*map(len, parts))
        parameters = sum(p.numel() for p in self.trainer.model.parameters())
        facts(
            model=f"{self.trainer.model.recipe['name']}, {parameters:,} parameters",
            data=f"{s.data}: {numbers}",
            training=f"{s.optimizer}, learning rate {s.lr:g}, batches of {s.batch_size}, "
            f"seed {s.seed}",
            backend=f"{s.backend}, {plural(threads.get_num_threads(), 'thread')}",
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
        facts(go_on=f"minicnn train --resume {out}")

    def conclude(self, out: Path, *, pictures: bool) -> None:
        """How good it is, what was written, what can be done with it."""
        accuracies = self.history.history["val_accuracy"]
        best = int(np.argmax(accuracies))
        model = models.load(out / BEST)
        loader = DataLoader(self.test, batch_size=BIG_BATCH)
        logits = Trainer(model, None, None).predict(loader)
        labels = self.test.targets.numpy()
        right = int((logits.argmax(axis=1) == labels).sum())
        if pictures:
            draw(out, self.history, self.validation, model, self.test, logits)
        click.echo()
        facts(
            best=f"{accuracies[best]:.1%} of the validation images, after epoch {best + 1}",
            test=f"{right / len(labels):.1%} of the test images by those weights "
            f"({right} of {len(labels)})",
        )
        if self.table.images:
            speed = self.table.images / self.table.seconds
            facts(time=f"{self.seconds:.1f} s of training, {speed:,.0f} images/s")
        else:
            more = 2 * self.settings.epochs
            facts(time=f"none: all epochs were done. More of them: --epochs {more}")
        list_files(out)
        facts(next=f"minicnn evaluate {out}")


BIG_BATCH = 256  # where no gradients are kept, batches may be larger


def plural(count: int, noun: str) -> str:
    """2 and "epoch" as "2 epochs"."""
    return f"{count} {noun}" + ("" if count == 1 else "s")


def list_files(out: Path) -> None:
    """The files of the run that are there."""
    facts(files=f"in {out}")
    for name, what in WRITTEN.items():
        if (out / name).is_file():
            click.echo(f"{'':<10}{name:<24}{what}")


def draw(out: Path, history: Any, validation: Any, model: Any, test: Any, logits: Any) -> None:
    """The four pictures of a run; those of convolutions only where the model has one."""
    from minicnn import plot

    labels = validation.targets.numpy()
    baseline = float(np.bincount(labels).max()) / len(labels)
    plot.curves(history, out / "curves.png", baseline=baseline)
    images, truth = test.as_tensors()
    plot.predictions(
        images, truth, logits, test.classes, out / "predictions.png", title="Test images"
    )
    convolutions = [name for name, m in model.named_modules() if isinstance(m, nn.Conv2d)]
    if convolutions:
        first = convolutions[0]
        layer = model.get_submodule(first)
        plot.filters(layer, out / "filters.png", title=first)
        plot.feature_maps(model, images[0], first, out / "feature_maps.png")
