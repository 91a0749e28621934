"""Runs the GPU rung on NumPy arrays, without a GPU: its .cu files compiled as C++ for the host.

In a test, the whole rung:

    def test_mine(host):                       # a fixture of conftest.py: a HostDriver in force
        y = gpu.max_pool2d(x, (2, 2), ...)     # from minicnn.kernels import gpu; NumPy arrays

or one kernel:      _cuda.launch("pool", "max_pool2d", grid, block, x, y, ...)
or under @given:    with _cuda.use_driver(HostDriver(seed=2)): ...

`seed` is the order of threads and blocks: 0 ascending, all warps side by side; 1 descending, others
at random, each warp ahead of the next as far as barriers let it. A kernel whose bits differ between
seeds lacks a barrier. `HostDriver(mutate=[("pool.cu", old, new)])`
plants a mistake: it changes a source's text, where `old` must occur, before it is compiled.

A kernel that does what CUDA leaves undefined raises KernelFault in one line: an array left on
either side or of another length than its comment says, a const array written, a barrier not all
threads reach, a shuffle that waits for a lane that has ended. Shared memory, and what `_cuda.empty`
gives, is NaN (-1 as int) until written.

What a .cu file may use is in shim.h: among others __shared__, also `extern __shared__ T name[];`,
__syncthreads, __syncwarp, the __shfl_*_sync, __ballot_sync, float4, min, max and CUDA's functions
of float and double. Instead of inline PTX, under `#ifdef MINICNN_HOST`: `T all[32]` and then
`host_warp_gather(all, mine)` give what each lane of the warp put in; all lanes have to call it.
Kernels must not have names from the C library, such as tanh. Blocks need whole warps for warp
operations.
"""

from __future__ import annotations

import ctypes
import hashlib
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from functools import cache
from pathlib import Path
from typing import Any

import lengths
import numpy as np

from minicnn.errors import MiniCNNError
from minicnn.kernels.gpu._source import Parameter, Source

HERE = Path(__file__).parent
COMPILER = shutil.which("g++")
FLAGS = ("-std=c++17", "-O1", "-fPIC", "-w", "-U_FORTIFY_SOURCE", "-DMINICNN_HOST")
# Calls to runtime.cpp: an index beyond a fixed array, a product that passes 2^31 as int, a float4
# at an odd address.
CHECKS = (
    "-fsanitize=bounds,signed-integer-overflow,shift,integer-divide-by-zero,alignment",
    "-fno-sanitize-recover=undefined",
)
ASAN = ("-fsanitize=address", "-fsanitize-recover=address", "-DHOST_ASAN", "-g")
_EXTERN_SHARED = re.compile(
    r"extern\s+__shared__\s+(?:__align__\(\d+\)\s+)?([\w ]+?)\s+(\w+)\s*\[\s*\]\s*;"
)
_running = threading.Lock()


class KernelFault(AssertionError):
    """A kernel did what CUDA leaves undefined."""


class HostDriver:
    """The driver protocol of `_cuda.Driver` for NumPy arrays and the host's C++ compiler."""

    def __init__(
        self, seed: int = 0, mutate: list[tuple[str, str, str]] | None = None, asan: bool = False
    ) -> None:
        self.seed, self.mutate, self.asan = seed, mutate or [], asan
        base = (*FLAGS, *(ASAN if asan else ()))
        self.flags, self.runtime = (*base, *CHECKS), _runtime(base)
        self.launches: list[tuple[str, tuple[int, ...]]] = []  # kernel, grid + block
        parts = (_shim(), repr(self.flags), repr(self.mutate))
        self._arch = "host_" + hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]

    def arch(self) -> str:
        return self._arch

    def shared_limit(self) -> int:
        return 99 * 1024  # what sm_86 and sm_89 have, the least since sm_80

    def place(self) -> object:
        return self._arch

    def is_array(self, x: object) -> bool:
        return isinstance(x, np.ndarray)

    def empty(self, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        array = np.empty(shape, dtype)
        array.reshape(-1).view(np.uint8)[:] = 255
        return array

    def zeros(self, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        return np.zeros(shape, dtype)

    def compile(self, source: Source, options: tuple[str, ...]) -> bytes:
        texts = {source.name: source.text, **source.headers}
        for name, old, new in self.mutate:
            if name in texts:
                assert old in texts[name], f"{name} has no {old!r} to plant a mistake in"
                texts[name] = texts[name].replace(old, new)
        entries = "".join(f"HOST_ENTRY({kernel})\n" for kernel in source.kernels)
        main = f'#include "shim.h"\nnamespace {{\n#include "{source.name}"\n}}\n{entries}'
        with tempfile.TemporaryDirectory() as folder:
            for name, text in texts.items():
                Path(folder, name).write_text(_host_text(text), encoding="utf-8")
            Path(folder, "main.cpp").write_text(main, encoding="utf-8")
            return _compile(self.flags + options, Path(folder, "main.cpp"))

    def load(self, code: bytes) -> Any:
        return _load(code, ctypes.DEFAULT_MODE)

    def launch(
        self, module: Any, kernel: str, parameters: tuple[Parameter, ...],
        grid: tuple[int, ...], block: tuple[int, ...], shared: int, args: list[Any],
    ) -> None:  # fmt: skip
        fault = lengths.wrong(kernel, parameters, args)
        if fault:
            raise KernelFault(fault)
        self.launches.append((kernel, (*grid, *block)))
        with _running:
            frames = _Frames(self.runtime, kernel)
            values = [frames.value(p, a) for p, a in zip(parameters, args, strict=True)]
            pointers = (ctypes.c_void_p * len(values))(*map(ctypes.addressof, values))
            sizes, message = (ctypes.c_uint * 6)(*grid, *block), ctypes.create_string_buffer(500)
            run = getattr(module, f"host_entry_{kernel}")
            failed = run(
                pointers, sizes, ctypes.c_size_t(shared), self.seed, message,
                ctypes.c_size_t(len(message)),
            )  # fmt: skip
            frames.close()
        if failed:
            raise KernelFault(frames.named(message.value.decode()))
        if frames.faults:
            raise KernelFault(f"{kernel}: {'; '.join(frames.faults)}")


class _Frames:
    """The arrays of one launch, each copied between guards and back."""

    def __init__(self, runtime: Any, kernel: str) -> None:
        self.runtime, self.kernel = runtime, kernel
        self.arrays: list[tuple[np.ndarray, list[Parameter], int]] = []
        self.faults: list[str] = []

    def value(self, parameter: Parameter, argument: Any) -> Any:
        """Return a ctypes object that holds what the kernel gets."""
        if parameter.stars == 0:
            return np.ctypeslib.as_ctypes_type(argument.dtype)(argument.item())
        if argument is None:
            return ctypes.c_void_p(0)
        if isinstance(argument, list):
            table = np.array([self.address(parameter, item) for item in argument], np.uint64)
            return ctypes.c_void_p(self.address(parameter._replace(const=True), table))
        return ctypes.c_void_p(self.address(parameter, argument))

    def address(self, parameter: Parameter, array: np.ndarray) -> int:
        """Return where the kernel finds the array: one place, however often it is passed."""
        for other, parameters, address in self.arrays:
            if (other.ctypes.data, other.nbytes) == (array.ctypes.data, array.nbytes):
                parameters.append(parameter)
                return address
        address = self.runtime.host_frame_open(array.ctypes.data, array.nbytes)
        self.arrays.append((array, [parameter], address))
        return address

    def close(self) -> None:
        for i, (array, parameters, address) in enumerate(self.arrays):
            names = " = ".join(p.name for p in parameters)
            const = all(p.const for p in parameters)
            if const and ctypes.string_at(address, array.nbytes) != array.tobytes():
                self.faults.append(f"wrote into {names}, which is const")
            back = None if const else array.ctypes.data
            if self.runtime.host_frame_close(i, back):
                self.faults.append(f"wrote in front of {names} or just behind it")
        self.runtime.host_frames_forget()

    def named(self, message: str) -> str:
        """Say an array's name for its number."""
        name = re.sub(
            r"^array (\d+)",
            lambda m: " = ".join(p.name for p in self.arrays[int(m[1])][1]),
            message,
        )
        return f"{self.kernel}: {name}"


def _host_text(text: str) -> str:
    """CUDA's text, but for what no macro can express: an array without a size, made at launch."""
    return _EXTERN_SHARED.sub(r"static const HostShared<\1> \2;", text)


def _compile(flags: tuple[str, ...], source: Path) -> bytes:
    assert COMPILER, "no g++ on this machine"
    middle, target = source.with_suffix(".o"), source.with_suffix(".so")
    linked = [flag for flag in flags if flag not in CHECKS]  # else g++ brings a runtime of its own
    for command in (
        [COMPILER, "-c", *flags, f"-I{HERE}", str(source), "-o", str(middle)],
        [COMPILER, "-shared", *linked, str(middle), "-o", str(target)],
    ):
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise MiniCNNError(f"{COMPILER} cannot compile it. Mend what it names:\n{done.stderr}")
    return target.read_bytes()


def _load(code: bytes, mode: int) -> Any:
    with tempfile.NamedTemporaryFile(suffix=".so") as file:
        file.write(code)
        file.flush()
        return ctypes.CDLL(file.name, mode=mode)


@cache
def _shim() -> str:
    """Return what compiled kernels depend on beside their own text."""
    assert COMPILER, "no g++ on this machine"
    version = subprocess.run([COMPILER, "-dumpfullversion"], capture_output=True, text=True).stdout
    return version + "".join(
        (HERE / name).read_text() for name in ("shim.h", "fibers.h", "runtime.cpp")
    )


@cache
def _runtime(flags: tuple[str, ...]) -> Any:
    """Compile and load the scheduler, once per process; kernels find its symbols by name."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "runtime.cpp")
        source.write_text((HERE / "runtime.cpp").read_text(encoding="utf-8"), encoding="utf-8")
        library = _load(_compile(flags, source), ctypes.RTLD_GLOBAL)
    library.host_frame_open.restype = ctypes.c_void_p
    library.host_frame_open.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    library.host_frame_close.argtypes = [ctypes.c_size_t, ctypes.c_void_p]
    return library


def usable() -> str:
    """Return why kernels cannot run on this host, or ""."""
    if sys.platform != "linux":
        return "the host shim needs Linux: guard pages and signals"
    return "" if COMPILER else "the host shim needs g++"
