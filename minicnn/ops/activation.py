"""Activations: each function beside its derivative. ReLU has a kernel of its own on each rung."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from minicnn import dtypes
from minicnn.autograd import Function, Variable
from minicnn.kernels.errors import ArgumentError, DtypeError
from minicnn.ops.elementwise import cast
from minicnn.ops.erf import erf
from minicnn.ops.shaping import c_order


class ReluFunction(Function):
    """max(x, 0) on the current rung; backward needs only the output's sign."""

    fresh_gradients = True

    @staticmethod
    def forward(ctx, x):
        y = ctx.backend.relu(c_order(x))
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx, dy):
        (y,) = ctx.saved_tensors
        return ctx.backend.relu_grad(c_order(dy), y)


def relu(input: Variable, inplace: bool = False) -> Any:
    """max(x, 0), elementwise; the slope at 0 is 0. NaN stays NaN.

    `inplace` is accepted, here and in the other activations, and computed out of place.
    """
    dtype = input.array.dtype
    if dtypes.is_floating(dtype):
        return _in_single(ReluFunction.apply, input)
    _refuse_bool("relu", input)
    return Variable.result_class(np.maximum(input.array, dtype.type(0)))


def _in_single(function: Callable[[Any], Any], x: Variable) -> Any:
    """`function(x)`; float16, a type for storage, is computed in float32."""
    if x.array.dtype != dtypes.float16:
        return function(x)
    return cast(function(cast(x, dtypes.float32)), dtypes.float16)


def _refuse_bool(op: str, x: Variable) -> None:
    if x.array.dtype == dtypes.bool_:
        raise DtypeError(f"{op}: truth values (bool) are no numbers here. Convert with .float().")


def _activation(name: str, forward: Callable, gradient: Callable, *, keep: str) -> Callable:
    """y(x, *options); its gradient is one of (x, y, dy, *options).

    Of x and y only those named in `keep` are saved for backward; the other comes as None.
    """

    class Activation(Function):
        @staticmethod
        def forward(ctx, x, *options):
            y = forward(x, *options)
            ctx.options = options
            ctx.save_for_backward(x if "x" in keep else None, y if "y" in keep else None)
            return y

        @staticmethod
        def backward(ctx, dy):
            dx = gradient(*ctx.saved_tensors, dy, *ctx.options)
            return (dx, *(None for _ in ctx.options))

    Activation.__name__ = Activation.__qualname__ = f"{name.title()}Function"

    def function(x: Variable, *options: float) -> Any:
        for option in options:
            if not dtypes.is_scalar(option):
                raise ArgumentError(
                    f"{name}: expected a number, got a {type(option).__name__}: {option!r}"
                )
        if not dtypes.is_floating(x.array.dtype):
            raise DtypeError(
                f"{name}: needs floating-point numbers, got {x.array.dtype}. Convert with .float()."
            )
        return _in_single(lambda x: Activation.apply(x, *(float(option) for option in options)), x)

    function.__name__ = function.__qualname__ = name
    return function


def _sigmoid(x: Any) -> Any:
    return (np.tanh(x * 0.5) + 1) * 0.5  # tanh never overflows, where exp(-x) does


def _silu_gradient(x: Any, y: Any, dy: Any) -> Any:
    s = _sigmoid(x)
    return dy * s * (1 + x * (1 - s))


_ROOT = math.sqrt(2 / math.pi)


def _gelu_gradient(x: Any, y: Any, dy: Any) -> Any:
    density = np.exp(x * x * -0.5) * (_ROOT / 2)
    return dy * (_share(x, y) + x * density)


def _gelu_tanh(x: Any) -> Any:
    return x * 0.5 * (1 + np.tanh((x + x * x * x * 0.044715) * _ROOT))


def _gelu_tanh_gradient(x: Any, y: Any, dy: Any) -> Any:
    share = _share(x, y)  # (1 + tanh)/2, so that 1 - tanh² is 4·share·(1 - share)
    slope = (1 + x * x * (3 * 0.044715)) * _ROOT
    return dy * (share + 2 * x * share * (1 - share) * slope)


def _share(x: Any, y: Any) -> Any:
    """The factor by which GELU made y of x, without computing it again: 1/2 at x = 0."""
    return np.where(x == 0, x.dtype.type(0.5), y / x)


_hardtanh = _activation(
    "hardtanh",
    np.clip,
    lambda x, y, dy, low, high: np.where((x <= low) | (x >= high), dy.dtype.type(0), dy),
    keep="x",
)
_leaky_relu = _activation(
    "leaky_relu",
    lambda x, slope: np.where(x > 0, x, x * slope),
    lambda x, y, dy, slope: np.where(x > 0, dy, dy * slope),
    keep="x",
)
_elu = _activation(
    "elu",
    lambda x, alpha: np.where(x > 0, x, np.expm1(x) * alpha),
    lambda x, y, dy, alpha: np.where(x > 0, dy, dy * np.exp(x) * alpha),
    keep="x",
)
_silu = _activation("silu", lambda x: x * _sigmoid(x), _silu_gradient, keep="x")
_gelus = {
    "none": _activation(
        "gelu", lambda x: x * 0.5 * (1 + erf(x * math.sqrt(0.5))), _gelu_gradient, keep="xy"
    ),
    "tanh": _activation("gelu", _gelu_tanh, _gelu_tanh_gradient, keep="xy"),
}


def hardtanh(
    input: Variable, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False
) -> Any:
    """`input` limited to [min_val, max_val]; the slope is 0 outside and at the limits."""
    return _limited("hardtanh", input, min_val, max_val)


def relu6(input: Variable, inplace: bool = False) -> Any:
    """min(max(x, 0), 6). Source: Krizhevsky 2010, "Convolutional deep belief networks"."""
    return _limited("relu6", input, 0, 6)


def _limited(op: str, x: Variable, low: float, high: float) -> Any:
    if low > high:
        raise ArgumentError(f"{op}: min_val {low} is larger than max_val {high}. Swap them.")
    _refuse_bool(op, x)
    if dtypes.is_floating(x.array.dtype):
        return _hardtanh(x, low, high)
    return Variable.result_class(np.clip(x.array, int(low), int(high)))


def leaky_relu(input: Variable, negative_slope: float = 0.01, inplace: bool = False) -> Any:
    """x where x > 0, else negative_slope·x. Source: Maas, Hannun & Ng 2013."""
    return _leaky_relu(input, negative_slope)


def elu(input: Variable, alpha: float = 1.0, inplace: bool = False) -> Any:
    """x where x > 0, else alpha·(exp(x) - 1). Source: Clevert, Unterthiner & Hochreiter 2016."""
    return _elu(input, alpha)


def silu(input: Variable, inplace: bool = False) -> Any:
    """x·σ(x), with σ(x) = 1/(1 + exp(-x)); also called swish. Source: Elfwing et al. 2018."""
    return _silu(input)


def gelu(input: Variable, *, approximate: str = "none") -> Any:
    """x·Φ(x), Φ(x) = (1 + erf(x/√2))/2 being the share of normal numbers below x.

    `approximate="tanh"` takes (1 + tanh(√(2/π)·(x + 0.044715·x³)))/2 for Φ. Source: Hendrycks &
    Gimpel 2016.
    """
    if approximate not in _gelus:
        raise ArgumentError(f'gelu: approximate must be "none" or "tanh", got {approximate!r}')
    return _gelus[approximate](input)
