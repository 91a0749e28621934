"""The rung "numba": every kernel compiled to machine code, in parallel.

Its one idea over "numpy": **keep data where it is used**. im2col writes R*S copies of the image to
memory and reads them back; here a tile of 8 pixels and some dozens of filters, whose sums stay in
registers, reads the image where it lies, and each number that is fetched is used many times. What
NumPy does in several passes over memory is one pass here.
"""

from typing import Any

import numpy as np

from ._jit import cache_dir, cache_state
from ._paths import PATHS, forced
from .activation import (
    elu,
    elu_grad,
    gelu,
    gelu_grad,
    hardtanh,
    hardtanh_grad,
    leaky_relu,
    leaky_relu_grad,
    relu,
    relu_grad,
    sigmoid,
    sigmoid_grad,
    silu,
    silu_grad,
    tanh,
    tanh_grad,
)
from .adaptive_pool import adaptive_avg_pool2d, adaptive_avg_pool2d_grad, adaptive_max_pool2d
from .avg_pool import avg_pool2d, avg_pool2d_grad
from .bilinear import bilinear2d, bilinear2d_grad
from .conv import (
    conv2d,
    conv2d_bias_grad,
    conv2d_input_grad,
    conv2d_relu,
    conv2d_weight_grad,
)
from .dropout import dropout, philox
from .gather import gather2d, gather2d_grad
from .image import byte_planes, unit_planes
from .linear import linear, linear_bias_grad, linear_input_grad, linear_weight_grad
from .loss import softmax_cross_entropy, softmax_cross_entropy_grad
from .norm import batch_moments, batch_norm, batch_norm_input_grad, batch_norm_weight_grad
from .optim import adam_step, sgd_step
from .pool import max_pool2d, max_pool2d_grad
from .response_norm import response_norm, response_norm_grad
from .softmax import log_softmax, log_softmax_grad, softmax, softmax_grad
from .unfold import fold, unfold

__all__ = [
    "adam_step",
    "adaptive_avg_pool2d",
    "adaptive_avg_pool2d_grad",
    "adaptive_max_pool2d",
    "avg_pool2d",
    "avg_pool2d_grad",
    "batch_moments",
    "batch_norm",
    "batch_norm_input_grad",
    "batch_norm_weight_grad",
    "bilinear2d",
    "bilinear2d_grad",
    "byte_planes",
    "cache_dir",
    "cache_state",
    "conv2d",
    "conv2d_bias_grad",
    "conv2d_input_grad",
    "conv2d_relu",
    "conv2d_weight_grad",
    "dropout",
    "elu",
    "elu_grad",
    "fold",
    "gather2d",
    "gather2d_grad",
    "gelu",
    "gelu_grad",
    "hardtanh",
    "hardtanh_grad",
    "leaky_relu",
    "leaky_relu_grad",
    "linear",
    "linear_bias_grad",
    "linear_input_grad",
    "linear_weight_grad",
    "log_softmax",
    "log_softmax_grad",
    "max_pool2d",
    "max_pool2d_grad",
    "philox",
    "relu",
    "relu_grad",
    "response_norm",
    "response_norm_grad",
    "sgd_step",
    "sigmoid",
    "sigmoid_grad",
    "silu",
    "silu_grad",
    "softmax",
    "softmax_cross_entropy",
    "softmax_cross_entropy_grad",
    "softmax_grad",
    "tanh",
    "tanh_grad",
    "unfold",
    "unit_planes",
    "warm",
]


def warm(dtype: Any = np.float32) -> None:
    """Compile every kernel for float32 or float64, or load it from the compile cache."""
    x, w, pair = np.ones((1, 2, 4, 4), dtype), np.ones((4, 2, 3, 3), dtype), (1, 1)
    for path in PATHS:
        with forced(path):
            y = conv2d(x, w, w[:, 0, 0, 0].copy(), pair, pair, pair, 1)
            conv2d_input_grad(y, w, x.shape, pair, pair, pair, 1)
            conv2d_weight_grad(y, x, w.shape, pair, pair, pair, 1)
    conv2d_bias_grad(y)
    fold(unfold(x, pair, pair, (0, 0), pair), x.shape, pair, pair, (0, 0), pair)
    picks, between = np.arange(4, dtype=np.int32), np.arange(4, dtype=dtype)
    for bytes_a_pixel in (3, 4):
        unit_planes(np.zeros((2, 2, bytes_a_pixel), np.uint8), 3, dtype)
        byte_planes(np.zeros((2, 2, bytes_a_pixel), np.uint8), 3)
    gather2d_grad(gather2d(x, picks, picks, 0), picks, picks, x.shape)
    bilinear2d_grad(bilinear2d(x, between, between), between, between, x.shape)
    pooled, places = max_pool2d(x, (2, 2), (2, 2), (0, 0), pair, False)
    max_pool2d_grad(pooled, places, x.shape)
    pooled = avg_pool2d(x, (2, 2), (2, 2), (0, 0), False, True, None)
    avg_pool2d_grad(pooled, x.shape, (2, 2), (2, 2), (0, 0), False, True, None)
    adaptive_avg_pool2d_grad(adaptive_avg_pool2d(x, pair), x.shape)
    adaptive_max_pool2d(x, pair)
    relu_grad(x, relu(x))
    for activation, gradient, *options in (
        (hardtanh, hardtanh_grad, -1.0, 1.0),
        (leaky_relu, leaky_relu_grad, 0.1),
        (elu, elu_grad, 1.0),
        (sigmoid, sigmoid_grad),
        (tanh, tanh_grad),
        (silu, silu_grad),
        (gelu, gelu_grad, "none"),
        (gelu, gelu_grad, "tanh"),
    ):
        gradient(activation(x, *options), x, *options)
    for block in (x.reshape(2, 16, 1), x.reshape(2, 4, 4)):
        softmax_grad(block, softmax(block))
        log_softmax_grad(block, log_softmax(block))
    for block in (x.reshape(2, 1, 16), np.ones((1, 1, 64), dtype)):  # by columns, and by planes
        mean, var = batch_moments(block)
        sums = batch_norm_weight_grad(block, block, mean, var, 0.1)
        batch_norm_input_grad(block, block, mean, var, None, *sums, 0.1)
        batch_norm(block, mean, var, None, None, 0.1)
    response_norm_grad(block, response_norm(block, 2, 0.1, 0.75, 1.0), 2, 0.1, 0.75, 1.0)
    dropout(x, 0.5, 0, 0)
    philox(0, 0, 4)
    logits, target = x.reshape(8, 4), np.zeros(8, np.int64)
    losses, log_probs = softmax_cross_entropy(logits, target)
    softmax_cross_entropy_grad(losses, log_probs, target)
    adam = {"lr": 0.1, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "weight_decay": 0.0}
    adam_step(x.copy(), x, x.copy(), x.copy(), step=1, decoupled=False, **adam)
    sgd = {"lr": 0.1, "momentum": 0.9, "dampening": 0.0, "weight_decay": 0.0}
    for buffer in (None, x.copy()):
        sgd_step(x.copy(), x, buffer, nesterov=False, first=True, **sgd)
