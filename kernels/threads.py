"""How many CPU threads the kernels use: one number for the compiled kernels and for BLAS.

    set_num_threads(2)          # or MINICNN_NUM_THREADS=2; before either: every core we may use

The number changes the speed and never a result. Compiled kernels split their work by shape, and
matrix products go through `minicnn.kernels.gemm`, which does the same around BLAS.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .errors import ArgumentError

# One parallel region at a time in the whole process: two of them would only take each other's
# cores, and Numba's "workqueue" layer aborts the process when two Python threads launch at once.
launching = threading.RLock()

_count: int | None = None  # None until somebody asks or sets
_blas: list[Any] | None = None  # threadpoolctl's handles, looked up on first use


def available() -> int:
    """Return the number of cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):  # Linux: honours taskset and container core sets
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def get_num_threads() -> int:
    """Return the number of threads in use.

    Before any `set_num_threads` it is MINICNN_NUM_THREADS, or else `available()`. Raises
    ArgumentError when that variable is no whole number above 0.
    """
    if _count is None:
        text = os.environ.get("MINICNN_NUM_THREADS", "").strip()
        if text:
            set_num_threads(_parse(text))
        else:
            _remember(available())
    assert _count is not None
    return _count


def set_num_threads(n: int) -> None:
    """Use `n` threads, at most the `available()` ones, in compiled kernels and in BLAS.

    Raises ArgumentError unless `n` is a whole number above 0.
    """
    if isinstance(n, bool) or not hasattr(n, "__index__") or n.__index__() < 1:
        raise ArgumentError(
            f"set_num_threads: got {n!r}, expected a whole number of threads >= 1. "
            f"This process may use {available()}."
        )
    with launching:
        _remember(min(n.__index__(), available()))
        for library in _blas_libraries():
            library.set_num_threads(_count)


@contextmanager
def single_threaded_blas() -> Iterator[None]:
    """Inside, BLAS works on the calling thread alone, and no other parallel region runs."""
    with launching:
        before = [(library, library.get_num_threads()) for library in _blas_libraries()]
        for library, _ in before:
            library.set_num_threads(1)
        try:
            yield
        finally:
            for library, count in before:
                library.set_num_threads(count)


def _remember(count: int) -> None:
    global _count
    _count = count


def _parse(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise ArgumentError(
            f"MINICNN_NUM_THREADS={text!r}: expected a whole number of threads >= 1. "
            f"Unset it to use all {available()}."
        )
    return int(text)


def _blas_libraries() -> list[Any]:
    global _blas
    if _blas is None:
        from threadpoolctl import ThreadpoolController

        _blas = ThreadpoolController().select(user_api="blas").lib_controllers
    return _blas


def _after_fork() -> None:
    """Give a forked child a free lock: the thread that held the old one does not exist there."""
    global launching
    launching = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
