"""Rows of numbers at a stride, brought side by side with shuffles of vectors.

Strided convolutions need pixels side by side that lie apart. One by one, these are a load and a
store each; here a vector of results takes as many loads as the stride has steps, and a shuffle to
merge each into those before.
"""

from __future__ import annotations

from typing import Any

from ._jit import jit
from ._vectors import BYTES, SIMD, emitted


def _every(step: int) -> Any:
    """Make every(x, x_step, y, y_step, rows, count), for at least a vector of numbers a row."""

    def every(e, x, x_step, y, y_step, rows, count):
        builder, last = e.builder, e.builder.sub(count, e.word(e.lanes))

        def row(r):
            source, to = e.at(x, builder.mul(r, x_step)), e.at(y, builder.mul(r, y_step))

            def vector(j):
                j = e.least(j, last)  # the last ones are taken twice rather than one by one
                here, found = e.at(source, builder.mul(j, e.word(step))), 0
                result = e.load(here)
                for k in range(step):
                    order = list(range(found))
                    first = -k * e.lanes % step
                    order += [i + e.lanes * (k > 0) for i in range(first, e.lanes, step)]
                    found, more = len(order), e.load(e.at(here, k * e.lanes))
                    result = e.shuffle(result, more, order + [0] * (e.lanes - found))
                e.store(result, e.at(to, j))

            e.repeat(0, count, e.lanes, vector)

        e.repeat(0, rows, 1, row)

    return emitted(every)


_every_1, _every_2, _every_3, _every_4 = (_every(step) for step in (1, 2, 3, 4))


@jit
def gather(x, at, x_step, step, y, to, y_step, rows, count):
    """y[to + r*y_step + j] = x[at + r*x_step + j*step] for all r < rows and j < count."""
    if rows <= 0:
        return
    whole = at + (rows - 1) * x_step + count * step <= x.size  # the last vectors end in x
    if SIMD == "plain" or not whole or count < BYTES // x.itemsize or step > 4:
        for r in range(rows):
            for j in range(count):
                y[to + r * y_step + j] = x[at + r * x_step + j * step]
    elif step == 1:
        _every_1(x[at:], x_step, y[to:], y_step, rows, count)
    elif step == 2:
        _every_2(x[at:], x_step, y[to:], y_step, rows, count)
    elif step == 3:
        _every_3(x[at:], x_step, y[to:], y_step, rows, count)
    else:
        _every_4(x[at:], x_step, y[to:], y_step, rows, count)
