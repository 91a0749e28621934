"""Average pooling in loops: the pixels of each window, added up and divided by their number."""

from __future__ import annotations

import numpy as np

from ... import Array
from ...shapes import Pair, pool_output_size


def avg_pool2d(
    x: Array,
    kernel: Pair,
    stride: Pair,
    padding: Pair,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
) -> Array:
    """y[n,c,p,q] = (sum over the window's pixels of x[n,c,h,v]) / divisor.

    x (N,C,H,W) gives y (N,C,P,Q). The divisor is `divisor_override` if given, else the window's
    pixels: those of the padding included if `count_include_pad`, those beyond it never.
    """
    N, C, H, W = x.shape
    P, Q = map(pool_output_size, (H, W), kernel, stride, padding, (1, 1), (ceil_mode,) * 2)
    y = np.zeros((N, C, P, Q))
    for n in range(N):
        for c in range(C):
            for p in range(P):
                for q in range(Q):
                    inside, counted = _window((H, W), (p, q), kernel, stride, padding)
                    divisor = counted if count_include_pad else len(inside)
                    for h, v in inside:
                        y[n, c, p, q] += x[n, c, h, v]
                    y[n, c, p, q] /= divisor_override or divisor
    return y.astype(x.dtype)


def avg_pool2d_grad(
    dy: Array,
    input_shape: tuple[int, int, int, int],
    kernel: Pair,
    stride: Pair,
    padding: Pair,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
) -> Array:
    """dx[n,c] at each pixel of a window gains the window's dy[n,c,p,q] / divisor."""
    (N, C, P, Q), (H, W) = dy.shape, input_shape[2:]
    dx = np.zeros(input_shape)
    for n in range(N):
        for c in range(C):
            for p in range(P):
                for q in range(Q):
                    inside, counted = _window((H, W), (p, q), kernel, stride, padding)
                    divisor = counted if count_include_pad else len(inside)
                    for h, v in inside:
                        dx[n, c, h, v] += dy[n, c, p, q] / (divisor_override or divisor)
    return dx.astype(dy.dtype)


def _window(
    size: Pair, at: Pair, kernel: Pair, stride: Pair, padding: Pair
) -> tuple[list[Pair], int]:
    """Return the window's pixels in the image, and how many it has with those of the padding."""
    (H, W), inside, counted = size, [], 0
    for r in range(kernel[0]):
        for s in range(kernel[1]):
            h = at[0] * stride[0] - padding[0] + r
            v = at[1] * stride[1] - padding[1] + s
            counted += h < H + padding[0] and v < W + padding[1]
            if 0 <= h < H and 0 <= v < W:
                inside.append((h, v))
    return inside, counted
