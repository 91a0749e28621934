"""Activations: the names and checks of PyTorch around one kernel and one gradient kernel each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minicnn import dtypes
from minicnn.autograd import Function, Variable
from minicnn.kernels.errors import ArgumentError, DtypeError
from minicnn.kernels.shapes import number
from minicnn.ops.elementwise import cast, require_tensor
from minicnn.ops.shaping import c_order


def _activation(kernel: str, *, keep: str) -> Callable[..., Any]:
    """`y = kernel(x, *options)` as a function of a Variable; `keep` says what backward needs.

    The rung's `{kernel}_grad(dy, x or y, *options)` knows the derivative.
    """

    class Activation(Function):
        fresh_gradients = True

        @staticmethod
        def forward(ctx, x, *options):
            x = c_order(x)
            y = getattr(ctx.backend, kernel)(x, *options)
            ctx.options = options
            ctx.save_for_backward(x if keep == "x" else y)
            return y

        @staticmethod
        def backward(ctx, dy):
            (kept,) = ctx.saved_tensors
            dx = getattr(ctx.backend, f"{kernel}_grad")(c_order(dy), kept, *ctx.options)
            return (dx, *(None for _ in ctx.options))

    Activation.__name__ = Activation.__qualname__ = f"{kernel.title().replace('_', '')}Function"

    def function(x: Variable, *options: Any) -> Any:
        return in_single(lambda x: Activation.apply(x, *options), x)

    return function


def in_single(function: Callable[[Any], Any], x: Variable) -> Any:
    """`function(x)`; float16, a type for storage, is computed in float32."""
    if x.array.dtype != dtypes.float16:
        return function(x)
    return cast(function(cast(x, dtypes.float32)), dtypes.float16)


_relu = _activation("relu", keep="y")
_hardtanh = _activation("hardtanh", keep="x")
_leaky_relu = _activation("leaky_relu", keep="x")
_elu = _activation("elu", keep="x")
_sigmoid = _activation("sigmoid", keep="y")
_tanh = _activation("tanh", keep="y")
_silu = _activation("silu", keep="x")
_gelu = _activation("gelu", keep="x")


def relu(input: Variable, inplace: bool = False) -> Any:
    """max(x, 0), elementwise; the slope at 0 is 0. NaN stays NaN.

    `inplace` is accepted, here and in the other activations, and computed out of place.
    """
    require_tensor("relu", input)
    dtype = input.array.dtype
    if dtypes.is_floating(dtype):
        return _relu(input)
    _refuse_bool("relu", input)
    return Variable.result_class(np.maximum(input.array, dtype.type(0)))


def hardtanh(
    input: Variable, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False
) -> Any:
    """`input` limited to [min_val, max_val]; the slope is 0 outside and at the limits."""
    return _limited("hardtanh", input, min_val, max_val)


def relu6(input: Variable, inplace: bool = False) -> Any:
    """min(max(x, 0), 6). Source: Krizhevsky 2010, "Convolutional deep belief networks"."""
    return _limited("relu6", input, 0, 6)


def _limited(op: str, x: Variable, low: float, high: float) -> Any:
    require_tensor(op, x)
    for name, limit in (("min_val", low), ("max_val", high)):
        number(limit, name, op=op)
    if low > high:
        raise ArgumentError(f"{op}: min_val {low} is larger than max_val {high}. Swap them.")
    _refuse_bool(op, x)
    if dtypes.is_floating(x.array.dtype):
        return _hardtanh(x, float(low), float(high))
    return Variable.result_class(np.clip(x.array, int(low), int(high)))


def leaky_relu(input: Variable, negative_slope: float = 0.01, inplace: bool = False) -> Any:
    """x where x > 0, else negative_slope·x. Source: Maas, Hannun & Ng 2013."""
    slope = number(negative_slope, "negative_slope", op="leaky_relu")
    return _leaky_relu(_floating("leaky_relu", input), slope)


def elu(input: Variable, alpha: float = 1.0, inplace: bool = False) -> Any:
    """x where x > 0, else alpha·(exp(x) - 1). Source: Clevert, Unterthiner & Hochreiter 2016."""
    alpha = number(alpha, "alpha", op="elu")
    return _elu(_floating("elu", input), alpha)


def sigmoid(input: Variable) -> Any:
    """σ(x) = 1/(1 + exp(-x)), without overflow; integers give float32."""
    return _sigmoid(_as_floating("sigmoid", input))


def tanh(input: Variable) -> Any:
    """The hyperbolic tangent, (exp(x) - exp(-x))/(exp(x) + exp(-x)); integers give float32."""
    return _tanh(_as_floating("tanh", input))


def silu(input: Variable, inplace: bool = False) -> Any:
    """x·σ(x), with σ(x) = 1/(1 + exp(-x)); also called swish. Source: Elfwing et al. 2018."""
    return _silu(_floating("silu", input))


def gelu(input: Variable, *, approximate: str = "none") -> Any:
    """x·Φ(x), Φ(x) = (1 + erf(x/√2))/2 being the share of normal numbers below x.

    `approximate="tanh"` takes (1 + tanh(√(2/π)·(x + 0.044715·x³)))/2 for Φ. Source: Hendrycks &
    Gimpel 2016.
    """
    if approximate not in ("none", "tanh"):
        raise ArgumentError(
            f'gelu: approximate must be "none" or "tanh", got {approximate!r}. "none" is exact.'
        )
    return _gelu(_floating("gelu", input), approximate)


# ------------------------------------------------------------------------------ checks


def _floating(op: str, x: Variable) -> Variable:
    require_tensor(op, x)
    if not dtypes.is_floating(x.array.dtype):
        raise DtypeError(
            f"{op}: needs floating-point numbers, got {x.array.dtype}. Convert with .float()."
        )
    return x


def _as_floating(op: str, x: Variable) -> Any:
    require_tensor(op, x)
    return x if dtypes.is_floating(x.array.dtype) else cast(x, dtypes.get_default_dtype())


def _refuse_bool(op: str, x: Variable) -> None:
    if x.array.dtype == dtypes.bool_:
        raise DtypeError(f"{op}: truth values (bool) are no numbers here. Convert with .float().")
