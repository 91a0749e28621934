"""Softmax and cross-entropy in one pass over each row, which stays in the first-level cache."""

from __future__ import annotations

import math

import numpy as np
from numba import prange

from ._jit import kernel, take


def softmax_cross_entropy(logits: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """losses[n] = -log_probs[n, target[n]], log_probs = logits - log(sum over c of exp(logits)).

    logits (N,C), target (N,) int64 give losses (N,), in nats, and log_probs (N,C). The row's
    maximum is taken off first: it cancels, and no exponential can overflow.
    """
    losses, log_probs = np.empty(logits.shape[0], logits.dtype), np.empty_like(logits)
    _softmax_cross_entropy(logits.size, logits, target, losses, log_probs)
    return losses, log_probs


def softmax_cross_entropy_grad(
    dlosses: np.ndarray, log_probs: np.ndarray, target: np.ndarray
) -> np.ndarray:
    """dlogits[n,c] = dlosses[n] * (softmax[n,c] - [c == target[n]]): prediction minus truth."""
    dlogits = np.empty_like(log_probs)
    _softmax_cross_entropy_grad(log_probs.size, dlosses, log_probs, target, dlogits)
    return dlogits


@kernel
def _softmax_cross_entropy(team, logits, target, losses, log_probs):
    for _ in prange(team.size):
        n = take(team)
        while n < logits.shape[0]:
            largest = logits[n, 0]
            for c in range(1, logits.shape[1]):
                if logits[n, c] > largest or np.isnan(logits[n, c]):
                    largest = logits[n, c]
            total = 0.0
            for c in range(logits.shape[1]):
                log_probs[n, c] = logits[n, c] - largest
                total += math.exp(log_probs[n, c])
            log_total = math.log(total)
            for c in range(logits.shape[1]):
                log_probs[n, c] -= log_total
            losses[n] = -log_probs[n, target[n]]
            n = take(team)


@kernel
def _softmax_cross_entropy_grad(team, dlosses, log_probs, target, dlogits):
    for _ in prange(team.size):
        n = take(team)
        while n < log_probs.shape[0]:
            for c in range(log_probs.shape[1]):
                probability = math.exp(log_probs[n, c])
                if c == target[n]:
                    probability -= 1
                dlogits[n, c] = dlosses[n] * probability
            n = take(team)
