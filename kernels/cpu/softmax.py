"""Softmax along the middle axis of (outer, n, inner): three passes, of which two are in the cache.

With inner = 1 a task is a row of n numbers: its maximum, the sum of its exponentials, the result.
Otherwise it is a block of neighbouring columns, and each step runs along them, so that both kinds
of loop are vector code over numbers next to each other.
"""

from __future__ import annotations

import math

import numpy as np
from numba import prange

from .. import buffers
from ._jit import SUM, U, jit, kernel, take
from ._math import exp, like

_COLUMNS = 512  # in a block: their maxima and sums stay in the first-level cache


def softmax(x: np.ndarray, *, out: np.ndarray | None = None) -> np.ndarray:
    """y[o,j,i] = exp(x[o,j,i]) / sum over j of exp(x[o,j,i]), for x (outer, n, inner).

    The largest x is taken off first: it cancels, and no exponential can overflow.
    """
    return _forward(x, False, out)


def softmax_grad(dy: np.ndarray, y: np.ndarray, *, out: np.ndarray | None = None) -> np.ndarray:
    """dx = y * (dy - sum over j of dy * y)."""
    return _backward(dy, y, False, out)


def log_softmax(x: np.ndarray, *, out: np.ndarray | None = None) -> np.ndarray:
    """y = x - log(sum over j of exp(x)), for x (outer, n, inner), as in `softmax`."""
    return _forward(x, True, out)


def log_softmax_grad(dy: np.ndarray, y: np.ndarray, *, out: np.ndarray | None = None) -> np.ndarray:
    """dx = dy - exp(y) * sum over j of dy."""
    return _backward(dy, y, True, out)


def _forward(x: np.ndarray, log: bool, out: np.ndarray | None) -> np.ndarray:
    y = buffers.empty(x.shape, x.dtype) if out is None else out
    if x.shape[2] == 1:
        _rows(4 * x.size, x.reshape(x.shape[:2]), y.reshape(x.shape[:2]), log)
    else:
        _columns(4 * x.size, x, y, log)
    return y


def _backward(dy: np.ndarray, y: np.ndarray, log: bool, out: np.ndarray | None) -> np.ndarray:
    dx = buffers.empty(dy.shape, dy.dtype) if out is None else out
    if dy.shape[2] == 1:
        _rows_grad(2 * dy.size, *(a.reshape(a.shape[:2]) for a in (dy, y, dx)), log)
    else:
        _columns_grad(2 * dy.size, dy, y, dx, log)
    return dx


# ------------------------------------------------------------------------------ rows


@kernel
def _rows(team, x, y, log):
    for _ in prange(team.size):
        o = take(team)
        while o < x.shape[0]:
            _row(x[o], y[o], log)
            o = take(team)


@jit
def _row(x, y, log):
    top = _largest(x)
    total = _exponentials(x, top, y)
    if log:
        log_total = like(top, math.log(total))
        for i in range(x.size):
            y[i] = x[i] - top - log_total
    else:
        factor = like(top, 1 / total)
        for i in range(x.size):
            y[i] *= factor


@jit
def _largest(x):
    """Return the maximum, from four parts that do not wait for each other; NaN is passed over."""
    a = b = c = d = like(x[0], -np.inf)
    for i in range(U(x.size // 4)):
        j = U(4) * i
        a = x[j] if x[j] > a else a
        b = x[j + U(1)] if x[j + U(1)] > b else b
        c = x[j + U(2)] if x[j + U(2)] > c else c
        d = x[j + U(3)] if x[j + U(3)] > d else d
    for i in range(x.size // 4 * 4, x.size):
        a = x[i] if x[i] > a else a
    a, c = b if b > a else a, d if d > c else c
    return c if c > a else a


@jit(flags=SUM)
def _exponentials(x, top, y):
    """Write y = exp(x - top), and return the sum."""
    total = 0.0
    for i in range(x.size):
        y[i] = exp(x[i] - top)
        total += y[i]
    return total


@kernel
def _rows_grad(team, dy, y, dx, log):
    for _ in prange(team.size):
        o = take(team)
        while o < dy.shape[0]:
            _row_grad(dy[o], y[o], dx[o], log)
            o = take(team)


@jit
def _row_grad(dy, y, dx, log):
    total = like(dy[0], _total(dy, y, log))
    for i in range(dy.size):
        dx[i] = dy[i] - exp(y[i]) * total if log else y[i] * (dy[i] - total)


@jit(flags=SUM)
def _total(dy, y, log):
    total = 0.0
    for i in range(dy.size):
        total += dy[i] if log else dy[i] * y[i]
    return total


# ------------------------------------------------------------------------------ columns


@kernel
def _columns(team, x, y, log):
    blocks = -(-x.shape[2] // _COLUMNS)
    for _ in prange(team.size):
        all_tops, all_totals = np.empty(_COLUMNS, x.dtype), np.empty(_COLUMNS, x.dtype)
        task = take(team)
        while task < x.shape[0] * blocks:
            o, first = task // blocks, task % blocks * _COLUMNS
            last = min(first + _COLUMNS, x.shape[2])
            tops, totals = all_tops[: last - first], all_totals[: last - first]
            tops[:] = -np.inf
            totals[:] = 0
            for j in range(x.shape[1]):
                _keep_larger(x[o, j, first:last], tops)
            for j in range(x.shape[1]):
                _add_exponentials(x[o, j, first:last], tops, y[o, j, first:last], totals)
            _finish(tops, totals, log)
            for j in range(x.shape[1]):
                _apply(x[o, j, first:last], tops, y[o, j, first:last], totals, log)
            task = take(team)


@jit
def _keep_larger(x, tops):
    for i in range(x.size):
        tops[i] = x[i] if x[i] > tops[i] else tops[i]


@jit
def _add_exponentials(x, tops, y, totals):
    for i in range(x.size):
        y[i] = exp(x[i] - tops[i])
        totals[i] += y[i]


@jit
def _finish(tops, totals, log):
    """Make of the sums what the last pass needs: their logarithms, or what to multiply by."""
    for i in range(totals.size):
        totals[i] = math.log(totals[i]) if log else 1 / totals[i]


@jit
def _apply(x, tops, y, totals, log):
    for i in range(x.size):
        total = like(x[i], totals[i])
        y[i] = x[i] - tops[i] - total if log else y[i] * total


@kernel
def _columns_grad(team, dy, y, dx, log):
    blocks = -(-dy.shape[2] // _COLUMNS)
    for _ in prange(team.size):
        all_totals = np.empty(_COLUMNS, dy.dtype)
        task = take(team)
        while task < dy.shape[0] * blocks:
            o, first = task // blocks, task % blocks * _COLUMNS
            last = min(first + _COLUMNS, dy.shape[2])
            totals = all_totals[: last - first]
            totals[:] = 0
            for j in range(dy.shape[1]):
                _add_total(dy[o, j, first:last], y[o, j, first:last], totals, log)
            for j in range(dy.shape[1]):
                part = dx[o, j, first:last]
                _apply_grad(dy[o, j, first:last], y[o, j, first:last], part, totals, log)
            task = take(team)


@jit
def _add_total(dy, y, totals, log):
    for i in range(dy.size):
        totals[i] += dy[i] if log else dy[i] * y[i]


@jit
def _apply_grad(dy, y, dx, totals, log):
    for i in range(dy.size):
        total = like(dy[i], totals[i])
        dx[i] = dy[i] - exp(y[i]) * total if log else y[i] * (dy[i] - total)
