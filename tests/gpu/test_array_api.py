"""The numpy rung is written in the array-API standard, so that CuPy's arrays pass through it.

Proven by arrays that know the standard and nothing else: `array_api_strict` refuses NumPy's
habits, such as methods of arrays, assignment at a list of places, or arithmetic between float32
and integers. Its memory is NumPy's, so the bits have to be those of NumPy's own arrays, which
other tests hold against torch.
"""

from __future__ import annotations

import inspect
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kernel_families import FAMILIES

from minicnn.kernels import kernel_names, namespace, reference

xp = pytest.importorskip("array_api_strict")

# Places in an image are NumPy arrays on every rung: they come from Python, and say what to launch.
HOST = ("rows", "columns")
# Bytes of a decoded photograph, and random words to look at, are on the CPU always.
ON_CPU = ("unit_planes", "philox")


class Standard:
    """The numpy rung on arrays of the standard: what goes in is converted, what comes out back."""

    def __init__(self) -> None:
        self.called: set[str] = set()
        self.backend = self

    def __getattr__(self, name: str) -> Any:
        kernel = getattr(reference, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            bound = inspect.signature(kernel).bind(*args, **kwargs)
            given = dict(bound.arguments)
            if name not in ON_CPU:
                for key, value in given.items():
                    if isinstance(value, np.ndarray) and key not in HOST:
                        bound.arguments[key] = xp.asarray(value.copy())
            self.called.add(name)
            result = kernel(*bound.args, **bound.kwargs)
            if result is None:  # the optimizers' steps change their arguments
                for key, value in bound.arguments.items():
                    if isinstance(given[key], np.ndarray):
                        given[key][...] = numpy_of(value)
            return tuple(map(numpy_of, result)) if isinstance(result, tuple) else numpy_of(result)

        return call


def numpy_of(array: Any) -> Any:
    return np.from_dlpack(array) if namespace(array) is xp else array


def check(family: Any, case: dict[str, Any], dtype: str) -> set[str]:
    standard, arrays = Standard(), family.arrays(case, dtype)
    got = family.ours(standard, case, **arrays)
    plain = SimpleNamespace(**vars(reference))
    plain.backend = plain
    want = family.ours(plain, case, **family.arrays(case, dtype))
    for name, array in want.items():
        np.testing.assert_array_equal(got[name], array, name)
        assert got[name].dtype == array.dtype
    return standard.called


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("family", FAMILIES)
def test_kernels_need_the_standard_only(family, dtype):
    cases = {**FAMILIES[family].examples, **FAMILIES[family].hard}
    for name, case in cases.items():
        try:
            check(FAMILIES[family], {"seed": 7, **case}, dtype)
        except Exception as error:
            error.add_note(f"in the case {name!r}")
            raise


@pytest.mark.parametrize("family", FAMILIES)
@given(data=st.data())
def test_generated_cases_too(family, data):
    check(FAMILIES[family], data.draw(FAMILIES[family].cases), "float32")


def test_every_kernel_takes_part():
    called: set[str] = set()
    for family in FAMILIES.values():
        for case in family.examples.values():
            called |= check(family, {"seed": 7, **case}, "float64")
    assert set(kernel_names()) - called == set()


def test_out_is_filled():
    x, out = xp.asarray([-1.0, 2.0]), xp.zeros(2, dtype=xp.float64)
    assert reference.relu(x, out=out) is out
    assert numpy_of(out).tolist() == [0, 2]


def test_the_namespace_of_an_array():
    assert namespace(xp.zeros(2)) is xp
    assert namespace(np.zeros(2)) is np
    assert namespace(np.float32(1)) is np


def test_the_stand_in_refuses_what_only_numpy_has():
    x = xp.asarray([1.0, 2.0])
    for habit in (
        lambda: x.astype(xp.float32),
        lambda: x.sum(),
        lambda: np.exp(x) if not hasattr(x, "__array__") else xp.no_such_function(x),
        lambda: xp.zeros(3)[np.asarray([0, 1])].__setitem__(0, 1),
        lambda: x + np.ones(2),
    ):
        with pytest.raises((AttributeError, TypeError, IndexError, RuntimeError)):
            habit()
