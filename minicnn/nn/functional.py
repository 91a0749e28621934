"""Functions without state, under PyTorch's names: the public face of `minicnn.ops`."""

from __future__ import annotations

from typing import Any

from minicnn import random
from minicnn.errors import ArgumentError
from minicnn.kernels.shapes import Pair
from minicnn.ops import activation, conv, elementwise, loss, pool, reduce
from minicnn.ops import dropout as dropout_op
from minicnn.ops import linear as linear_op
from minicnn.ops import unfold as unfold_op
from minicnn.tensor import Tensor

__all__ = [
    "binary_cross_entropy_with_logits",
    "conv2d",
    "cross_entropy",
    "dropout",
    "fold",
    "linear",
    "log_softmax",
    "max_pool2d",
    "relu",
    "sigmoid",
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


def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """max(x, 0). `inplace` is accepted and computed out of place."""
    return activation.relu(input)


def sigmoid(input: Tensor) -> Tensor:
    """1/(1+exp(-x))."""
    return elementwise.sigmoid(input)


def tanh(input: Tensor) -> Tensor:
    """The hyperbolic tangent."""
    return elementwise.tanh(input)


def softmax(input: Tensor, dim: int) -> Tensor:
    """exp(x)/Σexp(x) along `dim`."""
    return reduce.softmax(input, dim)


def log_softmax(input: Tensor, dim: int) -> Tensor:
    """x - log Σexp(x) along `dim`."""
    return reduce.log_softmax(input, dim)


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


def _reduce(op: str, losses: Tensor, reduction: str) -> Tensor:
    if reduction == "mean":
        return losses.mean()
    if reduction == "sum":
        return losses.sum()
    if reduction == "none":
        return losses
    raise ArgumentError(f'{op}: reduction must be "mean", "sum" or "none", got {reduction!r}')


def cross_entropy(input: Tensor, target: Tensor, *, reduction: str = "mean") -> Tensor:
    """-log softmax(x)[target], for logits that are not yet normalised.

    Args:
        input: logits (N, classes), or (classes,) for one example.
        target: class indices (N,), or (), of an integer dtype, in 0 … classes-1.
        reduction: "mean" over the batch, "sum", or "none".
    """
    if input.ndim == 1:
        losses = loss.softmax_cross_entropy(input.unsqueeze(0), target.reshape(1)).squeeze(0)
    else:
        losses = loss.softmax_cross_entropy(input, target)
    return _reduce("cross_entropy", losses, reduction)


def binary_cross_entropy_with_logits(
    input: Tensor, target: Tensor, *, reduction: str = "mean"
) -> Tensor:
    """-t·log σ(x) - (1-t)·log(1-σ(x)) for logits x and targets t in [0, 1] of the same shape."""
    return _reduce(
        "binary_cross_entropy_with_logits", loss.bce_with_logits(input, target), reduction
    )
