"""Tensor's shape and indexing methods: views where the strides allow, else copies."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from minicnn.autograd import Variable
from minicnn.kernels.errors import ArgumentError, ShapeError
from minicnn.kernels.shapes import integer
from minicnn.ops import indexing, shaping

if TYPE_CHECKING:
    from minicnn.tensor import Tensor


def _ints(sizes: tuple[Any, ...]) -> tuple[Any, ...]:
    """Sizes given one by one, or as one sequence."""
    if len(sizes) == 1 and isinstance(sizes[0], list | tuple):
        return tuple(sizes[0])
    return sizes


class Shaping(Variable):
    """Other shapes, orders and selections of the same elements."""

    __slots__ = ()

    def view(self, *shape: Any) -> Tensor:
        """The same memory under another shape; refused where the strides forbid it."""
        return shaping.view(self, _ints(shape))

    def reshape(self, *shape: Any) -> Tensor:
        """The same elements under another shape, copied only where the strides forbid a view."""
        return shaping.reshape(self, _ints(shape))

    def view_as(self, other: Tensor) -> Tensor:
        """`view(other.shape)`."""
        return self.view(other.shape)

    def flatten(self, start_dim: Any = 0, end_dim: Any = -1) -> Tensor:
        """The dimensions from `start_dim` to `end_dim` rolled into one."""
        first = shaping.normalize_axis("flatten", start_dim, self.ndim)
        last = shaping.normalize_axis("flatten", end_dim, self.ndim)
        if not self.ndim:
            return self.reshape(1)
        if first > last:
            raise ShapeError(
                f"flatten: start_dim {start_dim} comes after end_dim {end_dim}. Swap them."
            )
        sizes = self.array.shape
        return self.reshape(*sizes[:first], math.prod(sizes[first : last + 1]), *sizes[last + 1 :])

    def permute(self, *dims: Any) -> Tensor:
        """The dimensions in another order, as a view."""
        return shaping.permute(self, _ints(dims))

    def transpose(self, dim0: Any, dim1: Any) -> Tensor:
        """Two dimensions swapped, as a view."""
        return shaping.transpose(self, dim0, dim1)

    swapaxes = transpose

    def t(self) -> Tensor:
        """A matrix with rows and columns swapped."""
        if self.ndim > 2:
            raise ShapeError(
                f"t: expected at most 2 dimensions, got shape {self.array.shape}. Use .transpose."
            )
        return shaping.permute(self, tuple(reversed(range(self.ndim))))

    @property
    def T(self) -> Tensor:
        """All dimensions in reverse order."""
        return shaping.permute(self, tuple(reversed(range(self.ndim))))

    @property
    def mT(self) -> Tensor:
        """The last two dimensions swapped."""
        return shaping.transpose(self, -2, -1)

    def squeeze(self, dim: Any = None) -> Tensor:
        """Without the dimensions of size 1."""
        return shaping.squeeze(self, dim)

    def unsqueeze(self, dim: Any) -> Tensor:
        """With a new dimension of size 1."""
        return shaping.unsqueeze(self, dim)

    def expand(self, *sizes: Any) -> Tensor:
        """Dimensions of size 1 repeated without copying."""
        return shaping.expand(self, _ints(sizes))

    def expand_as(self, other: Tensor) -> Tensor:
        """`expand(other.shape)`."""
        return self.expand(*other.shape)

    def repeat(self, *repeats: Any) -> Tensor:
        """Tiled along each dimension."""
        return shaping.repeat(self, _ints(repeats))

    def flip(self, *dims: Any) -> Tensor:
        """Mirrored along the given dimensions, as a copy."""
        return shaping.flip(self, _ints(dims))

    def contiguous(self) -> Tensor:
        """In C order: itself if it is already, else a copy."""
        return shaping.contiguous(self)

    def split(self, split_size: Any, dim: Any = 0) -> tuple[Tensor, ...]:
        """Pieces of the given size (the last may be smaller) or sizes along `dim`, as views."""
        axis, total = self._axis_to_cut("split", dim)
        if isinstance(split_size, list | tuple):
            sizes = list(split_size)
            if sum(sizes) != total or min(sizes, default=0) < 0:
                raise ShapeError(
                    f"split: sizes {sizes} must be >= 0 and add up to {total}, the size of dim "
                    f"{dim}. Correct the sizes."
                )
        else:
            size = integer(split_size, "split_size", op="split")
            if size < 0 or (size == 0 and total):
                raise ShapeError(
                    f"split: the size of a piece must be at least 1, got {split_size}."
                    " Use 1 for single rows."
                )
            starts = range(0, total, size) if total else [0]
            sizes = [min(size, total - start) for start in starts]
        ends = np.cumsum([0, *sizes]).tolist()
        place = (slice(None),) * axis
        return tuple(self[(*place, slice(a, b))] for a, b in pairwise(ends))

    def chunk(self, chunks: Any, dim: Any = 0) -> tuple[Tensor, ...]:
        """At most `chunks` pieces of equal size (the last may be smaller), as views."""
        _, total = self._axis_to_cut("chunk", dim)
        if integer(chunks, "chunks", op="chunk") < 1:
            raise ArgumentError(f"chunk: chunks must be at least 1, got {chunks}. Use chunks=2.")
        # Of nothing there are as many pieces as were asked for, each of nothing, as in PyTorch.
        return self.split(-(-total // chunks) if total else [0] * chunks, dim)

    def _axis_to_cut(self, op: str, dim: Any) -> tuple[int, int]:
        """The axis that `dim` means, and its size."""
        if not self.ndim:
            raise ShapeError(f"{op}: a tensor without dimensions cannot be cut. Use unsqueeze(0).")
        axis = shaping.normalize_axis(op, dim, self.ndim)
        return axis, self.array.shape[axis]

    def unbind(self, dim: Any = 0) -> tuple[Tensor, ...]:
        """All slices along `dim`, without it."""
        axis = shaping.normalize_axis("unbind", dim, self.ndim)
        place = (slice(None),) * axis
        return tuple(self[(*place, i)] for i in range(self.array.shape[axis]))

    def narrow(self, dim: Any, start: Any, length: Any) -> Tensor:
        """`length` elements from `start` along `dim`, as a view."""
        place = (slice(None),) * shaping.normalize_axis("narrow", dim, self.ndim)
        return self[(*place, slice(start, start + length))]

    def __getitem__(self, index: Any) -> Tensor:
        return indexing.getitem(self, index)

    def gather(self, dim: Any, index: Tensor) -> Tensor:
        """The elements that `index` names along `dim`."""
        return indexing.gather(self, dim, index)

    def index_select(self, dim: Any, index: Tensor) -> Tensor:
        """The slices that a vector of indices names along `dim`."""
        place = (slice(None),) * shaping.normalize_axis("index_select", dim, self.ndim)
        return self[(*place, index)]
