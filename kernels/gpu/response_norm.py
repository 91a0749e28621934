"""Local response normalisation: launch sizes and arguments; the idea is in response_norm.cu."""

from __future__ import annotations

from .. import Array
from . import _cuda
from ._grid import over_planes


def response_norm(
    x: Array, size: int, alpha: float, beta: float, k: float, *, out: Array | None = None
) -> Array:
    """y = x / d**beta."""
    N, C, L = x.shape
    y = _cuda.empty(x.shape, x.dtype) if out is None else out
    how = N * C, C, L, size, alpha / size, beta, k
    over_planes("response_norm", "response_norm", N * C, L, x, y, *how)
    return y


def response_norm_grad(
    dy: Array, x: Array, size: int, alpha: float, beta: float, k: float, *, out: Array | None = None
) -> Array:
    """dx[c] = dy[c] / d[c]**beta - 2*alpha*beta/size * x[c] * sum of t[j], t = dy*x / d**(beta+1).

    The sum is over the channels j whose window holds c: from c - (size-1)//2 to c + size//2.
    """
    N, C, L = x.shape
    dx = _cuda.empty(x.shape, x.dtype) if out is None else out
    terms, how = _cuda.empty(x.shape, x.dtype), (N * C, C, L, size)
    more, factor = (alpha / size, beta, k), 2 * alpha * beta / size
    over_planes("response_norm", "response_norm_terms", N * C, L, dy, x, dx, terms, *how, *more)
    over_planes("response_norm", "response_norm_grad", N * C, L, x, terms, dx, *how, factor)
    return dx
