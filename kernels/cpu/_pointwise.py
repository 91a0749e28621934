"""Convolution with 1 x 1 kernels: each image is one product of matrices, on BLAS.

    y = W x      of (K, C) and (C, H*W)             forward
    dx = W' dy   of (C, K) and (K, H*W)             input gradient
    dw = dy x'   of (K, H*W) and (H*W, C), summed   weight gradient

There is nothing to pack: an image of one channel after the other is the matrix of columns. BLAS
runs single-threaded on each image, and threads take images as they become free; 85 to 95 GFLOP/s a
core were measured where register tiles that packed the image first made 65 to 80.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .. import gemm, threads
from ..shapes import Geometry
from .activation import relu

_PARTS = 8  # partial weight gradients: the shapes alone decide how many


def correlate(
    x: np.ndarray, w: np.ndarray, b: np.ndarray | None, y: np.ndarray, geometry: Geometry,
    clip: bool = False,
) -> None:  # fmt: skip
    """Y = W X + b of each image and group, into y; with `clip` max(Y, 0), in a pass of its own."""
    groups = geometry[3]
    X, Y, W = _planes(x, groups), _planes(y, groups), _matrices(w, groups)
    _products(W, X, Y)
    if b is not None:
        y += b[:, None, None]
    if clip:
        relu(y, out=y)


def input_grad(dy: np.ndarray, w: np.ndarray, dx: np.ndarray, geometry: Geometry) -> None:
    """dX = W' dY of each image and group, into dx."""
    groups = geometry[3]
    W = _matrices(w, groups).transpose(0, 2, 1)
    _products(W, _planes(dy, groups), _planes(dx, groups))


def weight_grad(dy: np.ndarray, x: np.ndarray, dw: np.ndarray, geometry: Geometry) -> None:
    """dW = dY X' of each image and group, added up in parts and an order that the shapes decide."""
    groups = geometry[3]
    dY, X, dW = _planes(dy, groups), _planes(x, groups), _matrices(dw, groups)
    sums = np.zeros((min(_PARTS, len(X)), *dW.shape), dw.dtype)

    def part(p: int) -> None:
        for i in range(p, len(X), len(sums)):
            for g in range(groups):
                sums[p, g] += np.matmul(dY[i, g], X[i, g].T)

    _for_each(len(sums), part)
    np.sum(sums, axis=0, out=dW)


def _products(W: np.ndarray, X: np.ndarray, Y: np.ndarray) -> None:
    """Y[n, g] = W[g] X[n, g]."""
    if len(X) * len(W) == 1:
        gemm.matmul(W[0], X[0, 0], out=Y[0, 0])  # which shares out the blocks of one product
        return

    def image(i: int) -> None:
        for g in range(len(W)):
            np.matmul(W[g], X[i, g], out=Y[i, g])

    _for_each(len(X), image)


def _for_each(count: int, work: Callable[[int], None]) -> None:
    def quietly(i: int) -> None:
        with np.errstate(all="ignore"):  # inf and NaN pass through silently, as in every kernel
            work(i)

    with threads.single_threaded_blas():
        gemm.share_out(range(count), quietly)


def _matrices(w: np.ndarray, groups: int) -> np.ndarray:
    """The weights as one matrix per group: (groups, K/groups, C/groups)."""
    return w.reshape(groups, w.shape[0] // groups, -1)


def _planes(x: np.ndarray, groups: int) -> np.ndarray:
    """Planes by group: (N, groups, C/groups, H*W)."""
    N, C, H, W = x.shape
    return x.reshape(N, groups, C // groups, H * W)
