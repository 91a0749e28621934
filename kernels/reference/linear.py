"""The fully connected layer y = x w' + b as matrix products, and its three gradients."""

from __future__ import annotations

from .. import Array, namespace
from .unfold import deliver


def linear(x: Array, w: Array, b: Array | None, *, out: Array | None = None) -> Array:
    """y[m,o] = b[o] + sum over i of x[m,i] * w[o,i]: x (M,I), w (O,I), b (O,) or None, y (M,O)."""
    y = namespace(x).matmul(x, w.T)
    if b is not None:
        y += b
    return deliver(y, out)


def linear_input_grad(dy: Array, w: Array, *, out: Array | None = None) -> Array:
    """dx = dy w: dy (M,O), w (O,I) give dx (M,I)."""
    return deliver(namespace(dy).matmul(dy, w), out)


def linear_weight_grad(dy: Array, x: Array, *, out: Array | None = None) -> Array:
    """dw = dy' x: dy (M,O), x (M,I) give dw (O,I)."""
    return deliver(namespace(dy).matmul(dy.T, x), out)


def linear_bias_grad(dy: Array, *, out: Array | None = None) -> Array:
    """db[o] = sum over m of dy[m,o]: dy (M,O) gives db (O,)."""
    return deliver(namespace(dy).sum(dy, axis=0), out)
