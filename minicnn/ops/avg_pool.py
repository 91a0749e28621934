"""Average pooling: the mean of each window."""

from __future__ import annotations

from typing import Any

from minicnn.autograd import Function, Variable
from minicnn.kernels import shapes
from minicnn.kernels.errors import ArgumentError
from minicnn.kernels.shapes import flag, integer
from minicnn.ops.batching import on_images
from minicnn.ops.elementwise import require_float
from minicnn.ops.pool import Sizes, rows_as_images, window_sizes
from minicnn.ops.shaping import c_order


class AvgPool2dFunction(Function):
    """The mean of each window; each of its pixels gets an equal share of the gradient."""

    fresh_gradients = True

    @staticmethod
    def forward(ctx, x, geometry):
        ctx.shape, ctx.geometry = x.shape, geometry
        return ctx.backend.avg_pool2d(c_order(x), *geometry)

    @staticmethod
    def backward(ctx, dy):
        dy = c_order(dy)
        return ctx.backend.avg_pool2d_grad(dy, ctx.shape, *ctx.geometry), None


def _avg_pool(
    axes: int,
    input: Variable,
    kernel_size: Sizes,
    stride: Sizes | None,
    padding: Sizes,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
) -> Any:
    op = f"avg_pool{axes}d"
    require_float(op, input)
    kernel, strides, pads = window_sizes(op, axes, kernel_size, stride, padding)
    flag(ceil_mode, "ceil_mode", op=op)
    flag(count_include_pad, "count_include_pad", op=op)
    if divisor_override is not None:
        divisor_override = integer(divisor_override, "divisor_override", op=op)
        if divisor_override == 0 or abs(divisor_override) >= 2**63:
            raise ArgumentError(
                f"{op}: divisor_override must be an int64 other than 0, got {divisor_override}. "
                "Use divisor_override=None for the size of the window."
            )
    shapes.check_pool(input.array.shape, kernel, strides, pads, ceil_mode=ceil_mode, op=op)
    counts = ceil_mode, count_include_pad, divisor_override
    geometry = *rows_as_images((kernel, strides, pads), (1, 1, 0)), *counts
    return on_images(lambda x: AvgPool2dFunction.apply(x, geometry), input, axes)


def avg_pool1d(
    input: Variable,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Any:
    """`avg_pool2d` of rows: input (N, C, L) or (C, L)."""
    return _avg_pool(1, input, kernel_size, stride, padding, ceil_mode, count_include_pad, None)


def avg_pool2d(
    input: Variable,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Any:
    """The mean of each window: y[n,c,p,q] = Σ_{r,s} x[n, c, p·stride + r - padding, …] / divisor.

    The output height is P = ⌊(H + 2·padding - R)/stride⌋ + 1, and likewise the width Q.

    Args:
        input: (N, C, H, W) or (C, H, W), float32 or float64.
        kernel_size, stride, padding: an integer or (height, width); stride defaults to the
            kernel's size, padding (with zeros) is at most half of it.
        ceil_mode: round the output size up, so that the last window may hang over the edge; what
            lies beyond the padding is not counted in the divisor.
        count_include_pad: count the padding's pixels in the divisor.
        divisor_override: the divisor, instead of the number of the window's pixels.

    Returns:
        (N, C, P, Q) or (C, P, Q).

    Raises:
        ShapeError, ArgumentError: sizes that do not fit; the message has the formula's numbers.
        DtypeError: an input that is not float32 or float64.
    """
    return _avg_pool(
        2, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
    )
