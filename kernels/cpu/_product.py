"""Convolution as im2col and matrix products, for layers of many channels and filters.

There BLAS's rate, 130 to 170 GFLOP/s a core, makes up for the columns: 8*C*R*S*P*Q bytes an image
are written and read against 2*K*C*R*S*P*Q FLOPs, K/4 of them to a byte. Some images at a time are
packed by all threads at once, so that their columns are still in the cache when they are used; each
image is then one product on single-threaded BLAS, and the threads take images as they become free.
Elsewhere the shifted runs of `conv` are faster.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from .. import buffers, gemm, threads
from ..shapes import Pair
from .unfold import fold, unfold

Shape4 = tuple[int, int, int, int]
Geometry = tuple[Pair, Pair, Pair, int]  # stride, padding, dilation, groups

_DEEP = 64  # filters, and channels, of a group from which products were measured to be faster
_COLUMNS = 1 << 25  # bytes of columns at a time
_PARTS = 8  # partial weight gradients: the shapes alone decide how many


def is_faster(w_shape: Shape4, groups: int) -> bool:
    """Return whether products were faster than shifted runs for such weights."""
    return min(w_shape[0] // groups, w_shape[1]) >= _DEEP


def conv2d(
    x: np.ndarray, w: np.ndarray, b: np.ndarray | None, y: np.ndarray, geometry: Geometry
) -> None:
    """Y = W X + b of each image and group, into y."""
    groups = geometry[3]
    W, Y = _matrix(w, groups), _planes(y, groups)
    for start, X in _columns(x, w.shape, y.shape, geometry):

        def image(i: int, start: int = start, X: np.ndarray = X) -> None:
            for g in range(groups):
                np.matmul(W[g], X[i, g], out=Y[start + i, g])
            if b is not None:
                y[start + i] += b[:, None, None]

        _for_each(X.shape[0], image)


def input_grad(dy: np.ndarray, w: np.ndarray, dx: np.ndarray, geometry: Geometry) -> None:
    """dX = W' dY of each image and group, folded back into dx."""
    stride, padding, dilation, groups = geometry
    W, dY = _matrix(w, groups), _planes(dy, groups)
    rows, positions = W.shape[2], dY.shape[3]
    step = _images_at_a_time(groups * rows * positions * dy.itemsize)
    for start in range(0, dy.shape[0], step):
        part = dx[start : start + step]
        dX = buffers.empty((part.shape[0], groups, rows, positions), dy.dtype)

        def image(i: int, start: int = start, dX: np.ndarray = dX) -> None:
            for g in range(groups):
                np.matmul(W[g].T, dY[start + i, g], out=dX[i, g])

        _for_each(part.shape[0], image)
        cols = dX.reshape(part.shape[0], groups * rows, positions)
        N, C, H, V = part.shape
        fold(cols, (N, C, H, V), w.shape[2:], dilation, padding, stride, out=part)


def weight_grad(dy: np.ndarray, x: np.ndarray, dw: np.ndarray, geometry: Geometry) -> None:
    """dW = dY X' of each image and group, added up in parts and an order that the shapes decide."""
    groups = geometry[3]
    dW, dY = _matrix(dw, groups), _planes(dy, groups)
    sums = np.zeros((_PARTS, *dW.shape), dw.dtype)
    for start, X in _columns(x, dw.shape, dy.shape, geometry):

        def part(p: int, start: int = start, X: np.ndarray = X) -> None:
            for i in range(p, X.shape[0], _PARTS):
                for g in range(groups):
                    sums[p, g] += np.matmul(dY[start + i, g], X[i, g].T)

        _for_each(_PARTS, part)
    np.sum(sums, axis=0, out=dW)


def _for_each(count: int, work: Callable[[int], None]) -> None:
    def quietly(i: int) -> None:
        with np.errstate(all="ignore"):  # inf and NaN pass through silently, as in every kernel
            work(i)

    with threads.single_threaded_blas():
        gemm.share_out(range(count), quietly)


def _columns(
    x: np.ndarray, w_shape: Shape4, y_shape: Shape4, geometry: Geometry
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (first image, columns (images, groups, C/groups*R*S, P*Q)) of some images at a time."""
    stride, padding, dilation, groups = geometry
    (_, C, R, S), (N, _, P, Q) = w_shape, y_shape
    step = _images_at_a_time(groups * C * R * S * P * Q * x.itemsize)
    for start in range(0, N, step):
        cols = unfold(x[start : start + step], (R, S), dilation, padding, stride)
        yield start, cols.reshape(-1, groups, C * R * S, P * Q)


def _images_at_a_time(nbytes: int) -> int:
    return max(1, _COLUMNS // nbytes)


def _matrix(w: np.ndarray, groups: int) -> np.ndarray:
    """The weights as one matrix per group: (groups, K/groups, C/groups*R*S)."""
    return w.reshape(groups, w.shape[0] // groups, -1)


def _planes(y: np.ndarray, groups: int) -> np.ndarray:
    """Output planes by group: (N, groups, K/groups, P*Q)."""
    N, K, P, Q = y.shape
    return y.reshape(N, groups, K // groups, P * Q)
