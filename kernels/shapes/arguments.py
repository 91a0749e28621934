"""Arguments of an op as plain integers, one per axis."""

from __future__ import annotations

import numbers
import operator
from typing import Any

from ..errors import ArgumentError
from .formulas import Pair

LARGEST = 2**31 - 1  # pixels; kernels count them in 64 bits, with room to multiply
PADDINGS = ("valid", "same", "keras_same")


def flag(value: Any, name: str, *, op: str) -> bool:
    """Return `value`, a bool; 1, None and NumPy's booleans are refused, as PyTorch refuses them."""
    if not isinstance(value, bool):
        raise ArgumentError(
            f"{op}: {name} must be a bool, got {value!r}. Use {name}=True or {name}=False."
        )
    return value


def integer(value: Any, name: str, *, op: str) -> int:
    """Return `value` as an int; 2.0 and True are refused, as PyTorch refuses them."""
    try:
        if not isinstance(value, bool):
            return operator.index(value)
    except TypeError:  # also of an array of several numbers, which has an __index__
        pass
    raise ArgumentError(f"{op}: {name} must be an integer, got {value!r}. Use {name}=1.")


def number(value: Any, name: str, *, op: str) -> float:
    """Return `value`, a Python or NumPy number, as a float."""
    if not isinstance(value, numbers.Real):
        raise ArgumentError(
            f"{op}: {name} must be a number, got {value!r}. Leave it out to take the default."
        )
    return float(value)


def integers(value: Any, count: int, name: str, *, op: str) -> tuple[int, ...]:
    """Return `value`, one integer for all `count` axes or one for each, as a tuple."""
    values = tuple(value) if isinstance(value, (tuple, list)) else (value,)
    try:
        if len(values) in (1, count) and not any(isinstance(v, bool) for v in values):
            given = tuple(operator.index(v) for v in values)
            if max(map(abs, given)) > LARGEST:
                raise ArgumentError(
                    f"{op}: {name} {value!r} is beyond any image. Use at most {LARGEST}."
                )
            return given if len(given) == count else given * count
    except TypeError:
        pass
    wanted, *axes = {
        1: ("an integer",),
        2: ("an integer or two", "(2, 1) for height and width"),
        3: ("an integer or three", "(3, 2, 1) for depth, height and width"),
    }[count]
    remedy = " or ".join([f"{name}=2", *(f"{name}={example}" for example in axes)])
    raise ArgumentError(f"{op}: {name} must be {wanted}, got {value!r}. Use {remedy}.")


def padding_argument(value: Any, count: int, *, op: str) -> str | tuple[int, ...]:
    """Return a convolution's padding, a name or one integer or `count`, as a name or a tuple."""
    if not isinstance(value, str):
        return integers(value, count, "padding", op=op)
    if value not in PADDINGS:
        names = ", ".join(f'"{name}"' for name in PADDINGS)
        raise ArgumentError(
            f"{op}: padding must be integers or one of {names}, got {value!r}. Use padding=0."
        )
    return value


def pair(value: Any, name: str, *, op: str) -> Pair:
    """Return `value`, one integer for both axes or two, as (height, width)."""
    height, width = integers(value, 2, name, op=op)
    return height, width
