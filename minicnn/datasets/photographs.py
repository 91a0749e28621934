"""Photographs of cats and dogs that are fetched when they are first asked for."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from minicnn.datasets.folder import ImageFolder, default_loader
from minicnn.datasets.published import PUBLISHED, Published, obtain
from minicnn.errors import ArgumentError

Path = str | os.PathLike[str]


class CatsAndDogsFiltered(ImageFolder):
    """2,000 photographs to train and 1,000 to validate, half cats (label 0), half dogs (label 1).

        dataset = CatsAndDogsFiltered(split="train", transform=transform)

    The archive `cats_and_dogs_filtered.zip` (68,606,236 bytes; as much again unpacked) holds
    train/cats, train/dogs, validation/cats and validation/dogs: JPEG files of many sizes, none
    of which is known to be damaged. No hash is published; the one at first use is kept, and
    another file of that name is refused later.

    Args:
        root: the folder that holds cats_and_dogs_filtered/, or that it is put into; by default
            MINICNN_DATA_DIR, or minicnn/data in the user's cache folder. An archive that lies
            there already is used.
        split: "train" or "validation".
        download: fetch what is not there. False needs no network, and says what to fetch by hand.
        transform, target_transform, loader, on_error: as for `ImageFolder`.
        url: another address of the same archive.

    Source: Google, https://storage.googleapis.com/mledu-datasets/cats_and_dogs_filtered.zip, a
    selection from Kaggle's "Dogs vs. Cats" of 2013, whose pictures come from Asirra (Elson et al.,
    CCS 2007). Terms: none come with the archive, so they are not known.

    Raises DataError if the data cannot be had, ArgumentError for another split.
    """

    published: Published = PUBLISHED["cats-and-dogs-filtered"]

    def __init__(
        self,
        root: Path | None = None,
        split: str = "train",
        download: bool = True,
        transform: Callable[[Any], Any] | None = None,
        target_transform: Callable[[Any], Any] | None = None,
        loader: Callable[[str], Any] = default_loader,
        *,
        on_error: str = "raise",
        url: str | None = None,
    ) -> None:
        if split not in ("train", "validation"):
            raise ArgumentError(
                f"CatsAndDogsFiltered: split {split!r} is none of train, validation. Use one of "
                "them."
            )
        self.split = split
        folder = obtain(self.published.at(url), root, download=download)
        super().__init__(folder / split, transform, target_transform, loader, on_error=on_error)


class PetImages(ImageFolder):
    """25,000 photographs, half cats (label 0, "Cat"), half dogs (label 1, "Dog"), in one part.

        dataset = PetImages(transform=transform)        # 24,998: two of the files are empty

    The archive `kagglecatsanddogs_5340.zip` (824,887,076 bytes; as much again unpacked) holds
    PetImages/Cat and PetImages/Dog with 0.jpg to 12499.jpg each, and a Thumbs.db, which is ignored.
    Cat/666.jpg and Dog/11702.jpg are empty and cannot be decoded: on_error="skip", the default
    here, leaves them out. Others are odd (no JFIF header, damaged metadata, bytes behind the end)
    and are read all the same. `minicnn data check` lists what is wrong with which file.

    Args:
        root: the folder that holds PetImages/, or that it is put into; by default
            MINICNN_DATA_DIR, or minicnn/data in the user's cache folder. An archive that lies
            there already is used.
        download: fetch what is not there. False needs no network, and says what to fetch by hand.
        transform, target_transform, loader, on_error: as for `ImageFolder`.
        url: another address of the same archive; its SHA-256 is the published one or it is refused.

    Source: Microsoft, https://www.microsoft.com/en-us/download/details.aspx?id=54765, a part of
    Asirra (Elson et al., CCS 2007). Terms: CDLA-Permissive-2.0, by a file in the archive, which is
    unpacked into the folder with its readme.

    Raises DataError if the data cannot be had.
    """

    published: Published = PUBLISHED["pet-images"]

    def __init__(
        self,
        root: Path | None = None,
        download: bool = True,
        transform: Callable[[Any], Any] | None = None,
        target_transform: Callable[[Any], Any] | None = None,
        loader: Callable[[str], Any] = default_loader,
        *,
        on_error: str = "skip",
        url: str | None = None,
    ) -> None:
        folder = obtain(self.published.at(url), root, download=download)
        super().__init__(folder, transform, target_transform, loader, on_error=on_error)
