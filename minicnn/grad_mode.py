"""Whether operations are recorded: on by default, off inside `no_grad`, per thread."""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, ClassVar

_grad_enabled: ContextVar[bool] = ContextVar("minicnn_grad_enabled", default=True)


def is_grad_enabled() -> bool:
    """Whether operations are being recorded on the tape right now (in this thread)."""
    return _grad_enabled.get()


class set_grad_enabled:
    """Turn recording on or off: at once when called, until the end of the block under `with`.

    Source: `torch.set_grad_enabled`.
    """

    def __init__(self, mode: bool) -> None:
        self._mode = bool(mode)
        self._before = [_grad_enabled.get()]
        _grad_enabled.set(self._mode)

    def __enter__(self) -> None:
        self._before.append(_grad_enabled.get())
        _grad_enabled.set(self._mode)

    def __exit__(self, *exc: object) -> None:
        self._before.pop()
        _grad_enabled.set(self._before[-1])


class _GradMode:
    """A block, and a decorator with or without brackets, inside which is recorded or not."""

    mode: ClassVar[bool]

    def __new__(cls, function: Callable | None = None) -> Any:
        return super().__new__(cls) if function is None else cls()(function)

    def __init__(self, function: None = None) -> None:
        self._before: list[bool] = []

    def __enter__(self) -> None:
        self._before.append(_grad_enabled.get())
        _grad_enabled.set(self.mode)

    def __exit__(self, *exc: object) -> None:
        _grad_enabled.set(self._before.pop())

    def __call__(self, function: Callable) -> Callable:
        @functools.wraps(function)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            with type(self)():
                return function(*args, **kwargs)

        return wrapped


class no_grad(_GradMode):
    """Inside the block (or decorated function) nothing is recorded: results need no gradient."""

    mode = False


class inference_mode(no_grad):
    """`no_grad` under the name that PyTorch users reach for when evaluating; False records."""

    def __new__(cls, function: Callable | bool | None = None) -> Any:
        if isinstance(function, bool):
            return no_grad() if function else enable_grad()
        return super().__new__(cls, function)


class enable_grad(_GradMode):
    """Record again inside a `no_grad` block."""

    mode = True
