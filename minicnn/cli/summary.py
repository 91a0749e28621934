"""`minicnn summary`: the layer table of a network, by name or out of a run."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import click

import minicnn
from minicnn.cli import runs
from minicnn.cli.options import ImageSize, Page, option


@click.command("summary", cls=Page)
@click.argument("model")
@option(
    "--input-size",
    type=ImageSize(),
    metavar="CxHxW",
    section="Of what size",
    help="One image, as 3x160x160, 160x120 or 28.",
    unless="what the model is made for",
)
@option(
    "--num-classes",
    "--classes",
    "num_classes",
    type=click.IntRange(min=1),
    metavar="N",
    section="Of what size",
    help="How many logits.",
    unless="what the model is made for",
)
@option(
    "--batch-size",
    type=click.IntRange(min=1, max=10**6),
    default=1,
    metavar="N",
    section="Of what size",
    help="MACs and bytes are for so many images.",
    unless="1",
)
def command(
    model: str, input_size: tuple[int, ...] | None, num_classes: int | None, batch_size: int
) -> None:
    """A network's layers: output shapes, parameters, multiply-accumulates (MACs),
    how many input pixels one value sees, and what an im2col would take.

    MODEL is a name, or a run's folder or checkpoint. Nothing is computed.

    \b
    minicnn summary cat_dog_cnn_1_3
    minicnn summary cat_dog_cnn_1_3 --input-size 1x28x28 --num-classes 2
    minicnn summary runs/cats-vs-dogs
    """
    if "/" in model or Path(model).exists():
        trained = runs.load_trained(Path(model))
        network, size = trained.model, complete(input_size, trained.input_size)
    else:
        size = complete(input_size, default_size(model))
        network = runs.build_model(model, input_size=size, num_classes=num_classes)
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 80
    click.echo(minicnn.summary(network, size, batch_size=batch_size).table(width))


def default_size(model: str) -> tuple[int, int, int]:
    """(C, H, W) of the images that the model called `model` is made for."""
    options = runs.model_options(model)
    side = options.get("image_size") or runs.recipe_of(model).image_size
    if side is None:
        return 1, 28, 28
    return options.get("in_channels", 3), side, side


def complete(given: tuple[int, ...] | None, default: tuple[int, int, int]) -> tuple[int, int, int]:
    """(C, H, W) from the numbers given: all three, H and W, or one for both; or the default."""
    if given is None:
        return default
    if len(given) == 3:
        return given[0], given[1], given[2]
    return default[0], given[0], given[-1]
