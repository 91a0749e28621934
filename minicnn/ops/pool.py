"""Max pooling: the largest value of each window, and its place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from minicnn import dtypes
from minicnn.autograd import Function, Variable
from minicnn.kernels import shapes
from minicnn.kernels.shapes import flag, integers
from minicnn.ops.batching import on_images
from minicnn.ops.elementwise import cast, require_float
from minicnn.ops.shaping import c_order

Sizes = int | Sequence[int]


class MaxPool2dFunction(Function):
    """The maximum of each window and its place; the gradient goes back to that place alone."""

    fresh_gradients = True
    differentiable = (True, False)

    @staticmethod
    def forward(ctx, x, geometry):
        x = c_order(x)
        y, indices = ctx.backend.max_pool2d(x, *geometry)
        ctx.shape = x.shape
        ctx.save_for_backward(indices)
        return y, indices

    @staticmethod
    def backward(ctx, dy, _):
        (indices,) = ctx.saved_tensors
        return ctx.backend.max_pool2d_grad(c_order(dy), indices, ctx.shape), None


def window_sizes(
    op: str, axes: int, kernel_size: Sizes, stride: Sizes | None, padding: Sizes
) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """Kernel, stride and padding, an integer per axis; without a stride it is the kernel's size."""
    kernel = integers(kernel_size, axes, "kernel_size", op=op)
    # PyTorch takes an empty stride, as None, for the kernel's size.
    given = None if stride is None or (isinstance(stride, (tuple, list)) and not stride) else stride
    strides = kernel if given is None else integers(given, axes, "stride", op=op)
    return kernel, strides, integers(padding, axes, "padding", op=op)


def rows_as_images(sizes: Sequence[tuple[int, ...]], fill: Sequence[int]) -> list[tuple[int, ...]]:
    """Sizes along a row as sizes along an image of height 1; those along an image as they are."""
    return [(n, *size)[-2:] for size, n in zip(sizes, fill, strict=True)]


def _max_pool(
    axes: int,
    input: Variable,
    kernel_size: Sizes,
    stride: Sizes | None,
    padding: Sizes,
    dilation: Sizes,
    ceil_mode: bool,
    return_indices: bool,
) -> Any:
    op = f"max_pool{axes}d"
    require_float(op, input)
    kernel, strides, pads = window_sizes(op, axes, kernel_size, stride, padding)
    dilations = integers(dilation, axes, "dilation", op=op)
    flag(ceil_mode, "ceil_mode", op=op)
    shapes.check_pool(input.array.shape, kernel, strides, pads, dilations, ceil_mode, op=op)
    geometry = *rows_as_images((kernel, strides, pads, dilations), (1, 1, 0, 1)), ceil_mode
    y, indices = on_images(lambda x: MaxPool2dFunction.apply(x, geometry), input, axes)
    return (y, cast(indices, dtypes.int64)) if return_indices else y


def max_pool1d(
    input: Variable,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    dilation: Sizes = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """`max_pool2d` of rows: input (N, C, L) or (C, L); places are counted along the row."""
    return _max_pool(1, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def max_pool2d(
    input: Variable,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    dilation: Sizes = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The maximum of each window; padding counts as -∞ and NaN as larger than all.

    y[n,c,p,q] = max_{r,s} x[n, c, p·stride + r·dilation - padding, q·… + s·…], with output height
    P = ⌊(H + 2·padding - dilation·(R-1) - 1)/stride⌋ + 1, and likewise the width Q.

    Args:
        input: (N, C, H, W) or (C, H, W), float32 or float64.
        kernel_size, stride, padding, dilation: an integer or (height, width); stride defaults to
            the kernel's size, padding is at most half of it.
        ceil_mode: round the output size up, so that the last window may hang over the edge.
        return_indices: also return the winners' places (h·W + w), int64; the first of equals wins.

    Returns:
        (N, C, P, Q) or (C, P, Q), or a pair of these with the places.

    Raises:
        ShapeError, ArgumentError: sizes that do not fit; the message has the formula's numbers.
        DtypeError: an input that is not float32 or float64.
    """
    return _max_pool(2, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)
