"""The arithmetic ceiling: it does the work that it counts."""

from __future__ import annotations

import time

import pytest

from minicnn.kernels import threads
from minicnn.kernels.cpu import _peak

TASKS = 64


def test_each_step_multiplies_and_adds():
    """The sums begin with 0 … 11 in all lanes; a step makes s of them 0.999·s + 0.001."""
    one = TASKS * (0.999 * sum(range(12)) + 12e-3)
    assert _peak.multiply_add(1) == pytest.approx(one, rel=1e-5)
    a_step = TASKS * 12 * _peak.lanes()
    assert _peak.multiply_add(a_step) == pytest.approx(one, rel=1e-5)
    two = 0.999 * one + TASKS * 12e-3
    assert _peak.multiply_add(a_step + 1) == pytest.approx(two, rel=1e-5)


def test_the_sums_arrive_at_one():
    assert _peak.multiply_add(1 << 28) == pytest.approx(TASKS * 12, rel=1e-3)


def test_eight_times_the_work_takes_eight_times_as_long():
    """So the loop is there, and was not computed ahead. On one thread, in seconds of its own."""
    before = threads.get_num_threads()
    threads.set_num_threads(1)

    def seconds(count: int) -> float:
        start = time.process_time()
        _peak.multiply_add(count)
        return time.process_time() - start

    try:
        one = min(seconds(1 << 28) for _ in range(10))
        assert 5 < min(seconds(1 << 31) for _ in range(3)) / one < 12
    finally:
        threads.set_num_threads(before)
