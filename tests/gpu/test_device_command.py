"""`minicnn train --device`, and doctor's reasons why a GPU is not used, each with its remedy."""

from __future__ import annotations

import importlib.util
import sys
import types
from pathlib import Path
from typing import Any

import fake_cupy
import pytest

from minicnn import doctor
from minicnn.cli import main
from minicnn.io import load_checkpoint

TINY = ("--train-images", "48", "--batch-size", "16", "--backend", "numpy", "--threads", "1")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("MINICNN_BACKEND", "MINICNN_NUM_THREADS", "MINICNN_DEBUG"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def no_cupy(monkeypatch):
    """As where CuPy is not installed."""
    real = importlib.util.find_spec
    monkeypatch.delitem(sys.modules, "cupy", raising=False)
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *more: None if name == "cupy" else real(name, *more),
    )


def run(capsys: Any, *arguments: str) -> tuple[int, str, str]:
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        main([*arguments])
    return (ended.value.code or 0, *capsys.readouterr())


# ------------------------------------------------------------------------------ the commands


def test_train_computes_on_the_gpu_and_evaluate_too(gpus, capsys):
    whole = ("train", *TINY, "--epochs", "1", "--no-pictures")
    code, out, err = run(capsys, *whole, "--device", "cuda:1", "--out", "there")
    assert code == 0, err
    assert "numpy on Fake GPU" in out
    assert fake_cupy._state.copies > 3  # logits came back from the GPU
    code, out, err = run(capsys, *whole, "--device", "cpu", "--out", "here")
    assert "numpy, 1 thread" in out
    for name in ("best.safetensors", "last.safetensors", "history.csv"):
        assert Path("there", name).read_bytes() == Path("here", name).read_bytes()
    assert '"device": "cuda:1"' in Path("there/run.json").read_text()
    answers = []
    for device in ("cuda", "cpu", "auto"):
        more = ("--device", device, "--backend", "numpy", "--split", "test")
        code, out, err = run(capsys, "evaluate", "there", *more)
        assert code == 0, err
        answers.append(out)
    assert answers[0] == answers[1] == answers[2]


def test_a_run_from_the_gpu_goes_on_without_one(gpus, capsys):
    whole = ("train", *TINY, "--no-pictures")
    run(capsys, *whole, "--epochs", "1", "--device", "cuda", "--out", "a")
    fake_cupy._state.devices = 0
    code, _, err = run(capsys, "train", "--resume", "a", "--epochs", "2", "--no-pictures")
    assert code == 0, err
    assert load_checkpoint("a/last.safetensors").epoch == 2


@pytest.mark.parametrize("command", [("train",), ("evaluate", "x"), ("predict", "x.png")])
def test_a_device_that_is_not_there_is_one_line(no_cupy, capsys, command):
    for device, pieces in (("cuda", ("CuPy is not installed", "pip install")), ("tpu", ("tpu",))):
        code, _, err = run(capsys, *command, "--device", device)
        (line,) = err.splitlines()
        assert code == 1
        assert line.startswith("minicnn: error: device: ")
        assert all(piece in line for piece in pieces)


def test_the_rung_of_the_gpu_is_refused_on_the_cpu(gpus, capsys):
    code, _, err = run(capsys, "train", "--backend", "cupy", "--device", "cpu")
    assert code == 1
    assert "the backend cupy computes on a GPU. Leave one of the two out" in err


# ------------------------------------------------------------------------------ doctor


class Driver:
    """A CUDA driver that lists one device and knows CUDA up to `version`."""

    def __init__(self, version: int) -> None:
        self.version = version

    def cuInit(self, flags: int) -> int:
        return 0

    def cuDeviceGetCount(self, count: Any) -> None:
        count._obj.value = 1

    def cuDeviceGet(self, device: Any, index: int) -> None:
        device._obj.value = index

    def cuDeviceGetName(self, name: Any, size: int, device: Any) -> None:
        name.value = b"Some GPU"

    def cuDeviceTotalMem_v2(self, memory: Any, device: Any) -> None:
        memory._obj.value = 8 << 30

    def cuDriverGetVersion(self, version: Any) -> None:
        version._obj.value = self.version


def used(monkeypatch: Any, driver: int, *packages: str) -> dict[str, str]:
    """What doctor says of the GPU beside such a driver and these packages."""
    monkeypatch.setattr(doctor.ctypes, "CDLL", lambda name: Driver(driver))
    real = doctor._version
    monkeypatch.setattr(
        doctor,
        "_version",
        lambda name: real(name) if "cupy" not in name
        else "14.2.0" if name in packages else doctor._MISSING,
    )  # fmt: skip
    return doctor.gpu()


def test_doctor_on_a_gpu_that_is_used(gpus, monkeypatch):
    facts = used(monkeypatch, 12040, "cupy-cuda12x")
    assert facts["found"] == "Some GPU, 8.0 GiB"
    assert facts["driver"] == "for CUDA 12.4 and older"
    assert facts["used"] == 'with --device cuda or .to("cuda"), by cupy-cuda12x 14.2.0'


def test_doctor_without_cupy(no_cupy, monkeypatch):
    facts = used(monkeypatch, 12040)
    assert facts["used"] == (
        "no: CuPy is not installed. pip install 'minicnn-engine[gpu]'"
    )  # fmt: skip


def test_doctor_with_an_old_driver(gpus, monkeypatch):
    facts = used(monkeypatch, 11040, "cupy-cuda12x")
    assert facts["used"] == (
        "no: the driver is for CUDA 11.4, and CuPy needs 12.0. Install a newer NVIDIA driver"
    )


def test_doctor_with_the_wrong_cuda(gpus, monkeypatch):
    facts = used(monkeypatch, 12040, "cupy-cuda13x")
    assert facts["used"] == (
        "no: the driver is for CUDA 12.4, but cupy-cuda13x is for CUDA 13. "
        "pip uninstall cupy-cuda13x, then pip install 'minicnn-engine[gpu]'"
    )


def test_doctor_with_two_cupys(gpus, monkeypatch):
    facts = used(monkeypatch, 13000, "cupy-cuda12x", "cupy-cuda13x")
    assert facts["used"] == (
        "no: CuPy is installed 2 times, which spoils it. "
        "pip uninstall cupy-cuda12x cupy-cuda13x, then pip install 'minicnn-engine[gpu]'"
    )


def test_doctor_without_nvrtc(gpus, monkeypatch):
    def missing() -> None:
        raise RuntimeError("CuPy failed to load libnvrtc.so.13: no such file")

    gpus.cuda.nvrtc = types.SimpleNamespace(getVersion=missing)
    facts = used(monkeypatch, 13000, "cupy-cuda13x")
    assert facts["used"] == (
        "no: NVRTC is missing: CuPy failed to load libnvrtc.so.13: no such file. "
        "pip install 'minicnn-engine[gpu-cuda13]'"
    )


def test_doctor_where_cuda_hides_the_gpu(gpus, monkeypatch):
    fake_cupy._state.devices = 0
    assert "CUDA_VISIBLE_DEVICES" in used(monkeypatch, 12040, "cupy-cuda12x")["used"]


# ------------------------------------------------------------------------------ the stand-in


def test_the_stand_in_has_what_cupy_has_and_no_more():
    """Where CuPy is installed, with or without a GPU: its functions and their parameters."""
    import inspect

    cupy = pytest.importorskip("cupy", reason="CuPy is not installed here")
    for name, parameters in fake_cupy.SIGNATURES.items():
        assert hasattr(cupy, name), name
        if parameters is not None:
            names = [p.lstrip("*") for p in parameters]
            assert [*inspect.signature(getattr(cupy, name)).parameters] == names, name
    for name in (*fake_cupy.METHODS, "astype", "copy", "device", "flags", "get", "item", "tolist"):
        assert hasattr(cupy.ndarray, name), name
    assert not hasattr(cupy.ndarray, "__array_namespace__")
    for name in ("Device", "runtime", "nvrtc"):
        assert hasattr(cupy.cuda, name), name


def test_the_stand_in_refuses_what_cupy_refuses(gpus):
    import numpy as np

    x = gpus.asarray(np.ones(3))
    for habit in (
        lambda: np.asarray(x), lambda: x + np.ones(3), lambda: np.ones(3) + x,
        lambda: np.where(x > 0, x, np.ones(3)), lambda: gpus.sum(x, initial=0),
        lambda: np.ascontiguousarray(x), lambda: [1, 2][gpus.asarray(1)],
    ):  # fmt: skip
        with pytest.raises(TypeError):
            habit()
    assert not hasattr(gpus, "errstate")
    assert not hasattr(x.flags, "writeable")
    assert isinstance(x.sum(), gpus.ndarray)
