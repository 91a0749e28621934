"""conv2d: validate, call the rung's kernel, know the gradient.

The gradient needs the input and the weights only. The im2col matrix, nine times the input for a
3x3 kernel, is built again where a rung wants it: memory is dearer than the second packing.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn.autograd import Function, Variable
from minicnn.kernels import shapes
from minicnn.kernels.errors import ArgumentError
from minicnn.kernels.shapes import Pair, pair
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


def _count(op: str, groups: Any) -> int:
    """`groups` as an int; 2.0 and True are refused, as for the other arguments."""
    if isinstance(groups, bool) or not hasattr(groups, "__index__"):
        raise ArgumentError(f"{op}: groups must be an integer, got {groups!r}. Use groups=1.")
    return groups.__index__()


def conv2d(
    x: Variable,
    w: Variable,
    b: Variable | None = None,
    stride: int | Pair = 1,
    padding: int | Pair = 0,
    dilation: int | Pair = 1,
    groups: int = 1,
) -> Any:
    """The cross-correlation of `x` (N,C,H,W) or (C,H,W) with `w` (K,C/groups,R,S)."""
    op = "conv2d"
    require_float(op, x, w, b)
    geometry = (
        pair(stride, "stride", op=op),
        pair(padding, "padding", op=op),
        pair(dilation, "dilation", op=op),
        _count(op, groups),
    )
    b_shape = None if b is None else b.array.shape
    shapes.check_conv2d(x.array.shape, w.array.shape, b_shape, *geometry)
    return with_batch(lambda x: Conv2dFunction.apply(x, w, b, *geometry), x)
