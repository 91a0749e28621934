"""A rung that computes nothing: kernels that return zeros of the right shape, and take notes.

`summary` runs a network on it. The zeros lie in memory that the operating system does not fill
until somebody touches it, so an array of any size is free.
"""

from __future__ import annotations

import math
import weakref
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from minicnn.errors import ArgumentError
from minicnn.kernels.shapes import conv_output_size, pool_output_size, span

Pair = tuple[int, int]


class Recorder(Protocol):
    """Who is told what the kernels would have done."""

    def count(self, macs: int, im2col_bytes: int) -> None:
        """A kernel's multiply-accumulates, and the bytes of its unfolded input."""

    def saw(self, seen: Field | None) -> None:
        """The receptive field of the latest result."""


@dataclass(frozen=True)
class Field:
    """The receptive field of one value: its size, and the step between neighbours, in pixels."""

    size: Pair
    jump: Pair

    def through(self, kernel: Pair, stride: Pair, dilation: Pair) -> Field:
        """The field behind one more sliding window: size += (span-1)*jump, jump *= stride."""
        axes = range(2)
        size = [self.size[i] + (span(kernel[i], dilation[i]) - 1) * self.jump[i] for i in axes]
        jump = [self.jump[i] * stride[i] for i in axes]
        return Field((size[0], size[1]), (jump[0], jump[1]))


class ShapesBackend:
    """The kernel contract's forward half, returning unfilled zeros of the right shape.

    Receptive fields travel with the memory of the arrays, so views and reshapes keep theirs; after
    an operation that is no kernel (an addition, a concatenation) the latest field stands in.
    """

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._fields: dict[int, Field | None] = {}
        self._latest: Field | None = None
        self._whole: Pair = (0, 0)
        self._batch = 0

    def image(self, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        """The network's input: each pixel sees itself."""
        self._batch = shape[0]
        pixel = Field((1, 1), (1, 1)) if len(shape) == 4 else None
        if len(shape) == 4:
            self._whole = (shape[2], shape[3])
        return self._made(shape, dtype, pixel)

    def conv2d(self, x, w, b, stride, padding, dilation, groups, *, out=None):
        N, C, H, W = x.shape
        K, group_channels, R, S = w.shape
        P = conv_output_size(H, R, stride[0], padding[0], dilation[0])
        Q = conv_output_size(W, S, stride[1], padding[1], dilation[1])
        taps = R * S * P * Q
        self._recorder.count(N * K * group_channels * taps, N * C * taps * x.dtype.itemsize)
        return self._made((N, K, P, Q), x.dtype, self._slide(x, (R, S), stride, dilation))

    def max_pool2d(self, x, kernel, stride, padding, dilation, ceil_mode):
        N, C, H, W = x.shape
        geometry = zip((H, W), kernel, stride, padding, dilation, strict=True)
        P, Q = (pool_output_size(*axis, ceil_mode) for axis in geometry)
        y = self._made((N, C, P, Q), x.dtype, self._slide(x, kernel, stride, dilation))
        return y, np.zeros(y.shape, np.int32)

    def unfold(self, x, kernel, dilation, padding, stride, *, out=None):
        N, C, H, W = x.shape
        axes = zip((H, W), kernel, stride, padding, dilation, strict=True)
        P, Q = (conv_output_size(*axis) for axis in axes)
        shape = (N, C * math.prod(kernel), P * Q)
        return self._made(shape, x.dtype, self._slide(x, kernel, stride, dilation))

    def fold(self, cols, output_shape, kernel, dilation, padding, stride, *, out=None):
        return self._made(output_shape, cols.dtype, self._field(cols))

    def linear(self, x, w, b, *, out=None):
        M, features = x.shape
        self._recorder.count(M * w.shape[0] * features, 0)
        seen = self._field(x)
        if seen is not None and self._batch == M:  # one row an image: it sees all of it
            seen = Field(self._whole, self._whole)
        return self._made((M, w.shape[0]), x.dtype, seen)

    def relu(self, x, *, out=None):
        return self._made(x.shape, x.dtype, self._field(x))

    def dropout(self, x, p, seed, offset, *, out=None):
        return self.relu(x)

    def softmax_cross_entropy(self, logits, target):
        return np.zeros(len(logits), logits.dtype), self.relu(logits)

    def _made(self, shape: tuple[int, ...], dtype: np.dtype, seen: Field | None) -> np.ndarray:
        try:
            array = np.zeros(shape, dtype)  # calloc: pages come into being when someone writes
        except MemoryError as reason:
            raise ArgumentError(
                f"summary: an activation {shape} of {dtype} is more than this machine could hold. "
                "Use a smaller batch_size or input_size."
            ) from reason
        address = array.ctypes.data
        weakref.finalize(array, self._fields.pop, address, None)  # others may get the address
        self._fields[address] = self._latest = seen
        self._recorder.saw(seen)
        return array

    def _field(self, x: np.ndarray) -> Field | None:
        return self._fields.get(x.ctypes.data, self._latest)

    def _slide(self, x: np.ndarray, kernel: Pair, stride: Pair, dilation: Pair) -> Field | None:
        seen = self._field(x)
        return None if seen is None else seen.through(kernel, stride, dilation)
