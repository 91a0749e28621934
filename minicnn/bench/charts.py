"""Pictures of a result: bars of each contender's speed, and a roofline.

Colours are those of Okabe & Ito, which stay apart under all common kinds of colour blindness; in
the roofline a contender also has its own mark.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from itertools import cycle
from typing import Any

from minicnn.errors import DataError
from minicnn.plot import save

STYLE = {  # colour and mark
    "loops": ("#999999", "v"),
    "numpy": ("#56B4E9", "s"),
    "numba": ("#D55E00", "o"),
    "cupy": ("#009E73", "D"),
    "torch": ("#0072B2", "^"),
    "torch_compiled": ("#CC79A7", "<"),
    "tf": ("#E69F00", "P"),
    "jax": ("#262626", "X"),
}
INK, PALE = "#262626", "#BDBDBD"
Result = dict[str, Any]


def bars(result: Result, path: str | os.PathLike[str]) -> Any:
    """GFLOP/s of each contender in each case, or GB/s where no case has FLOPs.

    Raises DataError when nothing was measured.
    """
    from matplotlib.figure import Figure

    unit = "GFLOP/s" if any(case["flops"] for case in result["cases"]) else "GB/s"
    cases = [c for c in _measured(result) if c["flops"] or unit == "GB/s"]
    names = _names(cases)
    rows = len(cases) * (len(names) + 0.8)
    figure = Figure(figsize=(9, 1.5 + 0.17 * rows), layout="constrained")
    axes = figure.add_subplot()
    height = 0.82 / len(names)
    values = []
    for i, (name, (colour, _)) in enumerate(_styled(names)):
        found = [(n, c["contenders"][name]) for n, c in enumerate(cases)]
        found = [(n, figures[unit]) for n, figures in found if "ms" in figures]
        places = [n + (i - (len(names) - 1) / 2) * height for n, _ in found]
        speeds = [speed for _, speed in found]
        values += speeds
        drawn = axes.barh(places, speeds, height * 0.92, label=name, color=colour)
        axes.bar_label(
            drawn, [_figure(s) for s in speeds], fontsize=8, padding=3, color=INK,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.8},  # on the line of the peak
        )  # fmt: skip
    if max(values) > 100 * min(values):
        axes.set_xscale("log")
        _plain(axes.xaxis)
    peak = result["peaks"]["fma GFLOP/s" if unit == "GFLOP/s" else "copy GB/s"]
    if peak:
        axes.axvline(peak, color=INK, linewidth=1, linestyle=(0, (5, 3)), zorder=0)
        axes.annotate(
            f"peak {peak:.0f}", (peak, 1), xycoords=axes.get_xaxis_transform(), xytext=(0, 3),
            textcoords="offset points", ha="center", fontsize=8, color=INK,
        )  # fmt: skip
    axes.set_yticks(range(len(cases)), [case["key"] for case in cases], fontsize=9)
    axes.invert_yaxis()
    axes.set_xlabel(f"{unit} (more is faster)")
    axes.margins(x=0.08, y=0.02)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside upper left", ncols=len(names), frameon=False, title=_title(result))
    return save(figure, path)


def roofline(result: Result, path: str | os.PathLike[str]) -> Any:
    """Every case by its arithmetic intensity and its speed, under what the machine allows.

    The passes of an operation share a number, which stands over the fastest of its points.
    Source: Williams, Waterman & Patterson 2009, "Roofline: an insightful visual performance model
    for multicore architectures". Raises DataError without measured cases that have FLOPs.
    """
    from matplotlib.figure import Figure

    cases = [case for case in _measured(result) if case["flops"]]
    fma, copy = result["peaks"]["fma GFLOP/s"], result["peaks"]["copy GB/s"]
    if not cases or not fma or not copy:
        raise DataError("bench: no case with FLOPs was measured. A roofline needs one, and peaks.")
    groups: dict[str, list[tuple[float, float]]] = {_group(case): [] for case in cases}
    figure = Figure(figsize=(11, max(5.5, 1.5 + 0.17 * len(groups))), layout="constrained")
    axes, key = figure.subplots(1, 2, width_ratios=(2.6, 1))
    for name, (colour, mark) in _styled(_names(cases)):
        points = []
        for case in cases:
            figures = case["contenders"][name]
            if "ms" in figures:
                points.append((case["flops"] / case["bytes"], figures["GFLOP/s"]))
                groups[_group(case)].append(points[-1])
        axes.scatter(
            *zip(*points, strict=True), s=34, marker=mark, color=colour, edgecolors="white",
            linewidths=0.5, label=name, zorder=3,
        )  # fmt: skip
    _draw_roof(axes, fma, copy, [case["flops"] / case["bytes"] for case in cases])
    _number(axes, [max(points, key=lambda point: point[1]) for points in groups.values()])
    key.axis("off")
    text = "\n".join(f"{n + 1:2}  {group}" for n, group in enumerate(groups))
    key.text(0, 1, text, va="top", fontsize=8, color=INK, linespacing=1.35)
    handles, labels = axes.get_legend_handles_labels()
    key.legend(handles, labels, loc="lower left", frameon=False)
    axes.set_title(_title(result), loc="left", fontsize=10, color=INK, pad=12)
    return save(figure, path)


def _group(case: Result) -> str:
    """The operation without its pass."""
    return str(case["key"].removesuffix(f", {case['pass_']}"))


def _number(axes: Any, places: list[tuple[float, float]]) -> None:
    """1, 2, 3 … above these points; one that would cover another goes above it."""
    taken: list[tuple[float, float]] = []
    for n, (x, y) in sorted(enumerate(places), key=lambda place: place[1][1]):
        while any(
            abs(math.log10(x / p)) < 0.05 and abs(math.log10(y / q)) < 0.05 for p, q in taken
        ):
            y *= 1.06
        taken.append((x, y))
        axes.annotate(
            str(n + 1), (x, y), xytext=(0, 5), textcoords="offset points", ha="center",
            fontsize=8, color=INK, zorder=4,
        )  # fmt: skip
    highest = max(y for _, y in taken)
    axes.set_ylim(top=max(1.15 * highest, axes.get_ylim()[1]))  # room for its number


def _draw_roof(axes: Any, fma: float, copy: float, at: list[float]) -> None:
    ridge = fma / copy
    left, right = min([*at, ridge]) / 1.6, max([*at, ridge]) * 1.6
    axes.plot([left, ridge, right], [left * copy, fma, fma], color=INK, linewidth=1.5, zorder=2)
    axes.set_xscale("log")
    axes.set_yscale("log")
    _plain(axes.xaxis)
    _plain(axes.yaxis, between=True)
    axes.set_xlim(left, right)
    axes.annotate(
        f"copying: {copy:.1f} GB/s,\nthen arithmetic: {fma:.0f} GFLOP/s", (ridge, fma),
        xytext=(4, 4), ha="left", textcoords="offset points", fontsize=9, color=INK,
    )  # fmt: skip
    axes.set_xlabel("FLOPs for each byte that must move")
    axes.set_ylabel("GFLOP/s")
    axes.grid(True, which="major", color=PALE, linewidth=0.5, zorder=0)
    axes.spines[["top", "right"]].set_visible(False)


def _measured(result: Result) -> list[Result]:
    """The cases in which somebody was timed."""
    found = [c for c in result["cases"] if any("ms" in f for f in c["contenders"].values())]
    if not found:
        raise DataError("bench: nothing was measured, so there is nothing to draw. See the table.")
    return found


def _names(cases: list[Result]) -> list[str]:
    """The contenders that were timed in one of the cases."""
    timed = {name for c in cases for name, figures in c["contenders"].items() if "ms" in figures}
    return [name for name in cases[0]["contenders"] if name in timed]


def _styled(names: list[str]) -> Iterator[tuple[str, tuple[str, str]]]:
    spare = cycle([("#F0E442", "*"), ("#56B4E9", "d"), ("#009E73", "h")])
    for name in names:
        yield name, STYLE.get(name) or next(spare)


def _plain(axis: Any, *, between: bool = False) -> None:
    """Ticks of a logarithmic axis as 0.01, 1, 100; `between`: also as 2, 5, 20, 50."""
    from matplotlib.ticker import LogLocator, NullFormatter

    if between:
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(lambda value, _: f"{value:g}")
    axis.set_minor_formatter(NullFormatter())


def _figure(value: float) -> str:
    return f"{value:.0f}" if value >= 10 else f"{value:.2g}"


def _title(result: Result) -> str:
    threads = result["settings"]["threads"]
    return f"{result['machine']['name']}, {threads} thread{'s' * (threads > 1)}, float32"
