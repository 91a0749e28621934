"""Calling one kernel once, and seeing what it returned, raised, and did to its arguments."""

from __future__ import annotations

import inspect
import linecache
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import FrameType, TracebackType
from typing import Any

import numpy as np

from minicnn.contract.calls import Call, as_tuple, only_arrays, signature

QUICK = 0.2  # seconds; only calls faster than this are repeated


@dataclass
class Reply:
    """How a call ended.

    Attributes:
        trouble: why nothing was returned, in words; "" if something was.
        returned: the results; one that is no array of numbers is described by a text.
        arguments: the array arguments by name, as the call left them.
        complaints: promises broken that the arrays themselves no longer show.
        about_out: what went wrong with `out=`; "" if nothing did, or the kernel does not take it.
        fatal: the process ended with it, so that every other call may fare the same.
    """

    trouble: str = ""
    returned: tuple[Any, ...] = ()
    arguments: dict[str, np.ndarray] = field(default_factory=dict)
    complaints: list[str] = field(default_factory=list)
    about_out: str = ""
    seconds: float = 0.0
    fatal: bool = False


class Performer:
    """Calls kernels, and the quick ones again, to see whether results share memory.

    Args:
        file: of the kernels, whose lines are told when something goes wrong in them.
    """

    def __init__(self, file: str | None = None) -> None:
        self.file = file

    def __call__(self, function: Callable[..., Any], call: Call) -> Reply:
        """Call the kernel; if it is quick also a second time, and with `out` if it takes one."""
        args, kwargs = call.fresh()
        started = time.perf_counter()
        try:
            returned = function(*args, **kwargs)
        except (Exception, SystemExit) as error:
            return Reply(self.in_words(error), seconds=time.perf_counter() - started)
        seconds = time.perf_counter() - started
        arguments = only_arrays(signature(call.kernel).bind(*args, **kwargs).arguments)
        results = as_tuple(returned)
        complaints = list(self._about(results, call, arguments))
        about_out = ""
        if results and not complaints and seconds < QUICK:
            complaints = list(self._about_second_call(function, call, results))
            if len(results) == 1 and _takes_out(function, call.kernel):
                about_out = self._about_out(function, call, results[0])
        found = tuple(map(_portable, results))
        return Reply("", found, arguments, complaints, about_out, seconds)

    def _about(
        self, results: tuple[Any, ...], call: Call, arguments: dict[str, Any]
    ) -> Iterator[str]:
        names = call.names if len(call.names) == len(results) else ("result",) * len(results)
        for name, result in zip(names, results, strict=True):
            if not isinstance(result, np.ndarray):
                continue
            if not result.flags.c_contiguous:
                yield f"{name} is not C-contiguous. Return np.ascontiguousarray({name})."
            for other, array in arguments.items():
                if np.shares_memory(result, array):
                    yield f"{name} shares memory with the argument {other}. Return a new array."

    def _about_second_call(
        self, function: Callable[..., Any], call: Call, first: tuple[Any, ...]
    ) -> Iterator[str]:
        args, kwargs = call.fresh()
        try:
            second = as_tuple(function(*args, **kwargs))
        except (Exception, SystemExit) as error:
            yield f"Called a second time with the same arguments: {self.in_words(error)}"
            return
        both = zip(first, second, strict=False)
        if any(isinstance(a, np.ndarray) and np.shares_memory(a, b) for a, b in both):
            yield "A second call overwrites the first one's result. Make a new array in every call."

    def _about_out(self, function: Callable[..., Any], call: Call, result: Any) -> str:
        if not isinstance(result, np.ndarray):
            return ""
        args, kwargs = call.fresh()
        out = np.full_like(result, np.nan if result.dtype.kind == "f" else 0)
        try:
            returned = function(*args, **kwargs, out=out)
        except (Exception, SystemExit) as error:
            return f"With out=, an array of the right shape: {self.in_words(error)}"
        if returned is not out:
            return "With out=, what is returned is not that array. Fill out, and return it."
        if not np.array_equal(out, result, equal_nan=result.dtype.kind == "f"):
            return "With out=, the array given is not filled with what is returned without it."
        return ""

    def in_words(self, error: BaseException) -> str:
        """The error and the line of the file where it arose."""
        if isinstance(error, SystemExit):
            what = "It calls exit(), which ends the whole program"
        else:
            lines = str(error).strip().splitlines()
            what = type(error).__name__ + (f": {lines[0]}" if lines else "")
        return what + self.where(error.__traceback__)

    def where(self, trace: TracebackType | FrameType | None) -> str:
        """` (line 7: y[n] = ...)`: the innermost line of the file; "" if it is not there."""
        walk = traceback.walk_stack if isinstance(trace, FrameType) else traceback.walk_tb
        numbers = [n for frame, n in walk(trace) if frame.f_code.co_filename == self.file]  # type: ignore[arg-type]
        if not numbers or self.file is None:
            return ""
        number = numbers[0] if isinstance(trace, FrameType) else numbers[-1]
        text = linecache.getline(self.file, number).strip()
        return f" (line {number}: {text})" if text else f" (line {number})"


def _takes_out(function: Callable[..., Any], kernel: str) -> bool:
    try:
        taken = inspect.signature(function).parameters
    except (TypeError, ValueError):
        return False
    return "out" in taken and "out" in signature(kernel).parameters


def _portable(result: Any) -> Any:
    """An array of numbers as it is, anything else in words: it has to pass to another process."""
    if not isinstance(result, np.ndarray):
        return f"of type {type(result).__name__}"
    return result if result.dtype.kind in "biufc" else f"an array of dtype {result.dtype}"
