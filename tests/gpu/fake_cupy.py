"""A stand-in for the module `cupy` on machines without a GPU: NumPy's memory behind CuPy's manners.

It has the functions of NumPy that CuPy has and no others, with CuPy's parameters, recorded from
CuPy 14.2 in `cupy_names.txt`. Its array refuses what CuPy's refuses: to become a NumPy array
unasked, to be mixed with one, to be used while another GPU is the current one. In one point it is
stricter: CuPy takes NumPy arrays as indices, and copies them in a[...] = b; this refuses both.

    with fake_cupy.installed(devices=2):      # `import cupy` finds it
        minicnn.zeros(3).to("cuda:1")
"""

from __future__ import annotations

import contextlib
import functools
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

IMPLICIT = (
    "Implicit conversion to a NumPy array is not allowed. "
    "Please use `.get()` to construct a NumPy array explicitly."
)
# The parameters of each function; None where they are not known.
SIGNATURES = {
    name: None if parameters in (["ufunc"], ["?"]) else parameters
    for name, *parameters in map(
        str.split, (Path(__file__).parent / "cupy_names.txt").read_text().splitlines()[1:]
    )
}
MAKERS = {"array", "asarray", "asanyarray", "ascontiguousarray"}  # these take NumPy arrays
METHODS = (
    "all", "any", "argmax", "argmin", "argsort", "cumprod", "cumsum", "max",
    "mean", "min", "prod", "ravel", "repeat", "reshape", "round", "searchsorted", "squeeze", "std",
    "sum", "swapaxes", "take", "trace", "transpose", "var", "view",
)  # fmt: skip
UNARY = ("abs", "invert", "neg", "pos")
BINARY = (
    "add", "and", "floordiv", "lshift", "matmul", "mod", "mul", "or", "pow", "rshift", "sub",
    "truediv", "xor", "eq", "ge", "gt", "le", "lt", "ne",
)  # fmt: skip


class _Runtime:
    """The state of the driver: how many GPUs there are, and which is current."""

    def __init__(self) -> None:
        self.devices, self.current, self.copies = 1, 0, 0


_state = _Runtime()


class Device:
    """`cupy.cuda.Device`."""

    compute_capability = "90"

    def __init__(self, device: int | None = None) -> None:
        self.id = _state.current if device is None else int(device)
        self._before: list[int] = []

    def __enter__(self) -> Device:
        self._before.append(_state.current)
        _state.current = self.id
        return self

    def __exit__(self, *_: object) -> None:
        _state.current = self._before.pop()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Device) and self.id == other.id

    def __hash__(self) -> int:
        return self.id

    def use(self) -> None:
        _state.current = self.id

    def synchronize(self) -> None:
        pass


class _Flags:
    """`cupy.ndarray.flags`: no `writeable` among them."""

    def __init__(self, flags: Any) -> None:
        self.c_contiguous, self.f_contiguous = flags.c_contiguous, flags.f_contiguous
        self.owndata = flags.owndata


class ndarray:
    """`cupy.ndarray`."""

    __array_priority__ = 100
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, memory: np.ndarray, device: int | None = None) -> None:
        self._memory = memory
        self.device = Device(device)

    # what it is
    shape = property(lambda self: self._memory.shape)
    dtype = property(lambda self: self._memory.dtype)
    ndim = property(lambda self: self._memory.ndim)
    size = property(lambda self: self._memory.size)
    itemsize = property(lambda self: self._memory.itemsize)
    nbytes = property(lambda self: self._memory.nbytes)
    strides = property(lambda self: self._memory.strides)
    flags = property(lambda self: _Flags(self._memory.flags))
    data = property(lambda self: types.SimpleNamespace(ptr=self._memory.ctypes.data))
    T = property(lambda self: _wrapped(_bare(self).T))
    mT = property(lambda self: _wrapped(_bare(self).mT))

    # ways out, all of them asked for
    def get(self) -> np.ndarray:
        _state.copies += 1
        return self._memory.copy()

    def item(self) -> Any:
        return self._memory.item()

    def copy(self) -> ndarray:
        """On the current GPU, wherever this is."""
        return ndarray(self._memory.copy())

    def astype(self, dtype: Any, order: str = "K", copy: bool = True) -> ndarray:
        if not copy and self.dtype == dtype:
            return self
        return ndarray(_bare(self).astype(dtype))

    def tolist(self) -> Any:
        return self._memory.tolist()

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        raise TypeError(IMPLICIT)

    def __dlpack__(self, **kwargs: Any) -> Any:
        return self._memory.__dlpack__()

    def __dlpack_device__(self) -> tuple[int, int]:
        return (2, self.device.id)

    def __bool__(self) -> bool:
        return bool(self._memory)

    def __int__(self) -> int:
        return int(self._memory)

    def __float__(self) -> float:
        return float(self._memory)

    def __format__(self, spec: str) -> str:
        return format(self._memory, spec)

    def __repr__(self) -> str:
        return repr(self._memory)

    # elements
    def __len__(self) -> int:
        return len(self._memory)

    def __getitem__(self, index: Any) -> Any:
        return _wrapped(_bare(self)[_bare(index)])

    def __setitem__(self, index: Any, value: Any) -> None:
        _bare(self)[_bare(index)] = _bare(value)

    def fill(self, value: Any) -> None:
        _bare(self).fill(value)

    # what NumPy's functions do with it
    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if method != "__call__" or ufunc.__name__ not in SIGNATURES:
            return NotImplemented
        if "out" in kwargs:
            (kwargs["out"],) = kwargs["out"]
        return function(ufunc.__name__)(*inputs, **kwargs)

    def __array_function__(self, func: Any, kinds: Any, args: Any, kwargs: Any) -> Any:
        if func.__module__ != "numpy" or func.__name__ not in SIGNATURES:
            return NotImplemented
        return function(func.__name__)(*args, **kwargs)


ndarray.__module__ = "cupy"


def _bare(value: Any, *, numpy_too: bool = False) -> Any:
    """`value` with NumPy's memory in place of our arrays; NumPy's own arrays are refused."""
    if isinstance(value, ndarray):
        if value.device.id != _state.current:
            raise ValueError(
                f"Array device must be same as the current device: array device = "
                f"{value.device.id} while current = {_state.current}"
            )
        return value._memory
    if isinstance(value, np.ndarray) and not numpy_too:
        raise TypeError(f"Unsupported type {np.ndarray}")
    if isinstance(value, list | tuple):
        return type(value)(_bare(item, numpy_too=numpy_too) for item in value)
    return value


def _wrapped(result: Any) -> Any:
    """NumPy's arrays, and its scalars too, as our arrays: CuPy has no scalars."""
    if isinstance(result, np.ndarray | np.generic):
        return ndarray(np.asarray(result))
    if isinstance(result, list | tuple) and any(isinstance(r, np.ndarray) for r in result):
        return type(result)(_wrapped(item) for item in result)
    return result


@functools.cache
def function(name: str) -> Callable[..., Any]:
    """The function `cupy.<name>`."""
    parameters, of_numpy = SIGNATURES[name], getattr(np, name)

    def called(*args: Any, **kwargs: Any) -> Any:
        if parameters is not None:
            most = len(parameters) if not any(p[0] == "*" for p in parameters) else sys.maxsize
            unknown = [k for k in kwargs if k not in parameters and "**kwargs" not in parameters]
            if len(args) > most or unknown:
                raise TypeError(f"cupy.{name} takes ({', '.join(parameters)}), got {unknown}")
        is_maker = name in MAKERS
        plain = [_bare(a, numpy_too=is_maker) for a in args]
        named = {k: _bare(v) for k, v in kwargs.items()}
        result = of_numpy(*plain, **named)
        if name == "broadcast_to":  # CuPy's result may be written to
            result = as_strided(plain[0], result.shape, result.strides)
        if is_maker and result is plain[0] and isinstance(args[0], np.ndarray):
            result = result.copy()  # from the CPU's memory into the GPU's
        if kwargs.get("out") is not None:
            return kwargs["out"]
        if isinstance(result, bool):  # allclose, array_equal
            result = np.asarray(result)
        return args[0] if is_maker and result is plain[0] else _wrapped(result)

    called.__name__ = name
    return called


def _method(name: str) -> Callable[..., Any]:
    def method(self: ndarray, *args: Any, **kwargs: Any) -> Any:
        return _wrapped(getattr(_bare(self), name)(*_bare(args), **kwargs))

    return method


def _operator(name: str) -> Callable[..., Any]:
    def operator(self: ndarray, *others: Any) -> Any:
        if others and not isinstance(others[0], ndarray | bool | int | float | np.generic):
            if isinstance(others[0], np.ndarray):
                raise TypeError(f"Unsupported type {np.ndarray}")
            return NotImplemented
        result = getattr(_bare(self), name)(*_bare(others))
        return self if result is self._memory else _wrapped(result)

    return operator


for _name in METHODS:
    setattr(ndarray, _name, _method(_name))
for _name in UNARY:
    setattr(ndarray, f"__{_name}__", _operator(f"__{_name}__"))
for _name in BINARY:
    setattr(ndarray, f"__{_name}__", _operator(f"__{_name}__"))
    if _name not in ("eq", "ge", "gt", "le", "lt", "ne"):
        setattr(ndarray, f"__r{_name}__", _operator(f"__r{_name}__"))
        if _name != "matmul":
            setattr(ndarray, f"__i{_name}__", _operator(f"__i{_name}__"))


class _Ogrid:
    def __getitem__(self, index: Any) -> Any:
        return _wrapped(np.ogrid[index])


def _module() -> types.ModuleType:
    module = types.ModuleType("cupy")
    values = {name: function(name) for name in SIGNATURES}
    values |= {name: getattr(np, name) for name in ("inf", "nan", "newaxis", "finfo", "iinfo")}
    kinds = "bool float16 float32 float64 int8 int16 int32 int64 uint8 uint16 uint32 uint64"
    values |= {name: getattr(np, name) for name in kinds.split(" ")}
    runtime = types.SimpleNamespace(
        getDeviceCount=lambda: _state.devices,
        getDevice=lambda: _state.current,
        getDeviceProperties=lambda i: {"name": b"Fake GPU", "major": 9, "minor": 0},
        memGetInfo=lambda: (3 << 30, 4 << 30),
        driverGetVersion=lambda: 13000,
        runtimeGetVersion=lambda: 12090,
    )
    pool = types.SimpleNamespace(
        used_bytes=lambda: 512, total_bytes=lambda: 1024, free_all_blocks=lambda: None
    )
    values |= {
        "__version__": "14.2.0",
        "ndarray": ndarray,
        "ogrid": _Ogrid(),
        "asnumpy": lambda a: a.get(),
        "from_dlpack": lambda source: ndarray(source._memory, source.device.id),
        "get_default_memory_pool": lambda: pool,
        "cuda": types.SimpleNamespace(
            Device=Device,
            runtime=runtime,
            nvrtc=types.SimpleNamespace(getVersion=lambda: (12, 9)),
        ),
    }
    vars(module).update(values)
    return module


@contextlib.contextmanager
def installed(devices: int = 1) -> Iterator[types.ModuleType]:
    """`import cupy` finds the stand-in, with so many GPUs, inside the block."""
    before, module = sys.modules.get("cupy"), _module()
    sys.modules["cupy"] = module
    _state.devices, _state.current, _state.copies = devices, 0, 0
    try:
        yield module
    finally:
        if before is None:
            del sys.modules["cupy"]
        else:
            sys.modules["cupy"] = before
