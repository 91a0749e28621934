"""Bilinear reading: launch sizes and arguments; the idea is in bilinear.cu."""

from __future__ import annotations

import numpy as np

from .. import Array
from ..reference.bilinear import neighbours
from ..shapes import Shape4
from . import _cuda
from ._grid import over_planes
from .gather import on_device, spread


def bilinear2d(x: Array, rows: Array, columns: Array, *, out: Array | None = None) -> Array:
    """y[n,c,p,q] = x[n, c, rows[p], columns[q]], read between pixels along straight lines.

    x (N,C,H,W), rows (P,) from 0 to H - 1 and columns (Q,) from 0 to W - 1, NumPy arrays of x's
    dtype, give y (N,C,P,Q). Between pixels l and l + 1, place l + t reads (1-t)*x[l] + t*x[l+1].
    """
    (N, C, H, W), P, Q = x.shape, rows.size, columns.size
    y = _cuda.empty((N, C, P, Q), x.dtype) if out is None else out
    places = (on_device(x, axis, x.dtype) for axis in (rows, columns))
    over_planes("bilinear", "bilinear", N * C, P * Q, x, *places, y, N * C, H, W, P, Q, reads=H * W)
    return y


def bilinear2d_grad(
    dy: Array,
    rows: Array,
    columns: Array,
    input_shape: Shape4,
    *,
    out: Array | None = None,
) -> Array:
    """dx[n,c,h,w] = sum of dy[n,c,p,q], by the weights with which (h, w) was read there."""
    down, along = _picks(rows, input_shape[2]), _picks(columns, input_shape[3])
    return spread(dy, down, along, input_shape, out)


def _picks(places: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the pixels before all places, then those after them, and their weights."""
    low, high, *weights = neighbours(places, size)
    return np.concatenate((low, high)), np.concatenate(weights)
