"""The driver that is CuPy: NVRTC compiles, CUDA's driver loads and launches.

CuPy is imported when this driver is made or `why_not` is asked, never before.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from typing import Any

import numpy as np

from ..errors import MiniCNNError
from ._cuda import Argument, Triple
from ._source import Parameter, Source

_OPTIONS = ("-std=c++17",)
_OLDEST = 75  # sm_75, Turing: what NVRTC 13 still compiles for
_WITHOUT_ASKING = 48 * 1024  # bytes of dynamic shared memory that every kernel may have


def why_not() -> str:
    """Return in one line why no GPU computes here, and what mends it; "" if one does."""
    if "cupy" not in sys.modules and importlib.util.find_spec("cupy") is None:
        return "CuPy is not installed. pip install 'minicnn-engine[gpu]'"
    try:
        cupy = importlib.import_module("cupy")
    except Exception as error:
        return f"CuPy cannot be imported: {_line(error)}. pip install 'minicnn-engine[gpu]'"
    try:
        if not cupy.cuda.runtime.driverGetVersion():
            return "there is no NVIDIA driver. Install the one for this machine's GPU"
        if not cupy.cuda.runtime.getDeviceCount():
            return "the NVIDIA driver lists no device. See CUDA_VISIBLE_DEVICES"
    except Exception as error:
        return f"CUDA finds no usable GPU: {_line(error)}. See what nvidia-smi says"
    try:
        cupy.cuda.nvrtc.getVersion()
    except Exception as error:
        return f"NVRTC is missing: {_line(error)}. pip install 'minicnn-engine[gpu]'"
    newest = int(cupy.cuda.Device().compute_capability)
    if newest < _OLDEST:
        return f"the GPU is an sm_{newest}, too old. Use one of sm_{_OLDEST} or newer"
    return ""


def target(capability: int, known: tuple[int, ...]) -> str:
    """Return what to compile for on a GPU, given the architectures that NVRTC knows.

    Machine code for the GPU itself, "sm_90"; of a GPU that is too new for this NVRTC, PTX of the
    newest architecture before it, "compute_90", which the driver turns into machine code.
    """
    if capability in known:
        return f"sm_{capability}"
    return f"compute_{max((arch for arch in known if arch < capability), default=capability)}"


def compiled(nvrtc: Any, source: Source, arch: str, options: tuple[str, ...]) -> bytes:
    """Return a source as machine code of "sm_90", say, or as PTX of "compute_90".

    Raises MiniCNNError with the log if NVRTC refuses.
    """
    options = f"--gpu-architecture={arch}", *options
    names = [name.encode() for name in source.headers]
    texts = [text.encode() for text in source.headers.values()]
    program = nvrtc.createProgram(source.text, source.name, texts, names)
    try:
        nvrtc.compileProgram(program, (*_OPTIONS, *options))
        return nvrtc.getCUBIN(program) if arch.startswith("sm_") else nvrtc.getPTX(program)
    except nvrtc.NVRTCError as error:
        raise MiniCNNError(
            f"{source.name}: NVRTC cannot compile it with {' '.join(options)} ({error}). "
            f"Mend what it names:\n{nvrtc.getProgramLog(program)}"
        ) from None
    finally:
        nvrtc.destroyProgram(program)


class CupyDriver:
    """Runs kernels on the current CuPy device, in CuPy's current stream."""

    def __init__(self) -> None:
        reason = why_not()
        if reason:
            raise MiniCNNError(f"the GPU rung cannot run here: {reason}. Or compute on the CPU.")
        self.cupy = importlib.import_module("cupy")
        self._targets: dict[object, str] = {}  # by device: a launch has no time to ask

    def arch(self) -> str:
        place = self.place()
        if place not in self._targets:
            capability = int(self.cupy.cuda.Device().compute_capability)
            self._targets[place] = target(capability, self.cupy.cuda.nvrtc.getSupportedArchs())
        return self._targets[place]

    def shared_limit(self) -> int:
        runtime = self.cupy.cuda.runtime
        which = runtime.cudaDevAttrMaxSharedMemoryPerBlockOptin
        return runtime.deviceGetAttribute(which, runtime.getDevice())

    def compile(self, source: Source, options: tuple[str, ...]) -> bytes:
        return compiled(self.cupy.cuda.nvrtc, source, self.arch(), options)

    def load(self, code: bytes) -> Any:
        module = self.cupy.cuda.function.Module()
        module.load(code)
        return module, {}  # and its functions, by name, as they are asked for

    def launch(
        self, module: Any, kernel: str, parameters: tuple[Parameter, ...],
        grid: Triple, block: Triple, shared: int, args: list[Argument],
    ) -> None:  # fmt: skip
        module, functions = module
        function = functions.get(kernel)
        if function is None:
            function = functions[kernel] = module.get_function(kernel)
        if shared > _WITHOUT_ASKING:
            driver = self.cupy.cuda.driver
            attribute = driver.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
            driver.funcSetAttribute(function.ptr, attribute, shared)
        function(grid, block, tuple(self._passed(a) for a in args), shared_mem=shared)

    def _passed(self, argument: Argument) -> Any:
        if argument is None:
            return np.uint64(0)
        if isinstance(argument, list):  # the table outlives the launch: CuPy frees in stream order
            return self.cupy.asarray([x.data.ptr for x in argument], dtype=np.uint64)
        return argument

    def is_array(self, x: object) -> bool:
        return isinstance(x, self.cupy.ndarray)

    def empty(self, shape: tuple[int, ...], dtype: Any) -> Any:
        return self.cupy.empty(shape, dtype)

    def zeros(self, shape: tuple[int, ...], dtype: Any) -> Any:
        return self.cupy.zeros(shape, dtype)

    def place(self) -> object:
        return self.cupy.cuda.runtime.getDevice()


def _line(error: Exception) -> str:
    """Return the first line of what an error says, without its full stop."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0].rstrip(". ")
