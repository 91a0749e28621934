"""Indexing: x[...], gather, and their gradients, which scatter back to where elements came from."""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn.autograd import Function, Variable
from minicnn.kernels.errors import DtypeError, OutOfRangeError, ShapeError
from minicnn.ops.shaping import normalize_axis


def _raw(index: Any) -> Any:
    """An index with Tensors replaced by their arrays, checked for what NumPy would misread."""
    if isinstance(index, tuple):
        return tuple(_raw(part) for part in index)
    if isinstance(index, Variable):
        index = index.array
    if isinstance(index, list):
        index = np.asarray(index, dtype=np.int64 if not index else None)
    if isinstance(index, np.ndarray) and index.dtype.kind == "f":
        raise DtypeError(f"index: indices must be integers or booleans, got {index.dtype}")
    if isinstance(index, np.ndarray) and index.ndim == 0 and index.dtype.kind in "iu":
        return int(index)
    return index


def _is_basic(index: Any) -> bool:
    """Whether NumPy answers with a view: integers, slices, None and ... only."""
    parts = index if isinstance(index, tuple) else (index,)
    return all(
        p is None
        or p is Ellipsis
        or (isinstance(p, slice | int | np.integer) and not isinstance(p, bool))
        for p in parts
    )


class SliceFunction(Function):
    """x[index] with integers and slices: a view."""

    is_view = True

    @staticmethod
    def forward(ctx, x, index):
        ctx.shape, ctx.index = x.shape, index
        return x[index] if isinstance(index, tuple) and Ellipsis in index else x[_ending(index)]

    @staticmethod
    def backward(ctx, dy):
        dx = np.zeros(ctx.shape, dy.dtype)
        dx[ctx.index] = dy
        return dx, None


def _ending(index: Any) -> Any:
    """`index` with a final ..., so that NumPy answers with a view even for a single element."""
    return (*index, Ellipsis) if isinstance(index, tuple) else (index, Ellipsis)


class TakeFunction(Function):
    """x[index] with index arrays or masks: a copy; an element taken twice gets both gradients."""

    @staticmethod
    def forward(ctx, x, index):
        ctx.shape, ctx.index = x.shape, index
        return x[index]

    @staticmethod
    def backward(ctx, dy):
        dx = np.zeros(ctx.shape, dy.dtype)
        np.add.at(dx, ctx.index, dy)
        return dx, None


def getitem(x: Variable, index: Any) -> Any:
    """x[index]: a view for integers and slices, a copy for index arrays and masks."""
    raw = _raw(index)
    basic = _is_basic(raw)
    if basic and isinstance(raw, tuple) and any(p is Ellipsis for p in raw):
        raw = tuple(raw)
    try:
        return (SliceFunction if basic else TakeFunction).apply(x, raw)
    except IndexError as error:
        raise _index_error(x, error) from None


def _index_error(x: Variable, error: IndexError) -> OutOfRangeError:
    return OutOfRangeError(f"index: {error} (the tensor has shape {x.array.shape})")


class SetItemFunction(Function):
    """A copy of x in which x[index] = value: the gradient of those elements goes to the value."""

    @staticmethod
    def forward(ctx, x, value, index):
        ctx.index = index
        ctx.value_shape = np.shape(value)
        y = x.copy()
        y[index] = value
        return y

    @staticmethod
    def backward(ctx, dy):
        from minicnn.ops.elementwise import unbroadcast

        dx = dvalue = None
        if ctx.needs_input_grad[0]:
            dx = dy.copy()
            dx[ctx.index] = 0
        if ctx.needs_input_grad[1]:
            dvalue = unbroadcast(dy[ctx.index], ctx.value_shape)
        return dx, dvalue, None


def setitem(x: Variable, index: Any, value: Any) -> Any:
    """The tensor that `x[index] = value` leaves behind, as a new one."""
    raw = _raw(index)
    if not isinstance(value, Variable):
        value = np.asarray(value, x.array.dtype)
    try:
        return SetItemFunction.apply(x, value, raw)
    except IndexError as error:
        raise _index_error(x, error) from None
    except ValueError as error:
        raise ShapeError(f"index: {error}") from None


def assign(x: Variable, index: Any, value: Any) -> None:
    """x[index] = value in x's own memory, off the tape."""
    try:
        x.array[_raw(index)] = value.array if isinstance(value, Variable) else value
    except IndexError as error:
        raise _index_error(x, error) from None
    except ValueError as error:
        raise ShapeError(f"index: {error}") from None
    x._version.n += 1


class GatherFunction(Function):
    """y[i][j] = x[index[i][j]][j] along axis 0, and likewise along the others."""

    @staticmethod
    def forward(ctx, x, index, axis):
        ctx.shape, ctx.axis = x.shape, axis
        ctx.save_for_backward(index)
        return x[_grid(index, axis)]

    @staticmethod
    def backward(ctx, dy):
        (index,) = ctx.saved_tensors
        dx = np.zeros(ctx.shape, dy.dtype)
        np.add.at(dx, _grid(index, ctx.axis), dy)
        return dx, None, None


def _grid(index: Any, axis: int) -> tuple[Any, ...]:
    grid = list(np.ogrid[tuple(slice(n) for n in index.shape)])
    grid[axis] = index
    return tuple(grid)


def gather(x: Variable, axis: int, index: Variable) -> Any:
    """The elements of `x` that `index` names along `axis`; `index` has the result's shape."""
    axis = normalize_axis("gather", axis, x.array.ndim)
    array = index.array
    if array.dtype != np.int64:
        raise DtypeError(f"gather: the index must be int64, got {array.dtype}")
    if array.ndim != x.array.ndim:
        raise ShapeError(
            f"gather: index shape {array.shape} and tensor shape {x.array.shape} differ in rank"
        )
    if array.size and (array.min() < 0 or array.max() >= x.array.shape[axis]):
        raise OutOfRangeError(
            f"gather: indices {array.min()}..{array.max()} leave the range "
            f"0..{x.array.shape[axis] - 1} of dim {axis}"
        )
    return GatherFunction.apply(x, index, axis)
