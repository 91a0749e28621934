"""The rung "loops": the textbook's nested loops in plain Python, the definition of each kernel.

Nothing is clever here: an output element is computed where its formula says so, and every other
rung is checked against it. It has convolution, pooling and unfold; the rest is the numpy rung's.

What predicts its speed: one turn of the innermost loop, a multiply-add, takes Python more than
half a microsecond, whatever the sizes, and a convolution takes N*K*P*Q*R*S*C/groups turns. One
3x3 layer of 32 filters over 32 channels at 79x79 is 57 million of them per image: over half a
minute here, a few milliseconds on the rungs that follow.
"""

from .adaptive_pool import adaptive_avg_pool2d, adaptive_avg_pool2d_grad, adaptive_max_pool2d
from .avg_pool import avg_pool2d, avg_pool2d_grad
from .conv import conv2d, conv2d_bias_grad, conv2d_input_grad, conv2d_weight_grad
from .pool import max_pool2d, max_pool2d_grad
from .unfold import fold, unfold

__all__ = [
    "adaptive_avg_pool2d",
    "adaptive_avg_pool2d_grad",
    "adaptive_max_pool2d",
    "avg_pool2d",
    "avg_pool2d_grad",
    "conv2d",
    "conv2d_bias_grad",
    "conv2d_input_grad",
    "conv2d_weight_grad",
    "fold",
    "max_pool2d",
    "max_pool2d_grad",
    "unfold",
]
