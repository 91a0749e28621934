"""Losses. Softmax and cross-entropy are one op: log(softmax) would lose small probabilities."""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn import dtypes
from minicnn.autograd import Function, Variable
from minicnn.kernels.errors import DtypeError, OutOfRangeError, ShapeError
from minicnn.ops.elementwise import cast, require_float


class SoftmaxCrossEntropyFunction(Function):
    """loss_n = -log softmax(x_n)[t_n];  dx_n = (softmax(x_n) - onehot(t_n))·dloss_n."""

    fresh_gradients = True

    @staticmethod
    def forward(ctx, logits, target):
        target = np.ascontiguousarray(target)
        losses, log_probs = ctx.backend.softmax_cross_entropy(np.ascontiguousarray(logits), target)
        ctx.save_for_backward(log_probs, target)
        return losses

    @staticmethod
    def backward(ctx, dlosses):
        log_probs, target = ctx.saved_tensors
        dlosses = np.ascontiguousarray(dlosses)
        return ctx.backend.softmax_cross_entropy_grad(dlosses, log_probs, target), None


def softmax_cross_entropy(logits: Variable, target: Variable) -> Any:
    """The loss of each row of `logits` (N, classes) for its class index in `target` (N,)."""
    op = "cross_entropy"
    require_float(op, logits)
    shape, dtype = logits.array.shape, target.array.dtype
    if len(shape) != 2:
        raise ShapeError(f"{op}: expected logits of shape (N, classes), got {shape}")
    if dtype.kind not in "iu":
        raise DtypeError(f"{op}: class labels must be integers, got {dtype}. Convert with .long().")
    if target.array.shape != shape[:1]:
        raise ShapeError(
            f"{op}: logits {shape} need labels of shape {shape[:1]}, got {target.array.shape}"
        )
    target = cast(target, dtypes.int64)
    labels = target.array
    bad = np.flatnonzero((labels < 0) | (labels >= shape[1]))
    if bad.size:
        raise OutOfRangeError(
            f"{op}: label {labels[bad[0]]} at position {bad[0]} is outside 0..{shape[1] - 1} "
            f"({shape[1]} classes). Check the labels, or give the last layer more outputs."
        )
    return SoftmaxCrossEntropyFunction.apply(logits, target)


class BCEWithLogitsFunction(Function):
    """loss = max(x,0) - x·t + log(1+exp(-|x|));  dx = (sigmoid(x) - t)·dloss,  dt = -x·dloss."""

    @staticmethod
    def forward(ctx, x, t):
        ctx.save_for_backward(x, t)
        return np.maximum(x, 0) - x * t + np.log1p(np.exp(-np.abs(x)))

    @staticmethod
    def backward(ctx, dloss):
        x, t = ctx.saved_tensors
        half = x.dtype.type(0.5)
        dx = dt = None
        if ctx.needs_input_grad[0]:
            dx = ((np.tanh(x * half) + 1) * half - t) * dloss
        if ctx.needs_input_grad[1]:
            dt = -x * dloss
        return dx, dt


def bce_with_logits(x: Variable, target: Variable) -> Any:
    """-t·log σ(x) - (1-t)·log(1-σ(x)), elementwise, without ever computing σ(x)."""
    op = "binary_cross_entropy_with_logits"
    require_float(op, x)
    if x.array.shape != target.array.shape:
        raise ShapeError(
            f"{op}: logits {x.array.shape} and target {target.array.shape} must have one shape. "
            "Use target.reshape(logits.shape)."
        )
    if not dtypes.is_floating(target.array.dtype):
        raise DtypeError(
            f"{op}: the target must be floating-point, got {target.array.dtype}. "
            "Convert with .float()."
        )
    return BCEWithLogitsFunction.apply(x, target)
