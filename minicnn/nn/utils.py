"""Parameters as a whole: clipping their gradients, and seeing them as one vector."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from minicnn import autograd
from minicnn.device import beside
from minicnn.errors import AutogradError, ShapeError
from minicnn.functions import cat
from minicnn.kernels.shapes import number
from minicnn.tensor import Tensor

Tensors = Tensor | Iterable[Tensor]


def _gradients(parameters: Tensors) -> list[Tensor]:
    given = [parameters] if isinstance(parameters, Tensor) else parameters
    return [p.grad for p in given if p.grad is not None]


def get_total_norm(
    tensors: Tensors,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """The norm of all elements of all tensors, (Σ|x|^p)^(1/p), or max|x| at p = inf.

    Args:
        tensors: a tensor, or several.
        norm_type: p.
        error_if_nonfinite: raise AutogradError if the norm is not finite.
        foreach: accepted, without a meaning here.

    Returns:
        A scalar tensor of the tensors' dtype; 0 if there are none.
    """
    arrays = [t.array for t in ([tensors] if isinstance(tensors, Tensor) else tensors)]
    if not arrays:
        return Tensor(np.zeros((), np.float32))
    dtype, p = np.result_type(*(a.dtype for a in arrays)), float(norm_type)
    with np.errstate(all="ignore"):
        norms = np.asarray([_norm(a, p) for a in arrays if a.size])
        total = Tensor(beside(np.asarray(_norm(norms, p), dtype), arrays[0]))
    if error_if_nonfinite and not np.isfinite(total.array):
        raise AutogradError(
            f"get_total_norm: the gradients' norm of order {p:g} is {total.item()}. "
            "Lower the learning rate, or pass error_if_nonfinite=False to clip nonetheless."
        )
    return total


def _norm(array: np.ndarray, p: float) -> float:
    """The p-norm, summed in float64 in NumPy's own order: BLAS's depends on its threads."""
    if not array.size:
        return 0.0
    if p == 2:
        return math.sqrt(np.sum(np.square(array), dtype=np.float64))
    size = np.abs(array)
    if math.isinf(p):
        return float(size.max() if p > 0 else size.min())
    if p == 0:
        return float(np.count_nonzero(array))
    return float(np.sum(size**p, dtype=np.float64) ** (1 / p))


def clip_grads_with_norm_(
    parameters: Tensors, max_norm: float, total_norm: Tensor, foreach: bool | None = None
) -> None:
    """Scale all gradients, in place, by max_norm/(total_norm + 1e-6) where that is below 1."""
    factor = float(max_norm) / (float(total_norm) + 1e-6)
    _change(_gradients(parameters), lambda array: np.multiply(array, min(factor, 1.0), out=array))


def clip_grad_norm_(
    parameters: Tensors,
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """Scale all gradients, in place, so that their common norm is at most `max_norm`.

    The direction of the step stays: one exploding batch cannot throw the weights away. Source:
    Pascanu, Mikolov & Bengio 2013, "On the difficulty of training recurrent neural networks".

    Returns:
        The norm before clipping; see `get_total_norm` for the arguments.
    """
    for name, value in (("max_norm", max_norm), ("norm_type", norm_type)):
        number(value, name, op="clip_grad_norm_")
    given = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    total = get_total_norm(_gradients(given), norm_type, error_if_nonfinite)
    clip_grads_with_norm_(given, max_norm, total)
    return total


def clip_grad_value_(parameters: Tensors, clip_value: float, foreach: bool | None = None) -> None:
    """Limit every element of every gradient, in place, to [-clip_value, clip_value]."""
    limit = number(clip_value, "clip_value", op="clip_grad_value_")
    _change(_gradients(parameters), lambda array: np.clip(array, -limit, limit, out=array))


def _change(gradients: list[Tensor], change: Any) -> None:
    for gradient in gradients:
        with np.errstate(all="ignore"):  # inf times 0 is NaN, without NumPy's warning
            change(gradient.array)
        gradient._version.n += 1


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """All parameters' elements one after the other in one vector; gradients flow through."""
    return cat([p.reshape(-1) for p in parameters])


def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Copy a vector's elements back into the parameters that `parameters_to_vector` read.

    Raises ShapeError unless their numbers agree. The parameters keep their memory and dtype.
    """
    given = list(parameters)
    sizes = [p.numel() for p in given]
    if tuple(vec.shape) != (sum(sizes),):
        raise ShapeError(
            f"vector_to_parameters: the parameters have {sum(sizes)} elements, "
            f"the vector has shape {tuple(vec.shape)}."
            " Give the vector that parameters_to_vector made."
        )
    with autograd.no_grad():
        for p, part in zip(given, vec.detach().split(sizes), strict=True):
            p.copy_(part.reshape(p.shape))
