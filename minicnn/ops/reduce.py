"""Reductions over some or all axes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minicnn import dtypes
from minicnn.autograd import Function, Variable
from minicnn.autograd.function import as_array
from minicnn.kernels import namespace
from minicnn.kernels.errors import DtypeError, ShapeError
from minicnn.ops.elementwise import cast, clone, div, mul, sub
from minicnn.ops.shaping import normalize_axis, reshape

Axes = int | tuple[int, ...] | None


def normalize_axes(op: str, axis: Axes, ndim: int) -> tuple[int, ...]:
    """All axes meant by `axis`, sorted; None and () mean all."""
    if axis is None or axis == ():
        return tuple(range(ndim))
    given = tuple(axis) if isinstance(axis, list | tuple) else (axis,)
    axes = tuple(normalize_axis(op, a, ndim) for a in given)
    if len(set(axes)) != len(axes):
        raise ShapeError(f"{op}: dim {axis} names one dimension twice. Name it once.")
    return tuple(sorted(axes)) if ndim else ()


def _keep(array: Any, axes: tuple[int, ...], shape: tuple[int, ...]) -> Any:
    """A reduced array with its reduced axes put back as size 1."""
    return array.reshape([1 if i in axes else size for i, size in enumerate(shape)])


class SumFunction(Function):
    """Each element counts once, so each gets the sum's gradient."""

    @staticmethod
    def forward(ctx, x, axes, keepdim):
        ctx.shape, ctx.axes = x.shape, axes
        return np.sum(x, axis=axes, keepdims=keepdim)

    @staticmethod
    def backward(ctx, dy):
        return np.broadcast_to(_keep(dy, ctx.axes, ctx.shape), ctx.shape), None, None


def sum(x: Variable, axis: Axes = None, keepdim: bool = False) -> Any:
    """The sum over `axis`; integers and booleans add up in int64."""
    if x.array.dtype.kind in "biu":
        x = cast(x, dtypes.int64)
    return SumFunction.apply(x, normalize_axes("sum", axis, x.array.ndim), keepdim)


class CumsumFunction(Function):
    """y_i = Σ_{j≤i} x_j;  dx_j = Σ_{i≥j} dy_i: the running sum from the other end."""

    @staticmethod
    def forward(ctx, x, axis):
        ctx.axis = axis
        return np.cumsum(x, axis=axis)

    @staticmethod
    def backward(ctx, dy):
        return np.flip(np.cumsum(np.flip(dy, ctx.axis), axis=ctx.axis), ctx.axis), None


def cumsum(x: Variable, axis: int) -> Any:
    """Running sums along one axis; integers and booleans add up in int64."""
    axis = normalize_axis("cumsum", axis, x.array.ndim)
    if x.array.dtype.kind in "biu":
        x = cast(x, dtypes.int64)
    return CumsumFunction.apply(x, axis) if x.array.ndim else clone(x)


def mean(x: Variable, axis: Axes = None, keepdim: bool = False) -> Any:
    """The mean over `axis`, of a floating-point tensor."""
    _require_floating("mean", x)
    axes = normalize_axes("mean", axis, x.array.ndim)
    count = math.prod(x.array.shape[a] for a in axes)
    total = SumFunction.apply(x, axes, keepdim)
    return div(total, count) if count else mul(total, float("nan"))


def _require_floating(op: str, x: Variable) -> None:
    if not dtypes.is_floating(x.array.dtype):
        raise DtypeError(
            f"{op}: needs a floating-point tensor, got {x.array.dtype}. Convert with .float()."
        )


class ProdFunction(Function):
    """d(prod)/dx_i is the product of all the others: by cumulative products, so zeros are exact."""

    @staticmethod
    def forward(ctx, x, axis, keepdim):
        ctx.axis, ctx.keepdim = axis, keepdim
        ctx.save_for_backward(x)
        return np.prod(x, axis=axis, keepdims=keepdim)

    @staticmethod
    def backward(ctx, dy):
        (x,) = ctx.saved_tensors
        x = np.moveaxis(x, ctx.axis, -1)
        ones = namespace(x).ones((*x.shape[:-1], 1), x.dtype)
        size = x.shape[-1]
        before = np.cumprod(np.concatenate([ones, x[..., :-1]], -1)[..., :size], -1)
        after = np.cumprod(np.concatenate([ones, x[..., :0:-1]], -1)[..., :size], -1)[..., ::-1]
        dy = dy if ctx.keepdim else np.expand_dims(dy, ctx.axis)
        return np.moveaxis(before * after, -1, ctx.axis) * dy, None, None


def prod(x: Variable, axis: int | None = None, keepdim: bool = False) -> Any:
    """The product over one axis, or of all elements."""
    if x.array.dtype.kind in "biu":
        x = cast(x, dtypes.int64)
    if axis is None:
        x, axis, keepdim = reshape(x, (-1,)), 0, False
    axis = normalize_axis("prod", axis, x.array.ndim)
    return ProdFunction.apply(x, axis, keepdim) if x.array.ndim else clone(x)


def var(x: Variable, axis: Axes = None, correction: int = 1, keepdim: bool = False) -> Any:
    """The mean squared deviation, Σ(x-mean)²/(n-correction)."""
    _require_floating("var", x)
    axes = normalize_axes("var", axis, x.array.ndim)
    count = math.prod(x.array.shape[a] for a in axes)
    deviation = sub(x, mean(x, axes, keepdim=True))
    total = sum(mul(deviation, deviation), axes, keepdim)
    degrees = max(count - correction, 0)
    return div(total, degrees) if degrees else mul(total, float("nan"))


class NormFunction(Function):
    """√Σx²;  dx = x/norm·dnorm, and 0 where the norm is 0, which has no slope."""

    @staticmethod
    def forward(ctx, x, axes, keepdim):
        y = np.sqrt(np.sum(x * x, axis=axes, keepdims=True))
        ctx.keepdim = keepdim
        ctx.save_for_backward(x, y)
        return y if keepdim else y.squeeze(axes)

    @staticmethod
    def backward(ctx, dy):
        x, y = ctx.saved_tensors
        return np.where(y == 0, x.dtype.type(0), x / y) * dy.reshape(y.shape), None, None


def norm(x: Variable, axis: Axes = None, keepdim: bool = False) -> Any:
    """The Euclidean norm over `axis`, of a floating-point tensor."""
    _require_floating("norm", x)
    return NormFunction.apply(x, normalize_axes("norm", axis, x.array.ndim), keepdim)


class ExtremeFunction(Function):
    """max or min along one axis, with the winner's index: the gradient goes to the winner alone."""

    differentiable = (True, False)

    @staticmethod
    def forward(ctx, x, axis, keepdim, pick):
        index = np.expand_dims(pick(x, axis=axis), axis)
        ctx.shape, ctx.axis, ctx.keepdim = x.shape, axis, keepdim
        ctx.save_for_backward(index)
        value = np.take_along_axis(x, index, axis)
        if not keepdim:
            value, index = value.squeeze(axis), index.squeeze(axis)
        return value, index.astype(np.int64, copy=False)

    @staticmethod
    def backward(ctx, dy, _):
        (index,) = ctx.saved_tensors
        dx = namespace(dy).zeros(ctx.shape, dy.dtype)
        np.put_along_axis(dx, index, dy if ctx.keepdim else np.expand_dims(dy, ctx.axis), ctx.axis)
        return dx, None, None, None


class AmaxFunction(Function):
    """max or min over several axes; equal winners share the gradient evenly."""

    @staticmethod
    def forward(ctx, x, axes, keepdim, pick):
        y = pick(x, axis=axes, keepdims=True)
        ctx.axes = axes
        ctx.save_for_backward(x, y)
        return y if keepdim else y.squeeze(axes)

    @staticmethod
    def backward(ctx, dy):
        x, y = ctx.saved_tensors
        winners = (x == y).astype(dy.dtype)
        share = winners / winners.sum(axis=ctx.axes, keepdims=True)
        return share * dy.reshape(y.shape), None, None, None


def extreme(op: str, x: Variable, axis: int, keepdim: bool) -> tuple[Any, Any]:
    """`op` is "max" or "min": (values, indices) along one axis, the first of equals."""
    axis = normalize_axis(op, axis, x.array.ndim)
    _require_some(op, x, (axis,))
    if x.array.ndim == 0:
        return clone(x), Variable.result_class(namespace(x.array).zeros((), np.int64))
    return ExtremeFunction.apply(x, axis, keepdim, np.argmax if op == "max" else np.argmin)


def amax(op: str, x: Variable, axis: Axes = None, keepdim: bool = False) -> Any:
    """`op` is "max" or "min": the extreme value over any axes."""
    axes = normalize_axes(op, axis, x.array.ndim)
    _require_some(op, x, axes)
    return AmaxFunction.apply(x, axes, keepdim, np.max if op == "max" else np.min)


def _require_some(op: str, x: Variable, axes: tuple[int, ...]) -> None:
    if x.array.ndim and any(x.array.shape[axis] == 0 for axis in axes):
        raise ShapeError(
            f"{op}: the tensor of shape {x.array.shape} has nothing to choose from along "
            f"{'dim ' + str(axes[0]) if len(axes) == 1 else 'dims ' + str(axes)}."
            " Reduce along an axis that has elements."
        )


def arg_extreme(op: str, x: Variable, axis: int | None, keepdim: bool) -> Any:
    """`op` is "argmax" or "argmin": the index of the first extreme, flat where axis is None."""
    _require_some(op, x, normalize_axes(op, axis, x.array.ndim))
    pick = np.argmax if op == "argmax" else np.argmin
    if axis is not None:
        axis = normalize_axis(op, axis, x.array.ndim)
        if x.array.ndim == 0:
            axis = None
    found = as_array(pick(x.array, axis=axis, keepdims=keepdim))
    return Variable.result_class(found.astype(np.int64, copy=False))
