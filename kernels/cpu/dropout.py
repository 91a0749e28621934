"""Dropout: each block of four elements draws its own Philox words, so there is no mask in memory.

Ten rounds of two 32-bit products give four words: about 60 integer operations per four elements,
8 bytes of memory traffic each. See `reference/dropout.py` for the generator.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from .. import buffers
from ._jit import PIECE, jit, kernel, take

_WORD = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)
_MULTIPLIER_0, _MULTIPLIER_1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_KEY_STEP_0, _KEY_STEP_1 = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)


def dropout(
    x: np.ndarray, p: float, seed: int, offset: int, *, out: np.ndarray | None = None
) -> np.ndarray:
    """y = x * keep / (1 - p), keep = [word of the element >= round(p * 2**32)], all 0 at p = 1."""
    y = buffers.empty(x.shape, x.dtype) if out is None else out
    scale = x.dtype.type(1 / (1 - p) if p < 1 else 0)
    threshold = np.uint64(round(p * 2**32))
    stream = np.uint64(seed), np.uint64(offset)
    _dropout(x.size, x.reshape(-1), y.reshape(-1), scale, threshold, stream)
    return y


def philox(seed: int, offset: int, n: int) -> np.ndarray:
    """Return words 0..n-1 (uint32) of the stream (seed, offset), each from 0 to 2**64 - 1."""
    words = np.empty(n, np.uint32)
    _philox(n, words, (np.uint64(seed), np.uint64(offset)))
    return words


@jit
def _block(stream, block):
    """Return the four words, as uint64, of one block of the stream (seed, offset)."""
    seed, offset = stream
    c0, c1, c2, c3 = block & _WORD, block >> _HALF, offset & _WORD, offset >> _HALF
    k0, k1 = seed & _WORD, seed >> _HALF
    for _ in range(10):
        product0, product2 = c0 * _MULTIPLIER_0, c2 * _MULTIPLIER_1
        c0, c1 = (product2 >> _HALF) ^ c1 ^ k0, product2 & _WORD
        c2, c3 = (product0 >> _HALF) ^ c3 ^ k1, product0 & _WORD
        k0, k1 = (k0 + _KEY_STEP_0) & _WORD, (k1 + _KEY_STEP_1) & _WORD
    return c0, c1, c2, c3


@kernel
def _dropout(team, x, y, scale, threshold, stream):
    zero = x.dtype.type(0)
    for _ in prange(team.size):
        first = take(team) * PIECE
        while first < x.size:
            for i in range(first, min(first + PIECE, x.size), 4):
                words = _block(stream, np.uint64(i // 4))
                for j in range(min(4, x.size - i)):
                    # A product, not a choice: a dropped infinity becomes NaN, as on every rung.
                    y[i + j] = x[i + j] * (scale if words[j] >= threshold else zero)
            first = take(team) * PIECE


@kernel
def _philox(team, words, stream):
    for _ in prange(team.size):
        first = take(team) * PIECE
        while first < words.size:
            for i in range(first, min(first + PIECE, words.size), 4):
                block = _block(stream, np.uint64(i // 4))
                for j in range(min(4, words.size - i)):
                    words[i + j] = np.uint32(block[j])
            first = take(team) * PIECE
