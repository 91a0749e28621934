"""Local response normalisation over x (N,C,L): each value by those of the channels around it.

d[n,c,l] = k + alpha / size * sum of x[n,j,l]**2 over j from c - size//2 to c + (size-1)//2, where
channels outside count as 0. Krizhevsky, Sutskever & Hinton 2012, "ImageNet classification with deep
convolutional neural networks", section 3.3, whose alpha is not divided by the size: their 1e-4 with
n = 5 is 5e-4 here, as in PyTorch.
"""

from __future__ import annotations

from .. import Array, namespace
from .unfold import deliver


def response_norm(
    x: Array, size: int, alpha: float, beta: float, k: float, *, out: Array | None = None
) -> Array:
    """y = x / d**beta."""
    return deliver(x / _divisors(x, size, alpha, k) ** beta, out)


def response_norm_grad(
    dy: Array, x: Array, size: int, alpha: float, beta: float, k: float, *, out: Array | None = None
) -> Array:
    """dx[c] = dy[c] / d[c]**beta - 2*alpha*beta/size * x[c] * sum of t[j], t = dy*x / d**(beta+1).

    The sum is over the channels j whose window holds c: from c - (size-1)//2 to c + size//2.
    """
    d = _divisors(x, size, alpha, k)
    share = dy / d**beta
    around = _window_sums(share * x / d, (size - 1) // 2, size // 2)
    return deliver(share - x * around * (2 * alpha * beta / size), out)


def _divisors(x: Array, size: int, alpha: float, k: float) -> Array:
    return k + _window_sums(x * x, size // 2, (size - 1) // 2) * (alpha / size)


def _window_sums(x: Array, before: int, after: int) -> Array:
    """Return the sums over channels c - before .. c + after, those outside counting as 0."""
    C = x.shape[1]
    sums = namespace(x).zeros_like(x)
    for offset in range(-min(before, C), min(after, C) + 1):
        first, last = max(0, -offset), min(C, C - offset)
        sums[:, first:last, ...] += x[:, first + offset : last + offset, ...]
    return sums
