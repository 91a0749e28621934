"""What PyTorch code asks of `torch.cuda`: whether there is a GPU, which, and how full it is.

All of it answers without a GPU too; `why_not` says why there is none.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from minicnn.device import cupy_library, require_available
from minicnn.kernels import gpu_answers, why_no_gpu
from minicnn.kernels.errors import ArgumentError


def is_available() -> bool:
    """Whether tensors can be moved to a GPU."""
    return gpu_answers()


def why_not() -> str:
    """Why there is no GPU to compute on, and the command that mends it; "" if there is one."""
    return why_no_gpu()


def device_count() -> int:
    """How many GPUs answer."""
    return cupy_library().cuda.runtime.getDeviceCount() if is_available() else 0


def current_device() -> int:
    """The number of the GPU that "cuda" means in this thread."""
    return _on().id


def set_device(device: Any) -> None:
    """Let "cuda" mean this GPU from now on, in this thread."""
    _on(device).use()


@contextmanager
def device(device: Any) -> Iterator[None]:
    """Let "cuda" mean this GPU inside the block."""
    with _on(device):
        yield


def get_device_name(device: Any = None) -> str:
    """The GPU's name, such as "NVIDIA H100"."""
    name = _properties(device)["name"]
    return name.decode() if isinstance(name, bytes) else str(name)


def get_device_capability(device: Any = None) -> tuple[int, int]:
    """The compute capability, which decides what code it runs: (9, 0) is sm_90."""
    found = _properties(device)
    return int(found["major"]), int(found["minor"])


def synchronize(device: Any = None) -> None:
    """Wait until the GPU has finished all that was asked of it: before a clock is read."""
    _on(device).synchronize()


def mem_get_info(device: Any = None) -> tuple[int, int]:
    """Free and total bytes of the GPU's memory."""
    with _on(device):
        free, total = cupy_library().cuda.runtime.memGetInfo()
    return int(free), int(total)


def memory_allocated(device: Any = None) -> int:
    """The bytes that tensors take."""
    with _on(device):
        return int(cupy_library().get_default_memory_pool().used_bytes())


def memory_reserved(device: Any = None) -> int:
    """The bytes that tensors take, and those kept for the next ones."""
    with _on(device):
        return int(cupy_library().get_default_memory_pool().total_bytes())


def empty_cache() -> None:
    """Give memory that no tensor uses back to the driver; without a GPU nothing happens."""
    if is_available():
        cupy_library().get_default_memory_pool().free_all_blocks()


def manual_seed(seed: int) -> None:
    """Accepted, and without effect: `minicnn.manual_seed` seeds the draws of all devices."""


manual_seed_all = manual_seed


def _on(where: Any = None) -> Any:
    """CuPy's object for a GPU; the current one for None."""
    wanted = require_available("cuda" if where is None else where)
    if wanted.type != "cuda":
        raise ArgumentError(f'cuda: "{wanted}" is no GPU. Use "cuda", or its number.')
    return cupy_library().cuda.Device(wanted.index)


def _properties(where: Any) -> Any:
    return cupy_library().cuda.runtime.getDeviceProperties(_on(where).id)


__all__ = [
    "current_device", "device", "device_count", "empty_cache", "get_device_capability",
    "get_device_name", "is_available", "manual_seed", "manual_seed_all", "mem_get_info",
    "memory_allocated", "memory_reserved", "set_device", "synchronize", "why_not",
]  # fmt: skip
