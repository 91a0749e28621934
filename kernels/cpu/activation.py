"""Activations: one pass over memory each, and vector code for the exponentials in them.

A pass costs 8 bytes of traffic per float32 forward, 12 backward; the arithmetic is 1 to 40
operations on registers of 8 or 16 numbers, which takes less time than the traffic. NumPy makes a
pass of each operation: ten for SiLU, thirty for GELU.
"""

from __future__ import annotations

import math

import numpy as np

from ..reference.erf import END, coefficients
from ._elementwise import elementwise
from ._jit import jit
from ._math import exp, expm1, like, polynomial
from ._math import sigmoid as _sigmoid_of
from ._math import tanh as _tanh_of

_CUBIC = 0.044715
_ROOT = math.sqrt(2 / math.pi)


def relu(x: np.ndarray, *, out: np.ndarray | None = None) -> np.ndarray:
    """y = max(x, 0) elementwise; a NaN stays NaN."""
    return _relu(x, out=out)


@elementwise
def _relu(x, options):
    return 0 if x <= 0 else x  # NaN <= 0 is false


def relu_grad(dy: np.ndarray, y: np.ndarray, *, out: np.ndarray | None = None) -> np.ndarray:
    """dx = 0 where y <= 0, else dy, also at NaN. The output is enough: x need not be kept."""
    return _relu_grad(dy, y, out=out)


@elementwise
def _relu_grad(dy, y, options):
    return 0 if y <= 0 else dy


def hardtanh(
    x: np.ndarray, low: float, high: float, *, out: np.ndarray | None = None
) -> np.ndarray:
    """y = min(max(x, low), high); a NaN stays NaN. ReLU6 is low = 0, high = 6."""
    return _hardtanh(x, options=(low, high), out=out)


@elementwise
def _hardtanh(x, options):
    low, high = options
    return low if x < low else high if x > high else x


def hardtanh_grad(
    dy: np.ndarray, x: np.ndarray, low: float, high: float, *, out: np.ndarray | None = None
) -> np.ndarray:
    """dx = 0 where x <= low or x >= high, else dy."""
    return _hardtanh_grad(dy, x, options=(low, high), out=out)


@elementwise
def _hardtanh_grad(dy, x, options):
    low, high = options
    return 0 if (x <= low) | (x >= high) else dy


def leaky_relu(x: np.ndarray, slope: float, *, out: np.ndarray | None = None) -> np.ndarray:
    """y = x where x > 0, else slope * x."""
    return _leaky_relu(x, options=(slope,), out=out)


@elementwise
def _leaky_relu(x, options):
    return x if x > 0 else x * options[0]


def leaky_relu_grad(
    dy: np.ndarray, x: np.ndarray, slope: float, *, out: np.ndarray | None = None
) -> np.ndarray:
    """dx = dy where x > 0, else slope * dy."""
    return _leaky_relu_grad(dy, x, options=(slope,), out=out)


@elementwise
def _leaky_relu_grad(dy, x, options):
    return dy if x > 0 else dy * options[0]


def elu(x: np.ndarray, alpha: float, *, out: np.ndarray | None = None) -> np.ndarray:
    """y = x where x > 0, else alpha * (exp(x) - 1)."""
    return _elu(x, options=(alpha,), out=out)


@elementwise
def _elu(x, options):
    return x if x > 0 else expm1(x) * options[0]


def elu_grad(
    dy: np.ndarray, x: np.ndarray, alpha: float, *, out: np.ndarray | None = None
) -> np.ndarray:
    """dx = dy * alpha * exp(x) where x <= 0, else dy, also at NaN."""
    return _elu_grad(dy, x, options=(alpha,), out=out)


@elementwise
def _elu_grad(dy, x, options):
    return dy * exp(x) * options[0] if x <= 0 else dy


def sigmoid(x: np.ndarray, *, out: np.ndarray | None = None) -> np.ndarray:
    """y = 1 / (1 + exp(-x)), as e/(1 + e) for x < 0: no overflow, and small y keep their digits."""
    return _sigmoid(x, out=out)


@elementwise
def _sigmoid(x, options):
    return _sigmoid_of(x)


def sigmoid_grad(dy: np.ndarray, y: np.ndarray, *, out: np.ndarray | None = None) -> np.ndarray:
    """dx = dy * y * (1 - y)."""
    return _sigmoid_grad(dy, y, out=out)


@elementwise
def _sigmoid_grad(dy, y, options):
    return dy * y * (like(y, 1) - y)


def tanh(x: np.ndarray, *, out: np.ndarray | None = None) -> np.ndarray:
    """y = (exp(x) - exp(-x)) / (exp(x) + exp(-x))."""
    return _tanh(x, out=out)


@elementwise
def _tanh(x, options):
    return _tanh_of(x)


def tanh_grad(dy: np.ndarray, y: np.ndarray, *, out: np.ndarray | None = None) -> np.ndarray:
    """dx = dy * (1 - y**2)."""
    return _tanh_grad(dy, y, out=out)


@elementwise
def _tanh_grad(dy, y, options):
    return dy * (like(y, 1) - y * y)


def silu(x: np.ndarray, *, out: np.ndarray | None = None) -> np.ndarray:
    """y = x * sigmoid(x)."""
    return _silu(x, out=out)


@elementwise
def _silu(x, options):
    return x * _sigmoid_of(x)


def silu_grad(dy: np.ndarray, x: np.ndarray, *, out: np.ndarray | None = None) -> np.ndarray:
    """dx = dy * s * (1 + x * (1 - s)), s = sigmoid(x)."""
    return _silu_grad(dy, x, out=out)


@elementwise
def _silu_grad(dy, x, options):
    s = _sigmoid_of(x)
    return dy * s * (like(x, 1) + x * (like(x, 1) - s))


def gelu(x: np.ndarray, approximate: str, *, out: np.ndarray | None = None) -> np.ndarray:
    """y = x * P(x), P(x) = (1 + erf(x / sqrt(2))) / 2, the share of normal numbers below x.

    With approximate="tanh", P is (1 + tanh(z)) / 2, z = sqrt(2/pi) * (x + 0.044715 * x**3).
    """
    if approximate == "tanh":
        return _gelu_tanh(x, out=out)
    return _gelu(x, options=tuple(reversed(coefficients(x.dtype))), out=out)


def gelu_grad(
    dy: np.ndarray, x: np.ndarray, approximate: str, *, out: np.ndarray | None = None
) -> np.ndarray:
    """dx = dy * (P + x * P'); P' = exp(-x**2 / 2) / sqrt(2 pi), or 2 P (1 - P) z' with "tanh"."""
    if approximate == "tanh":
        return _gelu_tanh_grad(dy, x, out=out)
    return _gelu_grad(dy, x, options=tuple(reversed(coefficients(x.dtype))), out=out)


@elementwise
def _gelu(x, options):
    return x * _share(x, exp(x * x * like(x, -0.5)), options)


@elementwise
def _gelu_grad(dy, x, options):
    e = exp(x * x * like(x, -0.5))
    return dy * (_share(x, e, options) + x * e * like(x, _ROOT / 2))


@jit
def _share(x, e, coefficients):
    """P(x), given e = exp(-x**2 / 2) and the polynomial p of `reference/erf.py`: erf = 1 - e*p."""
    m = abs(x) * like(x, math.sqrt(0.5))
    m = like(x, END) if m > like(x, END) else m
    u = like(x, 5 / 3) - like(x, 16 / 3) / (m + like(x, 2))
    erf = math.copysign(like(x, 1) - e * polynomial(u, coefficients), x)
    return (like(x, 1) + erf) * like(x, 0.5)


@elementwise
def _gelu_tanh(x, options):
    return x * _share_by_tanh(x)


@elementwise
def _gelu_tanh_grad(dy, x, options):
    share = _share_by_tanh(x)
    slope = (like(x, 1) + x * x * like(x, 3 * _CUBIC)) * like(x, 2 * _ROOT)
    return dy * (share + x * share * (like(x, 1) - share) * slope)


@jit
def _share_by_tanh(x):
    return (like(x, 1) + _tanh_of((x + x * x * x * like(x, _CUBIC)) * like(x, _ROOT))) * like(
        x, 0.5
    )
