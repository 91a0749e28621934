"""Average pooling: launch sizes and arguments; the idea is in avg_pool.cu."""

from __future__ import annotations

from .. import Array
from ..shapes import Pair, Shape4, pool_output_size
from . import _cuda
from ._grid import over_planes, over_rows

LARGE = 64  # pixels of a window that a block shares, two or more to each thread of a warp


def avg_pool2d(
    x: Array,
    kernel: Pair,
    stride: Pair,
    padding: Pair,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
) -> Array:
    """y[n,c,p,q] = (sum over the window of x[n,c]) / divisor[p,q].

    x (N,C,H,W) gives y (N,C,P,Q). The divisor is `divisor_override` if given, else the window's
    pixels: those of the padding included if `count_include_pad`, those beyond it never.
    """
    N, C, H, W = x.shape
    P, Q = map(pool_output_size, (H, W), kernel, stride, padding, (1, 1), (ceil_mode,) * 2)
    y = _cuda.empty((N, C, P, Q), x.dtype)
    how = (H, W, P, Q, *kernel, *stride, *padding, count_include_pad, divisor_override or 0)
    pixels = min(kernel[0], H) * min(kernel[1], W)
    if pixels >= LARGE:
        over_rows("avg_pool", "avg_pool_large", y.size, pixels, x, y, *how, reads=H * W)
    else:
        over_planes("avg_pool", "avg_pool", N * C, P * Q, x, y, N * C, *how, each=1, reads=H * W)
    return y


def avg_pool2d_grad(
    dy: Array,
    input_shape: Shape4,
    kernel: Pair,
    stride: Pair,
    padding: Pair,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
) -> Array:
    """dx[n,c,h,w] = sum of dy[n,c,p,q] / divisor[p,q] over the windows (p, q) over (h, w)."""
    N, C, H, W = input_shape
    dx = _cuda.empty(input_shape, dy.dtype)
    how = (*kernel, *stride, *padding, count_include_pad, divisor_override or 0)
    over_planes("avg_pool", "avg_pool_grad", N * C, H * W, dy, dx, N * C, H, W, *dy.shape[2:], *how)
    return dx
