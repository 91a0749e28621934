"""Softmax followed by cross-entropy, as one stable step, and its gradient."""

from __future__ import annotations

from .. import Array, namespace


def softmax_cross_entropy(logits: Array, target: Array) -> tuple[Array, Array]:
    """losses[n] = -log_probs[n, target[n]], log_probs = logits - log(sum over c of exp(logits)).

    logits (N,C), target (N,) int64 give losses (N,), in nats, and log_probs (N,C). The row's
    maximum is taken off first: it cancels, and no exponential can overflow.
    """
    xp = namespace(logits)
    shifted = logits - xp.max(logits, axis=1, keepdims=True)
    log_probs = shifted - xp.log(xp.sum(xp.exp(shifted), axis=1, keepdims=True))
    # A sum over the one-hot choice reads one entry per row; `where` keeps 0 * inf out of it.
    losses = -xp.sum(xp.where(_one_hot(log_probs, target), log_probs, 0), axis=1)
    return losses, log_probs


def softmax_cross_entropy_grad(dlosses: Array, log_probs: Array, target: Array) -> Array:
    """dlogits[n,c] = dlosses[n] * (softmax[n,c] - [c == target[n]]): prediction minus truth."""
    xp = namespace(log_probs)
    probs = xp.exp(log_probs)
    return dlosses[:, None] * xp.where(_one_hot(log_probs, target), probs - 1, probs)


def _one_hot(log_probs: Array, target: Array) -> Array:
    """Return the (N,C) booleans that are true at each row's target class."""
    return namespace(log_probs).arange(log_probs.shape[1])[None, :] == target[:, None]
