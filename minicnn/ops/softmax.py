"""Softmax along one dimension, and its logarithm."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np

from minicnn import dtypes
from minicnn.autograd import Function, Variable
from minicnn.kernels.errors import DtypeError
from minicnn.ops.activation import in_single
from minicnn.ops.elementwise import cast, require_tensor
from minicnn.ops.shaping import c_order, normalize_axis


class SoftmaxFunction(Function):
    """y = exp(x)/Σexp(x);  dx = y·(dy - Σ dy·y)."""

    fresh_gradients = True

    @staticmethod
    def forward(ctx, x, axis):
        y = _along(axis, ctx.backend.softmax, x)
        ctx.axis = axis
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx, dy):
        return _along(ctx.axis, ctx.backend.softmax_grad, dy, *ctx.saved_tensors), None


class LogSoftmaxFunction(Function):
    """y = x - log Σexp(x);  dx = dy - exp(y)·Σdy."""

    fresh_gradients = True

    @staticmethod
    def forward(ctx, x, axis):
        y = _along(axis, ctx.backend.log_softmax, x)
        ctx.axis = axis
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx, dy):
        return _along(ctx.axis, ctx.backend.log_softmax_grad, dy, *ctx.saved_tensors), None


def _along(axis: int, kernel: Any, *arrays: Any) -> Any:
    """Run a kernel on (outer, n, inner) along any axis: a reshape makes it the middle one."""
    shape = arrays[0].shape
    if not arrays[0].size:
        return np.empty_like(arrays[0])
    sizes = math.prod(shape[:axis]), shape[axis] if shape else 1, math.prod(shape[axis + 1 :])
    return kernel(*(c_order(array).reshape(sizes) for array in arrays)).reshape(shape)


def softmax(input: Variable, dim: int | None = None, *, dtype: Any = None) -> Any:
    """exp(x)/Σexp(x) along `dim`, computed without overflow, after a cast to `dtype` if given.

    Without `dim` it is 1 for 2 or more than 3 dimensions, else 0, with a warning, as in PyTorch.
    """
    return _normalised("softmax", SoftmaxFunction, input, dim, dtype)


def log_softmax(input: Variable, dim: int | None = None, *, dtype: Any = None) -> Any:
    """x - log Σexp(x) along `dim`; otherwise as `softmax`."""
    return _normalised("log_softmax", LogSoftmaxFunction, input, dim, dtype)


def _normalised(op: str, function: type[Function], x: Variable, dim: Any, dtype: Any) -> Any:
    require_tensor(op, x)
    if dim is None:
        dim = 0 if x.array.ndim in (0, 1, 3) else 1
        warnings.warn(f"{op}: no dim was given; taking dim={dim}. Say which.", stacklevel=3)
    if dtype is not None:
        x = cast(x, dtype)
    if not dtypes.is_floating(x.array.dtype):
        raise DtypeError(
            f"{op}: needs a floating-point tensor, got {x.array.dtype}. Convert with .float()."
        )
    axis = normalize_axis(op, dim, x.array.ndim)
    return in_single(lambda x: function.apply(x, axis), x)
