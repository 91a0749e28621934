"""The optimizers' update of one parameter, in place: Adam (and AdamW) and SGD."""

from __future__ import annotations

from .. import Array, namespace


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

    m^ = m / (1 - beta1**step) and v^ = v / (1 - beta2**step) undo the start from zero; the first
    step is 1. Weight decay adds weight_decay*w to g, or, decoupled (AdamW), shrinks w by
    lr*weight_decay. Changes param, exp_avg (m) and exp_avg_sq (v); not grad. Kingma & Ba 2015,
    algorithm 1; Loshchilov & Hutter 2019, algorithm 2.
    """
    if weight_decay and decoupled:
        param *= 1 - lr * weight_decay
    elif weight_decay:
        grad = grad + weight_decay * param
    exp_avg *= beta1
    exp_avg += (1 - beta1) * grad
    exp_avg_sq *= beta2
    exp_avg_sq += (1 - beta2) * (grad * grad)
    correction = (1 - beta2**step) ** 0.5
    denominator = namespace(param).sqrt(exp_avg_sq) / correction + eps
    param -= lr / (1 - beta1**step) * (exp_avg / denominator)


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

    On the first step u = g. Weight decay adds weight_decay*w to g. Changes param and
    momentum_buffer (u, None without momentum); not grad. Sutskever et al. 2013, section 2, in
    PyTorch's form, where lr multiplies the buffer.
    """
    if weight_decay:
        grad = grad + weight_decay * param
    if momentum_buffer is not None:
        if first:
            momentum_buffer[...] = grad
        else:
            momentum_buffer *= momentum
            momentum_buffer += (1 - dampening) * grad
        grad = grad + momentum * momentum_buffer if nesterov else momentum_buffer
    param -= lr * grad
