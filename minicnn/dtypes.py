"""dtypes and PyTorch's promotion: what dtype the result of an operation on several operands has.

Three rules on top of NumPy's table, where the two differ:

1. The *category* decides first (bool < integer < float): int64 + float32 is float32, not float64.
2. Within a category an operand with dimensions outranks one without, and that outranks a Python or
   NumPy scalar: a float32 image times a float64 number stays float32.
3. Division of integers, and every function whose result is a real number, gives the default
   dtype, float32.

Source: the section "type promotion" of PyTorch's tensor attributes.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn.kernels.errors import DtypeError

bool_ = np.dtype("bool")
uint8 = np.dtype("uint8")
int8 = np.dtype("int8")
int16 = np.dtype("int16")
int32 = np.dtype("int32")
int64 = np.dtype("int64")
float16 = np.dtype("float16")
float32 = np.dtype("float32")
float64 = np.dtype("float64")

SUPPORTED = (bool_, uint8, int8, int16, int32, int64, float16, float32, float64)

_CATEGORY = {"b": 0, "u": 1, "i": 1, "f": 2}
_defaults = [bool_, int64, float32]  # by category: what a bare Python scalar stands for


def set_default_dtype(dtype: Any) -> None:
    """What Python floats, and functions of integers, become: float32 (at first) or float64."""
    found = as_dtype(dtype, "set_default_dtype")
    if found not in (float32, float64):
        raise DtypeError(
            f"set_default_dtype: expected float32 or float64, got {found}."
            " Use set_default_dtype(minicnn.float32)."
        )
    _defaults[2] = found


def get_default_dtype() -> np.dtype:
    """What Python floats, and functions of integers, become."""
    return _defaults[2]


def is_scalar(value: Any) -> bool:
    """Whether `value` is a real Python or NumPy scalar: weak in promotion."""
    if isinstance(value, np.generic):
        return value.dtype.kind in _CATEGORY
    return isinstance(value, bool | int | float)


def as_dtype(dtype: Any, op: str = "dtype") -> np.dtype:
    """`dtype` as one of the supported NumPy dtypes, or a DtypeError that lists them."""
    try:
        found = None if dtype is None else np.dtype(dtype)
    except TypeError:
        found = None
    if found is None or found not in SUPPORTED:  # NumPy calls None equal to float64
        names = ", ".join(str(d) for d in SUPPORTED)
        raise DtypeError(f"{op}: {dtype!r} is not a supported dtype. Use one of {names}.")
    return found


def is_floating(dtype: np.dtype) -> bool:
    """Whether `dtype` is a floating-point one: only those can require gradients."""
    return dtype.kind == "f"


def can_cast(source: np.dtype, target: np.dtype) -> bool:
    """Whether a result of dtype `source` may be stored in place as `target`: no lower category."""
    return _CATEGORY[source.kind] <= _CATEGORY[target.kind]


def result_type(*operands: Any) -> np.dtype:
    """The dtype of an elementwise result. Operands: things with `dtype` and `ndim`, or scalars."""
    # priority 2: has dimensions, 1: zero-dimensional tensor, 0: scalar
    ranked = []
    for operand in operands:
        if is_scalar(operand):
            kind = np.asarray(operand).dtype.kind
            ranked.append((0, _defaults[_CATEGORY[kind]]))
        else:
            ranked.append((2 if operand.ndim else 1, operand.dtype))
    category = max(_CATEGORY[dtype.kind] for _, dtype in ranked)
    within = [(rank, dtype) for rank, dtype in ranked if _CATEGORY[dtype.kind] == category]
    top = max(rank for rank, _ in within)
    found = [dtype for rank, dtype in within if rank == top]
    return found[0] if len(found) == 1 else np.result_type(*found)


def float_result_type(*operands: Any) -> np.dtype:
    """`result_type`, with integers and booleans turned into the default, float32."""
    dtype = result_type(*operands)
    return dtype if is_floating(dtype) else get_default_dtype()
