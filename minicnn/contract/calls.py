"""The calls that the contract makes of each kernel, and what they have to give.

The families say which kernels to call with what; here they run once with a recorder in place of a
rung. Each kernel gets its own list of calls, whatever gradient belongs to whatever forward kernel,
and the input of each is the reference's, never the output of the kernels that are examined.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np

from minicnn.contract.families import FAMILIES
from minicnn.kernels import Backend, reference, use_backend
from minicnn.kernels.reference import loops

DTYPES = ("float32", "float64")


@dataclass(frozen=True)
class Result:
    """What a kernel returned, as a tuple, and its array arguments by name, after the call."""

    returned: tuple[Any, ...]
    arguments: Mapping[str, np.ndarray]


@dataclass(frozen=True, eq=False)  # as itself: arrays are not compared with ==
class Call:
    """One call of one kernel.

    Attributes:
        example: what this case adds to those before it.
        names: of the results, as in formulas: ("y", "indices").
        dtypes: of the results.
    """

    kernel: str
    example: str
    dtype: str
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    names: tuple[str, ...]
    dtypes: tuple[np.dtype, ...]

    def named(self) -> dict[str, Any]:
        """The arguments by the names that the contract gives them."""
        return dict(signature(self.kernel).bind(*self.args, **self.kwargs).arguments)

    def fresh(self, dtype: str | None = None) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Copies of the arguments, in float arrays of `dtype` if one is given."""
        kwargs = {name: _copy(value, dtype) for name, value in self.kwargs.items()}
        return tuple(_copy(value, dtype) for value in self.args), kwargs

    def __str__(self) -> str:
        """The call in one line: conv2d(x[1×1×3×3], ..., stride=(1, 1))."""
        return f"{self.kernel}({', '.join(described(*item) for item in self.named().items())})"


def described(name: str, value: Any) -> str:
    """An argument in words: an array by its shape, anything else by its value."""
    if isinstance(value, np.ndarray):
        return f"{name}[{'×'.join(map(str, value.shape))}]"
    return f"{name}={value}"


@cache
def signature(kernel: str) -> inspect.Signature:
    """The signature that the contract gives a kernel."""
    return inspect.signature(getattr(reference, kernel))


@cache
def calls(kernel: str) -> tuple[Call, ...]:
    """All calls of a kernel, from the smallest case to the largest, each in both dtypes."""
    own: list[tuple[str, Call]] = []
    others: list[tuple[str, Call]] = []
    for first, call in _all_calls():
        if call.kernel == kernel:
            (own if kernel.startswith(first) else others).append((first, call))
    if own:  # as max_pool2d_grad's are in its family, and adaptive_max_pool2d has more of them
        others = [(f, replace(call, example=f"after {f}: {call.example}")) for f, call in others]
    return tuple(call for _, call in own + others)


def definition(kernel: str, other_than: Any = None) -> Any:
    """The kernel that decides: of the rung "loops", which is the textbook's, else of "numpy".

    With `other_than` one of these two, it is the other, if both have the kernel.
    """
    textbook = getattr(loops, kernel, None)
    return getattr(reference, kernel) if textbook in (None, other_than) else textbook


def expected(call: Call, function: Any) -> Result:
    """What the call has to give, computed in float64 by `function`."""
    args, kwargs = call.fresh("float64")
    returned = function(*args, **kwargs)
    after = signature(call.kernel).bind(*args, **kwargs).arguments
    return Result(as_tuple(returned), only_arrays(after))


def as_tuple(returned: Any) -> tuple[Any, ...]:
    """What a kernel returned as a tuple: of one array, of several, or of none."""
    if returned is None:
        return ()
    return returned if isinstance(returned, tuple) else (returned,)


def only_arrays(arguments: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The arguments that are arrays."""
    return {name: value for name, value in arguments.items() if isinstance(value, np.ndarray)}


def _copy(value: Any, dtype: str | None) -> Any:
    if not isinstance(value, np.ndarray):
        return value
    floats = dtype is not None and value.dtype.kind == "f"
    return value.astype(dtype if floats else value.dtype, order="C")


# ------------------------------------------------------------------------------------- recording


class Recorder:
    """A rung to the families, which computes on the reference and notes every call."""

    def __init__(self, rung: Backend, example: str, dtype: str) -> None:
        self.backend = self  # some families ask their rung for its backend
        self.noted: list[tuple[Call, tuple[Any, ...]]] = []
        self._rung, self._example, self._dtype = rung, example, dtype

    def __getattr__(self, kernel: str) -> Any:
        function = getattr(self._rung, kernel)

        def call(*args: Any, **kwargs: Any) -> Any:
            before = Call(kernel, self._example, self._dtype, args, kwargs, (), ())
            args_before, kwargs_before = before.fresh()  # an optimizer's step changes its own
            returned = function(*args, **kwargs)
            results = as_tuple(returned)
            dtypes = tuple(result.dtype for result in results)
            noted = Call(kernel, self._example, self._dtype, args_before, kwargs_before, (), dtypes)
            self.noted.append((noted, results))
            return returned

        return call


@cache
def _all_calls() -> tuple[tuple[str, Call], ...]:
    """Every family's calls in the order of its examples, each after its case's first kernel."""
    found: list[tuple[str, Call]] = []
    with use_backend("numpy") as rung:
        for family in FAMILIES.values():
            for example, case in family.examples.items():
                for dtype in DTYPES:
                    recorder = Recorder(rung, example, dtype)
                    outputs = family.ours(recorder, case, **family.arrays(case, dtype))
                    first = recorder.noted[0][0].kernel
                    found += ((first, _with_names(*noted, outputs)) for noted in recorder.noted)
    return tuple(found)


def _with_names(call: Call, results: tuple[Any, ...], outputs: Mapping[str, Any]) -> Call:
    """The call with the names under which the family gives out its results."""
    names = tuple(
        next((name for name, value in outputs.items() if value is result), "result")
        for result in results
    )
    return replace(call, names=names)
