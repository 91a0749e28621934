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
by hand for the registers that the processor has:

    registers       rows x vectors      float32 lanes
    32 of 512 bits      8 x 3               48          AVX-512
    16 of 256 bits      4 x 3               24          AVX2
    32 of 128 bits      8 x 3               12          NEON
    16 of 128 bits      4 x 3               12          anything else

MINICNN_SIMD=avx512, avx2, neon, sse or plain chooses another row of the table; LLVM splits vectors
that the processor lacks. `plain` is the same sum in plain Numba, to read, and to check the rest by.
"""

from __future__ import annotations

import os
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from ..errors import ArgumentError
from ._jit import jit

SHAPES = {  # bytes of a vector register, rows of a tile
    "avx512": (64, 8),
    "avx2": (32, 4),
    "neon": (16, 8),
    "sse": (16, 4),
    "plain": (64, 8),
}
VECTORS = 3  # of a full tile
AHEAD = 128  # bytes: how far ahead of a tile's numbers the lines for later ones are fetched
_WORD, _INT = ir.IntType(64), ir.IntType(32)


def _found() -> str:
    features = llvm.get_host_cpu_features()
    names = {"avx512f": "avx512", "avx2": "avx2", "neon": "neon"}
    fallback = "neon" if "aarch64" in llvm.get_default_triple() else "sse"
    return next((name for feature, name in names.items() if features.get(feature)), fallback)


def _chosen() -> str:
    name = os.environ.get("MINICNN_SIMD", "").strip().lower()
    if name and name not in SHAPES:
        raise ArgumentError(
            f"MINICNN_SIMD={name!r}: no such tile. Use one of {', '.join(SHAPES)}, or unset it."
        )
    return name or _found()


SIMD = _chosen()
BYTES, ROWS = SHAPES[SIMD]


def lanes(itemsize: int) -> int:
    """Return how many numbers of so many bytes a vector holds."""
    return BYTES // itemsize


class _Emitter:
    """LLVM instructions on vectors as wide as the machine's."""

    def __init__(self, context: Any, builder: Any, dtype: Any) -> None:
        self.builder, self.number = builder, context.get_data_type(dtype)
        self.size = dtype.bitwidth // 8
        self.lanes = lanes(self.size)
        self.vector = ir.VectorType(self.number, self.lanes)

    def at(self, pointer: Any, *offsets: Any) -> Any:
        for offset in offsets:
            offset = ir.Constant(_WORD, offset) if isinstance(offset, int) else offset
            pointer = self.builder.gep(pointer, [offset])
        return pointer

    def load(self, pointer: Any) -> Any:
        whole = self.builder.bitcast(pointer, self.vector.as_pointer())
        return self.builder.load(whole, align=self.size)

    def store(self, value: Any, pointer: Any) -> None:
        whole = self.builder.bitcast(pointer, value.type.as_pointer())
        self.builder.store(value, whole, align=self.size)

    def spread(self, pointer: Any) -> Any:
        """One number in every lane."""
        nothing = ir.Constant(self.vector, ir.Undefined)
        one = self.builder.insert_element(nothing, self.builder.load(pointer), ir.Constant(_INT, 0))
        return self.builder.shuffle_vector(
            one, nothing, ir.Constant(ir.VectorType(_INT, self.lanes), None)
        )

    def shuffle(self, a: Any, b: Any, order: list[int]) -> Any:
        """The lanes of a and b, one after the other, in this order."""
        mask = ir.Constant(ir.VectorType(_INT, len(order)), [ir.Constant(_INT, i) for i in order])
        return self.builder.shuffle_vector(a, b, mask)

    def merged(self, piles: list[list[Any]]) -> list[list[Any]]:
        """Transpose: ROWS piles of a vector each give, lane by lane, a pile of ROWS numbers.

        Rows are merged like cards, two piles at a time, until the numbers of one lane lie
        together: for 8 x 16 numbers 24 shuffles.
        """
        half, rows = self.lanes // 2, len(piles)
        low = [k + self.lanes * pile for k in range(half) for pile in (0, 1)]
        high = [k + half for k in low]
        while len(piles) > 1:
            middle = len(piles) // 2
            piles = [
                [
                    self.shuffle(a, b, part)
                    for a, b in zip(x, y, strict=True)
                    for part in (low, high)
                ]
                for x, y in zip(piles[:middle], piles[middle:], strict=True)
            ]
        (row,) = piles
        if rows >= self.lanes:
            several = rows // self.lanes
            return [row[k : k + several] for k in range(0, len(row), several)]
        parts = [list(range(k, k + rows)) for k in range(0, self.lanes, rows)]
        return [[self.shuffle(vector, vector, part)] for vector in row for part in parts]

    def prefetch(self, pointer: Any, *, to_write: bool) -> None:
        """Have a line fetched that will soon be read or written, while other work is done."""
        byte = ir.IntType(8).as_pointer()
        kind = ir.FunctionType(ir.VoidType(), [byte, _INT, _INT, _INT])
        name, module = "llvm.prefetch.p0", self.builder.module
        function = module.globals.get(name) or ir.Function(module, kind, name)
        options = [ir.Constant(_INT, int(i)) for i in (to_write, 3, 1)]  # keep it; it is data
        self.builder.call(function, [self.builder.bitcast(pointer, byte), *options])

    def fma(self, a: Any, b: Any, c: Any) -> Any:
        name = f"llvm.fma.v{self.lanes}f{8 * self.size}"
        module = self.builder.module
        function = module.globals.get(name) or ir.Function(
            module, ir.FunctionType(self.vector, [self.vector] * 3), name
        )
        return self.builder.call(function, [a, b, c])


def _tile(vectors: int) -> Any:
    """Make `outer` for rows of 1, 2 or 3 vectors."""

    @intrinsic
    def tile(typing_context, a, rows, at, n, b, step, start, start_step, c, c_step):
        def generate(context, builder, signature, arguments):
            def data(k):
                array = context.make_array(signature.args[k])(context, builder, arguments[k])
                return array.data

            a, rows, at, b, start, c = (data(k) for k in (0, 1, 2, 4, 6, 8))
            n, step, start_step, c_step = (arguments[k] for k in (3, 5, 7, 9))
            e = _Emitter(context, builder, signature.args[0].dtype)
            every = [(i, v) for i in range(ROWS) for v in range(vectors)]
            row = [e.at(a, builder.load(e.at(rows, i))) for i in range(ROWS)]
            first, begin, to = {}, start, c
            place = {}
            for i, v in every:
                first[i, v], place[i, v] = (
                    e.load(e.at(begin, v * e.lanes)),
                    e.at(to, v * e.lanes),
                )
                if v == vectors - 1:
                    begin, to = e.at(begin, start_step), e.at(to, c_step)

            before = builder.block
            loop, after = builder.append_basic_block("tile"), builder.append_basic_block("tiled")
            zero, one = ir.Constant(_WORD, 0), ir.Constant(_WORD, 1)
            builder.cbranch(builder.icmp_signed(">", n, zero), loop, after)

            builder.position_at_end(loop)
            t, here = builder.phi(_WORD), builder.phi(b.type)
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
            return context.get_dummy_value()

        return types.none(a, rows, at, n, b, step, start, start_step, c, c_step), generate

    return tile


_tile_1, _tile_2, _tile_3 = _tile(1), _tile(2), _tile(3)


def _turning(outward: bool) -> Any:
    """Make `turn_out`, which writes far memory, or `turn_in`, which reads it."""

    @intrinsic
    def turning(typing_context, c, c_step, y, plane):
        def generate(context, builder, signature, arguments):
            def data(k):
                return context.make_array(signature.args[k])(context, builder, arguments[k]).data

            c, y, c_step, plane = data(0), data(2), arguments[1], arguments[3]
            e = _Emitter(context, builder, signature.args[0].dtype)
            ahead, piles = AHEAD // e.size, []
            for _ in range(ROWS):
                piles.append([e.load(c)])
                if not outward:
                    e.prefetch(e.at(c, ahead), to_write=False)
                c = e.at(c, c_step)
            for lane, pieces in enumerate(e.merged(piles)):
                to = e.at(y, builder.mul(plane, ir.Constant(_WORD, lane)))
                for k, piece in enumerate(pieces):
                    e.store(piece, e.at(to, k * e.lanes))
                if outward:
                    e.prefetch(e.at(to, ahead), to_write=True)
            return context.get_dummy_value()

        return types.none(c, c_step, y, plane), generate

    return turning


_turn_out, _turn_in = _turning(True), _turning(False)


if SIMD == "plain":

    @jit
    def outer(vectors, a, rows, at, n, b, step, start, start_step, c, c_step, width):
        """c[i, l] = start[i, l] + sum over t < n of a[rows[i] + at[t]] * b[t*step + l]."""
        for i in range(ROWS):
            c[i * c_step : i * c_step + width] = start[i * start_step : i * start_step + width]
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
