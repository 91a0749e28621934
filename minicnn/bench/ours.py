"""The contender that is minicnn: the kernels of a rung, and whole models on it.

Run by `host.py`. Options: `rung`, and `dtype`, "float32" or, for the reference that all contenders
are held against, "float64". The rung "cupy" gets its inputs in the GPU's memory.
"""

from __future__ import annotations

from importlib import metadata
from typing import Any

import numpy as np

from minicnn import cuda
from minicnn.bench import ours_kernels, ours_models
from minicnn.bench.ours_kernels import Arrays, Prepared
from minicnn.device import cupy_library, to_device
from minicnn.kernels import current_backend, set_default_backend, threads

GPU = "cupy"
LOOPS_STEP = 0.65e-6  # seconds of a multiply-add in the interpreter
PATIENCE = 2.0  # seconds: a call of the loops rung that would take longer is left out

_dtype: Any = np.float32
_rung = ""


def start(count: int, options: dict[str, Any]) -> dict[str, str]:
    """Choose the rung and the number of threads."""
    global _dtype, _rung
    _dtype, _rung = np.dtype(options.get("dtype", "float32")), options["rung"]
    threads.set_num_threads(count)
    set_default_backend(_rung)
    current_backend().source_of("conv2d")  # imports the rung
    versions = {"minicnn": metadata.version("minicnn-engine"), "numpy": np.__version__}
    if _rung == "numba":
        versions["numba"] = metadata.version("numba")
    if _rung == GPU:
        versions |= {"cupy": cupy_library().__version__, "GPU": cuda.get_device_name()}
    return versions


def synchronise() -> None:
    """Wait until all has been computed that was asked of a GPU."""
    if _rung == GPU:
        cuda.synchronize()


def prepare(case: dict[str, Any], arrays: Arrays) -> Prepared:
    """Find what computes the case; NotImplementedError where nothing does, or not in time."""
    taking = case["flops"] / 2 * LOOPS_STEP
    if _rung == "loops" and taking > PATIENCE:
        raise NotImplementedError(f"would take about {_duration(taking)}")
    ours = {name: a.astype(_dtype) if a.dtype == np.float32 else a for name, a in arrays.items()}
    if _rung == GPU:
        ours = {name: to_device(a, "cuda") for name, a in ours.items()}
    op, pass_, arguments = case["op"], case["pass_"], case["arguments"]
    if op in ours_models.PREPARE:
        return ours_models.PREPARE[op](op, pass_, arguments, ours)
    if op not in ours_kernels.CALLS:
        raise NotImplementedError(f"no {op}")
    return ours_kernels.CALLS[op](current_backend(), pass_, arguments, ours)


def _duration(seconds: float) -> str:
    for unit, length in (("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"
