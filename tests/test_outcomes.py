"""The tables of calls see every way in which minicnn could be unlike torch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from outcomes import Values, combinations, same_outcome, table, unreadable

from minicnn.errors import ArgumentError

X = np.arange(6.0).reshape(2, 3) + 1


def of_minicnn(function):
    """A call that torch computes as x·2, and minicnn by `function`."""
    return lambda lib, x, **_: x * 2 if lib is torch else function(x)


def refused(function):
    """A call that torch refuses, and minicnn by `function`."""

    def call(lib, x, **_):
        if lib is torch:
            raise ValueError("one line\nand another")
        return function(x)

    return call


def failing(error):
    def function(x):
        raise error

    return function


@pytest.mark.parametrize(
    ("call", "found"),
    [
        (of_minicnn(lambda x: x + x), ""),
        (of_minicnn(lambda x: x * 3), "torch accepts; max"),
        (of_minicnn(lambda x: x + x.detach()), "torch accepts; max"),  # the gradient alone
        (of_minicnn(failing(ArgumentError("op: no. Do."))), "torch accepts, minicnn raises Argum"),
        (refused(lambda x: x), "torch refuses (one line), minicnn accepts"),
        (refused(failing(ValueError("op: no. Do."))), "minicnn raises a bare ValueError"),
        (refused(failing(ArgumentError("op: no. Do."))), ""),
        (refused(failing(ArgumentError('Conv2d "a.0": no. Do.'))), ""),
        (refused(failing(ArgumentError("op: no.\nDo. So."))), "is no line of op, problem and rem"),
        (refused(failing(ArgumentError("no. Do."))), "is no line of op, problem and remedy"),
        (refused(failing(ArgumentError("op: no remedy."))), "is no line of op, problem and remedy"),
        (refused(lambda x: x.sum(nothing=1)), ""),  # Python's words for a call's form
        (refused(failing(TypeError("bad argument"))), "minicnn raises a bare TypeError"),
    ],
)
def test_a_difference_is_found_and_said(call, found):
    verdict = same_outcome(call, X)
    assert found in verdict
    assert bool(verdict) == bool(found)
    if found:
        with pytest.raises(AssertionError, match="2 of 2 calls differ"):
            table({"n": [1, 2]}, call, X)


def test_an_error_names_the_op_that_was_called():
    error = ArgumentError("conv2d: no. Do.")
    assert not unreadable(error, "conv1d", "conv2d")
    assert "does not begin with conv1d" in unreadable(error, "conv1d")


def test_what_is_left_out_is_counted_and_something_must_be_left():
    double = of_minicnn(lambda x: x + x)
    counts = table({"n": [1, 2, 3]}, double, X, but=lambda n: n == 3)
    assert counts == {"taken": 2, "refused": 0, "meant to differ": 1}
    with pytest.raises(AssertionError, match="nothing was compared"):
        table({"n": [1]}, double, X, but=lambda n: True)


def test_lists_are_combined_in_full_and_values_in_pairs():
    assert len(list(combinations({"a": [1, 2], "b": [3, 4, 5]}))) == 6
    values = {"a": Values([0, 1], ["x"]), "b": Values([0, 1], ["y"]), "c": Values([0], [])}
    cases = [tuple(case.values()) for case in combinations(values)]
    singles = [(0, 0, 0), (1, 0, 0), ("x", 0, 0), (0, 1, 0), (0, "y", 0)]
    assert sorted(map(str, cases)) == sorted(
        map(str, [*singles, (1, 1, 0), (1, "y", 0), ("x", 1, 0)])
    )  # no two odd values at once: which of them was refused would not be known
