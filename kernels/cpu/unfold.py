"""unfold (im2col) and fold (col2im), one channel of one image at a time.

Both only move numbers: R*S/stride² times the image is written and read. A channel's plane and the
column rows that belong to it stay in the cache while its taps are gone through.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from .. import buffers
from ..shapes import Pair, conv2d_output_size
from ._flat import copy
from ._jit import U, jit, kernel, take


def unfold(
    x: np.ndarray, kernel: Pair, dilation: Pair, padding: Pair, stride: Pair,
    *, out: np.ndarray | None = None,
) -> np.ndarray:  # fmt: skip
    """cols[n, (c,r,s), (p,q)] = padded x[n, c, p*stride + r*dilation, q*stride + s*dilation].

    x (N,C,H,W) gives cols (N, C*R*S, P*Q), as torch.nn.functional.unfold.
    """
    N, C, H, W = x.shape
    P, Q = conv2d_output_size((H, W), kernel, stride, padding, dilation)
    taps = kernel[0] * kernel[1]
    cols = buffers.empty((N, C * taps, P * Q), x.dtype) if out is None else out
    _unfold(
        cols.size, x.reshape(N * C, H, W), cols.reshape(N * C, *kernel, P, Q),
        dilation, padding, stride,
    )  # fmt: skip
    return cols


def fold(
    cols: np.ndarray, output_shape: tuple[int, int, int, int], kernel: Pair, dilation: Pair,
    padding: Pair, stride: Pair, *, out: np.ndarray | None = None,
) -> np.ndarray:  # fmt: skip
    """x[n,c,h,v] = sum of the columns' numbers that `unfold` would take from (h, v)."""
    N, C, H, W = output_shape
    P, Q = conv2d_output_size((H, W), kernel, stride, padding, dilation)
    x = buffers.empty(output_shape, cols.dtype) if out is None else out
    _fold(
        cols.size, cols.reshape(N * C, *kernel, P, Q), x.reshape(N * C, H, W),
        dilation, padding, stride,
    )  # fmt: skip
    return x


@kernel
def _unfold(team, x, cols, dilation, padding, stride):
    for _ in prange(team.size):
        i = take(team)
        while i < x.shape[0]:
            _unfold_plane(x[i], cols[i], dilation, padding, stride)
            i = take(team)


@kernel
def _fold(team, cols, x, dilation, padding, stride):
    for _ in prange(team.size):
        i = take(team)
        while i < x.shape[0]:
            x[i] = 0
            _fold_plane(cols[i], x[i], dilation, padding, stride)
            i = take(team)


@jit
def _unfold_plane(x, cols, dilation, padding, stride):
    (R, S, P, Q), (H, W) = cols.shape, x.shape
    pixels, out, at = x.reshape(H * W), cols.reshape(R * S * P * Q), 0
    for r in range(R):
        for s in range(S):
            left = s * dilation[1] - padding[1]
            first, last = inside(left, stride[1], Q, W)
            for p in range(P):
                h = p * stride[0] + r * dilation[0] - padding[0]
                if 0 <= h < H and first < last:
                    out[at : at + first] = 0
                    start = h * W + first * stride[1] + left
                    copy(out, at + first, 1, pixels, start, stride[1], last - first)
                    out[at + last : at + Q] = 0
                else:
                    out[at : at + Q] = 0
                at += Q


@jit
def _fold_plane(cols, x, dilation, padding, stride):
    (R, S, P, Q), (H, W) = cols.shape, x.shape
    pixels = x.reshape(H * W)
    for r in range(R):
        for s in range(S):
            left = s * dilation[1] - padding[1]
            first, last = inside(left, stride[1], Q, W)
            for p in range(P):
                h = p * stride[0] + r * dilation[0] - padding[0]
                if 0 <= h < H and first < last:
                    start = h * W + first * stride[1] + left
                    _add(pixels, start, stride[1], cols[r, s, p, first:last])


@jit
def _add(y, to, step, x):
    """y[to + j*step] += x[j] for all j."""
    to, step, count = U(to), U(step), U(x.size)
    if step == 1:
        for j in range(count):
            y[to + j] += x[j]
    else:
        for j in range(count):
            y[to + j * step] += x[j]


@jit
def inside(left, stride, outputs, width):
    """Return the outputs [first, last) whose pixel q*stride + left lies in a row of this width."""
    first = min(max(0, (-left + stride - 1) // stride), outputs)
    last = min(outputs, (width - left + stride - 1) // stride)
    return first, max(last, first)
