"""`minicnn evaluate`: how good a trained network is, and what it takes for what."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np

from minicnn import nn, no_grad
from minicnn.cli import runs, sources
from minicnn.cli.options import Page, compute_with, computing, device_for, on_device, option
from minicnn.cli.progress import facts
from minicnn.cli.sources import SPLITS
from minicnn.data import DataLoader
from minicnn.errors import ArgumentError, DataError
from minicnn.training import predicted_classes


@click.command("evaluate", cls=Page)
@click.argument("run", required=False, type=click.Path(path_type=Path))
@option(
    "--split",
    type=click.Choice(SPLITS),
    metavar="PART",
    section="On which images",
    help="train, validation or test.",
    unless="validation and test",
)
@option(
    "--data",
    metavar="NAME",
    section="On which images",
    help="cats-vs-dogs, animals, what was fetched, or a folder of photographs.",
    unless="what the run was trained on",
)
@option(
    "--skip-broken/--no-skip-broken",
    default=None,
    section="On which images",
    help="Go on without pictures that cannot be decoded.",
    unless="as the run; pet-images: yes",
)
@option(
    "--batch-size",
    type=click.IntRange(min=1),
    default=256,
    metavar="N",
    section="On what",
    help="Images computed at a time.",
    unless="256",
)
@computing
@on_device
def command(
    run: Path | None,
    split: str | None,
    data: str | None,
    skip_broken: bool | None,
    batch_size: int,
    backend: str | None,
    threads: int | None,
    device: str,
) -> None:
    """Loss, accuracy and confusion matrix of a trained network.

    RUN is a folder that minicnn train wrote (its best epoch is taken) or a
    checkpoint in it; without RUN, the newest folder in runs/.

    \b
    minicnn evaluate
    minicnn evaluate runs/cats-vs-dogs/last.safetensors --split test
    """
    compute_with(backend, threads)
    where = device_for(device, backend)
    trained = runs.load_trained(run)
    trained.model.to(where)
    if data is None:
        runs.require_data(trained.path, trained.config.get("settings") or {})
    source = trained.source(data, skip_broken)
    found = {part: source.part(part) for part in ([split] if split else SPLITS[1:])}
    parts = {part: images for part, images in found.items() if images is not None}
    if not parts:
        raise ArgumentError(
            f"--split {split}: {source.name} has no such part. Use train or validation."
        )
    for images in parts.values():
        require_classes(trained, images)
    facts(
        model=f"{trained.model.recipe['name']} from {trained.path}"
        + (f", epoch {trained.epoch}" if trained.epoch is not None else ""),
        data=source.name,
    )
    click.echo(f"\n{'':<12}{'images':>8}{'right':>8}{'accuracy':>10}{'loss':>9}")
    skipped: dict[str, str] = {}
    for part, images in parts.items():
        losses, guessed = answers(trained.model, images, batch_size)
        own = sources.own_pictures(images)  # a stand-in would be counted twice
        labels, guessed = sources.labels_of(images)[own], guessed[own]
        right, loss = int((guessed == labels).sum()), losses[own].mean()
        share, lost = right / len(labels), len(own) - len(labels)
        click.echo(
            f"{part:<12}{len(labels):>8,}{right:>8,}{share:>10.1%}{loss:>9.4f}"
            + f"   {lost} skipped" * (lost > 0)
        )
        skipped |= sources.replaced(images)
    sources.say_skipped(skipped, source.name)
    click.echo()
    click.echo(confusion(labels, guessed, sources.classes_of(images), part))


def answers(model: Any, images: Any, batch_size: int) -> tuple[np.ndarray, np.ndarray]:
    """The loss of each image in order, float64, and the class predicted for it."""
    criterion = nn.CrossEntropyLoss(reduction="none")
    losses, guessed = [], []
    where = next(model.parameters()).device
    with no_grad():
        for x, labels in DataLoader(images, batch_size=batch_size):
            logits = model(x.to(where)).cpu()
            losses.append(criterion(logits, labels).numpy())
            guessed.append(predicted_classes(logits.numpy()))
    return np.concatenate(losses).astype(np.float64), np.concatenate(guessed)


def require_classes(trained: Any, images: Any) -> None:
    """A DataError if the model was trained to tell other classes apart than those of `images`."""
    classes = sources.classes_of(images)
    known = list(trained.config.get("classes") or classes)
    if known != classes:
        raise DataError(
            f"{trained.path} tells {', '.join(known)} apart, but these images are of "
            f"{', '.join(classes)}. Use the data it was trained on."
        )


def confusion(labels: np.ndarray, guessed: np.ndarray, names: Sequence[str], part: str) -> str:
    """The confusion matrix in at most 80 columns: row = what it is, column = the answer."""
    counts = np.zeros((len(names), len(names)), int)
    np.add.at(counts, (labels, guessed), 1)
    left = max(map(len, names)) + 4
    widest = max(map(len, names)) + 2
    width = max(6, min(widest, (80 - left - 8) // len(names)))
    heads = "".join(name[: width - 1].rjust(width) for name in names)
    lines = [f"{part}: what is in the image (rows), and what the network says (columns)"]
    lines.append(" " * left + heads + "   right")
    for k, name in enumerate(names):
        cells = "".join(f"{n or '.':>{width}}" for n in counts[k])
        share = counts[k, k] / max(counts[k].sum(), 1)
        lines.append(f"  {name:<{left - 2}}{cells}{share:>8.1%}")
    return "\n".join(lines)
