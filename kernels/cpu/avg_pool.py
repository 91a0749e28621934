"""Average pooling, a plane at a time: sums of rows, then sums along the line of those sums.

A window's rows are added up into one line of W numbers, and each output of the row is a sum of
some neighbours on that line: R*W/Q + S additions per output instead of R*S, nearly all of them
vector code. The input is read from memory once. The gradient is the same sums again, over the
windows that a pixel lies in (`shapes.windows_over`), with the division before them.

Along a line, windows mostly repeat: each lies `step` pixels after the one `period` places before
it. Then all outputs of the line take a tap together, and at the steps that are written out, 1 and
2 in either direction, whole vectors are loaded and stored.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numba import prange

from .. import buffers
from ..shapes import Pair, Shape4, pool_windows, windows_over
from ._jit import PIECE, SUM, U, jit, kernel, take


class Windows(NamedTuple):
    """The windows along one axis, and the places [low, high) where they repeat."""

    first: np.ndarray  # int64
    last: np.ndarray  # excluded
    low: int
    high: int
    period: int
    step: int


class Plan(NamedTuple):
    """The windows along both axes, and the outputs over each row and column."""

    rows: Windows
    columns: Windows
    over_rows: Windows
    over_columns: Windows
    divisor: np.ndarray  # (P, Q)
    all: bool  # whether there is one window only, of all pixels


def avg_pool2d(
    x: np.ndarray, kernel: Pair, stride: Pair, padding: Pair, ceil_mode: bool,
    count_include_pad: bool, divisor_override: int | None,
) -> np.ndarray:  # fmt: skip
    """y[n,c,p,q] = (sum over the window of x[n,c]) / divisor[p,q].

    x (N,C,H,W) gives y (N,C,P,Q). The divisor is `divisor_override` if given, else the window's
    pixels: those of the padding included if `count_include_pad`, those beyond it never.
    """
    geometry = (kernel, stride, padding, ceil_mode, count_include_pad, divisor_override)
    return averages(x, _plan(x.shape[2:], *geometry))


def avg_pool2d_grad(
    dy: np.ndarray, input_shape: Shape4, kernel: Pair, stride: Pair, padding: Pair,
    ceil_mode: bool, count_include_pad: bool, divisor_override: int | None,
) -> np.ndarray:  # fmt: skip
    """dx[n,c,h,w] = sum of dy[n,c,p,q] / divisor[p,q] over the windows (p, q) over (h, w)."""
    geometry = (kernel, stride, padding, ceil_mode, count_include_pad, divisor_override)
    return averages_grad(dy, input_shape, _plan(input_shape[2:], *geometry))


def averages(x: np.ndarray, plan: Plan) -> np.ndarray:
    """Return the sums of x over a plan's windows, divided."""
    N, C, H, W = x.shape
    P, Q = plan.divisor.shape
    y, divisor = buffers.empty((N, C, P, Q), x.dtype), plan.divisor.astype(x.dtype)
    if plan.all:
        _average_all(x.size, x.reshape(N * C, H * W), y.reshape(N * C), divisor[0])
    else:
        planes = x.reshape(N * C, H, W), y.reshape(N * C, P, Q)
        _average(x.size + y.size, *planes, plan.rows, plan.columns, divisor)
    return y


def averages_grad(dy: np.ndarray, input_shape: Shape4, plan: Plan) -> np.ndarray:
    """Return the gradient of `averages` for an input of this shape."""
    N, C, H, W = input_shape
    P, Q = plan.divisor.shape
    dx, divisor = buffers.empty(input_shape, dy.dtype), plan.divisor.astype(dy.dtype)
    if plan.all:
        _average_all_grad(dx.size, dy.reshape(N * C), dx.reshape(N * C, H * W), divisor[0])
    else:
        planes = dy.reshape(N * C, P, Q), dx.reshape(N * C, H, W)
        _average_grad(dx.size + dy.size, *planes, plan.over_rows, plan.over_columns, divisor)
    return dx


# ------------------------------------------------------------------------------ plans


@functools.lru_cache(maxsize=128, typed=True)
def _plan(
    size: Pair, kernel: Pair, stride: Pair, padding: Pair, ceil_mode: bool,
    count_include_pad: bool, divisor_override: int | None,
) -> Plan:  # fmt: skip
    axes = zip(size, kernel, stride, padding, strict=True)
    both = [np.array(pool_windows(*axis, ceil_mode)) for axis in axes]
    inside = [w.clip(0, n) for w, n in zip(both, size, strict=True)]
    counted = both if count_include_pad else inside
    counts = np.multiply.outer(*(w[:, 1] - w[:, 0] for w in counted))
    if divisor_override is not None:
        counts[:] = divisor_override
    return planned(inside, size, counts)


def planned(both: Sequence[Any], size: Pair, divisor: np.ndarray) -> Plan:
    """Return the plan of windows (start, end) along both axes, all of them in the image."""
    rows, columns = map(_windows, both)
    over_rows, over_columns = map(_windows, map(windows_over, both, size))
    all_ = [np.array_equal(w, [(0, n)]) for w, n in zip(both, size, strict=True)] == [True, True]
    return Plan(rows, columns, over_rows, over_columns, divisor, all_)


def _windows(pairs: Any) -> Windows:
    first, last = np.array(pairs, np.int64).reshape(-1, 2).T.copy()
    known = [_repeats(first, last, *how) for how in ((1, 1), (1, 2), (2, 1))]
    return max(known, key=lambda windows: windows.high - windows.low)


def _repeats(first: np.ndarray, last: np.ndarray, period: int, step: int) -> Windows:
    """Return the windows with the longest stretch of them that repeats in this way."""
    same = (first[period:] - first[:-period] == step) & (last[period:] - last[:-period] == step)
    changes = np.flatnonzero(np.diff(same, prepend=False, append=False))
    if changes.size == 0:
        return Windows(first, last, 0, 0, period, step)
    starts, lengths = changes[::2], changes[1::2] - changes[::2] + period
    low, whole = int(starts[lengths.argmax()]), int(lengths.max()) // period * period
    return Windows(first, last, low, low + whole, period, step)


# ------------------------------------------------------------------------------ compiled


@kernel
def _average(team, x, y, rows, columns, divisor):
    (planes, H, W), (_, P, Q) = x.shape, y.shape
    pixels, sums, divisors = x.reshape(x.size), y.reshape(y.size), divisor.reshape(P * Q)
    share = max(1, PIECE // (H * W))
    for _ in prange(team.size):
        line, phases = np.empty(W, x.dtype), np.empty(Q, x.dtype)
        first = take(team) * share
        while first < planes:
            for i in range(first, min(first + share, planes)):
                for p in range(P):
                    row, count = i * H + rows.first[p], rows.last[p] - rows.first[p]
                    _shifted_sums(pixels, row * W, count, W, U(1), line, 0, W)
                    _sum_along(line, 0, columns, phases, sums, (i * P + p) * Q)
                for j in range(U(P * Q)):
                    sums[U(i * P * Q) + j] /= divisors[j]
            first = take(team) * share


@kernel
def _average_grad(team, dy, dx, rows, columns, divisor):
    """The same the other way round, so that the sums along lines are again of P lines, not H."""
    (planes, P, Q), (_, H, W) = dy.shape, dx.shape
    gradients, sums, divisors = dy.reshape(dy.size), dx.reshape(dx.size), divisor.reshape(P * Q)
    share = max(1, PIECE // (H * W))
    for _ in prange(team.size):
        shares, phases = np.empty(P * Q, dy.dtype), np.empty(W, dy.dtype)
        lines = np.empty(P * W, dy.dtype)
        first = take(team) * share
        while first < planes:
            for i in range(first, min(first + share, planes)):
                for j in range(U(P * Q)):
                    shares[j] = gradients[U(i * P * Q) + j] / divisors[j]
                for p in range(P):
                    _sum_along(shares, p * Q, columns, phases, lines, p * W)
                for h in range(H):
                    row, count = rows.first[h], rows.last[h] - rows.first[h]
                    _shifted_sums(lines, row * W, count, W, U(1), sums, (i * H + h) * W, W)
            first = take(team) * share


@kernel
def _average_all(team, x, y, divisor):
    """y[i] = (sum of x[i]) / divisor."""
    share = max(1, PIECE // x.shape[1])
    for _ in prange(team.size):
        first = take(team) * share
        while first < y.size:
            for i in range(first, min(first + share, y.size)):
                y[i] = _total(x[i]) / divisor[0]
            first = take(team) * share


@kernel
def _average_all_grad(team, dy, dx, divisor):
    share = max(1, PIECE // dx.shape[1])
    for _ in prange(team.size):
        first = take(team) * share
        while first < dy.size:
            for i in range(first, min(first + share, dy.size)):
                dx[i] = dy[i] / divisor[0]
            first = take(team) * share


@jit(flags=SUM)
def _total(x):
    total = x.dtype.type(0)
    for j in range(U(x.size)):
        total += x[j]
    return total


@jit
def _sum_along(x, at, c, phases, y, to):
    """y[to + q] = the sum of the line from x[at] on over its window q."""
    for q in range(c.low):
        y[U(to + q)] = _sum(x, at + c.first[q], at + c.last[q])
    for q in range(c.high, c.first.size):
        y[U(to + q)] = _sum(x, at + c.first[q], at + c.last[q])
    if c.low == c.high:
        return
    n = (c.high - c.low) // c.period
    for phase in range(c.period):
        q = c.low + phase
        target, place = (y, to + q) if c.period == 1 else (phases, phase * n)
        if c.step == 1:
            _shifted_sums(x, at + c.first[q], c.last[q] - c.first[q], 1, U(1), target, place, n)
        else:
            _shifted_sums(x, at + c.first[q], c.last[q] - c.first[q], 1, U(2), target, place, n)
    if c.period == 2:
        for j in range(U(n)):
            y[U(to + c.low) + U(2) * j] = phases[j]
            y[U(to + c.low) + U(2) * j + U(1)] = phases[U(n) + j]


@jit
def _sum(x, first, last):
    total = x.dtype.type(0)
    for j in range(first, last):
        total += x[U(j)]
    return total


@jit
def _shifted_sums(x, at, count, gap, step, y, to, n):
    """y[to + j] = sum over t < count of x[at + t*gap + j*step], for all j < n."""
    to, n = U(to), U(n)
    a, b = U(at), U(at + gap)
    if count == 0:
        for j in range(n):
            y[to + j] = 0
    elif count == 1:
        for j in range(n):
            y[to + j] = x[a + step * j]
    else:
        for j in range(n):
            y[to + j] = x[a + step * j] + x[b + step * j]
    for t in range(2, count):
        a = U(at + t * gap)
        for j in range(n):
            y[to + j] += x[a + step * j]
