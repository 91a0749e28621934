"""Losses element by element: binary cross-entropy, and distances between numbers."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from minicnn import dtypes
from minicnn.autograd import Function, Variable
from minicnn.device import common_device, computing_on, host
from minicnn.kernels.errors import ArgumentError, DtypeError, ShapeError
from minicnn.ops import elementwise
from minicnn.ops import reduce as reductions
from minicnn.ops.elementwise import cast, div, mul, require_float, sub
from minicnn.ops.loss import constant, reduce_losses, reduction_of, require_tensors


class BCEFunction(Function):
    """loss = -t·log p - (1-t)·log(1-p), each logarithm at least -100, so that it stays finite.

    dp = (p - t)/(p·(1-p)), dt = log(1-p) - log p.
    """

    @staticmethod
    def forward(ctx, p, t):
        ctx.save_for_backward(p, t)
        least = p.dtype.type(-100)
        return (t - 1) * np.maximum(np.log1p(-p), least) - t * np.maximum(np.log(p), least)

    @staticmethod
    def backward(ctx, dloss):
        p, t = ctx.saved_tensors
        dp = dt = None
        if ctx.needs_input_grad[0]:
            dp = dloss * (p - t) / np.maximum((1 - p) * p, p.dtype.type(1e-12))
        if ctx.needs_input_grad[1]:
            dt = dloss * (np.log1p(-p) - np.log(p))
        return dp, dt


def binary_cross_entropy(
    input: Variable,
    target: Variable,
    weight: Variable | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Any:
    """-t·log p - (1-t)·log(1-p), for probabilities p and targets t; logarithms are at least -100.

    Args:
        input: probabilities, as from a sigmoid; float32 or float64.
        target: numbers from 0 to 1, of the same shape and dtype.
        weight: a constant that multiplies the losses; it broadcasts to their shape.
        reduction: "mean" (over elements, weights not counted), "sum" or "none".

    For logits, `binary_cross_entropy_with_logits` keeps the digits that a sigmoid loses.
    """
    op = "binary_cross_entropy"
    require_tensors(op, input=input, target=target)
    reduction = reduction_of(op, reduction, size_average, reduce)
    _require_one_shape(op, input, target)
    require_float(op, input, target=target)
    for name, array in (("input", input.array), ("target", target.array)):
        with computing_on(array):
            outside = ~((array >= 0) & (array <= 1))  # NaN is outside too
            wrong = host(array[outside])
        if wrong.size:
            raise ArgumentError(
                f"{op}: {name} must be probabilities from 0 to 1, got {wrong[0]}. "
                "For logits use binary_cross_entropy_with_logits."
            )
    return _weighted(op, BCEFunction.apply(input, target), weight, reduction)


class BCEWithLogitsFunction(Function):
    """loss = (1-t)·x + w·log(1+exp(-x)), w = 1 + (pos_weight-1)·t.

    dx = (1-t) - w·(1-σ(x)), dt = -x + (pos_weight-1)·log(1+exp(-x)).
    """

    @staticmethod
    def forward(ctx, x, t, pos_weight):
        ctx.pos_weight = pos_weight
        ctx.save_for_backward(x, t)
        return (1 - t) * x + _label_weight(t, pos_weight) * _softplus(-x)

    @staticmethod
    def backward(ctx, dloss):
        x, t = ctx.saved_tensors
        dx = dt = None
        if ctx.needs_input_grad[0]:
            below = (1 - np.tanh(x * 0.5)) * 0.5  # 1 - σ(x)
            dx = ((1 - t) - _label_weight(t, ctx.pos_weight) * below) * dloss
        if ctx.needs_input_grad[1]:
            extra = 0 if ctx.pos_weight is None else (ctx.pos_weight - 1) * _softplus(-x)
            dt = (extra - x) * dloss
        return dx, dt, None


def _softplus(x: Any) -> Any:
    """log(1 + exp(x)), where exp cannot overflow."""
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def _label_weight(t: Any, pos_weight: Any) -> Any:
    return 1 if pos_weight is None else 1 + (pos_weight - 1) * t


def binary_cross_entropy_with_logits(
    input: Variable,
    target: Variable,
    weight: Variable | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    pos_weight: Variable | None = None,
) -> Any:
    """-t·log σ(x) - (1-t)·log(1-σ(x)) for logits x, without ever computing σ(x).

    Args:
        input: logits; float32 or float64.
        target: numbers from 0 to 1, of the same shape and a floating-point dtype.
        weight: a constant that multiplies the losses; it broadcasts to their shape.
        reduction: "mean" (over elements, weights not counted), "sum" or "none".
        pos_weight: a constant that multiplies the first term, to balance classes; it broadcasts.
    """
    op = "binary_cross_entropy_with_logits"
    require_tensors(op, input=input, target=target)
    reduction = reduction_of(op, reduction, size_average, reduce)
    _require_one_shape(op, input, target)
    if not dtypes.is_floating(target.array.dtype):
        raise DtypeError(
            f"{op}: the target must be floating-point, got {target.array.dtype}. "
            "Convert with .float()."
        )
    require_float(op, input)
    dtype = dtypes.result_type(input.array, target.array)
    positive = None if pos_weight is None else _fitting(op, "pos_weight", pos_weight, input)
    losses = BCEWithLogitsFunction.apply(cast(input, dtype), cast(target, dtype), positive)
    return _weighted(op, losses, weight, reduction)


# ------------------------------------------------------------------------------------ distances


def mse_loss(
    input: Variable,
    target: Variable,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Variable | None = None,
) -> Any:
    """(x - t)², of tensors of one shape; other shapes broadcast, with a warning.

    `weight`, of the same shape, multiplies; "mean" is then Σ(weight·loss)/Σweight.
    """
    reduction = reduction_of("mse_loss", reduction, size_average, reduce)
    difference = _difference("mse_loss", input, target)
    return _averaged("mse_loss", mul(difference, difference), weight, reduction)


def l1_loss(
    input: Variable,
    target: Variable,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Variable | None = None,
) -> Any:
    """|x - t|; otherwise as `mse_loss`."""
    reduction = reduction_of("l1_loss", reduction, size_average, reduce)
    difference = _difference("l1_loss", input, target)
    return _averaged("l1_loss", elementwise.abs(difference), weight, reduction)


class HuberFunction(Function):
    """d²/2 where |d| ≤ δ, else δ·(|d| - δ/2): a parabola that goes on as its tangents."""

    @staticmethod
    def forward(ctx, d, delta):
        ctx.delta = delta
        ctx.save_for_backward(d)
        size = np.abs(d)
        return np.where(size <= delta, d * d * 0.5, (size - delta / 2) * delta)

    @staticmethod
    def backward(ctx, dloss):
        (d,) = ctx.saved_tensors
        return np.clip(d, -ctx.delta, ctx.delta) * dloss, None


def huber_loss(
    input: Variable,
    target: Variable,
    reduction: str = "mean",
    delta: float = 1.0,
    weight: Variable | None = None,
) -> Any:
    """d²/2 where |d| = |x - t| ≤ delta, else delta·(|d| - delta/2); otherwise as `mse_loss`.

    But "mean" is always over the elements, as in PyTorch: `weight` is not divided out.
    Source: Huber 1964, "Robust estimation of a location parameter".
    """
    if not delta > 0:
        raise ArgumentError(f"huber_loss: delta must be > 0, got {delta}. Use delta=1.")
    reduction = reduction_of("huber_loss", reduction)
    difference = _difference("huber_loss", input, target)
    losses = HuberFunction.apply(difference, delta)
    if weight is None:
        return reduce_losses(losses, reduction)
    _require_weight("huber_loss", weight, losses)
    return reduce_losses(mul(losses, weight), reduction)


def smooth_l1_loss(
    input: Variable,
    target: Variable,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    beta: float = 1.0,
) -> Any:
    """`huber_loss` with delta = beta, divided by beta; at beta = 0 it is `l1_loss`.

    Source: Girshick 2015, "Fast R-CNN", equation 3.
    """
    if not beta >= 0:
        raise ArgumentError(
            f"smooth_l1_loss: beta must be >= 0, got {beta}. Use beta=1, or l1_loss for 0."
        )
    reduction = reduction_of("smooth_l1_loss", reduction, size_average, reduce)
    difference = _difference("smooth_l1_loss", input, target)
    if not beta:
        return reduce_losses(elementwise.abs(difference), reduction)
    return reduce_losses(div(HuberFunction.apply(difference, beta), beta), reduction)


# -------------------------------------------------------------------------------------- shared


def _difference(op: str, x: Variable, target: Variable) -> Any:
    require_tensors(op, input=x, target=target)
    found = dtypes.result_type(x.array, target.array)
    if not dtypes.is_floating(found):
        raise DtypeError(f"{op}: needs floating-point numbers, got {found}. Convert with .float().")
    shapes = x.array.shape, target.array.shape
    if shapes[0] != shapes[1]:
        try:
            np.broadcast_shapes(*shapes)
        except ValueError:
            _require_one_shape(op, x, target)
        warnings.warn(
            f"{op}: input {shapes[0]} and target {shapes[1]} differ and are broadcast, which is "
            "rarely meant. Give both one shape.",
            stacklevel=3,
        )
    return sub(x, target)


def _require_one_shape(op: str, x: Variable, target: Variable) -> None:
    if x.array.shape != target.array.shape:
        raise ShapeError(
            f"{op}: input {x.array.shape} and target {target.array.shape} must have one shape. "
            "Use target.reshape(input.shape)."
        )


def _fitting(op: str, name: str, tensor: Variable, x: Variable) -> Any:
    """The array of a constant that broadcasts to `x`, in its dtype."""
    array, shape = constant(op, name, tensor), x.array.shape
    try:
        fits = np.broadcast_shapes(array.shape, shape) == shape
    except ValueError:
        fits = False
    if not fits:
        raise ShapeError(
            f"{op}: {name} {array.shape} does not broadcast to the losses' {shape}."
            " Sizes must be equal or 1, counted from the last axis."
        )
    common_device(op, input=x.array, **{name: array})
    return array.astype(x.array.dtype, copy=False)


def _weighted(op: str, losses: Any, weight: Variable | None, reduction: str) -> Any:
    if weight is not None:
        losses = mul(losses, Variable._new(_fitting(op, "weight", weight, losses)))
    return reduce_losses(losses, reduction)


def _averaged(op: str, losses: Any, weight: Variable | None, reduction: str) -> Any:
    if weight is None:
        return reduce_losses(losses, reduction)
    _require_weight(op, weight, losses)
    total = reduce_losses(mul(losses, weight), "none" if reduction == "none" else "sum")
    return div(total, reductions.sum(weight)) if reduction == "mean" else total


def _require_weight(op: str, weight: Variable, losses: Variable) -> None:
    if weight.array.shape != losses.array.shape:
        raise ShapeError(
            f"{op}: weight {weight.array.shape} must have the losses' shape {losses.array.shape}."
            " Use expand, or leave it out."
        )
