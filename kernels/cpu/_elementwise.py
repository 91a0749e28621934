"""Kernels out of scalar functions: y[i] = f(x[i]) for whole arrays, in one parallel pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import prange

from .. import buffers
from ._jit import PIECE, jit, kernel, take


def elementwise(function: Callable[..., Any]) -> Callable[..., np.ndarray]:
    """Make function(x, options), or function(dy, x, options), a kernel of one or two arrays.

        @elementwise
        def _leaky_relu(x, options):
            return x if x > 0 else x * options[0]

        y = _leaky_relu(x, options=(0.01,), out=None)

    `options` are numbers, and reach the function as a tuple of the arrays' dtype.
    """
    name = f"{function.__module__}.{function.__qualname__}"
    make = _over_two if function.__code__.co_argcount == 3 else _over_one
    launch = make(jit(function), name)

    def run(
        *arrays: np.ndarray, options: tuple[float, ...] = (), out: np.ndarray | None = None
    ) -> np.ndarray:
        y = buffers.empty(arrays[0].shape, arrays[0].dtype) if out is None else out
        numbers = tuple(map(y.dtype.type, options))
        launch(y.size, *(array.reshape(-1) for array in arrays), numbers, y.reshape(-1))
        return y

    run.compiled = launch.compiled  # type: ignore[attr-defined]
    return run


def _over_one(scalar: Any, name: str) -> Callable[..., None]:
    @_jit_as(name)
    def piece(x, options, y):
        for i in range(y.size):
            y[i] = scalar(x[i], options)

    def over_pieces(team, x, options, y):
        for _ in prange(team.size):
            first = take(team) * PIECE
            while first < y.size:
                part = slice(first, first + PIECE)
                piece(x[part], options, y[part])
                first = take(team) * PIECE

    return kernel(_named(over_pieces, name))


def _over_two(scalar: Any, name: str) -> Callable[..., None]:
    @_jit_as(name)
    def piece(dy, x, options, dx):
        for i in range(dx.size):
            dx[i] = scalar(dy[i], x[i], options)

    def over_pieces(team, dy, x, options, dx):
        for _ in prange(team.size):
            first = take(team) * PIECE
            while first < dx.size:
                part = slice(first, first + PIECE)
                piece(dy[part], x[part], options, dx[part])
                first = take(team) * PIECE

    return kernel(_named(over_pieces, name))


def _jit_as(name: str) -> Callable[[Callable], Any]:
    return lambda function: jit(_named(function, name))


def _named(function: Callable, name: str) -> Callable:
    """Give a closure a name of its own, by which the compile cache tells it from the others."""
    function.__qualname__ = f"{name}.{function.__name__}"
    return function
