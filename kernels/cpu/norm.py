"""Batch normalisation in few passes: x is read twice forward, dy and x twice backward.

For (32,64,56,56) in float32, 26 MB, that is 77 MB forward and 128 MB backward, results included,
where NumPy's expressions move 310 and 470. Tasks are planes of one image and channel, which lie in
one run and stay in the first-level cache for the second look that a variance needs: a plane has a
mean of its own, from a sum in float64, and the squares around that mean. `_combined` joins planes
into channels without loss:

    var * M = sum over planes of (squares + L * (mean of the plane - mean)**2)

Chan, Golub & LeVeque 1983, "Algorithms for computing the sample variance", section 2. Where L is
small, planes would be too short for vector code; then a task takes a block of neighbouring columns
of x as (N, C*L), and down each column goes what otherwise goes along a plane.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from .. import buffers
from ._jit import SUM, jit, kernel, take
from ._math import like

_SHORT = 40  # values: planes shorter than this are taken by columns
_COLUMNS = 512  # in a task: their sums, in float64, fill an eighth of the first-level cache
_RUN = 4096  # values whose sum may be kept in the arrays' dtype, in the 16 or more lanes of a loop


def batch_moments(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """mean[c] = sum over n,l of x / M;  var[c] = sum of (x - mean)**2 / M, both (C,).

    Exact to rounding at any mean: no difference of large numbers is taken.
    """
    N, C, L = x.shape
    if L < _SHORT:
        sums, squares = np.empty((2, C, L))
        _column_moments(2 * x.size, x.reshape(N, C * L), sums.reshape(-1), squares.reshape(-1))
        mean, var = _combined(sums.T, squares.T, N)
    else:
        sums, squares = np.empty((2, N, C))
        _plane_moments(2 * x.size, x.reshape(N * C, L), sums.reshape(-1), squares.reshape(-1))
        mean, var = _combined(sums, squares, L)
    return mean.astype(x.dtype), var.astype(x.dtype)


def _combined(sums: np.ndarray, squares: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of each channel, from those of its parts (parts, C) of `count` values."""
    M = count * len(sums)
    mean = sums.sum(0) / M
    between = (sums / count - mean) ** 2
    return mean, (squares.sum(0) + count * between.sum(0)) / M


def batch_norm(
    x: np.ndarray,
    mean: np.ndarray,
    var: np.ndarray,
    weight: np.ndarray | None,
    bias: np.ndarray | None,
    eps: float,
    *,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """y[n,c,l] = weight[c] * (x[n,c,l] - mean[c]) / sqrt(var[c] + eps) + bias[c].

    All but x are (C,); None is a weight of 1, a bias of 0.
    """
    shift = np.zeros_like(mean) if bias is None else bias
    constants = np.stack([mean, _scale(var, weight, eps), shift])
    y = buffers.empty(x.shape, x.dtype) if out is None else out
    _apply(x.size, *_as_rows((x, y), constants))
    return y


def batch_norm_weight_grad(
    dy: np.ndarray, x: np.ndarray, mean: np.ndarray, var: np.ndarray, eps: float
) -> tuple[np.ndarray, np.ndarray]:
    """dweight[c] = sum over n,l of dy * x';  dbias[c] = sum of dy, both (C,)."""
    N, C, L = x.shape
    if L < _SHORT:
        parts = np.empty((2, C, L))
        rows = (a.reshape(N, C * L) for a in (dy, x))
        _column_dots(2 * x.size, *rows, np.repeat(mean, L), *parts.reshape(2, C * L))
        dots, sums = parts.sum(2)
    else:
        parts = np.empty((2, N, C))
        rows = (a.reshape(N * C, L) for a in (dy, x))
        _plane_dots(2 * x.size, *rows, mean, *parts.reshape(2, N * C))
        dots, sums = parts.sum(1)
    return (dots / np.sqrt(var + eps)).astype(x.dtype), sums.astype(x.dtype)


def batch_norm_input_grad(
    dy: np.ndarray,
    x: np.ndarray,
    mean: np.ndarray,
    var: np.ndarray,
    weight: np.ndarray | None,
    dweight: np.ndarray,
    dbias: np.ndarray,
    eps: float,
    *,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """dx = weight / sqrt(var + eps) * (dy - (dbias + x' * dweight) / M).

    For mean and var of x itself: what is taken from dy is what they move. Where they are constants
    the gradient is `batch_norm` of dy, with a mean and a bias of 0.
    """
    M = x.shape[0] * x.shape[2]
    slope = dweight * _scale(var, None, eps) / M
    constants = np.stack([mean, _scale(var, weight, eps), dbias / M, slope])
    dx = buffers.empty(dy.shape, dy.dtype) if out is None else out
    _apply_grad(2 * x.size, *_as_rows((dy, x, dx), constants))
    return dx


def _scale(var: np.ndarray, weight: np.ndarray | None, eps: float) -> np.ndarray:
    root = np.sqrt(var + var.dtype.type(eps))
    return 1 / root if weight is None else weight / root


# ------------------------------------------------------------------------------ sums


@kernel
def _plane_moments(team, x, sums, squares):
    for _ in prange(team.size):
        plane = take(team)
        while plane < x.shape[0]:
            sums[plane] = _sum(x[plane])
            mean = like(x[plane, 0], sums[plane] / x.shape[1])
            squares[plane] = _squares(x[plane], mean)
            plane = take(team)


@jit(flags=SUM)
def _sum(x):
    total = 0.0
    for i in range(x.size):
        total += x[i]
    return total


@jit
def _squares(x, mean):
    total = 0.0
    for first in range(0, x.size, _RUN):
        total += _squares_of_run(x[first : first + _RUN], mean)
    return total


@jit(flags=SUM)
def _squares_of_run(x, mean):
    total = like(mean, 0)
    for i in range(x.size):
        deviation = x[i] - mean
        total += deviation * deviation
    return total


@kernel
def _plane_dots(team, dy, x, mean, dots, sums):
    for _ in prange(team.size):
        plane = take(team)
        while plane < x.shape[0]:
            dot = total = 0.0
            for first in range(0, x.shape[1], _RUN):
                run = slice(first, first + _RUN)
                more = _dot_of_run(dy[plane, run], x[plane, run], mean[plane % mean.size])
                dot, total = dot + more[0], total + more[1]
            dots[plane], sums[plane] = dot, total
            plane = take(team)


@jit(flags=SUM)
def _dot_of_run(dy, x, mean):
    dot = total = like(mean, 0)
    for i in range(x.size):
        dot += dy[i] * (x[i] - mean)
        total += dy[i]
    return dot, total


@kernel
def _column_moments(team, x, sums, squares):
    for _ in prange(team.size):
        first = take(team) * _COLUMNS
        while first < x.shape[1]:
            block = slice(first, first + _COLUMNS)
            _zero(sums[block], squares[block])
            for n in range(x.shape[0]):
                _add(x[n, block], sums[block])
            for n in range(x.shape[0]):
                _add_squares(x[n, block], sums[block], x.shape[0], squares[block])
            first = take(team) * _COLUMNS


@jit
def _zero(a, b):
    a[:] = 0
    b[:] = 0


@jit
def _add(x, sums):
    for j in range(x.size):
        sums[j] += x[j]


@jit
def _add_squares(x, sums, count, squares):
    for j in range(x.size):
        deviation = x[j] - like(x[j], sums[j] / count)
        squares[j] += deviation * deviation


@kernel
def _column_dots(team, dy, x, mean, dots, sums):
    for _ in prange(team.size):
        first = take(team) * _COLUMNS
        while first < x.shape[1]:
            block = slice(first, first + _COLUMNS)
            _zero(dots[block], sums[block])
            for n in range(x.shape[0]):
                _add_dots(dy[n, block], x[n, block], mean[block], dots[block])
                _add(dy[n, block], sums[block])
            first = take(team) * _COLUMNS


@jit
def _add_dots(dy, x, mean, dots):
    for j in range(x.size):
        dots[j] += dy[j] * (x[j] - mean[j])


# ------------------------------------------------------------------------------ results


@kernel
def _apply(team, x, y, constants, by_column):
    for _ in prange(team.size):
        row = take(team)
        while row < x.shape[0]:
            if by_column:
                _apply_to_columns(x[row], constants, y[row])
            else:
                c = row % constants.shape[1]
                mean, scale, shift = constants[0, c], constants[1, c], constants[2, c]
                _apply_to_plane(x[row], mean, scale, shift, y[row])
            row = take(team)


@jit
def _apply_to_plane(x, mean, scale, shift, y):
    for i in range(x.size):
        y[i] = (x[i] - mean) * scale + shift


@jit
def _apply_to_columns(x, constants, y):
    mean, scale, shift = constants[0], constants[1], constants[2]
    for j in range(x.size):
        y[j] = (x[j] - mean[j]) * scale[j] + shift[j]


@kernel
def _apply_grad(team, dy, x, dx, constants, by_column):
    for _ in prange(team.size):
        row = take(team)
        while row < x.shape[0]:
            if by_column:
                _grad_of_columns(dy[row], x[row], constants, dx[row])
            else:
                _grad_of_plane(dy[row], x[row], constants, row % constants.shape[1], dx[row])
            row = take(team)


@jit
def _grad_of_plane(dy, x, constants, c, dx):
    mean, scale, dy_mean, slope = constants[0, c], constants[1, c], constants[2, c], constants[3, c]
    for i in range(x.size):
        dx[i] = (dy[i] - dy_mean - (x[i] - mean) * slope) * scale


@jit
def _grad_of_columns(dy, x, constants, dx):
    mean, scale, dy_mean, slope = constants[0], constants[1], constants[2], constants[3]
    for j in range(x.size):
        dx[j] = (dy[j] - dy_mean[j] - (x[j] - mean[j]) * slope[j]) * scale[j]


def _as_rows(arrays: tuple[np.ndarray, ...], constants: np.ndarray) -> tuple:
    """The arrays as planes (N*C, L), or as (N, C*L) with the constants (…, C) spread over L."""
    N, C, L = arrays[0].shape
    if L < _SHORT:
        return *(a.reshape(N, C * L) for a in arrays), np.repeat(constants, L, axis=1), True
    return *(a.reshape(N * C, L) for a in arrays), constants, False
