"""What the contract says of a kernel, and where it was first broken."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from minicnn.contract.calls import Call, Result, signature
from minicnn.contract.perform import Reply
from minicnn.contract.targets import Parameter

TOLERANCE = {"float32": 1e-4, "float64": 1e-8}  # of the largest expected number


@dataclass(frozen=True)
class Failure:
    """The smallest case that a kernel got wrong.

    Attributes:
        problem: what is wrong, in a sentence or two.
        call: the call, in one line; "" if the kernel was never called.
        number, example, dtype: which case it is, of those of its kernel.
        hint: what it looks like; "" if nothing known.
        pictures: small arrays to look at, by name: the arguments, what was expected, what came.
    """

    problem: str
    call: str = ""
    number: int = 0
    example: str = ""
    dtype: str = ""
    hint: str = ""
    pictures: Mapping[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class Verdict:
    """One kernel's outcome.

    Attributes:
        status: "right", "wrong", "missing", or "unchecked" for a kernel without cases.
        cases: how many cases there are, each of them in every dtype.
        seconds: in the kernel itself.
        notes: what is no mistake, but good to know.
    """

    kernel: str
    status: str
    cases: int = 0
    seconds: float = 0.0
    failure: Failure | None = None
    notes: tuple[str, ...] = ()


# ------------------------------------------------------------------------------------- signatures


def signature_problem(kernel: str, parameters: Sequence[Parameter]) -> str:
    """Why the contract's call does not fit these parameters; "" if it does."""
    wanted = [p for p in signature(kernel).parameters.values() if p.name != "out"]
    by_place = [p.name for p in wanted if p.kind is not p.KEYWORD_ONLY]
    by_name = [p.name for p in wanted if p.kind is p.KEYWORD_ONLY]
    taken = [p.name for p in parameters if p.kind.startswith("POSITIONAL") and p.name != "out"]
    should = f"It has to be def {kernel}{_declared(kernel)}."
    try:
        as_declared(parameters).bind(*by_place, **dict.fromkeys(by_name))
    except TypeError:
        lacking = [name for name in by_place + by_name if name not in {p.name for p in parameters}]
        surplus = [p.name for p in parameters if p.name not in by_place + by_name
                   and not p.optional and not p.kind.startswith("VAR")]  # fmt: skip
        parts = [f"lacks {', '.join(lacking)}"] * bool(lacking)
        parts += [f"has {', '.join(surplus)}, which nobody gives"] * bool(surplus)
        return f"Its signature {' and '.join(parts) or 'does not take the call'}. {should}"
    shared = [name for name in taken if name in by_place]
    if shared != [name for name in by_place if name in shared]:
        return f"Its parameters are in another order, ({', '.join(taken)}). {should}"
    return ""


def signature_notes(kernel: str, parameters: Sequence[Parameter]) -> list[str]:
    """What is different in a signature, and does no harm."""
    notes = []
    wanted = signature(kernel).parameters
    names = [p.name for p in parameters]
    takes_all = any(p.kind == "VAR_KEYWORD" for p in parameters)
    if "out" in wanted and "out" not in names and not takes_all:
        notes.append("no out=; the engine does without")
    by_place = [n for n, p in wanted.items() if p.kind is not p.KEYWORD_ONLY]
    taken = [p.name for p in parameters if p.kind.startswith("POSITIONAL")][: len(by_place)]
    other = [f"{a} for {b}" for a, b in zip(taken, by_place, strict=False) if a != b]
    if other:
        notes.append(f"other names of parameters: {', '.join(other)}")
    return notes


def as_declared(parameters: Sequence[Parameter]) -> inspect.Signature:
    """The signature again, from its description."""
    kinds, nothing = inspect.Parameter, inspect.Parameter.empty
    return inspect.Signature(
        [
            inspect.Parameter(name, getattr(kinds, kind), default=None if optional else nothing)
            for name, kind, optional in parameters
        ]
    )


def _declared(kernel: str) -> str:
    wanted = signature(kernel)
    bare = [p.replace(annotation=p.empty) for p in wanted.parameters.values()]
    return str(wanted.replace(parameters=bare, return_annotation=wanted.empty))


# ---------------------------------------------------------------------------------------- results


def problem_of(call: Call, want: Result, reply: Reply) -> str:
    """What is wrong with a reply, in words; "" if nothing is."""
    if reply.trouble:
        return reply.trouble
    result = about_results(call, want, reply) or _about_dtypes(call, reply)
    arguments = _about_arguments(call, want, reply)
    return " ".join(filter(None, (result, arguments))) or " ".join(reply.complaints)


def about_results(call: Call, want: Result, reply: Reply) -> str:
    """What is wrong with the numbers or their shape; "" if nothing is."""
    return _about_kind(call, want, reply) or _about_values(call, want, reply)


def _about_kind(call: Call, want: Result, reply: Reply) -> str:
    """How many results there are, and that they are arrays of the right shape."""
    got = reply.returned
    if not want.returned:  # whose work is in its arguments
        return ""
    if len(got) != len(want.returned):
        wanted = ", ".join(call.names)
        wanted = f"({wanted})" if len(call.names) > 1 else wanted
        return f"It returns {_count(len(got))}, expected {wanted}."
    for name, result, expected in zip(call.names, got, want.returned, strict=True):
        if not isinstance(result, np.ndarray):
            return f"{name} is {result}, expected an array of shape {expected.shape}."
        if result.shape != expected.shape:
            return f"{name} has shape {result.shape}, expected {expected.shape}."
    return ""


def _about_values(call: Call, want: Result, reply: Reply) -> str:
    for name, result, expected in zip(call.names, reply.returned, want.returned, strict=False):
        wrong = wrong_entries(result, expected, call.dtype)
        if wrong.any():
            at = tuple(int(i) for i in np.argwhere(wrong)[0])
            got, wanted = _two_numbers(result[at], expected[at])
            place = f"{name}[{', '.join(map(str, at))}]" if at else name
            share = f" Wrong entries: {int(wrong.sum())} of {wrong.size}." * (wrong.size > 1)
            return f"{place} is {got}, expected {wanted}.{share}"
    return ""


def _about_dtypes(call: Call, reply: Reply) -> str:
    for name, result, dtype in zip(call.names, reply.returned, call.dtypes, strict=False):
        if result.dtype != dtype:
            how = " np.zeros, np.empty and np.full make float64 unless they are told dtype=x.dtype."
            made = how * (result.dtype == "float64" and dtype == "float32")
            return f"{name} is {result.dtype}, expected {dtype}.{made}"
    return ""


def _about_arguments(call: Call, want: Result, reply: Reply) -> str:
    """What an in-place kernel left in its arguments; every other leaves them as they were."""
    for name, before in call.named().items():
        if not isinstance(before, np.ndarray):
            continue
        after, expected = reply.arguments[name], want.arguments[name]
        in_place = not _equal(before, expected)
        wrong = wrong_entries(after, expected, call.dtype) if in_place else ~_same(after, before)
        if not wrong.any():
            continue
        at = tuple(int(i) for i in np.argwhere(wrong)[0])
        got, wanted = _two_numbers(after[at], (expected if in_place else before)[at])
        place = f"{name}[{', '.join(map(str, at))}]"
        if in_place:
            how = f" It has to change {name} in place." if _equal(after, before) else ""
            return f"After the call {place} is {got}, expected {wanted}.{how}"
        return f"It changes its argument {name}: {place} was {wanted}, and is {got} afterwards."
    return ""


def _same(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Where two arrays hold the same, NaN being the same as NaN."""
    return (a == b) | (np.isnan(a) & np.isnan(b))


def _equal(a: np.ndarray, b: np.ndarray) -> bool:
    return bool(_same(a, b).all())


def wrong_entries(got: np.ndarray, want: np.ndarray, dtype: str) -> np.ndarray:
    """Where two arrays of one shape differ by more than rounding."""
    if want.dtype.kind != "f":
        return np.asarray(got != want)
    finite = np.isfinite(want)
    scale = np.max(np.abs(want[finite]), initial=0.0)
    with np.errstate(invalid="ignore", over="ignore"):
        far = ~(np.abs(got.astype(np.float64) - want) <= TOLERANCE[dtype] * scale)
        same = (got == want) | (np.isnan(got.astype(np.float64)) & np.isnan(want))
    return np.where(finite, far, ~same)


def _count(n: int) -> str:
    return {0: "nothing", 1: "one result"}.get(n, f"{n} results")


def _two_numbers(got: Any, want: Any) -> tuple[str, str]:
    """Both numbers in so many digits that they look different."""
    for digits in (6, 9, 17):
        texts = f"{float(got):.{digits}g}", f"{float(want):.{digits}g}"
        if texts[0] != texts[1]:
            break
    return texts
