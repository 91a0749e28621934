"""The rung "numba": every kernel compiled to machine code, in parallel.

Its one idea over "numpy": **keep data where it is used**. im2col writes R*S copies of the image to
memory and reads them back; here a tile of a few filters and a run of pixels reads the image
itself, packed once into a block that stays in the cache, and each number that is fetched is used
many times. What NumPy does in several passes over memory is one pass here.
"""

from .activation import relu, relu_grad
from .conv import conv2d, conv2d_bias_grad, conv2d_input_grad, conv2d_weight_grad
from .dropout import dropout, philox
from .linear import linear, linear_bias_grad, linear_input_grad, linear_weight_grad
from .loss import softmax_cross_entropy, softmax_cross_entropy_grad
from .optim import adam_step, sgd_step
from .pool import max_pool2d, max_pool2d_grad
from .unfold import fold, unfold

__all__ = [
    "adam_step",
    "conv2d",
    "conv2d_bias_grad",
    "conv2d_input_grad",
    "conv2d_weight_grad",
    "dropout",
    "fold",
    "linear",
    "linear_bias_grad",
    "linear_input_grad",
    "linear_weight_grad",
    "max_pool2d",
    "max_pool2d_grad",
    "philox",
    "relu",
    "relu_grad",
    "sgd_step",
    "softmax_cross_entropy",
    "softmax_cross_entropy_grad",
    "unfold",
]
