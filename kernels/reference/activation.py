"""ReLU: y = max(x, 0), and its gradient."""

from __future__ import annotations

from .. import Array, namespace
from .unfold import deliver


def relu(x: Array, *, out: Array | None = None) -> Array:
    """y = max(x, 0) elementwise; a NaN stays NaN."""
    return deliver(namespace(x).maximum(x, 0), out)


def relu_grad(dy: Array, y: Array, *, out: Array | None = None) -> Array:
    """dx = dy where y > 0, else 0. The output y is enough: the input need not be kept."""
    return deliver(namespace(dy).where(y > 0, dy, 0), out)
