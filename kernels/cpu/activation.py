"""ReLU in one pass over memory: 8 bytes of traffic per float32 forward, 12 backward, no arithmetic
to speak of, so the speed is that of memory: about 20 GB/s on two cores."""

from __future__ import annotations

import numpy as np
from numba import prange

from .. import buffers
from ._jit import PIECE, kernel, take


def relu(x: np.ndarray, *, out: np.ndarray | None = None) -> np.ndarray:
    """y = max(x, 0) elementwise; a NaN stays NaN."""
    y = buffers.empty(x.shape, x.dtype) if out is None else out
    _relu(x.size, x.reshape(-1), y.reshape(-1))
    return y


def relu_grad(dy: np.ndarray, y: np.ndarray, *, out: np.ndarray | None = None) -> np.ndarray:
    """dx = dy where y > 0, else 0."""
    dx = buffers.empty(dy.shape, dy.dtype) if out is None else out
    _relu_grad(dy.size, dy.reshape(-1), y.reshape(-1), dx.reshape(-1))
    return dx


@kernel
def _relu(team, x, y):
    zero = x.dtype.type(0)
    for _ in prange(team.size):
        first = take(team) * PIECE
        while first < x.size:
            for i in range(first, min(first + PIECE, x.size)):
                y[i] = zero if x[i] <= zero else x[i]  # written so that a NaN passes
            first = take(team) * PIECE


@kernel
def _relu_grad(team, dy, y, dx):
    zero = dy.dtype.type(0)
    for _ in prange(team.size):
        first = take(team) * PIECE
        while first < dy.size:
            for i in range(first, min(first + PIECE, dy.size)):
                dx[i] = dy[i] if y[i] > zero else zero
            first = take(team) * PIECE
