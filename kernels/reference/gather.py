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
    for run in _runs(rows < 0):
        y[:, :, run, :] = fill
    for run in _runs(columns < 0):
        y[:, :, :, run] = fill
    return deliver(y, out)


def _runs(mask: np.ndarray) -> Iterator[slice]:
    """Yield each run of trues as a slice, by which all arrays can be assigned to."""
    edges = np.flatnonzero(np.diff(mask, prepend=False, append=False)).tolist()
    yield from map(slice, edges[::2], edges[1::2])


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
        dx = add_picked(dx, numbers, np.ones(numbers.size), axis, input_shape)
    return deliver(dx, out)


def add_picked(
    dy: Array, numbers: np.ndarray, weights: np.ndarray, axis: int, input_shape: tuple[int, ...]
) -> Array:
    """Add slice i of dy along `axis`, times weights[i], to slice numbers[i] of zeros, unless -1.

    `axis` of the result is as long as that of `input_shape`. With twice as many numbers as dy has
    slices, or more, dy is gone through again.

    A number may occur often, and arrays on a GPU, or by the standard, cannot be added to at a list
    of places. So the numbers stand in the order of how often they occur: their first occurrences
    add to all of them, the second ones to the first few, the third ones to fewer still.
    """
    xp = namespace(dy)
    size = input_shape[axis]
    dx = xp.zeros((*dy.shape[:axis], size, *dy.shape[axis + 1 :]), dtype=dy.dtype)
    if dy.size == 0:
        return dx
    before = (slice(None),) * axis
    ranks, rounds = _rounds(numbers, size)
    for i in rounds:
        weight = xp.asarray(weights[i], dtype=dy.dtype)
        weight = xp.reshape(weight, (-1, *(1,) * (dy.ndim - axis - 1)))
        slices = xp.take(dy, xp.asarray(i % dy.shape[axis]), axis=axis)
        dx[(*before, slice(i.size), ...)] += weight * slices
    return xp.take(dx, xp.asarray(ranks), axis=axis)


def _rounds(numbers: np.ndarray, size: int) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return each number's rank by how often it occurs, and for each turn the places of the picks.

    Turn t has the t-th picks of those numbers that have so many, in the order of their ranks.
    """
    places = np.argsort(numbers, kind="stable")
    places = places[numbers[places] >= 0]
    counts = np.bincount(numbers[places], minlength=size)
    by_count = np.argsort(-counts, kind="stable")
    starts = np.cumsum(counts) - counts  # where in `places` each number's picks begin
    ranks = np.empty(size, np.int64)
    ranks[by_count] = np.arange(size)
    turns = range(int(counts.max(initial=0)))
    return ranks, [places[starts[by_count[: np.sum(counts > turn)]] + turn] for turn in turns]
