"""Images come with a batch axis or without; kernels always have one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from minicnn.autograd import Variable
from minicnn.ops.shaping import squeeze, unsqueeze


def with_batch(function: Callable[[Any], Any], x: Variable, axes: int = 2) -> Any:
    """`function(x)`, with a batch axis lent to an `x` without one and taken back from each result.

    With a batch, `x` has two more axes than the `axes` of an image.
    """
    if x.array.ndim == axes + 2:
        return function(x)
    result = function(unsqueeze(x, 0))
    return tuple(squeeze(y, 0) for y in result) if isinstance(result, tuple) else squeeze(result, 0)
