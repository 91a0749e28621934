"""How much each rung of the ladder makes of the machine: the README's table and the chart.

    python benchmarks/ladder.py                 # writes benchmarks/results/ladder.json and .png
    python benchmarks/ladder.py --rounds 3      # quicker, rougher

It runs `minicnn bench --suite ladder` on the rungs loops, numpy and numba, and keeps what the
README quotes. The loops rung takes a second for what the others do in a millisecond, so it is timed
on one image, and compared by GFLOP/s.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from minicnn.bench import charts, suites
from minicnn.bench.contenders import rung
from minicnn.bench.layer_cases import PASSES
from minicnn.bench.measuring import Run, Settings
from minicnn.bench.results import result_of, rounded
from minicnn.bench.table import NONE, lines_of
from minicnn.kernels import threads

HERE = Path(__file__).resolve().parent
RUNGS = ("loops", "numpy", "numba")
TITLES = {
    "conv 1→32 28² k3": "cat/dog 1st, 28²",
    "conv 32→32 13² k3": "cat/dog 2nd, 28²",
    "conv 3→32 160² k3": "cat/dog 1st, 160²",
    "conv 32→32 79² k3": "cat/dog 2nd, 160²",
    "conv 3→64 224² k11 s4 p2": "AlexNet 1st",
    "conv 64→192 27² k5 p2": "AlexNet 2nd",
    "conv 192→384 13² k3 p1": "AlexNet 3rd",
}


def in_short(result: dict) -> dict:
    """{layer: {pass: {rung: ms and GFLOP/s, "numba over numpy": ratio}}}, and the training step."""
    layers: dict[str, dict] = {title: {} for title in TITLES.values()}
    step = {}
    for case in result["cases"]:
        timed = {name: c for name, c in case["contenders"].items() if "ms" in c}
        ratio = {"numba over numpy": timed["numba"]["ratio"]}
        if case["op"] == "model":
            step = {f"{name} ms": figures["ms"] for name, figures in timed.items()} | ratio
            continue
        found = layers[TITLES[case["name"]]].setdefault(case["pass_"], {})
        if case["batch"] == 1:  # there for the loops alone
            timed = {"loops": timed["loops"]}
            ratio = {}
        found |= {
            name: {"ms": figures["ms"], "gflops": figures["GFLOP/s"]}
            | ({"batch": 1} if case["batch"] == 1 else {})
            for name, figures in timed.items()
        }
        found |= ratio
    return {"layers": layers, "training step": step}


def table(result: dict) -> str:
    """The README's table: forward GFLOP/s of each rung, and numba over numpy in each pass."""
    lines = [
        "| layer | loops | numpy | numba | numba/numpy: forward, input grad., weight grad. |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, passes in result["layers"].items():
        forward = passes["forward"]
        speeds = [f"{forward[r]['gflops']:.3g}" if r in forward else "" for r in RUNGS]
        found = [passes[p]["numba over numpy"][1] if p in passes else None for p in PASSES]
        ratios = [NONE if ratio is None else f"{ratio:.1f}×" for ratio in found]
        lines.append(f"| {name} | {' | '.join(speeds)} | {', '.join(ratios)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--out", type=Path, default=HERE / "results" / "ladder.json")
    arguments = parser.parse_args()

    command = "python benchmarks/" + " ".join([Path(__file__).name, *sys.argv[1:]])
    settings = Settings(threads.get_num_threads(), arguments.rounds)
    run = Run(suites.select("ladder"), [rung(name) for name in RUNGS], settings)
    run.tell = lambda step: print(step, file=sys.stderr, flush=True)
    run.check()
    for _ in range(arguments.rounds):
        run.round()
    measured = result_of(run, "numpy", command)
    print("\n".join(lines_of(measured)))
    if run.problems:
        raise SystemExit(1)
    result = {
        "command": command,
        "what": "conv2d, float32, batch 32 (loops: batch 1); ms and ratios as quartiles",
        "machine": measured["machine"],
        "peaks": measured["peaks"],
        "load before": run.load,
        **in_short(measured),
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(rounded(result), indent=1, ensure_ascii=False) + "\n"
    arguments.out.write_text(text, encoding="utf-8")
    forward = [case for case in measured["cases"] if case["pass_"] == "forward"]
    charts.bars(measured | {"cases": forward}, arguments.out.with_suffix(".png"))
    print(table(result))
    print("training step", rounded(result["training step"]))
    print("wrote", arguments.out)


if __name__ == "__main__":
    main()
