"""The table of a `minicnn bench` result for a README: one contender against the baseline.

    python benchmarks/against.py                                    # of results/seeds.json
    python benchmarks/against.py results.json --contender numba

Each cell has the GFLOP/s of both, the median of the paired ratios, and the contender's share of
what the machine allowed in the same turn.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from minicnn.bench.figures import geometric_mean
from minicnn.bench.layer_cases import PASSES
from minicnn.bench.results import Data, load
from minicnn.bench.table import NONE

HERE = Path(__file__).resolve().parent


def table(result: Data, contender: str) -> str:
    """A row for each layer, a column for each pass."""
    layers: dict[str, dict[str, Data]] = {}
    for case in result["cases"]:
        name = case["name"].removeprefix("conv ")
        layers.setdefault(name, {})[case["pass_"]] = case["contenders"]
    (batch,) = {case["batch"] for case in result["cases"]}
    lines = [f"| layer, batch {batch} | {' | '.join(PASSES)} |", f"|{' --- |' * (1 + len(PASSES))}"]
    for name, passes in layers.items():
        cells = [_cell(passes.get(p), contender, result["baseline"]) for p in PASSES]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(found: Data | None, contender: str, baseline: str) -> str:
    if found is None:
        return NONE
    mine, theirs = found[contender], found[baseline]
    return (
        f"{mine['GFLOP/s']:.0f} / {theirs['GFLOP/s']:.0f}, {mine['ratio'][1]:.2f}×, "
        f"{100 * mine['share of roof']:.0f} %"
    )


def summary(result: Data, contender: str) -> tuple[float, float]:
    """The geometric mean of the ratios, and the worst of them."""
    ratios = [case["contenders"][contender]["ratio"][1] for case in result["cases"]]
    return geometric_mean(ratios), min(ratios)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("result", type=Path, nargs="?", default=HERE / "results" / "seeds.json")
    parser.add_argument("--contender", default="numba")
    arguments = parser.parse_args()
    result = load(arguments.result)
    print(table(result, arguments.contender))
    mean, worst = summary(result, arguments.contender)
    print(f"{mean:.2f}× in the geometric mean, {worst:.2f}× at worst")


if __name__ == "__main__":
    main()
