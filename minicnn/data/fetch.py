"""Reading the samples of a batch: in one go where the dataset can, else one by one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from minicnn.data.slots import current_slots
from minicnn.data.streams import current_run, reading
from minicnn.errors import DataError


class Stopped(Exception):
    """Ends a worker's batch that nobody wants any more."""


def fetch(dataset: Any, indices: Sequence[Any]) -> Sequence[Any]:
    """The samples at `indices`: by the dataset's `__getitems__` if it has one, else one by one."""
    bulk = getattr(dataset, "__getitems__", None)
    return fetch_each(dataset, indices) if bulk is None else bulk(indices)


def fetch_each(dataset: Any, indices: Sequence[Any]) -> list[Any]:
    """The samples at `indices`, one by one.

    For a loader, each with its own `sample_rng()`; an error gets a note that names the sample.
    """
    run = current_run()
    if run is None:
        return [dataset[index] for index in indices]
    samples, slots = [], current_slots()
    with reading(run) as sample_is:
        for place, index in enumerate(indices):
            if run.stop.is_set():
                raise Stopped
            if slots is not None:
                slots.start(place)
            sample_is(index)
            samples.append(_read(dataset, index))
    return samples


def _read(dataset: Any, index: Any) -> Any:
    try:
        return dataset[index]
    except StopIteration as error:  # would end the loader's epoch in silence
        raise DataError(
            f"{describe(dataset)}: reading sample {index!r} raised StopIteration."
            " Raise IndexError for an index that is not there."
        ) from error
    except Exception as error:
        error.add_note(f"while reading sample {index!r} of {describe(dataset)}")
        raise


def describe(dataset: Any) -> str:
    """The dataset's class, for messages."""
    return type(dataset).__name__


class Columns(Sequence[Any]):
    """Samples that lie stacked: a sequence of samples for those who want them one by one, and
    for `default_collate` the batch as it is, with nothing left to stack.

    Args:
        columns: Tensors whose rows belong together, each (N, …).
        sample: makes a sample of one row of each; a tuple by default.
    """

    def __init__(self, columns: Sequence[Any], sample: Callable[..., Any] | None = None) -> None:
        self.columns = tuple(columns)
        self._sample = sample

    def __len__(self) -> int:
        return len(self.columns[0])

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        row = tuple(column[index] for column in self.columns)
        return row if self._sample is None else self._sample(*row)
