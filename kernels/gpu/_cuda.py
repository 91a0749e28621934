"""Launching a kernel of a .cu file: compiled once, its arguments checked against its signature.

    launch("unfold", "unfold", grid, block, x, cols, N, H, ...)   a kernel of unfold.cu
    spread("activation", "silu", x.size, x, y, x.size)            one thread per item
    empty(shape, dtype), zeros(shape, dtype)                      arrays on the device

What compiles, loads and runs is the *driver*: CuPy's, unless `use_driver` puts another in its
place, as the tests do on machines without a GPU. CuPy is imported with the first launch.

A compiled kernel is good for one architecture, one REAL (float or double) and one set of defines.
It is kept in memory, and on disk beside the compiled kernels of the CPU.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import Any, Protocol, TypeAlias

import numpy as np

from .. import Array
from ..errors import ArgumentError, DtypeError
from . import _cubins, _source
from ._source import Parameter, Source

Size: TypeAlias = int | tuple[int, ...]
Triple: TypeAlias = tuple[int, int, int]
Argument: TypeAlias = Any  # an array, a list of arrays (a table of pointers), a number, or None

THREADS = 256  # of a block, where nothing asks for another number: 8 warps

_GRID = (2**31 - 1, 65535, 65535)  # CUDA's limits on all architectures
_BLOCK, _BLOCK_THREADS = (1024, 1024, 64), 1024
_C_NAMES = {"float32": "float", "float64": "double"}
_DTYPES = {
    "float": "float32", "double": "float64", "bool": "bool",
    "signed char": "int8", "unsigned char": "uint8", "short": "int16", "unsigned short": "uint16",
    "int": "int32", "unsigned": "uint32", "unsigned int": "uint32",
    "long long": "int64", "unsigned long long": "uint64",
}  # fmt: skip
_KINDS = {name: np.dtype(name).type for name in (*_C_NAMES, *_DTYPES.values())}
_LIMITS = {"bool": (0, 1)} | {
    name: (int(np.iinfo(kind).min), int(np.iinfo(kind).max))
    for name, kind in _KINDS.items()
    if np.issubdtype(kind, np.integer)
}


class Driver(Protocol):
    """What a launch needs from the machine."""

    def arch(self) -> str:
        """Return what the code is compiled for: machine code "sm_90", PTX "compute_90", or other.

        It is part of the name in the cache.
        """

    def shared_limit(self) -> int:
        """Return how many bytes of shared memory a block may ask for."""

    def compile(self, source: Source, options: tuple[str, ...]) -> bytes:
        """Return the compiled code. Raises MiniCNNError with the compiler's own words."""

    def load(self, code: bytes) -> Any:
        """Return a module from what `compile` returned; any error means that it is damaged."""

    def launch(
        self, module: Any, kernel: str, parameters: tuple[Parameter, ...],
        grid: Triple, block: Triple, shared: int, args: list[Argument],
    ) -> None:  # fmt: skip
        """Run a kernel. Numbers come as NumPy scalars, arrays as they were given."""

    def is_array(self, x: object) -> bool:
        """Return whether x lies where the kernels run."""

    def empty(self, shape: tuple[int, ...], dtype: Any) -> Array:
        """Return an uninitialised array."""

    def zeros(self, shape: tuple[int, ...], dtype: Any) -> Array:
        """Return an array of zeros."""

    def place(self) -> object:
        """Return what a loaded module belongs to: the current device."""


_chosen: ContextVar[Driver | None] = ContextVar("minicnn_cuda_driver", default=None)
_modules: dict[tuple[Any, ...], Any] = {}
_loading = threading.Lock()


def driver() -> Driver:
    """Return the driver in force: of the innermost `use_driver`, else CuPy's."""
    return _chosen.get() or _of_cupy()


@cache
def _of_cupy() -> Driver:
    from ._cupy import CupyDriver

    return CupyDriver()


@contextmanager
def use_driver(other: Driver) -> Iterator[Driver]:
    """Compile, load and run by another driver inside the block, in this thread."""
    token = _chosen.set(other)
    try:
        yield other
    finally:
        _chosen.reset(token)


def empty(shape: Size, dtype: Any) -> Array:
    """Return an uninitialised C-contiguous array on the device."""
    return driver().empty(shape if isinstance(shape, tuple) else (shape,), dtype)


def zeros(shape: Size, dtype: Any) -> Array:
    """Return a C-contiguous array of zeros on the device."""
    return driver().zeros(shape if isinstance(shape, tuple) else (shape,), dtype)


def spread(
    source: str, kernel: str, count: int, *args: Argument, block: int = THREADS, **more: Any
) -> None:
    """Launch at least `count` threads in one row; none, and no kernel, for a count of 0."""
    if count:
        launch(source, kernel, -(-count // block), block, *args, **more)


def launch(
    source: str,
    kernel: str,
    grid: Size,
    block: Size,
    *args: Argument,
    shared: int = 0,
    real: Any = None,
    **defines: int | str,
) -> None:
    """Run `kernel` of `<source>.cu` on grid x block threads, with `args` in its signature's order.

    An argument is a C-contiguous array (of the very dtype that the signature names), a list of
    arrays for a `T *const *`, a number, or None for a null pointer. REAL is `real`, else the dtype
    of the first array given for one. `defines` become constants of the source. `shared` is the
    dynamic shared memory in bytes. Raises ArgumentError or DtypeError, naming the parameter.
    """
    text, machine = _source.read(source), driver()
    parameters = text.kernel(kernel)
    where = f"{text.name}, {kernel}"
    blocks, threads = _triple(where, "grid", grid, _GRID), _triple(where, "block", block, _BLOCK)
    if threads[0] * threads[1] * threads[2] > _BLOCK_THREADS:
        raise ArgumentError(
            f"{where}: a block of {threads} has more than {_BLOCK_THREADS} threads. Use fewer."
        )
    if shared and not 0 < shared <= machine.shared_limit():
        raise ArgumentError(
            f"{where}: {shared} bytes of shared memory, but a block has {machine.shared_limit()} "
            f"on {machine.arch()}. Use smaller tiles."
        )
    if len(args) != len(parameters):
        raise ArgumentError(
            f"{where}: {len(args)} arguments for {len(parameters)} parameters. "
            f"Pass ({', '.join(map(str, parameters))})."
        )
    is_real = _real(parameters, args) if real is None else np.dtype(real).name
    checked = [
        _checked(where, machine, parameter, is_real, argument)
        for parameter, argument in zip(parameters, args, strict=True)
    ]
    module = _module(machine, text, is_real, defines)
    machine.launch(module, kernel, parameters, blocks, threads, shared, checked)


def options(real: str, defines: dict[str, int | str]) -> tuple[str, ...]:
    """Return the compiler's options for a REAL ("float32", "float64") and the defines."""
    named = {"REAL": _C_NAMES[real], **defines}
    return tuple(f"-D{name}={int(v) if isinstance(v, bool) else v}" for name, v in named.items())


# ------------------------------------------------------------------------------ compiled code


def _module(machine: Driver, text: Source, real: str, defines: dict[str, int | str]) -> Any:
    key = (type(machine), machine.place(), text.name, text.digest, real, *sorted(defines.items()))
    module = _modules.get(key)
    if module is None:
        with _loading:
            module = _modules.get(key)
            if module is None:
                module = _modules[key] = _cubins.module(machine, text, options(real, defines))
    return module


# ------------------------------------------------------------------------------ arguments


def _triple(where: str, what: str, size: Size, limits: Triple) -> Triple:
    sizes = (*size, 1, 1)[:3] if isinstance(size, tuple) else (size, 1, 1)
    if not all(1 <= n <= most for n, most in zip(sizes, limits, strict=True)):
        raise ArgumentError(
            f"{where}: a {what} of {size}. Use sizes from 1 to {limits}; launch nothing for none."
        )
    return sizes  # type: ignore[return-value]


def _real(parameters: tuple[Parameter, ...], args: tuple[Argument, ...]) -> str:
    """Return the dtype of the first array that is passed for REAL; float32 if there is none."""
    for parameter, argument in zip(parameters, args, strict=True):
        if parameter.type == "REAL" and parameter.stars:
            first = argument[0] if isinstance(argument, list) and argument else argument
            name = str(getattr(first, "dtype", ""))
            if name in _C_NAMES:
                return name
    return "float32"


def _checked(
    where: str, machine: Driver, parameter: Parameter, real: str, argument: Argument
) -> Argument:
    dtype = real if parameter.type == "REAL" else _DTYPES.get(parameter.type)
    if dtype is None:
        known = ", ".join(("REAL", *_DTYPES))
        raise ArgumentError(f"{where}: {parameter}: no such type here. Use one of: {known}.")
    if parameter.stars == 0:
        return _number(where, parameter, dtype, argument)
    if argument is None:
        return None
    if parameter.stars == 1:
        return _array(where, machine, parameter, dtype, argument)
    if not isinstance(argument, list):
        raise ArgumentError(
            f"{where}: {parameter} is a {type(argument).__name__}. Pass a list of arrays."
        )
    return [_array(where, machine, parameter, dtype, item) for item in argument]


def _array(where: str, machine: Driver, parameter: Parameter, dtype: str, x: Any) -> Array:
    if not machine.is_array(x):
        kind = f"{type(x).__module__.partition('.')[0]}.{type(x).__name__}"
        raise ArgumentError(
            f"{where}: {parameter} is a {kind}, which does not lie on the device. "
            "Pass an array that does, or None for a null pointer."
        )
    if x.dtype != dtype:
        raise DtypeError(f"{where}: {parameter} is {x.dtype}, not {dtype}. Convert it first.")
    if not x.flags.c_contiguous:
        raise ArgumentError(
            f"{where}: {parameter} {x.shape} is not contiguous. Copy it: ascontiguousarray."
        )
    return x


def _number(where: str, parameter: Parameter, dtype: str, value: Any) -> Any:
    limits = _LIMITS.get(dtype)
    try:
        if limits is not None:
            if type(value) is not int:
                whole = int(value)
                if whole != value:
                    raise ValueError
                value = whole
            if not limits[0] <= value <= limits[1]:  # NumPy would wrap some without a word
                raise ValueError
        return _KINDS[dtype](value)
    except (TypeError, ValueError, OverflowError):
        raise ArgumentError(
            f"{where}: {parameter} is {value!r:.80}, which is no {dtype}. Pass a number that is."
        ) from None
