"""Dropout: zero some elements at random, scale up the rest."""

from __future__ import annotations

from typing import Any

from minicnn import dtypes
from minicnn.autograd import Function, Variable
from minicnn.kernels import namespace
from minicnn.kernels.errors import ArgumentError
from minicnn.ops.elementwise import require_float
from minicnn.ops.shaping import c_order


def check_probability(op: str, p: Any) -> None:
    """Raise ArgumentError unless `p` is a number from 0 to 1."""
    if not dtypes.is_scalar(p) or not 0 <= p <= 1:
        raise ArgumentError(f"{op}: p must be a probability from 0 to 1, got {p!r}. Use p=0.5.")


class DropoutFunction(Function):
    """The mask is never stored: backward draws the same bits again from (seed, offset)."""

    fresh_gradients = True

    @staticmethod
    def forward(ctx, x, p, seed, offset):
        ctx.draw = p, seed, offset
        return ctx.backend.dropout(c_order(x), p, seed, offset)

    @staticmethod
    def backward(ctx, dy):
        return ctx.backend.dropout(c_order(dy), *ctx.draw), None, None, None


def dropout(x: Variable, p: float, seed: int, offset: int) -> Any:
    """x·keep/(1-p), keep ~ Bernoulli(1-p) from Philox4x32-10 with key `seed` and counter `offset`.

    The same (seed, offset) gives the same mask on every rung, device and thread count.
    Source: Srivastava et al. 2014; Salmon et al. 2011 for the generator.
    """
    require_float("dropout", x)
    return DropoutFunction.apply(x, p, seed, offset)


class ChannelDropoutFunction(Function):
    """A mask of one element per image and channel, drawn again in backward."""

    fresh_gradients = True

    @staticmethod
    def forward(ctx, x, p, seed, offset):
        ctx.draw = p, seed, offset
        return _drop_channels(ctx.backend, x, *ctx.draw)

    @staticmethod
    def backward(ctx, dy):
        return _drop_channels(ctx.backend, dy, *ctx.draw), None, None, None


def _drop_channels(backend: Any, x: Any, p: float, seed: int, offset: int) -> Any:
    mask = backend.dropout(namespace(x).ones(x.shape[:2], x.dtype), p, seed, offset)
    return x * mask.reshape(mask.shape + (1,) * (x.ndim - 2))


def channel_dropout(x: Variable, p: float, seed: int, offset: int) -> Any:
    """`dropout` with one draw for each of the N·C channels of `x` (N, C, …)."""
    require_float("dropout2d", x)
    return ChannelDropoutFunction.apply(x, p, seed, offset)
