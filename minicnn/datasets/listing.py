"""What is in a folder, in an order that every machine agrees on."""

from __future__ import annotations

import os
from collections.abc import Iterator

from minicnn.errors import DataError

Path = str | os.PathLike[str]


def class_folders(root: Path) -> list[str]:
    """The names of the folders in `root`, sorted; DataError if there are none."""
    names = folders_in(root)
    if not names:
        raise DataError(
            f"{root}: no class folders in it. Make a folder for each class, with its pictures: "
            f"{os.path.join(root, 'cat')}, {os.path.join(root, 'dog')}."
        )
    return names


def folders_in(folder: Path) -> list[str]:
    """The names of the folders directly in `folder`, sorted."""
    return sorted(entry.name for entry in _entries(folder) if _is_folder(entry))


def files_in(folder: Path) -> list[str]:
    """The names of everything else directly in `folder`, sorted."""
    return sorted(entry.name for entry in _entries(folder) if not _is_folder(entry))


def files_under(folder: Path) -> list[str]:
    """The paths of all files below, links followed, sorted by folder and then by name.

    A link that leads back to a folder above itself is not followed for ever.
    """
    found = sorted(_walk(os.fspath(folder), frozenset()))
    return [os.path.join(place, name) for place, names in found for name in names]


def _walk(folder: str, above: frozenset[tuple[int, int]]) -> Iterator[tuple[str, list[str]]]:
    """(folder, its files' names sorted) for the folder and all below."""
    try:
        here = os.stat(folder)
    except OSError as error:
        raise _unlisted(folder, error) from None
    identity = here.st_dev, here.st_ino
    if identity in above:
        return
    folders: list[str] = []
    files: list[str] = []
    for entry in _entries(folder):
        (folders if _is_folder(entry) else files).append(entry.name)
    yield folder, sorted(files)
    for name in folders:
        yield from _walk(os.path.join(folder, name), above | {identity})


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """A link that leads nowhere, or round in a circle, is no folder: reading it will say why."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError as error:
        raise _unlisted(folder, error) from None


def _unlisted(folder: Path, error: OSError) -> DataError:
    if isinstance(error, FileNotFoundError):
        return DataError(f"{folder}: no such folder. Check the path.")
    if isinstance(error, NotADirectoryError):
        return DataError(f"{folder} is a file. Name the folder with the classes' folders.")
    why = (error.strerror or str(error)).lower()
    return DataError(f"{folder}: cannot be listed ({why}). Make it readable, or remove it.")
