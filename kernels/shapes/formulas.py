"""The formulas, one axis at a time and unchecked."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import NamedTuple

Pair = tuple[int, int]  # (along the height, along the width), or (before, after)
Shape4 = tuple[int, int, int, int]  # (N, C, H, W), or (K, C/groups, R, S)
Geometry = tuple[Pair, Pair, Pair, int]  # stride, padding, dilation, groups
Shape = Sequence[int]


def span(kernel: int, dilation: int = 1) -> int:
    """Return the pixels from a kernel's first tap to its last: dilation*(kernel - 1) + 1."""
    return dilation * (kernel - 1) + 1


def conv_output_size(
    size: int, kernel: int, stride: int = 1, padding: int = 0, dilation: int = 1
) -> int:
    """Return the outputs of a convolution: floor((size + 2*padding - span) / stride) + 1."""
    return (size + 2 * padding - span(kernel, dilation)) // stride + 1


def conv2d_output_size(
    size: Shape, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair
) -> Pair:
    """Return (P, Q): `conv_output_size` along both axes."""
    P, Q = map(conv_output_size, size, kernel, stride, padding, dilation)
    return P, Q


def conv_transpose_output_size(
    size: int,
    kernel: int,
    stride: int = 1,
    padding: int = 0,
    output_padding: int = 0,
    dilation: int = 1,
) -> int:
    """Return (size - 1)*stride - 2*padding + span + output_padding.

    A strided convolution rounds down, so `stride` image sizes share one output size;
    `output_padding` chooses among them.
    """
    return (size - 1) * stride - 2 * padding + span(kernel, dilation) + output_padding


def pool_output_size(
    size: int,
    kernel: int,
    stride: int,
    padding: int = 0,
    dilation: int = 1,
    ceil_mode: bool = False,
) -> int:
    """Return the outputs of a pooling: conv_output_size, or with ceil_mode its ceiling.

    The ceiling adds a last window that hangs over the edge. As in PyTorch it counts only if it
    starts in the image or the left padding: (output - 1)*stride < size + padding.
    """
    if not ceil_mode:
        return conv_output_size(size, kernel, stride, padding, dilation)
    output = -((size + 2 * padding - span(kernel, dilation)) // -stride) + 1
    return output - 1 if (output - 1) * stride >= size + padding else output


def same_padding(size: int, kernel: int, stride: int = 1, dilation: int = 1) -> Pair:
    """Return the padding (before, after) for ceil(size / stride) outputs; the odd pixel goes after.

    At stride 1 this is PyTorch's padding="same", whatever the size; for larger strides, which
    PyTorch refuses (`check_same_padding`), it is Keras's.
    """
    output = -(size // -stride)
    total = max((output - 1) * stride + span(kernel, dilation) - size, 0)
    return total // 2, total - total // 2


def pool_windows(
    size: int, kernel: int, stride: int, padding: int = 0, ceil_mode: bool = False
) -> list[Pair]:
    """Return (start, end) of each pooling window, end excluded; the padding is below 0 and >= size.

    start = i*stride - padding, end = start + kernel. The last window of ceil_mode, which hangs over
    the edge, ends with the padding, end = size + padding: an average counts no pixels beyond.
    """
    outputs = pool_output_size(size, kernel, stride, padding, 1, ceil_mode)
    starts = [i * stride - padding for i in range(outputs)]
    return [(start, min(start + kernel, size + padding)) for start in starts]


def conv_padding(
    padding: str | Shape, size: Shape, kernel: Shape, stride: Shape, dilation: Shape
) -> tuple[Pair, ...]:
    """Return (before, after) along each axis of a convolution's padding: integers, or a name.

    "valid" is none, "same" and "keras_same" are `same_padding`.
    """
    if padding == "valid":
        return ((0, 0),) * len(size)
    if isinstance(padding, str):
        return tuple(map(same_padding, size, kernel, stride, dilation))
    return tuple((p, p) for p in padding)


def adaptive_windows(size: int, output: int) -> list[Pair]:
    """Return (start, end) of each adaptive-pooling window i of `output`, end excluded.

    start = floor(i*size / output), end = ceil((i + 1)*size / output): together they cover every
    pixel, and they overlap when output does not divide size.
    """
    return [(i * size // output, -((i + 1) * size // -output)) for i in range(output)]


def windows_over(windows: Sequence[Pair], size: int) -> list[Pair]:
    """Return (first, last) of the windows over each of `size` pixels, last excluded.

    Neither the starts nor the ends of the windows may decrease; then the windows over a pixel are
    neighbours, and the gradient of sums over windows is again sums over windows: these.
    """
    starts, ends = [start for start, _ in windows], [end for _, end in windows]
    return [(bisect_right(ends, pixel), bisect_right(starts, pixel)) for pixel in range(size)]


def dropped_pixels(
    size: int, kernel: int, stride: int = 1, padding: int = 0, dilation: int = 1
) -> int:
    """Return the image pixels after the last window: max(remainder - padding, 0).

    The remainder is what the stride leaves over, (size + 2*padding - span) mod stride; the right
    padding is lost first.
    """
    return max((size + 2 * padding - span(kernel, dilation)) % stride - padding, 0)


class ReceptiveField(NamedTuple):
    """What one output of a chain of layers sees of the image, along one axis, in pixels."""

    size: int  # pixels from the first seen to the last
    jump: int  # pixels between the fields of two neighbouring outputs
    start: int  # first pixel that output 0 sees; negative inside the padding


def receptive_field(layers: Iterable[tuple[int, int, int, int]]) -> ReceptiveField:
    """Return the receptive field of a chain of (kernel, stride, padding, dilation) layers.

    Per layer: size += (span - 1)*jump, start -= padding*jump, then jump *= stride
    (Araujo, Norris & Sim 2019, "Computing receptive fields of convolutional neural networks").
    """
    size, jump, start = 1, 1, 0
    for kernel, stride, padding, dilation in layers:
        size += (span(kernel, dilation) - 1) * jump
        start -= padding * jump
        jump *= stride
    return ReceptiveField(size, jump, start)
