"""Which vectors this processor has, and LLVM's instructions on them.

    registers       rows x vectors      float32 lanes
    32 of 512 bits      8 x 3               48          AVX-512
    16 of 256 bits      4 x 3               24          AVX2
    32 of 128 bits      8 x 3               12          NEON
    16 of 128 bits      4 x 3               12          anything else

MINICNN_SIMD=avx512, avx2, neon, sse or plain chooses another row of the table; LLVM splits vectors
that the processor lacks. `plain` is the same sum in plain Numba, to read, and to check the rest by.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from ..errors import ArgumentError

SHAPES = {  # bytes of a vector register, rows of a tile
    "avx512": (64, 8),
    "avx2": (32, 4),
    "neon": (16, 8),
    "sse": (16, 4),
    "plain": (64, 8),
}
VECTORS = 3  # of a full tile
LINE = 64  # bytes of a cache line
WORD, INT = ir.IntType(64), ir.IntType(32)


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
HALVES = SIMD == "avx512"  # whether half a vector takes less time than a whole one


def lanes(itemsize: int) -> int:
    """Return how many numbers of so many bytes a vector holds."""
    return BYTES // itemsize


def round_up(count: int, step: int) -> int:
    """Return the least multiple of `step` that is not below `count`."""
    return -(-count // step) * step


def emitted(body: Callable[..., Any], returns: Any = types.none) -> Any:
    """Make a function for compiled code out of one that writes it, in LLVM's instructions.

    body(e, *arguments) writes them by `e`, an `Emitter` of the numbers of the first array. Arrays
    come as pointers to their numbers. The result is a function of its own, never built into those
    that call it: its loop needs all registers, and of what surrounds it nothing may change that.
    """

    def function(typing_context: Any, *arguments: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            values = [
                context.make_array(kind)(context, builder, value).data
                if isinstance(kind, types.Array)
                else value
                for kind, value in zip(signature.args, values, strict=True)
            ]
            dtype = next(kind.dtype for kind in signature.args if isinstance(kind, types.Array))
            result = ir.VoidType() if returns is types.none else context.get_value_type(returns)
            kind = ir.FunctionType(result, [value.type for value in values])
            name = builder.module.get_unique_name(body.__name__)
            own = ir.Function(builder.module, kind, name)
            own.linkage = "internal"
            own.attributes.add("noinline")
            own_builder, size = ir.IRBuilder(own.append_basic_block("entry")), dtype.bitwidth // 8
            e = Emitter(own_builder, context.get_data_type(dtype), size, lanes(size))
            last = body(e, *own.args)
            if returns is types.none:
                e.builder.ret_void()
                builder.call(own, values)
                return context.get_dummy_value()
            e.builder.ret(last)
            return builder.call(own, values)

        return returns(*arguments), generate

    function.__signature__ = inspect.signature(body)  # type: ignore[attr-defined]
    return intrinsic(function)


class Emitter:
    """LLVM instructions on vectors as wide as the machine's."""

    def __init__(self, builder: Any, number: Any, size: int, lanes: int) -> None:
        """`number` is LLVM's type of a number of `size` bytes."""
        self.builder, self.number, self.size, self.lanes = builder, number, size, lanes
        self.vector = ir.VectorType(number, lanes)

    def half(self) -> Emitter:
        """The same for vectors of half as many lanes."""
        return Emitter(self.builder, self.number, self.size, self.lanes // 2)

    def low(self, vector: Any) -> Any:
        """The first half of a vector's lanes."""
        return self.shuffle(vector, vector, list(range(self.lanes // 2)))

    def word(self, number: Any) -> Any:
        """An integer of Python's as one of LLVM's; others as they are."""
        return ir.Constant(WORD, number) if isinstance(number, int) else number

    def at(self, pointer: Any, *offsets: Any) -> Any:
        for offset in offsets:
            pointer = self.builder.gep(pointer, [self.word(offset)])
        return pointer

    def repeat(
        self, first: Any, end: Any, step: int, body: Callable[..., Any], carried: Any = ()
    ) -> list[Any]:
        """For i = first, first + step, ... below `end`: carried = body(i, *carried).

        Return the last ones. If nothing is carried, the body returns nothing.
        """
        builder, before = self.builder, self.builder.block
        head, inside, after = (builder.append_basic_block(n) for n in ("head", "body", "after"))
        builder.branch(head)
        builder.position_at_end(head)
        i, values = builder.phi(WORD), [builder.phi(value.type) for value in carried]
        builder.cbranch(builder.icmp_signed("<", i, self.word(end)), inside, after)
        builder.position_at_end(inside)
        new = body(i, *values) or []
        later = [builder.add(i, self.word(step)), *new]
        for phi, start, last in zip([i, *values], [self.word(first), *carried], later, strict=True):
            phi.add_incoming(start, before)
            phi.add_incoming(last, builder.block)
        builder.branch(head)
        builder.position_at_end(after)
        return values

    def load(self, pointer: Any, mask: Any = None) -> Any:
        """The numbers there; zeros in lanes that a mask leaves out, whose memory is not touched."""
        whole = self.builder.bitcast(pointer, self.vector.as_pointer())
        if mask is None:
            return self.builder.load(whole, align=self.size)
        load = self._masked("load", self.vector, [whole.type, INT, mask.type, self.vector])
        size, zeros = ir.Constant(INT, self.size), ir.Constant(self.vector, None)
        return self.builder.call(load, [whole, size, mask, zeros])

    def store(self, value: Any, pointer: Any, mask: Any = None) -> None:
        """Write a vector; with a mask its lanes, and nothing beside them."""
        whole = self.builder.bitcast(pointer, value.type.as_pointer())
        if mask is None:
            self.builder.store(value, whole, align=self.size)
            return
        store = self._masked("store", ir.VoidType(), [value.type, whole.type, INT, mask.type])
        self.builder.call(store, [value, whole, ir.Constant(INT, self.size), mask])

    def _masked(self, what: str, result: Any, arguments: list[Any]) -> Any:
        name = f"llvm.masked.{what}.v{self.lanes}f{8 * self.size}.p0"
        module = self.builder.module
        kind = ir.FunctionType(result, arguments)
        return module.globals.get(name) or ir.Function(module, kind, name)

    def spread(self, pointer: Any) -> Any:
        """One number in every lane."""
        return self._spread(self.builder.load(pointer))

    def _spread(self, number: Any) -> Any:
        nothing = ir.Constant(ir.VectorType(number.type, self.lanes), ir.Undefined)
        one = self.builder.insert_element(nothing, number, ir.Constant(INT, 0))
        return self.builder.shuffle_vector(
            one, nothing, ir.Constant(ir.VectorType(INT, self.lanes), None)
        )

    def first(self, count: Any) -> Any:
        """A mask of the first lanes, `count` of them."""
        lane = ir.VectorType(INT, self.lanes)
        number = ir.Constant(lane, [ir.Constant(INT, i) for i in range(self.lanes)])
        few = self._spread(self.builder.trunc(count, INT))
        return self.builder.icmp_signed("<", number, few)

    def shuffle(self, a: Any, b: Any, order: list[int]) -> Any:
        """The lanes of a and b, one after the other, in this order."""
        mask = ir.Constant(ir.VectorType(INT, len(order)), [ir.Constant(INT, i) for i in order])
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

    def in_order(self) -> None:
        """Have later loads and stores come after this point.

        A compiler loads as early as it can. Where sums fill the registers, that pushes some of them
        out to memory.
        """
        kind = ir.FunctionType(ir.VoidType(), [])
        self.builder.call(ir.InlineAsm(kind, "", "~{memory}", side_effect=True), [])

    def prefetch(self, pointer: Any, *, to_write: bool, level: int = 1) -> None:
        """Have a line fetched that will soon be read or written, while other work is done.

        `level` is the cache that it is meant for.
        """
        byte = ir.IntType(8).as_pointer()
        kind = ir.FunctionType(ir.VoidType(), [byte, INT, INT, INT])
        name, module = "llvm.prefetch.p0", self.builder.module
        function = module.globals.get(name) or ir.Function(module, kind, name)
        options = [ir.Constant(INT, int(i)) for i in (to_write, 4 - level, 1)]  # 1: data
        self.builder.call(function, [self.builder.bitcast(pointer, byte), *options])

    def least(self, a: Any, b: Any) -> Any:
        """The smaller of two integers."""
        return self.builder.select(self.builder.icmp_signed("<", a, b), a, b)

    def at_least_zero(self, vectors: list[Any], wanted: Any) -> list[Any]:
        """Vectors with ReLU applied, if `wanted`: 0 where they are <= 0. A NaN stays NaN."""
        builder, before = self.builder, self.builder.block
        inside, after = (builder.append_basic_block(name) for name in ("clip", "clipped"))
        builder.cbranch(wanted, inside, after)
        builder.position_at_end(inside)
        zeros = [ir.Constant(vector.type, None) for vector in vectors]
        clipped = [
            builder.select(builder.fcmp_ordered("<=", vector, zero), zero, vector)
            for vector, zero in zip(vectors, zeros, strict=True)
        ]
        builder.branch(after)
        builder.position_at_end(after)
        results = [builder.phi(vector.type) for vector in vectors]
        for result, vector, positive in zip(results, vectors, clipped, strict=True):
            result.add_incoming(vector, before)
            result.add_incoming(positive, inside)
        return results

    def total(self, vector: Any) -> Any:
        """The sum of a vector's lanes, in halves."""
        name = f"llvm.vector.reduce.fadd.v{self.lanes}f{8 * self.size}"
        module = self.builder.module
        function = module.globals.get(name) or ir.Function(
            module, ir.FunctionType(self.number, [self.number, self.vector]), name
        )
        zero = ir.Constant(self.number, -0.0)
        return self.builder.call(function, [zero, vector], fastmath=("reassoc",))

    def fma(self, a: Any, b: Any, c: Any) -> Any:
        name = f"llvm.fma.v{self.lanes}f{8 * self.size}"
        module = self.builder.module
        function = module.globals.get(name) or ir.Function(
            module, ir.FunctionType(self.vector, [self.vector] * 3), name
        )
        return self.builder.call(function, [a, b, c])
