"""Bilinear: an image read at places between its pixels, as linear upsampling does."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .. import Array, namespace
from .gather import add_picked
from .unfold import deliver


class Neighbours(NamedTuple):
    """Along one axis, the pixels before and after each place, and the weights of the two."""

    low: np.ndarray  # int32
    high: np.ndarray  # int32: low + 1, but at the last pixel low itself
    low_weight: np.ndarray  # 1 - (place - low)
    high_weight: np.ndarray  # place - low


def neighbours(places: np.ndarray, size: int) -> Neighbours:
    """Return what lies around places from 0 to size - 1, counted in pixels."""
    low = np.floor(places).astype(np.int32)
    share = places - low.astype(places.dtype)
    return Neighbours(low, np.minimum(low + 1, size - 1, dtype=np.int32), 1 - share, share)


def bilinear2d(x: Array, rows: Array, columns: Array, *, out: Array | None = None) -> Array:
    """y[n,c,p,q] = x[n, c, rows[p], columns[q]], read between pixels along straight lines.

    x (N,C,H,W), rows (P,) from 0 to H - 1 and columns (Q,) from 0 to W - 1, NumPy arrays of x's
    dtype, give y (N,C,P,Q). Between pixels l and l + 1, place l + t reads (1-t)*x[l] + t*x[l+1].
    """
    xp = namespace(x)
    for axis, places in ((2, rows), (3, columns)):
        low, high, *weights = map(xp.asarray, neighbours(places, x.shape[axis]))
        a, b = (xp.reshape(w, (-1, 1) if axis == 2 else (-1,)) for w in weights)
        x = a * xp.take(x, low, axis=axis) + b * xp.take(x, high, axis=axis)
    return deliver(x, out)


def bilinear2d_grad(
    dy: Array,
    rows: Array,
    columns: Array,
    input_shape: tuple[int, int, int, int],
    *,
    out: Array | None = None,
) -> Array:
    """dx[n,c,h,w] = sum of dy[n,c,p,q], by the weights with which (h, w) was read there."""
    dx = dy
    for axis, places in ((2, rows), (3, columns)):
        low, high, *weights = neighbours(places, input_shape[axis])
        dx = add_picked(dx, np.concatenate((low, high)), np.concatenate(weights), axis, input_shape)
    return deliver(dx, out)
