"""Slopes of a function along straight lines, by central differences, with bounds on their errors.

Along x + t·v, the weighted sum of the outputs s(t) = Σ c·f(x + t·v) is a curve in one variable.
Five of its values, at t = 0, ±ε/2 and ±ε, tell the slope and how far to trust it:

    slope       D(ε) = (s(ε) - s(-ε)) / 2ε = s' + ε²·s'''/6 + …
    bend        G(ε) = (s(ε) - 2·s(0) + s(-ε)) / ε = ε·s'' + …, the right slope minus the left one

    truncation  |D(ε) - D(ε/2)| = ε²·s'''/8, three times the error of D(ε/2)
    kinks       |G(ε) - 2·G(ε/2)|: where the curve is smooth, the bend halves with ε, and this
                vanishes; where the slope jumps by J at t = 0, as at a tie of two maxima, it is J
    rounding    f is known to one part in 2⁵³, so D(ε/2) to about 2⁻⁵³·‖c·f‖/ε

A jump at t = τ·ε, τ < ½, moves D(ε/2) by J·(1-2τ)/2, and kinks and truncation together are at
least that: a kink is not mistaken for a wrong gradient. Steps of 10⁻⁶ leave 10⁻¹² of truncation
and 10⁻¹⁰ of rounding. Smaller ones step out of the reach of a nearby kink, larger ones rise above
the noise of a function that loses digits; `Curves.slope` tries both where the first step fails.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

Arrays = list[Any]  # one array of float64 per output, or per input (None: it stays where it is)

_LADDER = (1.0, 1 / 8, 8.0, 64.0, 512.0, 4096.0)  # of eps
_SAFETY = 4.0  # what the estimates of truncation and kinks, single samples, are multiplied by
_ROUNDING = 8 * 2.0**-53  # of f: half a unit in the last place, and what its own sums lose


class Slope(NamedTuple):
    """A slope, how far off it can be, and the slopes on both sides."""

    value: float
    error: float
    bent: float  # the part of the error that kinks, truncation and noise make, without rounding
    left: float
    right: float


class Samples(NamedTuple):
    """f(x + t·v) - f(x) at four values of t, from which the slope under any cotangent follows."""

    step: float
    values: dict[float, Arrays]  # t/step -> one difference per output
    base: Arrays  # f(x)

    def slope(self, cotangents: Arrays) -> Slope:
        """The slope of Σ cotangent·output along the line."""

        def s(t: float) -> float:
            return dot(cotangents, self.values[t])

        central, half = s(1) - s(-1), s(0.5) - s(-0.5)
        bend, half_bend = s(1) + s(-1), s(0.5) + s(-0.5)
        value = half / self.step
        truncation = abs(central / 2 - half) / self.step
        kinks = abs(bend - 4 * half_bend) / self.step
        size = math.sqrt(sum(np.sum((c * finite(f)) ** 2) for c, f in self._pairs(cotangents)))
        bent = _SAFETY * (truncation + kinks)
        bent = bent if np.isfinite(bent) else np.inf
        error = bent + _ROUNDING * size / self.step
        left, right = -2 * s(-0.5) / self.step, 2 * s(0.5) / self.step
        return Slope(*map(float, (value, error, bent, left, right)))

    def _pairs(self, cotangents: Arrays) -> list[tuple[Any, Any]]:
        pairs = zip(cotangents, self.base, strict=True)
        return [(c, f) for c, f in pairs if c is not None]

    def column(self) -> Arrays:
        """The slope of each output entry."""
        return [
            (ahead - behind) / self.step
            for ahead, behind in zip(self.values[0.5], self.values[-0.5], strict=True)
        ]


class Curves:
    """The lines through one point: `f` takes a list of arrays and returns a list of arrays."""

    def __init__(self, f: Callable[[Arrays], Arrays], point: Arrays, eps: float) -> None:
        self.f, self.point, self.eps = f, point, eps
        self.base = f(point)

    def sample(self, direction: Arrays, step: float) -> Samples:
        """Four evaluations along `direction`."""
        values = {}
        for t in (-1, -0.5, 0.5, 1):
            there = [
                x if v is None else x + (t * step) * v
                for x, v in zip(self.point, direction, strict=True)
            ]
            values[t] = [difference(a, b) for a, b in zip(self.f(there), self.base, strict=True)]
        return Samples(step, values, self.base)

    def slopes(self, direction: Arrays, cotangents: Arrays) -> Iterator[Slope]:
        """The slope along `direction` by each of the steps."""
        for factor in _LADDER:
            yield self.sample(direction, self.eps * factor).slope(cotangents)

    def slope(
        self, direction: Arrays, cotangents: Arrays, goal: float = 0.0
    ) -> tuple[Slope, Samples]:
        """The slope along `direction`, with the first step that bends no more than `goal`.

        Where no step does, the one that is known best.
        """
        tried: list[tuple[float, int, Slope, Samples]] = []
        for factor in _LADDER:
            samples = self.sample(direction, self.eps * factor)
            slope = samples.slope(cotangents)
            if slope.bent <= goal:
                return slope, samples
            tried.append((slope.error, len(tried), slope, samples))
        _, _, slope, samples = min(tried, key=lambda entry: entry[:2])
        return slope, samples


def difference(a: Any, b: Any) -> Any:
    """a - b, and 0 where both are one infinity or NaN; NaN if they have different shapes."""
    if a.shape != b.shape:
        return np.full(b.shape, np.nan)
    return np.where((a == b) | (np.isnan(a) & np.isnan(b)), 0.0, a - b)


def finite(array: Any) -> Any:
    """The array with 0 in place of infinities and NaN."""
    return np.where(np.isfinite(array), array, 0.0)


def dot(a: Sequence[Any], b: Sequence[Any]) -> float:
    """Σ a·b over lists of arrays; None counts as 0."""
    pairs = zip(a, b, strict=True)
    return float(sum(np.sum(x * y) for x, y in pairs if x is not None and y is not None))
