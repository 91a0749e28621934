"""What the tape is made of: Variables, the Functions applied to them, and a Node for each time.

Every `Function.apply` that touches a variable requiring a gradient writes one `Node`. A node
knows where its inputs came from (`edges`), never where its outputs went, so the tape has no
reference cycles and dies with the last variable that needs it.

Functions see arrays only. What is a `Tensor` to the user is a `Variable` here: an array, a
gradient, and the place on the tape where it was made.
"""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np

from minicnn.device import common_device, computing_on
from minicnn.grad_mode import is_grad_enabled
from minicnn.kernels import backend_of, backend_on_cpu
from minicnn.kernels.errors import AutogradError

Array = Any  # numpy.ndarray or cupy.ndarray

_order = itertools.count(1)  # next() on a count is atomic: threads may record side by side


class Version:
    """How often the memory behind an array was changed in place; shared by all its views.

    `moves` counts the changes that also moved the changed variable on the tape. Views taken before
    such a move show the new numbers, but are recorded as views of the old ones.
    """

    __slots__ = ("moves", "n")

    def __init__(self) -> None:
        self.n = self.moves = 0


class Variable:
    """An array with a gradient and a place on the tape; `Tensor` is its public subclass."""

    __slots__ = (
        "__weakref__", "_hooks", "_is_view", "_moves", "_node", "_requires_grad",
        "_retains_grad", "_slot", "_version", "array", "grad",
    )  # fmt: skip

    # `minicnn.tensor` puts Tensor here: what Function.apply wraps its results in.
    result_class: ClassVar[type[Variable]]

    def __init__(self, array: Array, requires_grad: bool = False) -> None:
        self.array = array
        self.grad: Any = None
        self._requires_grad = requires_grad
        self._node: Node | None = None  # the node that made it; None for a leaf
        self._slot = 0  # which of that node's outputs it is
        self._version = Version()
        self._is_view = False
        self._moves = 0  # of a view: its version's `moves` when it was taken
        self._hooks: list[Callable] | None = None
        self._retains_grad = False

    @staticmethod
    def _new(array: Array) -> Any:
        """A tensor that shows `array` and is not on the tape."""
        return Variable.result_class(array)

    @property
    def dtype(self) -> np.dtype:
        """The elements' type, such as `minicnn.float32`."""
        return self.array.dtype

    @property
    def ndim(self) -> int:
        """The number of dimensions."""
        return self.array.ndim

    @property
    def is_leaf(self) -> bool:
        """True for what the user made, False for what an operation recorded."""
        return self._node is None

    def _refuse_outdated_view(self, op: str) -> None:
        if self._is_view and self._moves != self._version.moves:
            raise AutogradError(
                f"{op}: this view was taken before an operation in place changed the tensor it "
                "shows, so its gradient would be wrong. Take the view again after the change."
            )


class Node:
    """One recorded application of a Function: the `ctx` its forward and backward receive.

    Attributes:
        needs_input_grad: one bool per array argument of forward: is its gradient wanted?
        saved_tensors: the arrays that forward kept with `save_for_backward`, checked for changes.
    """

    __slots__ = (
        "__dict__", "_backend", "_hooks", "_place", "_retained", "_saved", "edges", "freed",
        "function", "needs_input_grad", "number", "outputs",
    )  # fmt: skip

    def __init__(self, function: type[Function], needs_input_grad: tuple[bool, ...]) -> None:
        self.function = function
        self.needs_input_grad = needs_input_grad
        self.number = 0
        # Where each input came from: (node, slot), a leaf, or None if it wants no gradient.
        self.edges: list[tuple[Node, int] | Variable | None] = []
        self.outputs: list[tuple[tuple[int, ...], Any]] = []  # shape and dtype of each output
        self.freed = False
        self._saved: tuple = ()
        self._hooks: dict[int, list[Callable]] = {}
        self._retained: list[weakref.ref[Variable]] = []  # outputs that keep their gradient
        self._backend = backend_on_cpu()  # backward runs on the rung that forward ran on
        self._place: Any = None  # and on the GPU, or None for the CPU

    @property
    def backend(self) -> Any:
        """The rung that forward ran on; backward runs under it too."""
        return self._backend

    def save_for_backward(self, *arrays: Array | None) -> None:
        """Keep these arrays (inputs, outputs or temporaries) until backward has used them."""
        self._saved = arrays

    @property
    def saved_tensors(self) -> tuple[Any, ...]:
        """The arrays given to `save_for_backward`; an error if one was changed since."""
        for position, (_, version, then) in enumerate(self._saved):
            if version is not None and version.n != then:
                raise AutogradError(
                    f"{self.name}: saved array {position} was changed in place after forward "
                    f"used it (version {version.n}, expected {then}). Work on a .clone(), or make "
                    "the change after backward()."
                )
        return tuple(array for array, _, _ in self._saved)

    @property
    def name(self) -> str:
        """The Function's name, as it appears in messages."""
        return self.function._name()

    @property
    def next_functions(self) -> tuple[Any, ...]:
        """The nodes (or leaf tensors) that this node's inputs came from."""
        return tuple(e[0] if isinstance(e, tuple) else e for e in self.edges)

    def __repr__(self) -> str:
        return f"<{self.name}Backward>"

    def _track_versions(self, variables: Sequence[Variable]) -> None:
        """Note, for each saved array that some variable shows, the version it has now."""
        by_array = {id(v.array): v._version for v in variables}
        tracked = []
        for array in self._saved:
            version = by_array.get(id(array))
            tracked.append((array, version, version.n if version is not None else 0))
        self._saved = tuple(tracked)

    def _release(self) -> None:
        self._saved = ()
        self.edges = []
        self.freed = True
        self.__dict__.clear()


class Function:
    """One differentiable operation: two static methods on arrays.

    ::

        class Square(Function):
            @staticmethod
            def forward(ctx, x):
                ctx.save_for_backward(x)
                return x * x

            @staticmethod
            def backward(ctx, dy):
                (x,) = ctx.saved_tensors
                return 2 * x * dy

        y = Square.apply(tensor)

    `forward(ctx, *args, **kwargs)` gets the arrays of all Tensor arguments, the other arguments
    as they are, and returns an array or a tuple of arrays. `backward(ctx, *grads)` gets one array
    per output (None where no gradient arrived, if `materialize_grads` is False) and returns one
    gradient, or None, per positional argument of forward. It should skip what
    `ctx.needs_input_grad` does not ask for, and must not write into the arrays it is given.

    Class attributes:
        is_view: the output shares memory with the first argument.
        fresh_gradients: backward's results are arrays that nobody else holds, so the engine may
            keep them as `.grad` without a copy. Never set it if backward can return its argument,
            or one array twice.
        differentiable: per output, False for integer outputs such as indices; None means all are.
        materialize_grads: replace missing output gradients by zeros before calling backward.
    """

    is_view: ClassVar[bool] = False
    fresh_gradients: ClassVar[bool] = False
    differentiable: ClassVar[tuple[bool, ...] | None] = None
    materialize_grads: ClassVar[bool] = True

    @staticmethod
    def forward(ctx: Node, *args: Any, **kwargs: Any) -> Any:
        """Compute the result from arrays."""
        raise NotImplementedError

    @staticmethod
    def backward(ctx: Node, *grads: Any) -> Any:
        """Compute the gradients of the arguments from those of the results."""
        raise NotImplementedError

    @classmethod
    def apply(cls, *args: Any, **kwargs: Any) -> Any:
        """Run forward on the arrays of `args` and, where a gradient may be wanted, record it."""
        enabled, on_cpu = is_grad_enabled(), True
        arrays, needs = [], []
        for a in args:
            if isinstance(a, Variable):
                if enabled and a._is_view:
                    a._refuse_outdated_view(cls._name())
                array = a.array
                arrays.append(array)
                needs.append(enabled and a._requires_grad)
                on_cpu = on_cpu and type(array) is np.ndarray
            else:
                arrays.append(a)
                needs.append(False)
        record = True in needs
        node = Node(cls, tuple(needs))
        if on_cpu:
            with np.errstate(all="ignore"):  # 1/0 is inf and 0/0 is NaN, without NumPy's warnings
                result = cls.forward(node, *arrays, **kwargs)
        else:
            result = cls._forward_elsewhere(node, args, arrays, kwargs)

        outputs = result if isinstance(result, tuple) else (result,)
        variables = [Variable.result_class(as_array(array)) for array in outputs]
        if cls.is_view:
            variables[0]._version = args[0]._version
            variables[0]._is_view = True
            variables[0]._moves = args[0]._version.moves
        if record:
            cls._record(node, args, variables)
        return tuple(variables) if isinstance(result, tuple) else variables[0]

    @classmethod
    def _forward_elsewhere(
        cls, node: Node, args: Sequence[Any], arrays: Sequence[Any], kwargs: dict[str, Any]
    ) -> Any:
        """Forward where the arrays are, a GPU as a rule, on the rung that computes there."""
        found = {f"argument {i}": a.array for i, a in enumerate(args) if isinstance(a, Variable)}
        common_device(node.name, **found)
        first = next(iter(found.values()))
        node._place, node._backend = computing_on(first), backend_of(first)
        with node._place, np.errstate(all="ignore"):
            return cls.forward(node, *arrays, **kwargs)

    @classmethod
    def _name(cls) -> str:
        return cls.__name__.removesuffix("Function")

    @classmethod
    def _record(cls, node: Node, args: Sequence[Any], variables: list[Variable]) -> None:
        node.number = next(_order)
        for arg, need in zip(args, node.needs_input_grad, strict=True):
            if not need:
                node.edges.append(None)
            else:
                node.edges.append(arg if arg._node is None else (arg._node, arg._slot))
        node.outputs = [(v.array.shape, v.array.dtype) for v in variables]
        node._track_versions([*variables, *(a for a in args if isinstance(a, Variable))])
        flags = cls.differentiable or (True,) * len(variables)
        for slot, (variable, differentiable) in enumerate(zip(variables, flags, strict=True)):
            if differentiable:
                variable._requires_grad = True
                variable._node, variable._slot = node, slot


def as_array(result: Any) -> Array:
    """NumPy answers with a scalar, not an array, where all operands have no dimensions."""
    return np.asarray(result) if isinstance(result, np.generic) else result
