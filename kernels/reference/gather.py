"""Gather: an image's rows and columns picked by number, as padding and nearest upsampling do."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .. import Array, namespace
from .unfold import deliver


def gather2d(
    x: Array, rows: Array, columns: Array, fill: float, *, out: Array | None = None
) -> Array:
    """y[n,c,p,q] = x[n, c, rows[p], columns[q]], or `fill` where either number is -1.

    x (N,C,H,W), rows (P,) and columns (Q,) int32 NumPy arrays, give y (N,C,P,Q).
    """
    xp = namespace(x)
    if x.size:
        y = xp.take(xp.take(x, xp.asarray(rows), axis=2), xp.asarray(columns), axis=3)
    else:  # nothing can be picked from an image without pixels
        y = xp.empty((*x.shape[:2], rows.size, columns.size), dtype=x.dtype)
    y[:, :, rows < 0, :] = fill
    y[:, :, :, columns < 0] = fill
    return deliver(y, out)


def gather2d_grad(
    dy: Array,
    rows: Array,
    columns: Array,
    input_shape: tuple[int, int, int, int],
    *,
    out: Array | None = None,
) -> Array:
    """dx[n,c,h,w] = sum of dy[n,c,p,q] over the p, q that picked (h, w).

    A pixel may have been picked often, so a plain scatter would lose terms. The first picks of
    all pixels go together, then the second picks, and so on: within each round all are different.
    """
    xp = namespace(dy)
    N, C, H, _ = input_shape
    tall = xp.zeros((N, C, H, columns.size), dtype=dy.dtype)
    for picked, p in _rounds(rows):
        tall[:, :, picked, :] += dy[:, :, p, :]
    dx = xp.zeros(input_shape, dtype=dy.dtype)
    for picked, q in _rounds(columns):
        dx[:, :, :, picked] += tall[:, :, :, q]
    return deliver(dx, out)


def _rounds(numbers: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield (number, position) arrays: all first picks, then all second picks, ..."""
    order = np.argsort(numbers, kind="stable")
    order = order[numbers[order] >= 0]
    ordered = numbers[order]
    first = np.searchsorted(ordered, ordered)  # where each number's picks begin
    pick = np.arange(order.size) - first
    for turn in range(pick.max(initial=-1) + 1):
        yield ordered[pick == turn], order[pick == turn]
