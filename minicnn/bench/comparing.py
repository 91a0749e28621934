"""Two results of one machine, case by case: what has become faster, what slower."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from minicnn.bench.figures import geometric_mean
from minicnn.errors import ArgumentError

ALIKE = ("name", "cores", "system", "threads")


@dataclass(frozen=True)
class Change:
    """One contender in one case: the speed of b over that of a, above 1 if b is faster.

    Attributes:
        ratio: of the medians.
        low, high: what the quartiles of the two allow at the worst and at the best.
    """

    key: str
    name: str
    ratio: float
    low: float
    high: float

    @property
    def verdict(self) -> str:
        """ "faster" or "slower", if the two quartile ranges do not overlap; else nothing."""
        if self.low > 1:
            return "faster"
        return "slower" if self.high < 1 else ""


def changes(a: dict[str, Any], b: dict[str, Any], anyway: bool = False) -> list[Change]:
    """All that both results hold, in a's order.

    Raises ArgumentError if they are from different machines or thread counts, unless `anyway`, and
    if they have nothing in common.
    """
    if not anyway:
        for fact in ALIKE:
            one, other = a["machine"].get(fact), b["machine"].get(fact)
            if one != other:
                raise ArgumentError(
                    f"bench compare: the results differ in {fact}: {one} and {other}. Measure "
                    "both here, or add --anyway."
                )
    times = {
        (case["key"], name): figures["ms"]
        for case in b["cases"]
        for name, figures in case["contenders"].items()
        if "ms" in figures
    }
    found = [
        _change(case["key"], name, figures["ms"], times[case["key"], name])
        for case in a["cases"]
        for name, figures in case["contenders"].items()
        if "ms" in figures and (case["key"], name) in times
    ]
    if not found:
        raise ArgumentError(
            "bench compare: the results have no case and contender in common. Measure the same "
            "suite and rungs twice."
        )
    return found


def _change(key: str, name: str, a: list[float], b: list[float]) -> Change:
    return Change(key, name, a[1] / b[1], a[0] / b[2], a[2] / b[0])


def lines_of(found: list[Change]) -> Iterator[str]:
    """A line for each change, and a summary."""
    width = max(len(change.key) for change in found)
    names = max(len(change.name) for change in found)
    yield f"{'':{width + names}}   speed of b over a (quartiles)"
    for c in found:
        spread = f"{c.ratio:6.2f} ({c.low:.2f}–{c.high:.2f})"
        yield f"{c.key:{width}} {c.name:{names}} {spread:22}{c.verdict}".rstrip()
    yield ""
    for name in dict.fromkeys(change.name for change in found):
        mine = [change for change in found if change.name == name]
        worst = min(mine, key=lambda change: change.ratio)
        verdicts = [change.verdict for change in mine]
        yield (
            f"{name}: {geometric_mean([c.ratio for c in mine]):.2f}× (geometric mean of "
            f"{len(mine)}), {verdicts.count('faster')} faster, {verdicts.count('slower')} slower; "
            f"lowest {worst.ratio:.2f}× in {worst.key}"
        )
