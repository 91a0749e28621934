"""Local response normalisation, a block of pixels at a time: its channels stay in the cache.

x is read from memory once forward, and dy and x once backward: 8 and 12 bytes per float32. A window
is summed afresh for each channel, `size` multiply-adds, since a running sum that also subtracts
would keep the rounding errors of large values after they have left. d**-0.75, the paper's, is made
of two square roots, and the powers 1/2 and 1 are short too: vector code, 2 ns per value forward on
one core, windows of 5 included. Other powers take the C library's `pow`, and 6 ns.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from .. import buffers
from ._jit import jit, kernel, take
from ._math import like

_COLUMNS = 256  # pixels in a task: with 256 channels, their terms are 256 KiB


def response_norm(
    x: np.ndarray,
    size: int,
    alpha: float,
    beta: float,
    k: float,
    *,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """y = x / d**beta."""
    y = buffers.empty(x.shape, x.dtype) if out is None else out
    numbers = tuple(map(x.dtype.type, (k, alpha / size)))
    _forward(4 * x.size, x, size // 2, (size - 1) // 2, numbers, float(beta), y)
    return y


def response_norm_grad(
    dy: np.ndarray,
    x: np.ndarray,
    size: int,
    alpha: float,
    beta: float,
    k: float,
    *,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """dx[c] = dy[c] / d[c]**beta - 2*alpha*beta/size * x[c] * sum of t[j], t = dy*x / d**(beta+1).

    The sum is over the channels j whose window holds c: from c - (size-1)//2 to c + size//2.
    """
    dx = buffers.empty(x.shape, x.dtype) if out is None else out
    numbers = tuple(map(x.dtype.type, (k, alpha / size, 2 * alpha * beta / size)))
    _backward(8 * x.size, dy, x, size // 2, (size - 1) // 2, numbers, float(beta), dx)
    return dx


@kernel
def _forward(team, x, before, after, numbers, beta, y):
    N, C, L = x.shape
    blocks = -(-L // _COLUMNS)
    for _ in prange(team.size):
        scratch = np.empty((2, _COLUMNS), x.dtype)
        task = take(team)
        while task < N * blocks:
            n, first = task // blocks, task % blocks * _COLUMNS
            last = min(first + _COLUMNS, L)
            d, power = scratch[0, : last - first], scratch[1, : last - first]
            for c in range(C):
                _divisors(x[n], c - before, c + after, first, last, numbers, d)
                _invert_powers(d, beta, power)
                _multiply(x[n, c, first:last], power, y[n, c, first:last])
            task = take(team)


@kernel
def _backward(team, dy, x, before, after, numbers, beta, dx):
    N, C, L = x.shape
    blocks = -(-L // _COLUMNS)
    for _ in prange(team.size):
        scratch, terms = np.empty((2, _COLUMNS), x.dtype), np.empty((C, _COLUMNS), x.dtype)
        task = take(team)
        while task < N * blocks:
            n, first = task // blocks, task % blocks * _COLUMNS
            last = min(first + _COLUMNS, L)
            d, power = scratch[0, : last - first], scratch[1, : last - first]
            for c in range(C):
                _divisors(x[n], c - before, c + after, first, last, numbers, d)
                _invert_powers(d, beta, power)
                share = dx[n, c, first:last]
                _multiply(dy[n, c, first:last], power, share)
                _fill_terms(share, x[n, c, first:last], d, terms[c])
            for c in range(C):
                d[:] = 0
                for j in range(max(0, c - after), min(C, c + before + 1)):
                    _add(terms[j], d)
                _subtract(x[n, c, first:last], d, numbers[2], dx[n, c, first:last])
            task = take(team)


@jit
def _divisors(x, low, high, first, last, numbers, d):
    """d = k + alpha / size * sum of x**2 over channels low .. high, in pixels first .. last-1."""
    d[:] = 0
    for j in range(max(0, low), min(x.shape[0], high + 1)):
        _add_squares(x[j, first:last], d)
    for i in range(d.size):
        d[i] = numbers[0] + numbers[1] * d[i]


@jit
def _add_squares(x, sums):
    for i in range(sums.size):
        sums[i] += x[i] * x[i]


@jit
def _invert_powers(d, beta, power):
    """power = d**-beta, in memory of its own. A loop that may call `pow` is no vector code."""
    if beta == 0.75:
        for i in range(d.size):
            root = np.sqrt(d[i])
            power[i] = like(root, 1) / (root * np.sqrt(root))
    elif beta == 0.5:
        for i in range(d.size):
            power[i] = like(d[i], 1) / np.sqrt(d[i])
    elif beta == 1:
        for i in range(d.size):
            power[i] = like(d[i], 1) / d[i]
    else:
        for i in range(d.size):
            power[i] = d[i] ** like(d[i], -beta)


@jit
def _multiply(x, factors, y):
    for i in range(x.size):
        y[i] = x[i] * factors[i]


@jit
def _fill_terms(share, x, d, terms):
    for i in range(d.size):
        terms[i] = share[i] * x[i] / d[i]


@jit
def _add(terms, sums):
    for i in range(sums.size):
        sums[i] += terms[i]


@jit
def _subtract(x, sums, factor, dx):
    for i in range(x.size):
        dx[i] -= x[i] * sums[i] * factor
