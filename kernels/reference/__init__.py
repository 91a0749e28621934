"""The rung "numpy": every kernel, in array-API code that also runs on CuPy arrays.

Its one idea over "loops": **im2col**. Copy the pixels under each kernel position into a column;
then a convolution is one matrix product, and the machine's fastest routine does all the work
(Chellapilla, Puri & Simard 2006, "High performance convolutional neural networks for document
processing").

What predicts its speed: a convolution does 2*N*K*P*Q*R*S*C/groups FLOP at the speed of BLAS, but
first writes, and then reads, the columns: N*C*R*S*P*Q numbers, R*S/stride**2 times the image. At
K filters each column number is used in only K multiply-adds, so with few filters the copying, at
the speed of memory, takes longer than the arithmetic. Pooling makes R*S passes over the output,
and every elementwise kernel one pass over memory per NumPy operation in it.
"""

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
]
