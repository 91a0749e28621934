"""Silhouettes of ten animals, and cats against dogs among them."""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from minicnn.datasets.arrays import ImageArrays
from minicnn.datasets.split import ARCHIVE, FILES, SPLIT_LIST, read_split
from minicnn.errors import ArgumentError, DataError

SIZE = 28  # pixels, height and width

AGAIN = "Install the package again."

Archive = tuple[np.ndarray, np.ndarray, list[str]]


class AnimalSilhouettes(ImageArrays):
    """9,716 white silhouettes on black, 28×28, of ten animals; about 1,000 of each.

    A sample is (image, label), as of `ImageArrays`: without a transform, float32 (1, 28, 28) in
    [0, 1] and an int.

    Args:
        split: "train", "validation", "test" (about 3/4, 1/8, 1/8 of each class, by a committed
            list of files: see `minicnn.datasets.split`); None for all images.
        classes: names of the animals wanted; label k then means `classes[k]`.
        transform, target_transform: functions of the PIL image and of the label. They may draw
            from `minicnn.data.sample_rng()`.

    Attributes:
        data: Tensor uint8 (N, 28, 28).
        targets: Tensor int64 (N,).
        classes, class_to_idx: names by label, and labels by name.
        indices: which images of the archive these are, int64 (N,).

    Source: the PyPI package animal-mnist 0.4 (MIT, Copyright (c) 2025 SinaSR-6), exact duplicates
    removed. Raises ArgumentError on an unknown split or class, DataError on a damaged file.
    """

    fresh_samples = True  # no array that is handed out is kept: see `minicnn.data.slots`

    def __init__(
        self,
        split: str | None = None,
        classes: Sequence[str] | None = None,
        transform: Callable[[Any], Any] | None = None,
        target_transform: Callable[[int], Any] | None = None,
    ) -> None:
        images, labels, names = _shipped_archive()
        wanted = _checked_classes(names, classes)
        number = {name: label for label, name in enumerate(wanted)}
        chosen = np.arange(len(labels)) if split is None else _shipped_split(split, len(labels))
        new_label = np.array([number.get(name, -1) for name in names])[labels]
        self.indices = chosen[new_label[chosen] >= 0]
        self.split = split
        super().__init__(
            images[self.indices], new_label[self.indices], wanted, transform, target_transform
        )

    def __repr__(self) -> str:
        part = "all" if self.split is None else self.split
        names = ", ".join(self.classes)
        return f"{type(self).__name__}({part}: {len(self)} images of {SIZE}x{SIZE}, {names})"


class CatsVsDogs(AnimalSilhouettes):
    """The silhouettes of 992 cats (label 0) and 997 dogs (label 1).

    Splits: 1,491 images for training, 249 for validation, 249 for the test (`AnimalSilhouettes`).
    """

    def __init__(
        self,
        split: str | None = None,
        transform: Callable[[Any], Any] | None = None,
        target_transform: Callable[[int], Any] | None = None,
    ) -> None:
        super().__init__(split, ("cat", "dog"), transform, target_transform)


def sample_photo() -> Path:
    """The path of a photograph of a cat, JPEG, 451×300 RGB.

    Source: Stéfan van der Walt, in scikit-image's sample data (CC0).
    """
    return FILES / "chelsea.jpg"


def _checked_classes(names: list[str], wanted: Sequence[str] | None) -> list[str]:
    if wanted is None:
        return list(names)
    chosen = [wanted] if isinstance(wanted, str) else list(wanted)
    unknown = [name for name in chosen if name not in names]
    if unknown or not chosen or len(set(chosen)) < len(chosen):
        raise ArgumentError(
            f"AnimalSilhouettes: classes {chosen} must be different ones of {', '.join(names)}."
            " Leave the argument out for all of them."
        )
    return chosen


# --------------------------------------------------------------------------------- the files


# What NumPy raises on files that are no archive, cut short, overwritten, or of pickled objects.
_UNREADABLE = (
    OSError, ValueError, TypeError, KeyError, EOFError, AttributeError,
    zipfile.BadZipFile, zlib.error, NotImplementedError,
)  # fmt: skip


@cache
def _shipped_archive() -> Archive:
    return read_archive(ARCHIVE)


def read_archive(path: str | os.PathLike[str]) -> Archive:
    """(images uint8 (N, 28, 28), labels int64 (N,), class names) of a silhouette archive (.npz).

    Raises DataError, naming the file, if it is missing, damaged, or holds something else.
    """
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            images, labels, names = (archive[k] for k in ("images", "labels", "class_names"))
    except FileNotFoundError:
        raise DataError(f"{path}: no such file. {AGAIN}") from None
    except _UNREADABLE as error:
        why = " ".join(f"{type(error).__name__}: {error}".split())
        raise DataError(
            f"{path}: not a silhouette archive, or a damaged one ({why}). {AGAIN}"
        ) from error
    found = f"images {images.dtype} {images.shape}, labels {labels.dtype} {labels.shape}"
    if images.dtype != np.uint8 or images.shape[1:] != (SIZE, SIZE):
        raise DataError(
            f"{path}: expected images uint8 (N, {SIZE}, {SIZE}), found {found}."
            " Install the package again."
        )
    if labels.dtype.kind not in "iu" or labels.shape != images.shape[:1] or names.ndim != 1:
        raise DataError(
            f"{path}: expected one integer label for each image, found {found}."
            " Install the package again."
        )
    if labels.size and not 0 <= int(labels.min()) <= int(labels.max()) < len(names):
        raise DataError(
            f"{path}: labels reach from {labels.min()} to {labels.max()}, but there are "
            f"{len(names)} class names."
            " Install the package again."
        )
    return images, labels.astype(np.int64), names.astype(str).tolist()


@cache
def _split_list() -> dict[str, np.ndarray]:
    return {name: np.array(members) for name, members in read_split(SPLIT_LIST).items()}


def _shipped_split(split: str, n: int) -> np.ndarray:
    parts = _split_list()
    if split not in parts:
        raise ArgumentError(
            f"AnimalSilhouettes: split {split!r} is none of {', '.join(parts)}. None gives all."
        )
    if sorted(np.concatenate(list(parts.values())).tolist()) != list(range(n)):
        raise DataError(
            f"{SPLIT_LIST}: the lists do not hold each of the archive's {n} images once. {AGAIN}"
        )
    return parts[split]
