"""Big arrays from recycled memory: `empty` is numpy.empty, minus the page faults.

The system hands out fresh memory as pages that it zeroes on first touch: filling a new 100 MB
array takes 10 ms, filling one that was used before takes 4. A training step makes the same arrays
again and again, so a block whose last array has died waits here for the next array of its size.

How a block comes back: an ndarray view holds the array that it was made from, but NumPy shortens
the chain of bases to the array that owns the memory, so a watch on the first array would fire while
views live on. Hence the first array is made by `numpy.frombuffer`: its base is no ndarray, the
chain of every later view stops at it, and it dies with the last of them. A weak reference on it
then returns the block. That may happen anywhere, even in a garbage collection inside this module's
own locked code; so the callback only appends to a deque, and takes the lock only if it is free.

What a kernel needs for one launch alone is `scratch`, of which nobody has to know when it dies.
"""

from __future__ import annotations

import math
import os
import threading
import weakref
from collections import deque
from collections.abc import Iterable
from typing import Any

import numpy as np

from .errors import ArgumentError

THRESHOLD = 1 << 20  # bytes; below, malloc recycles by itself
LARGE = 1 << 24  # bytes; from here on scratch too comes from the pool
ALIGNMENT = 64  # bytes: a cache line, and the widest vector register


def empty(shape: tuple[int, ...] | int, dtype: Any) -> np.ndarray:
    """Return an uninitialised C-contiguous array, 64-byte aligned and recycled from 1 MiB up.

    `shape` and `dtype` are as for numpy.empty. The memory is reused only when no array, view or
    memoryview of the result is left. Safe to call from any thread.
    """
    dtype = np.dtype(dtype)
    shape = tuple(shape) if isinstance(shape, Iterable) else (shape,)
    count = math.prod(shape)
    if count * dtype.itemsize < THRESHOLD or dtype.hasobject:
        return np.empty(shape, dtype)
    return _pool.take(count, dtype).reshape(shape)


def scratch(name: str, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """Return uninitialised memory for one launch of a kernel: under a name always the same block.

    Nothing watches over it, which after a kernel that has swept the caches saves 0.1 ms. So it must
    be asked for, and used, within one `threads.launching`, and nothing of it may be kept. From 16
    MiB on it comes from the pool, so as not to be held for ever.
    """
    size = math.prod(shape) * np.dtype(dtype).itemsize
    if size >= LARGE:
        return empty(shape, dtype)
    block = _scratch.get(name)
    if block is None or block.nbytes < size:
        _scratch.pop(name, None)
        block = _scratch[name] = _pool.new_block(_rounded(max(size, ALIGNMENT)))
    return block[:size].view(dtype).reshape(shape)


def stats() -> dict[str, int]:
    """Return bytes lent out, bytes idle, the cap on idle ones, and how often a block was reused."""
    return _pool.stats()


def clear() -> None:
    """Give all idle blocks and scratch back to the system; those in use are not touched."""
    _scratch.clear()
    _pool.clear()


def set_cap(size: int) -> None:
    """Keep at most `size` bytes idle: 0 or more, at first a quarter of the memory, 2 GiB at most.

    The blocks that waited longest go first. Raises ArgumentError below 0.
    """
    if size < 0:
        raise ArgumentError(f"buffers.set_cap: got {size} bytes. Use 0 (keep nothing) or more.")
    _pool.set_cap(size)


class _Pool:
    """Idle blocks by size, oldest size first, behind one lock."""

    def __init__(self, cap: int) -> None:
        self.cap = cap
        self.lock = threading.Lock()
        self.returned: deque[np.ndarray] = deque()  # blocks on their way back, not yet shelved
        self.shelves: dict[int, list[np.ndarray]] = {}
        self.watches: dict[int, weakref.ref[np.ndarray]] = {}  # keeps each weak reference alive
        self.counts = {"lent_bytes": 0, "idle_bytes": 0, "reused": 0, "fresh": 0}

    def take(self, count: int, dtype: np.dtype[Any]) -> np.ndarray:
        size = _rounded(count * dtype.itemsize)
        with self.lock:
            self._shelve()
            shelf = self.shelves.get(size)
            block = shelf.pop() if shelf else None
            if block is not None:
                self.counts["idle_bytes"] -= size
        reused = block is not None
        if block is None:
            block = self.new_block(size)
        with self.lock:
            self.counts["lent_bytes"] += size
            self.counts["reused" if reused else "fresh"] += 1
        array = np.frombuffer(memoryview(block), dtype, count)

        def come_back(watch: weakref.ref[np.ndarray], block: np.ndarray = block) -> None:
            self.watches.pop(id(watch), None)
            self.returned.append(block)
            self._tidy()

        watch = weakref.ref(array, come_back)
        self.watches[id(watch)] = watch
        return array

    def stats(self) -> dict[str, int]:
        with self.lock:
            self._shelve()
            return {**self.counts, "cap_bytes": self.cap}

    def clear(self) -> None:
        with self.lock:
            self._shelve()
            self.shelves.clear()
            self.counts["idle_bytes"] = 0

    def set_cap(self, size: int) -> None:
        with self.lock:
            self.cap = size
            self._shelve()
            self._trim()

    def new_block(self, size: int) -> np.ndarray:
        try:
            memory = np.empty(size + ALIGNMENT, np.uint8)
        except MemoryError:  # perhaps we sit on what is missing
            self.clear()
            memory = np.empty(size + ALIGNMENT, np.uint8)
        start = -memory.ctypes.data % ALIGNMENT
        return memory[start : start + size]

    def _tidy(self) -> None:
        """Shelve what came back, unless someone else holds the lock: they or the next one will."""
        while self.returned and self.lock.acquire(blocking=False):
            try:
                self._shelve()
            finally:
                self.lock.release()

    def _shelve(self) -> None:
        while True:
            try:
                block = self.returned.popleft()
            except IndexError:
                return
            size = block.nbytes
            self.counts["lent_bytes"] -= size
            self.counts["idle_bytes"] += size
            shelf = self.shelves.pop(size, [])  # taken out and put back: the newest size is last
            shelf.append(block)
            self.shelves[size] = shelf
            self._trim()

    def _trim(self) -> None:
        while self.counts["idle_bytes"] > self.cap:
            size, shelf = next(iter(self.shelves.items()))
            if shelf:
                shelf.pop(0)
                self.counts["idle_bytes"] -= size
            if not shelf:
                del self.shelves[size]


def _rounded(size: int) -> int:
    """Return the block size for `size` bytes: at most an eighth more, so that few sizes exist."""
    step = max(ALIGNMENT, 1 << (size.bit_length() - 4))
    return -(-size // step) * step


def _first_cap() -> int:
    """Return a quarter of the machine's memory, at most 2 GiB: a container may have less."""
    try:
        return min(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 4, 2 << 30)
    except (AttributeError, ValueError, OSError):  # no sysconf on Windows
        return 1 << 30


_pool = _Pool(_first_cap())
_scratch: dict[str, np.ndarray] = {}


def _after_fork() -> None:
    """Start a forked child on an empty pool: its copy may be locked by a thread it lacks."""
    global _pool
    _pool = _Pool(_pool.cap)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
