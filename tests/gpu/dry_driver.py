"""A driver that compiles and runs nothing, and remembers all that it was asked."""

from __future__ import annotations

from typing import Any, NamedTuple

import lengths
import numpy as np

from minicnn.errors import MiniCNNError
from minicnn.kernels.gpu._source import Parameter, Source


class Launch(NamedTuple):
    """One launch, as the driver got it."""

    module: Any
    kernel: str
    parameters: tuple[Parameter, ...]
    grid: tuple[int, ...]
    block: tuple[int, ...]
    shared: int
    args: list[Any]


class DryDriver:
    """Implements `_cuda.Driver`: arrays are NumPy's, and every kernel does nothing at all.

    Arrays that are not as long as the kernel says fail the launch.
    """

    def __init__(self, arch: str = "dry", log: str = "", refuse: tuple[bytes, ...] = ()) -> None:
        self.name, self.log, self.refuse = arch, log, refuse
        self.compiled: list[tuple[Source, tuple[str, ...]]] = []
        self.loaded: list[bytes] = []
        self.launches: list[Launch] = []

    def arch(self) -> str:
        return self.name

    def shared_limit(self) -> int:
        return 227 * 1024

    def place(self) -> object:
        return self

    def is_array(self, x: object) -> bool:
        return isinstance(x, np.ndarray)

    def empty(self, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        return np.zeros(shape, dtype)

    zeros = empty

    def compile(self, source: Source, options: tuple[str, ...]) -> bytes:
        self.compiled.append((source, options))
        if self.log:
            raise MiniCNNError(f"{source.name}: {self.log}. Mend it.")
        return f"code {len(self.compiled)} of {source.name}".encode()

    def load(self, code: bytes) -> Any:
        self.loaded.append(code)
        if code in self.refuse:
            raise RuntimeError("CUDA_ERROR_INVALID_IMAGE")
        return f"module {len(self.loaded)}"

    def launch(self, *call: Any) -> None:
        launch = Launch(*call)
        fault = lengths.wrong(launch.kernel, launch.parameters, launch.args)
        assert not fault, fault
        self.launches.append(launch)
