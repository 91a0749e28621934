"""Batch normalisation: statistics of the batch or running ones, and one op that applies either."""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn.autograd import Function, Variable
from minicnn.device import common_device, computing_on
from minicnn.kernels import backend_of, namespace
from minicnn.kernels.errors import ArgumentError, ShapeError
from minicnn.kernels.shapes import flag, number
from minicnn.ops.elementwise import require_float
from minicnn.ops.shaping import c_order, contiguous, writeable


class BatchNormFunction(Function):
    """y = weight·x' + bias, x' = (x - mean)/√(var + eps), per channel.

    In training mean and var are those of x and move with it: dx has two terms for that. Else they
    are constants: y is a straight line in x, and dx the same line through 0.
    """

    fresh_gradients = True

    @staticmethod
    def forward(ctx, x, weight, bias, mean, var, training, eps):
        need_x, *need_weights = ctx.needs_input_grad[:3]
        ctx.training, ctx.eps = training, eps
        sums = any(need_weights) or (training and need_x)
        ctx.save_for_backward(x if sums else None, weight, mean, var)
        if not x.size:
            return x.copy()
        return ctx.backend.batch_norm(rows(x), *_c_order(mean, var, weight, bias), eps).reshape(
            x.shape
        )

    @staticmethod
    def backward(ctx, dy):
        x, *vectors = ctx.saved_tensors
        weight, mean, var = _c_order(*vectors)
        if not dy.size:
            return dy.copy(), np.zeros_like(mean), np.zeros_like(mean), None, None, None, None
        shape, dy = dy.shape, rows(c_order(dy))
        dx = dweight = dbias = None
        if x is not None:
            dweight, dbias = ctx.backend.batch_norm_weight_grad(dy, rows(x), mean, var, ctx.eps)
        if ctx.needs_input_grad[0]:
            if ctx.training:
                of_x = dy, rows(x), mean, var, weight, dweight, dbias, ctx.eps
                dx = ctx.backend.batch_norm_input_grad(*of_x)
            else:
                dx = ctx.backend.batch_norm(dy, np.zeros_like(mean), var, weight, None, ctx.eps)
            dx = dx.reshape(shape)
        return dx, dweight, dbias, None, None, None, None


def _c_order(*vectors: Any) -> tuple[Any, ...]:
    return tuple(None if vector is None else c_order(vector) for vector in vectors)


def rows(x: Any) -> Any:
    """(N, C, …) as (N, C, L), in the same memory."""
    N, C = x.shape[:2]
    return x.reshape(N, C, x.size // (N * C) if x.size else 0)


def batch_norm(
    input: Variable,
    running_mean: Variable | None,
    running_var: Variable | None,
    weight: Variable | None = None,
    bias: Variable | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Any:
    """weight·(x - mean)/√(var + eps) + bias, each channel with its own four numbers.

    In training mean and var are the batch's own, over all axes but the channels, var with the
    divisor M = N·H·W; and the running ones, if given, move by a share, in place and unrecorded:

        running_mean += momentum·(mean - running_mean)
        running_var  += momentum·(var·M/(M-1) - running_var)

    Else mean and var are the running ones, and nothing moves.

    Args:
        input: (N, C), (N, C, L), (N, C, H, W) or of higher rank; float32 or float64. In training
            M is at least 2, or 0: an empty batch is returned, and moves nothing.
        running_mean, running_var: (C,), of the same dtype; both None only in training.
        weight, bias: (C,), of the same dtype; None for 1 and 0.
        training: whose statistics to take.
        momentum: the share, mostly from 0 to 1.
        eps: at least 0, and above 0 in training.

    Raises:
        ShapeError, DtypeError, ArgumentError: what does not fit together.

    Source: Ioffe & Szegedy 2015, "Batch normalization: accelerating deep network training by
    reducing internal covariate shift".
    """
    op = "batch_norm"
    vectors = {
        "running_mean": running_mean, "running_var": running_var, "weight": weight, "bias": bias,
    }  # fmt: skip
    require_float(op, input, **{name: v for name, v in vectors.items() if v is not None})
    training = flag(training, "training", op=op)
    momentum, eps = number(momentum, "momentum", op=op), number(eps, "eps", op=op)
    _check_shapes(op, input, **vectors)
    _check_statistics(op, running_mean, running_var, training)
    if eps < 0 or (training and eps == 0):
        least = "above 0 in training" if training else "at least 0"
        raise ArgumentError(f"{op}: eps must be {least}, got {eps}. The usual one is 1e-5.")
    M = input.array.size // input.array.shape[1] if input.array.size else 0
    if training and M == 1:
        raise ShapeError(
            f"{op}: input {input.array.shape} has one value per channel, which has no variance to "
            "train with. Use a larger batch, or eval()."
        )
    x, C = contiguous(input), input.array.shape[1]
    if not training:
        return BatchNormFunction.apply(x, weight, bias, running_mean, running_var, False, eps)
    common_device(op, input=x.array, **{k: v.array for k, v in vectors.items() if v is not None})
    mean = var = namespace(x.array).zeros(C, x.array.dtype)  # of an empty batch
    if M:
        with np.errstate(all="ignore"), computing_on(x.array):
            mean, var = backend_of(x.array).batch_moments(rows(x.array))
            _move(running_mean, mean, momentum)
            _move(running_var, var * (M / (M - 1)), momentum)
    return BatchNormFunction.apply(x, weight, bias, mean, var, True, eps)


def _move(running: Variable | None, value: Any, momentum: float) -> None:
    if running is not None:
        running.array[...] = (1 - momentum) * running.array + momentum * value
        running._version.n += 1


# ------------------------------------------------------------------------------ checks


def _check_shapes(op: str, x: Variable, **vectors: Variable | None) -> None:
    shape = x.array.shape
    if len(shape) < 2:
        raise ShapeError(
            f"{op}: expected input (N, C), (N, C, L), (N, C, H, W) or more axes, got {shape}. "
            "For one row use x[None]."
        )
    C = shape[1]
    for name, vector in vectors.items():
        if vector is None:
            continue
        if vector.array.shape != (C,):
            raise ShapeError(
                f"{op}: {name} has shape {vector.array.shape}, but input {shape} has {C} channels. "
                f"Give it shape ({C},), or an input of {vector.array.size} channels."
            )


def _check_statistics(op: str, mean: Variable | None, var: Variable | None, training: bool) -> None:
    if (mean is None or var is None) and not (training and mean is var):
        missing = "running_mean" if mean is None else "running_var"
        raise ArgumentError(
            f"{op}: {missing} is None. Give both running_mean and running_var, or neither and "
            "training=True."
        )
    for name, statistic in (("running_mean", mean), ("running_var", var)):
        if statistic is not None and statistic._requires_grad:
            raise ArgumentError(
                f"{op}: {name} has no derivative here, and requires one. Pass {name}.detach()."
            )
        if statistic is not None and training and not writeable(statistic.array):
            raise ArgumentError(
                f"{op}: {name} is read-only memory, and training moves it. Pass a .clone()."
            )
