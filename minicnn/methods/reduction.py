"""Tensor's reductions: sums, means, extremes, norms, softmax."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from minicnn.autograd import Variable
from minicnn.autograd.function import as_array
from minicnn.kernels.errors import ArgumentError
from minicnn.ops import elementwise, reduce, softmax

Dims = int | tuple[int, ...] | list[int] | None


if TYPE_CHECKING:
    from minicnn.tensor import Tensor


class Extreme(NamedTuple):
    """What max and min along a dimension return."""

    values: Tensor
    indices: Tensor


def _one_name(dim: Dims, axis: Dims, keepdim: bool, keepdims: bool | None) -> tuple[Any, bool]:
    """PyTorch's dim / keepdim, also under NumPy's names axis / keepdims."""
    if dim is not None and axis is not None:
        raise ArgumentError(
            "give dim or axis, not both: they are two names for one thing. Leave one of them out."
        )
    return (axis if dim is None else dim), bool(keepdim if keepdims is None else keepdims)


class Reduction(Variable):
    """Reductions over all or some dimensions, `dim` also under NumPy's name `axis`."""

    __slots__ = ()

    def sum(
        self,
        dim: Any = None,
        keepdim: bool = False,
        *,
        axis: Dims = None,
        keepdims: bool | None = None,
        dtype: Any = None,
    ) -> Tensor:
        """The sum over all or some dimensions."""
        dim, keepdim = _one_name(dim, axis, keepdim, keepdims)
        return reduce.sum(self if dtype is None else elementwise.cast(self, dtype), dim, keepdim)

    def mean(
        self,
        dim: Any = None,
        keepdim: bool = False,
        *,
        axis: Dims = None,
        keepdims: bool | None = None,
        dtype: Any = None,
    ) -> Tensor:
        """The mean over all or some dimensions."""
        dim, keepdim = _one_name(dim, axis, keepdim, keepdims)
        return reduce.mean(self if dtype is None else elementwise.cast(self, dtype), dim, keepdim)

    def var(
        self,
        dim: Any = None,
        unbiased: bool = True,
        keepdim: bool = False,
        *,
        correction: int | None = None,
        axis: Dims = None,
    ) -> Tensor:
        """The variance; divided by n-1 (`correction=1`) unless told otherwise."""
        dim, keepdim = _one_name(dim, axis, keepdim, None)
        degrees = correction if correction is not None else 1 if unbiased else 0
        return reduce.var(self, dim, degrees, keepdim)

    def std(
        self,
        dim: Any = None,
        unbiased: bool = True,
        keepdim: bool = False,
        *,
        correction: int | None = None,
        axis: Dims = None,
    ) -> Tensor:
        """The standard deviation, the root of the variance."""
        return elementwise.sqrt(self.var(dim, unbiased, keepdim, correction=correction, axis=axis))

    def prod(self, dim: Any = None, keepdim: bool = False) -> Tensor:
        """The product of all elements, or along one dimension."""
        return reduce.prod(self, dim, keepdim)

    def max(self, dim: Any = None, keepdim: bool = False, *, axis: Dims = None) -> Any:
        """The largest element; along `dim`, (values, indices). With a tensor: max of both."""
        return self._extreme("max", dim, keepdim, axis)

    def min(self, dim: Any = None, keepdim: bool = False, *, axis: Dims = None) -> Any:
        """The smallest element; along `dim`, (values, indices). With a tensor: min of both."""
        return self._extreme("min", dim, keepdim, axis)

    def _extreme(self, op: str, dim: Any, keepdim: Any, axis: Any) -> Any:
        if isinstance(dim, Variable):
            return (elementwise.maximum if op == "max" else elementwise.minimum)(self, dim)
        dim, keepdim = _one_name(dim, axis, keepdim, None)
        if dim is None:
            return reduce.amax(op, self)
        return Extreme(*reduce.extreme(op, self, dim, keepdim))

    def amax(self, dim: Any = None, keepdim: bool = False) -> Tensor:
        """The largest value over any dimensions; equal ones share the gradient."""
        return reduce.amax("max", self, dim, keepdim)

    def amin(self, dim: Any = None, keepdim: bool = False) -> Tensor:
        """The smallest value over any dimensions; equal ones share the gradient."""
        return reduce.amax("min", self, dim, keepdim)

    def argmax(self, dim: Any = None, keepdim: bool = False, *, axis: Dims = None) -> Tensor:
        """The index of the largest element, the first of equals."""
        dim, keepdim = _one_name(dim, axis, keepdim, None)
        return reduce.arg_extreme("argmax", self, dim, keepdim)

    def argmin(self, dim: Any = None, keepdim: bool = False, *, axis: Dims = None) -> Tensor:
        """The index of the smallest element, the first of equals."""
        dim, keepdim = _one_name(dim, axis, keepdim, None)
        return reduce.arg_extreme("argmin", self, dim, keepdim)

    def all(self, dim: Any = None, keepdim: bool = False) -> Tensor:
        """Whether all elements are true."""
        return self._truth(np.all, "all", dim, keepdim)

    def any(self, dim: Any = None, keepdim: bool = False) -> Tensor:
        """Whether any element is true."""
        return self._truth(np.any, "any", dim, keepdim)

    def _truth(self, combine: Any, op: str, dim: Any, keepdim: bool) -> Tensor:
        axes = reduce.normalize_axes(op, dim, self.ndim)
        found = as_array(combine(self.array, axis=axes, keepdims=keepdim))
        # As in PyTorch: of bytes the answer is a byte.
        return self._new(found.astype(np.uint8) if self.dtype == np.uint8 else found)

    def norm(self, p: Any = 2, dim: Any = None, keepdim: bool = False) -> Tensor:
        """The p-norm, (Σ|x|^p)^(1/p)."""
        if p == 2:
            return reduce.norm(self, dim, keepdim)
        if p == math.inf:
            return elementwise.abs(self).amax(dim, keepdim)
        return (elementwise.abs(self) ** p).sum(dim, keepdim) ** (1 / p)

    def softmax(self, dim: Any) -> Tensor:
        """exp(x)/Σexp(x) along `dim`."""
        return softmax.softmax(self, dim)

    def log_softmax(self, dim: Any) -> Tensor:
        """The logarithm of softmax along `dim`."""
        return softmax.log_softmax(self, dim)

    def cumsum(self, dim: Any) -> Tensor:
        """Running sums along `dim`."""
        return reduce.cumsum(self, dim)
