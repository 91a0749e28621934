"""`minicnn doctor`, and what is seen while kernels are compiled."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import numba
import numpy as np
import pytest
from helpers_cli import finished

import minicnn
from minicnn import doctor
from minicnn.cli.compiling import Compiling


def test_doctor_names_what_there_is(minicnn_):
    done = minicnn_("doctor")
    assert done.code == 0, done.err
    for piece in (
        minicnn.__version__, np.__version__, numba.__version__, "llvmlite", "BLAS",
        f"this process may use {len(os.sched_getaffinity(0))}"
        if hasattr(os, "sched_getaffinity") else "cores",
        "SIMD", "GPU", "kernels-", "writable", "numba",
    ):  # fmt: skip
        assert piece in done.out, piece


def test_doctor_shows_which_rung_a_kernel_comes_from(minicnn_):
    facts = doctor.examine()["Kernels"]
    assert set(facts) == {"backend", "from numba"}
    with minicnn.use_backend("loops"):
        facts = doctor.examine()["Kernels"]
    assert "conv2d" in facts["from loops"].split(", ")
    assert "adam_step" in facts["from numpy"].split(", ")
    out = minicnn_("doctor", "--backend", "loops").out
    assert "loops, of loops" in out


def test_doctor_survives_bad_settings():
    nowhere = "/dev/null/cache"
    variables = {
        "MINICNN_BACKEND": "fast", "MINICNN_NUM_THREADS": "many", "MINICNN_CACHE_DIR": nowhere,
        "MINICNN_BACKENDS": "numpy",
    }  # fmt: skip
    done = finished("doctor", env={**os.environ, **variables})
    assert done.code == 1
    complaints = done.err.splitlines()
    assert len(complaints) == 2
    assert "MINICNN_NUM_THREADS='many'" in complaints[0]
    assert "unknown backend 'fast'" in complaints[1]
    assert "MINICNN_BACKENDS numpy (unknown, and without effect; did you mean" in done.out
    assert "unknown backend 'fast'" in done.out
    assert "'many'" in done.out
    assert f"cannot write {nowhere}" in " ".join(done.out.split())


def test_after_doctor_warm_a_training_compiles_nothing(minicnn_):
    done = minicnn_("doctor", "--warm")
    assert done.code == 0, done.err
    assert "All CPU kernels are ready" in done.out
    ready = doctor.compiled()
    assert ready >= 30  # at least each kernel that Python calls, for two dtypes
    for kind in ("adam", "sgd"):
        more = ("--train-images", "48", "--epochs", "1", "--no-pictures", "--optimizer", kind)
        assert minicnn_("train", *more).code == 0
    assert doctor.compiled() == ready


def test_compiling_says_so_once_it_takes_a_while(capsys, monkeypatch):
    built = iter([0, 0, *[1] * 100])  # asked before the block, and ten times a second in it
    monkeypatch.setattr("minicnn.cli.compiling.PATIENCE", 0.2)
    monkeypatch.setattr("minicnn.cli.compiling.doctor.built", lambda: next(built))
    with Compiling("building"):
        time.sleep(0.9)
    assert capsys.readouterr().err == "building …\n"


def test_what_takes_long_without_compiling_says_nothing(capsys, monkeypatch):
    """Making a large network takes long; so does numba itself, and kernels from the cache."""
    monkeypatch.setattr("minicnn.cli.compiling.PATIENCE", 0.2)
    with Compiling("building"):
        time.sleep(0.9)
    assert capsys.readouterr().err == ""


def test_built_counts_what_the_cache_did_not_have(tmp_path):
    """Two processes, one after the other: the first compiles, the second finds all of it."""
    code = """
import minicnn
from minicnn import doctor
assert doctor.built() == 0
minicnn.rand(4).relu().sum()
print(doctor.built(), doctor.compiled())
"""
    said = []
    for _ in range(2):
        child = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True,
            env={**os.environ, "MINICNN_CACHE_DIR": str(tmp_path)},
        )  # fmt: skip
        said.append([int(number) for number in child.stdout.split()])
    (first, ready), (second, there) = said
    assert first == ready == there > 0
    assert second == 0


class Driver:
    """A CUDA driver that answers `init` to cuInit and lists one device, or none."""

    def __init__(self, init: int = 0, devices: int = 1) -> None:
        self.cuInit = lambda flags: init
        self.devices = devices

    def cuDeviceGetCount(self, count) -> None:
        count._obj.value = self.devices

    def cuDeviceGet(self, device, index) -> None:
        device._obj.value = index

    def cuDeviceGetName(self, name, size, device) -> None:
        name.value = b"Some GPU"

    def cuDeviceTotalMem_v2(self, memory, device) -> None:
        memory._obj.value = 8 * 2**30


@pytest.mark.parametrize(
    ("driver", "found"),
    [
        (None, "none: no NVIDIA driver"),
        (Driver(init=100), "none: the NVIDIA driver refuses (cuInit: error 100)"),
        (Driver(devices=0), "none: the NVIDIA driver lists no device"),
        (Driver(), "Some GPU, 8.0 GiB"),
    ],
)
def test_doctor_names_the_gpu_or_says_why_none(monkeypatch, driver, found):
    def load(name):
        if driver is None:
            raise OSError(name)
        return driver

    monkeypatch.setattr(doctor.ctypes, "CDLL", load)
    facts = doctor.gpu()
    assert facts["found"].startswith(found)
    assert ("used" in facts) == (found == "Some GPU, 8.0 GiB")
