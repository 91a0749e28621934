"""Max pooling: launch sizes and arguments; the idea is in pool.cu."""

from __future__ import annotations

from .. import Array
from ..shapes import Pair, Shape4, pool_output_size
from . import _cuda
from ._grid import over_planes, over_rows


def max_pool2d(
    x: Array, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair, ceil_mode: bool
) -> tuple[Array, Array]:
    """y[n,c,p,q] = max over r,s of padded x[n, c, p*stride + r*dilation, q*stride + s*dilation].

    x (N,C,H,W) gives y (N,C,P,Q) and the winners' places h*W + w (int32) in the unpadded plane.
    The padding is -inf; the first of equals wins; a NaN wins over all that came before it.
    """
    N, C, H, W = x.shape
    P, Q = map(pool_output_size, (H, W), kernel, stride, padding, dilation, (ceil_mode,) * 2)
    y, places = _cuda.empty((N, C, P, Q), x.dtype), _cuda.empty((N, C, P, Q), "int32")
    over_planes(
        "pool", "max_pool", N * C, P * Q,
        x, y, places, N * C, H, W, P, Q, *kernel, *stride, *padding, *dilation, each=1, reads=H * W,
    )  # fmt: skip
    return y, places


def max_pool2d_grad(dy: Array, indices: Array, input_shape: Shape4) -> Array:
    """dx[n,c,h,w] = sum of dy[n,c,p,q] over the windows whose winner is (h, w).

    (h, w) asks the windows that may have chosen it, p*step + a = h with a in the range of all
    winners. Any step is right; the pooling's own makes the range narrowest.
    """
    N, C, H, W = input_shape
    P, Q = dy.shape[2:]
    if dy.size == 0:
        return _cuda.zeros(input_shape, dy.dtype)
    dx = _cuda.empty(input_shape, dy.dtype)
    step_h, step_w = max(1, round(H / P)), max(1, round(W / Q))
    over_rows("pool", "max_pool_grad", N * C, H * W, dy, indices, dx, H, W, P, Q, step_h, step_w)
    return dx
