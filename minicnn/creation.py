"""Factories: tensors from data, constants, ranges and random numbers, under PyTorch's names.

Random numbers are drawn on the CPU and then copied, so that a seed gives the same ones anywhere.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from minicnn import dtypes, random
from minicnn.device import cupy_library, host, require_available, to_device
from minicnn.dtypes import get_default_dtype
from minicnn.errors import ArgumentError, DtypeError, ShapeError
from minicnn.tensor import Tensor

_DLPACK_CUDA = 2  # the protocol's number for a GPU's memory


def _finish(array: np.ndarray, device: Any, requires_grad: bool) -> Tensor:
    if device is not None:
        array = to_device(array, device)
    return Tensor(array, requires_grad=requires_grad)


def _shape(op: str, sizes: tuple[Any, ...]) -> tuple[int, ...]:
    if len(sizes) == 1 and isinstance(sizes[0], list | tuple):
        sizes = tuple(sizes[0])
    try:
        shape = tuple(int(n.__index__()) for n in sizes)
    except (AttributeError, TypeError):
        raise ArgumentError(
            f"{op}: sizes must be integers, got {sizes}. Write zeros(2, 3) or zeros((2, 3))."
        ) from None
    if any(n < 0 for n in shape):
        raise ShapeError(
            f"{op}: sizes must be >= 0, got {shape}."
            " Leave out a size, or give 0 for an empty tensor."
        )
    return shape


def _number(op: str, value: Any) -> Any:
    """`value` as a Python number, also from a NumPy scalar or a tensor of one element."""
    number = value.item() if isinstance(value, np.generic | Tensor) else value
    if not isinstance(number, bool | int | float):
        raise ArgumentError(
            f"{op}: expected a number, got {type(value).__name__}."
            " Give a Python number, such as 0.5."
        )
    return number


def _plain(data: Any) -> Any:
    """Nested sequences with the Tensors in them turned into arrays."""
    if isinstance(data, Tensor):
        return host(data.array)
    if isinstance(data, list | tuple):
        return [_plain(item) for item in data]
    return data


def tensor(
    data: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """A new tensor with a copy of `data`: numbers, nested sequences, arrays, tensors.

    Python floats become float32, integers int64; arrays keep their dtype, and a GPU's tensor its
    device unless another is given. Ragged or non-numeric data raises ShapeError or DtypeError.
    """
    if device is None and isinstance(data, Tensor):
        device = data.device
    if isinstance(data, Tensor | np.ndarray | np.generic):
        array = np.array(_plain(data), copy=True)
    else:
        try:
            array = np.array(_plain(data))
        except ValueError:
            raise ShapeError(
                "tensor: the nested sequences have different lengths."
                " Give every row the same length."
            ) from None
        if dtype is None and array.dtype == np.float64:
            array = array.astype(get_default_dtype() if _all_python_floats(data) else array.dtype)
    if array.dtype.kind not in "biuf":
        raise DtypeError(
            f"tensor: expected numbers, got {type(data).__name__} of {array.dtype}."
            " Convert it first, e.g. with data.astype('float32')."
        )
    wanted = dtypes.as_dtype(array.dtype if dtype is None else dtype, "tensor")
    return _finish(array.astype(wanted, copy=False), device, requires_grad)


def _all_python_floats(data: Any) -> bool:
    """Whether no NumPy or tensor value in `data` fixes the dtype to float64."""
    if isinstance(data, list | tuple):
        return all(_all_python_floats(item) for item in data)
    return not isinstance(data, np.ndarray | np.generic | Tensor) or data.dtype != np.float64


def as_tensor(data: Any, dtype: Any = None, device: Any = None) -> Tensor:
    """`data` as a tensor, sharing memory with arrays and tensors of the right dtype."""
    if isinstance(data, Tensor):
        return data.to(dtype=dtype, device=device)
    if isinstance(data, np.ndarray):
        return from_numpy(data).to(dtype=dtype, device=device)
    return tensor(data, dtype=dtype, device=device)


def from_numpy(array: np.ndarray) -> Tensor:
    """A tensor that shares the array's memory."""
    if not isinstance(array, np.ndarray):
        raise DtypeError(
            f"from_numpy: expected a numpy.ndarray, got {type(array).__name__}."
            " Use minicnn.tensor(...) for lists and numbers."
        )
    dtypes.as_dtype(array.dtype, "from_numpy")
    return Tensor(array)


def from_dlpack(source: Any) -> Tensor:
    """A tensor that shares the memory of another library's tensor, by the DLPack protocol."""
    if source.__dlpack_device__()[0] != _DLPACK_CUDA:
        return from_numpy(np.from_dlpack(source))
    require_available("cuda")
    array = cupy_library().from_dlpack(source)
    dtypes.as_dtype(array.dtype, "from_dlpack")
    return Tensor(array)


def full(
    size: Sequence[int],
    fill_value: Any,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """A tensor filled with one number, whose type decides the dtype unless given."""
    fill_value = _number("full", fill_value)
    if dtype is None:
        dtype = dtypes.result_type(fill_value)
    array = np.full(_shape("full", (size,)), fill_value, dtypes.as_dtype(dtype))
    return _finish(array, device, requires_grad)


def zeros(*size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """A tensor of zeros."""
    array = np.zeros(_shape("zeros", size), dtypes.as_dtype(dtype or get_default_dtype()))
    return _finish(array, device, requires_grad)


def ones(*size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """A tensor of ones."""
    array = np.ones(_shape("ones", size), dtypes.as_dtype(dtype or get_default_dtype()))
    return _finish(array, device, requires_grad)


def empty(*size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """A tensor whose elements are whatever the memory held."""
    array = np.empty(_shape("empty", size), dtypes.as_dtype(dtype or get_default_dtype()))
    return _finish(array, device, requires_grad)


def _like(x: Tensor, dtype: Any, device: Any) -> dict[str, Any]:
    """The dtype and device of a tensor like `x`, unless others were asked for."""
    return {"dtype": dtype or x.dtype, "device": x.device if device is None else device}


def zeros_like(
    x: Tensor, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Zeros in the shape, dtype and place of `x`."""
    return zeros(x.shape, **_like(x, dtype, device), requires_grad=requires_grad)


def ones_like(
    x: Tensor, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Ones in the shape, dtype and place of `x`."""
    return ones(x.shape, **_like(x, dtype, device), requires_grad=requires_grad)


def empty_like(
    x: Tensor, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Uninitialised memory in the shape, dtype and place of `x`."""
    return empty(x.shape, **_like(x, dtype, device), requires_grad=requires_grad)


def full_like(
    x: Tensor,
    fill_value: Any,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """One number in the shape, dtype and place of `x`."""
    return full(x.shape, fill_value, **_like(x, dtype, device), requires_grad=requires_grad)


def rand_like(
    x: Tensor, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Uniform random numbers in the shape, dtype and place of `x`."""
    return rand(x.shape, **_like(x, dtype, device), requires_grad=requires_grad)


def randn_like(
    x: Tensor, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Normal random numbers in the shape, dtype and place of `x`."""
    return randn(x.shape, **_like(x, dtype, device), requires_grad=requires_grad)


def arange(
    start: Any,
    end: Any = None,
    step: Any = 1,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """start, start+step, … below `end`; with one argument, 0 … argument-1."""
    if end is None:
        start, end = 0, start
    start, end, step = (_number("arange", v) for v in (start, end, step))
    if step == 0 or (end - start) / step < 0:
        raise ArgumentError(
            f"arange: the step {step} does not lead from {start} to {end}. Change its sign."
        )
    if dtype is None:
        dtype = dtypes.result_type(start, end, step)
    count = math.ceil((end - start) / step)
    array = (start + step * np.arange(count)).astype(dtypes.as_dtype(dtype))
    return _finish(array, device, requires_grad)


def linspace(
    start: float,
    end: float,
    steps: int,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """`steps` numbers evenly from `start` to `end`, both included."""
    array = np.linspace(start, end, steps).astype(dtypes.as_dtype(dtype or get_default_dtype()))
    return _finish(array, device, requires_grad)


def eye(
    n: int,
    m: int | None = None,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """The identity matrix (n, m)."""
    array = np.eye(n, m, dtype=dtypes.as_dtype(dtype or get_default_dtype()))
    return _finish(array, device, requires_grad)


def rand(
    *size: Any,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    generator: Any = None,
) -> Tensor:
    """Random numbers, uniform in [0, 1)."""
    wanted = dtypes.as_dtype(dtype or get_default_dtype())
    array = random.generator(generator).random(_shape("rand", size), wanted)
    return _finish(np.asarray(array), device, requires_grad)


def randn(
    *size: Any,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    generator: Any = None,
) -> Tensor:
    """Random numbers from the normal distribution of mean 0 and standard deviation 1."""
    wanted = dtypes.as_dtype(dtype or get_default_dtype())
    array = random.generator(generator).standard_normal(_shape("randn", size), wanted)
    return _finish(np.asarray(array), device, requires_grad)


def randint(
    low: int,
    high: Any = None,
    size: Any = None,
    *,
    dtype: Any = None,
    device: Any = None,
    generator: Any = None,
) -> Tensor:
    """Random integers from low to high-1; `randint(high, size)` starts at 0."""
    if size is None:
        low, high, size = 0, low, high
    array = random.generator(generator).integers(low, high, _shape("randint", (size,)))
    return _finish(np.asarray(array, dtypes.as_dtype(dtype or dtypes.int64)), device, False)


def randperm(n: int, *, device: Any = None, generator: Any = None) -> Tensor:
    """The integers 0 … n-1 in random order."""
    return _finish(random.generator(generator).permutation(n).astype(np.int64), device, False)
