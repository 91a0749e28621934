"""Adam and SGD: launch sizes and arguments; the idea is in optim.cu.

`adam_steps` and `sgd_steps` are the same updates for all parameters of a network in one launch.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .. import Array, namespace
from . import _cuda


def adam_step(
    param: Array,
    grad: Array,
    exp_avg: Array,
    exp_avg_sq: Array,
    *,
    step: int,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    decoupled: bool,
) -> None:
    """m = beta1 m + (1-beta1) g;  v = beta2 v + (1-beta2) g*g;  w -= lr m^ / (sqrt(v^) + eps).

    As `reference.adam_step`: the corrections for the first steps, and weight decay through g or,
    decoupled, on w itself. Changes param, exp_avg and exp_avg_sq in place.
    """
    n, numbers = param.size, _adam(step, lr, beta1, beta2, eps, weight_decay, decoupled)
    _cuda.spread("optim", "adam", n, param, grad, exp_avg, exp_avg_sq, n, *numbers)


def adam_steps(
    params: Sequence[Array],
    grads: Sequence[Array],
    exp_avgs: Sequence[Array],
    exp_avg_sqs: Sequence[Array],
    *,
    step: int,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    decoupled: bool,
) -> None:
    """`adam_step` of each parameter, all of one dtype, in one launch."""
    numbers = _adam(step, lr, beta1, beta2, eps, weight_decay, decoupled)
    tables = [list(arrays) for arrays in (params, grads, exp_avgs, exp_avg_sqs)]
    _launch_many("adam_many", params, tables, numbers)


def sgd_step(
    param: Array,
    grad: Array,
    momentum_buffer: Array | None,
    *,
    lr: float,
    momentum: float,
    dampening: float,
    weight_decay: float,
    nesterov: bool,
    first: bool,
) -> None:
    """u = momentum u + (1-dampening) g;  w -= lr u, or lr (g + momentum u) with nesterov.

    As `reference.sgd_step`: on the first step u = g. Changes param and momentum_buffer in place.
    """
    numbers = lr, weight_decay, momentum, 1 - dampening, first, nesterov
    _cuda.spread("optim", "sgd", param.size, param, grad, momentum_buffer, param.size, *numbers)


def sgd_steps(
    params: Sequence[Array],
    grads: Sequence[Array],
    momentum_buffers: Sequence[Array] | None,
    *,
    lr: float,
    momentum: float,
    dampening: float,
    weight_decay: float,
    nesterov: bool,
    first: bool,
) -> None:
    """`sgd_step` of each parameter, all of one dtype, in one launch."""
    numbers = lr, weight_decay, momentum, 1 - dampening, first, nesterov
    buffers = None if momentum_buffers is None else list(momentum_buffers)
    _launch_many("sgd_many", params, [list(params), list(grads), buffers], numbers)


def _adam(
    step: int,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    decoupled: bool,
) -> tuple[float, ...]:
    """Return the numbers of optim.cu's AdamNumbers."""
    decay, shrink = (0.0, 1 - lr * weight_decay) if decoupled else (weight_decay, 1.0)
    size, correction = lr / (1 - beta1**step), (1 - beta2**step) ** 0.5
    return beta1, 1 - beta1, beta2, 1 - beta2, eps, decay, shrink, size, correction


def _launch_many(
    kernel: str, params: Sequence[Array], tables: list, numbers: tuple[float, ...]
) -> None:
    sizes = np.array([param.size for param in params], np.int64)
    beyond = np.cumsum(-(-sizes // _cuda.THREADS))  # the blocks up to and with each parameter's
    if beyond.size == 0 or beyond[-1] == 0:
        return
    first_block = np.append([0], beyond[:-1]).astype(np.int32)
    on_device = [namespace(params[0]).asarray(table) for table in (sizes, first_block)]
    _cuda.launch(
        "optim", kernel, int(beyond[-1]), _cuda.THREADS, *tables, *on_device, len(params), *numbers
    )
