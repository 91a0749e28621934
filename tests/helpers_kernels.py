"""What the kernel tests share: tolerances, the promises of every kernel, generated geometry."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import host_driver
import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st

from minicnn.kernels import Backend, gpu, namespace, use_backend
from minicnn.kernels.gpu import _cuda, _cupy

Case = dict[str, Any]

ON_HOST = "cupy on the host"  # the GPU's kernels, compiled for this machine, on NumPy arrays
NO_GPU, NO_HOST = _cupy.why_not(), host_driver.usable()
GPU_RUNGS = (
    pytest.param(ON_HOST, marks=pytest.mark.skipif(bool(NO_HOST), reason=NO_HOST)),
    pytest.param("cupy", marks=pytest.mark.skipif(bool(NO_GPU), reason=NO_GPU)),
)

TOLERANCE = {np.dtype("float32"): 1e-4, np.dtype("float64"): 1e-8}


def generated(examples: int) -> settings:
    """Return hypothesis settings that draw the same examples in every run."""
    return settings(derandomize=True, deadline=None, max_examples=examples, database=None)


def assert_agree(got: Mapping[str, Any], want: Mapping[str, Any], source: str) -> None:
    """Compare arrays by name: same shape, and max|got - want| / max|want| within the tolerance.

    Integers, infinities and NaNs must be the same, element by element.
    """
    assert got.keys() == want.keys()
    for name, a in got.items():
        b = np.asarray(want[name])
        assert a.shape == b.shape, f"{name}: shape {a.shape}, {source} has {b.shape}"
        if a.dtype.kind == "f":
            finite = np.isfinite(b)
            np.testing.assert_array_equal(a[~finite], b[~finite], f"{name} against {source}")
            off = np.max(np.abs(a[finite] - b[finite]), initial=0.0)
            scale = np.max(np.abs(b[finite]), initial=0.0)
            assert off <= TOLERANCE[a.dtype] * scale, f"{name}: {source} is {off} away, of {scale}"
        else:
            np.testing.assert_array_equal(a, b, f"{name} against {source}")


@contextmanager
def running(rung: str, seed: int = 0) -> Iterator[Backend]:
    """Run the block on a rung, given by its name or `ON_HOST`."""
    if rung != ON_HOST:
        with use_backend(rung) as backend:
            yield backend
    else:
        with _cuda.use_driver(host_driver.HostDriver(seed)), use_backend(gpu) as backend:
            yield backend


def there(rung: str, value: Any) -> Any:
    """Return arrays, also those in lists, where the rung computes: on the GPU for "cupy"."""
    if isinstance(value, list):
        return [there(rung, item) for item in value]
    if rung != "cupy" or not isinstance(value, np.ndarray):
        return value
    import cupy

    return cupy.asarray(value)


def here(array: Any) -> np.ndarray:
    """Return a result as a NumPy array."""
    return array if isinstance(array, np.ndarray) else array.get()


class Strict:
    """A rung whose every call is also held to what the contract promises of all kernels.

    Inputs stay as they were; results are fresh, C-contiguous and of the input's dtype, or of that
    which is asked for; `out` is filled, whatever was in it, with the same bits, and returned.
    """

    def __init__(self, rung: str) -> None:
        with running(rung) as backend:
            self.backend: Backend = backend

    def __getattr__(self, name: str) -> Any:
        kernel = getattr(self.backend, name)

        def call(*args: Any) -> Any:
            arrays = [a for a in args if hasattr(a, "dtype") and hasattr(a, "flags")]
            named = [a for a in args if isinstance(a, np.dtype)]
            before = [a.copy() for a in arrays]
            result = kernel(*args)
            for a, b in zip(arrays, before, strict=True):
                np.testing.assert_array_equal(here(a), here(b), f"{name} changed its input")
            for r in result if isinstance(result, tuple) else (result,):
                assert r.flags.c_contiguous, name
                assert r.dtype in (named or [arrays[0].dtype, np.int32]), name
                assert not any(_overlap(r, a) for a in arrays), name
            if "out" in inspect.signature(kernel).parameters:
                unset = np.nan if "float" in str(result.dtype) else 77
                out = namespace(result).full_like(result, unset)
                assert kernel(*args, out=out) is out, name
                np.testing.assert_array_equal(here(out), here(result), f"{name} with out")
            return result

        return call


def _overlap(a: Any, b: Any) -> bool:
    return type(a) is type(b) and namespace(a).may_share_memory(a, b)


# ------------------------------------------------------------------------------ cases


@st.composite
def windows(draw: st.DrawFn, pooling: bool = False) -> Case:
    """Draw a window and an image it fits in, each axis on its own: nothing is square."""
    axes = []
    for _ in range(2):
        kernel, stride, dilation = (draw(st.integers(1, top)) for top in (4, 3, 3))
        padding = draw(st.integers(0, kernel // 2 if pooling else 3))
        # Pixels enough for one output; in pooling also for each window to hold a pixel.
        least = max(1, dilation * (kernel - 1) + 1 - 2 * padding, dilation if pooling else 1)
        axes.append((draw(st.integers(least, least + 5)), kernel, stride, padding, dilation))
    names = ("size", "kernel", "stride", "padding", "dilation")
    return dict(zip(names, zip(*axes, strict=True), strict=True))


def window(
    size: Any, kernel: Any, stride=(1, 1), padding=(0, 0), dilation=(1, 1), **more: Any
) -> Case:
    """Return a case by hand, in the form that `windows` draws."""
    geometry = {"size": size, "kernel": kernel, "stride": stride}
    return {**geometry, "padding": padding, "dilation": dilation, **more}


def merged(*parts: st.SearchStrategy[Case], **more: st.SearchStrategy[Any]) -> st.SearchStrategy:
    """Return cases that join the parts and the named values, with a seed for the arrays."""
    named = st.fixed_dictionaries({**more, "seed": st.integers(0, 999)})
    return st.tuples(*parts, named).map(lambda drawn: {k: v for d in drawn for k, v in d.items()})


def shapes(most: int, axes: int) -> st.SearchStrategy:
    """Return shapes of 1 to `axes` axes of 0 to `most` elements."""
    return st.lists(st.integers(0, most), min_size=1, max_size=axes).map(tuple)
