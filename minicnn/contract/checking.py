"""The examination itself: every call of every kernel, up to a verdict on each."""

from __future__ import annotations

import difflib
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from minicnn.contract.calls import DTYPES, Call, Result, calls, definition, expected
from minicnn.contract.hints import Tried, hint
from minicnn.contract.perform import Reply
from minicnn.contract.report import Report
from minicnn.contract.targets import RUNGS, InAFile, InThisProcess, Target
from minicnn.contract.verdicts import (
    Failure,
    Verdict,
    problem_of,
    signature_notes,
    signature_problem,
)
from minicnn.errors import ArgumentError
from minicnn.kernels import Backend, kernel_names, use_backend

FOR_HINTS = 5.0  # seconds for further cases, once a kernel is known to be wrong


def check(
    kernels: Any,
    *,
    ops: Iterable[str] | None = None,
    dtypes: Iterable[str] = DTYPES,
    timeout: float = 10.0,
    output: bool = False,
    on_start: Callable[[Sequence[str]], None] | None = None,
    on_verdict: Callable[[Verdict], None] | None = None,
) -> Report:
    """Run the kernel contract on somebody's kernels; return what is right, wrong and missing.

    Each kernel is called with the contract's cases from the smallest up, and its results are held
    against the definition: the rung "loops", or "numpy" where loops has no such kernel, computed
    in float64. A result may be off by 1e-4 of the largest number in float32, 1e-8 in float64. Also
    checked: signature, shape, dtype, C order, arguments unchanged, memory of its own, `out=`.

    Args:
        kernels: the path of a Python file, whose kernels run in a process of their own; or what
            `use_backend` takes, a rung's name, a module or any object with some of the kernels as
            attributes, which run in this one, without a time limit.
        ops: names of the kernels to examine; None: all.
        dtypes: some of "float32", "float64".
        timeout: seconds for each call of a file's kernel.
        output: what a file prints goes to standard error, instead of nowhere.
        on_start: called with the names of the kernels that are there.
        on_verdict: called with each verdict as soon as it is there.

    Raises:
        ArgumentError: a file that cannot be imported, no kernel in it, an unknown name in ops or
            dtypes, or no time.
    """
    if not timeout > 0:
        raise ArgumentError(f"check: timeout must be more than 0 s, got {timeout}. Use timeout=10.")
    wanted, dtypes = _known("op", ops, kernel_names()), _known("dtype", dtypes, DTYPES)
    name, target = _opened(kernels, timeout, output)
    try:
        _require_some(name, target)
        here = [kernel for kernel in wanted if kernel in target.found.kernels]
        if on_start is not None:
            on_start(here)
        verdicts = []
        for kernel in [*here, *(kernel for kernel in wanted if kernel not in here)]:
            verdict = _examine(kernel, target, dtypes)
            verdicts.append(verdict)
            if on_verdict is not None:
                on_verdict(verdict)
    finally:
        target.close()
    return Report(name, tuple(verdicts), tuple(_misspelt(target)))


def _opened(kernels: Any, timeout: float, output: bool) -> tuple[str, Target]:
    """The kernels under the name that the report gives them."""
    is_rung = isinstance(kernels, str) and kernels in RUNGS and not Path(kernels).exists()
    if is_rung or isinstance(kernels, Backend):
        with use_backend(kernels) as backend:
            own = [k for k in kernel_names() if backend.source_of(k) == backend.name]
            rung = SimpleNamespace(**{kernel: getattr(backend, kernel) for kernel in own})
        return f"the rung {backend.name}", InThisProcess(rung)
    if isinstance(kernels, str | Path):
        return str(kernels), InAFile(kernels, timeout, output)
    return getattr(kernels, "__name__", type(kernels).__name__), InThisProcess(kernels)


def _known(what: str, given: Iterable[str] | None, names: Sequence[str]) -> tuple[str, ...]:
    """The names given, in the contract's order, if all are known."""
    if given is None:
        return tuple(names)
    given = [given] if isinstance(given, str) else list(given)
    for name in given:
        if name not in names:
            near = difflib.get_close_matches(str(name), names, n=1)
            remedy = f"Did you mean {near[0]!r}?" if near else f"Use some of: {', '.join(names)}."
            raise ArgumentError(f"check: {what} {name!r} is not in the contract. {remedy}")
    if not given:
        raise ArgumentError(f"check: no {what} is named. Use some of: {', '.join(names)}.")
    return tuple(name for name in names if name in given)


def _require_some(name: str, target: Target) -> None:
    if target.found.kernels:
        return
    near = [f"{other} is {meant}" for other, meant in _near(target)]
    remedy = f"Perhaps {' and '.join(near)}?" if near else "minicnn check --example shows one."
    raise ArgumentError(
        f"{name}: none of its functions is called as a kernel of the contract, like conv2d or "
        f"max_pool2d. {remedy}"
    )


def _misspelt(target: Target) -> Iterator[str]:
    """Notes on functions whose names are almost those of kernels that are not there."""
    for name, meant in _near(target):
        yield f"{name} is no kernel's name; if it is meant as {meant}, call it so"


def _near(target: Target) -> Iterator[tuple[str, str]]:
    absent = {kernel.replace("_", ""): kernel for kernel in kernel_names()
              if kernel not in target.found.kernels}  # fmt: skip
    for name in target.found.others:
        if near := difflib.get_close_matches(name.replace("_", "").lower(), absent, 1, 0.85):
            yield name, absent[near[0]]


# ------------------------------------------------------------------------------------ one kernel


def _examine(kernel: str, target: Target, dtypes: Sequence[str]) -> Verdict:
    """Everything about one kernel."""
    asked = [call for call in calls(kernel) if call.dtype in dtypes]
    examples = list(dict.fromkeys(call.example for call in asked))
    if kernel not in target.found.kernels:
        return Verdict(kernel, "missing", len(examples))
    parameters = target.found.kernels[kernel]
    notes: list[str] = []
    if isinstance(parameters, str):
        return Verdict(kernel, "wrong", len(examples), failure=Failure(f"{kernel} {parameters}."))
    if parameters is not None:
        if problem := signature_problem(kernel, parameters):
            return Verdict(kernel, "wrong", len(examples), failure=Failure(problem))
        notes = signature_notes(kernel, parameters)
    if not asked:
        return Verdict(kernel, "unchecked", notes=tuple(notes))
    against = definition(kernel, other_than=target.function(kernel))
    if against is target.function(kernel):
        notes.append("the definition, which can only be held against itself")
    tried, problems = _try(target, asked, against)
    seconds = sum(reply.seconds for _, _, reply in tried)
    if not any(problems):  # what is asked for less often comes last
        problems = [reply.about_out for _, _, reply in tried]
    failure = _first_failure(tried, problems, examples) if any(problems) else None
    status = "wrong" if failure else "right"
    return Verdict(kernel, status, len(examples), seconds, failure, tuple(notes))


def _try(target: Target, asked: Sequence[Call], against: Any) -> tuple[list[Tried], list[str]]:
    """Call the kernel; after the first failure, go on for a while, to see what it looks like."""
    tried: list[Tried] = []
    problems: list[str] = []
    until = float("inf")
    for call in asked:
        want, reply = _expected(call, against), target.ask(call)
        tried.append((call, want, reply))
        problems.append(problem_of(call, want, reply))
        if problems[-1] and until == float("inf"):
            until = time.perf_counter() + FOR_HINTS
        if reply.fatal or time.perf_counter() > until:
            break
    return tried, problems


@cache
def _expected(call: Call, against: Any) -> Result:
    return expected(call, against)


def _first_failure(
    tried: Sequence[Tried], problems: Sequence[str], examples: Sequence[str]
) -> Failure:
    first = next(i for i, problem in enumerate(problems) if problem)
    call, want, reply = tried[first]
    return Failure(
        problem=problems[first],
        call=str(call),
        number=examples.index(call.example) + 1,
        example=call.example,
        dtype=call.dtype,
        hint=hint(tried, [bool(problem) for problem in problems]),
        pictures=_pictures(call, want, reply),
    )


def _pictures(call: Call, want: Result, reply: Reply) -> dict[str, np.ndarray]:
    """The arrays of a small call by name, each of one plane; nothing if one of them is larger."""
    shown = {name: value for name, value in call.named().items() if isinstance(value, np.ndarray)}
    for name, right, got in zip(call.names, want.returned, reply.returned, strict=False):
        shown[f"{name} expected"] = right
        if isinstance(got, np.ndarray):
            shown[f"{name} got"] = got
    return shown if all(map(_is_small, shown.values())) and not reply.trouble else {}


def _is_small(array: np.ndarray) -> bool:
    plane = array.shape[-2:]
    return array.size > 0 and array.size == int(np.prod(plane)) and max(plane, default=1) <= 8
