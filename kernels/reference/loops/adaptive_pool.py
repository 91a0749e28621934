"""Adaptive pooling in loops: window p of P along H pixels is [floor(p*H/P), ceil((p + 1)*H/P))."""

from __future__ import annotations

import math

import numpy as np

from ... import Array
from ...shapes import Pair


def adaptive_avg_pool2d(x: Array, output_size: Pair) -> Array:
    """y[n,c,p,q] = mean of the window's pixels x[n,c,h,v]. x (N,C,H,W) gives y (N,C,P,Q)."""
    (N, C, H, W), (P, Q) = x.shape, output_size
    y = np.zeros((N, C, P, Q))
    for n in range(N):
        for c in range(C):
            for p in range(P):
                for q in range(Q):
                    pixels = _window((H, W), (P, Q), (p, q))
                    for h, v in pixels:
                        y[n, c, p, q] += x[n, c, h, v]
                    y[n, c, p, q] /= len(pixels)
    return y.astype(x.dtype)


def adaptive_avg_pool2d_grad(dy: Array, input_shape: tuple[int, int, int, int]) -> Array:
    """dx[n,c] at each pixel of a window gains dy[n,c,p,q] / (the window's pixels)."""
    (N, C, P, Q), (H, W) = dy.shape, input_shape[2:]
    dx = np.zeros(input_shape)
    for n in range(N):
        for c in range(C):
            for p in range(P):
                for q in range(Q):
                    pixels = _window((H, W), (P, Q), (p, q))
                    for h, v in pixels:
                        dx[n, c, h, v] += dy[n, c, p, q] / len(pixels)
    return dx.astype(dy.dtype)


def adaptive_max_pool2d(x: Array, output_size: Pair) -> tuple[Array, Array]:
    """y[n,c,p,q] = the largest of the window's pixels, in reading order, and its place h*W + v.

    The first of equals wins, and a NaN over all that came before it. Places are int32;
    `max_pool2d_grad` is the gradient.
    """
    (N, C, H, W), (P, Q) = x.shape, output_size
    y = np.empty((N, C, P, Q), dtype=x.dtype)
    indices = np.empty((N, C, P, Q), dtype=np.int32)
    for n in range(N):
        for c in range(C):
            for p in range(P):
                for q in range(Q):
                    best, place = -math.inf, -1
                    for h, v in _window((H, W), (P, Q), (p, q)):
                        value = float(x[n, c, h, v])
                        if value > best or math.isnan(value) or place < 0:
                            best, place = value, h * W + v
                    y[n, c, p, q] = best
                    indices[n, c, p, q] = place
    return y, indices


def _window(size: Pair, output: Pair, at: Pair) -> list[Pair]:
    """Return the window's pixels in reading order."""
    (H, W), (P, Q), (p, q) = size, output, at
    rows = range(p * H // P, -(-(p + 1) * H // P))
    columns = range(q * W // Q, -(-(q + 1) * W // Q))
    return [(h, v) for h in rows for v in columns]
