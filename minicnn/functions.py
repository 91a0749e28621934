"""Free functions under PyTorch's names: most are a Tensor's methods spelled the other way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minicnn.device import common_device
from minicnn.ops import choice, elementwise, shaping
from minicnn.tensor import Tensor

add, sub, mul, div, pow = (
    elementwise.add, elementwise.sub, elementwise.mul, elementwise.div, elementwise.pow,
)  # fmt: skip
maximum, minimum, where = elementwise.maximum, elementwise.minimum, choice.where
eq, ne, lt, le, gt, ge = (
    elementwise.eq, elementwise.ne, elementwise.lt, elementwise.le, elementwise.gt, elementwise.ge,
)  # fmt: skip


def cat(tensors: Sequence[Tensor], dim: int = 0, *, axis: int | None = None) -> Tensor:
    """Tensors joined along an existing dimension; all other sizes must agree."""
    return shaping.cat(tensors, dim if axis is None else axis)


concat = concatenate = cat


def stack(tensors: Sequence[Tensor], dim: int = 0, *, axis: int | None = None) -> Tensor:
    """Tensors of one shape joined along a new dimension."""
    return shaping.stack(tensors, dim if axis is None else axis)


def allclose(
    a: Tensor, b: Tensor, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False
) -> bool:
    """Whether |a-b| <= atol + rtol·|b| everywhere."""
    _require_two("allclose", a, b)
    return bool(np.allclose(a.array, b.array, rtol, atol, equal_nan))


def equal(a: Tensor, b: Tensor) -> bool:
    """Whether shapes and all elements are equal."""
    _require_two("equal", a, b)
    return a.array.shape == b.array.shape and bool(np.all(a.array == b.array))


def _require_two(op: str, a: Any, b: Any) -> None:
    for x in (a, b):
        elementwise.require_tensor(op, x)
    common_device(op, input=a.array, other=b.array)


def is_tensor(x: Any) -> bool:
    """Whether `x` is a Tensor."""
    return isinstance(x, Tensor)


def _method(name: str) -> Callable[..., Any]:
    method = getattr(Tensor, name)

    def function(input: Tensor, *args: Any, **kwargs: Any) -> Any:
        elementwise.require_tensor(name, input)
        return method(input, *args, **kwargs)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = method.__doc__
    return function


sum = _method("sum")
mean = _method("mean")
var = _method("var")
std = _method("std")
prod = _method("prod")
max = _method("max")
min = _method("min")
amax = _method("amax")
amin = _method("amin")
argmax = _method("argmax")
argmin = _method("argmin")
all = _method("all")
any = _method("any")
norm = _method("norm")
exp = _method("exp")
log = _method("log")
log1p = _method("log1p")
sqrt = _method("sqrt")
square = _method("square")
abs = _method("abs")
neg = _method("neg")
sin = _method("sin")
cos = _method("cos")
tanh = _method("tanh")
sigmoid = _method("sigmoid")
relu = _method("relu")
clamp = _method("clamp")
clip = _method("clip")
sign = _method("sign")
round = _method("round")
floor = _method("floor")
ceil = _method("ceil")
matmul = _method("matmul")
mm = _method("mm")
bmm = _method("bmm")
dot = _method("dot")
softmax = _method("softmax")
log_softmax = _method("log_softmax")
cumsum = _method("cumsum")
isnan = _method("isnan")
isfinite = _method("isfinite")
logical_not = _method("logical_not")
reshape = _method("reshape")
flatten = _method("flatten")
permute = _method("permute")
transpose = _method("transpose")
squeeze = _method("squeeze")
unsqueeze = _method("unsqueeze")
flip = _method("flip")
split = _method("split")
chunk = _method("chunk")
unbind = _method("unbind")
gather = _method("gather")
index_select = _method("index_select")
clone = _method("clone")
t = _method("t")
