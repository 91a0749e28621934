"""Which pixels meet which taps, and where: convolution's geometry as tables of offsets.

Along one axis, output p of a convolution meets with its tap r the input row

    p*stride + r*dilation - padding

so a place is the sum of two numbers, one of the pixel, p*stride, and one of the tap. The gradient
for the input goes the other way: row h of dx meets, with tap r, the row of dy

    (h + padding - r*dilation) / stride = h//stride + (h%stride + padding - r*dilation) / stride

where the division leaves no rest. A tap that leaves none has one h % stride, its phase, so this too
is a number of the pixel plus a number of the tap.

At the border some taps meet no row. Rows that meet the same taps form a class: those at the top, in
the middle, at the bottom; with a stride, dx has classes for each phase. The middle of an image,
nearly all of it, is one class; with a padding of 1, nine classes cover a plane. Within a class
every pixel needs the same taps, so nothing is computed for the padding, and nothing need be padded:
of 3 x 3 taps at 6 x 6 outputs a fifth is saved, at 13 x 13 a tenth.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np

from ..shapes import Pair, Shape4


class Axis(NamedTuple):
    """One axis: places of outputs and taps, and the classes of outputs."""

    of_output: list[int]
    of_tap: list[int]
    classes: list[tuple[tuple[int, ...], list[int]]]  # (the taps they meet, the outputs)


class Places(NamedTuple):
    """The tables of a convolution (or of its input gradient) of one image and group.

    Taps count as (r, s, c), the channels of the source fastest. A class is one of rows with one of
    columns, in the order of their first ones: mostly, those that meet a tap follow each other.
    """

    tap_at: np.ndarray  # (taps,) where the tap lies in the source
    tap_w: np.ndarray  # (taps,) and in the weights, for the first output channel of a group
    rows_of: np.ndarray  # (classes + 1,) where a class's rows begin in the next three
    row_at: np.ndarray  # where the output row lies in the source
    row_to: np.ndarray  # and in the destination
    row: np.ndarray  # its number
    columns_of: np.ndarray  # (classes + 1,) the same for columns
    column_at: np.ndarray
    column_to: np.ndarray
    runs_of: np.ndarray  # (classes + 1,) where a class's runs of taps begin in the next two
    run_first: np.ndarray
    run_count: np.ndarray
    meets: np.ndarray  # (classes, R*S) whether the class meets the taps (r, s)


def _axis(
    size: int, output: int, kernel: int, stride: int, padding: int, dilation: int, transposed: bool
) -> Axis:
    """Describe an axis of a convolution from `size` to `output`, or from `output` back."""
    taps = [r * dilation - padding for r in range(kernel)]
    if transposed:
        of_output = [h // stride for h in range(size)]
        of_tap = [(place % stride - place) // stride for place in taps]
        phases, there = [place % stride for place in taps], output
    else:
        of_output = [p * stride for p in range(output)]
        of_tap, phases, there = taps, [0] * kernel, size
    classes: dict[tuple[int, ...], list[int]] = {}
    for i, place in enumerate(of_output):
        phase = i % stride if transposed else 0
        met = tuple(
            r for r in range(kernel) if phases[r] == phase and 0 <= place + of_tap[r] < there
        )
        classes.setdefault(met, []).append(i)
    return Axis(of_output, of_tap, list(classes.items()))


@functools.lru_cache(maxsize=512, typed=True)
def places(
    x_size: Pair,
    w_shape: Shape4,
    y_size: Pair,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
    transposed: bool = False,
) -> Places:
    """Return the tables of y = conv2d(x, w), or with `transposed` of dx from dy."""
    (H, W), (K, C, R, S), (P, Q) = x_size, w_shape, y_size
    v = _axis(H, P, R, stride[0], padding[0], dilation[0], transposed)
    u = _axis(W, Q, S, stride[1], padding[1], dilation[1], transposed)
    (rows, columns), wide = ((P, Q), W) if transposed else ((H, W), Q)  # of the source; of a row to
    depth, step = (K // groups, C * R * S) if transposed else (C, R * S)
    taps = [(r, s) for r in range(R) for s in range(S)]
    channel = np.arange(depth)
    tables: dict[str, list] = {name: [] for name in Places._fields}
    for r, s in taps:
        tables["tap_at"] += list(channel * rows * columns + v.of_tap[r] * columns + u.of_tap[s])
        tables["tap_w"] += list(channel * step + r * S + s)
    for of in ("rows_of", "columns_of", "runs_of"):
        tables[of].append(0)
    for met_rows, lines in v.classes:
        for met_columns, places_ in u.classes:
            tables["row_at"] += [v.of_output[i] * columns for i in lines]
            tables["row_to"] += [i * wide for i in lines]
            tables["row"] += lines
            tables["column_at"] += [u.of_output[i] for i in places_]
            tables["column_to"] += places_
            met = [r in met_rows and s in met_columns for r, s in taps]
            tables["meets"].append(met)
            first, count = _runs(met, depth)
            tables["run_first"] += first
            tables["run_count"] += count
            tables["rows_of"].append(len(tables["row"]))
            tables["columns_of"].append(len(tables["column_at"]))
            tables["runs_of"].append(len(tables["run_first"]))
    return Places(*(np.array(table, np.int64) for table in tables.values()))


def _runs(met: list[bool], depth: int) -> tuple[list[int], list[int]]:
    """Return first taps and lengths of the runs of taps that are met."""
    edges = np.flatnonzero(np.diff([False, *met, False]))
    return list(edges[::2] * depth), list((edges[1::2] - edges[::2]) * depth)
