"""conv2d: validate, call the rung's kernel, know the gradient.

The gradient needs the input and the weights only. The im2col matrix, nine times the input for a
3x3 kernel, is built again where a rung wants it: memory is dearer than the second packing.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn.autograd import Function, Variable
from minicnn.kernels import shapes
from minicnn.kernels.shapes import Pair, integer, pair
from minicnn.ops.batching import with_batch
from minicnn.ops.elementwise import require_float


class Conv2dFunction(Function):
    """y[n,k] = b[k] + Σ_c w[k,c] ⋆ x[n,c]; see `nn.functional.conv2d`."""

    fresh_gradients = True

    @staticmethod
    def forward(ctx, x, w, b, stride, padding, dilation, groups):
        x, w = np.ascontiguousarray(x), np.ascontiguousarray(w)
        b = None if b is None else np.ascontiguousarray(b)
        ctx.geometry = stride, padding, dilation, groups
        ctx.shapes = x.shape, w.shape
        need_x, need_w = ctx.needs_input_grad[:2]
        ctx.save_for_backward(x if need_w else None, w if need_x else None)
        return ctx.backend.conv2d(x, w, b, *ctx.geometry)

    @staticmethod
    def backward(ctx, dy):
        x, w = ctx.saved_tensors
        x_shape, w_shape = ctx.shapes
        dy = np.ascontiguousarray(dy)
        dx = dw = db = None
        if ctx.needs_input_grad[0]:
            dx = ctx.backend.conv2d_input_grad(dy, w, x_shape, *ctx.geometry)
        if ctx.needs_input_grad[1]:
            dw = ctx.backend.conv2d_weight_grad(dy, x, w_shape, *ctx.geometry)
        if ctx.needs_input_grad[2]:
            db = ctx.backend.conv2d_bias_grad(dy)
        return dx, dw, db, None, None, None, None


def conv2d(
    input: Variable,
    weight: Variable,
    bias: Variable | None = None,
    stride: int | Pair = 1,
    padding: int | Pair = 0,
    dilation: int | Pair = 1,
    groups: int = 1,
) -> Any:
    """Slide each filter over the image and take the dot product at every position.

    y[n,k,p,q] = b[k] + Σ_{c,r,s} w[k,c,r,s] · x[n, c, p·stride + r·dilation - padding, q·… + s·…]

    (a cross-correlation: the filter is not flipped), with output height
    P = ⌊(H + 2·padding - dilation·(R-1) - 1)/stride⌋ + 1, and likewise the width Q.

    Args:
        input: (N, C, H, W), or (C, H, W) for one image; float32 or float64.
        weight: (K, C/groups, R, S), of the same dtype.
        bias: (K,), or None.
        stride, padding, dilation: an integer, or (along height, along width). Padding is zeros.
        groups: input and output channels are cut into this many groups that do not mix.

    Returns:
        (N, K, P, Q), or (K, P, Q).

    Raises:
        ShapeError, ArgumentError: sizes that do not fit; the message has the formula's numbers.
        DtypeError: dtypes that differ or are not float32 or float64.
    """
    op = "conv2d"
    require_float(op, input, weight, bias)
    geometry = (
        pair(stride, "stride", op=op),
        pair(padding, "padding", op=op),
        pair(dilation, "dilation", op=op),
        integer(groups, "groups", op=op),
    )
    b_shape = None if bias is None else bias.array.shape
    shapes.check_conv2d(input.array.shape, weight.array.shape, b_shape, *geometry)
    return with_batch(lambda x: Conv2dFunction.apply(x, weight, bias, *geometry), input)
