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

import os
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir

from ..errors import ArgumentError

SHAPES = {  # bytes of a vector register, rows of a tile
    "avx512": (64, 8),
    "avx2": (32, 4),
    "neon": (16, 8),
    "sse": (16, 4),
    "plain": (64, 8),
}
VECTORS = 3  # of a full tile
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


def lanes(itemsize: int) -> int:
    """Return how many numbers of so many bytes a vector holds."""
    return BYTES // itemsize


def round_up(count: int, step: int) -> int:
    """Return the least multiple of `step` that is not below `count`."""
    return -(-count // step) * step


def data(context: Any, builder: Any, signature: Any, arguments: Any, *which: int) -> list[Any]:
    """Return pointers to the numbers of those arguments of an intrinsic that are arrays."""
    return [
        context.make_array(signature.args[k])(context, builder, arguments[k]).data for k in which
    ]


class Emitter:
    """LLVM instructions on vectors as wide as the machine's."""

    def __init__(self, context: Any, builder: Any, dtype: Any) -> None:
        self.builder, self.number = builder, context.get_data_type(dtype)
        self.size = dtype.bitwidth // 8
        self.lanes = lanes(self.size)
        self.vector = ir.VectorType(self.number, self.lanes)

    def at(self, pointer: Any, *offsets: Any) -> Any:
        for offset in offsets:
            offset = ir.Constant(WORD, offset) if isinstance(offset, int) else offset
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
        one = self.builder.insert_element(nothing, self.builder.load(pointer), ir.Constant(INT, 0))
        return self.builder.shuffle_vector(
            one, nothing, ir.Constant(ir.VectorType(INT, self.lanes), None)
        )

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

    def prefetch(self, pointer: Any, *, to_write: bool) -> None:
        """Have a line fetched that will soon be read or written, while other work is done."""
        byte = ir.IntType(8).as_pointer()
        kind = ir.FunctionType(ir.VoidType(), [byte, INT, INT, INT])
        name, module = "llvm.prefetch.p0", self.builder.module
        function = module.globals.get(name) or ir.Function(module, kind, name)
        options = [ir.Constant(INT, int(i)) for i in (to_write, 3, 1)]  # keep it; it is data
        self.builder.call(function, [self.builder.bitcast(pointer, byte), *options])

    def fma(self, a: Any, b: Any, c: Any) -> Any:
        name = f"llvm.fma.v{self.lanes}f{8 * self.size}"
        module = self.builder.module
        function = module.globals.get(name) or ir.Function(
            module, ir.FunctionType(self.vector, [self.vector] * 3), name
        )
        return self.builder.call(function, [a, b, c])
