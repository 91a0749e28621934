"""gradcheck: whether backward gives the derivative of forward, by finite differences.

A full comparison would take two evaluations of forward for every entry of every input. Instead
the gradient is projected on random lines (see `slopes`): a few evaluations, at any size. A wrong
entry moves the projection by its whole error, and the projection is known to about ten digits, so
hardly any error is too small or too lonely to be seen. When a projection disagrees, the search
begins (see `blame`): which input, which entry of it, which entry of the output.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np

from minicnn.autograd.blame import Disagreement, blame, function_of
from minicnn.autograd.engine import grad
from minicnn.autograd.function import Variable
from minicnn.autograd.slopes import Arrays, Curves, Slope, difference, dot, finite
from minicnn.grad_mode import set_grad_enabled
from minicnn.kernels import namespace
from minicnn.kernels.errors import ArgumentError, DtypeError, GradcheckError, MiniCNNError

_AWAY = 1000.0  # steps by which a point is moved off a kink
_MOVES = (0, 1, -1) * 2  # each entry to a random side, or all to one: a domain may end at the point
_ALONE = 8  # of so many outputs, each also gets a cotangent while the others get none


def gradcheck(
    func: Callable[..., Any],
    inputs: Any,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    projections: int = 3,
    seed: int = 0,
    nondet_tol: float = 0.0,
    allow_unused: bool = False,
    raise_exception: bool = True,
) -> bool:
    """True if `backward` of `func` gives its derivative, else an error that says where it does not.

    For random cotangents c and directions v, <backward(c), v> must be the central difference
    (s(x+εv) - s(x-εv)) / 2ε of s = Σ c·func. Where they differ, single entries are compared: one
    is wrong if |backward - difference| > atol·min(1, largest entry) + rtol·|difference|, beyond
    the difference's own error, of which truncation grows as ε² and rounding as 10⁻¹⁶/ε.

    Where the slopes on the two sides differ, as at a tie in max pooling or at 0 in ReLU, there is
    no derivative: the check moves to a point about 1000·eps away, and does not judge the tie.

    Args:
        func: takes `inputs`, returns a tensor or a tuple of them. Bind other arguments with
            `lambda x: f(x, stride=2)` or `functools.partial`.
        inputs: a tensor, or a tuple of arguments. The tensors that require a gradient, all
            float64, are checked; all else is handed on. `func` gets copies: nothing is changed,
            and no `.grad` is touched.
        eps: the step ε; for an entry x, ε·max(1, |x|).
        atol, rtol: how far off an entry may be.
        projections: how many random lines. Each costs 5 evaluations and one backward.
        seed: of the check's own random numbers; `minicnn.random` is left alone.
        nondet_tol: by how much two runs on equal inputs may differ.
        allow_unused: accept inputs that no output depends on.
        raise_exception: False returns False in place of a GradcheckError.

    Raises:
        GradcheckError: a gradient is wrong or missing; `func` draws random numbers or changes its
            inputs; there is no derivative. Its attributes `input` and `entry` say where.
        ArgumentError, DtypeError: the check cannot begin, as with float32 inputs.
    """
    for name, value, least in (("atol", atol, "0"), ("rtol", rtol, "0"), ("eps", eps, "1e-12")):
        if not float(least) <= value < math.inf:
            raise ArgumentError(f"gradcheck: {name} must be at least {least}, got {value!r}. "
                                "The defaults suit functions of float64.")  # fmt: skip
    if projections < 1:
        raise ArgumentError(f"gradcheck: projections must be at least 1, got {projections}. Use 3.")
    check = GradientCheck(func, inputs, eps, atol, rtol, seed, nondet_tol, allow_unused)
    try:
        check.run(projections)
    except GradcheckError:
        if raise_exception:
            raise
        return False
    return True


class GradientCheck:
    """One check of one function at one point; `worst` is the largest relative error it met."""

    def __init__(
        self,
        func: Callable[..., Any],
        inputs: Any,
        eps: float = 1e-6,
        atol: float = 1e-5,
        rtol: float = 1e-3,
        seed: int = 0,
        nondet_tol: float = 0.0,
        allow_unused: bool = False,
    ) -> None:
        self.func, self.eps, self.atol, self.rtol = func, eps, atol, rtol
        self.nondet_tol, self.allow_unused = nondet_tol, allow_unused
        self.inputs = (inputs,) if isinstance(inputs, Variable) else tuple(inputs)
        self.checked = _to_check(self.inputs)
        self.rng = np.random.default_rng(seed)
        self.point: Arrays = [_host(self.inputs[i].array).copy() for i in self.checked]
        self.worst = 0.0
        self.name = _name(func)

    # ------------------------------------------------------------------------------ evaluation

    def call(self, point: Arrays, record: bool) -> tuple[list[Any], list[Any], list[Any]]:
        """The leaves made of `point`, the outputs, and all arguments."""
        args = [
            Variable._new(x.array.copy()) if isinstance(x, Variable) else x for x in self.inputs
        ]
        for i, array in zip(self.checked, point, strict=True):
            args[i] = Variable._new(namespace(self.inputs[i].array).array(array))
            args[i]._requires_grad = True
        with set_grad_enabled(record):
            result = self.func(*args)
        outputs = list(result) if isinstance(result, tuple | list) else [result]
        for place, y in enumerate(outputs):
            if not isinstance(y, Variable):
                self.fail(
                    f"output {place} is a {type(y).__name__}. Return a tensor or a tuple of them."
                )
        return [args[i] for i in self.checked], outputs, args

    def evaluate(self, point: Arrays) -> Arrays:
        """The outputs as arrays; nothing is recorded."""
        outputs = self.call(point, record=False)[1]
        return [_host(outputs[place].array) for place in self.places]

    def gradients(self, cotangents: Arrays) -> Arrays:
        """What backward gives for the checked inputs; None for one that it gives nothing for."""
        leaves, outputs, args = self.call(self.point, record=True)
        chosen = [outputs[place] for place in self.places]
        kept = [(y, c) for y, c in zip(chosen, cotangents, strict=True) if c is not None]
        seeds = [Variable._new(namespace(y.array).array(c)) for y, c in kept]
        before = [x.array.copy() if isinstance(x, Variable) else None for x in args]
        try:
            found = grad([y for y, _ in kept], leaves, seeds, allow_unused=True)
        except Exception as error:
            how = "fails" if isinstance(error, MiniCNNError) else f"raises {type(error).__name__}"
            self.fail(f"backward {how}: {error}", error)
        self._require_unchanged(args, before, "backward changes input {}")
        self._require_unchanged(seeds, [c for _, c in kept], "backward changes its argument {}")
        return [None if g is None else _host(g.array) for g in found]

    # ------------------------------------------------------------------------------- the check

    def run(self, projections: int) -> None:
        """Raise a GradcheckError unless everything agrees."""
        with np.errstate(all="ignore"):  # slopes may be infinite, or none
            self._look()
            self._compare(projections)

    def _compare(self, projections: int) -> None:
        count = len(self.places)
        patterns = [set(range(count))] * projections
        if 1 < count <= _ALONE:
            patterns += [{place} for place in range(count)]
        for pattern in patterns:
            self._project(pattern)

    def _look(self) -> None:
        """What can be seen without differences: types, changes of inputs, equal runs."""
        _, outputs, args = self.call(self.point, record=True)
        given = [x.array if isinstance(x, Variable) else None for x in self.inputs]
        self._require_unchanged(args, given, "func changes input {} in place")
        self.places = [place for place, y in enumerate(outputs) if y._requires_grad]
        if not self.places:
            self.fail(
                "no output depends on the inputs as far as the tape knows. Does func use .array, "
                ".detach() or no_grad()? Compute with tensors, or give a Function its backward."
            )
        for place in self.places:
            if outputs[place].array.dtype != np.float64:
                self.fail(
                    f"output {place} is {outputs[place].array.dtype}, too coarse for steps of "
                    f"{self.eps:g}. Compute in float64, the inputs' dtype."
                )
            if np.isnan(outputs[place].array).any():
                self.fail(f"output {place} is NaN at these inputs. Choose others.")
        self.name = self.name or f"a lambda ending in {_node_name(outputs[self.places[0]])}"
        self.curves = Curves(self.evaluate, self.point, self.eps)
        self._require_equal_runs([_host(outputs[p].array) for p in self.places], self.curves.base)
        cotangents = self._cotangents(set(range(len(self.places))))
        self._require_equal_runs(self.gradients(cotangents), self.gradients(cotangents))

    def _require_unchanged(self, shown: list[Any], before: list[Any], what: str) -> None:
        for place, (x, array) in enumerate(zip(shown, before, strict=True)):
            if isinstance(x, Variable) and not np.array_equal(_host(x.array), _host(array), True):
                self.fail(f"{what.format(place)}. Work on a copy of the array.", place=place)

    def _require_equal_runs(self, first: Arrays, second: Arrays) -> None:
        for place, (a, b) in enumerate(zip(first, second, strict=True)):
            if a is None or b is None:
                continue
            apart = np.inf if a.shape != b.shape else np.max(np.abs(difference(a, b)), initial=0.0)
            if not apart <= self.nondet_tol:
                self.fail(
                    f"two runs on equal inputs differ by {apart:.3g} (in number {place}). If func "
                    "draws random numbers, call minicnn.manual_seed inside it, or pass nondet_tol."
                )

    def _project(self, pattern: set[int]) -> None:
        """Compare along one random line, with a random cotangent for the outputs in `pattern`."""
        for side in (*_MOVES, None):
            cotangents, direction = self._cotangents(pattern), self._direction()
            found = self.gradients(cotangents)
            slope, size = self._slope(direction, cotangents, found)
            off = abs(dot(found, direction) - slope.value)
            largest = max(
                (float(np.max(np.abs(g), initial=0)) for g in found if g is not None), default=0.0
            )
            agrees = off <= slope.error + 0.1 * self.atol * min(1.0, largest)  # False for NaN
            known = slope.bent <= self.goal(size, cotangents)
            if known and agrees:
                break
            finds = known or not np.isfinite(largest)
            if finds and not blame(Disagreement(self, cotangents, found, direction)):
                break
            if side is None:
                self._fail_at_kink(slope)
            self._move(side)
        self.worst = max(self.worst, off / max(size, abs(slope.value)) if off else 0.0)
        if len(pattern) == len(self.places) and not self.allow_unused:
            for i, g in zip(self.checked, found, strict=True):
                if g is None:
                    self.fail(
                        f"no output depends on input {i}. Pass allow_unused=True, or an input "
                        "that requires no gradient.",
                        place=i,
                    )

    def _slope(self, direction: Arrays, cotangents: Arrays, found: Arrays) -> tuple[Slope, float]:
        """The slope along `direction`, and the size that it has at random."""
        parts = [finite(g) * v for g, v in zip(found, direction, strict=True) if g is not None]
        size = math.sqrt(sum(float(np.sum(part * part)) for part in parts))
        return self.curves.slope(direction, cotangents, self.goal(size, cotangents))[0], size

    def goal(self, size: float, cotangents: Arrays) -> float:
        """How well a slope of about `size` must be known for the check to mean something."""
        weighed = dot([None if c is None else np.abs(c) for c in cotangents],
                      [np.abs(finite(y)) for y in self.curves.base])  # fmt: skip
        return self.rtol * size + self.atol * min(1.0, size + weighed)

    # ------------------------------------------------------------------------------ what is drawn

    def _uneven(self, shape: tuple[int, ...]) -> Any:
        """Numbers from ±[½, 3/2]: none near 0, which would hide an entry; no two equal."""
        return self.rng.choice([-1.0, 1.0], shape) * self.rng.uniform(0.5, 1.5, shape)

    def _cotangents(self, pattern: set[int]) -> Arrays:
        shapes = enumerate(y.shape for y in self.curves.base)
        return [self._uneven(shape) if place in pattern else None for place, shape in shapes]

    def _direction(self) -> Arrays:
        return [self._uneven(x.shape) * np.maximum(1.0, np.abs(x)) for x in self.point]

    def _move(self, side: int) -> None:
        """To a nearby point without ties, where func has a value."""
        steps = [_AWAY * self.eps * v for v in self._direction()]
        moved = [
            x + (step if side == 0 else side * np.abs(step))
            for x, step in zip(self.point, steps, strict=True)
        ]
        curves = Curves(self.evaluate, moved, self.eps)
        if not any(np.isnan(y).any() for y in curves.base):
            self.point, self.curves = moved, curves

    # ---------------------------------------------------------------------------------- failing

    def _fail_at_kink(self, slope: Slope) -> NoReturn:
        self.fail(
            f"no derivative here: slope {slope.left:.6g} on one side, {slope.right:.6g} on the "
            f"other, at the inputs and at {len(_MOVES)} points {_AWAY * self.eps:g} away. Choose "
            "inputs without jumps, or a larger eps if func computes in few digits."
        )

    def fail(self, what: str, cause: Exception | None = None, place: int | None = None) -> NoReturn:
        """Raise a GradcheckError about the function."""
        error = GradcheckError(f"gradcheck of {self.name or 'a lambda'}: {what}")
        error.input = place
        raise error from cause


# ------------------------------------------------------------------------------------- the inputs


def _to_check(inputs: tuple[Any, ...]) -> list[int]:
    """The numbers of the inputs that require a gradient, each of float64."""
    wanted = [i for i, x in enumerate(inputs) if isinstance(x, Variable) and x._requires_grad]
    if not wanted:
        raise ArgumentError(
            "gradcheck: none of the inputs is a tensor that requires a gradient. Call "
            ".requires_grad_() on those to check."
        )
    for i in wanted:
        dtype = inputs[i].array.dtype
        if dtype != np.float64:
            raise DtypeError(
                f"gradcheck: input {i} is {dtype}, whose rounding would drown differences as small "
                "as eps. Use .detach().double().requires_grad_()."
            )
    return wanted


def _name(func: Any) -> str:
    """What to call the function in messages; "" for a lambda."""
    if isinstance(func, functools.partial):
        return _name(func.func)
    function = function_of(func)
    if function is not None:
        return function.__name__.removesuffix("Function")
    name = getattr(func, "__name__", type(func).__name__)
    return "" if name == "<lambda>" else name


def _node_name(output: Variable) -> str:
    return "an input" if output._node is None else output._node.name


def _host(array: Any) -> Any:
    """The array in the CPU's memory, where the check computes."""
    return array.get() if hasattr(array, "get") else array
