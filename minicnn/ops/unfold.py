"""unfold (im2col) lays every window out as a column; fold (col2im) adds columns into images."""

from __future__ import annotations

from typing import Any

from minicnn.autograd import Function, Variable
from minicnn.kernels import shapes
from minicnn.kernels.shapes import Pair, pair
from minicnn.ops.batching import with_batch
from minicnn.ops.elementwise import require_float
from minicnn.ops.shaping import c_order, squeeze, unsqueeze


class UnfoldFunction(Function):
    """(N,C,H,W) → (N, C·R·S, L); the gradient of copying windows out is adding them back."""

    fresh_gradients = True

    @staticmethod
    def forward(ctx, x, *geometry):
        ctx.shape, ctx.geometry = x.shape, geometry
        return ctx.backend.unfold(c_order(x), *geometry)

    @staticmethod
    def backward(ctx, dy):
        dx = ctx.backend.fold(c_order(dy), ctx.shape, *ctx.geometry)
        return (dx, *(None for _ in ctx.geometry))


class FoldFunction(Function):
    """(N, C·R·S, L) → (N,C,H,W); the gradient of adding windows up is copying it out to each."""

    fresh_gradients = True

    @staticmethod
    def forward(ctx, columns, shape, *geometry):
        ctx.geometry = geometry
        return ctx.backend.fold(c_order(columns), shape, *geometry)

    @staticmethod
    def backward(ctx, dy):
        dcolumns = ctx.backend.unfold(c_order(dy), *ctx.geometry)
        return (dcolumns, None, *(None for _ in ctx.geometry))


def _geometry(
    op: str,
    kernel_size: int | Pair,
    dilation: int | Pair,
    padding: int | Pair,
    stride: int | Pair,
) -> tuple[Pair, Pair, Pair, Pair]:
    return (
        pair(kernel_size, "kernel_size", op=op),
        pair(dilation, "dilation", op=op),
        pair(padding, "padding", op=op),
        pair(stride, "stride", op=op),
    )


def unfold(
    input: Variable,
    kernel_size: int | Pair,
    dilation: int | Pair = 1,
    padding: int | Pair = 0,
    stride: int | Pair = 1,
) -> Any:
    """im2col: each window of `input` (N, C, H, W) as a column of (N, C·R·S, P·Q).

    conv2d is then a matrix product: `weight.reshape(K, -1) @ unfold(input)`.
    """
    op = "unfold"
    require_float(op, input)
    geometry = _geometry(op, kernel_size, dilation, padding, stride)
    shapes.check_unfold(input.array.shape, *geometry)
    return with_batch(lambda x: UnfoldFunction.apply(x, *geometry), input)


def fold(
    input: Variable,
    output_size: int | Pair,
    kernel_size: int | Pair,
    dilation: int | Pair = 1,
    padding: int | Pair = 0,
    stride: int | Pair = 1,
) -> Any:
    """col2im: columns (N, C·R·S, P·Q) added up where `unfold` takes them from, as (N, C, H, W)."""
    op = "fold"
    require_float(op, input)
    geometry = _geometry(op, kernel_size, dilation, padding, stride)
    size = pair(output_size, "output_size", op=op)
    shape = shapes.check_fold(input.array.shape, size, *geometry)
    if input.array.ndim == 2:
        return squeeze(FoldFunction.apply(unsqueeze(input, 0), (1, *shape), *geometry), 0)
    return FoldFunction.apply(input, shape, *geometry)
