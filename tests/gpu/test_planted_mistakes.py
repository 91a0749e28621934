"""Mistakes that everybody makes in CUDA, made on purpose: these tests have to see them.

The five classics in unfold, and then the one that shows least: each barrier of the whole rung is
taken out in turn. test_gpu_conv.py and test_gpu_ops.py plant what is peculiar to their kernels.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from types import ModuleType
from typing import Any

import host_driver
import numpy as np
import pytest
from helpers_kernels import Case, assert_agree, window
from host_driver import HostDriver, KernelFault
from kernel_families import FAMILIES
from test_gpu_signatures import mistakes

from minicnn.kernels import gpu, reference
from minicnn.kernels.gpu import _conv_paths, _cuda, _source

pytestmark = pytest.mark.skipif(bool(host_driver.usable()), reason=host_driver.usable())

HOW = (3, 2), (1, 2), (1, 1), (2, 1)  # kernel, dilation, padding, stride
Mutation = tuple[str, str, str]


def unfolds_right(driver: HostDriver, module: Any = gpu) -> bool:
    """Whether unfold and fold compute, on 2460 pixels, what the numpy rung does."""
    x = np.random.default_rng(0).normal(size=(2, 2, 41, 15)).astype(np.float32)
    cols = reference.unfold(x, *HOW)
    try:
        with _cuda.use_driver(driver):
            same = np.array_equal(module.unfold(x, *HOW), cols)
            back = module.fold(cols, x.shape, *HOW)
            return same and np.array_equal(back, reference.fold(cols, x.shape, *HOW))
    except KernelFault:
        return False


def edited(old: str, new: str) -> ModuleType:
    """unfold.py with an edit in it, as a module."""
    text = (_source.FOLDER / "unfold.py").read_text(encoding="utf-8")
    assert old in text, f"unfold.py has no {old!r} to plant a mistake in"
    module = ModuleType("minicnn.kernels.gpu.unfold")
    module.__package__ = "minicnn.kernels.gpu"
    exec(text.replace(old, new), module.__dict__)
    return module


def test_without_a_mistake() -> None:
    assert unfolds_right(HostDriver())
    assert unfolds_right(HostDriver(), edited("H, W, P, Q, kernel", "H, W, P, Q, kernel"))


IN_CUDA: dict[str, Mutation] = {
    "the halo is off by one, below": ("unfold.cu", "inside(h, H) &&", "inside(h, H + 1) &&"),
    "the halo is off by one, above": ("unfold.cu", "* stride_h - pad_h", "* stride_h - pad_h + 1"),
    "the last place is left out": ("unfold.cu", "if (i >= places)", "if (i >= places - 1)"),
    "a thread too many": ("unfold.cu", "if (i >= pixels)", "if (i > pixels)"),
    "the wrong stride in memory": ("unfold.cu", "(long long)h * W + w", "(long long)h * H + w"),
    "planes lie too near": ("unfold.cu", "plane * R * S * places + i", "plane * S * places + i"),
    "stride and dilation for each other": ("unfold.cu", "h - r * dil_h", "h - r * stride_h"),
    "parameters for each other": ("unfold.cu", "int P, int Q, int R", "int Q, int P, int R"),
    "the block's number is forgotten": ("common.cuh", "blockIdx.x * blockDim.x", "blockIdx.x"),
}


@pytest.mark.parametrize("mistake", IN_CUDA)
def test_a_mistake_in_cuda_is_seen(mistake: str) -> None:
    assert not unfolds_right(HostDriver(mutate=[IN_CUDA[mistake]]))


IN_PYTHON = {
    "a block too few": ("-(-places // _cuda.THREADS)", "places // _cuda.THREADS"),
    "a plane too few": ("target, planes, H", "target, planes - 1, H"),
    "threads for the other result": ('"fold", H * W', '"fold", P * Q'),
    "height for width": ("planes, H, W, P, Q,", "planes, W, H, P, Q,"),
    "stride for dilation": (
        "*stride, *padding, *dilation,\n        )", "*dilation, *padding, *stride,\n        )"
    ),
    "target for source": ("source, target, planes, H", "target, source, planes, H"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", IN_PYTHON)
def test_a_mistake_in_python_is_seen(mistake: str) -> None:
    module = edited(*IN_PYTHON[mistake])
    assert not unfolds_right(HostDriver(), module)


def test_swapped_names_are_seen_in_the_text_alone() -> None:
    text = (_source.FOLDER / "unfold.py").read_text(encoding="utf-8")
    assert not mistakes(text)
    literal = text.replace('"unfold", name,', '"unfold", "unfold",')
    assert not mistakes(literal)
    assert mistakes(literal.replace("planes, H, W, P, Q,", "planes, W, H, P, Q,"))


# ------------------------------------------------------------------------------ barriers

DEEP = window((9, 11), (3, 3), (1, 1), (1, 1), channels=9, filters=10, batch=2, groups=1, bias=True)
CASES: dict[str, list[tuple[str, Case, str | None]]] = {  # file: family, case, path
    "conv_tiled.cu": [("Conv2d", DEEP, "tiled")],
    "conv_gemm.cuh": [("Conv2d", DEEP, "implicit")],
    "linear.cu": [("Linear", {"batch": 70, "i": 3, "o": 5, "bias": True}, None)],
    "reduce.cuh": [
        ("SoftmaxCrossEntropy", {"batch": 3, "classes": 700}, None),
        ("BatchNorm", FAMILIES["BatchNorm"].hard["planes"], None),
    ],
}
BARRIER = re.compile(r"__syncthreads\(\);")
BARRIERS = [
    (path.name, i)
    for path in sorted(_source.FOLDER.glob("*.cu*"))
    for i, _ in enumerate(BARRIER.findall(path.read_text(encoding="utf-8")))
]


def without_barrier(name: str, place: int) -> Mutation:
    """Return the mutation that takes the barrier number `place` out of a file."""
    text = (_source.FOLDER / name).read_text(encoding="utf-8")
    match = [*BARRIER.finditer(text)][place]
    return name, text, text[: match.start()] + ";" + text[match.end() :]


def right(name: str, make: Callable[[int], HostDriver]) -> bool:
    """Whether the cases of a file agree with the numpy rung, in three orders of threads."""
    for family_name, case, path in CASES[name]:
        family = FAMILIES[family_name]
        case = {"seed": 4, **case}
        arrays = family.arrays(case, "float32")
        want = family.ours(reference, case, **arrays)
        for seed in range(3):
            try:
                with _cuda.use_driver(make(seed)), _conv_paths.forced(path):
                    assert_agree(family.ours(gpu, case, **arrays), want, "the numpy rung")
            except (KernelFault, AssertionError):
                return False
    return True


@pytest.mark.parametrize("name", CASES)
def test_with_all_barriers(name: str) -> None:
    assert right(name, HostDriver)


@pytest.mark.parametrize(("name", "place"), BARRIERS)
def test_a_missing_barrier_is_seen(name: str, place: int) -> None:
    mutation = without_barrier(name, place)
    assert not right(name, lambda seed: HostDriver(seed, mutate=[mutation]))
