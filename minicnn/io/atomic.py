"""Files that are either the old ones or the new ones, never half of each.

A write goes to a temporary file in the same folder, is forced to the disk, and then takes the old
file's place in one step (`rename` is atomic on one file system). A process killed at any moment,
or a disk that fills up, leaves the earlier file as it was.
"""

from __future__ import annotations

import contextlib
import errno
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from minicnn.errors import MiniCNNError, TrainingError

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def atomic_write(
    path: str | os.PathLike[str],
    write: Callable[[BinaryIO], object],
    *,
    error: type[MiniCNNError] = TrainingError,
) -> Path:
    """Give `path` the content that `write(file)` produces, completely or not at all.

    Args:
        path: the file; missing folders above it are made.
        write: called with a file open for writing bytes.
        error: the class raised, in one line that names the file, when the disk refuses.
    """
    path = Path(path)
    if path.exists() and not path.is_file():
        raise error(f"cannot write {path}: it is not a file but a folder or device. Name a file.")
    # Of this process and thread alone: two writers must not fill one temporary file.
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        _sync_folder(path.parent)
    except OSError as reason:
        raise error(f"cannot write {path}: {describe(reason)}. {_remedy(reason)}") from reason
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()
    return path


def atomic_write_text(
    path: str | os.PathLike[str], text: str, *, error: type[MiniCNNError] = TrainingError
) -> Path:
    """Give `path` the content `text` (UTF-8), completely or not at all."""
    return atomic_write(path, lambda file: file.write(text.encode()), error=error)


def check_writable(
    folder: str | os.PathLike[str], *, error: type[MiniCNNError] = TrainingError
) -> Path:
    """Make `folder` if it is missing and prove that files can be written there; return it.

    Called before a training starts, so that the hours of work come after the complaint.
    """
    folder = Path(folder)
    probe = folder / f".probe.{os.getpid()}.tmp"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with open(probe, "wb") as file:
            file.write(bytes(4096))
            file.flush()
            os.fsync(file.fileno())
    except OSError as reason:
        raise error(
            f"cannot write in the folder {folder}: {describe(reason)}. {_remedy(reason)}"
        ) from reason
    finally:
        with contextlib.suppress(OSError):
            probe.unlink()
    return folder


def remove_leftovers(path: str | os.PathLike[str]) -> None:
    """Delete the temporary files of writes to `path` that were killed half-way."""
    path = Path(path)
    for leftover in path.parent.glob(f".{path.name}.*.tmp"):
        with contextlib.suppress(OSError):
            leftover.unlink()


def describe(reason: OSError) -> str:
    """The system's own words for an error, such as "no space left on device"."""
    return (reason.strerror or str(reason)).lower()


def _remedy(reason: OSError) -> str:
    if reason.errno in _FULL:
        return "Free some space; what was written before is untouched."
    return "Choose a folder that you may write in; what was written before is untouched."


def _sync_folder(folder: Path) -> None:
    """Force the new name itself to the disk; the content is there already."""
    # Windows cannot open folders, and some network file systems refuse: the rename stands anyway.
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
