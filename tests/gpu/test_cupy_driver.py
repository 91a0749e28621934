"""CuPy's driver against a stand-in for the few names of CuPy that it touches, and why_not's words.

The names themselves are CuPy 14's: `tests/gpu/fake_cupy.py` and a machine with a GPU show more.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from minicnn.errors import MiniCNNError
from minicnn.kernels.gpu import _conv_paths, _cuda, _cupy, _source

TEXT = 'extern "C" __global__ void f(const float *x, const float *const *xs, int *y, int n) {}'
OPTIN, DYNAMIC = 97, 8  # CUDA's numbers of the attributes


class Array:
    """An array on the GPU, as far as a launch looks at it."""

    def __init__(self, pointer: int, dtype: str = "float32") -> None:
        self.dtype, self.shape = np.dtype(dtype), (5,)
        self.flags = SimpleNamespace(c_contiguous=True)
        self.data = SimpleNamespace(ptr=pointer)


class CudaError(RuntimeError):
    """What CuPy raises for CUDA."""


class NvrtcError(RuntimeError):
    """What CuPy raises for NVRTC."""


class Module:
    """A loaded module, that says what it was asked."""

    calls: list[Any]

    loaded: list[bytes]

    def load(self, code: bytes) -> None:
        if code not in (b"cubin", b".target"):
            raise CudaError("CUDA_ERROR_INVALID_IMAGE")
        self.loaded.append(code)

    def get_function(self, name: str) -> Any:
        self.calls.append(("get_function", name))

        def function(grid: tuple, block: tuple, args: tuple, shared_mem: int) -> None:
            self.calls.append((grid, block, args, shared_mem))

        function.ptr = 1234  # type: ignore[attr-defined]
        return function


class Nvrtc(SimpleNamespace):
    """cupy.cuda.nvrtc, of which every program has `log` and comes out if that is empty."""

    NVRTCError = NvrtcError
    log = ""

    def getVersion(self) -> tuple[int, int]:
        return 12, 9

    def createProgram(self, text: str, name: str, headers: list[bytes], names: list[bytes]) -> int:
        self.program = text, name, dict(zip(names, headers, strict=True))
        return 77

    def compileProgram(self, program: int, options: tuple[str, ...]) -> None:
        assert program == 77
        self.options = options
        if self.log:
            raise NvrtcError("NVRTC_ERROR_COMPILATION (6)")

    def getProgramLog(self, program: int) -> str:
        return self.log

    def getSupportedArchs(self) -> tuple[int, ...]:
        return 75, 80, 86, 90

    def getCUBIN(self, program: int) -> bytes:
        if "--gpu-architecture=sm_" not in " ".join(self.options):
            raise RuntimeError("cubin is requested, but the real arch (sm_XX) is not provided")
        return b"cubin"

    def getPTX(self, program: int) -> bytes:
        return b".target"

    def destroyProgram(self, program: int) -> None:
        self.destroyed = True


@pytest.fixture
def cupy(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> Any:
    """A module `cupy` with one sm_90, and an empty cache."""
    module: Any = ModuleType("cupy")
    Module.calls, Module.loaded = calls, loaded = [], []
    module.calls, module.loaded, module.ndarray = calls, loaded, Array
    module.asarray = lambda pointers, dtype: np.array(pointers, dtype)
    module.empty, module.zeros = np.empty, np.zeros
    module.cuda = SimpleNamespace(
        nvrtc=Nvrtc(),
        function=SimpleNamespace(Module=Module),
        Device=lambda: SimpleNamespace(compute_capability="90"),
        runtime=SimpleNamespace(
            driverGetVersion=lambda: 13000,
            getDeviceCount=lambda: 1,
            getDevice=lambda: 0,
            cudaDevAttrMaxSharedMemoryPerBlockOptin=OPTIN,
            deviceGetAttribute=lambda which, device: {OPTIN: 227 * 1024}[which],
        ),
        driver=SimpleNamespace(
            CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES=DYNAMIC,
            funcSetAttribute=lambda *call: calls.append(("funcSetAttribute", *call)),
        ),
    )
    monkeypatch.setitem(sys.modules, "cupy", module)
    monkeypatch.setenv("MINICNN_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(_source, "read", lambda stem: _source.parsed(f"{stem}.cu", TEXT))
    monkeypatch.setattr(_cuda, "_modules", {})
    return module


def test_a_launch_reaches_cuda(cupy: Any) -> None:
    x, others, y = Array(16), [Array(32), Array(48)], Array(64, "int32")
    with _cuda.use_driver(_cupy.CupyDriver()):
        _cuda.launch("t", "f", (2, 3), 64, x, others, y, 5, TILE=8)
        _cuda.launch("t", "f", 1, 64, None, None, y, 6, TILE=8, shared=60000)
    nvrtc = cupy.cuda.nvrtc
    assert nvrtc.program == (TEXT, "t.cu", {})
    assert nvrtc.options == ("-std=c++17", "--gpu-architecture=sm_90", "-DREAL=float", "-DTILE=8")
    assert nvrtc.destroyed
    assert cupy.loaded == [b"cubin"]
    found, first, attribute, second = cupy.calls
    assert found == ("get_function", "f")
    grid, block, args, shared = first
    assert (grid, block, shared) == ((2, 3, 1), (64, 1, 1), 0)
    assert args[0] is x
    assert (args[1].dtype, args[1].tolist()) == (np.uint64, [32, 48])
    assert args[2] is y
    assert (type(args[3]), args[3]) == (np.int32, 5)
    assert attribute == ("funcSetAttribute", 1234, DYNAMIC, 60000)
    assert second[2][:2] == (np.uint64(0), np.uint64(0))
    assert second[3] == 60000


@pytest.mark.parametrize(
    ("capability", "arch", "code"),
    [
        ("86", "sm_86", b"cubin"),
        ("89", "compute_86", b".target"),  # between two that this NVRTC knows
        ("120", "compute_90", b".target"),  # newer than all of them
    ],
)
def test_the_code_is_for_the_gpu_s_own_architecture(
    cupy: Any, capability: str, arch: str, code: bytes
) -> None:
    """What NVRTC is too old to know gets PTX of the newest before it, for the driver to finish."""
    cupy.cuda.Device = lambda: SimpleNamespace(compute_capability=capability)
    with _cuda.use_driver(_cupy.CupyDriver()) as machine:
        _cuda.launch("t", "f", 1, 64, None, None, None, 5)
        assert machine.arch() == arch
        assert _conv_paths._has_tensor_cores()
    assert cupy.cuda.nvrtc.options[1] == f"--gpu-architecture={arch}"
    assert cupy.loaded == [code]


def test_two_gpus_have_each_its_own_code(cupy: Any) -> None:
    current = [0]
    cupy.cuda.runtime.getDevice = lambda: current[0]
    cupy.cuda.Device = lambda: SimpleNamespace(compute_capability=("75", "90")[current[0]])
    with _cuda.use_driver(_cupy.CupyDriver()):
        for current[0], arch, tensor_cores in ((0, "sm_75", False), (1, "sm_90", True)):
            _cuda.launch("t", "f", 1, 64, None, None, None, 5)
            assert cupy.cuda.nvrtc.options[1] == f"--gpu-architecture={arch}"
            assert _conv_paths._has_tensor_cores() == tensor_cores
        current[0] = 0
        _cuda.launch("t", "f", 1, 64, None, None, None, 5)
    assert len(cupy.loaded) == 2  # and each is still there for the next launch


def test_the_headers_are_handed_over(cupy: Any) -> None:
    source = _source.parsed("t.cu", '#include "common.cuh"\n' + TEXT)
    assert _cupy.CupyDriver().compile(source, ()) == b"cubin"
    (name,) = cupy.cuda.nvrtc.program[2]
    assert name == b"common.cuh"
    assert b"thread_number" in cupy.cuda.nvrtc.program[2][name]


def test_the_compiler_s_own_message_is_shown(cupy: Any) -> None:
    cupy.cuda.nvrtc.log = 't.cu(3): error: identifier "blokIdx" is undefined'
    with _cuda.use_driver(_cupy.CupyDriver()), pytest.raises(MiniCNNError) as caught:
        _cuda.launch("t", "f", 1, 1, None, None, None, 1)
    first, *log = str(caught.value).splitlines()
    assert first.startswith("t.cu: NVRTC cannot compile it with --gpu-architecture=sm_90 -DREAL=f")
    assert log == [cupy.cuda.nvrtc.log]
    assert cupy.cuda.nvrtc.destroyed


def test_numpy_arrays_are_refused(cupy: Any) -> None:
    with (
        _cuda.use_driver(_cupy.CupyDriver()),
        pytest.raises(MiniCNNError, match=r"t.cu, f: const float \*x is a numpy.ndarray, which do"),
    ):
        _cuda.launch("t", "f", 1, 1, np.zeros(5, np.float32), None, None, 1)
    assert not cupy.calls


def test_more_shared_memory_than_the_gpu_has(cupy: Any) -> None:
    with (
        _cuda.use_driver(_cupy.CupyDriver()),
        pytest.raises(MiniCNNError, match="a block has 232448 on sm_90"),
    ):
        _cuda.launch("t", "f", 1, 1, None, None, None, 1, shared=232449)


# ------------------------------------------------------------------------------ why not


def fails(error: Exception) -> Any:
    def call(*_: object) -> None:
        raise error

    return call


INSUFFICIENT = CudaError("cudaErrorInsufficientDriver: CUDA driver version is insufficient.\nmore")
REASONS = {
    "no device": (
        lambda cupy: setattr(cupy.cuda.runtime, "getDeviceCount", lambda: 0),
        "the NVIDIA driver lists no device. See CUDA_VISIBLE_DEVICES",
    ),
    "no driver": (
        lambda cupy: setattr(cupy.cuda.runtime, "driverGetVersion", lambda: 0),
        "there is no NVIDIA driver. Install the one for this machine's GPU",
    ),
    "an old driver": (
        lambda cupy: setattr(cupy.cuda.runtime, "getDeviceCount", fails(INSUFFICIENT)),
        "CUDA finds no usable GPU: cudaErrorInsufficientDriver: CUDA driver version is "
        "insufficient. See what nvidia-smi says",
    ),
    "no compiler": (
        lambda cupy: setattr(cupy.cuda.nvrtc, "getVersion", fails(OSError("no libnvrtc.so.12"))),
        "NVRTC is missing: no libnvrtc.so.12. pip install 'minicnn-engine[gpu]'",
    ),
    "an old GPU": (
        lambda cupy: setattr(cupy.cuda, "Device", lambda: SimpleNamespace(compute_capability="61")),
        "the GPU is an sm_61, too old. Use one of sm_75 or newer",
    ),
}


def test_where_a_gpu_answers(cupy: Any) -> None:
    assert _cupy.why_not() == ""


@pytest.mark.parametrize("reason", REASONS)
def test_why_not(reason: str, cupy: Any) -> None:
    damage, words = REASONS[reason]
    damage(cupy)
    assert _cupy.why_not() == words
    with pytest.raises(MiniCNNError) as caught:
        _cupy.CupyDriver()
    assert str(caught.value) == f"the GPU rung cannot run here: {words}. Or compute on the CPU."


def test_cupy_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "cupy", raising=False)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert _cupy.why_not() == "CuPy is not installed. pip install 'minicnn-engine[gpu]'"


def test_cupy_that_cannot_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "cupy", raising=False)
    spec = importlib.machinery.ModuleSpec("cupy", None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    monkeypatch.setattr(importlib, "import_module", fails(ImportError("libcudart is missing.\n")))
    assert _cupy.why_not() == (
        "CuPy cannot be imported: libcudart is missing. pip install 'minicnn-engine[gpu]'"
    )
