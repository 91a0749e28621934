"""minicnn: a convolution engine to learn from, with PyTorch's names.

import minicnn
import minicnn.nn as nn

images = minicnn.rand(3, 128, 128)
print(nn.Conv2d(3, 64, kernel_size=3)(images).shape)  # minicnn.Size([64, 126, 126])
"""

from minicnn import (
    autograd,
    data,
    datasets,
    errors,
    io,
    models,
    nn,
    optim,
    shapes,
    transforms,
    utils,
)
from minicnn.autograd import enable_grad, inference_mode, is_grad_enabled, no_grad, set_grad_enabled
from minicnn.creation import (
    arange,
    as_tensor,
    empty,
    empty_like,
    eye,
    from_dlpack,
    from_numpy,
    full,
    full_like,
    linspace,
    ones,
    ones_like,
    rand,
    rand_like,
    randint,
    randn,
    randn_like,
    randperm,
    tensor,
    zeros,
    zeros_like,
)
from minicnn.device import cuda, device
from minicnn.dtypes import bool_ as bool
from minicnn.dtypes import (
    float16,
    float32,
    float64,
    get_default_dtype,
    int8,
    int16,
    int32,
    int64,
    set_default_dtype,
    uint8,
)
from minicnn.functions import *  # noqa: F403
from minicnn.io import load_torch as load
from minicnn.io import save_torch as save
from minicnn.kernels import set_default_backend, use_backend
from minicnn.kernels.threads import get_num_threads, set_num_threads
from minicnn.printing import set_printoptions
from minicnn.random import Generator, get_rng_state, initial_seed, manual_seed, seed, set_rng_state
from minicnn.summary import summary
from minicnn.tensor import Size, Tensor
from minicnn.training import History, Trainer


def __getattr__(name: str) -> str:
    if name == "__version__":  # looked up only when asked for: reading metadata takes 20 ms
        from importlib.metadata import version

        return version("minicnn-engine")
    raise AttributeError(f"module 'minicnn' has no attribute {name!r}")
