"""Images come with a batch axis or without, rows as images of height 1; kernels take images."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from minicnn.autograd import Variable
from minicnn.ops.shaping import squeeze, unsqueeze


def with_batch(function: Callable[[Any], Any], x: Variable, axes: int = 2) -> Any:
    """`function(x)`, with a batch axis lent to an `x` without one and taken back from each result.

    With a batch, `x` has two more axes than the `axes` of an image.
    """
    return function(x) if x.array.ndim == axes + 2 else _with_axis(0, function, x)


def on_images(function: Callable[[Any], Any], x: Variable, axes: int) -> Any:
    """`function`, which takes (N, C, H, W), of `x`: images, or with `axes` = 1 rows (N, C, L).

    Either may come without a batch; each result has the axes that `x` has.
    """
    if axes == 2:
        return with_batch(function, x)
    return with_batch(lambda rows: _with_axis(2, function, rows), x, 1)


def _with_axis(axis: int, function: Callable[[Any], Any], x: Variable) -> Any:
    result = function(unsqueeze(x, axis))
    if isinstance(result, tuple):
        return tuple(squeeze(y, axis) for y in result)
    return squeeze(result, axis)
