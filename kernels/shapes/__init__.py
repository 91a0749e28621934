"""Every output-size formula: integers in, integers out, no arrays.

`formulas` has them one axis at a time and unchecked, for the kernels. `convolutions` and `windows`
check whole geometries for the ops, along as many axes as they are given: they return the output
shape, or raise a one-line ShapeError or ArgumentError with the formula, the numbers in it and a
remedy. What they take and refuse is what PyTorch does. Derivations: Dumoulin & Visin 2016, "A
guide to convolution arithmetic for deep learning".
"""

from .arguments import PADDINGS, flag, integer, integers, number, padding_argument, pair
from .convolutions import (
    check_conv,
    check_conv_transpose,
    check_same_padding,
    output_padding_for,
)
from .formulas import (
    Geometry,
    Pair,
    ReceptiveField,
    Shape,
    Shape4,
    adaptive_windows,
    conv2d_output_size,
    conv_output_size,
    conv_padding,
    conv_transpose_output_size,
    dropped_pixels,
    pool_output_size,
    pool_windows,
    receptive_field,
    same_padding,
    span,
    windows_over,
)
from .windows import check_adaptive_pool, check_fold, check_pool, check_unfold

check_conv2d, check_conv_transpose2d = check_conv, check_conv_transpose
check_pool2d, check_adaptive_pool2d = check_pool, check_adaptive_pool

__all__ = [
    "PADDINGS",
    "Geometry",
    "Pair",
    "ReceptiveField",
    "Shape",
    "Shape4",
    "adaptive_windows",
    "check_adaptive_pool",
    "check_adaptive_pool2d",
    "check_conv",
    "check_conv2d",
    "check_conv_transpose",
    "check_conv_transpose2d",
    "check_fold",
    "check_pool",
    "check_pool2d",
    "check_same_padding",
    "check_unfold",
    "conv2d_output_size",
    "conv_output_size",
    "conv_padding",
    "conv_transpose_output_size",
    "dropped_pixels",
    "flag",
    "integer",
    "integers",
    "number",
    "output_padding_for",
    "padding_argument",
    "pair",
    "pool_output_size",
    "pool_windows",
    "receptive_field",
    "same_padding",
    "span",
    "windows_over",
]
