"""The disk that data sets are kept on: its free space, its refusals, and a bar of bytes."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

from minicnn.errors import DataError
from minicnn.io.atomic import describe

ELSEWHERE = "name another folder by root= or MINICNN_DATA_DIR"


def require_space(folder: Path, size: int, what: str) -> None:
    """Raise DataError if the folder's disk has not `size` bytes left for `what`."""
    free = shutil.disk_usage(folder).free
    if size > free:
        raise DataError(
            f"{what} needs {megabytes(size)} in {folder}, where {megabytes(free)} are free. "
            f"Free some space, or {ELSEWHERE}."
        )


def unwritten(path: Path, error: OSError) -> DataError:
    """The system's refusal as an error of ours."""
    return DataError(
        f"{error.filename or path}: {describe(error)}. Free some space or mend the folder, "
        f"or {ELSEWHERE}."
    )


def megabytes(size: int) -> str:
    """Bytes as "68.6 MB"."""
    return f"{size / 1e6:,.1f} MB"


def bar_of_bytes(title: str, size: int, done: int = 0) -> Any:
    """A bar on standard error if that is a terminal, or in a notebook; gone when it is closed."""
    from tqdm.auto import tqdm

    # A size, because a terminal that does not tell its own would get no bar.
    shape = {"ncols": 79, "nrows": 20} if sys.stderr.isatty() else {}
    return tqdm(
        desc=title, total=size, initial=done, unit="B", unit_scale=True, leave=False,
        disable=None, **shape,
    )  # fmt: skip
