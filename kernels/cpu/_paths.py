"""Which path computes a convolution: a small model of what each costs, or the caller's choice.

The model counts what a number of the result takes, in multiply-adds of whole vectors:

    tiles    (taps + 12) / 0.95 * filters rounded up to whole vectors / filters
    runs     1.35 * taps + 11

where taps is what one number sums up, C/groups*R*S forward and K/groups*R*S/stride² for the input
gradient; tiles of a weight gradient have taps rounded up to whole rows. The constants were fitted
to 32 layers measured on a core of an AMD EPYC of the fourth generation, with AVX-512. Kernels
of 1 x 1 are `pointwise`.

MINICNN_CONV=runs, tiles or pointwise, or `forced` around the calls, take that path wherever it can
compute the layer.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from ..errors import ArgumentError
from ._simd import ROWS, lanes

PATHS = ("runs", "tiles", "pointwise")

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


def wanted_path() -> str | None:
    """The path that the caller or MINICNN_CONV forces, if any."""
    variable = os.environ.get("MINICNN_CONV", "").strip().lower()
    return _forced.get() or (_checked(variable, "MINICNN_CONV") if variable else None)


def choose(
    taps: int, filters: int, itemsize: int, *, is_product: bool = False, by_rows: bool = False
) -> str:
    """Return the path for `filters` results a group, each a sum over `taps`.

    `is_product`: the layer is a product of matrices; `by_rows`: taps fill the rows of tiles, as in
    the weights' gradient.
    """
    wanted = wanted_path()
    if wanted is not None and (wanted != "pointwise" or is_product):
        return wanted
    if is_product and min(filters, taps) > 1:
        return "pointwise"
    step = lanes(itemsize)
    rows = -(-taps // ROWS) * ROWS if by_rows else taps
    tiles = (rows + 12) / 0.95 * (-(-filters // step) * step) / filters
    return "tiles" if tiles < 1.35 * taps + 11 else "runs"
