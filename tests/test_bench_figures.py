"""What `minicnn bench` makes of times, against values computed by hand."""

from __future__ import annotations

import numpy as np
import pytest

from minicnn.bench import figures
from minicnn.bench.comparing import changes
from minicnn.bench.comparing import lines_of as comparison
from minicnn.errors import ArgumentError


def test_quartiles():
    assert figures.quartiles([4.0, 1.0, 3.0, 2.0, 5.0]) == [2.0, 3.0, 4.0]
    assert figures.quartiles([7.0]) == [7.0, 7.0, 7.0]


def test_ratios_are_of_the_same_round():
    """A machine that is slower in the second round slows both times, and no ratio."""
    assert figures.paired_ratios([2.0, 20.0, 2.0], [1.0, 10.0, 1.0]) == [2.0, 2.0, 2.0]
    assert figures.paired_ratios([2.0, None, 6.0], [1.0, 1.0, 2.0]) == [2.0, 3.0]
    assert figures.paired_ratios([2.0, 6.0], [1.0]) == [2.0]  # stopped in the second round


def test_geometric_mean():
    assert figures.geometric_mean([2.0, 0.5]) == pytest.approx(1)
    assert figures.geometric_mean([1.0, 10.0, 100.0]) == pytest.approx(10)


def test_the_limit_is_what_takes_longer_at_best():
    """At 100 GFLOP/s and 10 GB/s, 1e9 FLOPs take 10 ms and 1e9 bytes take 100 ms."""
    assert figures.limit(1e9, 1e7, 100, 10) == "fma"
    assert figures.limit(1e9, 1e9, 100, 10) == "copy"
    assert figures.limit(0, 1e9, 100, 10) == "copy"
    assert figures.limit(1e9, 1e9, None, 10) is None


def test_error_is_relative_to_the_largest_value():
    expected = np.array([0.0, 2.0, -4.0])
    assert figures.error_of(np.array([0.0, 2.0, -4.0]), expected) == 0
    assert figures.error_of(np.array([1.0, 2.0, -4.0]), expected) == 0.25
    assert figures.error_of(np.zeros((0, 3)), np.zeros((0, 3))) == 0
    assert figures.error_of(np.zeros(3), np.zeros(3)) == 0


@pytest.mark.parametrize(
    "got", [[np.nan, 2.0, -4.0], [np.inf, 2.0, -4.0], [2.0, -4.0], [[0.0, 2.0, -4.0]]]
)
def test_nan_and_other_shapes_are_infinitely_wrong(got):
    assert figures.error_of(np.array(got), np.array([0.0, 2.0, -4.0])) == float("inf")


def test_any_value_where_all_should_be_zero_is_infinitely_wrong():
    assert figures.error_of(np.array([1e-30]), np.zeros(1)) == float("inf")


# ------------------------------------------------------------------------------------ compare


def result(cores: str = "2", **ms: list[float]) -> dict:
    return {
        "machine": {"name": "a", "cores": cores, "system": "s", "threads": 2},
        "cases": [{"key": k, "contenders": {"numba": {"ms": v}}} for k, v in ms.items()],
    }


def test_compare_flags_what_does_not_overlap():
    a = result(faster=[9, 10, 11], slower=[4, 5, 6], equal=[1, 2, 3], gone=[1, 1, 1])
    b = result(faster=[4, 5, 8], slower=[7, 10, 11], equal=[2, 2.5, 3], new=[1, 1, 1])
    found = {change.key: change for change in changes(a, b)}
    assert [*found] == ["faster", "slower", "equal"]
    assert [c.verdict for c in found.values()] == ["faster", "slower", ""]
    faster = found["faster"]
    assert (faster.ratio, faster.low, faster.high) == (2, 9 / 8, 11 / 4)
    text = "\n".join(comparison([*found.values()]))
    assert "2.00 (1.12–2.75)" in text
    assert "0.93× (geometric mean of 3), 1 faster, 1 slower; lowest 0.50× in slower" in text


def test_compare_refuses_other_machines():
    a, b = result(x=[1, 1, 1]), result(cores="8", x=[1, 1, 1])
    with pytest.raises(ArgumentError, match="differ in cores: 2 and 8"):
        changes(a, b)
    assert len(changes(a, b, anyway=True)) == 1
    with pytest.raises(ArgumentError, match="no case and contender in common"):
        changes(a, result(y=[1, 1, 1]))
