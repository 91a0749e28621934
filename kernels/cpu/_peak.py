"""The most arithmetic that the cores can do: multiply-adds on registers, with nothing to wait for.

Not a kernel of the rung, but the ceiling that `minicnn bench` holds kernels against. A fused
multiply-add takes about four cycles until its result can be used, and one or two start in each: so
each thread keeps 12 sums that do not depend on each other, in vector registers, and in the loop
there is no load and no store.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from llvmlite import binding, ir
from numba import float32, int64, prange
from numba.extending import intrinsic

from ._jit import kernel, take

SUMS = 12  # with the two factors they fit the 16 registers of AVX2
_TASKS = 64  # a thread that is held up leaves its tasks to the others


@functools.cache  # to ask takes 0.15 ms
def lanes() -> int:
    """How many float32 a vector register of this processor holds."""
    features = binding.get_host_cpu_features()
    if features.get("avx512f"):
        return 16
    return 8 if features.get("avx") else 4


def multiply_add(count: int) -> float:
    """Do at least `count` float32 multiply-adds (2 FLOPs each) on all threads; return their sum.

    `count` is rounded up to whole tasks, by less than 0.1 % from 2**24 on.
    """
    steps = -(-count // (_TASKS * SUMS * lanes()))
    found = np.zeros(_TASKS, np.float32)
    _multiply_add(count, steps, found)
    return float(found.sum())


@kernel
def _multiply_add(team, steps, found):
    for _ in prange(team.size):
        task = take(team)
        while task < found.size:
            found[task] = _sums(steps, np.float32(0.999), np.float32(1e-3))
            task = take(team)


@intrinsic
def _sums(typing_context: Any, steps: Any, factor: Any, term: Any) -> Any:
    """Steps of s = s * factor + term, for SUMS vectors s side by side; return a lane's sum."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        number, vector = ir.FloatType(), ir.VectorType(ir.FloatType(), lanes())
        name = f"llvm.fma.v{lanes()}f32"
        fma = builder.module.declare_intrinsic(
            name, fnty=ir.FunctionType(vector, [vector, vector, vector])
        )
        count, *scalars = arguments
        a, b = (_spread(builder, vector, scalar) for scalar in scalars)
        before = builder.block
        loop, after = (builder.append_basic_block(part) for part in ("loop", "after"))
        builder.branch(loop)
        builder.position_at_end(loop)
        left = builder.phi(count.type)
        left.add_incoming(count, before)
        sums = [builder.phi(vector) for _ in range(SUMS)]
        for i, s in enumerate(sums):
            first = ir.Constant(vector, [float(i)] * lanes())
            s.add_incoming(first, before)
        new = [builder.call(fma, [s, a, b]) for s in sums]
        for s, n in zip(sums, new, strict=True):
            s.add_incoming(n, loop)
        less = builder.sub(left, ir.Constant(count.type, 1))
        left.add_incoming(less, loop)
        builder.cbranch(builder.icmp_signed(">", less, ir.Constant(count.type, 0)), loop, after)
        builder.position_at_end(after)
        total = new[0]
        for n in new[1:]:
            total = builder.fadd(total, n)
        result = builder.extract_element(total, ir.Constant(ir.IntType(32), 0))
        assert result.type == number
        return result

    return float32(int64, float32, float32), generate


def _spread(builder: Any, vector: Any, scalar: Any) -> Any:
    one = builder.insert_element(
        ir.Constant(vector, ir.Undefined), scalar, ir.Constant(ir.IntType(32), 0)
    )
    return builder.shuffle_vector(
        one,
        ir.Constant(vector, ir.Undefined),
        ir.Constant(ir.VectorType(ir.IntType(32), lanes()), [0] * lanes()),
    )
