"""Which ways convolutions take: each rung tells what it chose, to whoever listens.

    with paths.listening() as taken:
        current_backend().conv2d(...)
    taken                                   # ["winograd"]: of the numba rung; of cupy, ["tensor"]

The rungs loops and numpy have one way each, and tell nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_listener: ContextVar[list[str] | None] = ContextVar("minicnn_paths_taken", default=None)


@contextmanager
def listening() -> Iterator[list[str]]:
    """Gather, in this thread, the paths of all convolutions inside the block, in order."""
    taken: list[str] = []
    token = _listener.set(taken)
    try:
        yield taken
    finally:
        _listener.reset(token)


def took(path: str) -> str:
    """Tell that a convolution takes this path, and return it."""
    taken = _listener.get()
    if taken is not None:
        taken.append(path)
    return path
