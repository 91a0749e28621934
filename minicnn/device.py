"""Where a tensor's memory is: the CPU's, or a GPU's ("cuda"), and the way from one to the other.

A GPU's arrays are CuPy's. Nothing here imports CuPy before somebody asks for a GPU: without one,
`import minicnn` costs what it always did. Why there is no GPU, `minicnn doctor` says.
"""

from __future__ import annotations

import importlib
import re
import sys
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np

from minicnn.kernels import gpu_answers, on_gpu, why_no_gpu
from minicnn.kernels.errors import ArgumentError

Array = Any  # numpy.ndarray or cupy.ndarray


class device:
    """A place for tensors, compared by type and index: `minicnn.device("cuda:0")`.

    "cuda" alone is the current GPU (`minicnn.cuda.set_device`); a number n is "cuda:n". Source:
    `torch.device`. Raises ArgumentError for an unknown name.
    """

    __slots__ = ("index", "type")
    type: str
    index: int | None

    def __init__(self, kind: str | int | device = "cpu", index: int | None = None) -> None:
        if isinstance(kind, int) and not isinstance(kind, bool):
            kind = f"cuda:{kind}"
        match = re.fullmatch(r"(cpu|cuda)(?::(\d+))?", str(kind))  # of a device too: "cuda:0"
        if match is None:
            raise ArgumentError(f'device: "{kind}" is not a device. Use "cpu" or "cuda".')
        self.type = match[1]
        if match[2] and index is not None:
            raise ArgumentError(
                f'device: "{kind}" has a number already, and got index={index}. Leave one out.'
            )
        self.index = int(match[2]) if match[2] else index

    def __eq__(self, other: object) -> bool:
        return isinstance(other, device) and (self.type, self.index) == (other.type, other.index)

    def __hash__(self) -> int:
        return hash((self.type, self.index))

    def __str__(self) -> str:
        return self.type if self.index is None else f"{self.type}:{self.index}"

    def __repr__(self) -> str:
        index = "" if self.index is None else f", index={self.index}"
        return f"device(type='{self.type}'{index})"


CPU = device("cpu")
_HERE = nullcontext()


def is_device(value: Any) -> bool:
    """Whether `value` names a device: what `.to` tells from a dtype."""
    return isinstance(value, device) or (
        isinstance(value, str) and value.partition(":")[0] in ("cpu", "cuda")
    )


def require_available(where: Any) -> device:
    """`where` as a device on which arrays can be made, or an ArgumentError with the remedy."""
    found = device(where)
    if found.type == "cpu":
        return found
    problem = why_no_gpu()
    if problem:
        raise ArgumentError(f'device: "{found}" is not available: {problem}. Or use device="cpu".')
    count = cupy_library().cuda.runtime.getDeviceCount()
    if found.index is not None and found.index >= count:
        raise ArgumentError(
            f'device: "{found}" is not there: the driver lists {count}, counted from 0. '
            f'Use "cuda:{count - 1}" or less.'
        )
    return found


def exact_device(where: Any) -> device:
    """`require_available`, with "cuda" as the number of the GPU that it means now."""
    found = require_available(where)
    if found.type == "cuda" and found.index is None:
        return device("cuda", cupy_library().cuda.runtime.getDevice())
    return found


def chosen_device(where: Any) -> device:
    """`require_available`, and "auto" for the GPU if there is one, else the CPU."""
    if isinstance(where, str) and where == "auto":
        return device("cuda") if gpu_answers() else CPU
    return require_available(where)


# ---------------------------------------------------------------------------------- arrays


def device_of(array: Array) -> device:
    """Where the memory of an array is."""
    return device("cuda", array.device.id) if on_gpu(array) else CPU


def to_device(array: Array, where: Any) -> Array:
    """`array` in the memory of a device: itself if it is there already, else a copy."""
    target = exact_device(where)
    if target.type == "cpu":
        return host(array)
    if device_of(array) == target:
        return array
    with cupy_library().cuda.Device(target.index) as there:
        if not on_gpu(array):
            return cupy_library().asarray(array)
        array.device.synchronize()  # a copy is queued behind the work of one GPU only: there
        copy = array.copy()
        there.synchronize()  # before the first one's memory is used again
        return copy


def host(array: Array) -> np.ndarray:
    """`array` in the CPU's memory, where NumPy and files can have it."""
    return array.get() if on_gpu(array) else array


def beside(array: Array, other: Array) -> Array:
    """`array` in the memory where `other` is: how numbers drawn on the CPU reach a GPU's tensor."""
    if type(array) is np.ndarray and type(other) is np.ndarray:
        return array
    return to_device(array, device_of(other))


def common_device(op: str, **arrays: Array | None) -> device:
    """The device that all arrays are on, or an ArgumentError that names where each is."""
    places = {name: device_of(array) for name, array in arrays.items() if array is not None}
    first, *others = places.values()
    if any(place != first for place in others):
        where = ", ".join(f"{name} is on {place}" for name, place in places.items())
        target = next(place for place in places.values() if place.type == "cuda")
        raise ArgumentError(
            f"{op}: expected all tensors on one device, but {where}. "
            f'Move them with .to("{target}").'
        )
    return first


def computing_on(array: Array) -> AbstractContextManager[Any]:
    """A block in which new arrays lie, and kernels run, where `array` is."""
    return array.device if on_gpu(array) else _HERE


def cupy_library() -> Any:
    """The module `cupy`, for those who know that a GPU is there (`require_available`)."""
    return sys.modules.get("cupy") or importlib.import_module("cupy")
