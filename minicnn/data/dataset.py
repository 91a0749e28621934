"""Datasets: things with a length that give a sample for an index; ways to join and divide them."""

from __future__ import annotations

import itertools
import math
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Generic, TypeVar

import numpy as np

from minicnn import random
from minicnn.data.fetch import Columns, fetch
from minicnn.errors import ArgumentError, DataError
from minicnn.tensor import Tensor

T = TypeVar("T")


class Dataset(Generic[T]):
    """Base of datasets: override `__getitem__(index)` and `__len__()`.

    A dataset that can read many samples faster than one by one may add `__getitems__(indices)`,
    which gives a sequence of samples, or `Columns`. `a + b` is `ConcatDataset([a, b])`.
    """

    def __getitem__(self, index: Any) -> T:
        raise NotImplementedError(f"{type(self).__name__} must define __getitem__(index)")

    def __add__(self, other: Dataset[Any]) -> ConcatDataset:
        return ConcatDataset([self, other])


class IterableDataset(Dataset[T]):
    """Base of datasets that only give their samples in a row: override `__iter__()`."""

    def __iter__(self) -> Iterator[T]:
        raise NotImplementedError(f"{type(self).__name__} must define __iter__()")


class TensorDataset(Dataset[tuple[Tensor, ...]]):
    """Row i of each tensor: `TensorDataset(images, labels)[i]` is `(images[i], labels[i])`.

    Tensors or arrays of equal length (N, …). Raises DataError if their lengths differ.
    """

    def __init__(self, *tensors: Any) -> None:
        if not tensors:
            raise ArgumentError(
                "TensorDataset: give at least one tensor. Write TensorDataset(images, labels)."
            )
        self.tensors = tuple(t if isinstance(t, Tensor) else Tensor(np.asarray(t)) for t in tensors)
        shapes = [tuple(t.shape) for t in self.tensors]
        if not all(shapes) or len({shape[0] for shape in shapes}) > 1:
            listed = ", ".join(map(str, shapes))
            raise DataError(
                f"TensorDataset: shapes {listed}: every tensor needs the same first dimension, "
                "the number of samples."
                " Cut them to the same number."
            )

    def __len__(self) -> int:
        return len(self.tensors[0])

    def __getitem__(self, index: Any) -> tuple[Tensor, ...]:
        return tuple(tensor[index] for tensor in self.tensors)

    def __getitems__(self, indices: Sequence[int]) -> Columns:
        rows = np.asarray(indices, dtype=np.int64)
        return Columns([tensor[rows] for tensor in self.tensors])


class Subset(Dataset[T]):
    """The samples of `dataset` at `indices`, in that order."""

    def __init__(self, dataset: Any, indices: Sequence[int]) -> None:
        self.dataset = dataset
        self.indices = indices

    @property
    def fresh_samples(self) -> bool:
        """Whether the dataset keeps none of the arrays that it hands out: see `data.slots`."""
        return getattr(self.dataset, "fresh_samples", False)

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: Any) -> T:
        if isinstance(index, list):
            return self.dataset[[self.indices[i] for i in index]]
        return self.dataset[self.indices[index]]

    def __getitems__(self, indices: Sequence[int]) -> Sequence[T]:
        return fetch(self.dataset, [self.indices[i] for i in indices])


class ConcatDataset(Dataset[T]):
    """Datasets one after another; index i counts through all of them."""

    def __init__(self, datasets: Iterable[Any]) -> None:
        self.datasets = list(datasets)
        if not self.datasets:
            raise ArgumentError(
                "ConcatDataset: give at least one dataset. Write ConcatDataset([first, second])."
            )
        if any(isinstance(dataset, IterableDataset) for dataset in self.datasets):
            raise ArgumentError(
                "ConcatDataset: an IterableDataset has no length and no indices."
                " Iterate over them in turn."
            )
        self.cumulative_sizes = list(itertools.accumulate(map(len, self.datasets)))

    def __len__(self) -> int:
        return self.cumulative_sizes[-1]

    def __getitem__(self, index: Any) -> T:
        if not -len(self) <= index < len(self):
            raise IndexError(
                f"ConcatDataset: index {index} is outside {len(self)} samples."
                " Use an index from 0 to one below its length."
            )
        index %= len(self)
        which = bisect_right(self.cumulative_sizes, index)
        before = self.cumulative_sizes[which - 1] if which else 0
        return self.datasets[which][index - before]


def random_split(
    dataset: Any, lengths: Sequence[int | float], generator: Any = None
) -> list[Subset[Any]]:
    """Divide `dataset` at random into parts that share nothing.

    Args:
        lengths: how many samples each part gets; or fractions that add up to 1, rounded down, with
            what is left given out one by one from the first part on (as PyTorch does).
        generator: a seed, a Generator or a NumPy generator; by default the global one.

    Raises:
        ArgumentError: counts that do not add up to `len(dataset)`, or a negative one.
    """
    n = len(dataset)
    counts = _counts(n, lengths)
    if sum(counts) != n or min(counts, default=0) < 0:
        raise ArgumentError(
            f"random_split: lengths {list(lengths)} must be >= 0 and add up to the {n} samples of "
            "the dataset, or be fractions that add up to 1."
            " Correct the lengths."
        )
    order = random.generator(generator).permutation(n).tolist()
    ends = itertools.accumulate(counts)
    return [
        Subset(dataset, order[end - count : end]) for count, end in zip(counts, ends, strict=True)
    ]


def _counts(n: int, lengths: Sequence[int | float]) -> list[int]:
    if all(isinstance(length, int | np.integer) for length in lengths):
        return [int(length) for length in lengths]
    if not math.isclose(sum(lengths), 1) or min(lengths) < 0:
        raise ArgumentError(
            f"random_split: fractions {list(lengths)} must be >= 0 and add up to 1, "
            f"not to {sum(lengths):g}."
            " Correct the fractions."
        )
    counts = [math.floor(n * fraction) for fraction in lengths]
    for i in range(n - sum(counts)):
        counts[i % len(counts)] += 1
    return counts
