"""Functions without state, under PyTorch's names: the public face of `minicnn.ops`."""

from __future__ import annotations

import warnings

from minicnn import random
from minicnn.errors import ShapeError
from minicnn.ops import dropout as dropout_op
from minicnn.ops.activation import (
    elu,
    gelu,
    hardtanh,
    leaky_relu,
    relu,
    relu6,
    sigmoid,
    silu,
    tanh,
)
from minicnn.ops.adaptive_pool import (
    adaptive_avg_pool1d,
    adaptive_avg_pool2d,
    adaptive_max_pool1d,
    adaptive_max_pool2d,
    global_avg_pool2d,
    global_max_pool2d,
)
from minicnn.ops.avg_pool import avg_pool1d, avg_pool2d
from minicnn.ops.conv import conv1d, conv2d, conv3d
from minicnn.ops.conv_transpose import conv_transpose1d, conv_transpose2d
from minicnn.ops.elementwise import require_tensor
from minicnn.ops.elementwise_loss import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    huber_loss,
    l1_loss,
    mse_loss,
    smooth_l1_loss,
)
from minicnn.ops.linear import linear
from minicnn.ops.loss import cross_entropy, nll_loss, one_hot
from minicnn.ops.norm import batch_norm
from minicnn.ops.pad import pad
from minicnn.ops.pool import max_pool1d, max_pool2d
from minicnn.ops.resize import interpolate
from minicnn.ops.response_norm import local_response_norm
from minicnn.ops.softmax import log_softmax, softmax
from minicnn.ops.unfold import fold, unfold
from minicnn.tensor import Tensor

__all__ = [
    "adaptive_avg_pool1d",
    "adaptive_avg_pool2d",
    "adaptive_max_pool1d",
    "adaptive_max_pool2d",
    "avg_pool1d",
    "avg_pool2d",
    "batch_norm",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "conv1d",
    "conv2d",
    "conv3d",
    "conv_transpose1d",
    "conv_transpose2d",
    "cross_entropy",
    "dropout",
    "dropout2d",
    "elu",
    "fold",
    "gelu",
    "global_avg_pool2d",
    "global_max_pool2d",
    "hardtanh",
    "huber_loss",
    "interpolate",
    "l1_loss",
    "leaky_relu",
    "linear",
    "local_response_norm",
    "log_softmax",
    "max_pool1d",
    "max_pool2d",
    "mse_loss",
    "nll_loss",
    "one_hot",
    "pad",
    "relu",
    "relu6",
    "sigmoid",
    "silu",
    "smooth_l1_loss",
    "softmax",
    "tanh",
    "unfold",
]


def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """In training, each element is zeroed with probability p and the others scaled by 1/(1-p).

    The mask comes from a counter-based generator (`minicnn.random`): the same on every rung and at
    any thread count. Source: Srivastava et al. 2014.
    """
    dropout_op.check_probability("dropout", p)
    require_tensor("dropout", input)
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
    dropout_op.check_probability(op, p)
    require_tensor(op, input)
    if input.ndim not in (3, 4):
        raise ShapeError(
            f"{op}: expected (N, C, H, W), got shape {tuple(input.shape)}."
            " Add an axis of one with x[None], or use dropout."
        )
    if input.ndim == 3:
        warnings.warn(
            f"{op}: shape {tuple(input.shape)} is taken for (N, C, L). For one image (C, H, W) "
            "use .unsqueeze(0).",
            stacklevel=2,
        )
    if not training or p == 0:
        return input
    return dropout_op.channel_dropout(input, p, *random.next_operation())
