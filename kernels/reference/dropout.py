"""Dropout, and the counter-based generator that draws its mask: Philox4x32-10.

A counter-based generator has no state: word i of stream (seed, offset) is a function of these
three numbers. Any rung, device or number of threads computes the same mask, in any order, and
the backward pass draws it again instead of keeping it.
"""

from __future__ import annotations

from typing import Any

import numpy

from .. import Array, namespace
from .unfold import deliver

_WORD = 0xFFFFFFFF  # a word has 32 bits
_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_KEY_STEPS = (0x9E3779B9, 0xBB67AE85)  # the fractions of the golden ratio and of sqrt(3)
_ROUNDS = 10


def dropout(x: Array, p: float, seed: int, offset: int, *, out: Array | None = None) -> Array:
    """y = x * keep / (1 - p), keep = [word of the element >= round(p * 2**32)], all 0 at p = 1.

    Element i, counted in C order, takes word i of philox(seed, offset). On dy, with the same seed
    and offset, this is its own gradient. Srivastava et al. 2014, in the form that scales while
    training ("inverted").
    """
    xp = namespace(x)
    words = xp.reshape(_words(xp, seed, offset, x.size), x.shape)
    keep = xp.astype(words >= round(p * 2**32), x.dtype)
    return deliver(x * (keep * (1 / (1 - p) if p < 1 else 0.0)), out)


def philox(seed: int, offset: int, n: int) -> Array:
    """Return words 0..n-1 (uint32) of the stream (seed, offset), each from 0 to 2**64 - 1.

    Word i is word i % 4 of the block with counter (i // 4, offset) and key seed, low 32 bits first.
    """
    return numpy.astype(_words(numpy, seed, offset, n), numpy.uint32)


def philox4x32(xp: Any, counter: tuple[Array, ...], key: tuple[int, int]) -> tuple[Array, ...]:
    """Encrypt four counter words under a two-word key: ten rounds of multiply, swap and xor.

    Words are uint64 arrays below 2**32, so that products keep their high half. Salmon, Moraes,
    Dror & Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3", section 3.3.
    """
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(_ROUNDS):
        product0, product2 = c0 * _MULTIPLIERS[0], c2 * _MULTIPLIERS[1]
        c0 = (product2 >> 32) ^ c1 ^ k0
        c1 = product2 & _WORD
        c2 = (product0 >> 32) ^ c3 ^ k1
        c3 = product0 & _WORD
        k0, k1 = (k0 + _KEY_STEPS[0]) & _WORD, (k1 + _KEY_STEPS[1]) & _WORD
    return c0, c1, c2, c3


def _words(xp: Any, seed: int, offset: int, n: int) -> Array:
    """Return the first n words of the stream as uint64."""
    block = xp.arange((n + 3) // 4, dtype=xp.uint64)
    high, low = (xp.full_like(block, half) for half in (offset >> 32, offset & _WORD))
    counter = (block & _WORD, block >> 32, low, high)
    words = philox4x32(xp, counter, (seed & _WORD, seed >> 32))
    return xp.reshape(xp.stack(words, axis=1), (-1,))[:n]
