"""One helper for every comparison with torch: run a function in both, compare all that comes out.

    check(lambda lib, x, w: lib.nn.functional.conv2d(x, w, stride=2), x, w, rung="numba")

The function gets `minicnn` or `torch` as `lib` (the names are the same) and one tensor per array.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

import minicnn

RUNGS = ("loops", "numpy", "numba")
DTYPES = ("float32", "float64")
TOLERANCE = {"float32": 1e-4, "float64": 1e-8}  # of max|a-b| / max|b|

# How an input lies in memory. Each entry builds, from the array that the function shall see, a
# leaf that is stored otherwise, and the recorded view that leads back.
LAYOUTS: dict[str, tuple[Callable[[Any], Any], Callable[[Any, tuple], Any]]] = {
    "contiguous": (lambda a: a, lambda x, shape: x),
    "permuted": (
        lambda a: np.array(a.transpose(), order="C"),
        lambda x, shape: x.permute(tuple(reversed(range(len(shape))))),
    ),
    "strided": (
        lambda a: np.repeat(a, 2, axis=-1) if a.ndim else a,
        lambda x, shape: x[..., ::2] if shape else x,
    ),
    "expanded": (
        lambda a: np.ascontiguousarray(a[:1]) if a.ndim and len(a) else a,
        lambda x, shape: x.expand(shape),
    ),
}


def normal(rng: np.random.Generator, *shape: int, dtype: str = "float64") -> np.ndarray:
    """Return normal numbers: always an array, also for the empty shape."""
    return np.asarray(rng.standard_normal(shape), dtype)


def distinct(rng: np.random.Generator, *shape: int, dtype: str = "float64") -> np.ndarray:
    """Return numbers of which no two are equal or near: maxima without ties. About half are < 0."""
    size = int(np.prod(shape))
    return ((rng.permutation(size) - size // 2 + 0.25) / max(size, 1)).reshape(shape).astype(dtype)


def relative_error(a: np.ndarray, b: np.ndarray) -> float:
    """Return max|a-b| / max|b|; NaNs and infinities must be the same, else it is infinite."""
    a, b = np.asarray(a), np.asarray(b)
    finite = np.isfinite(b)
    if not np.array_equal(a[~finite], b[~finite], equal_nan=a.dtype.kind == "f"):
        return np.inf
    if not np.isfinite(a[finite]).all():
        return np.inf
    error = np.max(np.abs(a[finite].astype("float64") - b[finite]), initial=0.0)
    scale = np.max(np.abs(b[finite]), initial=0.0)
    return float(error / scale) if scale else float(np.inf if error else 0.0)


def check(
    function: Callable[..., Any],
    *arrays: Any,
    rung: str = "numpy",
    layout: str | Sequence[str] = "contiguous",
    tolerance: float | None = None,
    seed: int = 0,
) -> dict[str, float]:
    """Run `function` in minicnn on `rung` and in torch, forward and backward; compare; report.

    Floating-point arrays become leaves that require a gradient; other arrays (indices, masks) are
    passed on as tensors without one. Backward starts from a random cotangent per output. Compared
    are values, shapes, dtypes, which results require gradients, and every leaf's gradient. The
    arrays and cotangents must stay as they were, and no gradient may share their memory.

    Returns the relative error of each result; raises AssertionError with all of them.
    """
    layouts = [layout] * len(arrays) if isinstance(layout, str) else layout
    stored = [
        LAYOUTS[how][0](a) if _is_float(a) else a for how, a in zip(layouts, arrays, strict=True)
    ]
    with minicnn.use_backend(rung):
        ours = _run(minicnn, minicnn.from_numpy, function, arrays, stored, layouts, seed)
    theirs = _run(torch, _torch_tensor, function, arrays, stored, layouts, seed)

    assert ours.keys() == theirs.keys(), f"minicnn gave {[*ours]}, torch {[*theirs]}"
    report = {}
    for name, a in ours.items():
        b = theirs[name]
        assert a.shape == b.shape, f"{name}: minicnn {a.shape}, torch {b.shape}"
        assert a.dtype == b.dtype, f"{name}: minicnn {a.dtype}, torch {b.dtype}"
        report[name] = relative_error(a, b)
    allowed = {
        name: 0.0 if a.dtype.kind != "f" else tolerance or TOLERANCE[str(a.dtype)]
        for name, a in ours.items()
    }
    wrong = {name: error for name, error in report.items() if not error <= allowed[name]}
    assert not wrong, f"max|a-b|/max|b| against torch on rung {rung}: {wrong} (all: {report})"
    return report


def _is_float(array: Any) -> bool:
    return isinstance(array, np.ndarray) and array.dtype.kind == "f"


def _torch_tensor(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.array(array))


def _run(
    lib: Any,
    tensor: Callable[[np.ndarray], Any],
    function: Callable[..., Any],
    arrays: Sequence[Any],
    stored: Sequence[Any],
    layouts: Sequence[str],
    seed: int,
) -> dict[str, np.ndarray]:
    """Return what one library computes, by name: values and leaf gradients."""
    if lib is torch:
        torch.set_num_threads(1)  # again: Numba, which shares its OpenMP, sets its own number
    given = [a.copy() if isinstance(a, np.ndarray) else a for a in stored]
    leaves, inputs = [], []
    for how, array, original in zip(layouts, given, arrays, strict=True):
        x = tensor(array) if isinstance(array, np.ndarray) else array
        if _is_float(array):
            x.requires_grad_()
            leaves.append(x)
            x = LAYOUTS[how][1](x, original.shape)
        inputs.append(x)
    outputs = function(lib, *inputs)
    outputs = tuple(outputs) if isinstance(outputs, tuple | list) else (outputs,)
    found = {f"output {i}": _values(y) for i, y in enumerate(outputs)}

    tracked = [(i, y) for i, y in enumerate(outputs) if y.requires_grad]
    rng = np.random.default_rng(seed)
    cotangents = [np.asarray(rng.standard_normal(y.shape), _values(y).dtype) for _, y in tracked]
    before = [c.copy() for c in cotangents]
    if tracked:
        lib.autograd.backward([y for _, y in tracked], [tensor(c) for c in cotangents])
    for i, _ in tracked:
        found[f"output {i} requires grad"] = np.array(True)
    for i, leaf in enumerate(leaves):
        if leaf.grad is not None:
            found[f"gradient {i}"] = _values(leaf.grad)

    if lib is minicnn:
        for was, array in zip([*stored, *before], [*given, *cotangents], strict=True):
            np.testing.assert_array_equal(array, was, "the engine wrote into a user's array")
        held = [a for a in [*given, *cotangents] if isinstance(a, np.ndarray)]
        for leaf in leaves:
            shared = leaf.grad is not None and any(
                np.shares_memory(leaf.grad.array, array) for array in held
            )
            assert not shared, "a gradient shares memory with an input or a cotangent"
    return found


def _values(x: Any) -> np.ndarray:
    return x.detach().numpy() if x.requires_grad else x.numpy()
