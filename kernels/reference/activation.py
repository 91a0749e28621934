"""Activations and their gradients, element by element.

Each gradient kernel takes dy and then what its formula is shortest in: the input x or the output y.
"""

from __future__ import annotations

import math

from .. import Array, namespace
from .erf import erf
from .unfold import deliver

_ROOT = math.sqrt(2 / math.pi)
_CUBIC = 0.044715


def relu(x: Array, *, out: Array | None = None) -> Array:
    """y = max(x, 0) elementwise; a NaN stays NaN."""
    return deliver(namespace(x).maximum(x, 0), out)


def relu_grad(dy: Array, y: Array, *, out: Array | None = None) -> Array:
    """dx = 0 where y <= 0, else dy, also at NaN. The output is enough: x need not be kept."""
    return deliver(namespace(dy).where(y <= 0, 0, dy), out)


def hardtanh(x: Array, low: float, high: float, *, out: Array | None = None) -> Array:
    """y = min(max(x, low), high); a NaN stays NaN. ReLU6 is low = 0, high = 6."""
    return deliver(namespace(x).clip(x, low, high), out)


def hardtanh_grad(
    dy: Array, x: Array, low: float, high: float, *, out: Array | None = None
) -> Array:
    """dx = 0 where x <= low or x >= high, else dy."""
    return deliver(namespace(x).where((x <= low) | (x >= high), 0, dy), out)


def leaky_relu(x: Array, slope: float, *, out: Array | None = None) -> Array:
    """y = x where x > 0, else slope * x."""
    return deliver(namespace(x).where(x > 0, x, x * slope), out)


def leaky_relu_grad(dy: Array, x: Array, slope: float, *, out: Array | None = None) -> Array:
    """dx = dy where x > 0, else slope * dy."""
    return deliver(namespace(x).where(x > 0, dy, dy * slope), out)


def elu(x: Array, alpha: float, *, out: Array | None = None) -> Array:
    """y = x where x > 0, else alpha * (exp(x) - 1)."""
    xp = namespace(x)
    return deliver(xp.where(x > 0, x, xp.expm1(xp.minimum(x, 0)) * alpha), out)


def elu_grad(dy: Array, x: Array, alpha: float, *, out: Array | None = None) -> Array:
    """dx = dy * alpha * exp(x) where x <= 0, else dy, also at NaN."""
    xp = namespace(x)
    return deliver(xp.where(x <= 0, dy * xp.exp(xp.minimum(x, 0)) * alpha, dy), out)


def sigmoid(x: Array, *, out: Array | None = None) -> Array:
    """y = 1 / (1 + exp(-x)), as e/(1 + e) for x < 0: no overflow, and small y keep their digits."""
    xp = namespace(x)
    e = xp.exp(-xp.abs(x))
    return deliver(xp.where(x < 0, e, 1) / (1 + e), out)


def sigmoid_grad(dy: Array, y: Array, *, out: Array | None = None) -> Array:
    """dx = dy * y * (1 - y)."""
    return deliver(dy * y * (1 - y), out)


def tanh(x: Array, *, out: Array | None = None) -> Array:
    """y = (exp(x) - exp(-x)) / (exp(x) + exp(-x))."""
    return deliver(namespace(x).tanh(x), out)


def tanh_grad(dy: Array, y: Array, *, out: Array | None = None) -> Array:
    """dx = dy * (1 - y**2)."""
    return deliver(dy * (1 - y * y), out)


def silu(x: Array, *, out: Array | None = None) -> Array:
    """y = x * sigmoid(x)."""
    return deliver(x * sigmoid(x), out)


def silu_grad(dy: Array, x: Array, *, out: Array | None = None) -> Array:
    """dx = dy * s * (1 + x * (1 - s)), s = sigmoid(x)."""
    s = sigmoid(x)
    return deliver(dy * s * (1 + x * (1 - s)), out)


def gelu(x: Array, approximate: str, *, out: Array | None = None) -> Array:
    """y = x * P(x), P(x) = (1 + erf(x / sqrt(2))) / 2, the share of normal numbers below x.

    With approximate="tanh", P is (1 + tanh(z)) / 2, z = sqrt(2/pi) * (x + 0.044715 * x**3).
    """
    return deliver(x * _share(x, approximate), out)


def gelu_grad(dy: Array, x: Array, approximate: str, *, out: Array | None = None) -> Array:
    """dx = dy * (P + x * P'); P' = exp(-x**2 / 2) / sqrt(2 pi), or 2 P (1 - P) z' with "tanh"."""
    xp, share = namespace(x), _share(x, approximate)
    if approximate == "tanh":
        density = 2 * share * (1 - share) * ((1 + x * x * (3 * _CUBIC)) * _ROOT)
    else:
        density = xp.exp(x * x * -0.5) * (_ROOT / 2)
    return deliver(dy * (share + x * density), out)


def _share(x: Array, approximate: str) -> Array:
    if approximate == "tanh":
        return (1 + namespace(x).tanh((x + x * x * x * _CUBIC) * _ROOT)) * 0.5
    return (1 + erf(x * math.sqrt(0.5))) * 0.5
