"""How much each rung of the ladder makes of the machine: conv2d and its gradients, rung by rung.

    python benchmarks/ladder.py                 # writes benchmarks/results/ladder.json and .png
    python benchmarks/ladder.py --rounds 3      # quicker, rougher

Each rung is first checked against the numpy rung in float64, then warmed up, then timed in turn
with the others (A B A B …), after a pause, one pass a round. Figures are medians of the rounds with
quartiles; ratios are medians of the paired ratios of each round. The loops rung takes a second for
what the others do in a millisecond, so it is timed on one image, and compared by GFLOP/s.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np

import minicnn
from minicnn import doctor, models, nn, optim
from minicnn.kernels import shapes, use_backend

HERE = Path(__file__).resolve().parent
BATCH = 32
RUNGS = ("loops", "numpy", "numba")
# channels in, filters, input side, kernel, stride, padding
LAYERS = {
    "cat/dog 1st, 28²": (1, 32, 28, 3, 1, 0),
    "cat/dog 2nd, 28²": (32, 32, 13, 3, 1, 0),
    "cat/dog 1st, 160²": (3, 32, 160, 3, 1, 0),
    "cat/dog 2nd, 160²": (32, 32, 79, 3, 1, 0),
    "AlexNet 1st": (3, 64, 224, 11, 4, 2),
    "AlexNet 2nd": (64, 192, 27, 5, 1, 2),
    "AlexNet 3rd": (192, 384, 13, 3, 1, 1),
}
LOOPS_LAYER = "cat/dog 1st, 28²"
PAUSE = 0.2  # seconds: BLAS's threads spin for 0.1 after a product, on a core that the next needs
TOLERANCE = 1e-4  # max|a-b| / max|b|, float32 against float64


def passes(layer: tuple[int, ...], batch: int, dtype: str) -> tuple[dict, int]:
    """The three passes as functions of a backend, and the FLOPs of each."""
    C, K, side, kernel, stride, padding = layer
    P = shapes.conv_output_size(side, kernel, stride, padding)
    rng = np.random.default_rng(0)

    def draw(*shape: int) -> np.ndarray:
        return (rng.random(shape, np.float32) - 0.5).astype(dtype)

    x, w, b = draw(batch, C, side, side), draw(K, C, kernel, kernel), draw(K)
    dy = draw(batch, K, P, P)
    geometry = (stride, stride), (padding, padding), (1, 1), 1
    functions = {
        "forward": lambda k: k.conv2d(x, w, b, *geometry),
        "input gradient": lambda k: k.conv2d_input_grad(dy, w, x.shape, *geometry),
        "weight gradient": lambda k: k.conv2d_weight_grad(dy, x, w.shape, *geometry),
    }
    return functions, 2 * batch * K * P * P * C * kernel * kernel


def check(layer: tuple[int, ...], rungs: tuple[str, ...]) -> None:
    """Raise unless every rung agrees with the numpy rung in float64, on two images."""
    exact, _ = passes(layer, 2, "float64")
    single, _ = passes(layer, 2, "float32")
    for name in exact:
        with use_backend("numpy") as backend:
            expected = exact[name](backend)
        for rung in rungs:
            with use_backend(rung) as backend:
                got = single[name](backend)
            error = np.abs(got - expected).max() / np.abs(expected).max()
            if not error <= TOLERANCE:
                raise SystemExit(f"{rung} {name} of layer {layer} is off by {error:.1e}")


def seconds(function, rung: str) -> float:
    time.sleep(PAUSE)
    with use_backend(rung) as backend:
        if rung != "loops":
            function(backend)  # caches and clocks are warm again after the pause
        start = time.perf_counter()
        function(backend)
        return time.perf_counter() - start


def measure(layer: tuple[int, ...], rungs: tuple[str, ...], batch: int, rounds: int) -> dict:
    functions, flops = passes(layer, batch, "float32")
    found = {}
    for name, function in functions.items():
        times: dict[str, list[float]] = {rung: [] for rung in rungs}
        for i in range(rounds + 1):
            for rung in rungs:
                elapsed = seconds(function, rung)
                if i:  # the first round warms up
                    times[rung].append(elapsed)
        found[name] = {
            rung: {
                "ms": [round(1e3 * q, 4) for q in quartiles(t)],
                "gflops": round(flops / float(np.median(t)) / 1e9, 4),
            }
            for rung, t in times.items()
        }
        if "numpy" in times and "numba" in times:
            ratios = np.array(times["numpy"]) / np.array(times["numba"])
            found[name]["numba over numpy"] = [round(q, 3) for q in quartiles(ratios)]
    return found


def measure_training(rungs: tuple[str, ...], rounds: int) -> dict:
    """Training steps of the README's first command, 20 to a round: milliseconds a step."""
    images = minicnn.rand(BATCH, 1, 28, 28)
    labels = minicnn.randint(2, (BATCH,))
    model = models.cat_dog_cnn_1_3(in_channels=1, image_size=28, num_classes=2)
    optimizer, loss_fn = optim.Adam(model.parameters()), nn.CrossEntropyLoss()

    def steps(_: object) -> None:
        for _ in range(20):
            optimizer.zero_grad()
            loss_fn(model(images), labels).backward()
            optimizer.step()

    times = {rung: [] for rung in rungs}
    for i in range(rounds + 1):
        for rung in rungs:
            elapsed = seconds(steps, rung) / 20
            if i:
                times[rung].append(elapsed)
    ratios = np.array(times["numpy"]) / np.array(times["numba"])
    found = {f"{r} ms": [round(1e3 * q, 3) for q in quartiles(t)] for r, t in times.items()}
    return found | {"numba over numpy": [round(q, 3) for q in quartiles(ratios)]}


def quartiles(values: object) -> list[float]:
    return [float(q) for q in np.quantile(values, [0.25, 0.5, 0.75])]


def machine() -> dict:
    """What the figures depend on, as `minicnn doctor` reports it."""
    found = doctor.versions() | doctor.processor() | {"threads": minicnn.get_num_threads()}
    keep = ("python", "minicnn", "numpy", "numba", "BLAS", "name", "cores", "threads", "SIMD")
    return {name: str(found[name]).split(", in /")[0] for name in keep}


def chart(result: dict, path: Path) -> None:
    """Bars of the forward pass, GFLOP/s on a logarithmic axis."""
    from matplotlib.figure import Figure

    colours = {"loops": "#999999", "numpy": "#56B4E9", "numba": "#D55E00"}
    names = list(result["layers"])
    figure = Figure(figsize=(9, 4.2), layout="constrained")
    axes = figure.add_subplot()
    width = 0.27
    for i, rung in enumerate(RUNGS):
        places = [(n, x) for n, x in enumerate(names) if rung in result["layers"][x]["forward"]]
        heights = [result["layers"][x]["forward"][rung]["gflops"] for _, x in places]
        at = [n + (i - 1) * width for n, _ in places]
        bars = axes.bar(at, heights, width, label=rung, color=colours[rung])
        axes.bar_label(bars, [f"{h:.2g}" if h < 10 else f"{h:.0f}" for h in heights], fontsize=8)
    axes.set_yscale("log")
    axes.set_ylabel("GFLOP/s (higher is faster)")
    axes.set_xticks(range(len(names)), [n.replace(", ", "\n") for n in names], fontsize=9)
    axes.set_title(
        loc="left", label=f"conv2d forward on {minicnn.get_num_threads()} threads, float32"
    )
    figure.legend(title="rung", loc="outside upper right", ncols=3, frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(y=0.15)
    figure.savefig(path, dpi=140)


def table(result: dict) -> str:
    """The README's table: forward GFLOP/s of each rung, and numba over numpy in each pass."""
    lines = [
        "| layer | loops | numpy | numba | numba/numpy: forward, input grad., weight grad. |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, passes_ in result["layers"].items():
        forward = passes_["forward"]
        speeds = [f"{forward[r]['gflops']:.3g}" if r in forward else "" for r in RUNGS]
        ratios = [f"{p['numba over numpy'][1]:.1f}×" for p in passes_.values()]
        lines.append(f"| {name} | {' | '.join(speeds)} | {', '.join(ratios)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--out", type=Path, default=HERE / "results" / "ladder.json")
    arguments = parser.parse_args()

    layers = {}
    for name, layer in LAYERS.items():
        check(layer, ("numpy", "numba"))
        layers[name] = measure(layer, ("numpy", "numba"), BATCH, arguments.rounds)
        print(name, {k: v["numba over numpy"] for k, v in layers[name].items()}, flush=True)
    check(LAYERS[LOOPS_LAYER], ("loops",))
    loops = measure(LAYERS[LOOPS_LAYER], ("loops",), 1, 3)
    for name, figures in loops.items():
        layers[LOOPS_LAYER][name]["loops"] = figures["loops"] | {"batch": 1}

    result = {
        "command": "python benchmarks/" + " ".join([Path(__file__).name, *sys.argv[1:]]),
        "what": "conv2d, float32, batch 32 (loops: batch 1); ms and ratios as quartiles",
        "machine": machine(),
        "layers": layers,
        "training step": measure_training(("numpy", "numba"), arguments.rounds),
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
    chart(result, arguments.out.with_suffix(".png"))
    print(table(result))
    print("training step", result["training step"])
    print("wrote", arguments.out)


if __name__ == "__main__":
    main()
