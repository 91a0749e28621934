"""Bilinear: an image read at places between its pixels, one row of the output at a time.

A row of y is a mixture of two rows of x, which is vector code; the mixture, W numbers in the
cache, is then read between its columns. Q look-ups of two numbers each: 1 to 2 ns per output.
The gradient is that of `gather`, with two weighted picks per place.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from .. import buffers
from ..reference.bilinear import neighbours
from ..shapes import Shape4
from ._jit import PIECE, U, jit, kernel, take
from .gather import Columns, rows_by_pixel, spread


def bilinear2d(
    x: np.ndarray, rows: np.ndarray, columns: np.ndarray, *, out: np.ndarray | None = None
) -> np.ndarray:
    """y[n,c,p,q] = x[n, c, rows[p], columns[q]], read between pixels along straight lines.

    x (N,C,H,W), rows (P,) from 0 to H - 1 and columns (Q,) from 0 to W - 1, NumPy arrays of x's
    dtype, give y (N,C,P,Q). Between pixels l and l + 1, place l + t reads (1-t)*x[l] + t*x[l+1].
    """
    N, C, H, W = x.shape
    y = buffers.empty((N, C, rows.size, columns.size), x.dtype) if out is None else out
    tables = *neighbours(rows, H), *neighbours(columns, W)
    _bilinear(y.size, x.reshape(-1), y.reshape(-1), (N * C, H, W), *tables)
    return y


def bilinear2d_grad(
    dy: np.ndarray,
    rows: np.ndarray,
    columns: np.ndarray,
    input_shape: Shape4,
    *,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """dx[n,c,h,w] = sum of dy[n,c,p,q], by the weights with which (h, w) was read there."""
    low, high, *weights = neighbours(rows, input_shape[2])
    numbers, shares = np.concatenate((low, high)), np.concatenate(weights)
    picked = rows_by_pixel(numbers, shares, input_shape[2], rows.size)
    low, high, *weights = neighbours(columns, input_shape[3])
    inside = Columns(np.concatenate((low, high)), np.concatenate(weights), 0, 0)
    return spread(dy, picked, inside, input_shape, out)


@kernel
def _bilinear(team, x, y, shape, low, high, low_weight, high_weight, left, right, a, b):
    (planes, H, W), P, Q = shape, low.size, left.size
    block = max(1, PIECE // max(1, Q))
    for _ in prange(team.size):
        mixture = np.empty(W, x.dtype)
        first = take(team) * block
        while first < planes * P:
            for i in range(first, min(first + block, planes * P)):
                plane, p = i // P, i % P
                top, bottom = (plane * H + low[p]) * W, (plane * H + high[p]) * W
                _mix(mixture, x, top, bottom, low_weight[p], high_weight[p])
                _read(y, i * Q, mixture, left, right, a, b)
            first = take(team) * block


@jit
def _mix(mixture, x, top, bottom, a, b):
    top, bottom = U(top), U(bottom)
    for w in range(U(mixture.size)):
        mixture[w] = a * x[top + w] + b * x[bottom + w]


@jit
def _read(y, to, mixture, left, right, a, b):
    to = U(to)
    for q in range(U(left.size)):
        y[to + q] = a[q] * mixture[U(left[q])] + b[q] * mixture[U(right[q])]
