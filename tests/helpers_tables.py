"""Tables of argument values, each combination run in torch and in minicnn.

Both accept it and agree, or both refuse it, minicnn in one line that names the op and holds a
remedy. What is to differ is named, with the reason.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import minicnn
from minicnn.errors import MiniCNNError


class Values(NamedTuple):
    """The values of an argument: those that torch takes, the usual one first, and odd ones."""

    usual: list
    odd: list


def combinations(options: dict[str, Values]) -> Iterator[dict[str, Any]]:
    """Every pair of values of two arguments, the others as usual; odd ones only with usual ones."""
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


def compare(
    options: dict[str, Values],
    theirs: Callable[[dict], Any],
    ours: Callable[[dict], Any],
    agree: Callable[[dict], Any],
    *names: str,
    differs: Callable[[dict], str] = lambda case: "",
) -> dict[str, int]:
    """Run every combination through both; raise with a list of all that is not as it should be.

    Args:
        theirs, ours: run a case, and raise where it is refused.
        agree: raises AssertionError where both take a case, but do not agree on it.
        names: with which of them minicnn's messages may begin.
        differs: why a case is not compared, or "".

    Returns:
        how many cases were taken, refused and left out for each reason.
    """
    wrong, counts = [], {"taken": 0, "refused": 0}
    for case in combinations(options):
        if reason := differs(case):
            counts[reason] = counts.get(reason, 0) + 1
            continue
        want, got = _refusal(theirs, case), _refusal(ours, case)
        if want is None and got is None:
            counts["taken"] += 1
            try:
                agree(case)
            except AssertionError as error:
                wrong.append(f"{case}: {error}")
        elif want is None or got is None:
            wrong.append(f"{case}: torch {want or 'takes it'!r}; minicnn {got or 'takes it'!r}")
        else:
            counts["refused"] += 1
            if not _is_readable(got, names):
                wrong.append(f"{case}: minicnn says {got!r}")
    assert not wrong, f"{len(wrong)} of {sum(counts.values())}:\n" + "\n".join(wrong[:20])
    return counts


def _refusal(run: Callable[[dict], Any], case: dict) -> Exception | None:
    try:
        run(case)
    except Exception as error:
        return error
    return None


def _is_readable(error: Exception, names: tuple[str, ...]) -> bool:
    """One line that names the op, and says what to do after what is wrong."""
    message = str(error)
    named = "\n" not in message and message.partition(": ")[0].split(' "')[0] in names
    return isinstance(error, MiniCNNError) and named and (". " in message or "; " in message)


def tensor(lib: Any, array: Any, how: str) -> Any:
    """An array as a tensor of `lib`, or as what is no tensor."""
    if array is None or how == "none":
        return None
    return array if how == "array" else (minicnn if lib is minicnn else lib).from_numpy(array)
