"""Published photographs: what there is to fetch, where it is kept, and how it gets there.

MINICNN_DATA_DIR/                   or minicnn/data in the user's cache folder
    cats_and_dogs_filtered.zip      as published, or put there by hand; may be deleted then
    cats_and_dogs_filtered.zip.json its hash at first use (none is published)
    cats_and_dogs_filtered/         unpacked; whole if it is there
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from minicnn.datasets.archive import Archive
from minicnn.datasets.disk import ELSEWHERE, unwritten
from minicnn.errors import DataError


@dataclass(frozen=True)
class Published:
    """A data set that its publisher lets everybody fetch.

    Args:
        archive: the zip.
        folder: the folder at its top, and of the unpacked data.
        parts: folders in it without which it is not the data.
        holds: how many pictures, in words.
        terms: under which terms, as far as they are known.
        damaged: how many of the pictures are known to be beyond decoding.
    """

    archive: Archive
    folder: str
    parts: tuple[str, ...]
    holds: str
    terms: str
    damaged: int = 0

    def ready(self, root: Path) -> bool:
        """Whether the unpacked data is there."""
        return all((root / self.folder / part).is_dir() for part in self.parts)

    def at(self, url: str | None) -> Published:
        """The same data from another address; None leaves it as it is."""
        return self if url is None else replace(self, archive=replace(self.archive, url=url))


PUBLISHED = {
    "cats-and-dogs-filtered": Published(
        Archive(
            "cats_and_dogs_filtered.zip",
            "https://storage.googleapis.com/mledu-datasets/cats_and_dogs_filtered.zip",
            68_606_236,
        ),
        "cats_and_dogs_filtered",
        ("train/cats", "train/dogs", "validation/cats", "validation/dogs"),
        "2,000 photographs to train, 1,000 to validate; half cats, half dogs",
        "unknown: none come with it. A selection from Kaggle's Dogs vs. Cats (2013); see the "
        "rules of that competition",
    ),
    "pet-images": Published(
        Archive(
            "kagglecatsanddogs_5340.zip",
            "https://download.microsoft.com/download/3/E/1/3E1C3F21-ECDB-4869-8368-6DEBA77B919F/"
            "kagglecatsanddogs_5340.zip",
            824_887_076,
            "b7974bd00a84a99921f36ee4403f089853777b5ae8d151c76a86e64900334af9",
        ),
        "PetImages",
        ("Cat", "Dog"),
        "25,000 photographs, half cats, half dogs, undivided; two of the files are empty",
        "CDLA-Permissive-2.0, as a file in the archive says; it is unpacked with it",
        damaged=2,
    ),
}


def plain(name: str) -> str:
    """A name's letters: PetImages, pet_images and pet-images are one name."""
    return "".join(filter(str.isalnum, name)).lower()


def published_as(name: str) -> str | None:
    """The key in `PUBLISHED` that this name means, in any spelling; None if it means none."""
    return next((key for key in PUBLISHED if plain(key) == plain(name)), None)


def data_folder() -> Path:
    """Where fetched data is kept: MINICNN_DATA_DIR, or else minicnn/data in the user's cache."""
    chosen = os.environ.get("MINICNN_DATA_DIR")
    if chosen:
        return Path(chosen).expanduser().absolute()
    import platformdirs

    return Path(platformdirs.user_cache_dir("minicnn", False)).absolute() / "data"


def obtain(
    data: Published, root: str | os.PathLike[str] | None = None, *, download: bool = True
) -> Path:
    """The folder with the data: as it is there, or unpacked from the archive, or fetched first.

    Args:
        root: the folder to keep it in; None for `data_folder()`.
        download: False reaches for no network; an archive that lies there is unpacked all the same.

    Raises:
        DataError: it cannot be had. One line says what to fetch, from where, how large it is and
            where to put it.
    """
    root = data_folder() if root is None else Path(root).expanduser().absolute()
    if data.ready(root):
        return root / data.folder
    _require_free_place(data, root)
    archive = root / data.archive.file
    if not download and not os.path.lexists(archive):
        raise DataError(
            f"{data.folder} is not in {root}. Pass download=True, or "
            f"{data.archive.by_hand(archive)}"
        )
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritten(root, error) from error
    with _alone(root, data.archive.file):
        if not data.ready(root):  # or another process has done it meanwhile
            _fetch_and_unpack(data, root)
    return root / data.folder


def _fetch_and_unpack(data: Published, root: Path) -> None:
    from minicnn.datasets.download import fetch  # here, because it is seldom needed
    from minicnn.datasets.unpack import unpack

    unpack(fetch(data.archive, root), data.folder, root / data.folder)
    if not data.ready(root):
        raise DataError(
            f"{root / data.folder}: unpacked from {data.archive.file}, but {_missing(data, root)} "
            "is not in it. Is it another archive of this name? Remove both."
        )


def _missing(data: Published, root: Path) -> str:
    return next(part for part in data.parts if not (root / data.folder / part).is_dir())


def _require_free_place(data: Published, root: Path) -> None:
    target = root / data.folder
    if os.path.lexists(target):
        raise DataError(
            f"{target} is there, but {_missing(data, root)} is not in it. Move it away to have the "
            f"data put there, or {ELSEWHERE}."
        )


@contextmanager
def _alone(root: Path, name: str) -> Iterator[None]:
    """Hold the archive's lock: of two processes that want the data, one fetches and one waits.

    The operating system lets go of the lock when the process ends, however it ends.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(root / f".{name}.lock")
    try:
        try:
            lock.acquire(timeout=0)
        except Timeout:
            print(f"{name}: another process is fetching it; waiting …", file=sys.stderr)
            lock.acquire()
    except NotImplementedError:  # a file system without locks
        pass
    except OSError as error:
        raise unwritten(root, error) from error
    try:
        yield
    finally:
        lock.release()
