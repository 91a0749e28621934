"""Register tiles with pixels in the lanes: the inner loops of first layers (`_rows`).

    sum_taps     y[k, r, j] = bias[k] + sum over taps t of w[t, k] * x[r, at[t] + j]        forward
    sum_pixels   dw[k, t] += sum over r and j of dy[k, r, j] * x[r, at[t] + j]              weights

for pixels j side by side in rows r. Along a row a tap is a shifted run of the image: vectors of it
are loaded where they lie, however aligned, and results are stored where they belong, with no
turning round. That is what few taps need: after 27 of them `_register_tile` spends as long on
turning and storing its 8 x 48 sums as on half of its multiply-adds.

`sum_taps` keeps 8 filters times 3 vectors of pixels: a tap is 3 loads of vectors, 8 of weights,
each spread over a vector, and 24 multiply-adds. Then 24 vectors are stored. On an AMD EPYC of the
fourth generation such a store takes the place of two multiply-adds, so with 27 taps 648 of 696
cycles are left, 0.93 of the peak. Each store would wait for its line of memory, too: with each tap
a line is fetched that the next tile's results go to. All rows of a task are one call, because the
arguments of a call a tile took as long as two taps. With AVX-512 a row ends in half a vector, if
that is enough: 1 and a half take 16 cycles a tap, 2 take 18.

`sum_pixels` keeps 3 filters times 9 taps, each sum a vector whose lanes are added up at the end: 12
loads for 27 multiply-adds, and just the 9 taps of a 3 x 3 kernel. As 8 filters times 3 taps
it read dy at 8 places, as far apart as planes are; at 160 x 160 pixels that is a multiple of 4 KB,
and such lines take each other's place in a first-level cache: it took a fifth longer.

The last vector of a row is masked: lanes beyond its end are neither read nor written, so nothing
need lie there, and no infinity that does is multiplied by a zero. Registers are as in
`_register_tile`; MINICNN_SIMD=plain is the same in plain Numba.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from llvmlite import ir

from ._jit import jit
from ._vectors import BYTES, HALVES, ROWS, SIMD, VECTORS, emitted, lanes

FILTERS = 3  # of a tile of `sum_pixels`
TAPS = 9 if ROWS == 8 else 4  # and its taps: with 32 registers, or with 16


@functools.lru_cache(maxsize=512)
def lines_ahead(taps: int, plane: int, itemsize: int) -> np.ndarray:
    """Return, for each tap, how far from a tile's first result a line of the next one lies.

    The first 8 are of the first vector, so that narrow tiles too fetch their own. Fewer taps than
    lines: the rest is fetched before; more: the lines are fetched again, at little cost.
    """
    i = np.arange(max(taps, ROWS * VECTORS)) % (ROWS * VECTORS)
    return (i % ROWS * plane + (VECTORS + i // ROWS) * lanes(itemsize)).astype(np.int64)


@emitted
def _sum_taps(e, x, x_step, at, n, w, bias, y, y_step, plane, ahead, filters, rows, columns, threes,
              final, halves, clip):  # fmt: skip
    builder = e.builder
    last = builder.sub(filters, e.word(1))
    planes = [builder.mul(plane, e.least(e.word(i), last)) for i in range(ROWS)]

    def tile(parts, here, to):
        """Sum and store vectors of pixels: (the first one's place, the vector, a mask or None)."""

        def fetch(t):
            e.prefetch(e.at(to, builder.load(e.at(ahead, t))), to_write=True)

        def tap(t, *sums):
            fetch(t)
            source = e.at(here, builder.load(e.at(at, t)))
            pixels = [vector.load(e.at(source, part), mask) for part, vector, mask in parts]
            weights = e.at(w, builder.mul(t, e.word(ROWS)))
            before, new = iter(sums), list[Any]()
            for i in range(ROWS):
                factors = spread(e.at(weights, i))
                for (_, vector, _), pixel, factor in zip(parts, pixels, factors, strict=True):
                    new.append(vector.fma(factor, pixel, next(before)))
            return new

        def spread(number):
            whole = e.spread(number)
            return [whole if vector is e else e.low(whole) for _, vector, _ in parts]

        e.repeat(n, ROWS * len(parts), 1, fetch)
        start = [vector for i in range(ROWS) for vector in spread(e.at(bias, i))]
        sums = iter(e.at_least_zero(e.repeat(0, n, 1, tap, start), clip))
        for k in planes:
            for part, vector, mask in parts:
                vector.store(next(sums), e.at(to, k, part), mask)

    whole = [(v * e.lanes, e, None) for v in range(VECTORS)]

    def row(r):
        here, to = e.at(x, builder.mul(r, x_step)), e.at(y, builder.mul(r, y_step))
        e.repeat(0, threes, VECTORS * e.lanes, lambda j: tile(whole, e.at(here, j), e.at(to, j)))
        with builder.if_then(builder.icmp_signed("<", threes, final)):
            tile(whole[:2], e.at(here, threes), e.at(to, threes))
        here, to, rest = e.at(here, final), e.at(to, final), builder.sub(columns, final)
        for number in range(1, 2 * VECTORS + 1) if HALVES else range(2, 2 * VECTORS + 1, 2):
            with builder.if_then(builder.icmp_signed("==", halves, e.word(number))):
                before, last = (number - 1) // 2, e.half() if number % 2 else e
                mask = last.first(builder.sub(rest, e.word(before * e.lanes)))
                tile([*whole[:before], (before * e.lanes, last, mask)], here, to)

    e.repeat(0, rows, 1, row)


@emitted
def _sum_pixels(e, x, x_step, at, dy, dy_step, plane, filters, rows, columns, dw, taps, later):
    builder, last = e.builder, e.builder.sub(filters, e.word(1))
    whole = builder.sub(columns, e.word(1))
    whole = builder.sub(whole, builder.urem(whole, e.word(e.lanes)))
    mask = e.first(builder.sub(columns, whole))
    pixels_at = [e.at(x, builder.load(e.at(at, t))) for t in range(TAPS)]
    grads_at = [e.at(dy, builder.mul(plane, e.least(e.word(i), last))) for i in range(FILTERS)]

    def row(r, *sums):
        x_at, dy_at = builder.mul(r, x_step), builder.mul(r, dy_step)

        def vector(j, *sums, mask=None):
            e.prefetch(e.at(later, dy_at, j), to_write=False, level=2)
            grads = [e.load(e.at(place, dy_at, j), mask) for place in grads_at]
            before, new = iter(sums), list[Any]()
            for place in pixels_at:
                pixels = e.load(e.at(place, x_at, j), mask)
                new += [e.fma(grad, pixels, next(before)) for grad in grads]
                e.in_order()  # or the nine loads are made first, and sums pushed out of registers
            return new

        sums = e.repeat(0, whole, e.lanes, vector, sums)
        # once, but a loop of its own: straight after the other, its sums are pushed out
        return e.repeat(whole, columns, e.lanes, functools.partial(vector, mask=mask), sums)

    sums = e.repeat(0, rows, 1, row, [ir.Constant(e.vector, None)] * (TAPS * FILTERS))
    for i, vector in enumerate(sums):
        place = e.at(dw, builder.mul(taps, e.word(i % FILTERS)), i // FILTERS)
        builder.store(builder.fadd(builder.load(place), e.total(vector)), place)


if SIMD == "plain":

    @jit
    def sum_taps(x, x_step, at, w, bias, y, y_step, plane, ahead, filters, rows, columns, clip):
        """y[k*plane + r*y_step + j] = bias[k] + sum over t of w[t, k] * x[r*x_step + at[t] + j]."""
        for k in range(filters):
            for r in range(rows):
                for j in range(columns):
                    total = bias[k]
                    for t in range(at.size):
                        total += w[t * ROWS + k] * x[r * x_step + at[t] + j]
                    y[k * plane + r * y_step + j] = 0 if clip and total <= 0 else total

    @jit
    def sum_pixels(x, x_step, at, dy, dy_step, plane, filters, rows, columns, dw, taps, later):
        """dw[k*taps + t] += sum over rows r and columns j of dy[k, r, j] * x[r, at[t] + j]."""
        for t in range(TAPS):
            for k in range(filters):
                total = dw[k * taps + t]
                for r in range(rows):
                    for j in range(columns):
                        total += x[at[t] + r * x_step + j] * dy[k * plane + r * dy_step + j]
                dw[k * taps + t] = total

else:

    @jit
    def sum_taps(x, x_step, at, w, bias, y, y_step, plane, ahead, filters, rows, columns, clip):
        """y[k*plane + r*y_step + j] = bias[k] + sum over t of w[t, k] * x[r*x_step + at[t] + j].

        For k < filters, at most ROWS, r < rows and j < columns; with `clip` at least 0. w has ROWS
        filters a tap; those of w and bias beyond `filters` must be the last one again. ahead[t] is
        how far the lines lie from a tile's first result that are fetched while tap t is summed.
        """
        lanes = BYTES // x.itemsize
        vectors = (columns + lanes - 1) // lanes
        threes = max(0, (vectors - 1) // 3 - (vectors % 3 == 1)) * 3  # vectors in tiles of three
        pair = 2 if vectors - threes == 4 else 0  # in one of two
        final = (threes + pair) * lanes
        left = columns - final  # at most three vectors, or somewhat less: half vectors
        halves = (2 * left + lanes - 1) // lanes if HALVES else (left + lanes - 1) // lanes * 2
        _sum_taps(x, x_step, at, at.size, w, bias, y, y_step, plane, ahead, filters, rows, columns,
                  threes * lanes, final, halves, clip)  # fmt: skip

    @jit
    def sum_pixels(x, x_step, at, dy, dy_step, plane, filters, rows, columns, dw, taps, later):
        """dw[k*taps + t] += sum over r and j of dy[k*plane + r*dy_step + j] * x[at[t] + ...].

        For t < TAPS, k < FILTERS, r < rows and j < columns. Of fewer `filters` the last one fills
        the tile. `later` is the dy whose rows, of one filter, will be needed next: they are
        fetched.
        """
        _sum_pixels(x, x_step, at, dy, dy_step, plane, filters, rows, columns, dw, taps, later)
