"""A rung that computes nothing: kernels that return zeros of the right shape, and take notes.

`summary` runs a network on it. The zeros lie in memory that the operating system does not fill
until somebody touches it, so an array of any size is free.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from minicnn.errors import ArgumentError
from minicnn.kernels.shapes import adaptive_windows, conv_output_size, pool_output_size, span

Pair = tuple[int, int]


class Recorder(Protocol):
    """Who is told what the kernels would have done."""

    def count(self, macs: int, im2col_bytes: int) -> None:
        """A kernel's multiply-accumulates, and the bytes of its unfolded input."""

    def saw(self, seen: Field | None) -> None:
        """The receptive field of the latest result."""


class Window(NamedTuple):
    """A sliding window along one axis, or the transpose of one, which paints where that looks."""

    span: int = 1
    stride: int = 1
    padding: int = 0
    transposed: bool = False

    def under(self, first: int, last: int) -> Pair:
        """The first and last pixel that the outputs from `first` to `last` see."""
        if self.transposed:  # pixel i is seen by i*stride - padding and the span from there
            ceiling = -((self.span - 1 - self.padding - first) // self.stride)
            return ceiling, (last + self.padding) // self.stride
        start, end = first * self.stride, last * self.stride + self.span - 1
        return start - self.padding, end - self.padding


@dataclass(frozen=True)
class Field:
    """The receptive field of one value: the windows between the image and it, along each axis."""

    windows: tuple[tuple[Window, ...], ...]

    @property
    def size(self) -> tuple[int, ...]:
        """How many pixels it spans, for the value that sees most."""
        return tuple(map(_most_seen, self.windows))

    def through(self, windows: Sequence[Window]) -> Field:
        """The field behind one more window along each axis."""
        axes = zip(self.windows, windows, strict=True)
        return Field(tuple((*before, window) for before, window in axes))


def _most_seen(windows: tuple[Window, ...]) -> int:
    """The pixels under one value; behind a transposed window, neighbours see different numbers."""
    most = 0
    for value in range(math.prod(window.stride for window in windows if window.transposed)):
        first = last = value
        for window in reversed(windows):
            first, last = window.under(first, last)
        most = max(most, last - first + 1)
    return most


class ShapesBackend:
    """The kernel contract's forward half, returning unfilled zeros of the right shape.

    Receptive fields travel with the memory of the arrays, so views and reshapes keep theirs; after
    an operation that is no kernel (an addition, a concatenation) the latest field stands in.
    """

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._fields: dict[int, Field | None] = {}
        self._latest: Field | None = None
        self._whole: tuple[int, ...] = ()
        self._batch = 0

    def image(self, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        """The network's input: each pixel sees itself."""
        self._batch = shape[0]
        self._whole = shape[2:]
        axes = len(self._whole)
        return self._made(shape, dtype, Field(((),) * axes) if axes in (1, 2, 3) else None)

    def conv2d(self, x, w, b, stride, padding, dilation, groups, *, out=None):
        N, C, H, W = x.shape
        K, group_channels, R, S = w.shape
        P = conv_output_size(H, R, stride[0], padding[0], dilation[0])
        Q = conv_output_size(W, S, stride[1], padding[1], dilation[1])
        taps = R * S * P * Q
        self._recorder.count(N * K * group_channels * taps, N * C * taps * x.dtype.itemsize)
        seen = self._slide(x, (R, S), stride, dilation, padding)
        return self._made((N, K, P, Q), x.dtype, seen)

    def conv2d_input_grad(
        self, dy, w, input_shape, stride, padding, dilation, groups, *, out=None
    ):  # the forward pass of a transposed convolution
        taps = math.prod(w.shape[2:])
        columns = input_shape[0] * input_shape[1] * taps * math.prod(dy.shape[2:])
        self._recorder.count(dy.size * w.shape[1] * taps, columns * dy.dtype.itemsize)
        seen = self._slide(dy, w.shape[2:], stride, dilation, padding, transposed=True)
        return self._made(input_shape, dy.dtype, seen)

    def max_pool2d(self, x, kernel, stride, padding, dilation, ceil_mode):
        N, C, H, W = x.shape
        geometry = zip((H, W), kernel, stride, padding, dilation, strict=True)
        P, Q = (pool_output_size(*axis, ceil_mode) for axis in geometry)
        seen = self._slide(x, kernel, stride, dilation, padding)
        y = self._made((N, C, P, Q), x.dtype, seen)
        return y, np.zeros(y.shape, np.int32)

    def avg_pool2d(
        self, x, kernel, stride, padding, ceil_mode, count_include_pad, divisor_override
    ):
        return self.max_pool2d(x, kernel, stride, padding, (1, 1), ceil_mode)[0]

    def adaptive_avg_pool2d(self, x, output_size):
        return self.adaptive_max_pool2d(x, output_size)[0]

    def adaptive_max_pool2d(self, x, output_size):
        windows = [np.reshape(w, (-1, 2)) for w in map(adaptive_windows, x.shape[2:], output_size)]
        most = [int(np.max(w[:, 1] - w[:, 0], initial=1)) for w in windows]
        steps = [int(np.max(np.diff(w[:, 0]), initial=1)) for w in windows]  # where they vary: most
        seen = self._slide(x, (most[0], most[1]), (steps[0], steps[1]), (1, 1))
        y = self._made((*x.shape[:2], *output_size), x.dtype, seen)
        return y, np.zeros(y.shape, np.int32)

    def unfold(self, x, kernel, dilation, padding, stride, *, out=None):
        N, C, H, W = x.shape
        axes = zip((H, W), kernel, stride, padding, dilation, strict=True)
        P, Q = (conv_output_size(*axis) for axis in axes)
        shape = (N, C * math.prod(kernel), P * Q)
        seen = self._slide(x, kernel, stride, dilation, padding, depth=True)
        return self._made(shape, x.dtype, seen)

    def fold(self, cols, output_shape, kernel, dilation, padding, stride, *, out=None):
        return self._made(output_shape, cols.dtype, self._field(cols))

    def linear(self, x, w, b, *, out=None):
        M, features = x.shape
        self._recorder.count(M * w.shape[0] * features, 0)
        seen = self._field(x)
        if seen is not None and self._batch == M:  # one row an image: it sees all of it
            seen = Field(tuple((Window(n, n),) for n in self._whole))
        elif len(self._whole) == 1:  # rows of features, not of pixels
            seen = None
        return self._made((M, w.shape[0]), x.dtype, seen)

    def relu(self, x, *, out=None):
        return self._made(x.shape, x.dtype, self._field(x))

    def hardtanh(self, x, *options, out=None):
        return self.relu(x)

    leaky_relu = elu = sigmoid = tanh = silu = gelu = softmax = log_softmax = hardtanh

    response_norm = hardtanh

    def batch_moments(self, x):
        return np.zeros(x.shape[1], x.dtype), np.ones(x.shape[1], x.dtype)

    def batch_norm(self, x, *statistics, out=None):
        return self.relu(x)

    def dropout(self, x, p, seed, offset, *, out=None):
        return self.relu(x)

    def gather2d(self, x, rows, columns, fill, *, out=None):
        padded = _in_one_run(rows) and _in_one_run(columns)  # else resized: no field in pixels
        shape = (*x.shape[:2], rows.size, columns.size)
        return self._made(shape, x.dtype, self._field(x) if padded else None)

    def bilinear2d(self, x, rows, columns, *, out=None):
        return self._made((*x.shape[:2], rows.size, columns.size), x.dtype, None)

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

    def _slide(
        self,
        x: np.ndarray,
        kernel: Pair,
        stride: Pair,
        dilation: Pair,
        padding: Pair = (0, 0),
        *,
        transposed: bool = False,
        depth: bool = False,
    ) -> Field | None:
        """The field behind a 2-d kernel.

        A row is an image of height 1; of a volume, 3-d layers unfold the depth first (`depth`), and
        then work on its slices.
        """
        seen = self._field(x)
        if seen is None:
            return None
        geometry = zip(kernel, dilation, stride, padding, strict=True)
        windows = [Window(span(k, d), s, p, transposed) for k, d, s, p in geometry]
        axes = len(seen.windows)
        if axes == 3:
            windows = [windows[0], Window(), Window()] if depth else [Window(), *windows]
        return seen.through(windows[-axes:])


def _in_one_run(picks: np.ndarray) -> bool:
    """Whether all pixels that are picked are also found in a row, c, c + 1, c + 2, ..."""
    breaks = np.flatnonzero((np.diff(picks) != 1) | (picks[:-1] < 0)) + 1
    longest = np.diff([0, *breaks, picks.size]).max()
    return bool(longest >= np.unique(picks[picks >= 0]).size)
