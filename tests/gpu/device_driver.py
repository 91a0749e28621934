"""Runs the GPU's kernels by the host's compiler on the memory behind a stand-in's arrays."""

from __future__ import annotations

from typing import Any

import fake_cupy
import host_driver


class DeviceDriver(host_driver.HostDriver):
    """Implements `_cuda.Driver` for the arrays of `fake_cupy`, and takes no others."""

    def is_array(self, x: object) -> bool:
        return isinstance(x, fake_cupy.ndarray)

    def empty(self, shape: tuple[int, ...], dtype: Any) -> Any:
        return fake_cupy.ndarray(super().empty(shape, dtype))

    def zeros(self, shape: tuple[int, ...], dtype: Any) -> Any:
        return fake_cupy.ndarray(super().zeros(shape, dtype))

    def launch(self, module: Any, kernel: str, parameters: Any, *rest: Any) -> None:
        *sizes, args = rest
        super().launch(module, kernel, parameters, *sizes, [fake_cupy._bare(a) for a in args])
