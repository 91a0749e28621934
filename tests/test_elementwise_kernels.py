"""The numba rung's elementwise kernels: digits kept, special values, and their compile cache."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from minicnn.kernels import cpu
from minicnn.kernels.cpu import _jit
from minicnn.kernels.cpu._elementwise import elementwise

DTYPES = (np.float32, np.float64)


def points(dtype: Any) -> np.ndarray:
    """Numbers of all sizes down to 1e-30, both signs, as far as exp has normal results."""
    rng = np.random.default_rng(0)
    small = 10.0 ** rng.uniform(-30, 0, 4000) * rng.choice((-1, 1), 4000)
    return np.concatenate([small, rng.uniform(-80, 80, 16000)]).astype(dtype)


def worst(got: np.ndarray, exact: list[float]) -> float:
    """The largest relative error, in units in the last place."""
    want = np.array(exact)
    return float(np.max(np.abs(got - want) / np.abs(want)) / np.finfo(got.dtype).eps)


@pytest.mark.parametrize("dtype", DTYPES)
def test_digits_are_kept_at_all_sizes(dtype):
    """Relative errors, of results as small as 1e-35 too, against the standard library's."""
    x = points(dtype)
    exact = [float(v) for v in x]
    assert worst(cpu.tanh(x), [math.tanh(v) for v in exact]) < 3
    assert worst(cpu.elu(x, 1.0), [v if v > 0 else math.expm1(v) for v in exact]) < 3
    logistic = [1 / (1 + math.exp(-v)) if v > -50 else math.exp(v) for v in exact]
    assert worst(cpu.sigmoid(x), logistic) < 4
    assert worst(cpu.silu(x), [v * s for v, s in zip(exact, logistic, strict=True)]) < 4


@pytest.mark.parametrize("dtype", DTYPES)
def test_special_values(dtype):
    x = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 3e38, -3e38], dtype)
    nan, inf = math.nan, math.inf
    big = float(x[5])
    expected = {
        cpu.tanh: [nan, 1, -1, 0, -0.0, 1, -1],
        cpu.sigmoid: [nan, 1, 0, 0.5, 0.5, 1, 0],
        cpu.silu: [nan, inf, nan, 0, -0.0, big, -0.0],
        cpu.relu: [nan, inf, 0, 0, 0, big, 0],
    }
    for kernel, values in expected.items():
        got = kernel(x)
        np.testing.assert_array_equal(got, np.array(values, dtype), kernel.__name__)
        if kernel is not cpu.relu:  # relu(-0.0) is 0
            numbers = ~np.isnan(got)
            signs = np.signbit(np.array(values, dtype))
            np.testing.assert_array_equal(np.signbit(got)[numbers], signs[numbers])
    for alpha in (1.0, -1.5):
        np.testing.assert_array_equal(
            cpu.elu(x, alpha), np.array([nan, inf, -alpha, 0, 0, big, -alpha], dtype)
        )
    for form in ("none", "tanh"):
        np.testing.assert_array_equal(
            cpu.gelu(x, form), np.array([nan, inf, nan, 0, 0, big, 0], dtype)
        )


def test_a_name_is_compiled_once():
    """Two kernels of one name would be taken for one another in the compile cache."""

    def make():
        @elementwise
        def twice(x, options):
            return x + x

        return twice

    twice = make()
    np.testing.assert_array_equal(twice(np.ones(3)), [2, 2, 2])
    with pytest.raises(AssertionError, match="compiled twice"):
        make()


def test_options_take_the_arrays_dtype():
    @elementwise
    def scaled(x, options):
        return x * options[0]

    x = np.full(3, 3, np.float32)
    assert scaled(x, options=(0.1,))[0] == np.float32(0.1) * np.float32(3)
    assert [signature[2].dtype.name for signature in scaled.compiled.signatures] == ["float32"]


CACHED = """
import numpy as np
from minicnn.kernels import cpu
from minicnn.kernels.cpu import activation
x = np.array([-1.0, 2.0])
for name in ("leaky_relu", "elu"):
    y = getattr(cpu, name)(x, 0.5)
    stats = getattr(activation, "_" + name).compiled.stats
    print(y.round(3).tolist(), sum(stats.cache_hits.values()), sum(stats.cache_misses.values()))
"""


@pytest.mark.skipif(_jit.cache_dir() is None, reason="no folder for the compile cache")
def test_another_process_finds_each_kernel_compiled(tmp_path):
    """They all come out of one function, and differ in what it closes over."""
    values = "[-0.5, 2.0]", "[-0.316, 2.0]"
    for counts in ("0 1", "1 0"):  # hits and misses
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", CACHED],
            env=os.environ | {"MINICNN_CACHE_DIR": str(tmp_path)},
            capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
        assert done.stdout.splitlines() == [f"{v} {counts}" for v in values], done.stderr
