"""Memory for a batch, handed out row by row, so that its samples need no stacking afterwards.

Stacking 128 photographs of 3×224×224 floats copies 77 MB, which takes as long as making them of
the decoded pixels. Here the transform that makes a sample's array writes it where the batch wants
it: the k-th sample gets row k of one buffer. `default_collate` sees that the rows lie side by side
and takes the buffer itself. Buffers are recycled: their memory comes back with the batch's death.

A dataset must say that it hands its arrays out and keeps none (`fresh_samples = True`): one that
keeps its samples would find them changed by whoever changes the batch in place.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np

from minicnn.kernels import buffers


class Slots:
    """The buffers of one batch of `count` samples.

    Each time a sample asks for an array, it gets its row of another buffer: the first arrays of all
    samples lie in the first buffer, and so on. An array of another shape or dtype than that of the
    first sample has no row, and is one of its own.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._buffers: list[np.ndarray] = []
        self._rows: list[list[np.ndarray | None]] = []
        self._sample = self._asked = 0

    def start(self, sample: int) -> None:
        """From now on arrays are for this sample."""
        self._sample, self._asked = sample, 0

    def take(self, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        """An uninitialised array, in a row of a buffer if it fits there."""
        turn = self._asked
        self._asked += 1
        if turn == len(self._buffers):
            self._buffers.append(buffers.empty((self._count, *shape), dtype))
            self._rows.append([None] * self._count)
        buffer = self._buffers[turn]
        if buffer.shape[1:] != shape or buffer.dtype != dtype:
            return np.empty(shape, dtype)
        row = buffer[self._sample]
        self._rows[turn][self._sample] = row
        return row

    def whole(self, arrays: Sequence[np.ndarray]) -> np.ndarray | None:
        """The buffer that these arrays, one of each sample in order, are the rows of, or None."""
        for buffer, rows in zip(self._buffers, self._rows, strict=True):
            if len(rows) == len(arrays) and all(map(_same, rows, arrays)):
                return buffer
        return None


def _same(a: Any, b: Any) -> bool:
    return a is b


_slots: ContextVar[Slots | None] = ContextVar("minicnn_data_slots", default=None)


@contextmanager
def slots_for(dataset: Any, count: int) -> Iterator[Slots | None]:
    """Inside, samples of `dataset` are written into a batch's memory, if it allows that."""
    slots = Slots(count) if getattr(dataset, "fresh_samples", False) else None
    token = _slots.set(slots)
    try:
        yield slots
    finally:
        _slots.reset(token)


def current_slots() -> Slots | None:
    """The batch that is being read, if its samples have rows in it."""
    return _slots.get()


def sample_array(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """An uninitialised array for a transform's result: in a loader's batch where there is one."""
    slots = _slots.get()
    dtype = np.dtype(dtype)
    return np.empty(shape, dtype) if slots is None else slots.take(tuple(shape), dtype)
