"""What several paths share: how `_tiled` cuts its work, and the sum of partial gradients."""

from __future__ import annotations

from numba import prange

from ..shapes import Pair
from ._jit import U, jit, kernel, take
from ._vectors import ROWS, round_up

FLOPS = 32  # multiply-adds that take as long as an element of a simple loop
ENOUGH = 512  # pixels of a task: fewer would not make up for fetching the weights
_PIECE = 1 << 12  # elements of a task of `add_up`
_PIXELS = 1 << 13  # of a task at most: their table should leave room in the second-level cache


def block(N: int, P: int, Q: int, most: int = _PIXELS) -> Pair:
    """Return how many images, and rows of outputs, a task takes.

    Some 512 pixels or more, so that it is worth while to fetch a block of weights; `most` at most.
    Of small images a multiple of 8, so that even the corners, one pixel an image, fill tiles.
    """
    if most < P * Q * ROWS:
        images = max(1, most // (P * Q))
        return min(N, images), -(-P // -(-P // max(1, most // Q)))
    return min(N, round_up(-(-ENOUGH // (P * Q)), ROWS)), P


@jit
def lanes_of(block, blocks, padded, step):
    """Return the first lane of a block, and how many it has: whole vectors, and about as many each.

    64 filters are blocks of 32 and 32 rather than 48 and 16: no block is larger than need be.
    """
    vectors = padded // step
    first = block * vectors // blocks
    return first * step, ((block + 1) * vectors // blocks - first) * step


@jit
def list_pixels(t, images, rows, source, destination, step, pixels, counts):
    """List where the pixels of some images and rows lie, class by class; return how many.

    pixels[0] is their place in the source, an array of images that lie `source` apart, and
    pixels[1] that in the destination; counts[0] is where each class begins, counts[1] how many it
    has. Each class is filled up to a multiple of `step` with its last pixel.
    """
    at = 0
    for k in range(counts.shape[1]):
        counts[0, k] = at
        columns, first = t.columns_of[k + 1] - t.columns_of[k], t.columns_of[k]
        for n in range(images[0], images[1]):
            for i in range(t.rows_of[k], t.rows_of[k + 1]):
                if rows[0] <= t.row[i] < rows[1]:
                    _shift(pixels[0], at, t.column_at, first, columns, n * source + t.row_at[i])
                    _shift(pixels[1], at, t.column_to, first, columns,
                             n * destination + t.row_to[i])  # fmt: skip
                    at += columns
        counts[1, k] = at - counts[0, k]
        while counts[1, k] and at % step != counts[0, k] % step:
            pixels[0, at], pixels[1, at] = pixels[0, at - 1], pixels[1, at - 1]
            at += 1
    return at


@jit
def _shift(y, to, x, at, count, shift):
    """y[to + i] = x[at + i] + shift for all i < count."""
    to, at = U(to), U(at)
    for i in range(U(count)):
        y[to + i] = x[at + i] + shift


@kernel
def add_up(team, partial, total):
    """total[i] = sum over parts of partial[part, i], in order."""
    for _ in prange(team.size):
        first = take(team) * _PIECE
        while first < total.size:
            last = min(first + _PIECE, total.size)
            for i in range(first, last):
                total[i] = partial[0, i]
            for part in range(1, partial.shape[0]):
                for i in range(first, last):
                    total[i] += partial[part, i]
            first = take(team) * _PIECE
