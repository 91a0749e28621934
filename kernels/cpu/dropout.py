"""Dropout, with its mask drawn inside the kernel by a counter-based generator, Philox4x32-10.

The generator is a function of (seed, offset, place), so any thread computes any part of the mask,
and the backward pass draws it again instead of reading it from memory. Ten rounds of two 32 x 32
-> 64 bit products make four words, some 80 operations; see `reference/dropout.py`.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from .. import buffers
from ._jit import PIECE, U, jit, kernel, take

_WORD = U(0xFFFFFFFF)
_HALF = U(32)
_MULTIPLIER_0, _MULTIPLIER_1 = U(0xD2511F53), U(0xCD9E8D57)
_KEY_STEP_0, _KEY_STEP_1 = U(0x9E3779B9), U(0xBB67AE85)


def dropout(
    x: np.ndarray, p: float, seed: int, offset: int, *, out: np.ndarray | None = None
) -> np.ndarray:
    """y = x * keep / (1 - p), keep = [word of the element >= round(p * 2**32)], all 0 at p = 1.

    Element i, counted in C order, takes word i of philox(seed, offset). On dy, with the same seed
    and offset, this is its own gradient. Srivastava et al. 2014, in the form that scales while
    training ("inverted").
    """
    y = buffers.empty(x.shape, x.dtype) if out is None else out
    scale = x.dtype.type(1 / (1 - p) if p < 1 else 0)
    stream = np.array([seed, offset], np.uint64)
    _dropout(x.size, x.reshape(-1), y.reshape(-1), scale, U(round(p * 2**32)), stream)
    return y


def philox(seed: int, offset: int, n: int) -> np.ndarray:
    """Return words 0..n-1 (uint32) of the stream (seed, offset), each from 0 to 2**64 - 1.

    Word i is word i % 4 of the block with counter (i // 4, offset) and key seed, low 32 bits first.
    Salmon, Moraes, Dror & Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3", section 3.3.
    """
    words = buffers.empty((n,), np.uint32)
    _philox(n, words, np.array([seed, offset], np.uint64))
    return words


@kernel
def _dropout(team, x, y, scale, threshold, stream):
    for _ in prange(team.size):
        first = take(team) * PIECE
        while first < x.size:
            piece = slice(first, first + PIECE)
            _dropout_piece(x[piece], y[piece], scale, threshold, stream, U(first // 4))
            first = take(team) * PIECE


@jit
def _dropout_piece(x, y, scale, threshold, stream, block):
    """Do a piece whose first element takes the first word of `block`."""
    zero = x.dtype.type(0)
    for i in range(U(x.size // 4)):
        words = _words(stream, block + i)
        j = U(4) * i
        # Products, not choices: an infinity that is dropped becomes NaN, as on every rung.
        y[j] = x[j] * (scale if words[0] >= threshold else zero)
        y[j + U(1)] = x[j + U(1)] * (scale if words[1] >= threshold else zero)
        y[j + U(2)] = x[j + U(2)] * (scale if words[2] >= threshold else zero)
        y[j + U(3)] = x[j + U(3)] * (scale if words[3] >= threshold else zero)
    words = _words(stream, block + U(x.size // 4))
    for rest in range(x.size // 4 * 4, x.size):
        y[rest] = x[rest] * (scale if words[rest % 4] >= threshold else zero)


@kernel
def _philox(team, words, stream):
    for _ in prange(team.size):
        first = take(team) * PIECE
        while first < words.size:
            for i in range(first, min(first + PIECE, words.size)):
                words[i] = _words(stream, U(i // 4))[i % 4]
            first = take(team) * PIECE


@jit
def _words(stream, block):
    """Return the four words, as uint64, of one block of the stream (seed, offset)."""
    seed, offset = stream[0], stream[1]
    c0, c1, c2, c3 = block & _WORD, block >> _HALF, offset & _WORD, offset >> _HALF
    k0, k1 = seed & _WORD, seed >> _HALF
    for _ in range(10):
        product0, product2 = c0 * _MULTIPLIER_0, c2 * _MULTIPLIER_1
        c0, c1 = (product2 >> _HALF) ^ c1 ^ k0, product2 & _WORD
        c2, c3 = (product0 >> _HALF) ^ c3 ^ k1, product0 & _WORD
        k0, k1 = (k0 + _KEY_STEP_0) & _WORD, (k1 + _KEY_STEP_1) & _WORD
    return c0, c1, c2, c3
