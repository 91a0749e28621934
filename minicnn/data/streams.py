"""Random numbers for one pass of a loader: streams that depend on (seed, epoch, index) alone.

The order of an epoch, each sample and each batch have a stream each. So a transform draws the same
numbers in whichever thread its sample is read, and whatever was read before.
"""

from __future__ import annotations

import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from minicnn import random

_ORDER, _SAMPLE, _BATCH, _WORKER = 0, 1, 2, 3  # what a stream is for


@dataclass(frozen=True)
class Run:
    """One pass of a loader over its data. `stop` is set once nobody wants its batches any more."""

    seed: int
    epoch: int
    stop: threading.Event = field(default_factory=threading.Event)

    def order_stream(self) -> np.random.Generator:
        """The random numbers that decide this epoch's order."""
        return self._stream(_ORDER, 0)

    def sample_stream(self, index: Any) -> np.random.Generator:
        """The random numbers of one sample in this epoch."""
        if hasattr(index, "__index__"):
            return self._stream(_SAMPLE, index.__index__() % 2**64)
        return self._stream(_SAMPLE, zlib.crc32(repr(index).encode()))

    def batch_stream(self, indices: Any) -> np.random.Generator:
        """The random numbers of what is done to a batch as a whole in this epoch."""
        return self._stream(_BATCH, zlib.crc32(repr(indices).encode()))

    def worker_stream(self, number: int) -> np.random.Generator:
        """The random numbers that seed a worker process's global generators in this epoch."""
        return self._stream(_WORKER, number)

    def _stream(self, purpose: int, index: int) -> np.random.Generator:
        key = (self.epoch, purpose, index)
        return np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=key))


class _Lazy:
    """A stream that is made when somebody first draws from it: most samples need none."""

    def __init__(self, make: Callable[[Any], np.random.Generator], key: Any) -> None:
        self._make, self._key = make, key
        self._stream: np.random.Generator | None = None

    def stream(self) -> np.random.Generator:
        if self._stream is None:
            self._stream = self._make(self._key)
        return self._stream


_run: ContextVar[Run | None] = ContextVar("minicnn_data_run", default=None)
_sample: ContextVar[_Lazy | None] = ContextVar("minicnn_data_sample", default=None)
_order: ContextVar[np.random.Generator | None] = ContextVar("minicnn_data_order", default=None)


def sample_rng() -> np.random.Generator:
    """The generator for random transforms: of the sample that a loader is reading now.

    It is seeded by (loader's seed, epoch, index), so results do not depend on batch size, workers
    or their timing. In a collate function or `__getitems__` it is the batch's, seeded by its
    indices. Outside a loader it is the global generator of `minicnn.random`.
    """
    sample = _sample.get()
    return random.generator() if sample is None else sample.stream()


def order_rng() -> np.random.Generator:
    """The generator for samplers: of the epoch that a loader is going through.

    It is seeded by (loader's seed, epoch). Outside a loader it is the global generator.
    """
    order = _order.get()
    return random.generator() if order is None else order


def current_run() -> Run | None:
    """The run that samples are being read for, if a loader reads them."""
    return _run.get()


@contextmanager
def running(run: Run, indices: Any) -> Iterator[None]:
    """Inside, the batch at these indices is read for this run."""
    run_token = _run.set(run)
    sample_token = _sample.set(_Lazy(run.batch_stream, indices))
    try:
        yield
    finally:
        _sample.reset(sample_token)
        _run.reset(run_token)


@contextmanager
def reading(run: Run) -> Iterator[Callable[[Any], object]]:
    """Inside, `sample_rng()` is the stream of the sample whose index was said last."""
    before = _sample.get()
    try:
        yield lambda index: _sample.set(_Lazy(run.sample_stream, index))
    finally:
        _sample.set(before)


@contextmanager
def ordering(stream: np.random.Generator) -> Iterator[None]:
    """Inside, `order_rng()` is this stream."""
    token = _order.set(stream)
    try:
        yield
    finally:
        _order.reset(token)
