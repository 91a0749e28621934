"""What a training is given, looked at before anything is written: an epoch later would be late."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import minicnn
from minicnn.cli.sources import classes_of
from minicnn.datasets.listing import folders_in
from minicnn.errors import ArgumentError, DataError


def require_classes(name: str, parts: Mapping[str, Any]) -> None:
    """A DataError unless all parts of the data `name` have the same classes, two at least.

    The labels of a part count its own folders: one more in it, and cats would be dogs.
    """
    found = {part: classes_of(images) for part, images in parts.items() if images is not None}
    if len({tuple(classes) for classes in found.values()}) > 1:
        said = "; ".join(f"{part}: {', '.join(classes)}" for part, classes in found.items())
        raise DataError(
            f"{name}: its parts have different classes ({said}). Give all of them the same folders."
        )
    (first, *_) = found.values()
    if len(first) == 1:
        inner = Path(name, first[0])
        deeper = inner.is_dir() and len(folders_in(inner)) > 1
        remedy = f"Did you mean --data {inner}?" if deeper else "Add a folder for another class."
        raise DataError(f"{name}: one class, {first[0]}, is nothing to tell apart. {remedy}")


def require_answers(model: Any, size: tuple[int, ...], classes: int) -> None:
    """An ArgumentError unless the model gives a number for each class of an image of `size`.

    Nothing is computed. Raises ShapeError where a layer cannot take what comes.
    """
    answers = minicnn.summary(model, size).rows[-1].output_shape
    if answers != (1, classes):
        C, H, W = size
        name = model.recipe["name"]
        raise ArgumentError(
            f"--model {name} makes {answers} of an image of {C}×{H}×{W}, not (1, {classes}). Use "
            f"another model, or images that it is made for: minicnn summary {name}"
        )
