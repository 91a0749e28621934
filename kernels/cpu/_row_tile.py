"""Register tiles with pixels in the lanes: the inner loops of first layers (`_rows`).

    sum_taps      y[k, j] = bias[k] + sum over taps t of w[t, k] * x[at[t] + j]      forward
    sum_pixels    dw[k, t, lane] += sum over rows and j of dy[k, j] * x[at[t] + j]   weights

for pixels j side by side in a row. Along a row a tap is a shifted run of the image: vectors of it
are loaded where they lie, however aligned, and results are stored where they belong, with no
turning round. That is what few taps need: after 27 of them `_register_tile` spends as long on
turning and storing its 8 x 48 sums as on half of its multiply-adds.

`sum_taps` keeps 8 filters times 3 vectors of pixels: a tap is 3 loads of vectors, 8 of weights,
each spread over a vector, and 24 multiply-adds. Its stores would each wait for a line of memory,
so the lines of the next tile's results are fetched ahead. `sum_pixels` keeps 3 filters times 9
taps, each sum a vector whose lanes are added up at the very end: 12 loads for 27 multiply-adds,
and just the 9 taps of a 3 x 3 kernel. As 8 filters times 3 taps it read dy at 8 places, as far
apart as planes are; at 160 x 160 pixels that is a multiple of 4 KB, and such lines take each
other's place in a first-level cache: it took a fifth longer.

The last vector of a row is masked: lanes beyond its end are neither read nor written, so nothing
need lie there, and no infinity that does is multiplied by a zero. Registers are as in
`_register_tile`; MINICNN_SIMD=plain is the same in plain Numba.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from ._jit import jit
from ._vectors import BYTES, LINE, ROWS, SIMD, VECTORS, WORD, Emitter, data

FILTERS = 3  # of a tile of `sum_pixels`
TAPS = 9 if ROWS == 8 else 4  # and its taps: with 32 registers, or with 16
AHEAD = 192  # bytes: how far ahead of a tile's results the lines for the next are fetched


def _summing_taps(vectors: int, masked: bool) -> Any:
    """Make `sum_taps` for 1, 2 or 3 vectors; `masked`: of the last one, only the first lanes."""

    @intrinsic
    def tile(typing_context, x, at, n, w, bias, y, plane, filters, last, clip):
        def generate(context, builder, signature, arguments):
            x, at, w, bias, y = data(context, builder, signature, arguments, 0, 1, 3, 4, 5)
            n, plane, filters, last, clip = (arguments[k] for k in (2, 6, 7, 8, 9))
            e = Emitter(context, builder, signature.args[0].dtype)
            parts = [v * e.lanes for v in range(vectors)]
            mask = e.first(last) if masked else None
            rest = builder.sub(filters, ir.Constant(WORD, 1))
            place, sums = [], []
            for i in range(ROWS):
                row = e.at(y, builder.mul(plane, e.least(ir.Constant(WORD, i), rest)))
                for ahead in range(AHEAD, AHEAD + vectors * BYTES, LINE):
                    e.prefetch(e.at(row, ahead // e.size), to_write=True)
                place += [e.at(row, part) for part in parts]
                sums += vectors * [e.spread(e.at(bias, i))]

            def tap(t, sums):
                here = e.at(x, builder.load(e.at(at, t)))
                pixels = [e.load(e.at(here, part)) for part in parts[: vectors - masked]]
                if masked:
                    pixels.append(e.load_some(e.at(here, parts[-1]), mask))
                weights = e.at(w, builder.mul(t, ir.Constant(WORD, ROWS)))
                before, new = iter(sums), list[Any]()
                for i in range(ROWS):
                    factor = e.spread(e.at(weights, i))
                    new += [e.fma(factor, pixel, next(before)) for pixel in pixels]
                return new

            sums = e.at_least_zero(e.repeat(n, 1, sums, tap), clip)
            for k, (value, pointer) in enumerate(zip(sums, place, strict=True)):
                if masked and k % vectors == vectors - 1:
                    e.store_some(value, pointer, mask)
                else:
                    e.store(value, pointer)
            return context.get_dummy_value()

        return types.none(x, at, n, w, bias, y, plane, filters, last, clip), generate

    return tile


_taps_1, _taps_2, _taps_3 = (_summing_taps(vectors, False) for vectors in (1, 2, 3))
_taps_1_masked, _taps_2_masked, _taps_3_masked = (_summing_taps(v, True) for v in (1, 2, 3))


@intrinsic
def _sum_pixels(
    typing_context, x, x_step, at, dy, dy_step, plane, filters, rows, columns, sums, later
):
    def generate(context, builder, signature, arguments):
        x, at, dy, sums, later = data(context, builder, signature, arguments, 0, 2, 3, 9, 10)
        x_step, dy_step, plane, filters, rows, columns = (arguments[k] for k in (1, 4, 5, 6, 7, 8))
        e = Emitter(context, builder, signature.args[0].dtype)
        lanes, one = ir.Constant(WORD, e.lanes), ir.Constant(WORD, 1)
        whole = builder.mul(builder.udiv(builder.sub(columns, one), lanes), lanes)
        mask, rest = e.first(builder.sub(columns, whole)), builder.sub(filters, one)
        taps = [e.at(x, builder.load(e.at(at, t))) for t in range(TAPS)]
        grads = [
            e.at(dy, builder.mul(plane, e.least(ir.Constant(WORD, i), rest)))
            for i in range(FILTERS)
        ]

        def step(load, x_at, dy_at, sums):
            e.prefetch(e.at(later, dy_at), to_write=False, level=2)
            factors = [load(e.at(grad, dy_at)) for grad in grads]
            before, new = iter(sums), list[Any]()
            for tap in taps:
                pixels = load(e.at(tap, x_at))
                new += [e.fma(factor, pixels, next(before)) for factor in factors]
                e.in_order()  # or the nine loads are made first, and sums pushed out of registers
            return new

        def row(r, sums):
            x_at, dy_at = builder.mul(r, x_step), builder.mul(r, dy_step)

            def vector(j, sums):
                return step(e.load, builder.add(x_at, j), builder.add(dy_at, j), sums)

            sums = e.repeat(whole, e.lanes, sums, vector)
            last = builder.add(x_at, whole), builder.add(dy_at, whole)
            return step(lambda pointer: e.load_some(pointer, mask), *last, sums)

        places = [e.at(sums, k * e.lanes) for k in range(TAPS * FILTERS)]
        for value, place in zip(
            e.repeat(rows, 1, [e.load(place) for place in places], row), places, strict=True
        ):
            e.store(value, place)
        return context.get_dummy_value()

    arguments = x, x_step, at, dy, dy_step, plane, filters, rows, columns, sums, later
    return types.none(*arguments), generate


if SIMD == "plain":

    @jit
    def sum_taps(x, at, w, bias, y, plane, filters, count, clip):
        """y[k*plane + j] = bias[k] + sum over t of w[t*ROWS + k] * x[at[t] + j], j < count."""
        for k in range(filters):
            for j in range(count):
                total = bias[k]
                for t in range(at.size):
                    total += w[t * ROWS + k] * x[at[t] + j]
                y[k * plane + j] = 0 if clip and total <= 0 else total

    @jit
    def sum_pixels(x, x_step, at, dy, dy_step, plane, filters, rows, columns, sums, later):
        """sums[t, k, 0] += sum over rows r and columns j of dy[k, r, j] * x[r, at[t] + j]."""
        for t in range(TAPS):
            for k in range(filters):
                for r in range(rows):
                    for j in range(columns):
                        pair = x[at[t] + r * x_step + j], dy[k * plane + r * dy_step + j]
                        sums[(t * FILTERS + k) * (BYTES // x.itemsize)] += pair[0] * pair[1]

else:

    @jit
    def sum_taps(x, at, w, bias, y, plane, filters, count, clip):
        """y[k*plane + j] = bias[k] + sum over t of w[t*ROWS + k] * x[at[t] + j].

        For k < filters, at most ROWS, and j < count; with `clip` at least 0. Rows of w and bias
        beyond `filters` must be those of the last one. Tiles have about as many vectors each: of
        4, 2 and 2.
        """
        lanes, n, j = BYTES // x.itemsize, at.size, 0
        vectors = (count + lanes - 1) // lanes
        tiles = (vectors + VECTORS - 1) // VECTORS
        while tiles > 0:
            wide = (vectors + tiles - 1) // tiles
            last = min(lanes, count - j - (wide - 1) * lanes)
            here, to = x[j:], y[j:]
            if wide == 3:
                if last == lanes:
                    _taps_3(here, at, n, w, bias, to, plane, filters, last, clip)
                else:
                    _taps_3_masked(here, at, n, w, bias, to, plane, filters, last, clip)
            elif wide == 2:
                if last == lanes:
                    _taps_2(here, at, n, w, bias, to, plane, filters, last, clip)
                else:
                    _taps_2_masked(here, at, n, w, bias, to, plane, filters, last, clip)
            elif last == lanes:
                _taps_1(here, at, n, w, bias, to, plane, filters, last, clip)
            else:
                _taps_1_masked(here, at, n, w, bias, to, plane, filters, last, clip)
            j, vectors, tiles = j + wide * lanes, vectors - wide, tiles - 1

    @jit
    def sum_pixels(x, x_step, at, dy, dy_step, plane, filters, rows, columns, sums, later):
        """sums[t, k, lane] += sum over r and j of dy[k*plane + r*dy_step + j] * x[at[t] + ...].

        For t < TAPS, k < filters, at most FILTERS, r < rows, and j < columns in the lane j % lanes.
        `later` is the dy whose rows, of one filter, will be needed next: they are fetched.
        """
        _sum_pixels(x, x_step, at, dy, dy_step, plane, filters, rows, columns, sums, later)
