"""minicnn: a convolution engine to learn from, with PyTorch's names.

import minicnn
import minicnn.nn as nn

images = minicnn.rand(3, 128, 128)
print(nn.Conv2d(3, 64, kernel_size=3)(images).shape)  # minicnn.Size([64, 126, 126])
"""

import importlib
from typing import TYPE_CHECKING, Any

from minicnn import autograd, cuda, data, errors, nn, optim, shapes, utils
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
from minicnn.device import device
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
from minicnn.kernels import set_default_backend, use_backend
from minicnn.kernels.threads import get_num_threads, set_num_threads
from minicnn.printing import set_printoptions
from minicnn.random import Generator, get_rng_state, initial_seed, manual_seed, seed, set_rng_state
from minicnn.summary import summary
from minicnn.tensor import Size, Tensor

if TYPE_CHECKING:
    from minicnn import datasets, io, models, training, transforms
    from minicnn.io import load_torch as load
    from minicnn.io import save_torch as save
    from minicnn.training import History, Trainer

# Imported when first asked for: a third of the time that `import minicnn` would take.
_MODULES = ("datasets", "io", "models", "training", "transforms")
_ELSEWHERE = {
    "load": ("io", "load_torch"),
    "save": ("io", "save_torch"),
    "History": ("training", "History"),
    "Trainer": ("training", "Trainer"),
}


def __getattr__(name: str) -> Any:
    if name == "__version__":  # reading metadata takes 20 ms
        from importlib.metadata import version

        return version("minicnn-engine")
    if name in _MODULES:
        return importlib.import_module(f"minicnn.{name}")
    if name in _ELSEWHERE:
        module, its_name = _ELSEWHERE[name]
        return getattr(importlib.import_module(f"minicnn.{module}"), its_name)
    raise AttributeError(f"module 'minicnn' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES, *_ELSEWHERE})
