"""Activations and their gradients, in one pass over memory each; the formulas are in activation.cu.

relu, hardtanh and tanh are the numpy rung's: one array operation is one pass already.
"""

from __future__ import annotations

from typing import Any

from .. import Array
from . import _cuda


def relu_grad(dy: Array, y: Array, *, out: Array | None = None) -> Array:
    """dx = 0 where y <= 0, else dy, also at NaN. The output is enough: x need not be kept."""
    return _each("relu_grad", dy, y, out=out)


def hardtanh_grad(
    dy: Array, x: Array, low: float, high: float, *, out: Array | None = None
) -> Array:
    """dx = 0 where x <= low or x >= high, else dy."""
    return _each("hardtanh_grad", dy, x, numbers=(low, high), out=out)


def leaky_relu(x: Array, slope: float, *, out: Array | None = None) -> Array:
    """y = x where x > 0, else slope * x."""
    return _each("leaky_relu", x, numbers=(slope,), out=out)


def leaky_relu_grad(dy: Array, x: Array, slope: float, *, out: Array | None = None) -> Array:
    """dx = dy where x > 0, else slope * dy."""
    return _each("leaky_relu_grad", dy, x, numbers=(slope,), out=out)


def elu(x: Array, alpha: float, *, out: Array | None = None) -> Array:
    """y = x where x > 0, else alpha * (exp(x) - 1)."""
    return _each("elu", x, numbers=(alpha,), out=out)


def elu_grad(dy: Array, x: Array, alpha: float, *, out: Array | None = None) -> Array:
    """dx = dy * alpha * exp(x) where x <= 0, else dy, also at NaN."""
    return _each("elu_grad", dy, x, numbers=(alpha,), out=out)


def sigmoid(x: Array, *, out: Array | None = None) -> Array:
    """y = 1 / (1 + exp(-x))."""
    return _each("sigmoid", x, out=out)


def sigmoid_grad(dy: Array, y: Array, *, out: Array | None = None) -> Array:
    """dx = dy * y * (1 - y)."""
    return _each("sigmoid_grad", dy, y, out=out)


def tanh_grad(dy: Array, y: Array, *, out: Array | None = None) -> Array:
    """dx = dy * (1 - y**2)."""
    return _each("tanh_grad", dy, y, out=out)


def silu(x: Array, *, out: Array | None = None) -> Array:
    """y = x * sigmoid(x)."""
    return _each("silu", x, out=out)


def silu_grad(dy: Array, x: Array, *, out: Array | None = None) -> Array:
    """dx = dy * s * (1 + x * (1 - s)), s = sigmoid(x)."""
    return _each("silu_grad", dy, x, out=out)


def gelu(x: Array, approximate: str, *, out: Array | None = None) -> Array:
    """y = x * P(x), P(x) the share of normal numbers below x; "tanh": approximately."""
    return _each("gelu", x, numbers=(approximate == "tanh",), out=out)


def gelu_grad(dy: Array, x: Array, approximate: str, *, out: Array | None = None) -> Array:
    """dx = dy * (P + x * P')."""
    return _each("gelu_grad", dy, x, numbers=(approximate == "tanh",), out=out)


def _each(
    kernel: str, *arrays: Array, numbers: tuple[Any, ...] = (), out: Array | None = None
) -> Array:
    """Run a kernel on arrays of one shape: they come first, then the result, its size, numbers."""
    first = arrays[0]
    result = _cuda.empty(first.shape, first.dtype) if out is None else out
    _cuda.spread("activation", kernel, first.size, *arrays, result, first.size, *numbers)
    return result
