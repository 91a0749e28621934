"""Indexing: x[...], gather, and their gradients, which scatter back to where elements came from."""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn.autograd import Function, Variable
from minicnn.device import beside, common_device, computing_on, device_of, host
from minicnn.kernels import namespace, on_gpu
from minicnn.kernels.errors import DtypeError, OutOfRangeError, ShapeError
from minicnn.ops.elementwise import move, unbroadcast
from minicnn.ops.shaping import normalize_axis, reshape


def _raw(index: Any, x: Variable) -> Any:
    """An index with Tensors replaced by arrays beside x, checked for what NumPy would misread."""
    if isinstance(index, tuple):
        return tuple(_raw(part, x) for part in index)
    if isinstance(index, Variable):
        index = index.array
    if isinstance(index, list):
        index = np.asarray(index, dtype=np.int64 if not index else None)
    if not isinstance(index, np.ndarray) and not on_gpu(index):
        return index
    if index.dtype.kind == "f":
        raise DtypeError(
            f"index: indices must be integers or booleans, got {index.dtype}. Convert with .long()."
        )
    if index.ndim == 0 and index.dtype.kind in "iu":
        return int(index)
    if on_gpu(index):  # as in PyTorch an index may stay on the CPU, but not lie on another GPU
        common_device("index", tensor=x.array, index=index)
    return beside(index, x.array)


def _require_inside(advanced: Any, shape: tuple[int, ...]) -> None:
    """Raise as NumPy would: CuPy reads, and writes, another element instead."""
    axis = 0
    for part in advanced:
        if on_gpu(part) and part.dtype.kind in "iu" and part.size:
            size, low, high = shape[axis], int(part.min()), int(part.max())
            if low < -size or high >= size:
                wrong = high if high >= size else low
                raise IndexError(f"index {wrong} is out of bounds for axis {axis} with size {size}")
        axis += _axes_used(part)


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
    return isinstance(part, np.ndarray | bool | np.bool_) or on_gpu(part)


def _axes_used(part: Any) -> int:
    if part is None or part is Ellipsis or isinstance(part, bool | np.bool_):
        return 0
    return part.ndim if _is_array(part) and part.dtype == np.bool_ else 1


class SliceFunction(Function):
    """x[index] with integers and slices: a view."""

    is_view = True

    @staticmethod
    def forward(ctx, x, index):
        ctx.shape, ctx.index = x.shape, index
        return x[index]

    @staticmethod
    def backward(ctx, dy):
        dx = namespace(dy).zeros(ctx.shape, dy.dtype)
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
        return _scattered(dy, ctx.index, ctx.shape), None


def _scattered(dy: Any, index: Any, shape: tuple[int, ...]) -> Any:
    """Zeros of `shape` plus dy at `index`; on the CPU, for a GPU's order, and bits, would vary."""
    dx = np.zeros(shape, dy.dtype)
    np.add.at(dx, tuple(host(part) for part in index), host(dy))
    return beside(dx, dy)


def _copied(index: Any) -> Any:
    """The index with arrays of its own: the user may change theirs before backward."""
    if index is None:
        return None
    return tuple(p.copy() if hasattr(p, "copy") else p for p in index)


def getitem(x: Variable, index: Any) -> Any:
    """x[index] as in PyTorch: views for integers and slices, copies for index arrays and masks."""
    try:
        basic, advanced = _split(_raw(index, x), x)
        if advanced is None:
            return SliceFunction.apply(x, basic)
        if any(p is not Ellipsis and p != slice(None) for p in basic):
            x = SliceFunction.apply(x, basic)
        with computing_on(x.array):
            _require_inside(advanced, x.array.shape)
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
        view = array[basic]
        _require_inside(advanced, view.shape)
        view[advanced] = value


def setitem(x: Variable, index: Any, value: Any) -> Any:
    """The tensor that `x[index] = value` leaves behind, as a new one."""
    if not isinstance(value, Variable):
        value = Variable.result_class(beside(np.asarray(value, x.array.dtype), x.array))
    value = move(value, device_of(x.array))
    try:
        basic, advanced = _split(_raw(index, x), x)
        with computing_on(x.array):
            chosen = x.array[basic] if advanced is None else x.array[basic][advanced]
        # A value may have further leading axes of size 1.
        extra = value.array.ndim - chosen.ndim
        if extra > 0 and set(value.array.shape[:extra]) == {1}:
            value = reshape(value, value.array.shape[extra:])
        return SetItemFunction.apply(x, value, basic, advanced)
    except IndexError as error:
        raise _index_error(x, error) from None
    except ValueError as error:
        raise ShapeError(f"index: {error}. Check the index against the shape.") from None


def assign(x: Variable, index: Any, value: Any) -> None:
    """x[index] = value in x's own memory, off the tape."""
    value = value.array if isinstance(value, Variable) else value
    if isinstance(value, np.ndarray) or on_gpu(value):
        value = beside(value, x.array)
    try:
        basic, advanced = _split(_raw(index, x), x)
        with computing_on(x.array):
            _put(x.array, basic, advanced, value)
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
        return _scattered(dy, _grid(index, ctx.axis), ctx.shape), None, None


def _grid(index: Any, axis: int) -> tuple[Any, ...]:
    grid = list(namespace(index).ogrid[tuple(slice(n) for n in index.shape)])
    grid[axis] = index
    return tuple(grid)


def gather(x: Variable, axis: int, index: Variable) -> Any:
    """The elements of `x` that `index` names along `axis`; `index` has the result's shape."""
    axis = normalize_axis("gather", axis, x.array.ndim)
    array = index.array
    common_device("gather", input=x.array, index=array)
    if array.dtype != np.int64:
        raise DtypeError(
            f"gather: the index must be int64, got {array.dtype}. Convert with .long()."
        )
    if array.ndim != x.array.ndim:
        raise ShapeError(
            f"gather: index shape {array.shape} and tensor shape {x.array.shape} differ in rank."
            " Reshape the index."
        )
    with computing_on(array):
        low, high = (int(array.min()), int(array.max())) if array.size else (0, -1)
    if low < 0 or high >= x.array.shape[axis]:
        raise OutOfRangeError(
            f"gather: indices {low}..{high} leave the range "
            f"0..{x.array.shape[axis] - 1} of dim {axis}."
            " Correct the indices."
        )
    return GatherFunction.apply(x, index, axis)
