"""The fully connected layer: products by cuBLAS; the bias and its gradient by linear.cu."""

from __future__ import annotations

from .. import Array, namespace
from . import _cuda
from ._grid import over_planes

_WIDE, _HIGH = 32, 8  # of a block of `column_sums`


def linear(x: Array, w: Array, b: Array | None, *, out: Array | None = None) -> Array:
    """y[m,o] = b[o] + sum over i of x[m,i] * w[o,i]: x (M,I), w (O,I), b (O,) or None, y (M,O)."""
    y = _product(x, w.T, out)
    if b is not None:
        M, outputs = y.shape
        over_planes("linear", "add_bias", M, outputs, b, y, M, outputs)
    return y


def linear_input_grad(dy: Array, w: Array, *, out: Array | None = None) -> Array:
    """dx = dy w: dy (M,O), w (O,I) give dx (M,I)."""
    return _product(dy, w, out)


def linear_weight_grad(dy: Array, x: Array, *, out: Array | None = None) -> Array:
    """dw = dy' x: dy (M,O), x (M,I) give dw (O,I)."""
    return _product(dy.T, x, out)


def linear_bias_grad(dy: Array, *, out: Array | None = None) -> Array:
    """db[o] = sum over m of dy[m,o]: dy (M,O) gives db (O,)."""
    M, outputs = dy.shape
    db = _cuda.empty((outputs,), dy.dtype) if out is None else out
    if outputs:
        grid = -(-outputs // _WIDE)
        _cuda.launch("linear", "column_sums", grid, (_WIDE, _HIGH), dy, db, M, outputs)
    return db


def _product(a: Array, b: Array, out: Array | None) -> Array:
    y = _cuda.empty((a.shape[0], b.shape[1]), a.dtype) if out is None else out
    return namespace(a).matmul(a, b, out=y)
