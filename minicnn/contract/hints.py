"""What a wrong result looks like: known mistakes, recognised by computing what they would give.

A hint has to explain more than the smallest failure: all that the kernel got right, for one that
ignores the padding is right wherever there is none, and what it got wrong elsewhere. So nothing is
guessed from one number that happens to fit.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np

from minicnn.contract.calls import Call, Result, as_tuple, definition, only_arrays
from minicnn.contract.cases import Mistake
from minicnn.contract.families import FAMILIES
from minicnn.contract.perform import Reply
from minicnn.contract.verdicts import about_results, problem_of, wrong_entries

Tried = tuple[Call, Result, Reply]  # a call, what was expected, what came
# What a mistake would give: results, None standing for one that may be anything.
Prediction = Callable[[Tried], tuple[Any, ...]]


def hint(tried: Sequence[Tried], failed: Sequence[bool]) -> str:
    """The first known mistake that explains all replies, else where they are right and wrong.

    Args:
        tried: the calls so far, in order.
        failed: of each, whether it was wrong.
    """
    first = tried[failed.index(True)]
    looked_like = ""
    if not first[2].trouble and (about_results(*first) or not first[1].returned):
        looked_like = _recognised(first, tried, failed)
    return looked_like or _where(tried, failed)


def _recognised(first: Tried, tried: Sequence[Tried], failed: Sequence[bool]) -> str:
    """The known mistake that explains the first failure and the most others; "" if none does."""
    both = [pair for pair in zip(tried, failed, strict=True) if not pair[0][2].trouble]
    right = [one for one, is_wrong in both if not is_wrong]
    wrong = [one for one, is_wrong in both if is_wrong]
    # Of several wrong examples, one may be a coincidence.
    best, most = "", min(1, len({one[0].example for one in wrong}) - 1)
    for text, predict in [*_of_family(first[0]), *_of_arguments(first[0])]:
        if _explains(predict, first) and all(_explains(predict, one) for one in right):
            count = len({one[0].example for one in wrong if _explains(predict, one)})
            if count > most:
                best, most = text, count
    if best:
        return best
    full = [one for one, _ in both if all(a.size for a in only_arrays(one[0].named()).values())]
    if any(result.size > 1 for one in full for result in one[1].returned):
        for text, predict in _of_results(first):
            if all(_explains(predict, one) for one in full):
                return text
    return ""


def _explains(predict: Prediction, one: Tried) -> bool:
    """Whether the mistake gives what came; and, where that is wrong, something wrong."""
    call, want, reply = one
    try:
        with np.errstate(all="ignore"):
            predicted = predict(one)
    except Exception:  # the mistake cannot be made here
        return False
    outcome = reply.returned or tuple(reply.arguments.values())
    if len(predicted) != len(outcome):
        return False
    if not all(
        guess is None or _agree(got, guess, call.dtype)
        for guess, got in zip(predicted, outcome, strict=True)
    ):
        return False
    wanted = want.returned or tuple(want.arguments.values())
    said = [pair for pair in zip(predicted, wanted, strict=True) if pair[0] is not None]
    as_wanted = all(_agree(guess, expected, call.dtype) for guess, expected in said)
    return not as_wanted or not problem_of(call, want, reply)


def _agree(got: Any, want: Any, dtype: str) -> bool:
    """Whether two arrays are the same up to rounding."""
    if not isinstance(got, np.ndarray) or got.shape != np.shape(want):
        return False
    return not wrong_entries(got, np.asarray(want), dtype).any()


# ------------------------------------------------------------------------------------- mistakes


def _of_family(call: Call) -> Iterator[tuple[str, Prediction]]:
    """What the kernel's family knows."""
    for number, (text, _) in enumerate(_said_by_family(call)):
        yield text, partial(_as_family_says, number)


def _as_family_says(number: int, one: Tried) -> tuple[Any, ...]:
    """The results of the family's mistake of this number."""
    return _said_by_family(one[0])[number][1]


def _said_by_family(call: Call) -> list[Mistake]:
    """The mistakes that the family has for the call, with their results."""
    for family in FAMILIES.values():
        if call.kernel in family.ours.__code__.co_names and hasattr(family, "mistakes"):
            args, _ = call.fresh("float64")
            return [*family.mistakes(call.kernel, args)]
    return []


def _of_arguments(call: Call) -> Iterator[tuple[str, Prediction]]:
    """Arguments that are ignored, or taken the wrong way round."""
    for name, value in call.named().items():
        for text, change in _misreadings(name, value):
            yield text, partial(_with, name, change)


def _with(name: str, change: Callable[[Any], Any], one: Tried) -> tuple[Any, ...]:
    """The results with one argument changed; of an in-place kernel, its arrays."""
    call = one[0]
    args, kwargs = call.fresh("float64")
    place = list(call.named()).index(name)
    if place < len(args):
        args = (*args[:place], change(args[place]), *args[place + 1 :])
    else:
        kwargs[name] = change(kwargs[name])
    returned = as_tuple(definition(call.kernel)(*args, **kwargs))
    return returned or tuple(a for a in args if isinstance(a, np.ndarray))


def _misreadings(name: str, value: Any) -> Iterator[tuple[str, Callable[[Any], Any]]]:
    ignored = f"This is the result with {name} {{}}: is {name} used?"
    if isinstance(value, bool):
        yield ignored.format(False), lambda value: False
        yield ignored.format(True), lambda value: True
    elif isinstance(value, tuple) and len(value) == 2:
        nothing = (0, 0) if name == "padding" else (1, 1)
        yield ignored.format(nothing), lambda value: nothing
        swapped = f"The two numbers of {name} are swapped: the height comes first."
        yield swapped, lambda value: value[::-1]
        yield f"The first number of {name} is used for both axes.", lambda value: value[:1] * 2
        yield f"The second number of {name} is used for both axes.", lambda value: value[1:] * 2
    elif isinstance(value, int) and name in ("groups", "divisor_override"):
        usual = 1 if name == "groups" else None
        yield ignored.format(usual), lambda value: usual
    elif isinstance(value, int) and name == "step":
        yield "The moments are not corrected by 1 / (1 - beta**step).", lambda value: 10**9
    elif isinstance(value, float):
        yield ignored.format(0), lambda value: 0.0
    elif isinstance(value, np.ndarray) and value.dtype.kind == "f" and name == "b":
        yield "The bias b is not added.", lambda value: None
    elif isinstance(value, np.ndarray) and value.dtype.kind == "f" and value.ndim >= 2:
        flipped = f"{name} is flipped along its last two axes."
        if name == "w" and value.ndim == 4:
            flipped = (
                "The kernel is flipped along both axes, as in mathematics' convolution. The "
                "contract's is cross-correlation: w[k, c, 0, 0] meets the window's first pixel."
            )
        yield flipped, _flipped
        yield f"The last two axes of {name} are swapped.", _swapped


def _flipped(array: Any) -> Any:
    return np.ascontiguousarray(array[..., ::-1, ::-1]) if array.ndim > 1 else array


def _swapped(array: Any) -> Any:
    return np.ascontiguousarray(np.swapaxes(array, -1, -2)) if array.ndim > 1 else array


def _of_results(one: Tried) -> Iterator[tuple[str, Prediction]]:
    """Right numbers in the wrong places, or times something."""
    call, want, reply = one
    if len(want.returned) != 1 or len(reply.returned) != 1:
        return
    if not isinstance(reply.returned[0], np.ndarray):
        return
    (name,), (expected,), (got,) = call.names, want.returned, reply.returned
    for axes in itertools.permutations(range(expected.ndim)):
        if axes != tuple(range(expected.ndim)):
            text = f"The numbers are right, but the axes of {name} are in the order {axes}."
            yield text, partial(_in_order, axes)
    text = f"The numbers are right, but {name} has another shape."
    yield text, lambda one: (np.reshape(one[1].returned[0], one[2].returned[0].shape),)
    if got.shape == expected.shape and got.size and np.isfinite(got).all():
        factor = _factor(one)
        if factor == 0:
            yield f"{name} is 0 everywhere.", lambda one: (0 * one[1].returned[0],)
        elif factor == -1:
            yield "Every sign is wrong.", lambda one: (-one[1].returned[0],)
        else:
            share = f"1/{1 / factor:.4g}" if _is_whole(1 / factor) else f"{factor:.4g} times"
            text = f"Every number is {share} of what it should be here."
            yield (
                text.replace(" times of", " times"),
                lambda one: (_factor(one) * one[1].returned[0],),
            )


def _in_order(axes: tuple[int, ...], one: Tried) -> tuple[Any, ...]:
    return (np.transpose(one[1].returned[0], axes),)


def _factor(one: Tried) -> float:
    """The result over the expected one, where that is largest."""
    expected, got = one[1].returned[0], one[2].returned[0]
    if not expected.any():
        return 1.0
    at = np.unravel_index(np.argmax(np.abs(expected)), expected.shape)
    factor = float(got[at]) / float(expected[at])
    return round(factor) if _is_whole(factor) else factor


def _is_whole(number: float) -> bool:
    return math.isclose(number, round(number), rel_tol=1e-6)


# --------------------------------------------------------------------------------------- patterns


def _where(tried: Sequence[Tried], failed: Sequence[bool]) -> str:
    """What the wrong calls have in common, and no right one has."""
    if sum(failed) < 2 or all(failed):
        return ""
    told = [_traits(call) for call, _, _ in tried]
    for trait in dict.fromkeys(itertools.chain.from_iterable(told)):
        if all((trait in traits) == wrong for traits, wrong in zip(told, failed, strict=True)):
            return f"It is wrong in every case with {trait}, and right in all others."
    if _only_precision(tried, failed):
        return "The numbers are right to single precision only: something is float32 on the way."
    return ""


def _only_precision(tried: Sequence[Tried], failed: Sequence[bool]) -> bool:
    return all(
        call.dtype == "float64"
        and len(reply.returned) == len(want.returned) > 0
        and all(
            isinstance(got, np.ndarray) and got.shape == expected.shape
            and not wrong_entries(got, expected, "float32").any()
            for got, expected in zip(reply.returned, want.returned, strict=True)
        )
        for (call, want, reply), wrong in zip(tried, failed, strict=True)
        if wrong
    )  # fmt: skip


def _traits(call: Call) -> list[str]:
    """What is special about a call, in words that others may share."""
    found = [f"{call.dtype} arrays"]
    for name, value in call.named().items():
        if isinstance(value, np.ndarray):
            for axis, size in enumerate(value.shape):
                found += [f"more than one along axis {axis} of {name}"] * (size > 1)
            found += [f"more than one number in {name}"] * (value.size > 1)
            found += [f"an empty {name}"] * (value.size == 0)
            found += [f"a NaN in {name}"] * bool(np.isnan(value).any())
            found += [f"an infinity in {name}"] * bool(np.isinf(value).any())
            found += [f"negative numbers in {name}"] * bool((value < 0).any())
        elif isinstance(value, tuple) and len(value) == 2:
            usual = 0 if name == "padding" else 1
            found += [f"{name} other than {usual}"] * (set(value) != {usual})
            found += [f"{name} different along the axes"] * (value[0] != value[1])
        elif isinstance(value, bool):
            found += [f"{name} {value}"]
        elif isinstance(value, int | float):
            found += [f"{name} other than {name == 'groups':d}"] * (value != (name == "groups"))
    found += [f"{name} given" for name in ("b",) if call.named().get(name) is not None]
    return found
