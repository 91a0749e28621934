"""unfold (im2col) and fold (col2im): launch sizes and arguments; the idea is in unfold.cu."""

from __future__ import annotations

from .. import Array
from ..shapes import Pair, conv2d_output_size
from . import _cuda

_MOST_PLANES = 65535  # a grid's limit in y; the kernels loop over what is beyond


def unfold(
    x: Array, kernel: Pair, dilation: Pair, padding: Pair, stride: Pair, *, out: Array | None = None
) -> Array:
    """cols[n, (c,r,s), (p,q)] = padded x[n, c, p*stride + r*dilation, q*stride + s*dilation].

    x (N,C,H,W) gives cols (N, C*R*S, P*Q), as torch.nn.functional.unfold.
    """
    N, C, H, W = x.shape
    P, Q = conv2d_output_size((H, W), kernel, stride, padding, dilation)
    cols = _cuda.empty((N, C * kernel[0] * kernel[1], P * Q), x.dtype) if out is None else out
    _launch("unfold", P * Q, N * C, x, cols, H, W, P, Q, kernel, stride, padding, dilation)
    return cols


def fold(
    cols: Array,
    output_shape: tuple[int, int, int, int],
    kernel: Pair,
    dilation: Pair,
    padding: Pair,
    stride: Pair,
    *,
    out: Array | None = None,
) -> Array:
    """x[n,c,h,v] = sum of the columns' numbers that `unfold` would take from (h, v)."""
    N, C, H, W = output_shape
    P, Q = conv2d_output_size((H, W), kernel, stride, padding, dilation)
    x = _cuda.empty(output_shape, cols.dtype) if out is None else out
    _launch("fold", H * W, N * C, cols, x, H, W, P, Q, kernel, stride, padding, dilation)
    return x


def _launch(
    name: str, places: int, planes: int, source: Array, target: Array,
    H: int, W: int, P: int, Q: int, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair,
) -> None:  # fmt: skip
    if places and planes:
        _cuda.launch(
            "unfold", name, (-(-places // _cuda.THREADS), min(planes, _MOST_PLANES)), _cuda.THREADS,
            source, target, planes, H, W, P, Q, *kernel, *stride, *padding, *dilation,
        )  # fmt: skip
