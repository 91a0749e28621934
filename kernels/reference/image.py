"""Decoded photographs as planes: the arithmetic of `transforms.ToTensor` and `PILToTensor`."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import namespace

Array = Any


def unit_planes(pixels: Array, channels: int, dtype: Any, *, out: Array | None = None) -> Array:
    """y[c,h,w] = pixels[h,w,c] / 255 for the first `channels` of the bytes of each pixel.

    pixels (H,W,B) uint8 with B >= channels, as image libraries lay them out; y (channels,H,W) of
    `dtype`, float32 or float64. Plane by plane: the division finds in the cache what the
    conversion left there.
    """
    y = np.empty((channels, *pixels.shape[:2]), dtype) if out is None else out
    for c in range(channels):
        y[c] = pixels[:, :, c]
        y[c] /= y.dtype.type(255)
    return y


def byte_planes(pixels: Array, channels: int, *, out: Array | None = None) -> Array:
    """y[c,h,w] = pixels[h,w,c] for the first `channels` of the bytes of each pixel.

    pixels (H,W,B) uint8 with B >= channels; y (channels,H,W) uint8.
    """
    xp = namespace(pixels)
    y = xp.empty((channels, *pixels.shape[:2]), dtype=xp.uint8) if out is None else out
    for c in range(channels):
        y[c, ...] = pixels[:, :, c]
    return y
