"""Which path computes a convolution: a small model of what each costs, or the caller's choice.

The model counts what a number of the result takes, in multiply-adds of whole vectors:

    runs     (1.6 * taps + 45) * K' / K
    tiles    ((1 + 0.25 / wide) * taps + 55) * K' / K
    rows     (1.05 * taps + 15) * K' / K * Q' / Q + 30 * copied
    winograd 1.1 * ((values * ((C + 20) * K' + 15 * C') + once) / 0.9 / (P * Q * K) + 30)

where taps is what one number sums up, C/groups*R*S forward and K/groups*R*S/stride² for the input
gradient, and what stands beside them is storing the result, turned round in `tiles`. Weight
gradients have taps rounded up to whole rows of tiles; in `rows` the lanes of a tile are added up
once for the vectors of an image. There it is

    runs     (1.45 * taps + 30) * K' / K
    tiles    ((1 + 0.25 / wide) * taps + 40) * K' / K
    rows     1.15 * taps * (1 + 35 / vectors) * K' / K * Q' / Q + 8 + 20 * copied

K', Q' and C' are filters, columns and channels rounded up to whole tiles, `wide` the vectors of a
tile, `copied` the source's numbers that are copied for one of the result, `values` the numbers that
Winograd's tiles of one image and channel become, what they have beyond the image included; `once`
is the transform of the weights, shared by 8 images. The model does not ask how many images there
are, for one has to give the same bits alone and in a batch. Winograd's path rounds more, so it must
be better by a tenth; it computes 3 x 3 kernels of stride 1, unless forced only in float32. On 18
layers and their input gradients, 16 to 512 channels, with 1, 8 and 32 images, it was never slower
than the others where it is chosen. The most is left out at 512 x 512 channels on 7 x 7 or 4 x 4
pixels: 1.4 to 1.8 times the speed of `tiles` for 32 images, but half of it for one.

The constants were fitted to some 40 layers and gradients, on an AMD EPYC of the fourth generation
with AVX-512. On 14 others, the path chosen took 1.005 times as long as the fastest one in the
geometric mean, 1.16 times at worst. Kernels of 1 x 1 are `pointwise`.

MINICNN_CONV=runs, tiles, rows, pointwise or winograd, or `forced` around the calls, take that path
wherever it can compute the layer.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

from ..errors import ArgumentError
from ..shapes import Pair
from ._row_tile import FILTERS, TAPS
from ._shifted import BLOCK
from ._vectors import HALVES, ROWS, VECTORS, lanes, round_up

PATHS = ("runs", "tiles", "rows", "pointwise", "winograd")

_CLEARLY = 1.1  # Winograd has to be better by so much: it rounds more
_CACHE = 1 << 24  # bytes of transformed weights that a third-level cache may hold, with all else

_forced: ContextVar[str | None] = ContextVar("minicnn_conv_path", default=None)


@contextmanager
def forced(path: str | None) -> Iterator[None]:
    """Take this path inside, wherever it can compute the layer; None: as the model says."""
    token = _forced.set(None if path is None else _checked(path, "conv path"))
    try:
        yield
    finally:
        _forced.reset(token)


def _checked(path: str, what: str) -> str:
    if path not in PATHS:
        raise ArgumentError(f"{what} {path!r}: no such path. Use one of {', '.join(PATHS)}.")
    return path


def _wanted_path() -> str | None:
    """The path that the caller or MINICNN_CONV forces, if any."""
    variable = os.environ.get("MINICNN_CONV", "").strip().lower()
    return _forced.get() or (_checked(variable, "MINICNN_CONV") if variable else None)


class Tiling(NamedTuple):
    """How Winograd's path cuts an image of outputs into tiles of m x m."""

    m: int
    down: int
    across: int
    values: int  # multiplications an image, for one channel and filter


def tiling(P: int, Q: int) -> Tiling:
    """Return the tiles with the fewest multiplications: what they have beyond the image counts."""
    found = []
    for m in (4, 3):
        down, across = -(-P // m), -(-Q // m)
        found.append(Tiling(m, down, across, (m + 2) ** 2 * down * across))
    return min(found, key=lambda tiles: tiles.values)


class Rows(NamedTuple):
    """What `rows` would do for a layer."""

    height: int  # of the images of outputs
    width: int
    copied: float  # numbers of the source that it copies for one of the result


def choose(
    taps: int,
    filters: int,
    itemsize: int,
    *,
    is_product: bool = False,
    of_weights: bool = False,
    outputs: Pair | None = None,
    rows: Rows | None = None,
) -> str:
    """Return the path for `filters` results a group, each a sum over `taps`.

    `is_product`: the layer is a product of matrices; `of_weights`: it is the weights' gradient;
    `outputs`: the size of the result, where Winograd's path can compute it; `rows`: where that path
    can.
    """
    wanted = _wanted_path()
    cannot = {
        "pointwise": not is_product, "winograd": outputs is None, "rows": rows is None,
        "runs": not taps,
    }  # fmt: skip
    if wanted is not None and not cannot.get(wanted):
        return wanted
    if is_product and min(filters, taps) > 1:
        return "pointwise"
    return _cheapest(taps, filters, itemsize, of_weights, outputs, rows)


@functools.lru_cache(maxsize=512, typed=True)
def _cheapest(
    taps: int, filters: int, itemsize: int, of_weights: bool, outputs: Pair | None,
    rows: Rows | None,
) -> str:  # fmt: skip
    if not taps:  # nothing but the bias
        return "tiles"
    step = lanes(itemsize)
    whole, tiled = round_up(filters, step), round_up(taps, ROWS) if of_weights else taps
    blocks = filters if filters == 1 and not of_weights else round_up(filters, BLOCK)
    wide = whole / step / -(-whole // (VECTORS * step))
    each, once = (1.45, 30) if of_weights else (1.6, 45)
    costs = {
        "runs": (each * taps + once) * blocks / filters,
        "tiles": ((1 + 0.25 / wide) * tiled + (40 if of_weights else 55)) * whole / filters,
    }
    if outputs is not None and itemsize == 4:
        costs["winograd"] = _CLEARLY * _winograd_cost(taps // 9, filters, step, *outputs)
    if rows is not None:
        costs["rows"] = _rows_cost(taps, filters, step, of_weights, rows)
    return min(costs, key=lambda path: costs[path])


def _rows_cost(taps: int, filters: int, step: int, of_weights: bool, rows: Rows) -> float:
    width = float(round_up(rows.width, step))
    if of_weights:
        added = 1 + 35 / (width // step * rows.height)
        whole, each = round_up(filters, FILTERS), 1.15 * round_up(taps, TAPS) * added
        beside = 8 + 20 * rows.copied
    else:
        width -= 0.2 * step * (HALVES and 0 < rows.width % step <= step // 2)
        whole, each, beside = round_up(filters, ROWS), 1.05 * taps + 15, 30 * rows.copied
    return each * whole / filters * width / rows.width + beside


def _winograd_cost(channels: int, filters: int, step: int, P: int, Q: int) -> float:
    tiles, whole = tiling(P, Q), round_up(filters, step)
    weights = (tiles.m + 2) ** 2 * channels * whole
    once = weights * (1.25 if 4 * weights <= _CACHE else 7.5)
    each = tiles.values * ((channels + 20) * whole + 15 * round_up(channels, step))
    return (each + once) / 0.9 / (P * Q * filters) + 30
