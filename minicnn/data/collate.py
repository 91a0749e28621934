"""From samples to a batch: every number, array and tensor gets a first dimension N.

The structure is the samples' own: of samples (image, label) comes [images, labels], of
dictionaries a dictionary of batches. Types and dtypes are those of PyTorch's default_collate.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, MutableMapping, MutableSequence, Sequence
from typing import Any

import numpy as np

from minicnn import dtypes
from minicnn.data.fetch import Columns
from minicnn.data.slots import current_slots
from minicnn.errors import DataError, DtypeError
from minicnn.ops import shaping
from minicnn.tensor import Tensor


def default_collate(batch: Sequence[Any]) -> Any:
    """The samples of `batch` as one batch.

    ===========================  =====================================================
    Tensors, arrays (…)          Tensor (N, …) of their dtype
    NumPy numbers, bool, int     Tensor (N,) of their dtype; bool; int64
    float                        Tensor (N,) float64
    str, bytes                   left as they are
    tuples, lists                a list with a batch of each item; named tuples stay such
    mappings                     the same type with a batch of each value
    ===========================  =====================================================

    Raises:
        DataError: shapes, lengths or keys that differ between samples.
        DtypeError: something that cannot be batched.
    """
    return collate(batch)


def collate(batch: Sequence[Any], indices: Sequence[Any] | None = None) -> Any:
    """`default_collate`; errors name samples by `indices`, or else by their places in the batch."""
    if isinstance(batch, Columns):
        return list(batch.columns)
    if len(batch) == 0:
        raise DataError(
            "default_collate: the batch has no samples. Give it a list of at least one."
        )
    return _batch(batch, _Names(indices, ""))


class _Names:
    """How errors speak of the samples, and of the item within them that is being batched."""

    def __init__(self, indices: Sequence[Any] | None, item: str) -> None:
        self._indices, self._item = indices, item

    def inside(self, key: Any) -> _Names:
        return _Names(self._indices, f"{self._item}[{key!r}]")

    def sample(self, place: int) -> str:
        index = place if self._indices is None else self._indices[place]
        return f"sample {index!r}{self._item}"

    def error(self, what: str, values: Sequence[Any], remedy: str) -> DataError:
        """The first sample against the first that differs from it."""
        other = next(i for i, value in enumerate(values) if value != values[0])
        return DataError(
            f"default_collate: {what} differ: {values[0]} in {self.sample(0)}, {values[other]} in "
            f"{self.sample(other)}. {remedy}"
        )


_Number = np.ndarray | np.generic | bool | int | float


def _batch(batch: Sequence[Any], names: _Names) -> Any:
    first = batch[0]
    found = next((entry for entry in _KINDS if isinstance(first, entry[0])), None)
    if found is None:
        raise DtypeError(
            f"default_collate: {names.sample(0)} is of type {type(first).__name__}; tensors, "
            "arrays, numbers, strings, mappings and sequences can be batched. Convert it in a "
            "transform, or pass a collate_fn."
        )
    kind, combine = found
    if not all(isinstance(value, kind) for value in batch):
        types = [type(value).__name__ for value in batch]
        raise names.error("types", types, "Give all samples the same structure.")
    return combine(batch, names)


def _tensors(batch: Sequence[Tensor], names: _Names) -> Tensor:
    if any(tensor.requires_grad for tensor in batch):
        return shaping.stack(batch)
    return _stack([tensor.array for tensor in batch], names)


def _strings(batch: Sequence[Any], names: _Names) -> Sequence[Any]:
    return batch


def _stack(arrays: Sequence[np.ndarray], names: _Names) -> Tensor:
    shapes = [array.shape for array in arrays]
    if len(set(shapes)) > 1:
        remedy = "Bring them to one size in a transform, or pass a collate_fn."
        raise names.error("shapes", shapes, remedy)
    slots = current_slots()
    whole = None if slots is None else slots.whole(arrays)
    if whole is not None:
        return Tensor(whole)
    dtype = arrays[0].dtype
    if any(array.dtype != dtype for array in arrays):
        dtype = dtypes.result_type(*arrays)
    return Tensor(np.stack(arrays, dtype=dtype, casting="unsafe"))


def _numbers(batch: Sequence[Any], names: _Names) -> Tensor:
    arrays = [np.asarray(value) for value in batch]
    for place, array in enumerate(arrays):
        if array.dtype not in dtypes.SUPPORTED:
            listed = ", ".join(map(str, dtypes.SUPPORTED))
            raise DtypeError(
                f"default_collate: {names.sample(place)} is of dtype {array.dtype}. "
                f"Convert it to one of {listed}."
            )
    if isinstance(batch[0], int) and any(isinstance(value, float) for value in batch):
        arrays = [array.astype(np.float32) for array in arrays]  # PyTorch's choice for 1, 2.5
    return _stack(arrays, names)


def _mapping(batch: Sequence[Mapping[Any, Any]], names: _Names) -> Any:
    first = batch[0]
    keys = [sorted(map(repr, sample)) for sample in batch]
    if any(found != keys[0] for found in keys):
        raise names.error("keys", [", ".join(found) for found in keys], "Give all the same keys.")
    batched = {key: _batch([s[key] for s in batch], names.inside(key)) for key in first}
    return _like(first, MutableMapping, lambda same: same.update(batched), batched)


def _sequence(batch: Sequence[Sequence[Any]], names: _Names) -> Any:
    first = batch[0]
    lengths = [len(sample) for sample in batch]
    if len(set(lengths)) > 1:
        raise names.error("lengths", lengths, "Pad them in a transform, or pass a collate_fn.")
    items = zip(*batch, strict=True)
    batched = [_batch(item, names.inside(i)) for i, item in enumerate(items)]
    if isinstance(first, tuple):
        return type(first)(*batched) if hasattr(first, "_fields") else batched

    def fill(same: Any) -> None:
        for i, item in enumerate(batched):
            same[i] = item

    return _like(first, MutableSequence, fill, batched)


def _like(first: Any, mutable: type, fill: Callable[[Any], None], content: Any) -> Any:
    """`content` in a container of `first`'s type: a filled copy of it, so that whatever else it
    carries (a default factory, attributes) stays; a plain container where the type resists."""
    try:
        if not isinstance(first, mutable):
            return type(first)(content)
        same = copy.copy(first)
        fill(same)
        return same
    except TypeError:
        return content


_KINDS: tuple[tuple[Any, Callable[[Any, _Names], Any]], ...] = (
    (Tensor, _tensors),
    (_Number, _numbers),
    (str | bytes, _strings),
    (Mapping, _mapping),
    (Sequence, _sequence),
)


def default_convert(data: Any) -> Any:
    """One sample, unbatched, with arrays and NumPy numbers in it as Tensors; the rest unchanged."""
    if isinstance(data, np.ndarray | np.generic):
        array = np.asarray(data)
        return Tensor(array) if array.dtype in dtypes.SUPPORTED else data
    if isinstance(data, Mapping):
        content: Any = {key: default_convert(value) for key, value in data.items()}
        return _like(data, MutableMapping, lambda same: same.update(content), content)
    if isinstance(data, tuple):
        content = [default_convert(item) for item in data]
        return type(data)(*content) if hasattr(data, "_fields") else content
    return [default_convert(item) for item in data] if isinstance(data, list) else data
