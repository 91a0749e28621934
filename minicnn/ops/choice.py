"""Choosing between values, element by element: where a condition holds, or within bounds."""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn import dtypes
from minicnn.autograd import Function, Variable
from minicnn.kernels import namespace
from minicnn.kernels.errors import ArgumentError, DtypeError, ShapeError
from minicnn.ops.elementwise import cast, operands, unbroadcast


class ClampFunction(Function):
    """min(max(x, low), high); the slope is 1 from low to high, both included, and 0 outside."""

    @staticmethod
    def forward(ctx, x, low, high):
        if ctx.needs_input_grad[0]:
            inside = namespace(x).ones(x.shape, bool)
            if low is not None:
                inside &= x >= low
            if high is not None:
                inside &= x <= high
            ctx.save_for_backward(inside)
        return np.clip(x, low, high)

    @staticmethod
    def backward(ctx, dy):
        (inside,) = ctx.saved_tensors
        return dy * inside, None, None


def clamp(x: Variable, min: float | None = None, max: float | None = None) -> Any:
    """`x` limited to [min, max]; either may be None. min > max gives max everywhere."""
    bounds = [bound for bound in (min, max) if bound is not None]
    if not bounds:
        raise ArgumentError(
            "clamp: at least one of min and max must be given. Write clamp(x, min=0)."
        )
    if not all(dtypes.is_scalar(bound) for bound in bounds):
        names = ", ".join(type(bound).__name__ for bound in bounds)
        raise DtypeError(
            f"clamp: the bounds must be numbers, got {names}. For tensors use maximum and minimum."
        )
    dtype = dtypes.result_type(x.array, *bounds)
    low, high = (None if bound is None else dtype.type(bound) for bound in (min, max))
    return ClampFunction.apply(cast(x, dtype), low, high)


class WhereFunction(Function):
    """a where the condition holds, else b."""

    @staticmethod
    def forward(ctx, condition, a, b):
        ctx.shapes = np.shape(a), np.shape(b)
        ctx.save_for_backward(condition)
        return np.where(condition, a, b)

    @staticmethod
    def backward(ctx, dy):
        (condition,) = ctx.saved_tensors
        da = db = None
        if ctx.needs_input_grad[1]:
            da = unbroadcast(np.where(condition, dy, dy.dtype.type(0)), ctx.shapes[0])
        if ctx.needs_input_grad[2]:
            db = unbroadcast(np.where(condition, dy.dtype.type(0), dy), ctx.shapes[1])
        return None, da, db


def where(condition: Variable, a: Any, b: Any) -> Any:
    """`a` where `condition` is True, `b` elsewhere; all three broadcast."""
    if not isinstance(condition, Variable):
        raise DtypeError(
            f"where: the condition must be a Tensor, got {type(condition).__name__}."
            " Compare tensors, as in where(x > 0, x, 0)."
        )
    a, b = operands("where", a, b)
    shapes = [x.array.shape for x in (condition, a, b) if isinstance(x, Variable)]
    try:
        np.broadcast_shapes(*shapes)
    except ValueError:
        listed = ", ".join(str(shape) for shape in shapes)
        raise ShapeError(
            f"where: shapes {listed} do not broadcast."
            " Sizes must be equal or 1, counted from the last axis."
        ) from None
    if not isinstance(a, Variable) and not isinstance(b, Variable):
        dtype = dtypes.result_type(a, b)
        return Variable.result_class(np.where(condition.array, dtype.type(a), dtype.type(b)))
    return WhereFunction.apply(condition, a, b)
