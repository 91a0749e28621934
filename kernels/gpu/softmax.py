"""Softmax and its logarithm: launch sizes and arguments; the idea is in softmax.cu."""

from __future__ import annotations

from .. import Array
from . import _cuda
from ._grid import over_rows


def softmax(x: Array, *, out: Array | None = None) -> Array:
    """y[o,j,i] = exp(x[o,j,i]) / sum over j of exp(x[o,j,i]), for x (outer, n, inner).

    The largest x is taken off first: it cancels, and no exponential can overflow.
    """
    return _along("softmax", (x,), False, out)


def softmax_grad(dy: Array, y: Array, *, out: Array | None = None) -> Array:
    """dx = y * (dy - sum over j of dy * y)."""
    return _along("softmax_grad", (dy, y), False, out)


def log_softmax(x: Array, *, out: Array | None = None) -> Array:
    """y = x - log(sum over j of exp(x)), for x (outer, n, inner), as in `softmax`."""
    return _along("softmax", (x,), True, out)


def log_softmax_grad(dy: Array, y: Array, *, out: Array | None = None) -> Array:
    """dx = dy - exp(y) * sum over j of dy."""
    return _along("softmax_grad", (dy, y), True, out)


def _along(kernel: str, given: tuple[Array, ...], log: bool, out: Array | None) -> Array:
    outer, n, inner = given[0].shape
    result = _cuda.empty(given[0].shape, given[0].dtype) if out is None else out
    if result.size == 0:
        return result
    kind = kernel.replace("softmax", "softmax_rows" if inner == 1 else "softmax_columns")
    if inner == 1:
        over_rows("softmax", kind, outer, n, *given, result, n, log)
    else:
        columns = outer * inner
        _cuda.spread("softmax", kind, columns, *given, result, columns, n, inner, log)
    return result
