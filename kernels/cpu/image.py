"""Decoded photographs as planes of floats or bytes, in one pass over the pixels.

A photograph of 224 x 224 is 0.2 MB of bytes that become 0.6 MB of floats. NumPy converts and
divides in passes of their own, one plane after the other: 44 microseconds. Pixels of four bytes, as
Pillow keeps colours, are read here as one integer each, so that the bytes of 16 pixels come apart
by shifts instead of single loads. Then 9,400 divisions of vectors are the limit, 21 microseconds;
so x / 255 is found in three multiplications instead,

    q = x * r,  r = 1/255 rounded         q + (x - 255 * q) * r

where the second term is what the first lacks: for the bytes 0 to 255 that is the quotient, to the
bit, in float32 and float64. It takes 10 microseconds, if the planes are in the cache.

Planes of bytes are a quarter of that memory, for those who make floats of a whole batch later: they
take 5 microseconds, where NumPy's copy with strides takes 43.

It runs on the calling thread alone: a loader's threads each read a photograph of their own.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ._jit import U, jit, serial


def unit_planes(
    pixels: np.ndarray, channels: int, dtype: Any, *, out: np.ndarray | None = None
) -> np.ndarray:
    """y[c,h,w] = pixels[h,w,c] / 255 for the first `channels` of the bytes of each pixel."""
    H, W, B = pixels.shape
    y = np.empty((channels, H, W), dtype) if out is None else out
    if B == 4:
        _from_words(_flat(pixels).view("<u4"), y.reshape(channels, H * W))
    else:
        _from_bytes(_flat(pixels), B, y.reshape(channels, H * W))
    return y


def byte_planes(pixels: np.ndarray, channels: int, *, out: np.ndarray | None = None) -> np.ndarray:
    """y[c,h,w] = pixels[h,w,c] for the first `channels` of the bytes of each pixel."""
    H, W, B = pixels.shape
    y = np.empty((channels, H, W), np.uint8) if out is None else out
    if B == 4:
        _bytes_from_words(_flat(pixels).view("<u4"), y.reshape(channels, H * W))
    else:
        _bytes_from_bytes(_flat(pixels), B, y.reshape(channels, H * W))
    return y


def _flat(pixels: np.ndarray) -> np.ndarray:
    """The bytes in a row, read only, as those of files are: so there is one compiled version."""
    flat = pixels.reshape(-1).view()
    flat.flags.writeable = False
    return flat


@serial
def _from_words(words, y):
    if y.shape[0] == 3:
        _three_from_words(words, y[0], y[1], y[2])
        return
    for c in range(y.shape[0]):
        plane = y[c]
        for i in range(U(words.size)):
            plane[i] = _unit(words[i] >> np.uint32(8 * c), plane)


@jit
def _three_from_words(words, red, green, blue):
    for i in range(U(words.size)):
        red[i] = _unit(words[i], red)
        green[i] = _unit(words[i] >> np.uint32(8), green)
        blue[i] = _unit(words[i] >> np.uint32(16), blue)


@jit
def _unit(word, like):
    """The lowest byte / 255, to the bit, in the dtype of the array `like`."""
    of = like.dtype.type
    x, inverse = of(np.int32(word & np.uint32(255))), of(1) / of(255)
    q = x * inverse
    return q + (x - of(255) * q) * inverse


@serial
def _from_bytes(pixels, step, y):
    for c in range(y.shape[0]):
        plane = y[c]
        for i in range(U(plane.size)):
            plane[i] = _unit(np.uint32(pixels[U(c) + i * U(step)]), plane)


# @jit, not @serial: these keep Python's lock, as within 5 microseconds nobody is waited for.


@jit
def _bytes_from_words(words, y):
    if y.shape[0] == 3:
        _three_bytes(words, y[0], y[1], y[2])
        return
    for c in range(y.shape[0]):
        plane = y[c]
        for i in range(U(words.size)):
            plane[i] = np.uint8(words[i] >> np.uint32(8 * c))


@jit
def _bytes_from_bytes(pixels, step, y):
    for c in range(y.shape[0]):
        plane = y[c]
        for i in range(U(plane.size)):
            plane[i] = pixels[U(c) + i * U(step)]


@jit
def _three_bytes(words, red, green, blue):
    for i in range(U(words.size)):
        red[i] = np.uint8(words[i])
        green[i] = np.uint8(words[i] >> np.uint32(8))
        blue[i] = np.uint8(words[i] >> np.uint32(16))
