"""Every kernel, in every form in which it is ever launched, becomes machine code for each GPU.

What is launched is recorded, by a driver that runs nothing, from the kernel contract's cases, so
that a define which only one shape needs is compiled too. The compiler has to be silent, and each
launch to find the registers and the shared memory that its code takes.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from functools import cache
from types import SimpleNamespace
from typing import Any, NamedTuple
from unittest import mock

import cubin
import cuda_compiler
import numpy as np
import pytest
from dry_driver import DryDriver
from helpers_kernels import Case
from kernel_families import FAMILIES
from kernel_families.conv import Conv2d
from test_kernel_contract import DTYPES, LAYERS

from minicnn.kernels import gpu, use_backend
from minicnn.kernels.gpu import _conv_paths, _cuda, _cupy, _source

# Turing, Ampere, Hopper: bytes of shared memory that a block may have (CUDA C++ Programming Guide,
# table of technical specifications per compute capability)
ARCHS = {"sm_75": 64 * 1024, "sm_80": 163 * 1024, "sm_90": 227 * 1024}
REGISTERS = 65536  # of a block, at most, on all of them; a warp gets them in portions of 256
FILES = sorted(path.stem for path in _source.FOLDER.glob("*.cu"))
TENSOR_CORES = "conv_tensor"  # takes instructions that sm_75 has not

COMPILER = cuda_compiler.find()
pytestmark = pytest.mark.skipif(
    COMPILER is None, reason="neither the package nvidia-cuda-nvrtc-cu12 nor nvcc is here"
)


class Form(NamedTuple):
    """A source with its options, and what it was launched with: (kernel, threads, bytes)."""

    stem: str
    options: tuple[str, ...]
    launches: tuple[tuple[str, int, int], ...]


def cases() -> Iterator[tuple[Any, Case]]:
    """Yield each family with its cases."""
    for family in FAMILIES.values():
        for case in {**getattr(family, "examples", {}), **family.hard}.values():
            yield family, {"seed": 0, **case}
    yield from ((Conv2d, {"seed": 0, **case}) for case in LAYERS.values())


def launch_all(path: str | None, tf32: bool, dry: DryDriver) -> None:
    """Run all cases, or those of convolution if a path is given; the driver computes nothing."""
    with ExitStack() as stack:
        stack.enter_context(_cuda.use_driver(dry))
        stack.enter_context(_conv_paths.forced(path))
        stack.enter_context(_conv_paths.tf32(tf32))
        backend = stack.enter_context(use_backend(gpu))
        stack.enter_context(np.errstate(all="ignore"))  # where a kernel should have written: zeros
        for family, case in cases():
            if path is None or family is Conv2d:
                for dtype in DTYPES:
                    family.ours(Through(backend), case, **family.arrays(case, dtype))
        if path is None:
            for dtype in DTYPES:
                launch_optimizers(dtype)


def launch_optimizers(dtype: str) -> None:
    """Run what the contract does not have: a step of all parameters at once."""
    w, g, m, v = ([np.zeros(5, dtype)] for _ in range(4))
    same = {"lr": 0.1, "weight_decay": 0.0}
    gpu.adam_steps(w, g, m, v, step=1, beta1=0.9, beta2=0.9, eps=0.1, decoupled=False, **same)
    gpu.sgd_steps(w, g, m, momentum=0.9, dampening=0.0, nesterov=False, first=True, **same)


class Through(SimpleNamespace):
    """What the families call: the kernels of a backend, and the backend itself."""

    def __init__(self, backend: Any) -> None:
        super().__init__(backend=backend)

    def __getattr__(self, kernel: str) -> Any:
        return getattr(self.backend, kernel)


@cache
def forms() -> dict[str, list[Form]]:
    """All forms that are launched, by source."""
    dry = DryDriver()
    with (
        tempfile.TemporaryDirectory() as folder,
        mock.patch.dict(os.environ, {"MINICNN_CACHE_DIR": folder}),
    ):
        launch_all(None, False, dry)
        for path in _conv_paths.PATHS:
            launch_all(path, False, dry)
        launch_all("tensor", True, dry)
    launches: dict[str, set[tuple[str, int, int]]] = {}
    for launch in dry.launches:
        x, y, z = launch.block
        launches.setdefault(launch.module, set()).add((launch.kernel, x * y * z, launch.shared))
    found: dict[str, list[Form]] = {}
    for i, (source, options) in enumerate(dry.compiled, start=1):
        stem = source.name.removesuffix(".cu")
        found.setdefault(stem, []).append(Form(stem, options, tuple(launches[f"module {i}"])))
    return found


def compiled(form: Form, arch: str) -> bytes:
    """Return the machine code; anything that the compiler says is a failure."""
    assert COMPILER is not None
    options = (*_cupy._OPTIONS, f"-arch={arch}", *form.options)
    code, log = COMPILER.compile(_source.read(form.stem), options)
    assert not log, f"{form.stem}.cu {' '.join(options)}:\n{log}"
    assert code.startswith(b"\x7fELF")
    return code


@pytest.mark.parametrize("arch", ARCHS)
@pytest.mark.parametrize("stem", FILES)
def test_machine_code_without_a_word_and_launches_that_fit(stem: str, arch: str) -> None:
    if stem == TENSOR_CORES and arch == "sm_75":
        pytest.skip("no TF32 there; the loader's choice of a path keeps away (test_gpu_conv.py)")
    assert forms()[stem]
    for form in forms()[stem]:
        needs = cubin.needs(compiled(form, arch))
        assert needs.keys() == _source.read(stem).kernels.keys()
        for kernel, threads, dynamic in form.launches:
            took = needs[kernel]
            warps, of_warp = -(-threads // 32), -(-took.registers * 32 // 256) * 256
            assert warps * of_warp <= REGISTERS, (form, kernel, took)
            if dynamic <= ARCHS[arch]:  # else the wrapper asks the driver's limit, and stays away
                assert took.shared + dynamic <= ARCHS[arch], (form, kernel, took)
            assert took.shared <= 48 * 1024, (form, kernel, took)
            assert took.stack == 0, (form, kernel, took)  # registers, or the arithmetic is moot


def test_every_kernel_is_launched_by_some_case() -> None:
    launched = {
        (f.stem, kernel) for all_ in forms().values() for f in all_ for kernel, *_ in f.launches
    }
    assert launched == {(stem, kernel) for stem in FILES for kernel in _source.read(stem).kernels}


def test_a_warning_is_seen() -> None:
    """The log is empty because there is nothing to say, not because nobody listens."""
    assert COMPILER is not None
    text = 'extern "C" __global__ void f(int *x) { int unused; x[0] = 1; }'
    code, log = COMPILER.compile(_source.parsed("f.cu", text), ("-arch=sm_80",))
    assert code
    assert "unused" in log
    code, log = COMPILER.compile(_source.parsed("f.cu", text.replace("1", "y")), ("-arch=sm_80",))
    assert not code
    assert '"y" is undefined' in log


def test_what_a_kernel_takes_is_read_from_its_code() -> None:
    assert COMPILER is not None
    text = """
extern "C" __global__ void f(float *x) {
    __shared__ float shared[1000];
    shared[threadIdx.x] = x[threadIdx.x];
    __syncthreads();
    x[threadIdx.x] = shared[threadIdx.x ^ 1];
}
extern "C" __global__ void g(const int *x, int *y, int at) {
    int stack[64];
    for (int i = 0; i < 64; ++i) stack[i] = i;
    for (int i = 0; i < at; ++i) stack[x[i] & 63] += i;
    y[0] = stack[at];
}"""
    code, log = COMPILER.compile(_source.parsed("f.cu", text), ("-arch=sm_80",))
    assert not log
    needs = cubin.needs(code)
    assert needs["f"].shared == 4000
    assert needs["f"].stack == needs["g"].shared == 0
    assert needs["g"].stack == 256
    assert 1 < needs["f"].registers < 20
