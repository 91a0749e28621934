"""How a worker makes the batch that a job asks for; the same in a thread and in a process."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

from minicnn.data.collate import collate, default_collate
from minicnn.data.fetch import describe, fetch
from minicnn.data.slots import slots_for
from minicnn.data.streams import Run, reading, running

END = object()  # a job's result when there is nothing more to read


class Reader:
    """Batches of a dataset that is read by index: a job is a list of indices, or one, unbatched."""

    def __init__(self, dataset: Any, collate_fn: Callable[[Any], Any], batched: bool) -> None:
        self.dataset, self.collate_fn, self.batched = dataset, collate_fn, batched

    def epoch(self, run: Run) -> Callable[[Any], Any]:
        """The function from a job to its batch, for one pass over the data."""

        def read(job: Any) -> Any:
            indices = list(job) if self.batched else [job]
            # Samples that a collate_fn of the user's gets are arrays of their own.
            own = self.dataset if self.collate_fn is default_collate else None
            with running(run, indices), slots_for(own, len(indices)):
                return self._collate(fetch(self.dataset, indices), indices)

        return read

    def _collate(self, samples: Sequence[Any], indices: Sequence[Any]) -> Any:
        if self.collate_fn is default_collate:
            return collate(samples, indices)
        try:
            return self.collate_fn(samples if self.batched else samples[0])
        except Exception as error:
            error.add_note(f"while collating samples {list(indices)} of {describe(self.dataset)}")
            raise


class StreamReader(Reader):
    """Batches of an IterableDataset, each of its next `size` samples, whatever the job."""

    def __init__(
        self, dataset: Any, collate_fn: Callable[[Any], Any], size: int | None, drop_last: bool
    ) -> None:
        super().__init__(dataset, collate_fn, size is not None)
        self.size, self.drop_last = size or 1, drop_last

    def epoch(self, run: Run) -> Callable[[Any], Any]:
        """The function to the next batch; END after the last."""
        samples = iter(self.dataset)
        starts = itertools.count(step=self.size)

        def read(_: Any) -> Any:
            found: list[Any] = []
            places = range(start := next(starts), start + self.size)
            with running(run, list(places)):
                with reading(run) as sample_is:
                    for place in places:
                        sample_is(place)
                        sample = next(samples, END)
                        if sample is END:
                            break
                        found.append(sample)
                if not found or (self.drop_last and len(found) < self.size):
                    return END
                return self._collate(found, places[: len(found)])

        return read
