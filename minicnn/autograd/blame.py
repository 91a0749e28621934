"""Which entry is to blame, when a gradient and the slope along a line disagree.

First the input: the line is followed in one input at a time. Then the entry: of a small input all
are compared one by one; in a large one the entries are halved, and halved again, always into the
half that is further off, which ends at a wrong entry after log₂ steps. Then the output: finite
differences know the slope of every output entry at once, so the cotangent is halved likewise. What
remains is one number, the slope of one output entry with respect to one input entry, which can be
computed by hand.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from minicnn.autograd.function import Function
from minicnn.autograd.hints import NO_COTANGENT, hint
from minicnn.autograd.slopes import Arrays, Samples, Slope, dot
from minicnn.kernels.errors import GradcheckError

_SCANNED = 256  # entries of an input: up to so many are compared one by one
_SAMPLED = 32  # entries of a larger one that are looked at beside the worst


class Disagreement(NamedTuple):
    """The lines along which a gradient was found to disagree with the slope."""

    check: Any  # the GradientCheck
    cotangents: Arrays
    found: Arrays  # what backward gave for each checked input
    direction: Arrays


class Entry(NamedTuple):
    """One entry of an input, as backward and as finite differences see it."""

    place: int  # in the flattened input
    found: float
    slope: Slope
    samples: Samples
    scale: float  # samples were taken with steps of this times eps
    known: bool  # well enough to say
    wrong: bool

    @property
    def off(self) -> float:
        """The difference, infinite where backward gives no number."""
        off = abs(self.found - self.slope.value)
        return off if np.isfinite(off) else np.inf


def blame(case: Disagreement) -> int:
    """Raise a GradcheckError about the worst entry if one is wrong.

    Returns the number of entries that have no slope to be compared with.
    """
    unknown = 0
    for i in _suspects(case):
        entries = _look_at(case, i)
        wrong = sorted((entry for entry in entries if entry.wrong), key=lambda entry: -entry.off)
        for worst in wrong:
            if _is_wrong_at_every_step(case, i, worst):
                _accuse(case, i, worst, entries)
        unknown += sum(not entry.known for entry in entries)
    return unknown


def _suspects(case: Disagreement) -> list[int]:
    """The inputs along which the gradient is off, the worst first."""
    suspects = []
    for i in range(len(case.found)):
        excess = _excess(case, i, case.direction[i])
        if excess > 0:
            suspects.append((-excess, i))
    return [i for _, i in sorted(suspects)]


def _excess(case: Disagreement, i: int, line: Any) -> float:
    """By how much more than its error the slope along `line` in input `i` is off."""
    slope, _ = _follow(case, i, line)
    off = abs(dot([_gradient(case, i)], [line]) - slope.value)
    return off - slope.error if np.isfinite(off) else np.inf


def _follow(case: Disagreement, i: int, line: Any) -> tuple[Slope, Samples]:
    direction: Arrays = [None] * len(case.found)
    direction[i] = line
    size = float(np.linalg.norm(np.nan_to_num(_gradient(case, i) * line)))
    goal = case.check.goal(size, case.cotangents)
    return case.check.curves.slope(direction, case.cotangents, goal)


def _gradient(case: Disagreement, i: int) -> Any:
    found = case.found[i]
    return np.zeros(case.check.point[i].shape) if found is None else found


# ------------------------------------------------------------------------------------- the entry


def _look_at(case: Disagreement, i: int) -> list[Entry]:
    """All entries of a small input; of a large one the worst, and others for comparison."""
    size = case.check.point[i].size
    if size <= _SCANNED:
        return [_entry(case, i, place) for place in range(size)]
    others = case.check.rng.choice(size, _SAMPLED, replace=False)
    places = {_search(case, i), *others.tolist()}
    return [_entry(case, i, place) for place in sorted(places)]


def _search(case: Disagreement, i: int) -> int:
    strange = np.flatnonzero(~np.isfinite(_gradient(case, i)))
    if strange.size:
        return int(strange[0])

    def off(places: Any) -> float:
        line = np.zeros(case.check.point[i].shape)
        line.flat[places] = case.direction[i].flat[places]
        return _excess(case, i, line)

    return _halve(off, case.check.point[i].size)


def _halve(off: Callable[[Any], float], size: int) -> int:
    """The place that is left of `size`, going on with the half for which `off` is larger."""
    places = np.arange(size)
    while len(places) > 1:
        halves = np.array_split(places, 2)
        places = max(halves, key=off)
    return int(places[0])


def _entry(case: Disagreement, i: int, place: int) -> Entry:
    line, scale = _line(case, i, place)
    slope, samples = _follow(case, i, line)
    slope = Slope(*(number / scale for number in slope))
    found = float(_gradient(case, i).flat[place])
    known, wrong = _judge(case, i, found, slope)
    return Entry(place, found, slope, samples, scale, known, wrong)


def _line(case: Disagreement, i: int, place: int) -> tuple[Any, float]:
    """The line along one entry, and how long a step of 1 is on it."""
    scale = max(1.0, abs(float(case.check.point[i].flat[place])))
    line = np.zeros(case.check.point[i].shape)
    line.flat[place] = scale
    return line, scale


def _judge(case: Disagreement, i: int, found: float, slope: Slope) -> tuple[bool, bool]:
    """Whether the slope is known well enough to say, and whether `found` is wrong by it."""
    allowed = _allowed(case, i, slope)
    known = slope.bent <= max(allowed, case.check.goal(abs(slope.value), case.cotangents))
    return known, known and not abs(found - slope.value) <= allowed + slope.error


def _allowed(case: Disagreement, i: int, slope: Slope) -> float:
    """By how much an entry of input `i` may be off."""
    largest = np.max(np.abs(np.nan_to_num(_gradient(case, i))), initial=abs(slope.value))
    return case.check.atol * min(1.0, float(largest)) + case.check.rtol * abs(slope.value)


def _is_wrong_at_every_step(case: Disagreement, i: int, entry: Entry) -> bool:
    """The second opinion, before anyone is accused.

    A function that loses digits inside, as a loss near 0 does, has more noise than its result
    shows; by chance the five values of one step can hide it, but not those of all steps.
    """
    line, scale = _line(case, i, entry.place)
    direction: Arrays = [None] * len(case.found)
    direction[i] = line
    for slope in case.check.curves.slopes(direction, case.cotangents):
        slope = Slope(*(number / scale for number in slope))
        within = abs(entry.found - slope.value) <= _allowed(case, i, slope) + slope.error
        if within and slope.error <= 0.5 * entry.off:  # and it is exact enough to say so
            return False
    return True


# ------------------------------------------------------------------------------------ the output


class Partial(NamedTuple):
    """The slope of one output entry with respect to one input entry."""

    output: int
    entry: tuple[int, ...]
    found: float
    right: float


def _partial(case: Disagreement, i: int, worst: Entry) -> Partial | None:
    """The output entry whose slope is wrong; None if it is wrong only when they act together."""
    check = case.check
    column = [y / worst.scale for y in worst.samples.column()]
    used = [k for k, c in enumerate(case.cotangents) if c is not None]
    owner = np.concatenate([np.full(column[k].size, k) for k in used])
    inner = np.concatenate([np.arange(column[k].size) for k in used])

    def both(places: Any, cotangents: Arrays) -> tuple[float, float]:
        chosen: Arrays = [None if c is None else np.zeros(c.shape) for c in case.cotangents]
        for k in used:
            here = inner[places][owner[places] == k]
            chosen[k].flat[here] = cotangents[k].flat[here]
        (found,) = check.gradients(chosen)[i : i + 1]
        return 0.0 if found is None else float(found.flat[worst.place]), dot(chosen, column)

    def off(places: Any) -> float:
        found, right = both(places, case.cotangents)
        return abs(found - right) if np.isfinite(found - right) else np.inf

    place = _halve(off, len(owner))
    found, right = both(np.array([place]), [np.ones_like(y) for y in column])
    if abs(found - right) <= check.atol * min(1.0, abs(found)) + check.rtol * abs(right):
        return None
    k = int(owner[place])
    entry = np.unravel_index(int(inner[place]), column[k].shape)
    return Partial(check.places[k], tuple(map(int, entry)), found, right)


# ----------------------------------------------------------------------------------- the message


def _accuse(case: Disagreement, i: int, worst: Entry, entries: list[Entry]) -> None:
    check, shape = case.check, case.check.point[i].shape
    number = check.checked[i]
    index = tuple(map(int, np.unravel_index(worst.place, shape)))
    partial = _partial(case, i, worst)
    if partial is None:
        found, right, where = worst.found, worst.slope.value, "all outputs, at random weights,"
    else:
        found, right = partial.found, partial.right
        output = "output" if len(check.places) == 1 else f"output {partial.output}"
        where = f"{output} entry {partial.entry}" if partial.entry else output
    gives = "None" if case.found[i] is None else f"{found:.6g}"
    known = f"{right:.6g} ± {worst.slope.error:.0e}"
    count = sum(entry.wrong for entry in entries)
    of = "" if len(entries) == case.check.point[i].size else " looked at"
    disagree = f"{count} of {len(entries)} entries{of}"
    error = GradcheckError(
        f"gradcheck of {check.name}: {_label(check, number)} is wrong at entry {index}: the slope "
        f"of {where} is {gives} by backward, {known} by central differences, a difference of "
        f"{found - right:.6g}. {disagree} disagree. {_advice(case, i, worst, entries)}"
    )
    error.input, error.entry, error.analytic, error.numeric = number, index, found, right
    raise error


def _advice(case: Disagreement, i: int, worst: Entry, entries: list[Entry]) -> str:
    if case.found[i] is None:
        return "Return this input's gradient from backward, and cut nothing off with .detach()."
    doubled = case.check.gradients([None if c is None else 2 * c for c in case.cotangents])[i]
    if worst.found and doubled is not None and doubled.flat[worst.place] == worst.found:
        return NO_COTANGENT
    columns = ([e.found for e in entries], [e.slope.value for e in entries])
    found, right = map(np.array, columns)
    whole = len(entries) == case.check.point[i].size
    wrong = np.array([entry.wrong for entry in entries])
    return hint(found, right, wrong, case.check.point[i].shape if whole else None)


def _label(check: Any, number: int) -> str:
    """The input's number, and its name where the function's signature tells it."""
    function = function_of(check.func)
    try:
        signature = inspect.signature(check.func if function is None else function.forward)
    except (TypeError, ValueError):  # as of functions written in C
        return f"input {number}"
    names = [*signature.parameters.values()][0 if function is None else 1 :]  # without ctx
    plain = [p.name for p in names if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return f"input {number} ({plain[number]})" if number < len(plain) else f"input {number}"


def function_of(func: Any) -> type[Function] | None:
    """The Function whose `apply` it is, if it is one's."""
    owner = getattr(func, "__self__", None)
    return owner if isinstance(owner, type) and issubclass(owner, Function) else None
