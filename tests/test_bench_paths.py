"""`minicnn bench` says by which of a rung's ways each convolution was computed."""

from __future__ import annotations

import json

import numpy as np
import pytest

from minicnn.bench import layer_cases, memory_cases, results, table
from minicnn.bench.contenders import Contender, rung
from minicnn.bench.measuring import Run, Settings
from minicnn.kernels import current_backend, paths, use_backend

BRIEF = Settings(threads=1, rounds=1, seconds=0, pause=0, timeout=120)
CASES = [
    *layer_cases.convolution("t", (4, 32, 9, 3, 1, 1), 2),
    *layer_cases.convolution("t", (8, 8, 9, 1, 1, 0), 2)[:1],
    memory_cases.activations((2,))[0],
]


def measured(*contenders: Contender) -> dict:
    """Check and time the cases, and return the result."""
    run = Run(CASES, [*contenders], BRIEF)
    run.check()
    run.round()
    assert run.problems == []
    return results.result_of(run, contenders[0].name, "minicnn bench")


def test_the_path_is_in_the_table_and_in_the_file(monkeypatch, tmp_path):
    """A forced one, which only a product of matrices does not take; other rungs have none."""
    monkeypatch.setenv("MINICNN_CONV", "runs")
    result = measured(rung("numpy"), rung("numba"))
    results.save(result, tmp_path / "result.json")
    cases = json.loads((tmp_path / "result.json").read_text())["cases"]
    told = [case["contenders"]["numba"].get("path") for case in cases]
    assert told == ["runs", "runs", "runs", "runs", None]
    assert not any("path" in case["contenders"]["numpy"] for case in cases)
    lines = [*table.lines_of(result)]
    assert sum(line.startswith("  numba, runs ") for line in lines) == 4
    assert sum(line.startswith("  numba ") for line in lines) == 1
    assert max(map(len, lines)) <= 100


def test_the_longest_names_fit_into_the_table():
    figures = {
        "ms": [0.01234, 0.01245, 0.01256], "GFLOP/s": 1234.5, "GB/s": 123.4,
        "share of roof": 0.99, "roof": "fma", "ratio": [10.01, 10.02, 10.03], "path": "pointwise",
    }  # fmt: skip
    line = table._contender("numba", figures, False)
    assert line.startswith("  numba, pointwise   ")
    assert len(line) <= 100
    assert len(table._contender("numba", {"problem": "x " * 99}, False)) <= 100


@pytest.mark.parametrize("path", ["tiles", "runs"])
def test_who_listens_hears_every_convolution_and_nobody_else_s(path, monkeypatch):
    monkeypatch.setenv("MINICNN_CONV", path)
    x, w = np.ones((1, 2, 5, 5), np.float32), np.ones((3, 2, 3, 3), np.float32)
    geometry = (1, 1), (0, 0), (1, 1), 1
    with use_backend("numba"):
        k = current_backend()
        with paths.listening() as outer:
            y = k.conv2d(x, w, None, *geometry)
            with paths.listening() as inner:
                k.conv2d_input_grad(y, w, x.shape, *geometry)
            k.conv2d_weight_grad(y, x, w.shape, *geometry)
        k.conv2d(x, w, None, *geometry)
    assert (outer, inner) == ([path, path], [path])
