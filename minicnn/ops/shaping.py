"""Operations that move elements without changing them: views where the strides allow."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from minicnn import dtypes
from minicnn.autograd import Function, Variable
from minicnn.kernels import namespace, on_gpu
from minicnn.kernels.errors import ArgumentError, DtypeError, ShapeError
from minicnn.ops.elementwise import cast, require_tensor


def normalize_axis(op: str, axis: int, ndim: int) -> int:
    """`axis` counted from the front; negative ones count from the back."""
    many = getattr(axis, "ndim", 0)  # an array of several numbers has an __index__, too
    if isinstance(axis, bool) or many or not hasattr(axis, "__index__"):
        raise ArgumentError(f"{op}: dim must be an integer, got {axis!r}. Use dim=-1 for the last.")
    if not -max(ndim, 1) <= axis < max(ndim, 1):
        raise ShapeError(
            f"{op}: dim {axis} is out of range for a tensor of {ndim} dimensions. "
            f"Use {-max(ndim, 1)} to {max(ndim, 1) - 1}."
        )
    return axis % max(ndim, 1)


def _resolve(op: str, shape: Sequence[int], size: int, had: tuple[int, ...]) -> tuple[int, ...]:
    """`shape` with its one -1 worked out, checked against the number of elements."""
    wanted = tuple(int(n) for n in shape)
    unknown = wanted.count(-1)
    known = math.prod(n for n in wanted if n != -1)
    if unknown > 1 or any(n < -1 for n in wanted):
        raise ShapeError(f"{op}: {wanted} is not a shape. Sizes are >= 0, with at most one -1.")
    if unknown and (known == 0 or size % known):
        raise ShapeError(
            f"{op}: cannot fill {wanted} from shape {had}: {size} elements / {known}."
            " Choose sizes whose product divides the number of elements."
        )
    if unknown:
        wanted = tuple(size // known if n == -1 else n for n in wanted)
    elif known != size:
        raise ShapeError(
            f"{op}: shape {had} has {size} elements, {wanted} needs {known}."
            " Choose sizes with that product; -1 stands for one that is computed."
        )
    return wanted


class ReshapeFunction(Function):
    """The same elements in the same order under another shape."""

    is_view = True

    @staticmethod
    def forward(ctx, x, shape):
        ctx.shape = x.shape
        return x.reshape(shape)

    @staticmethod
    def backward(ctx, dy):
        return dy.reshape(ctx.shape), None


class ReshapeCopyFunction(ReshapeFunction):
    """A reshape whose strides allow no view: its output has memory of its own."""

    is_view = False


def view(x: Variable, shape: Sequence[int]) -> Any:
    """`x` under another shape, sharing memory; an error where its strides do not allow that."""
    shape = _resolve("view", shape, x.array.size, x.array.shape)
    if not _viewable(x.array, shape):
        raise ShapeError(
            f"view: a tensor of shape {x.array.shape} with strides {element_strides(x.array)} "
            f"cannot be seen as {shape} without a copy. Use .reshape(...)."
        )
    return ReshapeFunction.apply(x, shape)


def reshape(x: Variable, shape: Sequence[int]) -> Any:
    """`x` under another shape: a view where the strides allow one, else a copy."""
    shape = _resolve("reshape", shape, x.array.size, x.array.shape)
    function = ReshapeFunction if _viewable(x.array, shape) else ReshapeCopyFunction
    return function.apply(x, shape)


def element_strides(array: Any) -> tuple[int, ...]:
    """Strides counted in elements, as PyTorch counts them."""
    return tuple(stride // array.itemsize for stride in array.strides)


def _viewable(array: Any, shape: tuple[int, ...]) -> bool:
    if array.flags.c_contiguous or array.size == 0:
        return True
    if on_gpu(array):  # CuPy knows no copy=False: NumPy is asked, of memory that is never touched
        array = as_strided(np.empty(1, array.dtype), array.shape, array.strides)
    try:
        array.view().reshape(shape, copy=False)
    except (ValueError, TypeError):
        return False
    return True


def writeable(array: Any) -> bool:
    """Whether elements may be changed in place: not those that an expanded array shares."""
    if on_gpu(array):  # CuPy has no such flag
        return all(step or n < 2 for n, step in zip(array.shape, array.strides, strict=True))
    return array.flags.writeable


class TransposeFunction(Function):
    """Axes in another order; backward puts them back."""

    is_view = True

    @staticmethod
    def forward(ctx, x, order):
        ctx.order = order
        return x.transpose(order)

    @staticmethod
    def backward(ctx, dy):
        return dy.transpose([ctx.order.index(axis) for axis in range(dy.ndim)]), None


def permute(x: Variable, order: Sequence[int]) -> Any:
    """Axes in the given order, as a view."""
    ndim = x.array.ndim
    axes = tuple(normalize_axis("permute", a, ndim) for a in order)
    if sorted(axes) != list(range(ndim)):
        raise ShapeError(
            f"permute: {tuple(order)} is not an order of the {ndim} dimensions."
            " Name each dimension once."
        )
    return TransposeFunction.apply(x, axes)


def transpose(x: Variable, axis0: int, axis1: int) -> Any:
    """Two axes swapped, as a view."""
    order = list(range(x.array.ndim))
    a = normalize_axis("transpose", axis0, len(order))
    b = normalize_axis("transpose", axis1, len(order))
    if not order:
        return permute(x, ())
    order[a], order[b] = order[b], order[a]
    return TransposeFunction.apply(x, tuple(order))


def squeeze(x: Variable, axis: int | Sequence[int] | None = None) -> Any:
    """Without the axes of size 1 (all, or those named)."""
    shape = x.array.shape
    if axis is None:
        named = set(range(len(shape)))
    else:
        given = (axis,) if isinstance(axis, int) else axis
        named = {normalize_axis("squeeze", a, len(shape)) for a in given}
    kept = tuple(n for i, n in enumerate(shape) if not (i in named and n == 1))
    return _strided_view(x, kept)


def unsqueeze(x: Variable, axis: int) -> Any:
    """With a new axis of size 1 at `axis`."""
    shape = list(x.array.shape)
    shape.insert(normalize_axis("unsqueeze", axis, len(shape) + 1), 1)
    return _strided_view(x, tuple(shape))


def _strided_view(x: Variable, shape: tuple[int, ...]) -> Any:
    """A reshape that only adds or drops axes of size 1: always a view."""
    return ReshapeFunction.apply(x, shape)


class ExpandFunction(Function):
    """Axes of size 1 repeated without copying; backward sums the repeats."""

    is_view = True

    @staticmethod
    def forward(ctx, x, shape):
        ctx.shape = x.shape
        return np.broadcast_to(x, shape)

    @staticmethod
    def backward(ctx, dy):
        extra = dy.ndim - len(ctx.shape)
        axes = tuple(range(extra)) + tuple(
            extra + i for i, n in enumerate(ctx.shape) if n == 1 and dy.shape[extra + i] != 1
        )
        return dy.sum(axis=axes, keepdims=True).reshape(ctx.shape), None


def expand(x: Variable, shape: Sequence[int]) -> Any:
    """`x` repeated along axes of size 1 (and new leading ones) without copying; -1 keeps a size."""
    had = x.array.shape
    extra = len(shape) - len(had)
    wanted = tuple(
        had[i - extra] if n == -1 and i >= extra else int(n) for i, n in enumerate(shape)
    )
    fits = extra >= 0 and all(a in (1, b) for a, b in zip(had, wanted[extra:], strict=True))
    if not fits or any(n < 0 for n in wanted):
        raise ShapeError(
            f"expand: shape {had} cannot become {tuple(shape)}. Only sizes of 1 can grow."
        )
    return ExpandFunction.apply(x, wanted)


def c_order(array: Any) -> Any:
    """`array` if C-contiguous, else a copy. (np.ascontiguousarray would add an axis to ().)"""
    return array if array.flags.c_contiguous else namespace(array).ascontiguousarray(array)


class ContiguousFunction(Function):
    """A C-contiguous copy."""

    @staticmethod
    def forward(ctx, x):
        return c_order(x)

    @staticmethod
    def backward(ctx, dy):
        return dy


def contiguous(x: Variable) -> Any:
    """`x` in C order: itself if it is already, else a copy."""
    return x if x.array.flags.c_contiguous else ContiguousFunction.apply(x)


class CatFunction(Function):
    """Arrays joined along an axis; backward cuts the gradient at the joints."""

    @staticmethod
    def forward(ctx, *arrays, axis):
        ctx.axis = axis
        ctx.ends = [*accumulate(a.shape[axis] for a in arrays)][:-1]
        return np.concatenate(arrays, axis=axis)

    @staticmethod
    def backward(ctx, dy):
        return tuple(np.split(dy, ctx.ends, axis=ctx.axis))


def _sequence(op: str, tensors: Sequence[Variable]) -> list[Variable]:
    if not hasattr(tensors, "__iter__"):
        raise DtypeError(
            f"{op}: expected a list of Tensors, got {type(tensors).__name__}. Use [a, b]."
        )
    found = list(tensors)
    if not found:
        raise ShapeError(
            f"{op}: expected at least one tensor, got none. Give it a list of tensors."
        )
    for x in found:
        require_tensor(op, x)
    return found


def cat(tensors: Sequence[Variable], axis: int = 0) -> Any:
    """Tensors joined along an existing axis; all other sizes must agree."""
    found = _sequence("cat", tensors)
    dtype = dtypes.result_type(*(x.array for x in found))
    # As in PyTorch an empty vector joins anything: what a loop starts to collect with.
    others = [x for x in found if x.array.shape != (0,)]
    if others and others[0].array.ndim:
        full = list(others[0].array.shape)
        full[normalize_axis("cat", axis, len(full))] = 0
        found = [reshape(x, tuple(full)) if x.array.shape == (0,) else x for x in found]
    ndim = found[0].array.ndim
    axis = normalize_axis("cat", axis, ndim)
    shapes = [x.array.shape for x in found]
    if ndim == 0:
        raise ShapeError("cat: tensors without dimensions cannot be joined. Use stack.")
    rest = [s[:axis] + s[axis + 1 :] for s in shapes]
    if any(len(s) != ndim or r != rest[0] for s, r in zip(shapes, rest, strict=True)):
        listed = ", ".join(str(s) for s in shapes)
        raise ShapeError(
            f"cat: shapes {listed} must agree in all dimensions but {axis}."
            " Reshape them, or use another dim."
        )
    return CatFunction.apply(*(cast(x, dtype) for x in found), axis=axis)


def stack(tensors: Sequence[Variable], axis: int = 0) -> Any:
    """Tensors of one shape, joined along a new axis."""
    found = _sequence("stack", tensors)
    shapes = {x.array.shape for x in found}
    if len(shapes) > 1:
        listed = ", ".join(str(s) for s in sorted(shapes))
        raise ShapeError(
            f"stack: all tensors must have one shape, got {listed}."
            " Use cat for tensors of different sizes along one dim."
        )
    axis = normalize_axis("stack", axis, found[0].array.ndim + 1)
    return cat([unsqueeze(x, axis) for x in found], axis)


class FlipFunction(Function):
    """Elements in reverse order along some axes; backward reverses again."""

    @staticmethod
    def forward(ctx, x, axes):
        ctx.axes = axes
        return c_order(np.flip(x, axes))

    @staticmethod
    def backward(ctx, dy):
        return np.flip(dy, ctx.axes), None


def flip(x: Variable, axes: Sequence[int]) -> Any:
    """`x` mirrored along the given axes, as a copy."""
    return FlipFunction.apply(x, tuple(normalize_axis("flip", a, x.array.ndim) for a in axes))


class RepeatFunction(Function):
    """The array tiled; backward sums the tiles."""

    @staticmethod
    def forward(ctx, x, repeats):
        ctx.shape = (1,) * (len(repeats) - x.ndim) + x.shape
        ctx.original, ctx.repeats = x.shape, repeats
        return np.tile(x, repeats)

    @staticmethod
    def backward(ctx, dy):
        tiles = [n for pair in zip(ctx.repeats, ctx.shape, strict=True) for n in pair]
        return dy.reshape(tiles).sum(axis=tuple(range(0, len(tiles), 2))).reshape(
            ctx.original
        ), None


def repeat(x: Variable, repeats: Sequence[int]) -> Any:
    """`x` tiled `repeats[i]` times along each axis; extra leading counts add axes."""
    counts = tuple(int(n) for n in repeats)
    if len(counts) < x.array.ndim or any(n < 0 for n in counts):
        raise ShapeError(
            f"repeat: {counts} must give a count >= 0 for each of {x.array.ndim} dimensions."
            " Add counts of 1 in front for the other dimensions."
        )
    return RepeatFunction.apply(x, counts)
