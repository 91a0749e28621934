"""Decoded photographs as planes of floats: launch size and arguments; the idea is in image.cu."""

from __future__ import annotations

from typing import Any

from .. import Array, namespace, reference
from . import _cuda


def unit_planes(pixels: Array, channels: int, dtype: Any, *, out: Array | None = None) -> Array:
    """y[c,h,w] = pixels[h,w,c] / 255 for the first `channels` of the bytes of each pixel.

    pixels (H,W,B) uint8 with B >= channels; y (channels,H,W) of `dtype`. What lies on the host, as
    a loader's photographs do, stays there: the numpy rung's code does it.
    """
    if not _cuda.driver().is_array(pixels):
        return reference.unit_planes(pixels, channels, dtype, out=out)
    H, W, B = pixels.shape
    y = _cuda.empty((channels, H, W), dtype) if out is None else out
    pixels = namespace(pixels).ascontiguousarray(pixels)
    _cuda.spread("image", "unit_planes", H * W, pixels, y, H * W, B, channels)
    return y
