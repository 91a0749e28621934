"""Elementwise operations: each function beside its derivative, with NumPy's broadcasting.

Arrays of the arguments are cast to one dtype first (`minicnn.dtypes.result_type`), as a recorded
operation of its own, so the derivatives below may assume equal dtypes. CuPy arrays pass through
the same code: NumPy's ufuncs hand over to CuPy's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minicnn import dtypes
from minicnn.autograd import Function, Variable
from minicnn.autograd.function import as_array
from minicnn.device import common_device, computing_on, device_of, require_available, to_device
from minicnn.kernels.errors import ArgumentError, DtypeError, ShapeError


class CastFunction(Function):
    """y = x in another dtype; the gradient is cast back."""

    @staticmethod
    def forward(ctx, x, dtype):
        ctx.dtype = x.dtype
        return x.astype(dtype)

    @staticmethod
    def backward(ctx, dy):
        return dy.astype(ctx.dtype, copy=False), None


def cast(x: Variable, dtype: Any) -> Any:
    """`x` in `dtype`: itself if it has it already. Not differentiable into integers."""
    dtype = dtypes.as_dtype(dtype)
    if x.array.dtype == dtype:
        return x
    if not dtypes.is_floating(dtype):
        with np.errstate(all="ignore"), computing_on(x.array):
            return Variable.result_class(x.array.astype(dtype))
    return CastFunction.apply(x, dtype)


class MoveFunction(Function):
    """y = a copy of x in another device's memory; the gradient goes back to x's."""

    @staticmethod
    def forward(ctx, x, target):
        ctx.source = device_of(x)
        return to_device(x, target)

    @staticmethod
    def backward(ctx, dy):
        return to_device(dy, ctx.source), None


def move(x: Variable, target: Any) -> Any:
    """`x` on a device: itself if it is there already."""
    wanted, source = require_available(target), device_of(x.array)
    if wanted.type == source.type == "cpu" or wanted == source:
        return x
    if wanted.type == source.type and to_device(x.array, wanted) is x.array:  # "cuda" is cuda:0
        return x
    return MoveFunction.apply(x, wanted)


class CloneFunction(Function):
    """y = a copy of x, in memory of its own."""

    @staticmethod
    def forward(ctx, x):
        return x.copy()

    @staticmethod
    def backward(ctx, dy):
        return dy


def clone(x: Variable) -> Any:
    """A copy of `x` in new memory; gradients flow through."""
    return CloneFunction.apply(x)


def require_tensor(op: str, x: Any) -> None:
    """Raise unless `x` is a tensor."""
    if not isinstance(x, Variable):
        raise DtypeError(
            f"{op}: expected a Tensor, got {type(x).__name__}. Wrap it in minicnn.tensor(...)."
        )


def require_float(op: str, input: Any, **others: Any) -> None:
    """Raise unless all are Tensors of one dtype, float32 or float64; a `bias` may be None.

    The others come under the names that the error shall give them.
    """
    tensors = {"input": input, **others}
    if others.get("bias", ...) is None:
        del tensors["bias"]
    for x in tensors.values():
        require_tensor(op, x)
    dtype = input.array.dtype
    if dtype in (dtypes.float32, dtypes.float64):
        require_one_dtype(op, **tensors)
    else:
        raise DtypeError(
            f"{op}: needs float32 or float64, got {_with_dtypes(tensors)}. Convert with .float()."
        )


def require_one_dtype(op: str, **tensors: Variable) -> None:
    """Raise, naming each, unless all have the same dtype and are on the same device."""
    first, *rest = tensors.values()
    if any(type(x.array) is not type(first.array) for x in rest):
        common_device(op, **{name: x.array for name, x in tensors.items()})
    if any(x.array.dtype != first.array.dtype for x in rest):
        raise DtypeError(
            f"{op}: got a mixture of dtypes: {_with_dtypes(tensors)}. "
            "Convert with .float() or .to(dtype)."
        )


def _with_dtypes(tensors: dict[str, Variable]) -> str:
    return ", ".join(f"{name} {x.array.dtype}" for name, x in tensors.items())


def unbroadcast(gradient: Any, shape: tuple[int, ...]) -> Any:
    """Sum `gradient` over the axes along which an input of `shape` was repeated."""
    if gradient.shape == shape:
        return gradient
    extra = gradient.ndim - len(shape)
    axes = tuple(range(extra)) + tuple(
        extra + i for i, size in enumerate(shape) if size == 1 and gradient.shape[extra + i] != 1
    )
    return gradient.sum(axis=axes, keepdims=True).reshape(shape)


def operands(
    op: str, a: Any, b: Any, *, floating: bool = False, compare: bool = False
) -> tuple[Any, Any]:
    """Both operands in their common dtype (a floating one if asked); scalars as Python numbers.

    A number outside the range of an integer dtype wraps around, as sums and products do; in a
    comparison it stays what it is.
    """
    both = isinstance(a, Variable) and isinstance(b, Variable)
    if both:
        x, y = a.array, b.array
        alike = x.dtype == y.dtype and x.shape == y.shape and type(x) is type(y)
        if alike and (x.dtype.kind == "f" or not floating):
            return a, b  # the usual case: the rules below take half the time of a small operation
    for x in (a, b):
        if not isinstance(x, Variable) and not dtypes.is_scalar(x):
            raise DtypeError(
                f"{op}: expected a Tensor or a number, got {type(x).__name__}. "
                "Wrap it in minicnn.tensor(...)."
            )
    arrays = [x.array if isinstance(x, Variable) else x for x in (a, b)]
    shapes = [getattr(x, "shape", ()) for x in arrays]
    try:
        np.broadcast_shapes(*shapes)
    except ValueError:
        raise ShapeError(
            f"{op}: shapes {shapes[0]} and {shapes[1]} do not broadcast. "
            "From the right, sizes must be equal, or one of them 1."
        ) from None
    dtype = (dtypes.float_result_type if floating else dtypes.result_type)(*arrays)
    if both and not type(x) is type(y) is np.ndarray:
        a, b = _on_one_device(op, a, b)
    return _as(a, dtype, not compare), _as(b, dtype, not compare)


def _on_one_device(op: str, a: Any, b: Any) -> tuple[Any, Any]:
    """Both on one device: as in PyTorch a CPU tensor without dimensions goes to the other's."""
    places = device_of(a.array), device_of(b.array)
    if a.array.ndim == 0 and places[0].type == "cpu":
        a = move(a, places[1])
    elif b.array.ndim == 0 and places[1].type == "cpu":
        b = move(b, places[0])
    common_device(op, input=a.array, other=b.array)
    return a, b


def _as(x: Any, dtype: np.dtype, wrap: bool) -> Any:
    if isinstance(x, Variable):
        return cast(x, dtype)
    number = {"b": bool, "i": int, "u": int, "f": float}[dtype.kind](x)
    return int(np.array(number).astype(dtype)) if wrap and dtype.kind in "iu" else number


def _refuse_bool(op: str, *operands: Any) -> None:
    """Raise if the operation would have to count with truth values."""
    if all(isinstance(x, bool) or getattr(x, "dtype", None) == dtypes.bool_ for x in operands):
        raise DtypeError(
            f"{op}: truth values (bool) are no numbers here. Use ~, ^ or logical_not, or convert "
            "with .int() or .float()."
        )


def _refuse_zero(op: str, divisor: Any) -> None:
    """Raise if integers would be divided by zero, which has no integer result."""
    array = divisor.array if isinstance(divisor, Variable) else np.asarray(divisor)
    if array.dtype.kind in "biu" and not np.all(array):
        raise ArgumentError(f"{op}: integers cannot be divided by zero. Convert with .float().")


def _binary(
    name: str,
    forward: Callable,
    gradient_a: Callable,
    gradient_b: Callable,
    *,
    keep: str,
    floating: bool = False,
    check: Callable[[str, Any, Any], None] | None = None,
) -> Callable:
    """A broadcasting function y(a, b); its gradients are functions of (a, b, y, dy).

    Of a, b and y only those named in `keep` are saved for backward: before the bar what the
    gradient of a needs, behind it that of b, where it is wanted. The others come as None.
    `check(name, a, b)` raises for operands, already of one dtype, that have no result.
    """
    for_a, for_b = keep.split("|")
    letters = {
        (need_a, need_b): for_a * need_a + for_b * need_b
        for need_a in (False, True)
        for need_b in (False, True)
    }
    saved = {needs: tuple(letter in found for letter in "aby") for needs, found in letters.items()}

    class Binary(Function):
        @staticmethod
        def forward(ctx, a, b):
            y = forward(a, b)
            ctx.shapes = np.shape(a), np.shape(b)
            save_a, save_b, save_y = saved[ctx.needs_input_grad]
            ctx.save_for_backward(
                a if save_a else None, b if save_b else None, y if save_y else None
            )
            return y

        @staticmethod
        def backward(ctx, dy):
            a, b, y = ctx.saved_tensors
            da = db = None
            if ctx.needs_input_grad[0]:
                da = unbroadcast(gradient_a(a, b, y, dy), ctx.shapes[0])
            if ctx.needs_input_grad[1]:
                db = unbroadcast(gradient_b(a, b, y, dy), ctx.shapes[1])
            return da, db

    Binary.__name__ = Binary.__qualname__ = f"{name.title()}Function"

    def function(a: Any, b: Any) -> Any:
        a, b = operands(name, a, b, floating=floating)
        if check is not None:
            check(name, a, b)
        return Binary.apply(a, b)

    function.__name__ = function.__qualname__ = name
    return function


def _check_divisor(op: str, a: Any, b: Any) -> None:
    _refuse_bool(op, a, b)
    _refuse_zero(op, b)


def _check_power(op: str, a: Any, b: Any) -> None:
    _refuse_bool(op, a, b)
    exponent = b.array if isinstance(b, Variable) else np.asarray(b)
    if exponent.dtype.kind == "i" and np.any(exponent < 0):
        raise ArgumentError(
            f"{op}: integers to negative powers are no integers. Convert with .float()."
        )


add = _binary("add", lambda a, b: a + b, lambda a, b, y, dy: dy, lambda a, b, y, dy: dy, keep="|")
_sub = _binary("sub", lambda a, b: a - b, lambda a, b, y, dy: dy, lambda a, b, y, dy: -dy, keep="|")


def sub(a: Any, b: Any) -> Any:
    """a - b; a truth value on either side is refused, as in PyTorch: 1 - mask is ~mask."""
    for x in (a, b):
        _refuse_bool("sub", x)
    return _sub(a, b)


mul = _binary(
    "mul", lambda a, b: a * b, lambda a, b, y, dy: dy * b, lambda a, b, y, dy: dy * a, keep="b|a"
)
div = _binary(
    "div",
    np.true_divide,
    lambda a, b, y, dy: dy / b,
    lambda a, b, y, dy: -dy * y / b,
    keep="b|by",
    floating=True,
)
pow = _binary(
    "pow",
    lambda a, b: a**b,
    lambda a, b, y, dy: dy * b * _where_nonzero(b, lambda: a ** (b - 1)),
    lambda a, b, y, dy: dy * _times_log(y, a),
    keep="ab|ay",
    check=_check_power,
)
remainder = _binary(
    "remainder",
    np.remainder,
    lambda a, b, y, dy: dy,
    lambda a, b, y, dy: -dy * np.floor_divide(a, b),
    keep="|ab",
    check=_check_divisor,
)
# Where both are equal each gets half, so that the two slopes add up to that of max(x, x) = x.
maximum = _binary(
    "maximum",
    np.maximum,
    lambda a, b, y, dy: dy * _share(a, b, a > b),
    lambda a, b, y, dy: dy * _share(a, b, b > a),
    keep="ab|ab",
)
minimum = _binary(
    "minimum",
    np.minimum,
    lambda a, b, y, dy: dy * _share(a, b, a < b),
    lambda a, b, y, dy: dy * _share(a, b, b < a),
    keep="ab|ab",
)


def _share(a: Any, b: Any, wins: Any) -> Any:
    return np.where(a == b, np.float32(0.5), wins.astype(np.float32))


def _where_nonzero(b: Any, power: Callable[[], Any]) -> Any:
    """a**(b-1), but 0 where b is 0: x**0 is constant, also at x = 0."""
    return np.where(np.equal(b, 0), 0, power())


def _times_log(y: Any, a: Any) -> Any:
    """y·log(a), with the limit 0 at a = 0."""
    return np.where(np.equal(a, 0), 0, y * np.log(a))


def _unary(
    name: str, forward: Callable, gradient: Callable, *, keep: str, floating: bool = True
) -> Callable:
    """A function y(x); its gradient is one of (x, y, dy), of which `keep` names the saved."""
    save_x, save_y = "x" in keep, "y" in keep

    class Unary(Function):
        @staticmethod
        def forward(ctx, x):
            y = forward(x)
            ctx.save_for_backward(x if save_x else None, y if save_y else None)
            return y

        @staticmethod
        def backward(ctx, dy):
            return gradient(*ctx.saved_tensors, dy)

    Unary.__name__ = Unary.__qualname__ = f"{name.title()}Function"

    def function(x: Variable) -> Any:
        if floating and not dtypes.is_floating(x.array.dtype):
            x = cast(x, dtypes.get_default_dtype())
        if not floating:
            _refuse_bool(name, x)
        return Unary.apply(x)

    function.__name__ = function.__qualname__ = name
    return function


neg = _unary("neg", lambda x: -x, lambda x, y, dy: -dy, keep="", floating=False)
abs = _unary("abs", np.abs, lambda x, y, dy: dy * np.sign(x), keep="x", floating=False)
exp = _unary("exp", np.exp, lambda x, y, dy: dy * y, keep="y")
log = _unary("log", np.log, lambda x, y, dy: dy / x, keep="x")
log1p = _unary("log1p", np.log1p, lambda x, y, dy: dy / (1 + x), keep="x")
sqrt = _unary("sqrt", np.sqrt, lambda x, y, dy: dy / (2 * y), keep="y")
sin = _unary("sin", np.sin, lambda x, y, dy: dy * np.cos(x), keep="x")
cos = _unary("cos", np.cos, lambda x, y, dy: -dy * np.sin(x), keep="x")


def _not_differentiable(name: str, compute: Callable, check: Callable | None = None) -> Callable:
    """Comparisons and integer arithmetic: results that carry no gradient."""

    def function(a: Any, b: Any) -> Any:
        a, b = operands(name, a, b, compare=name in _COMPARISONS)
        if check is not None:
            check(name, a, b)
        x = a.array if isinstance(a, Variable) else a
        y = b.array if isinstance(b, Variable) else b
        if type(x) is np.ndarray or type(y) is np.ndarray:
            with np.errstate(all="ignore"):
                return Variable.result_class(np.asanyarray(compute(x, y)))
        with computing_on(y if x is a else x):
            return Variable.result_class(as_array(compute(x, y)))

    function.__name__ = function.__qualname__ = name
    return function


_COMPARISONS = ("eq", "ne", "lt", "le", "gt", "ge")
eq = _not_differentiable("eq", lambda a, b: a == b)
ne = _not_differentiable("ne", lambda a, b: a != b)
lt = _not_differentiable("lt", lambda a, b: a < b)
le = _not_differentiable("le", lambda a, b: a <= b)
gt = _not_differentiable("gt", lambda a, b: a > b)
ge = _not_differentiable("ge", lambda a, b: a >= b)
bitwise_and = _not_differentiable("bitwise_and", lambda a, b: a & b)
bitwise_or = _not_differentiable("bitwise_or", lambda a, b: a | b)
bitwise_xor = _not_differentiable("bitwise_xor", lambda a, b: a ^ b)
floor_divide = _not_differentiable("floor_divide", np.floor_divide, _check_divisor)
