"""Adaptive pooling: the output's size is given, and the windows follow from it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from minicnn import dtypes
from minicnn.autograd import Function, Variable
from minicnn.kernels import shapes
from minicnn.kernels.errors import ArgumentError
from minicnn.kernels.shapes import flag, integers
from minicnn.kernels.shapes.parts import check_image
from minicnn.ops.batching import on_images
from minicnn.ops.elementwise import cast, require_float
from minicnn.ops.pool import MaxPool2dFunction, rows_as_images
from minicnn.ops.shaping import c_order, squeeze

OutputSize = int | Sequence[int | None]


class AdaptiveAvgPool2dFunction(Function):
    """The mean of each window; each of its pixels gets an equal share of the gradient."""

    fresh_gradients = True

    @staticmethod
    def forward(ctx, x, output_size):
        ctx.shape = x.shape
        return ctx.backend.adaptive_avg_pool2d(c_order(x), output_size)

    @staticmethod
    def backward(ctx, dy):
        dy = c_order(dy)
        return ctx.backend.adaptive_avg_pool2d_grad(dy, ctx.shape), None


class AdaptiveMaxPool2dFunction(MaxPool2dFunction):
    """The maximum of each window and its place; the gradient goes back to that place alone."""

    @staticmethod
    def forward(ctx, x, output_size):
        x = c_order(x)
        y, indices = ctx.backend.adaptive_max_pool2d(x, output_size)
        ctx.shape = x.shape
        ctx.save_for_backward(indices)
        return y, indices


def _adaptive_pool(
    op: str, function: type[Function], axes: int, input: Variable, output_size: OutputSize
) -> Any:
    require_float(op, input)
    shape = input.array.shape
    check_image(shape, axes, op)
    if isinstance(output_size, (tuple, list)):
        if len(output_size) != axes:
            remedy = {1: "output_size=6", 2: "output_size=6 or output_size=(6, None)"}[axes]
            raise ArgumentError(
                f"{op}: output_size must be an integer or {axes} of them, got {output_size!r}. "
                f"Use {remedy}."
            )
        if axes == 2:
            own = zip(output_size, shape[-2:], strict=True)
            output_size = tuple(n if size is None else size for size, n in own)
    sizes = integers(output_size, axes, "output_size", op=op)
    shapes.check_adaptive_pool(shape, sizes, op=op)
    (image,) = rows_as_images([sizes], [1])
    return on_images(lambda x: function.apply(x, image), input, axes)


def _adaptive_max_pool(
    axes: int, input: Variable, output_size: OutputSize, return_indices: bool
) -> Any:
    op = f"adaptive_max_pool{axes}d"
    y, indices = _adaptive_pool(op, AdaptiveMaxPool2dFunction, axes, input, output_size)
    return (y, cast(indices, dtypes.int64)) if return_indices else y


def adaptive_avg_pool1d(input: Variable, output_size: OutputSize) -> Any:
    """`adaptive_avg_pool2d` of rows: input (N, C, L) or (C, L) gives (N, C, Q) or (C, Q)."""
    return _adaptive_pool("adaptive_avg_pool1d", AdaptiveAvgPool2dFunction, 1, input, output_size)


def adaptive_avg_pool2d(input: Variable, output_size: OutputSize) -> Any:
    """The means of P by Q windows that share the image out, whatever its size.

    Row window p of P is [⌊p·H/P⌋, ⌈(p+1)·H/P⌉), likewise the columns: they cover the image, and
    neighbours overlap where P does not divide H.

    Args:
        input: (N, C, H, W) or (C, H, W), float32 or float64.
        output_size: an integer for both axes, or (P, Q), where None is the input's own size.

    Returns:
        (N, C, P, Q) or (C, P, Q).

    Raises:
        ShapeError, ArgumentError: an input that is no image, an output size that is no size.
        DtypeError: an input that is not float32 or float64.
    """
    return _adaptive_pool("adaptive_avg_pool2d", AdaptiveAvgPool2dFunction, 2, input, output_size)


def adaptive_max_pool1d(
    input: Variable, output_size: OutputSize, return_indices: bool = False
) -> Any:
    """`adaptive_max_pool2d` of rows: input (N, C, L) or (C, L); places are along the row."""
    return _adaptive_max_pool(1, input, output_size, return_indices)


def adaptive_max_pool2d(
    input: Variable, output_size: OutputSize, return_indices: bool = False
) -> Any:
    """The maxima of the windows of `adaptive_avg_pool2d`; a NaN is larger than all.

    Args, result and errors are the same; with `return_indices` the result is a pair with the
    winners' places (h·W + w), int64; the first of equals wins.
    """
    return _adaptive_max_pool(2, input, output_size, return_indices)


def global_avg_pool2d(input: Variable, keepdims: bool = True) -> Any:
    """The mean of each channel: (N, C, H, W) → (N, C, 1, 1), or (N, C) without `keepdims`.

    `adaptive_avg_pool2d` to 1 by 1. Source: Lin, Chen & Yan 2014, "Network in network", section
    3.2; `keepdims` is Keras's.
    """
    return _global_pool("global_avg_pool2d", AdaptiveAvgPool2dFunction, input, keepdims)


def global_max_pool2d(input: Variable, keepdims: bool = True) -> Any:
    """The maximum of each channel: (N, C, H, W) → (N, C, 1, 1), or (N, C) without `keepdims`."""
    return _global_pool("global_max_pool2d", AdaptiveMaxPool2dFunction, input, keepdims)


def _global_pool(op: str, function: type[Function], input: Variable, keepdims: bool) -> Any:
    flag(keepdims, "keepdims", op=op)
    result = _adaptive_pool(op, function, 2, input, 1)
    y = result[0] if isinstance(result, tuple) else result  # maxima come with their places
    return y if keepdims else squeeze(y, (-2, -1))
