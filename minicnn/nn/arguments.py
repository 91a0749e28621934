"""What the layers share: their arguments checked, their weights drawn."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minicnn.errors import ArgumentError
from minicnn.nn import init
from minicnn.nn.module import Parameter


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
