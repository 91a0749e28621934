"""Samplers: iterables of indices, which say in what order a loader reads its dataset."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any, Generic, TypeVar

import numpy as np

from minicnn import random
from minicnn.data.streams import order_rng
from minicnn.errors import ArgumentError

T = TypeVar("T", covariant=True)


class Sampler(Generic[T]):
    """Base of samplers: override `__iter__()` and, where known, `__len__()`.

    One that draws from `order_rng()` depends on the loader's seed and epoch alone; one with a
    method `set_epoch(epoch)` is told the epoch by the loader first.
    """

    def __init__(self, data_source: Any = None) -> None:
        pass

    def __iter__(self) -> Iterator[T]:
        raise NotImplementedError(f"{type(self).__name__} must define __iter__()")


class SequentialSampler(Sampler[int]):
    """0, 1, 2, …"""

    def __init__(self, data_source: Any) -> None:
        self.data_source = data_source

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self.data_source)))

    def __len__(self) -> int:
        return len(self.data_source)


class RandomSampler(Sampler[int]):
    """A random order: each sample once, or with `replacement` any at any time.

    Args:
        num_samples: how many to draw, by default as many as there are; without replacement, more
            than that go through the data again in another order.
        generator: a seed, a Generator or a NumPy generator of its own; by default `order_rng()`.
    """

    def __init__(
        self,
        data_source: Any,
        replacement: bool = False,
        num_samples: int | None = None,
        generator: Any = None,
    ) -> None:
        if num_samples is not None and num_samples < 1:
            raise ArgumentError(
                f"RandomSampler: num_samples must be >= 1, got {num_samples}."
                " Leave it out to draw each sample once."
            )
        self.data_source = data_source
        self.replacement = replacement
        self._num_samples = num_samples
        self.generator = None if generator is None else random.generator(generator)

    @property
    def num_samples(self) -> int:
        """How many indices one pass gives."""
        return len(self.data_source) if self._num_samples is None else self._num_samples

    def __iter__(self) -> Iterator[int]:
        rng = order_rng() if self.generator is None else self.generator
        n, wanted = len(self.data_source), self.num_samples
        if n == 0:
            return iter(())
        if self.replacement:
            return iter(rng.integers(n, size=wanted).tolist())
        rounds = [rng.permutation(n) for _ in range(math.ceil(wanted / n))]
        return iter(np.concatenate(rounds)[:wanted].tolist())

    def __len__(self) -> int:
        return self.num_samples


class BatchSampler(Sampler[list[int]]):
    """The indices of `sampler` in lists of `batch_size`; the last may be shorter, or is dropped."""

    def __init__(self, sampler: Iterable[int], batch_size: int, drop_last: bool = False) -> None:
        require_count("BatchSampler", "batch_size", batch_size, least=1)
        self.sampler = sampler
        self.batch_size = batch_size
        self.drop_last = drop_last

    def __iter__(self) -> Iterator[list[int]]:
        batch: list[int] = []
        for index in self.sampler:
            batch.append(index)
            if len(batch) == self.batch_size:
                yield batch
                batch = []
        if batch and not self.drop_last:
            yield batch

    def __len__(self) -> int:
        n = len(self.sampler)  # type: ignore[arg-type]  # samplers without a length raise TypeError
        return n // self.batch_size if self.drop_last else math.ceil(n / self.batch_size)


def require_count(owner: str, name: str, value: Any, least: int) -> None:
    """ArgumentError unless `value` is an integer of at least `least`."""
    if isinstance(value, bool) or not hasattr(value, "__index__") or value < least:
        raise ArgumentError(
            f"{owner}: {name} must be an integer >= {least}, got {value!r}. Correct that argument."
        )
