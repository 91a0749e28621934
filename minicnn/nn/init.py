"""Initial weights: how far from zero a layer starts, so that signals neither vanish nor explode."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np

from minicnn import autograd, random
from minicnn.errors import ArgumentError, DtypeError, ShapeError
from minicnn.kernels.threads import single_threaded_blas
from minicnn.tensor import Tensor

_GAIN_OF_ONE = (
    *("linear", "sigmoid", "conv1d", "conv2d", "conv3d"),
    *("conv_transpose1d", "conv_transpose2d", "conv_transpose3d"),
)


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """How much an activation shrinks a signal's standard deviation: what weights make up for.

    `param` is the slope of "leaky_relu" below zero, 0.01 if it is None.
    """
    if nonlinearity == "leaky_relu":
        slope = 0.01 if param is None else param
        if isinstance(slope, bool) or not isinstance(slope, int | float):
            raise ArgumentError(
                f"calculate_gain: the slope must be a number, got {slope!r}."
                " Use the negative_slope of the layer."
            )
        return math.sqrt(2 / (1 + slope**2))
    gains = {"relu": math.sqrt(2), "tanh": 5 / 3, "selu": 0.75, **dict.fromkeys(_GAIN_OF_ONE, 1.0)}
    if nonlinearity not in gains:
        raise ArgumentError(
            f"calculate_gain: unknown nonlinearity {nonlinearity!r}. "
            f"Use one of {', '.join(['leaky_relu', *gains])}."
        )
    return gains[nonlinearity]


def fans(tensor: Tensor) -> tuple[int, int]:
    """(fan_in, fan_out): how many inputs feed one output, and how many outputs one input feeds."""
    if tensor.ndim < 2:
        raise ShapeError(
            f"init: fans need a weight of at least 2 dimensions, got shape {tuple(tensor.shape)}."
            " Use uniform_ or normal_ for vectors."
        )
    taps = math.prod(tensor.shape[2:])
    return tensor.shape[1] * taps, tensor.shape[0] * taps


def _nothing_to_fill(tensor: Tensor) -> bool:
    if tensor.numel():
        return False
    warnings.warn(
        f"init: a tensor of shape {tuple(tensor.shape)} has no elements to fill", stacklevel=3
    )
    return True


def _require(op: str, tensor: Tensor, ranks: tuple[int, ...] | None = None) -> None:
    """Raise unless the tensor is floating-point, and has one of the numbers of dimensions."""
    if not tensor.is_floating_point():
        raise DtypeError(
            f"{op}: needs a floating-point tensor, got {tensor.dtype}. Convert with .float()."
        )
    if ranks is not None and tensor.ndim not in ranks:
        raise ShapeError(
            f"{op}: needs {' or '.join(map(str, ranks))} dimensions, got shape "
            f"{tuple(tensor.shape)}."
            " Use another initialisation for this shape."
        )


@autograd.no_grad()
def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: Any = None) -> Tensor:
    """Fill with numbers drawn evenly from [a, b)."""
    _require("uniform_", tensor)
    if not a <= b:
        raise ArgumentError(f"uniform_: the range from {a} to {b} is empty. Swap them.")
    return tensor.uniform_(a, b, generator)


@autograd.no_grad()
def normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: Any = None) -> Tensor:
    """Fill with numbers drawn from the normal distribution."""
    _require("normal_", tensor)
    if not std >= 0:
        raise ArgumentError(f"normal_: std must be >= 0, got {std}. Use its absolute value.")
    return tensor.normal_(mean, std, generator)


@autograd.no_grad()
def trunc_normal_(
    tensor: Tensor,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    generator: Any = None,
) -> Tensor:
    """Fill with numbers drawn from the normal distribution, without those outside [a, b]."""
    _require("trunc_normal_", tensor)
    if not a <= b or not std > 0:
        raise ArgumentError(
            f"trunc_normal_: needs a <= b and std > 0, got a = {a}, b = {b}, std = {std}."
            " Correct them."
        )
    z = _truncated((a - mean) / std, (b - mean) / std, tensor.numel(), random.generator(generator))
    values = np.clip((mean + std * z).reshape(tensor.shape), a, b)  # rounding may step out
    return tensor.copy_(Tensor(values.astype(tensor.dtype)))


def _truncated(low: float, high: float, count: int, generator: np.random.Generator) -> np.ndarray:
    """`count` standard normal numbers from [low, high], by drawing and rejecting.

    Where few normal numbers fall into the range, exponential ones are drawn instead, at a distance
    d from its point nearest to 0: exp(-x²/2) = exp(-nearest²/2)·exp(-nearest·d)·exp(-d²/2), the
    last factor being the chance to keep one. Source: Robert 1995, "Simulation of truncated normal
    variables".
    """
    if high < 0:
        return -_truncated(-high, -low, count, generator)
    share = (math.erf(high / math.sqrt(2)) - math.erf(low / math.sqrt(2))) / 2
    nearest, width = max(low, 0.0), high - low
    found = [np.empty(0)]
    while (missing := count - sum(map(len, found))) > 0:
        if share > 0.25:
            x = generator.normal(size=missing)
            kept = (x >= low) & (x <= high)
        else:
            u, chance = generator.random((2, missing))
            if nearest:
                x = low - np.log1p(u * math.expm1(-nearest * width)) / nearest
            else:
                x = low + u * width
            kept = chance < np.exp(-((x - nearest) ** 2) / 2)
        found.append(x[kept])
    return np.concatenate(found)


@autograd.no_grad()
def constant_(tensor: Tensor, val: float) -> Tensor:
    """Fill with one number."""
    return tensor.fill_(val)


def zeros_(tensor: Tensor) -> Tensor:
    """Fill with zeros."""
    return constant_(tensor, 0.0)


def ones_(tensor: Tensor) -> Tensor:
    """Fill with ones."""
    return constant_(tensor, 1.0)


@autograd.no_grad()
def eye_(tensor: Tensor) -> Tensor:
    """Fill a matrix with ones on its diagonal and zeros elsewhere: a layer that passes on."""
    _require("eye_", tensor, (2,))
    return tensor.copy_(Tensor(np.eye(*tensor.shape, dtype=tensor.dtype)))


@autograd.no_grad()
def dirac_(tensor: Tensor, groups: int = 1) -> Tensor:
    """Fill a convolution's weight (K, C, …) so that it passes its input on, group by group.

    Filter k has a one at its middle tap, for channel k of its group, and zeros elsewhere.
    """
    _require("dirac_", tensor, (3, 4, 5))
    K, C, *taps = tensor.shape
    if groups < 1 or K % groups:
        raise ArgumentError(
            f"dirac_: {K} filters do not split into groups={groups}. Use a divisor of the filters."
        )
    values = np.zeros(tensor.shape, tensor.dtype)
    middle = tuple(size // 2 for size in taps)
    for k in range(K):
        if k % (K // groups) < C:
            values[(k, k % (K // groups), *middle)] = 1
    return tensor.copy_(Tensor(values))


@autograd.no_grad()
def orthogonal_(tensor: Tensor, gain: float = 1, generator: Any = None) -> Tensor:
    """Fill with a random matrix whose rows, or columns if they are fewer, are orthogonal.

    They have length `gain`; a weight (K, C, R, S) counts as K rows of C·R·S. Source: Saxe,
    McClelland & Ganguli 2014.
    """
    _require("orthogonal_", tensor)
    if tensor.ndim < 2:
        raise ShapeError(
            f"orthogonal_: needs at least 2 dimensions, got shape {tuple(tensor.shape)}."
            " Use normal_ for vectors."
        )
    if not tensor.numel():
        return tensor
    rows, columns = tensor.shape[0], tensor.numel() // tensor.shape[0]
    draw = random.generator(generator).normal(size=(max(rows, columns), min(rows, columns)))
    with single_threaded_blas():  # its threads would show in the last bits
        q, r = np.linalg.qr(draw)
    # QR leaves these signs to its algorithm; with them, all orthogonal matrices are as likely.
    q *= np.where(np.diagonal(r) < 0, -1, 1)
    values = gain * (q if rows >= columns else q.T).reshape(tensor.shape)
    return tensor.copy_(Tensor(values.astype(tensor.dtype)))


def xavier_uniform_(tensor: Tensor, gain: float = 1.0, generator: Any = None) -> Tensor:
    """U(-a, a), a = gain·√(6/(fan_in+fan_out)). Source: Glorot & Bengio 2010."""
    if not sum(fans(tensor)) and _nothing_to_fill(tensor):
        return tensor
    bound = gain * math.sqrt(6 / sum(fans(tensor)))
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: Any = None) -> Tensor:
    """N(0, s²), s = gain·√(2/(fan_in+fan_out)). Source: Glorot & Bengio 2010."""
    if not sum(fans(tensor)) and _nothing_to_fill(tensor):
        return tensor
    return normal_(tensor, 0.0, gain * math.sqrt(2 / sum(fans(tensor))), generator)


def _kaiming_std(tensor: Tensor, a: float, mode: str, nonlinearity: str) -> float:
    if mode.lower() not in ("fan_in", "fan_out"):
        raise ArgumentError(
            f'init: mode must be "fan_in" or "fan_out", got {mode!r}. Use one of the two.'
        )
    fan = fans(tensor)[mode.lower() == "fan_out"]
    return calculate_gain(nonlinearity, a) / math.sqrt(fan)


def kaiming_uniform_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Any = None,
) -> Tensor:
    """U(-b, b), b = gain·√(3/fan). Source: He et al. 2015."""
    if _nothing_to_fill(tensor):
        return tensor
    bound = math.sqrt(3) * _kaiming_std(tensor, a, mode, nonlinearity)
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Any = None,
) -> Tensor:
    """N(0, s²), s = gain/√fan. Source: He et al. 2015."""
    if _nothing_to_fill(tensor):
        return tensor
    return normal_(tensor, 0.0, _kaiming_std(tensor, a, mode, nonlinearity), generator)
