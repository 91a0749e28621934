"""Functions without state, under PyTorch's names: the public face of `minicnn.ops`."""

from __future__ import annotations

import warnings
from typing import Any

from minicnn import random
from minicnn.errors import ArgumentError, ShapeError
from minicnn.kernels.shapes import Pair
from minicnn.ops import conv, elementwise, pool, reduce
from minicnn.ops import dropout as dropout_op
from minicnn.ops import linear as linear_op
from minicnn.ops import unfold as unfold_op
from minicnn.ops.activation import elu, gelu, hardtanh, leaky_relu, relu, relu6, silu
from minicnn.ops.elementwise_loss import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    huber_loss,
    l1_loss,
    mse_loss,
    smooth_l1_loss,
)
from minicnn.ops.loss import cross_entropy, nll_loss, one_hot
from minicnn.tensor import Tensor

__all__ = [
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "conv2d",
    "cross_entropy",
    "dropout",
    "dropout2d",
    "elu",
    "fold",
    "gelu",
    "hardtanh",
    "huber_loss",
    "l1_loss",
    "leaky_relu",
    "linear",
    "log_softmax",
    "max_pool2d",
    "mse_loss",
    "nll_loss",
    "one_hot",
    "relu",
    "relu6",
    "sigmoid",
    "silu",
    "smooth_l1_loss",
    "softmax",
    "tanh",
    "unfold",
]


def conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | Pair = 1,
    padding: int | Pair = 0,
    dilation: int | Pair = 1,
    groups: int = 1,
) -> Tensor:
    """Slide each filter over the image and take the dot product at every position.

    y[n,k,p,q] = b[k] + Σ_{c,r,s} w[k,c,r,s] · x[n, c, p·stride + r·dilation - padding, q·… + s·…]

    (a cross-correlation: the filter is not flipped), with output height
    P = ⌊(H + 2·padding - dilation·(R-1) - 1)/stride⌋ + 1, and likewise the width Q.

    Args:
        input: (N, C, H, W), or (C, H, W) for one image; float32 or float64.
        weight: (K, C/groups, R, S), of the same dtype.
        bias: (K,), or None.
        stride, padding, dilation: an integer, or (along height, along width). Padding is zeros.
        groups: input and output channels are cut into this many groups that do not mix.

    Returns:
        (N, K, P, Q), or (K, P, Q).

    Raises:
        ShapeError, ArgumentError: sizes that do not fit; the message has the formula's numbers.
        DtypeError: dtypes that differ or are not float32 or float64.
    """
    return conv.conv2d(input, weight, bias, stride, padding, dilation, groups)


def unfold(
    input: Tensor,
    kernel_size: int | Pair,
    dilation: int | Pair = 1,
    padding: int | Pair = 0,
    stride: int | Pair = 1,
) -> Tensor:
    """im2col: each window of `input` (N, C, H, W) as a column of (N, C·R·S, P·Q).

    conv2d is then a matrix product: `weight.reshape(K, -1) @ unfold(input)`.
    """
    return unfold_op.unfold(input, kernel_size, dilation, padding, stride)


def fold(
    input: Tensor,
    output_size: int | Pair,
    kernel_size: int | Pair,
    dilation: int | Pair = 1,
    padding: int | Pair = 0,
    stride: int | Pair = 1,
) -> Tensor:
    """col2im: columns (N, C·R·S, P·Q) added up where `unfold` takes them from, as (N, C, H, W)."""
    return unfold_op.fold(input, output_size, kernel_size, dilation, padding, stride)


def max_pool2d(
    input: Tensor,
    kernel_size: int | Pair,
    stride: int | Pair | None = None,
    padding: int | Pair = 0,
    dilation: int | Pair = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The maximum of each window; padding counts as -∞ and NaN as larger than all.

    Args:
        input: (N, C, H, W) or (C, H, W), float32 or float64.
        kernel_size, stride, padding, dilation: an integer or (height, width); stride defaults to
            the kernel's size, padding is at most half of it.
        ceil_mode: round the output size up, so that the last window may hang over the edge.
        return_indices: also return the winners' places (h·W + w), int64.
    """
    y, indices = pool.max_pool2d(input, kernel_size, stride, padding, dilation, ceil_mode)
    return (y, indices.long()) if return_indices else y


def sigmoid(input: Tensor) -> Tensor:
    """1/(1+exp(-x))."""
    return elementwise.sigmoid(input)


def tanh(input: Tensor) -> Tensor:
    """The hyperbolic tangent."""
    return elementwise.tanh(input)


def softmax(input: Tensor, dim: int | None = None, *, dtype: Any = None) -> Tensor:
    """exp(x)/Σexp(x) along `dim`, after a cast to `dtype` if one is given.

    Without `dim` it is 1 for 2 or more than 3 dimensions, else 0, with a warning, as in PyTorch.
    """
    input, dim = _normalised("softmax", input, dim, dtype)
    return reduce.softmax(input, dim)


def log_softmax(input: Tensor, dim: int | None = None, *, dtype: Any = None) -> Tensor:
    """x - log Σexp(x) along `dim`; otherwise as `softmax`."""
    input, dim = _normalised("log_softmax", input, dim, dtype)
    return reduce.log_softmax(input, dim)


def _normalised(op: str, x: Tensor, dim: int | None, dtype: Any) -> tuple[Tensor, int]:
    if dim is None:
        dim = 0 if x.ndim in (0, 1, 3) else 1
        warnings.warn(f"{op}: no dim was given; taking dim={dim}. Say which.", stacklevel=3)
    return (x if dtype is None else x.to(dtype)), dim


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x·Wᵀ + b over the last axis: `input` (…, in), `weight` (out, in), `bias` (out,)."""
    return linear_op.linear(input, weight, bias)


def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """In training, each element is zeroed with probability p and the others scaled by 1/(1-p).

    The mask comes from a counter-based generator (`minicnn.random`): the same on every rung and at
    any thread count. Source: Srivastava et al. 2014.
    """
    if not 0 <= p <= 1:
        raise ArgumentError(f"dropout: p must be a probability from 0 to 1, got {p}")
    if not training or p == 0:
        return input
    return dropout_op.dropout(input, p, *random.next_operation())


def dropout2d(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Tensor:
    """`dropout` of whole channels: neighbouring pixels tell the same, so single ones are no loss.

    `input` is (N, C, H, W). Three dimensions are taken for (N, C, L), with a warning, as in
    PyTorch. Source: Tompson et al. 2015, "Efficient object localization", section 3.2.
    """
    op = "dropout2d"
    if not 0 <= p <= 1:
        raise ArgumentError(f"{op}: p must be a probability from 0 to 1, got {p}")
    if input.ndim not in (3, 4):
        raise ShapeError(f"{op}: expected (N, C, H, W), got shape {tuple(input.shape)}")
    if input.ndim == 3:
        warnings.warn(
            f"{op}: shape {tuple(input.shape)} is taken for (N, C, L). For one image (C, H, W) "
            "use .unsqueeze(0).",
            stacklevel=2,
        )
    if not training or p == 0:
        return input
    return dropout_op.channel_dropout(input, p, *random.next_operation())
