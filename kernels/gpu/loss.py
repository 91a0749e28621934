"""Softmax followed by cross-entropy: launch sizes and arguments; the idea is in loss.cu."""

from __future__ import annotations

from .. import Array
from . import _cuda
from ._grid import over_planes, over_rows


def softmax_cross_entropy(logits: Array, target: Array) -> tuple[Array, Array]:
    """losses[n] = -log_probs[n, target[n]], log_probs = logits - log(sum over c of exp(logits)).

    logits (N,C), target (N,) int64 give losses (N,), in nats, and log_probs (N,C). The row's
    maximum is taken off first: it cancels, and no exponential can overflow.
    """
    N, C = logits.shape
    losses, log_probs = _cuda.empty((N,), logits.dtype), _cuda.empty((N, C), logits.dtype)
    over_rows("loss", "softmax_cross_entropy", N, C, logits, target, losses, log_probs, C)
    return losses, log_probs


def softmax_cross_entropy_grad(dlosses: Array, log_probs: Array, target: Array) -> Array:
    """dlogits[n,c] = dlosses[n] * (softmax[n,c] - [c == target[n]]): prediction minus truth."""
    N, C = log_probs.shape
    dlogits = _cuda.empty((N, C), log_probs.dtype)
    over_planes(
        "loss", "softmax_cross_entropy_grad", N, C, dlosses, log_probs, target, dlogits, N, C
    )
    return dlogits
