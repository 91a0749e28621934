"""From our layout to that of frameworks with the channels last, and back; NumPy alone.

    images   (N, C, H, W)  →  (N, H, W, C)
    filters  (K, C, R, S)  →  (R, S, C, K)
    linear   (K, C)        →  (C, K)

Flattened channels-last images have their features in another order, so the weights of the linear
layer behind them are reordered too.
"""

from __future__ import annotations

from math import isqrt
from typing import Any

import numpy as np

Arrays = dict[str, np.ndarray]
SMALL = 1 << 20  # numbers: gradients of larger weights are not compared


def images(a: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(a.transpose(0, 2, 3, 1)) if a.ndim == 4 else a


def of_images(a: Any) -> np.ndarray:
    a = np.asarray(a)
    return a.transpose(0, 3, 1, 2) if a.ndim == 4 else a


def filters(a: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(a.transpose(2, 3, 1, 0))


def of_filters(a: Any) -> np.ndarray:
    return np.asarray(a).transpose(3, 2, 0, 1)


def operands(arrays: Arrays) -> Arrays:
    """The inputs of one operation; a linear layer's keep their layout."""
    return {n: filters(a) if n == "w" and a.ndim == 4 else images(a) for n, a in arrays.items()}


def result(name: str, array: Any) -> np.ndarray:
    """An output of one operation, as ours has it."""
    found = np.asarray(array)
    return of_filters(found) if name == "dw" and found.ndim == 4 else of_images(found)


class Weights:
    """The weights of a model, by name, and their gradients."""

    def __init__(self, layers: list[dict[str, Any]]) -> None:
        self._channels: dict[str, int] = {}  # of the images that a linear layer gets flattened
        flattened = None
        for layer in layers:
            if layer["op"] == "flatten":
                flattened = layer["channels"]
            elif layer["op"] == "linear" and flattened:
                self._channels[f"{layer['name']}.weight"] = flattened
                flattened = None

    def turned(self, arrays: Arrays) -> Arrays:
        """The model's weights and statistics, without its inputs x and labels."""
        return {n: self._turned(n, a) for n, a in arrays.items() if n not in ("x", "labels")}

    def _turned(self, name: str, a: np.ndarray) -> np.ndarray:
        if a.ndim == 4:
            return filters(a)
        if name in self._channels:
            K, C = len(a), self._channels[name]
            side = isqrt(a.shape[1] // C)
            a = a.reshape(K, C, side, side).transpose(0, 2, 3, 1).reshape(K, -1)
        return np.ascontiguousarray(a.T)

    def gradient(self, name: str, gradient: Any) -> np.ndarray:
        """The gradient of a weight, as ours has it."""
        g = np.asarray(gradient)
        if g.ndim == 4:
            return of_filters(g)
        if name in self._channels:
            (features, K), C = g.shape, self._channels[name]
            side = isqrt(features // C)
            return g.T.reshape(K, side, side, C).transpose(0, 3, 1, 2).reshape(K, -1)
        return g.T
