"""2-D convolution and its gradients: which of the paths computes a layer.

A layer takes 2*N*K*P*Q*(C/groups)*R*S FLOPs forward and as many for each gradient. There is no one
best way to them, so there are several paths, and `_paths` chooses by the shapes alone:

    runs        pixels in the lanes, shifted runs of the image      few filters, depthwise
    tiles       filters in the lanes, outer products in registers   all others
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
from ..shapes import Pair, conv2d_output_size
from . import _pointwise, _runs, _tiled
from ._flat import Shape4, plan
from ._jit import jit, kernel, take
from ._paths import choose

_WITH_PLAN: dict[str, Any] = {"runs": _runs, "tiles": _tiled}


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
    y_size = conv2d_output_size(x.shape[2:], w.shape[2:], stride, padding, dilation)
    y = buffers.empty((x.shape[0], w.shape[0], *y_size), x.dtype) if out is None else out
    if y.size:
        path = _path(w.shape, groups, stride, padding, x.itemsize)
        if path == "pointwise":
            _pointwise.correlate(x, w, b, y, groups)
        else:
            geometry = plan(x.shape, w.shape, y_size, stride, padding, dilation, groups, x.itemsize)
            _WITH_PLAN[path].correlate(x, w, b, y, *geometry)
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
        path = _path(w.shape, groups, stride, padding, dy.itemsize, "input")
        if path == "pointwise":
            _pointwise.input_grad(dy, w, dx, groups)
        else:
            geometry = plan(
                input_shape, w.shape, dy.shape[2:], stride, padding, dilation, groups,
                dy.itemsize, True,
            )  # fmt: skip
            _WITH_PLAN[path].correlate(dy, w, None, dx, *geometry)
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
    path = _path(weight_shape, groups, stride, padding, x.itemsize, "weight")
    if not x.size:
        dw[...] = 0
    elif path == "pointwise":
        _pointwise.weight_grad(dy, x, dw, groups)
    else:
        geometry = plan(
            x.shape, weight_shape, dy.shape[2:], stride, padding, dilation, groups, x.itemsize
        )
        _WITH_PLAN[path].weight_grad(dy, x, dw, *geometry)
    return dw


def conv2d_bias_grad(dy: np.ndarray, *, out: np.ndarray | None = None) -> np.ndarray:
    """Return db (K,): dy (N,K,P,Q) summed over images and positions, in float64 on the way."""
    N, K, P, Q = dy.shape
    db = np.empty(K, dy.dtype) if out is None else out
    sums = np.empty((N, K), np.float64)
    _sum_planes(dy.size, dy.reshape(N * K, P * Q), sums.reshape(-1))
    db[:] = sums.sum(axis=0)
    return db


def _path(
    w_shape: Shape4, groups: int, stride: Pair, padding: Pair, itemsize: int, grad_of: str = ""
) -> str:
    """Return which path computes the layer, or its gradient of the "input" or "weight"."""
    K, C, R, S = w_shape  # channels and filters of a group
    K //= groups
    channels, depth = (C, K) if grad_of == "input" else (K, C)
    taps = depth * R * S
    if grad_of == "input":  # a phase of dx has its share of them
        taps = -(-taps // (min(stride[0], R) * min(stride[1], S)))
    is_product = (R, S) == stride == (1, 1) and padding == (0, 0)
    return choose(taps, channels, itemsize, is_product=is_product, by_rows=grad_of == "weight")


@kernel
def _sum_planes(team, x, sums):
    for _ in prange(team.size):
        i = take(team)
        while i < x.shape[0]:
            sums[i] = _sum(x[i])
            i = take(team)


@jit(flags=frozenset({"contract", "reassoc"}))
def _sum(x):
    total = 0.0
    for i in range(x.size):
        total += np.float64(x[i])
    return total
