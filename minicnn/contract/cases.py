"""What cases are made of: window geometry from the smallest to the awkward, and numbers to read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Case = dict[str, Any]
Arrays = dict[str, Any]
# A hint, and the results that it would explain; None stands for one that it says nothing about.
Mistake = tuple[str, tuple[Any, ...]]

_DIGITS = np.array([-4, -3, -2, -1, 1, 2, 3, 4, 5, 6, 7, 8, 9])


def numbers(case: Case, dtype: str) -> Callable[..., np.ndarray]:
    """Return a drawer of arrays, draw(*shape): single digits, or standard normal with a seed.

    Sums of products of digits can be checked by hand, and are exact in float32 in any order. With
    `case["seed"]` the numbers have fractions, which also shows in what precision they were added.
    """
    if "seed" in case:
        rng = np.random.default_rng(case["seed"])
        return lambda *shape: rng.standard_normal(shape).astype(dtype)
    rng = np.random.default_rng(253)  # begins 4 -1 2 5 7 -3 8 6: no digit twice
    return lambda *shape: rng.choice(_DIGITS, shape).astype(dtype)


def window(
    size: Any, kernel: Any, stride: Any = 1, padding: Any = 0, dilation: Any = 1, **more: Any
) -> Case:
    """Return a case of a kernel that slides over an image; one number stands for both axes."""
    axes = {"size": size, "kernel": kernel, "stride": stride}
    axes |= {"padding": padding, "dilation": dilation}
    return {k: (v, v) if isinstance(v, int) else v for k, v in axes.items()} | more


# One image, one channel. Each case adds one thing to those before it.
WINDOWS: dict[str, Case] = {
    "one pixel, a kernel of one": window(1, 1),
    "a row of three, a kernel of two": window((1, 3), (1, 2)),
    "the kernel is as large as the image": window(2, 2),
    "a kernel of 2×2 slides over 3×3": window(3, 2),
    "the image is not square": window((3, 4), 2),
    "the kernel is not square": window((4, 3), (3, 2)),
    "stride 2": window(4, 2, 2),
    "stride 2 leaves a row and a column over": window(5, 2, 2),
    "a stride for each axis": window((5, 4), 2, (1, 2)),
    "the stride is larger than the kernel": window((7, 5), (2, 1), (3, 2)),
    "padding 1": window(3, 3, 1, 1),
    "a padding for each axis": window(3, (3, 2), 1, (1, 0)),
    "stride 2 and padding 1": window(4, 3, 2, 1),
    "dilation 2": window(3, 2, 1, 0, 2),
    "a dilation for each axis": window((4, 4), (2, 3), 1, 0, (3, 1)),
    "all of it, different for each axis": window((7, 6), (3, 2), (2, 1), (1, 0), (2, 3)),
}
