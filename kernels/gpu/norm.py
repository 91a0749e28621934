"""Batch normalisation: launch sizes and arguments; the idea is in norm.cu."""

from __future__ import annotations

import numpy as np

from .. import Array
from . import _cuda
from ._grid import over_planes

_SHARE = 8192  # values of a channel that a block sums up: 32 or 64 KB, which stay in the cache


def batch_moments(x: Array) -> tuple[Array, Array]:
    """mean[c] = sum over n,l of x / M;  var[c] = sum of (x - mean)**2 / M, both (C,).

    Exact to rounding at any mean: no difference of large numbers is taken.
    """
    N, C, L = x.shape
    M, shares = N * L, _shares(N * L)
    mean, var = _cuda.empty((C,), x.dtype), _cuda.empty((C,), x.dtype)
    if C:
        sums, squares = (_cuda.empty((shares, C), np.float64) for _ in range(2))
        grid = shares * C
        _cuda.launch(
            "norm", "share_moments", grid, _cuda.THREADS,
            x, sums, squares, C, max(L, 1), M, _SHARE,
        )  # fmt: skip
        _cuda.spread("norm", "join_moments", C, sums, squares, mean, var, C, M, _SHARE, shares)
    return mean, var


def batch_norm(
    x: Array,
    mean: Array,
    var: Array,
    weight: Array | None,
    bias: Array | None,
    eps: float,
    *,
    out: Array | None = None,
) -> Array:
    """y[n,c,l] = weight[c] * (x[n,c,l] - mean[c]) / sqrt(var[c] + eps) + bias[c].

    All but x are (C,); None is a weight of 1, a bias of 0.
    """
    N, C, L = x.shape
    y = _cuda.empty(x.shape, x.dtype) if out is None else out
    over_planes("norm", "batch_norm", N * C, L, x, mean, var, weight, bias, y, eps, N * C, C, L)
    return y


def batch_norm_weight_grad(
    dy: Array, x: Array, mean: Array, var: Array, eps: float
) -> tuple[Array, Array]:
    """dweight[c] = sum over n,l of dy * x';  dbias[c] = sum of dy, both (C,)."""
    N, C, L = x.shape
    M, shares = N * L, _shares(N * L)
    dweight, dbias = _cuda.empty((C,), x.dtype), _cuda.empty((C,), x.dtype)
    if C:
        dots, sums = (_cuda.empty((shares, C), np.float64) for _ in range(2))
        grid = shares * C
        _cuda.launch(
            "norm", "share_dots", grid, _cuda.THREADS,
            dy, x, mean, dots, sums, C, max(L, 1), M, _SHARE,
        )  # fmt: skip
        _cuda.spread("norm", "join_dots", C, dots, sums, var, dweight, dbias, eps, C, shares)
    return dweight, dbias


def batch_norm_input_grad(
    dy: Array,
    x: Array,
    mean: Array,
    var: Array,
    weight: Array | None,
    dweight: Array,
    dbias: Array,
    eps: float,
    *,
    out: Array | None = None,
) -> Array:
    """dx = weight / sqrt(var + eps) * (dy - (dbias + x' * dweight) / M).

    For mean and var of x itself: what is taken from dy is what they move. Where they are constants
    the gradient is `batch_norm` of dy, with a mean and a bias of 0.
    """
    N, C, L = x.shape
    dx = _cuda.empty(x.shape, x.dtype) if out is None else out
    over_planes(
        "norm", "batch_norm_input_grad", N * C, L,
        dy, x, mean, var, weight, dweight, dbias, dx, eps, N * C, C, L, N * L,
    )  # fmt: skip
    return dx


def _shares(M: int) -> int:
    return max(1, -(-M // _SHARE))
