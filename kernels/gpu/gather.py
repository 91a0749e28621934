"""Gather: the tables of picks, launch sizes and arguments; the idea is in gather.cu."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import Array, namespace, reference
from ..shapes import Shape4
from . import _cuda
from ._grid import over_planes


def gather2d(
    x: Array, rows: Array, columns: Array, fill: float, *, out: Array | None = None
) -> Array:
    """y[n,c,p,q] = x[n, c, rows[p], columns[q]], or `fill` where either number is -1.

    x (N,C,H,W) of any dtype, rows (P,) and columns (Q,) int32 NumPy arrays, give y (N,C,P,Q). For
    other dtypes than float32 and float64 the numpy rung's code runs on the device.
    """
    if x.dtype not in (np.float32, np.float64):
        return reference.gather2d(x, rows, columns, fill, out=out)
    (N, C, H, W), P, Q = x.shape, rows.size, columns.size
    y = _cuda.empty((N, C, P, Q), x.dtype) if out is None else out
    if x.size == 0:  # nothing can be picked from an image without pixels
        y.fill(fill)
        return y
    tables = (on_device(x, numbers) for numbers in (rows, columns))
    over_planes("gather", "gather", N * C, P * Q, x, *tables, y, fill, N * C, H, W, P, Q)
    return y


def gather2d_grad(
    dy: Array,
    rows: Array,
    columns: Array,
    input_shape: Shape4,
    *,
    out: Array | None = None,
) -> Array:
    """dx[n,c,h,w] = sum of dy[n,c,p,q] over the p, q that picked (h, w)."""
    down, along = (rows, np.ones(rows.size)), (columns, np.ones(columns.size))
    return spread(dy, down, along, input_shape, out)


def spread(
    dy: Array,
    rows: tuple[np.ndarray, np.ndarray],
    columns: tuple[np.ndarray, np.ndarray],
    input_shape: Shape4,
    out: Array | None,
) -> Array:
    """dx[n,c,h,w] = sum of weights * dy[n,c,p,q] over the picks p of row h and q of column w.

    Rows and columns are the numbers picked, -1 for none, and their weights: as many as dy has, or
    several times as many, which go through dy again.
    """
    N, C, H, W = input_shape
    P, Q = dy.shape[2:]
    dx = _cuda.empty(input_shape, dy.dtype) if out is None else out
    tables = (*_by_pixel(dy, *rows, H, P), *_by_pixel(dy, *columns, W, Q))
    over_planes("gather", "spread", N * C, H * W, dy, dx, *tables, N * C, H, W, P, Q)
    return dx


def on_device(like: Array, table: np.ndarray, dtype: Any = np.int32) -> Array:
    """Return a table of the host's as a contiguous array where `like` lies."""
    return namespace(like).asarray(np.ascontiguousarray(table, dtype))


def _by_pixel(
    dy: Array, picks: np.ndarray, weights: np.ndarray, size: int, outputs: int
) -> tuple[Array, Array, Array]:
    """Return (first, place, weight): pixel i's picks are entries first[i] to first[i + 1]."""
    order = np.argsort(picks, kind="stable")
    first = np.searchsorted(picks[order], np.arange(size + 1))
    place = order % max(1, outputs)
    return on_device(dy, first), on_device(dy, place), on_device(dy, weights[order], dy.dtype)
