"""Our contender and PyTorch's agree with the float64 reference in every operation and pass."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

import minicnn
from minicnn.bench import layer_cases, memory_cases, model_cases
from minicnn.bench.cases import Case, traffic
from minicnn.bench.contenders import PEERS, PEERS_FOLDER, peer, rung
from minicnn.bench.measuring import Run, Settings
from minicnn.bench.suites import SUITES

channels_last_file = PEERS_FOLDER / "channels_last.py"


def small(monkeypatch) -> list[Case]:
    """The families' cases, of small sizes."""
    monkeypatch.setattr(memory_cases, "MAX_POOLS", ((4, 9, 3, 2, 0), (4, 8, 3, 2, 1)))
    monkeypatch.setattr(memory_cases, "AVERAGE_POOLS", ((4, 8, 2, 2, 0), (4, 8, 3, 2, 1)))
    monkeypatch.setattr(memory_cases, "ADAPTIVE", ((4, 2, 6), (4, 7, 1), (4, 13, 6)))
    monkeypatch.setattr(memory_cases, "NORMS", ((4, 5),))
    monkeypatch.setattr(memory_cases, "LARGE", (3, 5))
    monkeypatch.setattr(memory_cases, "SOFT", (10,))
    small_cat = "cat_dog_cnn_1_3", {"image_size": 22, "num_classes": 2}, (3, 22, 22)
    monkeypatch.setattr(model_cases, "MODELS", {"cat/dog": small_cat})
    model_cases.build.cache_clear()
    convolutions = [
        *layer_cases.convolution("t", (4, 6, 9, 3, 2, 1), 2),
        *layer_cases.convolution("t", (4, 4, 9, 3, 1, 1), 2, groups=4),
        *layer_cases.linear("t", (5, 3), 2),
    ]
    families = ("pooling", "norm", "activations", "models")
    steps = [
        Case("t", f"{op} small", op, "step", 0, {"lr": 0.01, **more},
             {"parameter 0": (3, 4), "grad 0": (3, 4)}, 0, traffic((3, 4)))
        for op, more in (("adam", {}), ("sgd", {"momentum": 0.9}))
    ]  # fmt: skip
    return convolutions + steps + [case for name in families for case in SUITES[name]((2,))]


def test_every_operation_and_pass_is_right(monkeypatch):
    cases = small(monkeypatch)
    everyone = [rung("numba"), peer("torch")]
    run = Run(cases, everyone, Settings(threads=2, rounds=1, timeout=120))
    run.check()
    model_cases.build.cache_clear()
    assert not run.problems, run.problems
    for key, by_name in run.entries.items():
        for entry in by_name.values():
            assert entry.errors, key
    training = run.entries["cat/dog 22² b2, training step"]["numba"].errors
    assert {"logits", "loss", "gradient of conv1.weight"} <= training.keys()
    running = run.entries["batch norm 4 5² b2, gradient"]["torch"].errors
    assert running.keys() == {"dx", "dweight", "dbias"}


@pytest.mark.slow
def test_both_networks_are_right():
    run = Run(
        [*SUITES["models"]((2,)), *SUITES["optimizers"](())],
        [rung("numba"), peer("torch"), peer("torch_compiled")],
        Settings(threads=2, rounds=1, timeout=300),
    )
    run.check()
    assert not run.problems, run.problems


def test_every_known_peer_has_its_file():
    for file, _ in PEERS.values():
        assert (PEERS_FOLDER / file).is_file()


# ------------------------------------------------------------------------------- channels last


@pytest.fixture
def channels_last():
    spec = importlib.util.spec_from_file_location("channels_last", channels_last_file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_convolution_with_channels_last_is_the_same(channels_last):
    """By its definition, a sum over all taps; and the gradients' way back is the way there."""
    rng = np.random.default_rng(0)
    x, w = rng.random((2, 3, 5, 5)), rng.random((4, 3, 2, 2))
    turned = channels_last.operands({"x": x, "w": w})
    y = sum(
        np.einsum("nhwc,ck->nhwk", turned["x"][:, r : r + 4, s : s + 4], turned["w"][r, s])
        for r in range(2)
        for s in range(2)
    )
    with minicnn.use_backend("numpy"):
        expected = minicnn.nn.functional.conv2d(minicnn.tensor(x), minicnn.tensor(w)).numpy()
    np.testing.assert_allclose(channels_last.result("y", y), expected)
    np.testing.assert_array_equal(channels_last.result("dw", turned["w"]), w)
    np.testing.assert_array_equal(channels_last.result("dx", turned["x"]), x)


def test_the_weights_behind_flattened_images_are_reordered(channels_last):
    """Features (C, H, W) in our order, (H, W, C) in theirs: the products are the same."""
    layers = [
        {"op": "flatten", "channels": 3},
        {"op": "linear", "name": "a"},
        {"op": "linear", "name": "b"},
    ]
    rng = np.random.default_rng(0)
    x, a, b = rng.random((2, 3, 4, 4)), rng.random((5, 48)), rng.random((7, 5))
    weights = channels_last.Weights(layers)
    turned = weights.turned({"x": x, "a.weight": a, "b.weight": b, "a.bias": b[:, 0]})
    assert turned.keys() == {"a.weight", "b.weight", "a.bias"}
    theirs = channels_last.images(x).reshape(2, -1) @ turned["a.weight"]
    np.testing.assert_allclose(theirs, x.reshape(2, -1) @ a.T)
    np.testing.assert_array_equal(turned["b.weight"], b.T)
    for name, weight in (("a.weight", a), ("b.weight", b)):
        np.testing.assert_array_equal(weights.gradient(name, turned[name]), weight)


def test_peers_hide_no_package():
    """Their folder is searched for imports, after everything else."""
    for file in Path(PEERS_FOLDER).glob("*.py"):
        assert file.stem not in ("torch", "tensorflow", "jax", "numpy"), file
