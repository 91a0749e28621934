"""Adaptive pooling: windows that share the image out evenly among the outputs wanted."""

from __future__ import annotations

import numpy as np

from .. import Array, namespace
from ..shapes import Pair, adaptive_windows
from .avg_pool import window_sums, window_sums_grad


def adaptive_avg_pool2d(x: Array, output_size: Pair) -> Array:
    """y[n,c,p,q] = mean of x[n,c] over the rows of window p and the columns of window q.

    x (N,C,H,W) gives y (N,C,P,Q). Row window p is [floor(p*H/P), ceil((p + 1)*H/P)), likewise the
    columns: they cover the image, and overlap by a pixel where P does not divide H.
    """
    both = _both_windows(x.shape[2:], output_size)
    return window_sums(x, both) / namespace(x).asarray(_counts(*both), dtype=x.dtype)


def adaptive_avg_pool2d_grad(dy: Array, input_shape: tuple[int, int, int, int]) -> Array:
    """dx[n,c,h,w] = sum of dy[n,c,p,q] / pixels of the window, over the windows over (h, w)."""
    both = _both_windows(input_shape[2:], dy.shape[2:])
    shares = dy / namespace(dy).asarray(_counts(*both), dtype=dy.dtype)
    return window_sums_grad(shares, both, input_shape)


def adaptive_max_pool2d(x: Array, output_size: Pair) -> tuple[Array, Array]:
    """y[n,c,p,q] = the maximum of x[n,c] over the windows of `adaptive_avg_pool2d`.

    Also returns the winners' places h*W + w (int32): the first of equals, but the last NaN.
    `max_pool2d_grad` is the gradient.
    """
    xp = namespace(x)
    (N, C, H, W), (P, Q) = x.shape, output_size
    y = xp.empty((N, C, P, Q), dtype=x.dtype)
    indices = xp.empty((N, C, P, Q), dtype=xp.int32)
    rows, columns = _both_windows((H, W), output_size)
    for p, (top, bottom) in enumerate(rows):
        for q, (left, right) in enumerate(columns):
            width, count = right - left, (bottom - top) * (right - left)
            pixels = xp.reshape(x[:, :, top:bottom, left:right], (N, C, count))
            nan = xp.isnan(pixels)
            last_nan = count - 1 - xp.argmax(xp.astype(nan[:, :, ::-1], xp.int8), axis=2)
            at = xp.where(xp.any(nan, axis=2), last_nan, xp.argmax(pixels, axis=2))
            y[:, :, p, q] = xp.take_along_axis(pixels, at[:, :, None], axis=2)[:, :, 0]
            places = (top + at // width) * W + left + at % width
            indices[:, :, p, q] = xp.astype(places, xp.int32)
    return y, indices


def _both_windows(size: Pair, output: Pair) -> tuple[list[Pair], list[Pair]]:
    rows, columns = map(adaptive_windows, size, output)
    return rows, columns


def _counts(rows: list[Pair], columns: list[Pair]) -> np.ndarray:
    """Return the pixels of each window, (P, Q)."""
    lengths = ([end - start for start, end in windows] for windows in (rows, columns))
    return np.multiply.outer(*lengths)
