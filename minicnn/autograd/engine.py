"""Backward: the tape is walked from its end to its beginning, and gradients add up on the way.

The idea that keeps it short: nodes are numbered as they are written, and whatever consumed a
node's output was written later. Popping the highest number first is therefore a topological
order - no dependency counting, no recursion, any depth.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np

from minicnn.autograd.function import Array, Node, Variable, as_array
from minicnn.device import common_device, computing_on
from minicnn.kernels import namespace, on_gpu, use_backend
from minicnn.kernels.errors import AutogradError, DtypeError, ShapeError

_HERE = nullcontext()


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
        with use_backend(node.backend), np.errstate(all="ignore"), node._place or _HERE:
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
                with node._place or _HERE:
                    zeros = namespace(next(t.array for t in sums if t is not None)).zeros
                    sums[slot] = _Sum(zeros(shape, dtype), True)
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
                f"{total.array.shape}. Return one of the shape it got, or None."
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
        if isinstance(gradient, Variable) or not hasattr(gradient, "astype"):
            raise AutogradError(
                f"{node.name}.backward: gradient {position} is a {type(gradient).__name__}. "
                f"Return an array of its input's shape, {shape}."
            )
        if gradient.shape != shape:
            raise AutogradError(
                f"{node.name}.backward: gradient {position} has shape {gradient.shape}, its input "
                f"{shape}. Sum it over the broadcast axes."
            )
        yield edge, as_array(gradient).astype(dtype, copy=False)


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
            if not isinstance(grad, Variable | np.ndarray) and not on_gpu(grad):
                raise DtypeError(
                    f"backward: the gradient must be a Tensor, got {type(grad).__name__}. "
                    "Wrap it in minicnn.tensor(...)."
                )
            seed = grad.array if isinstance(grad, Variable) else grad
            if seed.shape != array.shape:
                raise ShapeError(
                    f"backward: gradient of shape {seed.shape} for a tensor of shape "
                    f"{array.shape}. Pass one number for each of the tensor's."
                )
            if type(array) is not np.ndarray or type(seed) is not np.ndarray:
                common_device("backward", tensor=array, gradient=seed)
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
    with computing_on(outputs[0].array) if outputs else _HERE:
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
        place = [variable._requires_grad for variable in wanted].index(False)
        raise AutogradError(
            f"grad: input {place} does not require a gradient. Call .requires_grad_() on it "
            "before computing the outputs."
        )
    found: dict[int, Array] = {}

    def deliver(variable: Variable, total: _Sum) -> None:
        found[id(variable)] = total.array if total.owned else total.array.copy()

    with computing_on(outs[0].array) if outs else _HERE:
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
