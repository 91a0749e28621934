"""DataLoader: batches of a dataset, in an order that its seed and epoch decide."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from minicnn import random
from minicnn.data.collate import default_collate, default_convert
from minicnn.data.dataset import IterableDataset
from minicnn.data.fetch import describe
from minicnn.data.reading import END, Reader, StreamReader
from minicnn.data.sampler import BatchSampler, RandomSampler, SequentialSampler, require_count
from minicnn.data.streams import Run, ordering
from minicnn.data.workers import Prefetcher
from minicnn.errors import ArgumentError, DataError


class DataLoader:
    """An iterable of batches. Each `for` goes through the data once: an epoch, counted from 0.

    What it gives depends on (seed, epoch) alone, not on the number of workers; see `sample_rng`
    for random transforms. Workers are threads: they share the dataset, start in no time, and suit
    samples that are read by Pillow and NumPy, which release Python's lock while they work. Where
    samples are made in Python itself, worker processes can be asked for; each has a copy of the
    dataset, which must be picklable unless they are forked.

    Args:
        dataset: with `__len__` and `__getitem__`, or an IterableDataset.
        batch_size: samples in a batch; None gives the samples themselves, unbatched.
        shuffle: another order in every epoch.
        sampler: an iterable of indices to read instead; see `Sampler`.
        batch_sampler: an iterable of lists of indices, in place of the four arguments before.
        num_workers: threads, or processes, that read ahead; 0 reads when asked. An IterableDataset
            has at most 1.
        collate_fn: makes a batch of a sequence of samples; by default `default_collate`.
        drop_last: leave out the last batch if it is shorter.
        timeout: seconds to wait for a worker's batch before a DataError; 0 waits for ever.
        worker_init_fn: called with its number in each worker as it starts.
        generator: a seed, or a Generator or NumPy generator from which a seed is drawn now.
        seed: another name for it. Without either, a seed is spawned from `manual_seed`'s when the
            first epoch starts, and again, from epoch 0 on, after each new `manual_seed`.
        prefetch_factor: batches that each worker may be ahead.
        multiprocessing_context: "spawn", "forkserver", "fork" or a context of `multiprocessing`
            makes the workers processes, started in that way; None, threads.
        persistent_workers: keep worker processes for the next epoch, with the dataset as it was.
        pin_memory: accepted for PyTorch's sake.

    Raises:
        DataError: an empty dataset; while iterating, a worker process that died, or to which the
            dataset cannot be sent.
        ArgumentError: an argument out of its range, or two that contradict each other.
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int | None = 1,
        shuffle: bool | None = None,
        sampler: Iterable[Any] | None = None,
        batch_sampler: Iterable[Sequence[Any]] | None = None,
        num_workers: int = 0,
        collate_fn: Callable[[Any], Any] | None = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        timeout: float = 0,
        worker_init_fn: Callable[[int], None] | None = None,
        multiprocessing_context: Any = None,
        generator: Any = None,
        *,
        seed: int | None = None,
        prefetch_factor: int | None = None,
        persistent_workers: bool = False,
    ) -> None:
        self.dataset = dataset
        self.shuffle = bool(shuffle)
        self.num_workers = num_workers
        self.prefetch_factor = 2 if prefetch_factor is None else prefetch_factor
        self.timeout = timeout
        self.worker_init_fn = worker_init_fn
        self.drop_last = drop_last
        self._iterable = isinstance(dataset, IterableDataset)
        self._check(batch_size, sampler, batch_sampler, generator, seed)
        self.multiprocessing_context = multiprocessing_context
        self.persistent_workers = persistent_workers
        self._context = _process_context(multiprocessing_context, num_workers)
        self._idle: list[Any] = []  # worker processes that wait for the next epoch
        self.batch_size = batch_size if batch_sampler is None else None
        self._batched = batch_size is not None or batch_sampler is not None
        self.collate_fn = collate_fn or (default_collate if self._batched else default_convert)
        self._set_samplers(sampler, batch_sampler)
        self._seed = _fixed_seed(seed if generator is None else generator)
        self._spawned_under: tuple[int, int] | None = None
        self._epoch = 0

    def _check(
        self, batch_size: Any, sampler: Any, batch_sampler: Any, generator: Any, seed: Any
    ) -> None:
        if batch_size is not None:
            require_count("DataLoader", "batch_size", batch_size, least=1)
        require_count("DataLoader", "num_workers", self.num_workers, least=0)
        require_count("DataLoader", "prefetch_factor", self.prefetch_factor, least=1)
        if not self.timeout >= 0:
            raise ArgumentError(
                f"DataLoader: timeout must be >= 0 seconds, got {self.timeout}. 0 waits forever."
            )
        if generator is not None and seed is not None:
            raise ArgumentError(
                "DataLoader: give a generator or a seed, not both. Leave one of them out."
            )
        if sampler is not None and self.shuffle:
            raise ArgumentError("DataLoader: a sampler decides the order; do not shuffle as well")
        alone = (batch_size == 1, not self.shuffle, sampler is None, not self.drop_last)
        if batch_sampler is not None and not all(alone):
            raise ArgumentError(
                "DataLoader: a batch_sampler replaces batch_size, shuffle, sampler and drop_last."
                " Leave those out."
            )
        if batch_size is None and self.drop_last:
            raise ArgumentError(
                "DataLoader: drop_last needs batches, not batch_size=None."
                " Give a batch_size, or leave drop_last out."
            )
        if self._iterable:
            if self.shuffle or sampler is not None or batch_sampler is not None:
                raise ArgumentError(
                    f"DataLoader: the IterableDataset {describe(self.dataset)} decides its own "
                    "order. Leave out shuffle, sampler and batch_sampler."
                )
            if self.num_workers > 1:
                raise ArgumentError(
                    "DataLoader: an IterableDataset is read by one thread. Use num_workers=0 or 1."
                )
        elif not hasattr(self.dataset, "__getitem__") or not hasattr(self.dataset, "__len__"):
            raise ArgumentError(
                f"DataLoader: {describe(self.dataset)} has no __getitem__ or no __len__. "
                "Give it both, or derive it from data.IterableDataset."
            )
        elif len(self.dataset) == 0:
            raise DataError(
                f"DataLoader: the dataset {describe(self.dataset)} is empty. Check the folder, "
                "split or filter that it was made from."
            )

    def _set_samplers(self, sampler: Any, batch_sampler: Any) -> None:
        if sampler is None and not self._iterable:
            sampler = (RandomSampler if self.shuffle else SequentialSampler)(self.dataset)
        if batch_sampler is None and self._batched and not self._iterable:
            assert self.batch_size is not None
            batch_sampler = BatchSampler(sampler, self.batch_size, self.drop_last)
        self.sampler, self.batch_sampler = sampler, batch_sampler

    # ------------------------------------------------------------------------------ iterating

    def __len__(self) -> int:
        """Batches in an epoch; TypeError where the dataset or sampler has no length."""
        if self._iterable:
            n = len(self.dataset)
            if self.batch_size is None:
                return n
            return n // self.batch_size if self.drop_last else math.ceil(n / self.batch_size)
        return len(self.sampler if self.batch_sampler is None else self.batch_sampler)

    def __iter__(self) -> Iterator[Any]:
        self._follow_manual_seed()
        run = Run(self._require_seed(), self._epoch)
        self._epoch += 1
        jobs = itertools.repeat(None) if self._iterable else self._order(run)
        reader = self._reader()
        if self._context is not None:
            return self._read_in_processes(reader, jobs, run)
        read = reader.epoch(run)
        if self.num_workers == 0:
            return _read_in_turn(jobs, read)
        return Prefetcher(
            jobs,
            read,
            run.stop,
            workers=self.num_workers,
            ahead=self.num_workers * self.prefetch_factor,
            start=self.worker_init_fn,
            timeout=self.timeout,
        )

    def _reader(self) -> Reader:
        if not self._iterable:
            return Reader(self.dataset, self.collate_fn, self._batched)
        return StreamReader(self.dataset, self.collate_fn, self.batch_size, self.drop_last)

    def _read_in_processes(self, reader: Reader, jobs: Iterator[Any], run: Run) -> Iterator[Any]:
        from minicnn.data.processes import ProcessPrefetcher, Workers

        if self._idle:
            workers = self._idle.pop()
        else:
            workers = Workers(
                self._context, self.num_workers, self.prefetch_factor, reader, self.worker_init_fn
            )
        done = self._idle.append if self.persistent_workers else Workers.close
        return ProcessPrefetcher(workers, jobs, run, self.timeout, done)

    def _order(self, run: Run) -> Iterator[Any]:
        """The epoch's lists of indices (or indices, unbatched), drawn from the run's stream."""
        source: Any = self.sampler if self.batch_sampler is None else self.batch_sampler
        for sampler in (self.sampler, source):
            if hasattr(sampler, "set_epoch"):
                sampler.set_epoch(run.epoch)
        stream = run.order_stream()
        with ordering(stream):
            order = iter(source)
        while True:
            with ordering(stream):
                try:
                    job = next(order)
                except StopIteration:
                    return
            yield job

    # ---------------------------------------------------------------------------- seed, epoch

    @property
    def epoch(self) -> int:
        """The number of the epoch that the next `for` goes through."""
        return self._epoch

    def set_epoch(self, epoch: int) -> None:
        """Go through epoch number `epoch` next, instead of the one after the last."""
        require_count("DataLoader.set_epoch", "epoch", epoch, least=0)
        self._follow_manual_seed()
        self._epoch = int(epoch)

    def state_dict(self) -> dict[str, int]:
        """{"seed", "epoch"} that decide all batches from the next epoch on; JSON-able."""
        self._follow_manual_seed()
        return {"seed": self._require_seed(), "epoch": self._epoch}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Give the very batches that the loader would have given which saved this state."""
        try:
            seed, epoch = int(state["seed"]), int(state["epoch"])
        except (KeyError, TypeError, ValueError):
            raise ArgumentError(
                f"DataLoader.load_state_dict: expected {{'seed': …, 'epoch': …}}, got {state!r}."
                " Give what state_dict() returned."
            ) from None
        self._seed, self._epoch, self._spawned_under = seed, epoch, None

    def _follow_manual_seed(self) -> None:
        """Spawn a seed where none was given, and another whenever `manual_seed` was called."""
        if self._seed is not None and self._spawned_under is None:
            return
        now = (random.initial_seed(), random.seedings())
        if now != self._spawned_under:
            self._seed, self._epoch, self._spawned_under = random.spawn_seed(), 0, now

    def _require_seed(self) -> int:
        assert self._seed is not None
        return self._seed

    def __repr__(self) -> str:
        size = "" if self._iterable else f" of {len(self.dataset)} samples"
        order = f"batch_size={self.batch_size}" if self.batch_size else "batch_sampler"
        return (
            f"DataLoader({describe(self.dataset)}{size}, {order}, shuffle={self.shuffle}, "
            f"drop_last={self.drop_last}, num_workers={self.num_workers}, epoch={self._epoch})"
        )


def _process_context(given: Any, num_workers: int) -> Any:
    """The context of `multiprocessing` that was asked for, by name or itself."""
    if given is None:
        return None
    import multiprocessing

    names = multiprocessing.get_all_start_methods()
    if num_workers == 0:
        raise ArgumentError(
            f"DataLoader: multiprocessing_context={given!r} is for workers, but num_workers is 0."
            " Use num_workers=2, or leave it out."
        )
    if isinstance(given, str) and given in names:
        return multiprocessing.get_context(given)
    if not hasattr(given, "Process") or not hasattr(given, "get_start_method"):
        raise ArgumentError(
            f"DataLoader: multiprocessing_context must be one of {', '.join(names)}, or a context,"
            f" got {given!r}. Leave it out to use threads."
        )
    return given


def _read_in_turn(jobs: Iterator[Any], read: Callable[[Any], Any]) -> Iterator[Any]:
    for job in jobs:
        batch = read(job)
        if batch is END:
            return
        yield batch


def _fixed_seed(given: Any) -> int | None:
    """The seed that was given, or that is drawn from the generator given."""
    if given is None:
        return None
    if hasattr(given, "__index__"):
        return given.__index__() % 2**64
    if not isinstance(given, random.Generator | np.random.Generator):
        raise ArgumentError(
            f"DataLoader: expected a seed or a generator, got {given!r}."
            " Use generator=0, or a numpy.random.Generator."
        )
    return int(random.generator(given).integers(2**63))
