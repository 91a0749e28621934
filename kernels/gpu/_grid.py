"""Launch sizes: how many blocks of how many threads, for the two shapes that kernels take.

What is not a power of two is rounded up, and the kernel's threads beyond the end do nothing. With
nothing to do no kernel is launched: CUDA has no empty grids.
"""

from __future__ import annotations

from typing import Any

from ..errors import ArgumentError
from . import _cuda

_MOST_Y = 65535  # blocks along a grid's second axis
_MOST_PLACES = 2**30  # a thread adds the grid's width to a place of 32 bits


def over_planes(
    source: str, kernel: str, planes: int, length: int, *args: Any, each: int = 4, reads: int = 0
) -> None:
    """Launch a kernel of planes.cuh's kind on (planes, length) numbers, `each` to a thread or so.

    Planes shorter than a block share one, so that numbers that lie side by side in memory meet
    threads that run side by side. `reads` is the length of the planes that are read, where the
    kernel counts places in those with an int, too.
    """
    _countable(source, kernel, max(length, reads))
    if planes and length:
        wide = min(_cuda.THREADS, _power_of_two(length))
        high = _cuda.THREADS // wide
        grid = -(-planes // high), min(-(-length // (wide * each)), _MOST_Y)
        _cuda.launch(source, kernel, grid, (wide, high), *args)


def over_rows(source: str, kernel: str, rows: int, length: int, *args: Any, reads: int = 0) -> None:
    """Launch a block for each row, of 32 to 256 threads: one for every four numbers of the row.

    `reads` as in `over_planes`.
    """
    _countable(source, kernel, max(length, reads))
    if rows:
        threads = min(_cuda.THREADS, max(32, _power_of_two(-(-length // 4))))
        _cuda.launch(source, kernel, rows, threads, *args)


def _countable(source: str, kernel: str, length: int) -> None:
    if length > _MOST_PLACES:
        raise ArgumentError(
            f"{source}.cu, {kernel}: a plane of {length} numbers, but places are counted up to "
            f"{_MOST_PLACES}. Split the array, or use the numpy rung."
        )


def _power_of_two(n: int) -> int:
    """Return the least power of two that is not less than n, for n >= 0."""
    return 1 << max(n - 1, 0).bit_length()
