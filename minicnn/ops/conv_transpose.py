"""conv_transpose1d, conv_transpose2d: the input gradient of a convolution, as an op of its own.

Where a convolution gathers each output from a window, its transpose adds each input, times the
kernel, into a window of the output. So the kernels are the convolution's own with their roles
changed: forward is its input gradient, and backward is the convolution.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from minicnn.autograd import Function, Variable
from minicnn.kernels import shapes
from minicnn.kernels.shapes import integer, integers
from minicnn.ops.batching import with_batch
from minicnn.ops.elementwise import require_float
from minicnn.ops.pad import pad
from minicnn.ops.shaping import c_order, squeeze, unsqueeze


class ConvTranspose2dFunction(Function):
    """y = b + W'x, the input gradient of y -> Wy;  dx = W dy,  dW = the weight gradient of it."""

    fresh_gradients = True

    @staticmethod
    def forward(ctx, x, w, b, size, stride, padding, dilation, groups):
        x, w = c_order(x), c_order(w)
        ctx.geometry = stride, padding, dilation, groups
        ctx.w_shape = w.shape
        need_x, need_w = ctx.needs_input_grad[:2]
        ctx.save_for_backward(x if need_w else None, w if need_x else None)
        y_shape = (x.shape[0], w.shape[1] * groups, *size)
        y = ctx.backend.conv2d_input_grad(x, w, y_shape, *ctx.geometry)
        if b is not None:
            y += b.reshape(1, -1, 1, 1)
        return y

    @staticmethod
    def backward(ctx, dy):
        x, w = ctx.saved_tensors
        dy = c_order(dy)
        dx = dw = db = None
        if ctx.needs_input_grad[0]:
            dx = ctx.backend.conv2d(dy, w, None, *ctx.geometry)
        if ctx.needs_input_grad[1]:
            dw = ctx.backend.conv2d_weight_grad(x, dy, ctx.w_shape, *ctx.geometry)
        if ctx.needs_input_grad[2]:
            db = ctx.backend.conv2d_bias_grad(dy)
        return dx, dw, db, None, None, None, None, None


def transposed(
    axes: int,
    input: Variable,
    weight: Variable,
    bias: Variable | None,
    stride: int | Sequence[int],
    padding: int | Sequence[int],
    output_padding: int | Sequence[int],
    groups: int,
    dilation: int | Sequence[int],
) -> Any:
    """conv_transpose1d or conv_transpose2d by the number of axes."""
    op = f"conv_transpose{axes}d"
    require_float(op, input, weight=weight, bias=bias)
    strides = integers(stride, axes, "stride", op=op)
    paddings = integers(padding, axes, "padding", op=op)
    extra = integers(output_padding, axes, "output_padding", op=op)
    groups = integer(groups, "groups", op=op)
    dilations = integers(dilation, axes, "dilation", op=op)
    x_shape, w_shape = input.array.shape, weight.array.shape
    b_shape = None if bias is None else bias.array.shape
    size = shapes.check_conv_transpose(
        x_shape, w_shape, b_shape, strides, paddings, extra, groups, dilations, op=op
    )[-axes:]
    # A stride of extra output is an input pixel more: zeros that only a dilation >= stride allows.
    more = [n for o, s in zip(extra[::-1], strides[::-1], strict=True) for n in (0, o // s)]
    if any(more):
        input = pad(input, more)

    def run(x: Variable) -> Any:
        if axes == 2:
            geometry = strides, paddings, dilations, groups
            return ConvTranspose2dFunction.apply(x, weight, bias, size, *geometry)
        geometry = (1, *strides), (0, *paddings), (1, *dilations), groups  # rows of height 1
        images, filters = unsqueeze(x, 2), unsqueeze(weight, 2)
        y = ConvTranspose2dFunction.apply(images, filters, bias, (1, *size), *geometry)
        return squeeze(y, 2)

    return with_batch(run, input, axes)


def conv_transpose1d(
    input: Variable,
    weight: Variable,
    bias: Variable | None = None,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] = 0,
    output_padding: int | Sequence[int] = 0,
    groups: int = 1,
    dilation: int | Sequence[int] = 1,
) -> Any:
    """`conv_transpose2d` of rows: input (N, C, L) or (C, L), weight (C, K/groups, S)."""
    return transposed(1, input, weight, bias, stride, padding, output_padding, groups, dilation)


def conv_transpose2d(
    input: Variable,
    weight: Variable,
    bias: Variable | None = None,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] = 0,
    output_padding: int | Sequence[int] = 0,
    groups: int = 1,
    dilation: int | Sequence[int] = 1,
) -> Any:
    """Add each pixel, times each filter, into the output: the input gradient of `conv2d`.

    y[n, k, h·stride + r·dilation - padding, …] += Σ_c w[c,k,r,s] · x[n,c,h,w], from y = b[k]

    with output height P = (H-1)·stride - 2·padding + dilation·(R-1) + 1 + output_padding, and
    likewise the width Q. Source: Dumoulin & Visin 2016, chapter 4.

    Args:
        input: (N, C, H, W), or (C, H, W) for one image; float32 or float64.
        weight: (C, K/groups, R, S), of the same dtype: that of the convolution from K to C
            channels whose input gradient this is.
        bias: (K,), or None.
        stride, padding, dilation: of that convolution, integers or (height, width).
        output_padding: rows and columns more at the end; below the stride, they choose among the
            sizes that the convolution takes to the same output.
        groups: input and output channels are cut into this many groups that do not mix.

    Returns:
        (N, K, P, Q), or (K, P, Q).

    Raises:
        ShapeError, ArgumentError: sizes that do not fit; the message has the formula's numbers.
        DtypeError: dtypes that differ or are not float32 or float64.
    """
    return transposed(2, input, weight, bias, stride, padding, output_padding, groups, dilation)
