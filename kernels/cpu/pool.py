"""Max pooling, one plane at a time: read once, in order, with the window in registers.

An output costs R*S comparisons and reads R*S/stride² of the input; the input is 4 bytes a pixel
and comes from memory once, so that 2x2 pooling runs at about the speed of memory.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from .. import buffers
from ..shapes import Pair, pool_output_size
from ._jit import jit, kernel, take


def max_pool2d(
    x: np.ndarray, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair, ceil_mode: bool
) -> tuple[np.ndarray, np.ndarray]:
    """y[n,c,p,q] = max over r,s of x[n,c,h,v] with h = p*stride - padding + r*dilation.

    x (N,C,H,W) gives y (N,C,P,Q) and the winners' places h*W + v (int32). Pixels outside count as
    -inf; the first of equals wins; a NaN wins over all that came before it.
    """
    N, C, H, W = x.shape
    P, Q = map(pool_output_size, (H, W), kernel, stride, padding, dilation, (ceil_mode,) * 2)
    y = buffers.empty((N, C, P, Q), x.dtype)
    indices = buffers.empty((N, C, P, Q), np.dtype(np.int32))
    planes = (N * C, H, W), (N * C, P, Q)
    _max_pool(
        x.size, x.reshape(planes[0]), y.reshape(planes[1]), indices.reshape(planes[1]),
        kernel, stride, padding, dilation,
    )  # fmt: skip
    return y, indices


def max_pool2d_grad(
    dy: np.ndarray, indices: np.ndarray, input_shape: tuple[int, int, int, int]
) -> np.ndarray:
    """dx[n,c] at each window's winner gains the window's dy[n,c,p,q]."""
    N, C, H, W = input_shape
    dx = buffers.empty(input_shape, dy.dtype)
    outputs = dy.shape[2] * dy.shape[3]
    _scatter(
        dx.size, dy.reshape(N * C, outputs), indices.reshape(N * C, outputs),
        dx.reshape(N * C, H * W),
    )  # fmt: skip
    return dx


@kernel
def _max_pool(team, x, y, indices, window, stride, padding, dilation):
    for _ in prange(team.size):
        i = take(team)
        while i < x.shape[0]:
            _max_pool_plane(x[i], y[i], indices[i], window, stride, padding, dilation)
            i = take(team)


@jit
def _max_pool_plane(x, y, indices, window, stride, padding, dilation):
    H, W = x.shape
    for p in range(y.shape[0]):
        top, bottom = _inside(p * stride[0] - padding[0], window[0], dilation[0], H)
        for q in range(y.shape[1]):
            left, right = _inside(q * stride[1] - padding[1], window[1], dilation[1], W)
            best, place = x[top, left], top * W + left
            for h in range(top, bottom, dilation[0]):
                for v in range(left, right, dilation[1]):
                    value = x[h, v]
                    if value > best or np.isnan(value):
                        best, place = value, h * W + v
            y[p, q], indices[p, q] = best, place


@jit
def _inside(start, taps, dilation, size):
    """Return the first tap inside the image, and the end of the range of taps inside it."""
    first = start if start >= 0 else start % dilation
    return first, min(start + dilation * (taps - 1) + 1, size)


@kernel
def _scatter(team, dy, indices, dx):
    for _ in prange(team.size):
        i = take(team)
        while i < dx.shape[0]:
            dx[i] = 0
            for j in range(dy.shape[1]):
                dx[i, indices[i, j]] += dy[i, j]
            i = take(team)
