"""The chooser: which rung runs, where missing kernels come from, and what it refuses."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
from types import SimpleNamespace

import numpy as np
import pytest

from minicnn import kernels
from minicnn.kernels import (
    available_backends,
    current_backend,
    namespace,
    set_default_backend,
    use_backend,
    why_no_gpu,
)
from minicnn.kernels.errors import ArgumentError


@pytest.fixture
def default() -> object:
    """Put the default backend back after the test."""
    before = kernels._default
    yield before
    kernels._default = before


def python(code: str, **environment: str) -> str:
    """Return what a fresh interpreter prints."""
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(
        command, env={**__import__("os").environ, **environment}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_innermost_choice_holds_and_is_undone() -> None:
    outside = current_backend().name
    with use_backend("numpy") as outer:
        with use_backend("loops"):
            assert current_backend().name == "loops"
        assert current_backend() is outer
        with pytest.raises(KeyError), use_backend("loops"):
            raise KeyError
        assert current_backend().name == "numpy"
    assert current_backend().name == outside


def test_a_choice_stays_in_its_thread() -> None:
    seen = []
    with use_backend("loops"):
        thread = threading.Thread(target=lambda: seen.append(current_backend().name))
        thread.start()
        thread.join()
    assert seen == [current_backend().name]
    assert seen != ["loops"]


def test_the_default_holds_in_every_thread(default: object) -> None:
    set_default_backend("loops")
    seen = []
    thread = threading.Thread(target=lambda: seen.append(current_backend().name))
    thread.start()
    thread.join()
    assert seen == ["loops"] == [current_backend().name]


def test_the_environment_names_the_default() -> None:
    code = "from minicnn.kernels import current_backend; print(current_backend().name)"
    assert python(code, MINICNN_BACKEND="loops") == "loops"
    assert python(code, MINICNN_BACKEND="") == "numba"


def test_choosing_a_rung_does_not_import_it() -> None:
    code = """
import sys
from minicnn.kernels import available_backends, use_backend
available_backends()
with use_backend("numba"):
    print("numba" in sys.modules)
"""
    assert python(code) == "False"


def test_a_missing_kernel_comes_from_the_numpy_rung_and_says_so_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG, logger="minicnn.kernels")
    mine = SimpleNamespace(relu=lambda x, *, out=None: x + 100)
    with use_backend(mine) as backend:
        x = np.array([-1.0, 2.0])
        assert backend.relu(x).tolist() == [99.0, 102.0]
        assert not caplog.records
        for _ in range(3):
            assert backend.relu_grad(x, x).tolist() == [0.0, 2.0]
    assert backend.source_of("relu") == "SimpleNamespace"
    assert backend.source_of("relu_grad") == "numpy"
    (record,) = caplog.records
    assert record.levelno == logging.DEBUG
    assert "'SimpleNamespace' has no relu_grad: using the numpy rung's" in record.message


def test_the_loops_rung_has_the_textbook_s_kernels_only() -> None:
    with use_backend("loops") as backend:
        own = {kernel for kernel in kernels.kernel_names() if backend.source_of(kernel) == "loops"}
    assert own == {
        *("conv2d", "conv2d_input_grad", "conv2d_weight_grad", "conv2d_bias_grad"),
        *("unfold", "fold", "max_pool2d", "max_pool2d_grad", "avg_pool2d", "avg_pool2d_grad"),
        *("adaptive_avg_pool2d", "adaptive_avg_pool2d_grad", "adaptive_max_pool2d"),
    }


def test_the_numba_rung_has_the_kernels_of_a_training_step() -> None:
    """Else the contract's tests of it would run, and pass, on the numpy rung."""
    families = [
        "conv2d",
        "fold",
        "linear",
        "max_pool2d",
        "avg_pool2d",
        "adaptive",
        "relu",
        "softmax_cross_entropy",
        "dropout",
        "adam",
        "sgd",
    ]
    with use_backend("numba") as backend:
        for family in families:
            members = [k for k in kernels.kernel_names() if k.startswith(family)]
            assert members, family
            assert {backend.source_of(k) for k in members} == {"numba"}
        assert {backend.source_of(k) for k in ("unfold", "philox")} == {"numba"}


def test_a_backend_object_can_be_chosen_again() -> None:
    """Backward runs on the rung that forward captured, whatever holds then."""
    with use_backend("loops"):
        captured = current_backend()
    with use_backend(captured):
        assert current_backend() is captured


@pytest.mark.parametrize("choose", [set_default_backend, lambda b: use_backend(b).__enter__()])
def test_what_is_no_backend_is_refused(choose, default: object) -> None:
    with pytest.raises(ArgumentError) as caught:
        choose("turbo")
    assert str(caught.value) == ("unknown backend 'turbo'. Use one of: loops, numpy, numba, cupy.")
    with pytest.raises(ArgumentError, match=r"^backend 'json' has none of the kernels\. Give it"):
        choose(__import__("json"))


@pytest.mark.skipif("cupy" in available_backends(), reason="there is a GPU here")
def test_without_a_gpu_cupy_is_known_but_refused_with_the_reason() -> None:
    with pytest.raises(ArgumentError) as caught, use_backend("cupy"):
        pass
    assert str(caught.value) == (
        f"backend 'cupy': {why_no_gpu()}. Or use one of: loops, numpy, numba."
    )


def test_unknown_kernels_are_attribute_errors() -> None:
    with use_backend("numpy") as backend, pytest.raises(AttributeError, match="no kernel 'conv9d'"):
        backend.conv9d  # noqa: B018


def test_namespace_of_a_numpy_array() -> None:
    assert namespace(np.zeros(3)) is np


def test_namespace_of_a_cupy_array(monkeypatch: pytest.MonkeyPatch) -> None:
    cupy = SimpleNamespace()
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    array = type("ndarray", (), {"__module__": "cupy._core.core"})()
    assert namespace(array) is cupy
