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

    x (N,C,H,W) of any dtype, rows (P,) and columns (Q,) int32 NumPy arrays, give y (N,C,P,Q).
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

    Along one axis after the other: what the rows picked, then what the columns did.
    """
    dx = dy
    for axis, numbers in ((2, rows), (3, columns)):
        dx = add_picked(dx, numbers, np.ones(numbers.size, dy.dtype), axis, input_shape)
    return deliver(dx, out)


def add_picked(
    dy: Array, numbers: np.ndarray, weights: np.ndarray, axis: int, input_shape: tuple[int, ...]
) -> Array:
    """Add slice i of dy along `axis`, times weights[i], to slice numbers[i] of zeros, unless -1.

    `axis` of the result is as long as that of `input_shape`. With twice as many numbers as dy has
    slices, or more, dy is gone through again.

    A number may occur often, so a plain scatter would lose terms. The first occurrences of all
    numbers go together, then the second ones, and so on: within each round all are different.
    """
    xp = namespace(dy)
    dx = xp.zeros((*dy.shape[:axis], input_shape[axis], *dy.shape[axis + 1 :]), dtype=dy.dtype)
    if dy.size == 0:
        return dx
    before = (slice(None),) * axis
    for picked, i in _rounds(numbers):
        weight = xp.reshape(xp.asarray(weights[i]), (-1, *(1,) * (dy.ndim - axis - 1)))
        dx[(*before, picked)] += weight * dy[(*before, i % dy.shape[axis])]
    return dx


def _rounds(numbers: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield (number, position) arrays: all first picks, then all second picks, ..."""
    order = np.argsort(numbers, kind="stable")
    order = order[numbers[order] >= 0]
    ordered = numbers[order]
    first = np.searchsorted(ordered, ordered)  # where each number's picks begin
    pick = np.arange(order.size) - first
    for turn in range(pick.max(initial=-1) + 1):
        yield ordered[pick == turn], order[pick == turn]
