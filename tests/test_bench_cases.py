"""The cases of `minicnn bench`: their arithmetic by hand, their inputs, the suites."""

from __future__ import annotations

import json

import numpy as np
import pytest

from minicnn import models
from minicnn.bench import host, layer_cases, memory_cases, model_cases
from minicnn.bench.suites import SUITES, select
from minicnn.errors import ArgumentError


def test_the_arithmetic_of_a_convolution():
    """3→32 filters of 3×3 over 160²: 158² outputs."""
    forward, weight = layer_cases.convolution("s", (3, 32, 160, 3, 1, 0), 2)
    assert forward.key == "conv 3→32 160² k3 b2, forward"
    assert forward.flops == weight.flops == 2 * 2 * 32 * 158 * 158 * 27
    x, y, w = 2 * 3 * 160 * 160, 2 * 32 * 158 * 158, 32 * 27
    assert forward.bytes == 4 * (x + w + 32 + y)
    assert weight.bytes == 4 * (y + x + w)
    assert weight.pass_ == "weight gradient"  # an image's gradient is not wanted


def test_the_arithmetic_of_a_grouped_convolution():
    forward, *_ = layer_cases.convolution("s", (8, 16, 5, 3, 2, 1), 1, groups=4)
    assert forward.flops == 2 * 16 * 3 * 3 * 2 * 9
    assert forward.tensors["w"] == (16, 2, 3, 3)


def test_the_arithmetic_of_linear_and_of_an_optimizer():
    forward, into, weight = layer_cases.linear("s", (10, 3), 4)
    assert forward.flops == into.flops == weight.flops == 2 * 4 * 10 * 3
    assert forward.bytes == 4 * (40 + 30 + 3 + 12)
    adam = next(c for c in memory_cases.optimizers(()) if c.name.startswith("adam over AlexNet"))
    assert adam.bytes == 7 * 4 * 57_014_338


def test_the_eight_layers_with_the_passes_that_training_needs():
    cases = select("seeds")
    assert len(cases) == 22
    assert sum(case.pass_ == "input gradient" for case in cases) == 6
    assert sum(case.pass_ == "forward" for case in cases) == 8


def test_a_training_step_has_three_times_the_arithmetic_less_the_images_gradient():
    """Cat/dog 1.3 at 160², a batch of one, layer by layer."""
    first = 32 * 158**2 * 3 * 9
    rest = 32 * 77**2 * 32 * 9 + 32 * 36**2 * 32 * 9 + 18**2 * 32 * 64 + 64 * 2
    inference, training = select("models", ["cat/dog 1.3 160² b1,"])
    assert inference.flops == 2 * (first + rest)
    assert training.flops == 2 * (3 * (first + rest) - first)


@pytest.mark.parametrize("suite", SUITES)
def test_suites_have_no_two_cases_of_one_name_and_survive_json(suite):
    cases = select(suite)
    assert len({case.key for case in cases}) == len(cases)
    for case in cases:
        assert case.bytes > 0
        assert json.loads(json.dumps(case.as_data()))["key"] == case.key
    assert [case.key for case in select(suite)] == [case.key for case in cases]


def test_all_is_the_union_of_the_suites():
    keys = {case.key for case in select("all")}
    for suite in ("seeds", "layers", "pooling", "norm", "activations", "optimizers", "models"):
        assert {case.key for case in select(suite)} <= keys


def test_batch_and_only():
    assert {case.batch for case in select("seeds", (), (1, 5))} == {1, 5}
    assert {c.name for c in select("seeds", ["13²", "CONV 3→64"])} == {
        "conv 192→384 13² k3 p1", "conv 3→64 224² k11 s4 p2",
    }  # fmt: skip
    with pytest.raises(ArgumentError, match="no case of suite 'seeds' has 'x' or 'y' in its name"):
        select("seeds", ["x", "y"])
    with pytest.raises(ArgumentError, match=r"no suite 'seed'. Did you mean 'seeds'"):
        select("seed")


def test_layers_are_read_off_the_model():
    ops = [layer["op"] for layer in model_cases.layers_of(models.alexnet())]
    assert ops.count("conv2d") == 5
    assert ops.count("batch_norm") == 5
    assert ops.index("flatten") < ops.index("linear")
    small = model_cases.layers_of(models.cat_dog_cnn_1_3(image_size=22))
    flat = next(layer for layer in small if layer["op"] == "flatten")
    assert flat == {"op": "flatten", "channels": 32}


# -------------------------------------------------------------------------------------- inputs


def drawn(**tensors: tuple[int, ...]) -> dict[str, np.ndarray]:
    return host.draw({"key": "k", "tensors": tensors, "arguments": {"classes": 3}})


def test_inputs_are_the_same_everywhere_and_differ_by_name():
    a, b = drawn(x=(4, 5), dy=(4, 5)), drawn(dy=(4, 5), x=(4, 5))
    np.testing.assert_array_equal(a["x"], b["x"])
    assert not np.array_equal(a["x"], a["dy"])
    assert a["x"].dtype == np.float32
    assert abs(a["x"]).max() <= 0.5


def test_inputs_suit_what_they_are():
    shapes = {"labels": (50,), "grad 0": (1000,), "a.weight": (50, 1000), "a.running_var": (100,)}
    found = drawn(**shapes, **{"bn.weight": (100,)})
    assert set(found["labels"]) == {0, 1, 2}
    assert abs(found["grad 0"]).min() >= 0.1
    assert found["a.weight"].var() == pytest.approx(2 / 1000, rel=0.05)
    assert found["a.running_var"].min() > 0.5
    assert found["bn.weight"].min() > 0.5
