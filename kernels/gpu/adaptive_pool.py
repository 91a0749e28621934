"""Adaptive pooling: launch sizes and arguments; the idea is in adaptive_pool.cu."""

from __future__ import annotations

from functools import partial

from .. import Array
from ..shapes import Pair, Shape4
from . import _cuda
from ._grid import over_planes, over_rows
from .avg_pool import LARGE

_planes = partial(over_planes, "adaptive_pool", each=1)


def adaptive_avg_pool2d(x: Array, output_size: Pair) -> Array:
    """y[n,c,p,q] = mean of x[n,c] over the rows of window p and the columns of window q.

    x (N,C,H,W) gives y (N,C,P,Q). Row window p is [floor(p*H/P), ceil((p + 1)*H/P)), likewise the
    columns: they cover the image, and overlap by a pixel where P does not divide H.
    """
    (N, C, H, W), (P, Q) = x.shape, output_size
    y = _cuda.empty((N, C, P, Q), x.dtype)
    if H * W >= LARGE * P * Q:
        over_rows(
            "adaptive_pool", "adaptive_avg_pool_large", y.size, H * W // max(1, P * Q),
            x, y, H, W, P, Q, reads=H * W,
        )  # fmt: skip
    else:
        _planes("adaptive_avg_pool", N * C, P * Q, x, y, N * C, H, W, P, Q, reads=H * W)
    return y


def adaptive_avg_pool2d_grad(dy: Array, input_shape: Shape4) -> Array:
    """dx[n,c,h,w] = sum of dy[n,c,p,q] / pixels of the window, over the windows over (h, w)."""
    N, C, H, W = input_shape
    dx = _cuda.empty(input_shape, dy.dtype)
    _planes("adaptive_avg_pool_grad", N * C, H * W, dy, dx, N * C, H, W, *dy.shape[2:])
    return dx


def adaptive_max_pool2d(x: Array, output_size: Pair) -> tuple[Array, Array]:
    """y[n,c,p,q] = the maximum of x[n,c] over the windows of `adaptive_avg_pool2d`.

    Also returns the winners' places h*W + w (int32): the first of equals, but the last NaN.
    `max_pool2d_grad` is the gradient.
    """
    (N, C, H, W), (P, Q) = x.shape, output_size
    y, places = _cuda.empty((N, C, P, Q), x.dtype), _cuda.empty((N, C, P, Q), "int32")
    _planes("adaptive_max_pool", N * C, P * Q, x, y, places, N * C, H, W, P, Q, reads=H * W)
    return y, places
