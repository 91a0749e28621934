"""Activations that have a kernel of their own on each rung."""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn import dtypes
from minicnn.autograd import Function, Variable
from minicnn.ops.shaping import c_order


class ReluFunction(Function):
    """max(x, 0) on the current rung; backward needs only the output's sign."""

    fresh_gradients = True

    @staticmethod
    def forward(ctx, x):
        y = ctx.backend.relu(c_order(x))
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx, dy):
        (y,) = ctx.saved_tensors
        return ctx.backend.relu_grad(c_order(dy), y)


def relu(x: Variable) -> Any:
    """max(x, 0), elementwise; the slope at 0 is 0. NaN stays NaN."""
    if x.array.dtype not in (dtypes.float32, dtypes.float64):
        return Variable.result_class(np.maximum(x.array, x.array.dtype.type(0)))
    return ReluFunction.apply(x)
