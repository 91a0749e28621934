"""Opening a file to read: what goes wrong is said in one line that names the file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from minicnn.errors import CheckpointError
from minicnn.io.atomic import describe


@contextmanager
def reading(path: str | os.PathLike[str]) -> Iterator[Path]:
    """`path` as a Path to a plain file; the system's errors inside the block become ours.

    Raises:
        CheckpointError: no such file, a folder or device, or one that may not be read.
    """
    path = Path(path)
    try:
        if path.is_dir():
            raise CheckpointError(f"{path} is a folder, not a weight file. Name the file in it.")
        if path.exists() and not path.is_file():  # opening a named pipe would wait for ever
            raise CheckpointError(f"{path} is a device or pipe, not a weight file. Name a file.")
        yield path
    except FileNotFoundError as reason:
        raise CheckpointError(f"{path}: no such file. Check the path.") from reason
    except OSError as reason:
        raise CheckpointError(
            f"cannot read {path}: {describe(reason)}. Check the path and its permissions."
        ) from reason


@contextmanager
def open_binary(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """The file at `path` open for reading bytes, under `reading`'s errors."""
    with reading(path) as found, open(found, "rb") as file:
        yield file
