"""What the layers share: their arguments checked and named, their weights drawn."""

from __future__ import annotations

import functools
import math
from types import FunctionType
from typing import Any

import numpy as np

from minicnn.errors import ArgumentError
from minicnn.nn import init
from minicnn.nn.module import Module, Parameter


def fan_in_uniform(parameter: Parameter, fan_in: int) -> None:
    """PyTorch's default start: U(-1/√fan_in, 1/√fan_in), which is kaiming_uniform_ with a = √5."""
    bound = 1 / math.sqrt(fan_in) if fan_in else 0.0
    init.uniform_(parameter, -bound, bound)


def require_positive(layer: str, **values: Any) -> None:
    """Raise ArgumentError unless each value is an integer of at least 1."""
    for name, value in values.items():
        if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < 1:
            raise ArgumentError(
                f"{layer}: {name} must be an integer of at least 1, got {value!r}. Use {name}=1."
            )


def name_constructor(layer: type[Module]) -> None:
    """Let `layer` have the `__init__` that it shares with others under its own name.

    Python's errors say what a function is called: of Conv2d(3, 4, 3, strides=2) that
    Conv2d.__init__() got an unexpected keyword, not a base class that nobody wrote down.
    """
    shared: Any = layer.__init__
    own: Any = FunctionType(
        shared.__code__, shared.__globals__, "__init__", shared.__defaults__, shared.__closure__
    )
    functools.update_wrapper(own, shared)
    own.__kwdefaults__ = shared.__kwdefaults__
    own.__qualname__ = f"{layer.__qualname__}.__init__"
    layer.__init__ = own  # type: ignore[method-assign]
