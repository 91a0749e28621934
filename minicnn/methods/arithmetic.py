"""Tensor's operators and elementwise methods."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from minicnn.autograd import Variable
from minicnn.device import beside
from minicnn.kernels.errors import ShapeError
from minicnn.ops import activation, choice, elementwise, linear

if TYPE_CHECKING:
    from minicnn.tensor import Tensor


def _require_rank(op: str, rank: int, *operands: Any) -> None:
    for x in operands:
        elementwise.require_tensor(op, x)
        if x.array.ndim != rank:
            raise ShapeError(
                f"{op}: needs {rank} dimensions, got shape {x.array.shape}. Use @ for any rank."
            )


class Arithmetic(Variable):
    """Operators, and functions applied to each element; broadcasting and dtypes as in PyTorch."""

    __slots__ = ()
    __array_ufunc__ = None  # NumPy's operators must leave `ndarray + Tensor` to Tensor
    __hash__ = object.__hash__

    def __add__(self, other: Any) -> Tensor:
        return elementwise.add(self, other)

    def __radd__(self, other: Any) -> Tensor:
        return elementwise.add(other, self)

    def __sub__(self, other: Any) -> Tensor:
        return elementwise.sub(self, other)

    def __rsub__(self, other: Any) -> Tensor:
        return elementwise.sub(other, self)

    def __mul__(self, other: Any) -> Tensor:
        return elementwise.mul(self, other)

    def __rmul__(self, other: Any) -> Tensor:
        return elementwise.mul(other, self)

    def __truediv__(self, other: Any) -> Tensor:
        return elementwise.div(self, other)

    def __rtruediv__(self, other: Any) -> Tensor:
        return elementwise.div(other, self)

    def __pow__(self, other: Any) -> Tensor:
        return elementwise.pow(self, other)

    def __rpow__(self, other: Any) -> Tensor:
        return elementwise.pow(other, self)

    def __floordiv__(self, other: Any) -> Tensor:
        return elementwise.floor_divide(self, other)

    def __rfloordiv__(self, other: Any) -> Tensor:
        return elementwise.floor_divide(other, self)

    def __mod__(self, other: Any) -> Tensor:
        return elementwise.remainder(self, other)

    def __rmod__(self, other: Any) -> Tensor:
        return elementwise.remainder(other, self)

    def __and__(self, other: Any) -> Tensor:
        return elementwise.bitwise_and(self, other)

    def __rand__(self, other: Any) -> Tensor:
        return elementwise.bitwise_and(other, self)

    def __or__(self, other: Any) -> Tensor:
        return elementwise.bitwise_or(self, other)

    def __ror__(self, other: Any) -> Tensor:
        return elementwise.bitwise_or(other, self)

    def __xor__(self, other: Any) -> Tensor:
        return elementwise.bitwise_xor(self, other)

    def __rxor__(self, other: Any) -> Tensor:
        return elementwise.bitwise_xor(other, self)

    def __lt__(self, other: Any) -> Tensor:
        return elementwise.lt(self, other)

    def __le__(self, other: Any) -> Tensor:
        return elementwise.le(self, other)

    def __gt__(self, other: Any) -> Tensor:
        return elementwise.gt(self, other)

    def __ge__(self, other: Any) -> Tensor:
        return elementwise.ge(self, other)

    def __eq__(self, other: Any) -> Tensor:  # type: ignore[override]
        if other is None or isinstance(other, str):
            return NotImplemented  # `tensor == None` is plainly False
        return elementwise.eq(self, other)

    def __ne__(self, other: Any) -> Tensor:  # type: ignore[override]
        if other is None or isinstance(other, str):
            return NotImplemented
        return elementwise.ne(self, other)

    def __neg__(self) -> Tensor:
        return elementwise.neg(self)

    def __pos__(self) -> Any:
        return self

    def __abs__(self) -> Tensor:
        return elementwise.abs(self)

    def __invert__(self) -> Tensor:
        return self._new(np.invert(self.array))

    def __matmul__(self, other: Any) -> Tensor:
        return linear.matmul(self, other)

    def matmul(self, other: Tensor) -> Tensor:
        """The matrix product."""
        return linear.matmul(self, other)

    def mm(self, mat2: Any) -> Tensor:
        """The product of two matrices, and of nothing else."""
        _require_rank("mm", 2, self, mat2)
        return linear.matmul(self, mat2)

    def bmm(self, mat2: Any) -> Tensor:
        """The products of two batches (B, n, m) and (B, m, p), one by one, without broadcasting."""
        _require_rank("bmm", 3, self, mat2)
        if self.array.shape[0] != mat2.array.shape[0]:
            raise ShapeError(
                f"bmm: batches of {self.array.shape[0]} and {mat2.array.shape[0]} matrices. "
                "Give equally many, or use @, which broadcasts."
            )
        return linear.matmul(self, mat2)

    def dot(self, other: Tensor) -> Tensor:
        """The inner product of two vectors."""
        elementwise.require_tensor("dot", other)
        if self.ndim != 1 or other.ndim != 1:
            raise ShapeError(
                f"dot: expected two vectors, got shapes {self.array.shape} and {other.array.shape}."
                " Use @ for matrices."
            )
        return linear.matmul(self, other)

    def clamp(self, min: Any = None, max: Any = None) -> Tensor:
        """Limited to [min, max]; either may be left out."""
        return choice.clamp(self, min, max)

    clip = clamp

    def relu(self) -> Tensor:
        """max(x, 0)."""
        return activation.relu(self)

    def square(self) -> Tensor:
        """x·x."""
        return elementwise.mul(self, self)

    def where(self, condition: Tensor, other: Any) -> Tensor:
        """Itself where `condition` holds, `other` elsewhere."""
        return choice.where(condition, self, other)

    def masked_fill(self, mask: Tensor, value: Any) -> Tensor:
        """`value` where `mask` is True, itself elsewhere."""
        filled = beside(np.asarray(value, self.dtype), self.array)
        return choice.where(mask, self._new(filled), self)

    def logical_not(self) -> Tensor:
        """True where zero."""
        return self._new(np.logical_not(self.array))

    def isnan(self) -> Tensor:
        """True where not a number."""
        return self._new(np.isnan(self.array))

    def isfinite(self) -> Tensor:
        """True where neither infinite nor NaN."""
        return self._new(np.isfinite(self.array))

    def sign(self) -> Tensor:
        """-1, 0 or 1."""
        return self._new(np.sign(self.array))

    def round(self) -> Tensor:
        """To the nearest integer, halves to even."""
        return self._new(np.round(self.array))

    def floor(self) -> Tensor:
        """The integer below."""
        return self._new(np.floor(self.array))

    def ceil(self) -> Tensor:
        """The integer above."""
        return self._new(np.ceil(self.array))

    def add(self, other: Any) -> Tensor:
        """self + other."""
        return elementwise.add(self, other)

    def sub(self, other: Any) -> Tensor:
        """self - other."""
        return elementwise.sub(self, other)

    def mul(self, other: Any) -> Tensor:
        """self · other."""
        return elementwise.mul(self, other)

    def div(self, other: Any) -> Tensor:
        """self / other; integers give float32."""
        return elementwise.div(self, other)

    def pow(self, other: Any) -> Tensor:
        """self to the power of other."""
        return elementwise.pow(self, other)

    def remainder(self, other: Any) -> Tensor:
        """self modulo other, with other's sign."""
        return elementwise.remainder(self, other)

    def floor_divide(self, other: Any) -> Tensor:
        """self / other, rounded down; no gradient."""
        return elementwise.floor_divide(self, other)

    def eq(self, other: Any) -> Tensor:
        """Whether equal, element by element."""
        return elementwise.eq(self, other)

    def ne(self, other: Any) -> Tensor:
        """Whether different, element by element."""
        return elementwise.ne(self, other)

    def lt(self, other: Any) -> Tensor:
        """Whether smaller."""
        return elementwise.lt(self, other)

    def le(self, other: Any) -> Tensor:
        """Whether smaller or equal."""
        return elementwise.le(self, other)

    def gt(self, other: Any) -> Tensor:
        """Whether larger."""
        return elementwise.gt(self, other)

    def ge(self, other: Any) -> Tensor:
        """Whether larger or equal."""
        return elementwise.ge(self, other)

    def maximum(self, other: Any) -> Tensor:
        """The larger of both; equal ones share the gradient."""
        return elementwise.maximum(self, other)

    def minimum(self, other: Any) -> Tensor:
        """The smaller of both; equal ones share the gradient."""
        return elementwise.minimum(self, other)

    def neg(self) -> Tensor:
        """-x."""
        return elementwise.neg(self)

    def abs(self) -> Tensor:
        """|x|; the slope at 0 is 0."""
        return elementwise.abs(self)

    def exp(self) -> Tensor:
        """e to the power of x."""
        return elementwise.exp(self)

    def log(self) -> Tensor:
        """The natural logarithm."""
        return elementwise.log(self)

    def log1p(self) -> Tensor:
        """log(1 + x), exact for small x."""
        return elementwise.log1p(self)

    def sqrt(self) -> Tensor:
        """The square root."""
        return elementwise.sqrt(self)

    def sin(self) -> Tensor:
        """The sine, of radians."""
        return elementwise.sin(self)

    def cos(self) -> Tensor:
        """The cosine, of radians."""
        return elementwise.cos(self)

    def tanh(self) -> Tensor:
        """The hyperbolic tangent."""
        return activation.tanh(self)

    def sigmoid(self) -> Tensor:
        """1/(1+exp(-x)), without overflow."""
        return activation.sigmoid(self)
