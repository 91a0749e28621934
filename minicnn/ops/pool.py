"""Pooling: the extreme (or mean) of each window."""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn import dtypes
from minicnn.autograd import Function, Variable
from minicnn.kernels import shapes
from minicnn.kernels.shapes import Pair, pair
from minicnn.ops.batching import with_batch
from minicnn.ops.elementwise import cast, require_float


class MaxPool2dFunction(Function):
    """The maximum of each window and its place; the gradient goes back to that place alone."""

    fresh_gradients = True
    differentiable = (True, False)

    @staticmethod
    def forward(ctx, x, kernel, stride, padding, dilation, ceil_mode):
        x = np.ascontiguousarray(x)
        y, indices = ctx.backend.max_pool2d(x, kernel, stride, padding, dilation, ceil_mode)
        ctx.shape = x.shape
        ctx.save_for_backward(indices)
        return y, indices

    @staticmethod
    def backward(ctx, dy, _):
        (indices,) = ctx.saved_tensors
        dx = ctx.backend.max_pool2d_grad(np.ascontiguousarray(dy), indices, ctx.shape)
        return dx, None, None, None, None, None


def max_pool2d(
    input: Variable,
    kernel_size: int | Pair,
    stride: int | Pair | None = None,
    padding: int | Pair = 0,
    dilation: int | Pair = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The maximum of each window; padding counts as -∞ and NaN as larger than all.

    Args:
        input: (N, C, H, W) or (C, H, W), float32 or float64.
        kernel_size, stride, padding, dilation: an integer or (height, width); stride defaults to
            the kernel's size, padding is at most half of it.
        ceil_mode: round the output size up, so that the last window may hang over the edge.
        return_indices: also return the winners' places (h·W + w), int64.
    """
    op = "max_pool2d"
    require_float(op, input)
    kernel = pair(kernel_size, "kernel_size", op=op)
    # PyTorch takes an empty stride, as None, for the kernel's size.
    given = None if stride is None or stride == () or stride == [] else stride
    geometry = (
        kernel,
        kernel if given is None else pair(given, "stride", op=op),
        pair(padding, "padding", op=op),
        pair(dilation, "dilation", op=op),
        bool(ceil_mode),
    )
    shapes.check_pool2d(input.array.shape, *geometry, op=op)
    y, indices = with_batch(lambda x: MaxPool2dFunction.apply(x, *geometry), input)
    return (y, cast(indices, dtypes.int64)) if return_indices else y
