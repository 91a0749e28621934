"""Local response normalisation: each value divided by a power of what its neighbours are."""

from __future__ import annotations

from typing import Any

from minicnn.autograd import Function, Variable
from minicnn.kernels.errors import ArgumentError, ShapeError
from minicnn.kernels.shapes import integer, number
from minicnn.ops.elementwise import require_float
from minicnn.ops.norm import rows
from minicnn.ops.shaping import c_order, contiguous


class ResponseNormFunction(Function):
    """y = x/d^β, d = k + α/size·Σx²;  dx = dy/d^β - (2αβ/size)·x·Σ dy·x/d^(β+1)."""

    fresh_gradients = True

    @staticmethod
    def forward(ctx, x, *options):
        ctx.options = options
        ctx.save_for_backward(x)
        return ctx.backend.response_norm(rows(x), *options).reshape(x.shape)

    @staticmethod
    def backward(ctx, dy):
        (x,) = ctx.saved_tensors
        dx = ctx.backend.response_norm_grad(rows(c_order(dy)), rows(x), *ctx.options).reshape(
            x.shape
        )
        return dx, *(None for _ in ctx.options)


def local_response_norm(
    input: Variable, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> Any:
    """x/(k + alpha·mean of x²)^beta, the mean over `size` neighbouring channels.

    For channel c these are c - ⌊size/2⌋ … c + ⌊(size-1)/2⌋; those outside count as 0, and are
    counted. The AlexNet of 2012 is size=5, alpha=5e-4, beta=0.75, k=2: the paper's alpha, 1e-4, is
    for the sum, PyTorch's and this one for the mean.

    Args:
        input: (N, C, L), (N, C, H, W) or of higher rank; float32 or float64.
        size: how many channels, at least 1.
        alpha, beta, k: any numbers.

    Source: Krizhevsky, Sutskever & Hinton 2012, "ImageNet classification with deep convolutional
    neural networks", section 3.3.
    """
    op = "local_response_norm"
    require_float(op, input)
    size = integer(size, "size", op=op)
    if size < 1:
        raise ArgumentError(f"{op}: size must be at least 1, got {size}. The usual one is 5.")
    alpha, beta, k = (
        number(value, name, op=op) for name, value in (("alpha", alpha), ("beta", beta), ("k", k))
    )
    if input.array.ndim < 3:
        raise ShapeError(
            f"{op}: expected input (N, C, L), (N, C, H, W) or more axes, got {input.array.shape}. "
            "Give rows (N, C) a length with x[..., None]."
        )
    if not input.array.size:
        return input
    return ResponseNormFunction.apply(contiguous(input), size, alpha, beta, k)
