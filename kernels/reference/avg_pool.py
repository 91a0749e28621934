"""Average pooling as two passes of sums, along the rows and along the columns, and its gradient.

A window is a rectangle, so its sum is a sum of column sums: R + S additions per output instead of
R*S. The gradient is the same sums again, with the roles changed: a pixel gets a share of dy from
each window over it, and the windows over a pixel are neighbours (`shapes.windows_over`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .. import Array, namespace
from ..shapes import Pair, pool_windows, windows_over

Windows = Sequence[Pair]  # (start, end) along one axis; the padding is below 0 and >= the size


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
    both = _both_windows(x.shape, kernel, stride, padding, ceil_mode)
    counts = _counts(x.shape, both, count_include_pad, divisor_override)
    return window_sums(x, both) / namespace(x).asarray(counts, dtype=x.dtype)


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
    """dx[n,c,h,w] = sum of dy[n,c,p,q] / divisor[p,q] over the windows (p, q) over (h, w)."""
    both = _both_windows(input_shape, kernel, stride, padding, ceil_mode)
    counts = _counts(input_shape, both, count_include_pad, divisor_override)
    return window_sums_grad(dy / namespace(dy).asarray(counts, dtype=dy.dtype), both, input_shape)


def window_sums(x: Array, both: tuple[Windows, Windows]) -> Array:
    """y[n,c,p,q] = sum of x[n,c,h,w] over the pixels h in window p and w in window q."""
    rows, columns = both
    return _sums(_sums(x, rows, 2), columns, 3)


def window_sums_grad(
    dy: Array, both: tuple[Windows, Windows], input_shape: tuple[int, int, int, int]
) -> Array:
    """dx[n,c,h,w] = sum of dy[n,c,p,q] over the windows (p, q) that (h, w) lies in."""
    rows, columns = (windows_over(w, n) for w, n in zip(both, input_shape[2:], strict=True))
    return window_sums(dy, (rows, columns))


def _sums(x: Array, windows: Windows, axis: int) -> Array:
    """Return the sums over windows along one axis: first pixels all at once, then the seconds...

    The windows stand with the longest first, so that those with an i-th pixel are the first few.
    """
    xp, before = namespace(x), (slice(None),) * axis
    start, end = np.clip(np.reshape(windows, (-1, 2)), 0, x.shape[axis]).astype(int).T
    order = np.argsort(start - end, kind="stable")
    start, length = start[order], (end - start)[order]
    y = xp.zeros((*x.shape[:axis], len(windows), *x.shape[axis + 1 :]), dtype=x.dtype)
    for i in range(np.max(length, initial=0)):
        longer = np.sum(length > i)
        y[(*before, slice(longer), ...)] += xp.take(x, xp.asarray(start[:longer] + i), axis=axis)
    if np.all(length == length[:1]):
        return y
    return xp.take(y, xp.asarray(np.argsort(order)), axis=axis)


def _both_windows(
    shape: Sequence[int], kernel: Pair, stride: Pair, padding: Pair, ceil_mode: bool
) -> tuple[Windows, Windows]:
    axes = zip(shape[2:], kernel, stride, padding, strict=True)
    rows, columns = (pool_windows(*axis, ceil_mode) for axis in axes)
    return rows, columns


def _counts(
    shape: Sequence[int],
    both: tuple[Windows, Windows],
    count_include_pad: bool,
    divisor_override: int | None,
) -> np.ndarray:
    """Return what each window's sum is divided by, (P, Q)."""
    lengths = []
    for windows, size in zip(both, shape[2:], strict=True):
        start, end = np.transpose(windows)
        inside = np.minimum(end, size) - np.maximum(start, 0)
        lengths.append(end - start if count_include_pad else inside)
    counts = np.multiply.outer(*lengths)
    return counts if divisor_override is None else np.full_like(counts, divisor_override)
