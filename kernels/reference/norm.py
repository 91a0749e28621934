"""Batch normalisation over x (N,C,L): statistics, the normalised x, and both gradients.

Ioffe & Szegedy 2015, "Batch normalization: accelerating deep network training by reducing internal
covariate shift", algorithm 1. Images (N,C,H,W) are L = H*W, rows (N,C) are L = 1. M = N*L is the
number of values per channel; x' = (x - mean) / sqrt(var + eps).
"""

from __future__ import annotations

from .. import Array, namespace
from .unfold import deliver


def batch_moments(x: Array) -> tuple[Array, Array]:
    """mean[c] = sum over n,l of x / M;  var[c] = sum of (x - mean)**2 / M, both (C,).

    In two passes, with sums in float64: the shortcut E[x**2] - mean**2 cancels where the mean is
    large, and leaves nothing of var in float32 at a mean of 10,000.
    """
    xp = namespace(x)
    M = x.shape[0] * x.shape[2]
    mean = xp.sum(x, axis=(0, 2), dtype=xp.float64) / M
    deviation = x - mean[:, None]
    var = xp.sum(deviation * deviation, axis=(0, 2)) / M
    return xp.astype(mean, x.dtype), xp.astype(var, x.dtype)


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
    y = (x - mean[:, None]) * _scale(var, weight, eps)[:, None]
    return deliver(y if bias is None else y + bias[:, None], out)


def batch_norm_weight_grad(
    dy: Array, x: Array, mean: Array, var: Array, eps: float
) -> tuple[Array, Array]:
    """dweight[c] = sum over n,l of dy * x';  dbias[c] = sum of dy, both (C,)."""
    xp = namespace(x)
    dots = xp.sum(dy * (x - mean[:, None]), axis=(0, 2), dtype=xp.float64)
    dbias = xp.sum(dy, axis=(0, 2), dtype=xp.float64)
    return xp.astype(dots / xp.sqrt(var + eps), x.dtype), xp.astype(dbias, x.dtype)


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
    M = x.shape[0] * x.shape[2]
    slope = dweight * _scale(var, None, eps) / M
    inner = dy - (dbias / M)[:, None] - (x - mean[:, None]) * slope[:, None]
    return deliver(inner * _scale(var, weight, eps)[:, None], out)


def _scale(var: Array, weight: Array | None, eps: float) -> Array:
    xp = namespace(var)
    return 1 / xp.sqrt(var + eps) if weight is None else weight / xp.sqrt(var + eps)
