"""Tensor's in-place methods, and the rules that keep the tape honest under them."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import numpy as np

from minicnn import autograd, dtypes, random
from minicnn.autograd import Variable
from minicnn.device import beside, computing_on, device_of
from minicnn.kernels import namespace
from minicnn.kernels.errors import ArgumentError, AutogradError, DtypeError, ShapeError
from minicnn.ops import choice, elementwise, indexing, shaping


def _drawn(draw: np.ndarray, x: Variable) -> Any:
    """Numbers drawn on the CPU, in the dtype of `x` and where it is."""
    return beside(draw.astype(x.array.dtype), x.array)


class InPlace(Variable):
    """Changes of a tensor's own memory.

    Each bumps a version counter that all views share; backward compares it with the one at the
    time of saving and refuses to use an array that was changed since.
    """

    __slots__ = ()

    def _replace(self, op: str, compute: Callable[[Any], Any]) -> Any:
        """Put `compute(self)` into this tensor's memory, and this tensor after it on the tape."""
        tracked = autograd.is_grad_enabled()
        if tracked and self._requires_grad and self.is_leaf:
            raise AutogradError(
                f"{op}: a leaf that requires a gradient cannot be changed in place. "
                "Do it under minicnn.no_grad(), or work on a copy."
            )
        if tracked and self._requires_grad and self._is_view:
            raise AutogradError(
                f"{op}: a view of a recorded tensor cannot be changed in place. Use .clone() first."
            )
        self._refuse_read_only(op)
        before = self._shadow() if tracked else self
        result = compute(before)
        if result.array.shape != self.array.shape:
            raise ShapeError(
                f"{op}: the result has shape {result.array.shape}, which does not fit into "
                f"{self.array.shape}."
                " Use the operator without '=', which makes a new tensor."
            )
        if not dtypes.can_cast(result.array.dtype, self.array.dtype):
            raise DtypeError(
                f"{op}: the result is {result.array.dtype}, which does not fit into "
                f"{self.array.dtype}."
                " Use the operator without '=', or convert with .to(dtype) first."
            )
        if result._requires_grad and self._is_view:
            raise AutogradError(
                f"{op}: a view cannot start to require a gradient. Use .clone() first."
            )
        if before._requires_grad and tracked and not result._requires_grad:
            # New numbers that came from nowhere: the old ones get the gradient 0.
            result = indexing.setitem(before, Ellipsis, result)
        with computing_on(self.array):
            self.array[...] = result.array
        self._version.n += 1
        if result._requires_grad:
            self._requires_grad, self._node, self._slot = True, result._node, result._slot
            self._version.moves += 1
            if self._retains_grad:
                self._node._retained.append(weakref.ref(self))
        return self

    def _shadow(self) -> Any:
        """A copy of the elements at this place on the tape, which forward may save."""
        with computing_on(self.array):
            copy = self._new(self.array.copy())
        copy._requires_grad, copy._node, copy._slot = self._requires_grad, self._node, self._slot
        return copy

    def _refuse_read_only(self, op: str) -> None:
        if not shaping.writeable(self.array):
            raise ArgumentError(
                f"{op}: this memory is read-only: an expanded tensor, whose elements share it, or "
                "a read-only array. Work on a .clone()."
            )

    def __setitem__(self, index: Any, value: Any) -> None:
        wants_grad = (isinstance(value, Variable) and value._requires_grad) or self._requires_grad
        if wants_grad and autograd.is_grad_enabled():
            self._replace("index", lambda x: indexing.setitem(x, index, value))
        else:
            self._refuse_read_only("index")
            indexing.assign(self, index, value)

    def copy_(self, other: Any) -> Any:
        """Filled with the other tensor's elements, broadcast and cast."""
        source = other if isinstance(other, Variable) else self._new(np.asarray(other))
        source = elementwise.move(source, device_of(self.array))
        return self._replace(
            "copy_", lambda x: elementwise.cast(shaping.expand(source, x.array.shape), x.dtype)
        )

    def fill_(self, value: Any) -> Any:
        """Filled with one number."""
        full = namespace(self.array).full
        return self._replace("fill_", lambda x: self._new(full(x.array.shape, value, x.dtype)))

    def zero_(self) -> Any:
        """Filled with zeros."""
        return self.fill_(0)

    def uniform_(self, low: Any = 0.0, high: Any = 1.0, generator: Any = None) -> Any:
        """Filled with numbers drawn evenly from [low, high)."""
        draw = random.generator(generator).uniform(low, high, self.array.shape)
        return self._replace("uniform_", lambda x: self._new(_drawn(draw, x)))

    def normal_(self, mean: Any = 0.0, std: Any = 1.0, generator: Any = None) -> Any:
        """Filled with numbers drawn from the normal distribution."""
        draw = random.generator(generator).normal(mean, std, self.array.shape)
        return self._replace("normal_", lambda x: self._new(_drawn(draw, x)))

    def add_(self, other: Any) -> Any:
        """`add`, in place."""
        return self._replace("add_", lambda x: elementwise.add(x, other))

    def sub_(self, other: Any) -> Any:
        """`sub`, in place."""
        return self._replace("sub_", lambda x: elementwise.sub(x, other))

    def mul_(self, other: Any) -> Any:
        """`mul`, in place."""
        return self._replace("mul_", lambda x: elementwise.mul(x, other))

    def div_(self, other: Any) -> Any:
        """`div`, in place."""
        return self._replace("div_", lambda x: elementwise.div(x, other))

    def pow_(self, other: Any) -> Any:
        """`pow`, in place."""
        return self._replace("pow_", lambda x: elementwise.pow(x, other))

    def clamp_(self, min: Any = None, max: Any = None) -> Any:
        """`clamp`, in place."""
        return self._replace("clamp_", lambda x: choice.clamp(x, min, max))

    def __iadd__(self, other: Any) -> Any:
        return self.add_(other)

    def __isub__(self, other: Any) -> Any:
        return self.sub_(other)

    def __imul__(self, other: Any) -> Any:
        return self.mul_(other)

    def __itruediv__(self, other: Any) -> Any:
        return self.div_(other)

    def __ipow__(self, other: Any) -> Any:
        return self.pow_(other)
