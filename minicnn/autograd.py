"""Reverse-mode differentiation: a tape of Functions, walked backward in the order of its writing.

Every `Function.apply` that touches a variable requiring a gradient writes one `Node`. A node
knows where its inputs came from (`edges`), never where its outputs went, so the tape has no
reference cycles and dies with the last variable that needs it.

The idea that keeps `backward` short: nodes are numbered as they are written, and whatever
consumed a node's output was written later. Popping the highest number first is therefore a
topological order - no dependency counting, no recursion, any depth.

Functions see arrays only. What is a `Tensor` to the user is a `Variable` here: an array, a
gradient, and the place on the tape where it was made.
"""

from __future__ import annotations

import heapq
import itertools
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar

import numpy as np

from minicnn.grad_mode import (
    enable_grad,
    inference_mode,
    is_grad_enabled,
    no_grad,
    set_grad_enabled,
)
from minicnn.kernels import current_backend, use_backend
from minicnn.kernels.errors import AutogradError, DtypeError, ShapeError

Array = Any  # numpy.ndarray or cupy.ndarray

__all__ = [
    "Function",
    "Node",
    "Variable",
    "backward",
    "enable_grad",
    "grad",
    "inference_mode",
    "is_grad_enabled",
    "no_grad",
    "set_grad_enabled",
]

_order = itertools.count(1)  # next() on a count is atomic: threads may record side by side


# ------------------------------------------------------------------------------------- variables


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
        "__dict__", "_backend", "_hooks", "_retained", "_saved", "edges", "freed", "function",
        "needs_input_grad", "number", "outputs",
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
        self._backend = current_backend()  # backward runs on the rung that forward ran on

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
        return self.function.__name__.removesuffix("Function")

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
        needs = tuple(isinstance(a, Variable) and a._requires_grad for a in args)
        record = is_grad_enabled() and any(needs)
        node = Node(cls, needs if record else (False,) * len(args))
        if is_grad_enabled():
            for a in args:
                if isinstance(a, Variable):
                    a._refuse_outdated_view(node.name)
        arrays = [a.array if isinstance(a, Variable) else a for a in args]
        with np.errstate(all="ignore"):  # 1/0 is inf and 0/0 is NaN, without NumPy's warnings
            result = cls.forward(node, *arrays, **kwargs)

        outputs = result if isinstance(result, tuple) else (result,)
        variables = [Variable.result_class(_as_array(array)) for array in outputs]
        if cls.is_view:
            variables[0]._version = args[0]._version
            variables[0]._is_view = True
            variables[0]._moves = args[0]._version.moves
        if record:
            cls._record(node, args, variables)
        return tuple(variables) if isinstance(result, tuple) else variables[0]

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


def _as_array(result: Any) -> Array:
    """NumPy answers with a scalar, not an array, where all operands have no dimensions."""
    return np.asarray(result) if isinstance(result, np.generic) else result


# -------------------------------------------------------------------------------------- backward


class _Sum:
    """A gradient that arrives in parts. The engine adds only into arrays that it allocated."""

    __slots__ = ("array", "owned")

    def __init__(self, array: Array, fresh: bool) -> None:
        self.array = array
        self.owned = fresh

    def add(self, array: Array) -> None:
        if self.owned:
            self.array += array
        else:
            self.array = self.array + array
            self.owned = True


def _run(
    roots: Sequence[Variable],
    seeds: Sequence[Array],
    retain_graph: bool,
    deliver: Callable[[Variable, _Sum], None],
    wanted: Sequence[Variable] | None = None,
) -> None:
    """Push `seeds` from `roots` through the tape; hand each leaf, or each wanted, its sum."""
    watched: dict[tuple[int, int], list[Variable]] = {}
    for variable in wanted or ():
        if variable._node is not None:
            watched.setdefault((variable._node.number, variable._slot), []).append(variable)
    asked = None if wanted is None else {id(variable) for variable in wanted}
    pending: dict[int, list[_Sum | None]] = {}  # node number -> one sum per output
    leaves: dict[int, tuple[Variable, _Sum]] = {}
    heap: list[tuple[int, Node]] = []

    def push(edge: tuple[Node, int] | Variable, gradient: Array, fresh: bool) -> None:
        if isinstance(edge, Variable):
            if asked is not None and id(edge) not in asked:
                return
            found = leaves.get(id(edge))
            if found is None:
                leaves[id(edge)] = (edge, _Sum(gradient, fresh))
            else:
                found[1].add(gradient)
            return
        node, slot = edge
        sums = pending.get(node.number)
        if sums is None:
            sums = pending[node.number] = [None] * len(node.outputs)
            heapq.heappush(heap, (-node.number, node))
        known = sums[slot]
        if known is None:
            sums[slot] = _Sum(gradient, fresh)
        else:
            known.add(gradient)

    for root, seed in zip(roots, seeds, strict=True):
        push(root if root._node is None else (root._node, root._slot), seed, fresh=False)

    while heap:
        _, node = heapq.heappop(heap)
        grads = _output_gradients(node, pending.pop(node.number), watched, deliver)
        with use_backend(node.backend), np.errstate(all="ignore"):
            results = node.function.backward(node, *grads)
        del grads
        fresh = node.function.fresh_gradients
        for edge, gradient in _pair(node, results):
            push(edge, gradient, fresh)
        del results
        if not retain_graph:
            node._release()

    for variable, total in leaves.values():
        for hook in tuple(variable._hooks or ()):
            _call_hook(hook, total)
        deliver(variable, total)


def _output_gradients(
    node: Node,
    sums: list[_Sum | None],
    watched: dict[tuple[int, int], list[Variable]],
    deliver: Callable[[Variable, _Sum], None],
) -> list[Array | None]:
    """The finished gradients of a node's outputs, after hooks, for those who watch them."""
    if node.freed:
        raise AutogradError(
            f"{node.name}: backward a second time through the same graph, whose saved arrays are "
            "freed already. Pass retain_graph=True to the first backward()."
        )
    for slot, total in enumerate(sums):
        if total is None:
            if node.function.materialize_grads:
                shape, dtype = node.outputs[slot]
                sums[slot] = _Sum(np.zeros(shape, dtype), True)
            continue
        for hook in tuple(node._hooks.get(slot, ())):
            _call_hook(hook, total)
        for reference in node._retained:
            retaining = reference()
            if retaining is not None and retaining._node is node and retaining._slot == slot:
                _accumulate(retaining, _Sum(total.array, False))
        for variable in watched.get((node.number, slot), ()):
            deliver(variable, _Sum(total.array, False))
    return [None if total is None else total.array for total in sums]


def _call_hook(hook: Callable, total: _Sum) -> None:
    replaced = hook(Variable.result_class(total.array))
    total.owned = False  # the hook may have kept it
    if replaced is not None:
        if replaced.array.shape != total.array.shape:
            raise ShapeError(
                f"hook: returned a gradient of shape {replaced.array.shape} instead of "
                f"{total.array.shape}"
            )
        total.array = replaced.array.astype(total.array.dtype, copy=False)


def _pair(node: Node, results: Any) -> Iterator[tuple[tuple[Node, int] | Variable, Array]]:
    """Match backward's results with the inputs that want them, checking count and shape."""
    results = results if isinstance(results, tuple) else (results,)
    if len(results) != len(node.edges):
        raise AutogradError(
            f"{node.name}.backward returned {len(results)} gradients for {len(node.edges)} "
            "arguments. Return one per argument of forward, None where there is none."
        )
    for position, (edge, gradient) in enumerate(zip(node.edges, results, strict=True)):
        if edge is None or gradient is None:
            continue
        if isinstance(edge, Variable):
            shape, dtype = edge.array.shape, edge.array.dtype
        else:
            shape, dtype = edge[0].outputs[edge[1]]
        if gradient.shape != shape:
            raise AutogradError(
                f"{node.name}.backward: gradient {position} has shape {gradient.shape}, its input "
                f"{shape}. Sum it over the broadcast axes."
            )
        yield edge, _as_array(gradient).astype(dtype, copy=False)


def _seeds(outputs: Sequence[Variable], grads: Sequence[Any] | None) -> list[Array]:
    """The gradients that backward starts from: given, or 1 for scalars."""
    given = list(grads) if grads is not None else [None] * len(outputs)
    if len(given) != len(outputs):
        raise AutogradError(
            f"backward: {len(outputs)} outputs but {len(given)} gradients; give one each"
        )
    seeds = []
    for output, grad in zip(outputs, given, strict=True):
        output._refuse_outdated_view("backward")
        if not output._requires_grad:
            raise AutogradError(
                "backward: the tensor does not require a gradient and was not recorded. Set "
                "requires_grad=True on an input, and do not compute it under no_grad()."
            )
        array = output.array
        if grad is None:
            if array.size != 1:
                raise AutogradError(
                    f"backward: a gradient can be left out for a scalar only, not for shape "
                    f"{array.shape}. Reduce first, as in loss.mean().backward(), or pass one."
                )
            seeds.append(np.ones_like(array))
        else:
            if not isinstance(grad, Variable | np.ndarray):
                raise DtypeError(
                    f"backward: the gradient must be a Tensor, got {type(grad).__name__}"
                )
            seed = grad.array if isinstance(grad, Variable) else grad
            if seed.shape != array.shape:
                raise ShapeError(
                    f"backward: gradient of shape {seed.shape} for a tensor of shape {array.shape}"
                )
            seeds.append(seed.astype(array.dtype, copy=False))
    return seeds


def _refuse_create_graph(create_graph: bool) -> None:
    if create_graph:
        raise AutogradError(
            "backward: create_graph=True asks for derivatives of derivatives, which this engine "
            "does not record. Use finite differences of the gradient."
        )


def backward(
    tensors: Any,
    grad_tensors: Any = None,
    retain_graph: bool = False,
    create_graph: bool = False,
) -> None:
    """Add d(sum of tensors · grad_tensors)/d(leaf) to `.grad` of every leaf that asked for it.

    Args:
        tensors: a tensor or sequence of tensors, scalars unless `grad_tensors` is given.
        grad_tensors: the cotangent of each, of the same shape; 1 for scalars.
        retain_graph: keep what forward saved, for another backward over the same graph.
        create_graph: not supported; raises AutogradError.
    """
    _refuse_create_graph(create_graph)
    outputs, grads = _as_lists(tensors, grad_tensors)
    _run(outputs, _seeds(outputs, grads), retain_graph, _accumulate)


def _accumulate(variable: Variable, total: _Sum) -> None:
    """Add a finished gradient to `.grad`, in an array that nobody else holds."""
    if variable.grad is not None:
        # Not in place: the user may hold the old .grad, and reading it again must not surprise.
        variable.grad = Variable.result_class(variable.grad.array + total.array)
    else:
        array = total.array if total.owned else total.array.copy()
        variable.grad = Variable.result_class(array)


def grad(
    outputs: Any,
    inputs: Any,
    grad_outputs: Any = None,
    retain_graph: bool = False,
    create_graph: bool = False,
    allow_unused: bool = False,
) -> tuple[Any, ...]:
    """The gradients of `outputs` with respect to `inputs`, returned instead of added to `.grad`.

    `inputs` may be leaves or intermediate results. One that the outputs do not depend on gives
    None if `allow_unused`, else an AutogradError.
    """
    _refuse_create_graph(create_graph)
    outs, grads = _as_lists(outputs, grad_outputs)
    wanted = [inputs] if isinstance(inputs, Variable) else list(inputs)
    if not all(variable._requires_grad for variable in wanted):
        raise AutogradError("grad: one of the inputs does not require a gradient")
    found: dict[int, Array] = {}

    def deliver(variable: Variable, total: _Sum) -> None:
        found[id(variable)] = total.array if total.owned else total.array.copy()

    _run(outs, _seeds(outs, grads), retain_graph, deliver, wanted)
    missing = [i for i, variable in enumerate(wanted) if id(variable) not in found]
    if missing and not allow_unused:
        raise AutogradError(
            f"grad: the outputs do not depend on input {missing[0]}. "
            "Pass allow_unused=True to get None for it."
        )
    return tuple(Variable.result_class(found[id(v)]) if id(v) in found else None for v in wanted)


def _as_lists(tensors: Any, grads: Any) -> tuple[list[Variable], list[Any] | None]:
    outputs = [tensors] if isinstance(tensors, Variable) else list(tensors)
    if grads is None or isinstance(grads, list | tuple):
        return outputs, None if grads is None else list(grads)
    return outputs, [grads]
