"""Dropout and its random words: launch sizes and arguments; the idea is in dropout.cu."""

from __future__ import annotations

from .. import Array
from . import _cuda


def dropout(x: Array, p: float, seed: int, offset: int, *, out: Array | None = None) -> Array:
    """y = x * keep / (1 - p), keep = [word of the element >= round(p * 2**32)], all 0 at p = 1.

    Element i, counted in C order, takes word i of philox(seed, offset). On dy, with the same seed
    and offset, this is its own gradient. Srivastava et al. 2014, in the form that scales while
    training ("inverted").
    """
    y = _cuda.empty(x.shape, x.dtype) if out is None else out
    scale, threshold = (1 / (1 - p) if p < 1 else 0.0), round(p * 2**32)
    blocks = -(-x.size // 4)
    _cuda.spread("dropout", "dropout", blocks, x, y, x.size, scale, threshold, seed, offset)
    return y


def philox(seed: int, offset: int, n: int) -> Array:
    """Return words 0..n-1 (uint32) of the stream (seed, offset), each from 0 to 2**64 - 1.

    Word i is word i % 4 of the block with counter (i // 4, offset) and key seed, low 32 bits first.
    """
    words = _cuda.empty((n,), "uint32")
    _cuda.spread("dropout", "random_words", -(-n // 4), words, n, seed, offset)
    return words
