"""How large is the output? Every formula, along one axis, as a function of integers.

An image of 224×224 under an 11×11 kernel, stride 4, padding 2 (AlexNet's first layer):

>>> from minicnn import shapes
>>> shapes.conv_output_size(224, kernel=11, stride=4, padding=2)
55

A pooling rounds up with ceil_mode; "same" padding depends on the size where the stride is not 1:

>>> shapes.pool_output_size(6, kernel=3, stride=2)
2
>>> shapes.pool_output_size(6, kernel=3, stride=2, ceil_mode=True)
3
>>> shapes.same_padding(224, kernel=7, stride=2)
(2, 3)

What the stride leaves over at the far edge, no window sees; what an output sees grows from layer
to layer. Layers are (kernel, stride, padding, dilation):

>>> shapes.dropped_pixels(8, kernel=3, stride=3)
2
>>> shapes.receptive_field([(11, 4, 2, 1), (3, 2, 0, 1)])
ReceptiveField(size=19, jump=8, start=-2)

`minicnn shapes` prints them with the numbers put in. Derivations: Dumoulin & Visin 2016, "A guide
to convolution arithmetic for deep learning".
"""

from minicnn.kernels.shapes import (
    ReceptiveField,
    adaptive_windows,
    conv_output_size,
    conv_transpose_output_size,
    dropped_pixels,
    pool_output_size,
    pool_windows,
    receptive_field,
    same_padding,
    span,
)

__all__ = [
    "ReceptiveField",
    "adaptive_windows",
    "conv_output_size",
    "conv_transpose_output_size",
    "dropped_pixels",
    "pool_output_size",
    "pool_windows",
    "receptive_field",
    "same_padding",
    "span",
    "unfold_size",
]


def unfold_size(
    size: tuple[int, int],
    kernel: tuple[int, int],
    stride: tuple[int, int] = (1, 1),
    padding: tuple[int, int] = (0, 0),
    dilation: tuple[int, int] = (1, 1),
    channels: int = 1,
) -> tuple[int, int]:
    """Return (rows, columns) of an image's im2col matrix: (C*R*S taps, P*Q positions).

    >>> unfold_size((224, 224), (11, 11), (4, 4), (2, 2), channels=3)
    (363, 3025)
    """
    P, Q = map(conv_output_size, size, kernel, stride, padding, dilation)
    return channels * kernel[0] * kernel[1], P * Q
