"""Matrix products: linear on the rung's kernels, matmul with NumPy's broadcasting."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minicnn.autograd import Function, Variable
from minicnn.kernels import gemm, namespace
from minicnn.kernels.errors import ShapeError
from minicnn.kernels.threads import single_threaded_blas
from minicnn.ops.elementwise import (
    require_float,
    require_one_dtype,
    require_tensor,
    unbroadcast,
)
from minicnn.ops.shaping import c_order, reshape


class LinearFunction(Function):
    """Y = X·Wᵀ + b;  dX = dY·W,  dW = dYᵀ·X,  db = Σ dY."""

    fresh_gradients = True

    @staticmethod
    def forward(ctx, x, w, b):
        x, w = c_order(x), c_order(w)
        b = None if b is None else c_order(b)
        need_x, need_w = ctx.needs_input_grad[:2]
        ctx.save_for_backward(x if need_w else None, w if need_x else None)
        return ctx.backend.linear(x, w, b)

    @staticmethod
    def backward(ctx, dy):
        x, w = ctx.saved_tensors
        dy = c_order(dy)
        dx = dw = db = None
        if ctx.needs_input_grad[0]:
            dx = ctx.backend.linear_input_grad(dy, w)
        if ctx.needs_input_grad[1]:
            dw = ctx.backend.linear_weight_grad(dy, x)
        if ctx.needs_input_grad[2]:
            db = ctx.backend.linear_bias_grad(dy)
        return dx, dw, db


def linear(input: Variable, weight: Variable, bias: Variable | None = None) -> Any:
    """x·Wᵀ + b over the last axis: `input` (…, I), `weight` (O, I) or (I,), `bias` (O,) or ()."""
    op = "linear"
    require_float(op, input, weight=weight, bias=bias)
    x_shape, w_shape = input.array.shape, weight.array.shape
    if not x_shape or len(w_shape) not in (1, 2) or x_shape[-1] != w_shape[-1]:
        raise ShapeError(
            f"{op}: input {x_shape} does not fit weight {w_shape}: the input's last size must "
            f"be in_features, {w_shape[-1] if w_shape else '?'}. Flatten or reshape the input."
        )
    if bias is not None and bias.array.shape != w_shape[:-1]:
        raise ShapeError(
            f"{op}: bias {bias.array.shape} does not fit weight {w_shape}. "
            f"Give it shape {w_shape[:-1]}."
        )
    in_features = w_shape[-1]
    rows = reshape(input, (math.prod(x_shape[:-1]), in_features))
    matrix = weight if len(w_shape) == 2 else reshape(weight, (1, in_features))
    b = bias if bias is None or len(w_shape) == 2 else reshape(bias, (1,))
    y = LinearFunction.apply(rows, matrix, b)
    return reshape(y, (*x_shape[:-1], *w_shape[:-1]))


class MatmulFunction(Function):
    """C = A·B over the last two axes;  dA = dC·Bᵀ,  dB = Aᵀ·dC, summed over broadcast batches."""

    @staticmethod
    def forward(ctx, a, b):
        ctx.shapes = a.shape, b.shape
        ctx.save_for_backward(a, b)
        return _product(a, b)

    @staticmethod
    def backward(ctx, dc):
        a, b = ctx.saved_tensors
        a_shape, b_shape = ctx.shapes
        # A vector is a matrix with one row (on the left) or one column (on the right).
        if a.ndim == 1:
            a, dc = a[None, :], np.expand_dims(dc, -1 if b.ndim == 1 else -2)
        if b.ndim == 1:
            b, dc = b[:, None], np.expand_dims(dc, -1)
        da = db = None
        if ctx.needs_input_grad[0]:
            full = _product(dc, np.swapaxes(b, -1, -2))
            da = unbroadcast(full, a.shape).reshape(a_shape)
        if ctx.needs_input_grad[1]:
            full = _product(np.swapaxes(a, -1, -2), dc)
            db = unbroadcast(full, b.shape).reshape(b_shape)
        return da, db


def _product(a: Any, b: Any) -> Any:
    """a @ b; of NumPy's floating-point arrays the same bits at any number of threads."""
    if not isinstance(a, np.ndarray) or a.dtype.kind != "f":
        return namespace(a).matmul(a, b)
    if a.ndim == b.ndim == 2:
        return gemm.matmul(a, b)
    with single_threaded_blas():
        return np.matmul(a, b)


def matmul(a: Variable, b: Variable) -> Any:
    """The matrix product, with vectors and batches as NumPy and PyTorch treat them."""
    for x in (a, b):
        require_tensor("matmul", x)
    require_one_dtype("matmul", input=a, other=b)
    shape_a, shape_b = a.array.shape, b.array.shape
    if not shape_a or not shape_b:
        raise ShapeError(
            f"matmul: both operands need a dimension at least, got {shape_a} and {shape_b}."
            " Use * for numbers."
        )
    if shape_a[-1] != shape_b[-2 if len(shape_b) > 1 else 0]:
        raise ShapeError(
            f"matmul: shapes {shape_a} and {shape_b}: the first's last size, {shape_a[-1]}, must "
            f"equal the second's {'last but one' if len(shape_b) > 1 else 'only one'}, "
            f"{shape_b[-2 if len(shape_b) > 1 else 0]}."
            " Transpose one of them, or reshape."
        )
    try:
        np.broadcast_shapes(shape_a[:-2], shape_b[:-2])
    except ValueError:
        raise ShapeError(
            f"matmul: the batch axes of {shape_a} and {shape_b} do not broadcast."
            " Batch sizes must be equal or 1."
        ) from None
    return MatmulFunction.apply(a, b)
