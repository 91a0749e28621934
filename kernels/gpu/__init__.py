"""The rung "cupy": kernels written in CUDA C, one .cu file an op family, launched through CuPy.

Its one idea over "numba": **thousands of threads, each with one number of the result**. A core of
a CPU hides the wait for memory behind caches; a GPU hides it behind other threads, so the code of
one thread is the inside of the textbook's loops, and the loops over the outputs are the grid.

What predicts its speed: a kernel takes the longest of its bytes at the speed of the memory (an
H100: 3.3 TB/s), its FLOPs at the speed of the units (67 TFLOP/s in float32, nearly 500 in TF32 on
tensor cores), and about 5 us to be launched. Each .cu file begins with this sum. What this rung
lacks, the numpy rung computes on the same CuPy arrays; matrix products are cuBLAS, through CuPy's
matmul.

Every kernel gives the same bits each time: sums have one order, no floats are added atomically.
"""

from ._conv_paths import PATHS, forced, tf32
from .activation import (
    elu,
    elu_grad,
    gelu,
    gelu_grad,
    hardtanh_grad,
    leaky_relu,
    leaky_relu_grad,
    relu_grad,
    sigmoid,
    sigmoid_grad,
    silu,
    silu_grad,
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
from .image import unit_planes
from .linear import linear, linear_bias_grad, linear_input_grad, linear_weight_grad
from .loss import softmax_cross_entropy, softmax_cross_entropy_grad
from .norm import batch_moments, batch_norm, batch_norm_input_grad, batch_norm_weight_grad
from .optim import adam_step, adam_steps, sgd_step, sgd_steps
from .pool import max_pool2d, max_pool2d_grad
from .response_norm import response_norm, response_norm_grad
from .softmax import log_softmax, log_softmax_grad, softmax, softmax_grad
from .unfold import fold, unfold

__all__ = [
    "PATHS",
    "adam_step",
    "adam_steps",
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
    "conv2d",
    "conv2d_bias_grad",
    "conv2d_input_grad",
    "conv2d_relu",
    "conv2d_weight_grad",
    "dropout",
    "elu",
    "elu_grad",
    "fold",
    "forced",
    "gather2d",
    "gather2d_grad",
    "gelu",
    "gelu_grad",
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
    "relu_grad",
    "response_norm",
    "response_norm_grad",
    "sgd_step",
    "sgd_steps",
    "sigmoid",
    "sigmoid_grad",
    "silu",
    "silu_grad",
    "softmax",
    "softmax_cross_entropy",
    "softmax_cross_entropy_grad",
    "softmax_grad",
    "tanh_grad",
    "tf32",
    "unfold",
    "unit_planes",
]
