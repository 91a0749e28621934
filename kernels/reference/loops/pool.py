"""Max pooling in loops: each window's pixels in reading order, the first largest wins."""

from __future__ import annotations

import math

import numpy as np

from ... import Array
from ...shapes import Pair, pool_output_size


def max_pool2d(
    x: Array, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair, ceil_mode: bool
) -> tuple[Array, Array]:
    """y[n,c,p,q] = max over r,s of x[n,c,h,v] with h = p*stride - padding + r*dilation.

    x (N,C,H,W) gives y (N,C,P,Q) and the winners' places h*W + v (int32). Pixels outside count as
    -inf; a NaN wins over all that came before it.
    """
    N, C, H, W = x.shape
    P, Q = map(pool_output_size, (H, W), kernel, stride, padding, dilation, (ceil_mode,) * 2)
    y = np.empty((N, C, P, Q), dtype=x.dtype)
    indices = np.empty((N, C, P, Q), dtype=np.int32)
    for n in range(N):
        for c in range(C):
            for p in range(P):
                for q in range(Q):
                    best, place = -math.inf, -1
                    for r in range(kernel[0]):
                        for s in range(kernel[1]):
                            h = p * stride[0] - padding[0] + r * dilation[0]
                            v = q * stride[1] - padding[1] + s * dilation[1]
                            if not (0 <= h < H and 0 <= v < W):
                                continue
                            value = float(x[n, c, h, v])
                            if value > best or math.isnan(value) or place < 0:
                                best, place = value, h * W + v
                    y[n, c, p, q] = best
                    indices[n, c, p, q] = place
    return y, indices


def max_pool2d_grad(dy: Array, indices: Array, input_shape: tuple[int, int, int, int]) -> Array:
    """dx[n,c] at each window's winner gains the window's dy[n,c,p,q]."""
    N, C, P, Q = dy.shape
    W = input_shape[3]
    dx = np.zeros(input_shape)
    for n in range(N):
        for c in range(C):
            for p in range(P):
                for q in range(Q):
                    h, v = divmod(int(indices[n, c, p, q]), W)
                    dx[n, c, h, v] += dy[n, c, p, q]
    return dx.astype(dy.dtype)
