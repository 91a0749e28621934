"""Indexing: x[...], gather, and their gradients, which scatter back to where elements came from."""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn.autograd import Function, Variable
from minicnn.kernels.errors import DtypeError, OutOfRangeError, ShapeError
from minicnn.ops.elementwise import unbroadcast
from minicnn.ops.shaping import normalize_axis, reshape


def _raw(index: Any) -> Any:
    """An index with Tensors replaced by their arrays, checked for what NumPy would misread."""
    if isinstance(index, tuple):
        return tuple(_raw(part) for part in index)
    if isinstance(index, Variable):
        index = index.array
    if isinstance(index, list):
        index = np.asarray(index, dtype=np.int64 if not index else None)
    if isinstance(index, np.ndarray) and index.dtype.kind == "f":
        raise DtypeError(
            f"index: indices must be integers or booleans, got {index.dtype}. Convert with .long()."
        )
    if isinstance(index, np.ndarray) and index.ndim == 0 and index.dtype.kind in "iu":
        return int(index)
    return index


def _split(index: Any, x: Variable) -> tuple[Any, Any]:
    """(basic, advanced): x[index] is x[basic], a view, and then [advanced] of that, a copy.

    Basic are integers, slices, None and `...`; advanced is None without index arrays or masks. The
    order is PyTorch's: NumPy takes an integer beside an index array for one more index array, and
    puts the result's axes elsewhere.
    """
    parts = index if isinstance(index, tuple) else (index,)
    if not any(_is_array(p) for p in parts):
        # The final ... makes NumPy answer with a view even for a single element.
        return parts if any(p is Ellipsis for p in parts) else (*parts, Ellipsis), None
    used = sum(_axes_used(p) for p in parts)
    basic: list[Any] = []
    advanced: list[Any] = []
    for part in parts:
        if part is Ellipsis:
            rest = [slice(None)] * (x.array.ndim - used)
            basic += rest
            advanced += rest
        elif _is_array(part):
            basic += [slice(None)] * _axes_used(part)
            advanced.append(part)
        else:
            basic.append(part)
            if part is None or isinstance(part, slice):
                advanced.append(slice(None))
    return (*basic, Ellipsis), tuple(advanced)


def _is_array(part: Any) -> bool:
    """Whether `part` chooses element by element; True and False alone are masks of no axes."""
    return isinstance(part, np.ndarray | bool | np.bool_)


def _axes_used(part: Any) -> int:
    if part is None or part is Ellipsis or isinstance(part, bool | np.bool_):
        return 0
    return part.ndim if isinstance(part, np.ndarray) and part.dtype == bool else 1


class SliceFunction(Function):
    """x[index] with integers and slices: a view."""

    is_view = True

    @staticmethod
    def forward(ctx, x, index):
        ctx.shape, ctx.index = x.shape, index
        return x[index]

    @staticmethod
    def backward(ctx, dy):
        dx = np.zeros(ctx.shape, dy.dtype)
        dx[ctx.index] = dy
        return dx, None


class TakeFunction(Function):
    """x[index] with index arrays or masks: a copy; an element taken twice gets both gradients."""

    @staticmethod
    def forward(ctx, x, index):
        ctx.shape = x.shape
        ctx.index = _copied(index) if ctx.needs_input_grad[0] else None
        return x[index]

    @staticmethod
    def backward(ctx, dy):
        dx = np.zeros(ctx.shape, dy.dtype)
        np.add.at(dx, ctx.index, dy)
        return dx, None


def _copied(index: Any) -> Any:
    """The index with arrays of its own: the user may change theirs before backward."""
    if index is None:
        return None
    return tuple(p.copy() if isinstance(p, np.ndarray) else p for p in index)


def getitem(x: Variable, index: Any) -> Any:
    """x[index] as in PyTorch: views for integers and slices, copies for index arrays and masks."""
    basic, advanced = _split(_raw(index), x)
    try:
        if advanced is None:
            return SliceFunction.apply(x, basic)
        if any(p is not Ellipsis and p != slice(None) for p in basic):
            x = SliceFunction.apply(x, basic)
        return TakeFunction.apply(x, advanced)
    except IndexError as error:
        raise _index_error(x, error) from None


def _index_error(x: Variable, error: IndexError) -> OutOfRangeError:
    return OutOfRangeError(
        f"index: {error} (the tensor has shape {x.array.shape}). Check the index against the shape."
    )


class SetItemFunction(Function):
    """A copy of x in which x[index] = value: what was there gets no gradient, the value gets it."""

    @staticmethod
    def forward(ctx, x, value, basic, advanced):
        ctx.basic, ctx.advanced = basic, _copied(advanced)
        ctx.value_shape = np.shape(value)
        y = x.copy()
        _put(y, basic, advanced, value)
        return y

    @staticmethod
    def backward(ctx, dy):
        dx = dvalue = None
        if ctx.needs_input_grad[0]:
            dx = dy.copy()
            _put(dx, ctx.basic, ctx.advanced, 0)
        if ctx.needs_input_grad[1]:
            chosen = dy[ctx.basic]
            chosen = chosen if ctx.advanced is None else chosen[ctx.advanced]
            dvalue = unbroadcast(chosen, ctx.value_shape)
        return dx, dvalue, None, None


def _put(array: Any, basic: Any, advanced: Any, value: Any) -> None:
    if advanced is None:
        array[basic] = value
    else:
        array[basic][advanced] = value


def setitem(x: Variable, index: Any, value: Any) -> Any:
    """The tensor that `x[index] = value` leaves behind, as a new one."""
    if not isinstance(value, Variable):
        value = Variable.result_class(np.asarray(value, x.array.dtype))
    basic, advanced = _split(_raw(index), x)
    try:
        chosen = x.array[basic] if advanced is None else x.array[basic][advanced]
        # A value may have further leading axes of size 1.
        extra = value.array.ndim - np.ndim(chosen)
        if extra > 0 and set(value.array.shape[:extra]) == {1}:
            value = reshape(value, value.array.shape[extra:])
        return SetItemFunction.apply(x, value, basic, advanced)
    except IndexError as error:
        raise _index_error(x, error) from None
    except ValueError as error:
        raise ShapeError(f"index: {error}. Check the index against the shape.") from None


def assign(x: Variable, index: Any, value: Any) -> None:
    """x[index] = value in x's own memory, off the tape."""
    basic, advanced = _split(_raw(index), x)
    try:
        _put(x.array, basic, advanced, value.array if isinstance(value, Variable) else value)
    except IndexError as error:
        raise _index_error(x, error) from None
    except ValueError as error:
        raise ShapeError(f"index: {error}. Check the index against the shape.") from None
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
        raise DtypeError(
            f"gather: the index must be int64, got {array.dtype}. Convert with .long()."
        )
    if array.ndim != x.array.ndim:
        raise ShapeError(
            f"gather: index shape {array.shape} and tensor shape {x.array.shape} differ in rank."
            " Reshape the index."
        )
    if array.size and (array.min() < 0 or array.max() >= x.array.shape[axis]):
        raise OutOfRangeError(
            f"gather: indices {array.min()}..{array.max()} leave the range "
            f"0..{x.array.shape[axis] - 1} of dim {axis}."
            " Correct the indices."
        )
    return GatherFunction.apply(x, index, axis)
