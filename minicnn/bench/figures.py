"""From times to figures: quartiles, paired ratios, geometric means, what limits a call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np


def quartiles(values: Any) -> list[float]:
    """[lower quartile, median, upper quartile], interpolated linearly."""
    return [float(q) for q in np.quantile(values, [0.25, 0.5, 0.75])]


def paired_ratios(baseline: Sequence[float | None], other: Sequence[float | None]) -> list[float]:
    """The speed of `other` over the baseline's in each round that has both times: above 1, faster.

    A slow minute of the machine slows both times of a round, and leaves their ratio. Of a run that
    was stopped, one of the two may know a round more.
    """
    pairs = zip(baseline, other, strict=False)
    return [a / b for a, b in pairs if a is not None and b is not None]


def geometric_mean(values: Sequence[float]) -> float:
    """The mean for ratios: of 2 and 1/2 it is 1."""
    return float(np.exp(np.mean(np.log(values))))


def limit(flops: float, moved: float, fma: float | None, copy: float | None) -> str | None:
    """What limits a call at best: "fma" or "copy", whichever takes longer. None without peaks.

    `flops` and `moved` (bytes) are a call's, `fma` in GFLOP/s and `copy` in GB/s the peaks.
    Source: Williams, Waterman & Patterson 2009, "Roofline".
    """
    if not fma or not copy:
        return None
    return "fma" if flops / fma >= moved / copy else "copy"


def error_of(got: np.ndarray, expected: np.ndarray) -> float:
    """max |got - expected| / max |expected|; infinite for another shape, or where one is NaN."""
    if got.shape != expected.shape:
        return float("inf")
    if not expected.size:
        return 0.0
    worst = float(np.abs(got - expected).max())
    scale = float(np.abs(expected).max())
    if not np.isfinite(worst):
        return float("inf")
    return worst / scale if scale else (0.0 if worst == 0 else float("inf"))
