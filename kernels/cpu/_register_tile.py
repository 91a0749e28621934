"""The register tile: 8 numbers times 48 lanes, the inner loop of convolution.

    outer(a, rows, at, n, b, step, start, start_step, c, c_step)

    c[i, l] = start[i, l] + sum over t < n of a[rows[i] + at[t]] * b[t*step + l]

for i < ROWS and l < 1, 2 or 3 vectors: a sum of outer products, each of a column of 8 numbers of
`a`, found through two tables of offsets, and of a row of `b`. All 24 sums stay in registers. A step
is 3 loads of vectors, 8 of single numbers, each spread over a vector, and 24 fused multiply-adds,
so a core that starts one of those per cycle (512 bits each) is busy with nothing else: measured on
an AMD EPYC of the fourth generation, 117 GFLOP/s of the 118 to 125 that bare multiply-adds reach,
at 1, 2 or 3 vectors alike; 12 rows of 2 vectors fell to 88, their addresses no longer fit in the
16 integer registers.

What a convolution is in these words, `_tiled` says. Numba writes no such loop by itself: its
vector code would keep the sums in memory. So this is LLVM's vector arithmetic, put together
by hand for the vectors that the processor has, 8 x 3 of them or 4 x 3 (`_vectors`). With
MINICNN_SIMD=plain it is the same sum in plain Numba, to read, and to check the rest by.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir

from ._jit import U, jit
from ._vectors import BYTES, LINE, ROWS, SIMD, WORD, emitted

AHEAD = 128  # bytes: how far ahead of a tile's numbers the lines for later ones are fetched


def _tile(vectors: int) -> Any:
    """Make `outer` for rows of 1, 2 or 3 vectors."""

    def tile(e, a, rows, at, n, b, step, start, start_step, c, c_step):
        builder = e.builder
        every = [(i, v) for i in range(ROWS) for v in range(vectors)]
        row = [e.at(a, builder.load(e.at(rows, i))) for i in range(ROWS)]
        first, place = {}, {}
        for i, v in every:
            first[i, v] = e.load(e.at(start, v * e.lanes))
            place[i, v] = e.at(c, v * e.lanes)
            if v == vectors - 1:
                start, c = e.at(start, start_step), e.at(c, c_step)

        # `Emitter.repeat` would make this loop too, but the compiler unrolls its form here, and
        # the sums no longer fit the registers: 0.3 to 0.9 of the speed
        before = builder.block
        loop, after = builder.append_basic_block("tile"), builder.append_basic_block("tiled")
        zero, one = ir.Constant(WORD, 0), ir.Constant(WORD, 1)
        builder.cbranch(builder.icmp_signed(">", n, zero), loop, after)

        builder.position_at_end(loop)
        t, here = builder.phi(WORD), builder.phi(b.type)
        sums = {key: builder.phi(e.vector) for key in every}
        offset = builder.load(e.at(at, t))
        line = [e.load(e.at(here, v * e.lanes)) for v in range(vectors)]
        new = {}
        for i in range(ROWS):
            factor = e.spread(e.at(row[i], offset))
            for v in range(vectors):
                new[i, v] = e.fma(factor, line[v], sums[i, v])
        following, there = builder.add(t, one), e.at(here, step)
        for phi, at_first, later in (
            (t, zero, following),
            (here, b, there),
            *((sums[key], first[key], new[key]) for key in every),
        ):
            phi.add_incoming(at_first, before)
            phi.add_incoming(later, loop)
        builder.cbranch(builder.icmp_signed("<", following, n), loop, after)

        builder.position_at_end(after)
        results = {}
        for key in every:
            results[key] = builder.phi(e.vector)
            results[key].add_incoming(first[key], before)
            results[key].add_incoming(new[key], loop)
        for key in every:
            e.store(results[key], place[key])

    return emitted(tile)


_tile_1, _tile_2, _tile_3 = _tile(1), _tile(2), _tile(3)


def _turning(outward: bool) -> Any:
    """Make `turn_out`, which writes far memory, or `turn_in`, which reads it."""

    def turning(e, c, c_step, y, plane):
        ahead, piles = AHEAD // e.size, []
        for _ in range(ROWS):
            piles.append([e.load(c)])
            if not outward:
                e.prefetch(e.at(c, ahead), to_write=False)
            c = e.at(c, c_step)
        for lane, pieces in enumerate(e.merged(piles)):
            to = e.at(y, e.builder.mul(plane, ir.Constant(WORD, lane)))
            for k, piece in enumerate(pieces):
                e.store(piece, e.at(to, k * e.lanes))
            if outward:
                e.prefetch(e.at(to, ahead), to_write=True)

    return emitted(turning)


_turn_out, _turn_in = _turning(True), _turning(False)


@emitted
def _fetch_run(e, x, count):
    e.repeat(0, count, LINE // e.size, lambda j: e.prefetch(e.at(x, j), to_write=False, level=2))


@jit
def at_least_zero(c):
    """ReLU of the numbers of a tile, in place; a NaN stays NaN."""
    for i in range(U(c.size)):
        c[i] = 0 if c[i] <= 0 else c[i]


if SIMD == "plain":

    @jit
    def outer(vectors, a, rows, at, n, b, step, start, start_step, c, c_step, width):
        """c[i, l] = start[i, l] + sum over t < n of a[rows[i] + at[t]] * b[t*step + l]."""
        for i in range(ROWS):
            for k in range(width):
                c[i * c_step + k] = start[i * start_step + k]
        for t in range(n):
            for i in range(ROWS):
                factor = a[rows[i] + at[t]]
                for k in range(width):
                    c[i * c_step + k] += factor * b[t * step + k]

    @jit
    def turn_out(c, c_step, y, plane, width):
        """y[l*plane + i] = c[i*c_step + l] for i < ROWS and l < width."""
        for k in range(width):
            for i in range(ROWS):
                y[k * plane + i] = c[i * c_step + k]

    turn_in = turn_out

    @jit
    def fetch_run(x, count):
        """Nothing: a processor may fetch what it likes."""

else:

    @jit
    def outer(vectors, a, rows, at, n, b, step, start, start_step, c, c_step, width):
        """c[i, l] = start[i, l] + sum over t < n of a[rows[i] + at[t]] * b[t*step + l].

        For i < ROWS and l < width, the lanes of 1, 2 or 3 vectors.
        """
        if vectors == 3:
            _tile_3(a, rows, at, n, b, step, start, start_step, c, c_step)
        elif vectors == 2:
            _tile_2(a, rows, at, n, b, step, start, start_step, c, c_step)
        else:
            _tile_1(a, rows, at, n, b, step, start, start_step, c, c_step)

    @jit
    def turn_out(c, c_step, y, plane, width):
        """y[l*plane + i] = c[i*c_step + l] for i < ROWS and l < width, whole vectors.

        y lies in memory far away: its lines for later tiles are fetched ahead.
        """
        for k in range(0, width, BYTES // c.itemsize):
            _turn_out(c[k:], c_step, y[k * plane :], plane)

    @jit
    def turn_in(c, c_step, y, plane, width):
        """Do the same as `turn_out`, where it is c that lies far away."""
        for k in range(0, width, BYTES // c.itemsize):
            _turn_in(c[k:], c_step, y[k * plane :], plane)

    @jit
    def fetch_run(x, count):
        """Have the lines of `count` numbers fetched into the second-level cache."""
        _fetch_run(x, count)
