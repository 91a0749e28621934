"""Packed weights are taken again exactly as long as the weights are the same."""

import numpy as np
import pytest

from minicnn.kernels import cpu
from minicnn.kernels.cpu import _kept

GEOMETRY = (1, 1), (1, 1), (1, 1), 1


@pytest.fixture(autouse=True)
def _nothing_kept():
    _kept.clear()
    yield
    _kept.clear()


def layer(rng, filters=48):
    x = rng.standard_normal((1, 16, 6, 6)).astype(np.float32)
    return x, rng.standard_normal((filters, 16, 3, 3)).astype(np.float32)


def counted(w, pack):
    calls = []
    _kept.packed(w, "a way", lambda: calls.append(None) or pack())
    return len(calls)


def test_the_same_weights_are_packed_once():
    w = np.ones((4, 3), np.float32)
    assert [counted(w, w.copy) for _ in range(3)] == [1, 0, 0]


@pytest.mark.parametrize("value", [np.nan, -0.0, 1.0 + 1e-7])
def test_any_change_in_place_is_seen(value):
    w = np.ones((4, 3), np.float32)
    w[1, 1] = 0.0
    assert counted(w, w.copy) == 1
    w[1, 1] = value  # -0.0 equals 0.0, and NaN not even itself: bits are compared
    assert [counted(w, w.copy) for _ in range(2)] == [1, 0]


def test_a_convolution_follows_its_weights():
    rng = np.random.default_rng(0)
    x, w = layer(rng)
    for scale in (1.0, 2.0, 0.5):
        w *= np.float32(scale)
        fresh = w.copy()  # at another place in memory
        np.testing.assert_array_equal(
            cpu.conv2d(x, w, None, *GEOMETRY), cpu.conv2d(x, fresh, None, *GEOMETRY)
        )
        dy = rng.standard_normal((1, 48, 6, 6)).astype(np.float32)
        np.testing.assert_array_equal(
            cpu.conv2d_input_grad(dy, w, x.shape, *GEOMETRY),
            cpu.conv2d_input_grad(dy, fresh, x.shape, *GEOMETRY),
        )


def test_what_is_kept_has_a_bound(monkeypatch):
    monkeypatch.setattr(_kept, "CAPACITY", 1000)
    weights = [np.full(50, i, np.float32) for i in range(10)]
    for w in weights:
        counted(w, w.copy)
    assert sum(a.nbytes + b.nbytes for a, b in _kept._kept.values()) <= 1000
    assert counted(weights[-1], weights[-1].copy) == 0
    assert counted(weights[0], weights[0].copy) == 1


def test_more_than_the_bound_is_not_kept(monkeypatch):
    monkeypatch.setattr(_kept, "CAPACITY", 100)
    w = np.ones(50, np.float32)
    assert [counted(w, w.copy) for _ in range(2)] == [1, 1]
