"""Picking pixels by number along any number of axes: what padding and nearest upsampling do."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minicnn import dtypes
from minicnn.autograd import Function, Variable
from minicnn.ops.elementwise import cast
from minicnn.ops.shaping import c_order

Shape = tuple[int, ...]
Picks = list[np.ndarray | None]  # per axis: the pixel that each place shows; None: all, in order


class PickFunction(Function):
    """y[..., i, j] = x[..., picks[-2][i], picks[-1][j]], or `fill` where a pick is -1."""

    fresh_gradients = True

    @staticmethod
    def forward(ctx, x, picks, fill):
        planes, rows, columns = as_planes(x.shape, picks)
        ctx.geometry = x.shape, planes, rows, columns
        y = ctx.backend.gather2d(c_order(x).reshape(planes), rows, columns, fill)
        return y.reshape([n if p is None else p.size for n, p in zip(x.shape, picks, strict=True)])

    @staticmethod
    def backward(ctx, dy):
        shape, planes, rows, columns = ctx.geometry
        dy = c_order(dy).reshape(*planes[:2], rows.size, columns.size)
        return ctx.backend.gather2d_grad(dy, rows, columns, planes).reshape(shape), None, None


def pick(x: Variable, picks: Picks, fill: float = 0) -> Any:
    """`x` of any dtype with the pixels picks[axis] along each axis, `fill` where they are -1."""
    if x.array.dtype == dtypes.float16:  # a type for storage: gradients add up in float32
        return cast(PickFunction.apply(cast(x, dtypes.float32), picks, fill), dtypes.float16)
    return PickFunction.apply(x, picks, fill)


def as_planes(shape: Shape, picks: Picks) -> tuple[Shape, np.ndarray, np.ndarray]:
    """Return (N, 1, H, W), rows and columns by which `gather2d` makes these picks in one pass.

    The columns are the last axis, or all axes after the last one with picks. All others with picks,
    and those between, are numbered together as rows; what comes before them is the batch.
    """
    last = max(len(shape) - 1, 0)
    chosen = [axis for axis, picked in enumerate(picks) if picked is not None] or [last]
    split = last if chosen[-1] == last else chosen[-1] + 1
    first = min(chosen[0], split)
    rows = np.zeros(1, np.int64)
    for n, picked in zip(shape[first:split], picks[first:split], strict=True):
        within = np.arange(n) if picked is None else picked
        rows = np.where((rows[:, None] < 0) | (within < 0), -1, rows[:, None] * n + within).ravel()
    planes = (math.prod(shape[:first]), 1, math.prod(shape[first:split]), math.prod(shape[split:]))
    columns = picks[last] if picks else None
    if columns is None:
        columns = np.arange(planes[3])
    return planes, rows.astype(np.int32), columns.astype(np.int32)
