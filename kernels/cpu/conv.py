"""2-D convolution and its gradients: which of the paths computes a layer.

A layer takes 2*N*K*P*Q*(C/groups)*R*S FLOPs forward and as many for each gradient. There is no one
best way to them, so there are several paths, and `_paths` chooses by the shapes alone:

    runs        pixels in the lanes, shifted runs of the image      few filters, depthwise
    rows        pixels in the lanes, rows of some filters at once   few channels: first layers
    tiles       filters in the lanes, outer products in registers   all others
    winograd    the same, with a quarter of the multiplications     3 x 3, stride 1
    pointwise   a matrix product on BLAS                            1 x 1 kernels

On all of them every output is summed by one task in the fixed order of its taps: the bits depend on
neither the number of threads nor the batch. The weight gradient adds up a number of partial sums
that only the shapes decide.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import prange

from .. import buffers
from ..paths import took
from ..shapes import Geometry, Pair, Shape4, conv2d_output_size
from . import _pointwise, _rows, _runs, _tiled, _winograd
from ._jit import SUM, jit, kernel, take
from ._paths import choose

_MODULES: dict[str, Any] = {
    "runs": _runs,
    "tiles": _tiled,
    "rows": _rows,
    "pointwise": _pointwise,
    "winograd": _winograd,
}


def conv2d(
    x: np.ndarray,
    w: np.ndarray,
    b: np.ndarray | None,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
    *,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """y[n,k,p,q] = b[k] + sum over c,r,s of w[k,c,r,s] * padded x[n,c,p*stride + r*dilation, ...].

    x (N,C,H,W), w (K,C/groups,R,S), b (K,) or None give y (N,K,P,Q). Filters k of group g see the
    channels of group g only. A NaN or infinity reaches exactly the outputs that its pixel has.
    """
    return _forward(x, w, b, (stride, padding, dilation, groups), False, out)


def conv2d_relu(
    x: np.ndarray,
    w: np.ndarray,
    b: np.ndarray | None,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
    *,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """y = max(conv2d(x, w, b, ...), 0), before it goes to memory; a NaN stays NaN.

    A ReLU of its own reads and writes the result once more. At 27 multiply-adds for a number, as
    in a first layer, that takes as long as half the convolution.
    """
    return _forward(x, w, b, (stride, padding, dilation, groups), True, out)


def _forward(
    x: np.ndarray, w: np.ndarray, b: np.ndarray | None, geometry: Geometry, clip: bool,
    out: np.ndarray | None,
) -> np.ndarray:  # fmt: skip
    y_size = conv2d_output_size(x.shape[2:], w.shape[2:], *geometry[:3])
    y = buffers.empty((x.shape[0], w.shape[0], *y_size), x.dtype) if out is None else out
    if y.size:
        _path(w.shape, geometry, x.itemsize, y_size).correlate(x, w, b, y, geometry, clip)
    return y


def conv2d_input_grad(
    dy: np.ndarray,
    w: np.ndarray,
    input_shape: Shape4,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
    *,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """Return dx (N,C,H,W) = input_shape: each phase of it is a stride-1 convolution of dy."""
    dx = buffers.empty(input_shape, dy.dtype) if out is None else out
    if dx.size:
        geometry = stride, padding, dilation, groups
        path = _path(w.shape, geometry, dy.itemsize, input_shape[2:], "input")
        path.input_grad(dy, w, dx, geometry)
    return dx


def conv2d_weight_grad(
    dy: np.ndarray,
    x: np.ndarray,
    weight_shape: Shape4,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
    *,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """Return dw (K,C/groups,R,S) = weight_shape: dy times the pixels that each weight met."""
    dw = buffers.empty(weight_shape, x.dtype) if out is None else out
    if x.size and dy.size:
        geometry = stride, padding, dilation, groups
        path = _path(weight_shape, geometry, x.itemsize, dy.shape[2:], "weight")
        path.weight_grad(dy, x, dw, geometry)
    else:
        dw[...] = 0
    return dw


def conv2d_bias_grad(dy: np.ndarray, *, out: np.ndarray | None = None) -> np.ndarray:
    """Return db (K,): dy (N,K,P,Q) summed over images and positions, in float64 on the way."""
    N, K, P, Q = dy.shape
    db = np.empty(K, dy.dtype) if out is None else out
    sums = np.empty((N, K), np.float64)
    _sum_planes(dy.size, dy.reshape(N * K, P * Q), sums.reshape(-1))
    db[:] = sums.sum(axis=0)
    return db


def _path(w_shape: Shape4, geometry: Geometry, itemsize: int, size: Pair, grad_of: str = "") -> Any:
    """Return which module computes the layer, or its gradient of the "input" or "weight".

    `size` is that of the images of outputs; for the gradient of the input, of dx.
    """
    stride, padding, dilation, groups = geometry
    K, C, R, S = w_shape
    filters, depth = (C, K // groups) if grad_of == "input" else (K // groups, C)
    taps = depth * R * S
    if grad_of == "input":  # a phase of dx has its share of them
        taps = -(-taps // (min(stride[0], R) * min(stride[1], S)))
    is_product = (R, S) == stride == (1, 1) and padding == (0, 0)
    is_winograd = (R, S) == (3, 3) and stride == dilation == (1, 1) and groups == 1
    path = choose(
        taps, filters, itemsize, is_product=is_product, of_weights=grad_of == "weight",
        outputs=size if is_winograd and grad_of != "weight" else None,
        rows=_rows.work(w_shape, geometry, size, grad_of),
    )  # fmt: skip
    return _MODULES[took(path)]


@kernel
def _sum_planes(team, x, sums):
    for _ in prange(team.size):
        i = take(team)
        while i < x.shape[0]:
            sums[i] = _sum(x[i])
            i = take(team)


@jit(flags=SUM)
def _sum(x):
    total = 0.0
    for i in range(x.size):
        total += np.float64(x[i])
    return total
