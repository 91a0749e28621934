"""Softmax and its logarithm along the middle axis of (outer, n, inner), and their gradients.

Any axis of any array becomes the middle one by a reshape.
"""

from __future__ import annotations

from .. import Array, namespace
from .unfold import deliver


def softmax(x: Array, *, out: Array | None = None) -> Array:
    """y[o,j,i] = exp(x[o,j,i]) / sum over j of exp(x[o,j,i]), for x (outer, n, inner).

    The largest x is taken off first: it cancels, and no exponential can overflow.
    """
    xp = namespace(x)
    powers = xp.exp(_shifted(x))
    return deliver(powers / xp.sum(powers, axis=1, keepdims=True), out)


def softmax_grad(dy: Array, y: Array, *, out: Array | None = None) -> Array:
    """dx = y * (dy - sum over j of dy * y)."""
    return deliver(y * (dy - namespace(y).sum(dy * y, axis=1, keepdims=True)), out)


def log_softmax(x: Array, *, out: Array | None = None) -> Array:
    """y = x - log(sum over j of exp(x)), for x (outer, n, inner), as in `softmax`."""
    xp, shifted = namespace(x), _shifted(x)
    return deliver(shifted - xp.log(xp.sum(xp.exp(shifted), axis=1, keepdims=True)), out)


def log_softmax_grad(dy: Array, y: Array, *, out: Array | None = None) -> Array:
    """dx = dy - exp(y) * sum over j of dy."""
    xp = namespace(y)
    return deliver(dy - xp.exp(y) * xp.sum(dy, axis=1, keepdims=True), out)


def _shifted(x: Array) -> Array:
    return x - namespace(x).max(x, axis=1, keepdims=True)
