"""Whether minicnn takes and refuses what torch does: one call at a time, tables of calls at once.

    table(
        {"padding": [0, 1, "same"], "stride": [1, 2]},
        lambda lib, x, padding, stride: lib.nn.functional.max_pool2d(x, 2, stride, padding),
        x,
    )

runs the call for every combination. Where torch accepts, minicnn must accept, with the same values
and gradients; where torch refuses, minicnn must raise one of its own errors, in one readable line.
What is to differ is named, with the reason.
"""

from __future__ import annotations

import itertools
import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from oracle import _run, _torch_tensor, check

import minicnn
from minicnn.errors import MiniCNNError

Case = dict[str, Any]
SAME = ""  # the verdict where both do the same
# What Python says of a call that a function's signature does not allow, to torch's callers as well.
MISCALLED = re.compile(
    r"\(\) (got (an unexpected|some positional-only|multiple values)|missing \d+ |takes )"
)
NAMED = re.compile(r'(\w[\w.]*)( "[^"\n]*")?: ')  # an op, or a layer with its path


# ------------------------------------------------------------------------------------- one call


def outcome(
    theirs: Callable[[], Any], ours: Callable[[], Any], agree: Callable[[], Any], *names: str
) -> tuple[str, str]:
    """What torch does with a call, "taken" or "refused"; and SAME, or how minicnn differs.

    Args:
        theirs, ours: make the call, and raise where it is refused.
        agree: makes both where torch takes it; an AssertionError says in what they differ.
        names: with which of them minicnn's message may begin; any if none are given.
    """
    try:
        theirs()
    except Exception as error:
        first_line = str(error).partition("\n")[0]
        return "refused", _refusal(ours, f"torch refuses ({first_line:.90})", names)
    try:
        agree()
    except AssertionError as error:
        return "taken", f"torch accepts; {error}"
    except Exception as error:
        return "taken", f"torch accepts, minicnn raises {type(error).__name__}: {error}"
    return "taken", SAME


def _refusal(ours: Callable[[], Any], why: str, names: tuple[str, ...]) -> str:
    try:
        ours()
    except Exception as error:
        problem = unreadable(error, *names)
        return problem and f"{why}, {problem}"
    return f"{why}, minicnn accepts"


def unreadable(error: Exception, *names: str) -> str:
    """ "" for one of our errors in one line of op, problem and remedy; else what it is instead."""
    text = str(error)
    if isinstance(error, TypeError) and MISCALLED.search(text):
        return ""
    if not isinstance(error, MiniCNNError):
        return f"minicnn raises a bare {type(error).__name__}: {text}"
    named = NAMED.match(text)
    if "\n" in text or not named or ". " not in text[named.end() :]:
        return f"minicnn's message is no line of op, problem and remedy: {text!r}"
    if names and named[1] not in names:
        return f"minicnn's message does not begin with {' or '.join(names)}: {text!r}"
    return ""


def same_outcome(
    function: Callable[..., Any], *arrays: Any, rung: str = "numba", tolerance: float | None = None
) -> str:
    """SAME if minicnn and torch agree on `function(lib, *tensors)`, else what each of them did."""
    return _outcome_of(function, arrays, rung, tolerance)[1]


def _outcome_of(
    function: Callable[..., Any], arrays: Sequence[Any], rung: str, tolerance: float | None
) -> tuple[str, str]:
    arrays = tuple(np.asarray(a) if isinstance(a, np.generic) else a for a in arrays)
    layouts = ["contiguous"] * len(arrays)

    def run(lib: Any, tensor: Callable[[np.ndarray], Any]) -> None:
        with minicnn.use_backend(rung):
            _run(lib, tensor, function, arrays, arrays, layouts, 0)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return outcome(
            lambda: run(torch, _torch_tensor),
            lambda: run(minicnn, minicnn.from_numpy),
            lambda: check(function, *arrays, rung=rung, tolerance=tolerance),
        )


# --------------------------------------------------------------------------------- tables of calls


class Values(NamedTuple):
    """The values of an argument: those that torch takes, the usual one first, and odd ones."""

    usual: list
    odd: list


def combinations(options: Mapping[str, Sequence[Any] | Values]) -> Iterator[Case]:
    """Every choice of one value for each option; of `Values`, every pair, the others as usual."""
    if all(isinstance(values, Values) for values in options.values()):
        return _pairs(options)
    return (
        dict(zip(options, chosen, strict=True)) for chosen in itertools.product(*options.values())
    )


def _pairs(options: Mapping[str, Any]) -> Iterator[Case]:
    """Every pair of values of two arguments; odd ones only beside usual ones."""
    first = {name: values.usual[0] for name, values in options.items()}
    yield first
    for name, values in options.items():
        yield from ({**first, name: value} for value in [*values.usual[1:], *values.odd])
    for a, b in itertools.combinations(options, 2):
        (usual_a, odd_a), (usual_b, odd_b) = options[a], options[b]
        together = itertools.chain(
            itertools.product(usual_a[1:], [*usual_b[1:], *odd_b]),
            itertools.product(odd_a, usual_b[1:]),
        )
        yield from ({**first, a: x, b: y} for x, y in together)


def table(
    options: Mapping[str, Sequence[Any] | Values],
    function: Callable[..., Any],
    *arrays: Any,
    rung: str = "numba",
    tolerance: float | None = None,
    but: Callable[..., bool] | None = None,
) -> dict[str, int]:
    """Compare `function(lib, *tensors, **chosen)` for every combination of the options.

    `but(**chosen)` is True for the combinations that are meant to differ; say why where it is
    written. Counts and errors as from `compare`.
    """

    def outcome_of(case: Case) -> tuple[str, str]:
        return _outcome_of(partial(function, **case), arrays, rung, tolerance)

    def differs(case: Case) -> str:
        return "meant to differ" if but is not None and but(**case) else ""

    return _all_same(combinations(options), outcome_of, differs)


def compare(
    options: Mapping[str, Sequence[Any] | Values],
    theirs: Callable[[Case], Any],
    ours: Callable[[Case], Any],
    agree: Callable[[Case], Any],
    *names: str,
    differs: Callable[[Case], str] = lambda case: "",
) -> dict[str, int]:
    """Run every combination through both, as `outcome` does; raise with a list of all that differ.

    `differs` says why a case is not compared, or "". Returns how many cases were taken, refused and
    left out for each reason.
    """

    def outcome_of(case: Case) -> tuple[str, str]:
        return outcome(lambda: theirs(case), lambda: ours(case), lambda: agree(case), *names)

    return _all_same(combinations(options), outcome_of, differs)


def _all_same(
    cases: Iterable[Case],
    outcome_of: Callable[[Case], tuple[str, str]],
    differs: Callable[[Case], str],
) -> dict[str, int]:
    wrong, counts = [], {"taken": 0, "refused": 0}
    for case in cases:
        if reason := differs(case):
            counts[reason] = counts.get(reason, 0) + 1
            continue
        what, verdict = outcome_of(case)
        counts[what] += 1
        if verdict != SAME:
            wrong.append(f"{case}: {verdict}")
    compared = counts["taken"] + counts["refused"]
    assert compared, "nothing was compared"
    assert not wrong, f"{len(wrong)} of {compared} calls differ:\n" + "\n".join(wrong[:40])
    return counts
