"""Gather: rows and columns picked by number, as padding and nearest upsampling do; and back.

Picking moves bits and computes nothing, so it runs on unsigned integers of the elements' size: one
kernel for float32, int32 and all others of four bytes. Padding's columns are mostly neighbours:
their longest run is copied as it is, at the speed of memory, and only the rest is looked up. A row
that is picked again (upsampling picks each several times) is copied from the output, still in the
cache.

The gradient goes from the image's side: row h of dx is the sum of the rows of dy that picked it,
added up as vectors; what the columns picked is then added within this one row. So every row of dx
is a task of its own, and the order of the sums does not depend on threads.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import prange

from .. import buffers
from ..shapes import Shape4
from ._flat import copy
from ._jit import PIECE, U, jit, kernel, take

_SHORT = 8  # a run of columns shorter than this is not worth a copy of its own


def gather2d(
    x: np.ndarray,
    rows: np.ndarray,
    columns: np.ndarray,
    fill: float,
    *,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """y[n,c,p,q] = x[n, c, rows[p], columns[q]], or `fill` where either number is -1.

    x (N,C,H,W) of any dtype, rows (P,) and columns (Q,) int32, give y (N,C,P,Q).
    """
    N, C, H, W = x.shape
    shape = (N, C, rows.size, columns.size)
    y = buffers.empty(shape, x.dtype) if out is None else out
    if x.size == 0:  # nothing can be picked from an image without pixels
        y.fill(fill)
        return y
    bits = np.dtype(f"u{x.itemsize}")
    value = np.full(1, fill, x.dtype).view(bits)
    pixels, places = x.reshape(-1).view(bits), y.reshape(-1).view(bits)
    _gather(y.size, pixels, places, (N * C, H, W), rows, columns, value, _longest_run(columns))
    return y


def gather2d_grad(
    dy: np.ndarray,
    rows: np.ndarray,
    columns: np.ndarray,
    input_shape: Shape4,
    *,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """dx[n,c,h,w] = sum of dy[n,c,p,q] over the p, q that picked (h, w)."""
    picked = rows_by_pixel(rows, np.ones(rows.size, dy.dtype), input_shape[2], rows.size)
    inside = Columns(columns, np.ones(columns.size, dy.dtype), *_longest_run(columns))
    return spread(dy, picked, inside, input_shape, out)


# ------------------------------------------------------------------------------ forward


@kernel
def _gather(team, x, y, shape, rows, columns, fill, run):
    rows_of_y = shape[0] * rows.size
    block = max(1, PIECE // max(1, columns.size))
    for _ in prange(team.size):
        first = take(team) * block
        while first < rows_of_y:
            last = min(first + block, rows_of_y)
            _gather_rows(x, y, shape, rows, columns, fill[0], run, first, last)
            first = take(team) * block


@jit
def _gather_rows(x, y, shape, rows, columns, fill, run, first, last):
    (_, H, W), P, Q = shape, rows.size, columns.size
    start, end = run
    for i in range(first, last):
        plane, p = i // P, i % P
        row, to = rows[p], i * Q
        if row < 0:
            y[to : to + Q] = fill
        elif i > first and p > 0 and rows[p - 1] == row:
            copy(y, to, 1, y, to - Q, 1, Q)
        else:
            at = (plane * H + row) * W
            _look_up(y, to, x, at, columns, 0, start, fill)
            if start < end:
                copy(y, to + start, 1, x, at + columns[start], 1, end - start)
            _look_up(y, to, x, at, columns, end, Q, fill)


@jit
def _look_up(y, to, x, at, columns, first, last, fill):
    """y[to + j] = x[at + columns[j]], or `fill`; without a branch, so that it is vector code."""
    to, at = U(to), U(at)
    for j in range(U(first), U(last)):
        v = x[at + U(max(columns[j], 0))]
        y[to + j] = fill if columns[j] < 0 else v


def _longest_run(columns: np.ndarray) -> tuple[int, int]:
    """Return (start, end) of the longest run of columns c, c + 1, c + 2, ..."""
    follows = (np.diff(columns) == 1) & (columns[:-1] >= 0)
    ends = np.flatnonzero(~follows) + 1
    edges = np.concatenate(([0], ends, [columns.size]))
    i = int(np.argmax(np.diff(edges)))
    start, end = int(edges[i]), int(edges[i + 1])
    return (start, end) if end - start >= _SHORT else (0, 0)


# ------------------------------------------------------------------------------ gradient


class Rows(NamedTuple):
    """By row h of the image, the rows of dy that picked it: entries first[h] to first[h + 1]."""

    first: np.ndarray  # (H + 1,) int64
    place: np.ndarray  # (picks,) int64: a row of dy
    weight: np.ndarray  # (picks,) of dy's dtype: how much of it


class Columns(NamedTuple):
    """The column that place j of dy's row, or of the same row once more, picked, and how much."""

    column: np.ndarray  # (Q * times,) int32; -1: none
    weight: np.ndarray  # (Q * times,)
    start: int  # of the longest run of neighbours with weight 1, in the first Q
    end: int


def rows_by_pixel(picks: np.ndarray, weights: np.ndarray, H: int, P: int) -> Rows:
    """Return the picks that the P rows of dy made, all of them or several times all, by pixel."""
    order = np.argsort(picks, kind="stable")
    first = np.searchsorted(picks[order], np.arange(H + 1))
    return Rows(first, order % P if P else order, weights[order])


def spread(
    dy: np.ndarray, rows: Rows, columns: Columns, input_shape: Shape4, out: np.ndarray | None
) -> np.ndarray:
    """dx[n,c,h,w] = sum of weights * dy[n,c,p,q] over the picks p of row h and q of column w."""
    N, C, H, W = input_shape
    P, Q = dy.shape[2:]
    dx = buffers.empty(input_shape, dy.dtype) if out is None else out
    if dy.size == 0:
        dx.fill(0)
        return dx
    shape, run = (N * C, H, W, P, Q), (columns.start, columns.end)
    _spread(
        max(dy.size, dx.size), dy.reshape(-1), dx.reshape(-1), shape, *rows,
        columns.column, columns.weight, run,
    )  # fmt: skip
    return dx


@kernel
def _spread(team, dy, dx, shape, first, place, weight, columns, column_weight, run):
    planes, H, W, P, Q = shape
    block = max(1, PIECE // max(1, W))
    for _ in prange(team.size):
        total = np.empty(Q, dy.dtype)
        start = take(team) * block
        while start < planes * H:
            for i in range(start, min(start + block, planes * H)):
                plane, h = i // H, i % H
                low, high = first[h], first[h + 1]
                at = (plane * P + place[low]) * Q if low < high else 0
                if low == high:
                    _zero(dx, i * W, W)
                elif low + 1 == high and weight[low] == 1:
                    _spread_row(dx, i * W, W, dy, at, Q, columns, column_weight, run)
                else:
                    _sum_rows(total, dy, plane * P, place, weight, low, high)
                    _spread_row(dx, i * W, W, total, 0, Q, columns, column_weight, run)
            start = take(team) * block


@jit
def _sum_rows(total, dy, base, place, weight, low, high):
    """total = sum over low <= i < high of weight[i] * row (base + place[i]) of dy."""
    Q = U(total.size)
    at, w = U(base + place[low]) * Q, weight[low]
    for q in range(Q):
        total[q] = w * dy[at + q]
    for i in range(low + 1, high):
        at, w = U(base + place[i]) * Q, weight[i]
        for q in range(Q):
            total[q] += w * dy[at + q]


@jit
def _spread_row(dx, to, W, dy, at, Q, columns, weight, run):
    """dx[to + w] = sum over the places j that picked w of weight[j] * dy[at + j % Q]."""
    start, end = run
    left = columns[start] if start < end else 0
    right = left + end - start
    _zero(dx, to, left)
    copy(dx, to + left, 1, dy, at + start, 1, end - start)
    _zero(dx, to + right, W - right)
    _scatter(dx, to, dy, at, columns, weight, 0, start)
    _scatter(dx, to, dy, at, columns, weight, end, Q)
    for base in range(Q, columns.size, Q):
        _scatter(dx, to, dy, at - base, columns, weight, base, base + Q)


@jit
def _scatter(dx, to, dy, at, columns, weight, first, last):
    for j in range(first, last):
        if columns[j] >= 0:
            dx[U(to + columns[j])] += weight[j] * dy[U(at + j)]


@jit
def _zero(y, to, count):
    for i in range(U(to), U(to + count)):
        y[i] = 0
