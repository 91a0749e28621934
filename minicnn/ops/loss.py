"""Losses over classes. Softmax and cross-entropy are one op: log(softmax) would lose digits."""

from __future__ import annotations

import math
import warnings
from typing import Any, NamedTuple

import numpy as np

from minicnn import autograd, dtypes
from minicnn.autograd import Function, Variable
from minicnn.device import common_device, computing_on
from minicnn.kernels import namespace
from minicnn.kernels.errors import ArgumentError, DtypeError, OutOfRangeError, ShapeError
from minicnn.ops import reduce as reductions
from minicnn.ops.choice import where
from minicnn.ops.elementwise import add, cast, div, mul, neg, require_float
from minicnn.ops.shaping import c_order, permute, reshape, unsqueeze
from minicnn.ops.softmax import log_softmax

Array = Any


class SoftmaxCrossEntropyFunction(Function):
    """loss_n = -log softmax(x_n)[t_n];  dx_n = (softmax(x_n) - onehot(t_n))·dloss_n."""

    fresh_gradients = True

    @staticmethod
    def forward(ctx, logits, target):
        target = c_order(target)
        losses, log_probs = ctx.backend.softmax_cross_entropy(c_order(logits), target)
        ctx.save_for_backward(log_probs, target)
        return losses

    @staticmethod
    def backward(ctx, dlosses):
        log_probs, target = ctx.saved_tensors
        dlosses = c_order(dlosses)
        return ctx.backend.softmax_cross_entropy_grad(dlosses, log_probs, target), None


class PickFunction(Function):
    """y_n = -x_n[t_n]: what stands at the target of each row, negated."""

    fresh_gradients = True

    @staticmethod
    def forward(ctx, x, target):
        ctx.shape = x.shape
        ctx.save_for_backward(target)
        return -np.take_along_axis(x, target[:, None], 1)[:, 0]

    @staticmethod
    def backward(ctx, dy):
        (target,) = ctx.saved_tensors
        dx = namespace(dy).zeros(ctx.shape, dy.dtype)
        np.put_along_axis(dx, target[:, None], -dy[:, None], 1)
        return dx, None


def cross_entropy(
    input: Variable,
    target: Variable,
    weight: Variable | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Any:
    """-Σ_c q[c]·log softmax(x)[c], for logits x that are not yet normalised.

    q is the target as a distribution over the C classes: all at the label, or the probabilities
    given; with label smoothing ε it is (1-ε)·q + ε/C; class weights multiply it.

    Args:
        input: logits (N, C), (N, C, d1, …), or (C,) for one example; float32 or float64.
        target: class labels from 0 to C-1 of an integer dtype, of the logits' shape without C; or
            probabilities of the logits' shape and a floating-point dtype.
        weight: (C,) of the logits' dtype, a constant.
        ignore_index: examples with this label count nothing (labels only).
        size_average, reduce: old flags, replaced by
        reduction: "mean", "sum" or "none". With labels the mean is weighted, by weight[label], and
            NaN if all are ignored; with probabilities it is over examples.
        label_smoothing: ε, from 0 to 1. Source: Szegedy et al. 2016.

    Raises:
        ShapeError, DtypeError, ArgumentError: operands that do not fit together.
        OutOfRangeError: a label that is no class.
    """
    op = "cross_entropy"
    require_tensors(op, input=input, target=target)
    require_float(op, input)
    reduction = reduction_of(op, reduction, size_average, reduce)
    if not dtypes.is_scalar(label_smoothing) or not 0 <= label_smoothing <= 1:
        raise ArgumentError(
            f"{op}: label_smoothing must be from 0 to 1, got {label_smoothing!r}. Use 0 for none."
        )
    classes = _classes(op, input)
    factors = None if weight is None else _class_weights(op, weight, input, classes)
    if dtypes.is_floating(target.array.dtype) and target.array.shape == input.array.shape:
        if ignore_index >= 0:
            raise ArgumentError(
                f"{op}: ignore_index={ignore_index} is for class labels, but the target holds "
                "probabilities. Leave it out, and give those examples probabilities of 0."
            )
        return _with_probabilities(input, target, factors, reduction, label_smoothing)
    with computing_on(input.array):
        labels = _labels(op, input, target, classes, factors, ignore_index)
    rows = _rows(input)
    if not label_smoothing:
        losses = _weigh(SoftmaxCrossEntropyFunction.apply(rows, labels.safe), labels)
    else:
        log_probs = log_softmax(rows, 1)
        sharp = _weigh(PickFunction.apply(log_probs, labels.safe), labels)
        spread = log_probs if factors is None else mul(log_probs, Variable._new(factors))
        losses = add(
            mul(sharp, 1 - label_smoothing),
            mul(reductions.sum(spread, 1), -label_smoothing / classes),
        )
    return _finish(losses, labels, reduction)


def nll_loss(
    input: Variable,
    target: Variable,
    weight: Variable | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Any:
    """-x[label], for log-probabilities x: `cross_entropy` after `log_softmax`.

    Args:
        input: (N, C), (N, C, d1, …), or (C,) for one example; float32 or float64.
        target, weight, ignore_index, reduction: as in `cross_entropy`, with class labels.
    """
    op = "nll_loss"
    require_tensors(op, input=input, target=target)
    require_float(op, input)
    reduction = reduction_of(op, reduction, size_average, reduce)
    classes = _classes(op, input)
    factors = None if weight is None else _class_weights(op, weight, input, classes)
    with computing_on(input.array):
        labels = _labels(op, input, target, classes, factors, ignore_index)
    losses = _weigh(PickFunction.apply(_rows(input), labels.safe), labels)
    return _finish(losses, labels, reduction)


# -------------------------------------------------------------------------------------- labels


def one_hot(tensor: Variable, num_classes: int = -1) -> Any:
    """Class labels of any shape as rows of zeros with a one at the label: shape (…, classes).

    Args:
        tensor: labels ≥ 0 of an integer dtype.
        num_classes: the length of a row; -1 for the largest label + 1.

    Returns:
        A tensor of int64.
    """
    op = "one_hot"
    require_tensors(op, tensor=tensor)
    labels = tensor.array
    if labels.dtype.kind not in "iu":
        raise DtypeError(
            f"{op}: labels must be integers, got {labels.dtype}. Convert with .long()."
        )
    if not labels.size and num_classes <= 0:
        raise ArgumentError(
            f"{op}: no labels to count the classes by. Say num_classes, which is {num_classes}."
        )
    classes = int(labels.max()) + 1 if num_classes == -1 else num_classes
    if labels.size and not 0 <= labels.min() <= labels.max() < classes:
        raise OutOfRangeError(
            f"{op}: labels {labels.min()}..{labels.max()} leave the range of {classes} classes, "
            f"0..{classes - 1}. Check the labels, or num_classes."
        )
    rows = labels[..., None] == namespace(labels).arange(classes)
    return Variable._new(rows.astype(np.int64))


class _Labels(NamedTuple):
    """Checked class labels, one per row, and how much each row counts."""

    safe: Variable  # (M,) int64, with class 0 where a row is ignored
    kept: Array | None  # (M,) False where a row is ignored; None if none is
    factors: Array | None  # (M,) each row's class weight; None for 1
    total: float  # what the mean divides by
    shape: tuple[int, ...]  # of the losses


def _labels(
    op: str, x: Variable, target: Variable, classes: int, weight: Array | None, ignore_index: int
) -> _Labels:
    shape, dtype = x.array.shape, target.array.dtype
    wanted = shape[:1] + shape[2:] if len(shape) > 1 else ()
    if dtype.kind not in "iu":
        ways = "or probabilities of the logits' shape" if op == "cross_entropy" else "no others"
        raise DtypeError(
            f"{op}: class labels must be integers ({ways}), got {dtype} of shape "
            f"{target.array.shape} for logits {shape}. Convert with .long()."
        )
    if target.array.shape != wanted and not (wanted == () and target.array.shape == (1,)):
        raise ShapeError(
            f"{op}: logits {shape} need labels of shape {wanted}, got {target.array.shape}. "
            "Logits are (N, classes) or (N, classes, d1, …)."
        )
    common_device(op, input=x.array, target=target.array)
    safe = reshape(cast(target, dtypes.int64), (target.array.size,))
    labels = safe.array
    inside = (labels >= 0) & (labels < classes)
    kept = labels != ignore_index
    if not (inside | ~kept).all():
        place = np.argwhere((~inside & kept).reshape(target.array.shape))[0].tolist()
        raise OutOfRangeError(
            f"{op}: label {target.array[tuple(place)]} at position "
            f"{place[0] if len(place) == 1 else tuple(place)} is outside 0..{classes - 1} "
            f"({classes} classes). Check the labels, or give the last layer more outputs."
        )
    if kept.all():
        kept = None
    else:
        safe = Variable._new(np.where(kept, labels, 0))
    if weight is None:
        return _Labels(safe, kept, None, float(labels.size if kept is None else kept.sum()), wanted)
    factors = weight[safe.array]
    counted = factors if kept is None else factors[kept]
    return _Labels(safe, kept, factors, float(counted.sum(dtype=np.float64)), wanted)


def _weigh(losses: Any, labels: _Labels) -> Any:
    return losses if labels.factors is None else mul(losses, Variable._new(labels.factors))


def _finish(losses: Any, labels: _Labels, reduction: str) -> Any:
    """Rows that are ignored made 0, then the losses in the target's shape, or reduced."""
    if labels.kept is not None:
        losses = where(Variable._new(labels.kept), losses, 0.0)
    if reduction == "none":
        return reshape(losses, labels.shape)
    if (labels.kept is None and labels.factors is None) or reduction == "sum":
        return reduce_losses(losses, reduction)
    return div(reductions.sum(losses), labels.total or math.nan)


# ------------------------------------------------------------------------------- probabilities


def _with_probabilities(
    x: Variable, target: Variable, weight: Array | None, reduction: str, smoothing: float
) -> Any:
    axis = 1 if x.array.ndim > 1 else 0
    classes = x.array.shape[axis]
    if smoothing:
        target = add(mul(target, 1 - smoothing), smoothing / classes)
    if weight is not None:
        shape = [classes if i == axis else 1 for i in range(x.array.ndim)]
        target = mul(target, Variable._new(weight.reshape(shape)))
    losses = neg(reductions.sum(mul(target, log_softmax(x, axis)), axis))
    return reduce_losses(losses, reduction)


# -------------------------------------------------------------------------------------- shared


def _classes(op: str, x: Variable) -> int:
    shape = x.array.shape
    if not shape:
        raise ShapeError(
            f"{op}: expected logits (N, classes), (N, classes, d1, …) or (classes,), got shape ()."
            " Add an axis of one with x[None]."
        )
    classes = shape[1] if len(shape) > 1 else shape[0]
    if not classes:
        raise ShapeError(
            f"{op}: logits of shape {shape} have no classes to choose from. Give at least one."
        )
    return classes


def _rows(x: Variable) -> Any:
    """(C,), (N,C) or (N,C,d1,…) as (M,C), one row per label."""
    shape = x.array.shape
    if len(shape) == 2:
        return x
    if len(shape) == 1:
        return unsqueeze(x, 0)
    last = permute(x, (0, *range(2, len(shape)), 1))
    return reshape(last, (math.prod(last.array.shape[:-1]), shape[1]))


def _class_weights(op: str, weight: Variable, x: Variable, classes: int) -> Array:
    if weight.array.shape != (classes,):
        raise ShapeError(
            f"{op}: weight must hold one number for each of the {classes} classes, "
            f"got shape {weight.array.shape}."
            " Give one number for each class."
        )
    if weight.array.dtype != x.array.dtype:
        raise DtypeError(
            f"{op}: weight is {weight.array.dtype}, the logits are {x.array.dtype}. "
            "Convert it with .to(logits.dtype)."
        )
    common_device(op, input=x.array, weight=weight.array)
    return constant(op, "weight", weight)


def require_tensors(op: str, **operands: Any) -> None:
    """Raise unless all operands are Tensors."""
    for name, operand in operands.items():
        if not isinstance(operand, Variable):
            raise DtypeError(
                f"{op}: {name} must be a Tensor, got {type(operand).__name__}. "
                "Wrap it in minicnn.tensor(...)."
            )


def constant(op: str, name: str, tensor: Variable) -> Array:
    """The array of an operand without a derivative; an error if one is asked for."""
    if tensor._requires_grad and autograd.is_grad_enabled():
        raise ArgumentError(f"{op}: {name} is a constant here. Pass {name}.detach().")
    return tensor.array


def reduction_of(
    op: str, reduction: str, size_average: bool | None = None, reduce: bool | None = None
) -> str:
    """ "mean", "sum" or "none"; or what the two old flags mean, which PyTorch still takes."""
    if size_average is not None or reduce is not None:
        reduction = "none" if reduce is False else "sum" if size_average is False else "mean"
        warnings.warn(
            f"{op}: size_average and reduce are old names. Use reduction={reduction!r}.",
            stacklevel=3,
        )
    if reduction not in ("mean", "sum", "none"):
        raise ArgumentError(
            f'{op}: reduction must be "mean", "sum" or "none", got {reduction!r}.'
            " Use one of the three."
        )
    return reduction


def reduce_losses(losses: Any, reduction: str) -> Any:
    """The mean of all losses, their sum, or the losses themselves."""
    if reduction == "none":
        return losses
    return reductions.mean(losses) if reduction == "mean" else reductions.sum(losses)
