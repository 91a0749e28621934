"""A result as text of at most 100 columns: a case's line, then one for each contender."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import Any

from minicnn.bench.figures import geometric_mean

WIDTHS = (20, 10, 18, 9, 7, 9, 22)
NONE = "–"
GROWN = 20.0  # MB: what a process holds more after its timed calls, from which it is told
BUSY = 0.5  # load before a run from which its figures are rough


def lines_of(result: dict[str, Any]) -> Iterator[str]:
    """The table, the summary, and what went wrong."""
    yield _row("", "ms", "(quartiles)", "GFLOP/s", "GB/s", "of roof", f"× {result['baseline']}")
    for case in result["cases"]:
        yield case["key"]
        for name, figures in case["contenders"].items():
            yield _contender(name, figures, name == result["baseline"])
    yield ""
    yield from summary(result)


def summary(result: dict[str, Any]) -> Iterator[str]:
    """Peaks; each contender's mean ratio and worst case; problems."""
    fma, copy = result["peaks"]["fma GFLOP/s"], result["peaks"]["copy GB/s"]
    threads = result["settings"]["threads"]
    if fma and copy:
        yield (
            f"peaks on {threads} thread{'s' * (threads > 1)}: {fma:.0f} GFLOP/s of fused "
            f"multiply-adds (f), {copy:.1f} GB/s of copying (c)"
        )
    for name in result["cases"][0]["contenders"]:
        ratios = {
            case["key"]: case["contenders"][name]["ratio"][1]
            for case in result["cases"]
            if "ratio" in case["contenders"].get(name, {})
        }
        if ratios and name != result["baseline"]:
            worst = min(ratios, key=lambda key: ratios[key])
            yield (
                f"{name}: {times(geometric_mean([*ratios.values()]))}× {result['baseline']} "
                f"(geometric mean of {len(ratios)}); worst {times(ratios[worst])}× in {worst}"
            )
        grown = {
            case["key"]: case["contenders"][name].get("growth MB", 0)
            for case in result["cases"]
            if name in case["contenders"]
        }
        most = max(grown, key=lambda key: grown[key])
        if grown[most] > GROWN:
            yield f"{name}: held {grown[most]:.0f} MB more after the calls of {most} than before"
    if not result["complete"]:
        asked = result["settings"]["rounds"]
        yield f"stopped after {result['rounds']} of {asked} rounds"
    if result["load before"] and result["load before"] > BUSY:
        yield f"others were busy here (load {result['load before']} at the start): rough figures"
    for problem in result["problems"]:
        yield from textwrap.wrap(problem, 100, subsequent_indent="  ")


def _contender(name: str, figures: dict[str, Any], is_baseline: bool) -> str:
    if "ms" not in figures:
        why = figures.get("problem") or "not measured"
        return f"  {name:<{WIDTHS[0] - 2}}{textwrap.shorten(why, 80, placeholder=' …')}"
    path = f", {figures['path']}" if figures.get("path") else ""
    low, median, high = figures["ms"]
    roof = NONE
    if "roof" in figures:
        roof = f"{100 * figures['share of roof']:.0f} % {figures['roof'][0]}"
    ratio = NONE
    if "ratio" in figures:
        a, b, c = figures["ratio"]
        ratio = "1" if is_baseline else f"{times(b)} ({times(a)}–{times(c)})"
    speed = plain(figures["GFLOP/s"]) if figures["GFLOP/s"] else NONE
    return _row(
        f"  {name}{path}", number(median), f"({number(low)}–{number(high)})",
        speed, plain(figures["GB/s"]), roof, ratio,
    )  # fmt: skip


def number(value: float) -> str:
    """Four significant digits, at most five decimals, no exponent: 0.01234, 1.234, 123.4, 12340."""
    if value >= 1000:
        return f"{value:.0f}"
    return f"{value:#.4g}" if value >= 0.1 else f"{value:.5f}"


def plain(value: float) -> str:
    """One decimal; below 0.1, two significant digits."""
    return f"{value:.1f}" if value >= 0.1 else f"{value:.2g}"


def times(value: float) -> str:
    """A ratio: two decimals; below 0.1, two significant digits."""
    return f"{value:.2f}" if value >= 0.1 else f"{value:.2g}"


def _row(first: str, *cells: str) -> str:
    right = "".join(cell.rjust(width) for cell, width in zip(cells, WIDTHS[1:], strict=True))
    return f"{first:<{WIDTHS[0]}}{right}"
