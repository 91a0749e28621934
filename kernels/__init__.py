"""Floor 0: arrays in, arrays out, and the chooser between the rungs that compute them.

A rung is a package that offers some of `kernel_names()` under the same names and signatures:

    loops   the textbook's nested loops in plain Python (convolution, pooling, unfold)
    numpy   im2col and one matrix product; complete, so every other rung falls back to it
    numba   compiled, parallel CPU kernels; the default
    cupy    CUDA kernels on the GPU

    with use_backend("numpy"):          # or MINICNN_BACKEND=numpy, or set_default_backend("numpy")
        current_backend().conv2d(...)

The choice is a context variable: it holds for the `with` block in this thread only. A rung is
imported when its first kernel is asked for, so choosing is free and `numba` costs nothing unused.
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import Any, TypeAlias

import numpy

from .errors import ArgumentError

Array: TypeAlias = Any  # numpy.ndarray, or cupy.ndarray under the numpy and cupy rungs

_RUNGS = {
    "loops": "minicnn.kernels.reference.loops",
    "numpy": "minicnn.kernels.reference",
    "numba": "minicnn.kernels.cpu",
    "cupy": "minicnn.kernels.gpu",
}

_CPU_ONLY = ("loops", "numba")

_log = logging.getLogger("minicnn.kernels")


@cache
def kernel_names() -> tuple[str, ...]:
    """Return the names of all kernels: what the numpy rung, which is complete, exports."""
    return tuple(importlib.import_module(_RUNGS["numpy"]).__all__)


class Backend:
    """A rung, or any object with some of the kernels; what it lacks comes from the numpy rung.

    `backend.conv2d(...)` calls the kernel; `backend.source_of("relu")` names the rung it is from.
    """

    def __init__(self, name: str, implementation: object = None) -> None:
        self.name = name
        self._implementation = implementation  # None: a rung that is imported on first use
        self._told: set[str] = set()

    def __repr__(self) -> str:
        return f"Backend({self.name!r})"

    def __getattr__(self, kernel: str) -> Callable[..., Any]:
        if kernel not in kernel_names():
            raise AttributeError(f"backend {self.name!r} has no kernel {kernel!r}")
        source = self.source_of(kernel)
        if source == self.name:
            found = getattr(self._load(), kernel)
        else:
            if kernel not in self._told:
                self._told.add(kernel)
                _log.debug("backend %r has no %s: using the %s rung's", self.name, kernel, source)
            found = getattr(_rung(source), kernel)
        if self.name in _RUNGS:  # the next call finds it without coming here
            self.__dict__[kernel] = found
        return found

    def source_of(self, kernel: str) -> str:
        """Return the name of the rung that `backend.<kernel>` would run on."""
        return self.name if self.name == "numpy" or hasattr(self._load(), kernel) else "numpy"

    def beyond(self, name: str) -> Callable[..., Any] | None:
        """Return a function that the rung has beside the kernels, or None."""
        return getattr(self._load(), name, None)

    def _load(self) -> object:
        if self._implementation is None:
            self._implementation = importlib.import_module(_RUNGS[self.name])
        return self._implementation


_rungs: dict[str, Backend] = {}
_default: Backend | None = None
_chosen: ContextVar[Backend | None] = ContextVar("minicnn_backend", default=None)


def available_backends() -> tuple[str, ...]:
    """Return the names of the rungs that can run here, slowest first, without importing them.

    Where CuPy is installed it is imported, and asked for a GPU.
    """
    return tuple(name for name in _RUNGS if _is_here(name))


def current_backend() -> Backend:
    """Return the backend in force: of the innermost `use_backend`, else the default."""
    return _chosen.get() or _default or _rung(os.environ.get("MINICNN_BACKEND") or "numba")


@contextmanager
def use_backend(backend: str | Backend | object) -> Iterator[Backend]:
    """Run the block, in this thread, on a rung given by name, a `Backend`, or your own module.

    A module needs only some of the kernels. Raises ArgumentError for a name that is no rung.
    """
    token = _chosen.set(_resolve(backend))
    try:
        yield current_backend()
    finally:
        _chosen.reset(token)


def set_default_backend(backend: str | Backend | object) -> None:
    """Choose, for every thread, the backend outside `use_backend` (before: MINICNN_BACKEND)."""
    global _default
    _default = _resolve(backend)


def namespace(x: Array) -> Any:
    """Return the module whose functions take the array `x`: numpy, cupy, or what `x` names."""
    if type(x) is numpy.ndarray:
        return numpy
    if on_gpu(x):
        return sys.modules["cupy"]
    ask = getattr(x, "__array_namespace__", None)  # of arrays that keep to the array-API standard
    return numpy if ask is None else ask()


def on_gpu(x: object) -> bool:
    """Return whether `x` is an array in a GPU's memory, CuPy's."""
    kind = type(x)  # nearly always NumPy's, which the first question tells
    return kind is not numpy.ndarray and kind.__module__.partition(".")[0] == "cupy"


def backend_of(x: Array) -> Backend:
    """Return the backend that computes on the array `x`: the one in force, if it reaches `x`.

    The rungs "loops" and "numba" reach the CPU's memory only, and "cupy" the GPU's: for an array of
    the other memory "cupy" stands in for them, and "numba" for it.
    """
    if on_gpu(x):
        chosen = current_backend()
        return _rung("cupy") if chosen.name in _CPU_ONLY else chosen
    return backend_on_cpu()


def backend_on_cpu() -> Backend:
    """Return the backend that computes on the CPU's arrays, as `backend_of` one of them."""
    chosen = current_backend()
    return _rung("numba") if chosen.name == "cupy" else chosen


def why_no_gpu() -> str:
    """Return why no GPU computes here, and the command that mends it; "" if one does."""
    return importlib.import_module(_RUNGS["cupy"] + "._cupy").why_not()


def gpu_answers() -> bool:
    """Return whether a GPU computes here. Where CuPy is not installed, asking costs nothing."""
    installed = "cupy" in sys.modules or importlib.util.find_spec("cupy") is not None
    return installed and not why_no_gpu()


def _resolve(backend: object) -> Backend:
    if isinstance(backend, Backend):
        return backend
    if isinstance(backend, str):
        return _rung(backend)
    name = getattr(backend, "__name__", type(backend).__name__)
    if not any(hasattr(backend, kernel) for kernel in kernel_names()):
        raise ArgumentError(
            f"backend {name!r} has none of the kernels. Give it at least one function named "
            f"{', '.join(kernel_names()[:3])} or another of minicnn.kernels.kernel_names()."
        )
    return Backend(name, backend)


def _rung(name: str) -> Backend:
    if name in _rungs:
        return _rungs[name]
    if name not in _RUNGS:
        raise ArgumentError(f"unknown backend {name!r}. Use one of: {', '.join(_RUNGS)}.")
    if name == "cupy" and why_no_gpu():
        usable = ", ".join(available_backends())
        raise ArgumentError(f"backend 'cupy': {why_no_gpu()}. Or use one of: {usable}.")
    return _rungs.setdefault(name, Backend(name))


def _is_here(name: str) -> bool:
    if name == "cupy":
        return gpu_answers()
    spec = importlib.util.find_spec(_RUNGS[name])
    return spec is not None and spec.origin is not None  # a folder without code has no origin
