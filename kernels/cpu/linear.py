"""The fully connected layer on BLAS: see `kernels/gemm.py` for the product and its bits."""

from __future__ import annotations

import numpy as np

from .. import buffers
from ..gemm import matmul


def linear(
    x: np.ndarray, w: np.ndarray, b: np.ndarray | None, *, out: np.ndarray | None = None
) -> np.ndarray:
    """y[m,o] = b[o] + sum over i of x[m,i] * w[o,i]: x (M,I), w (O,I), b (O,) or None, y (M,O)."""
    y = matmul(x, w.T, _room((x.shape[0], w.shape[0]), x, out))
    if b is not None:
        y += b
    return y


def linear_input_grad(
    dy: np.ndarray, w: np.ndarray, *, out: np.ndarray | None = None
) -> np.ndarray:
    """dx = dy w: dy (M,O), w (O,I) give dx (M,I)."""
    return matmul(dy, w, _room((dy.shape[0], w.shape[1]), dy, out))


def linear_weight_grad(
    dy: np.ndarray, x: np.ndarray, *, out: np.ndarray | None = None
) -> np.ndarray:
    """dw = dy' x: dy (M,O), x (M,I) give dw (O,I)."""
    return matmul(dy.T, x, _room((dy.shape[1], x.shape[1]), dy, out))


def linear_bias_grad(dy: np.ndarray, *, out: np.ndarray | None = None) -> np.ndarray:
    """db[o] = sum over m of dy[m,o]: dy (M,O) gives db (O,)."""
    return np.sum(dy, axis=0, out=out)


def _room(shape: tuple[int, int], like: np.ndarray, out: np.ndarray | None) -> np.ndarray:
    return buffers.empty(shape, like.dtype) if out is None else out
