"""The contender that is minicnn: the kernels of a rung, and whole models on it.

Run by `host.py`. Options: `rung`, and `dtype`, "float32" or, for the reference that all contenders
are held against, "float64".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from typing import Any

import numpy as np

from minicnn.kernels import current_backend, set_default_backend, threads

Arrays = dict[str, np.ndarray]

_dtype: Any = np.float32


@dataclass
class Prepared:
    """What the host asks for: `run()` computes once, `outputs()` gives all results by name."""

    run: Callable[[], Any]
    outputs: Callable[[], Arrays]
    share: float = 1.0


def start(count: int, options: dict[str, Any]) -> dict[str, str]:
    """Choose the rung and the threads."""
    global _dtype
    _dtype = np.dtype(options.get("dtype", "float32"))
    threads.set_num_threads(count)
    set_default_backend(options["rung"])
    current_backend().source_of("conv2d")  # imports the rung
    versions = {"minicnn": metadata.version("minicnn-engine"), "numpy": np.__version__}
    if options["rung"] == "numba":
        versions["numba"] = metadata.version("numba")
    return versions


def prepare(case: dict[str, Any], arrays: Arrays) -> Prepared:
    """Find what computes the case; NotImplementedError where there is nothing."""
    of_our_dtype = {
        name: a.astype(_dtype) if a.dtype == np.float32 else a for name, a in arrays.items()
    }
    make = OPERATIONS.get(case["op"])
    if make is None:
        raise NotImplementedError(f"no {case['op']}")
    call = make(current_backend(), case["pass_"], case["arguments"], of_our_dtype)
    return Prepared(call, lambda: named(call()))


def named(result: Any) -> Arrays:
    """One array, or a tuple of them, by name."""
    arrays = result if isinstance(result, tuple) else (result,)
    return {f"output {i}" if i else "output": a for i, a in enumerate(arrays)}


def conv2d(k: Any, pass_: str, arguments: dict[str, Any], a: Arrays) -> Callable[[], Any]:
    stride, padding, groups = arguments["stride"], arguments["padding"], arguments["groups"]
    geometry = (stride, stride), (padding, padding), (1, 1), groups
    if pass_ == "forward":
        return lambda: k.conv2d(a["x"], a["w"], a["b"], *geometry)
    if pass_ == "input gradient":
        return lambda: k.conv2d_input_grad(a["dy"], a["w"], a["x"].shape, *geometry)
    return lambda: k.conv2d_weight_grad(a["dy"], a["x"], a["w"].shape, *geometry)


def linear(k: Any, pass_: str, arguments: dict[str, Any], a: Arrays) -> Callable[[], Any]:
    if pass_ == "forward":
        return lambda: k.linear(a["x"], a["w"], a["b"])
    if pass_ == "input gradient":
        return lambda: k.linear_input_grad(a["dy"], a["w"])
    return lambda: k.linear_weight_grad(a["dy"], a["x"])


OPERATIONS: dict[str, Callable[..., Callable[[], Any]]] = {"conv2d": conv2d, "linear": linear}
