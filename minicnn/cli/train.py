"""`minicnn train`: the whole job, from the data that comes with the package to the pictures."""

from __future__ import annotations

from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import click

from minicnn import io, models
from minicnn.cli import runs
from minicnn.cli.job import WRITTEN, Job
from minicnn.cli.options import (
    Finite,
    Folder,
    Page,
    compute_with,
    computing,
    device_for,
    given,
    on_device,
    option,
    quoted,
)
from minicnn.cli.runs import Settings
from minicnn.cli.sources import has_damaged, is_there, settled_name
from minicnn.errors import ArgumentError
from minicnn.kernels import current_backend
from minicnn.training.checkpoints import BEST, INTERRUPTED, LAST

# Options that a resumed run takes from the run: another value would not be the same training.
FIXED = [field.name for field in fields(Settings) if field.name != "epochs"]


@click.command("train", cls=Page)
@option(
    "--data",
    metavar="DATA",
    section="What is learned",
    help="cats-vs-dogs; animals: all ten; what was fetched (minicnn data list); or a folder "
    "with a subfolder for each class.",
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
    "--skip-broken/--no-skip-broken",
    default=None,
    section="What is learned",
    help="Go on without pictures that cannot be decoded.",
    unless="no; pet-images: yes",
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
    unless=f"{runs.STANDARD.epochs}; alexnet: 5",
)
@option(
    "--batch-size",
    type=click.IntRange(min=1),
    metavar="N",
    section="How",
    help="Images in one step.",
    unless=f"{runs.STANDARD.batch_size}; alexnet: 128",
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
    unless="{adam:g}; sgd: {sgd:g}; alexnet: 1e-4".format(**runs.LEARNING_RATE),
)
@option(
    "--image-size",
    type=click.IntRange(min=1),
    metavar="N",
    section="How",
    help="Scale images to N×N pixels.",
    unless="28 for the built-in ones, 160 for photographs; alexnet: 224",
)
@option(
    "--workers",
    type=click.IntRange(min=0),
    metavar="N",
    section="How",
    help="Threads that read photographs ahead.",
    unless="as many as --threads",
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
@on_device
@option(
    "--out",
    type=Folder(path_type=Path),
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
    minicnn train --model alexnet --data pet-images
    """
    checkpoint, out, overwrite = None, options["out"], options["overwrite"]
    if options["data"] is not None:
        options["data"] = settled_name(options["data"])
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
    job = Job(settings, options["workers"], device_for(options["device"], settings.backend))
    if checkpoint is not None:
        runs.require_same_data(checkpoint, io.read_header(checkpoint)["config"], job.trainer.config)
    job.require_variance()
    if out is None:
        out = runs.claim_folder(Path(settings.data).name or "photographs")
    elif overwrite and checkpoint is None:
        remove_run(out)
    job.announce(out, checkpoint)
    job.rehearse()
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
    recipe = runs.recipe_of(chosen.get("model", runs.MODEL))
    for name in ("epochs", "batch_size", "image_size", "lr"):
        if getattr(recipe, name) is not None:
            chosen.setdefault(name, getattr(recipe, name))
    if "lr" not in chosen:
        chosen["lr"] = runs.LEARNING_RATE[chosen.get("optimizer", runs.OPTIMIZER)]
    chosen.setdefault("backend", current_backend().name)
    chosen.setdefault("skip_broken", has_damaged(chosen.get("data", runs.DATASET)))
    return Settings(**chosen)


def resumed_settings(checkpoint: Path, options: dict[str, Any]) -> Settings:
    """The settings of the run in `checkpoint`; options that contradict them are an error."""
    header = io.read_header(checkpoint)
    if checkpoint.name == BEST and header.get("kind") != "checkpoint":
        raise ArgumentError(
            f"{checkpoint} holds the best epoch's weights alone. Go on after the last epoch: "
            f"minicnn train --resume {quoted(checkpoint.parent)}"
        )
    settings = runs.settings_of(checkpoint, header.get("config") or {})
    if options["data"] is not None and not is_there(settings.data):  # the folder was moved
        settings = replace(settings, data=options["data"])
    runs.require_data(checkpoint, asdict(settings))
    for name in FIXED:
        was, now = getattr(settings, name), options[name]
        if given(name) and now != was:
            raise ArgumentError(
                f"{written(name, now)} contradicts {checkpoint}, which was started with "
                f"{written(name, was)}. Leave it out, or start a new run."
            )
    if options["epochs"] is not None:
        if options["epochs"] < header["epoch"]:
            raise ArgumentError(
                f"--epochs {options['epochs']}: {checkpoint} has {header['epoch']} already. "
                "Ask for more in all, or start a new run."
            )
        settings = replace(settings, epochs=options["epochs"])
    return settings


def written(name: str, value: Any) -> str:
    """An option as on a command line: "--lr 0.1", "--no-flip", "no --train-images"."""
    flag = "--" + name.replace("_", "-")
    if value is None:
        return f"no {flag}"
    if isinstance(value, bool):
        return flag if value else flag.replace("--", "--no-", 1)
    return f"{flag} {value}"


def refuse_to_lose(out: Path, checkpoint: Path | None) -> None:
    """An ArgumentError if this run would replace another one's epochs in the folder `out`."""
    if checkpoint is None or out.resolve() != checkpoint.parent.resolve():
        # last alone is a start without an epoch: the best is written before it
        if any((out / name).exists() for name in (BEST, INTERRUPTED)):
            raise ArgumentError(
                f"{out} holds a run already. Go on with it (--resume {quoted(out)}), replace it "
                "(--overwrite), or choose another folder (--out)."
            )
    elif checkpoint.name != LAST and (out / LAST).exists():
        raise ArgumentError(
            f"going on from {checkpoint} would replace {out / LAST}. Choose another folder "
            f"(--out), or say --overwrite; to go on after the last epoch: --resume {quoted(out)}"
        )


def remove_run(out: Path) -> None:
    """Delete the files of the run in `out`, so that none of them seems to be of the next one."""
    io.check_writable(out)
    for name in WRITTEN:
        (out / name).unlink(missing_ok=True)
