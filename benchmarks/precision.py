"""How far each path of the CPU's convolution is from the same sums in float64.

    python benchmarks/precision.py      # writes benchmarks/results/precision.json

The layers of AlexNet and of the cats-and-dogs network, with normal numbers as pixels and weights as
they start, are computed in float32 on each path that can compute them, and in float64 by the numpy
rung. The error is max|a - b| / max|b| over the result. Two images: an image's bits do not depend on
the others of its batch, but a weight gradient is a sum over all of them.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from pathlib import Path

import numpy as np

from minicnn.bench.figures import error_of
from minicnn.bench.layer_cases import SEEDS, Layer, convolution
from minicnn.bench.machine import machine
from minicnn.kernels import cpu, reference
from minicnn.kernels.cpu import PATHS, forced
from minicnn.kernels.shapes import conv2d_output_size

HERE = Path(__file__).resolve().parent
POINTWISE = (256, 64, 13, 1, 1, 0)
BATCH = 2


def errors(layer: Layer) -> dict[str, dict[str, float]]:
    """{path: {pass: error}} of one layer, for the paths that compute it when they are forced."""
    C, K, side, kernel, stride, padding = layer
    rng = np.random.default_rng(0)
    bound = 1 / math.sqrt(C * kernel**2)
    x = rng.standard_normal((BATCH, C, side, side))
    w = rng.uniform(-bound, bound, (K, C, kernel, kernel))
    b = rng.uniform(-bound, bound, K)
    how = (stride, stride), (padding, padding), (1, 1), 1
    dy = rng.standard_normal((BATCH, K, *conv2d_output_size(x.shape[2:], w.shape[2:], *how[:3])))
    x, w, b, dy = (a.astype(np.float32) for a in (x, w, b, dy))

    def passes(k, x, w, b, dy):
        return {
            "forward": k.conv2d(x, w, b, *how),
            "input gradient": k.conv2d_input_grad(dy, w, x.shape, *how),
            "weight gradient": k.conv2d_weight_grad(dy, x, w.shape, *how),
        }

    exact = passes(reference, *(a.astype(np.float64) for a in (x, w, b, dy)))
    found = {}
    for path in paths_of(kernel, stride, padding):
        with forced(path):
            got = passes(cpu, x, w, b, dy)
        found[path] = {name: error_of(got[name], y) for name, y in exact.items()}
    got = passes(reference, x, w, b, dy)
    found["numpy rung"] = {name: error_of(got[name], y) for name, y in exact.items()}
    return found


def paths_of(kernel: int, stride: int, padding: int) -> list[str]:
    can = {
        "winograd": (kernel, stride) == (3, 1),
        "pointwise": (kernel, stride, padding) == (1, 1, 0),
    }
    return [path for path in PATHS if can.get(path, True)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--out", type=Path, default=HERE / "results" / "precision.json")
    arguments = parser.parse_args()
    found = {}
    for layer in (*SEEDS, POINTWISE):
        name = convolution("precision", layer, BATCH)[0].name
        found[name] = errors(layer)
        for path, of in found[name].items():
            print(f"{name:22} {path:11}", *(f"{of[key]:.1e}" for key in of))
    worst = {
        path: max(max(of[path].values()) for of in found.values() if path in of)
        for path in (*PATHS, "numpy rung")
    }
    print("worst", {path: f"{error:.1e}" for path, error in worst.items()})
    result = {
        "command": "python benchmarks/" + " ".join([Path(__file__).name, *sys.argv[1:]]),
        "what": "max|a - b| / max|b| of float32 results against float64: forward, input gradient, "
        "weight gradient",
        "machine": machine(),
        "layers": {n: {p: {k: float(f"{e:.2e}") for k, e in of.items()} for p, of in paths.items()}
                   for n, paths in found.items()},
        "worst": {path: float(f"{error:.2e}") for path, error in worst.items()},
    }  # fmt: skip
    arguments.out.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
    print("wrote", arguments.out)


if __name__ == "__main__":
    main()
