"""Adaptive pooling: averages as in `avg_pool`, maxima one window after the other.

The windows differ in size, and there are few of them, so a maximum is a plain loop over the
window's pixels: under 1 ns each, since few are larger than all before them, about ln(n) of n.
"""

from __future__ import annotations

import functools

import numpy as np
from numba import prange

from .. import buffers
from ..shapes import Pair, Shape4, adaptive_windows
from ._jit import U, jit, kernel, take
from .avg_pool import Plan, averages, averages_grad, planned


def adaptive_avg_pool2d(x: np.ndarray, output_size: Pair) -> np.ndarray:
    """y[n,c,p,q] = mean of x[n,c] over the rows of window p and the columns of window q.

    x (N,C,H,W) gives y (N,C,P,Q). Row window p is [floor(p*H/P), ceil((p + 1)*H/P)), likewise the
    columns: they cover the image, and overlap by a pixel where P does not divide H.
    """
    return averages(x, _plan(x.shape[2:], output_size))


def adaptive_avg_pool2d_grad(dy: np.ndarray, input_shape: Shape4) -> np.ndarray:
    """dx[n,c,h,w] = sum of dy[n,c,p,q] / pixels of the window, over the windows over (h, w)."""
    return averages_grad(dy, input_shape, _plan(input_shape[2:], dy.shape[2:]))


def adaptive_max_pool2d(x: np.ndarray, output_size: Pair) -> tuple[np.ndarray, np.ndarray]:
    """y[n,c,p,q] = the maximum of x[n,c] over the windows of `adaptive_avg_pool2d`.

    Also returns the winners' places h*W + w (int32): the first of equals, but the last NaN.
    `max_pool2d_grad` is the gradient.
    """
    (N, C, H, W), (P, Q) = x.shape, output_size
    plan = _plan((H, W), output_size)
    y = buffers.empty((N, C, P, Q), x.dtype)
    places = buffers.empty((N, C, P, Q), np.int32)
    planes = x.reshape(N * C, H * W), y.reshape(N * C, P, Q), places.reshape(N * C, P, Q)
    _adaptive_max(2 * x.size, *planes, W, plan.rows, plan.columns)
    return y, places


@functools.lru_cache(maxsize=128, typed=True)
def _plan(size: Pair, output: Pair) -> Plan:
    both = [np.reshape(pairs, (-1, 2)) for pairs in map(adaptive_windows, size, output)]
    return planned(both, size, np.multiply.outer(*(w[:, 1] - w[:, 0] for w in both)))


@kernel
def _adaptive_max(team, x, y, places, W, rows, columns):
    for _ in prange(team.size):
        plane = take(team)
        while plane < x.shape[0]:
            for p in range(y.shape[1]):
                for q in range(y.shape[2]):
                    place = _largest(
                        x[plane], W, rows.first[p], rows.last[p], columns.first[q], columns.last[q]
                    )
                    y[plane, p, q], places[plane, p, q] = x[plane, place], place
            plane = take(team)


@jit
def _largest(x, W, top, bottom, left, right):
    """Return the place of the largest pixel in reading order: the first of equals, the last NaN."""
    place = U(top * W + left)
    best = x[place]
    for h in range(top, bottom):
        for i in range(U(h * W + left), U(h * W + right)):
            v = x[i]
            # The first comparison alone is rarely true: a branch guessed right, and no chain of
            # waiting for `best`. The others are for a `best` that is NaN.
            if not (v <= best) and (v > best or v != v):
                best, place = v, U(i)
    return place
