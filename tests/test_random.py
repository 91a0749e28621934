"""One seed decides everything drawn: weights, masks, shuffles; and its state is portable."""

from __future__ import annotations

import json
import math
import threading

import numpy as np
import pytest
import torch

import minicnn
import minicnn.nn as nn
import minicnn.nn.functional as F
from minicnn import random
from minicnn.errors import ArgumentError


def draws() -> list[np.ndarray]:
    """One of everything that draws from the global state."""
    return [
        minicnn.rand(5).numpy(),
        minicnn.randn(5, dtype=minicnn.float64).numpy(),
        minicnn.randint(100, (5,)).numpy(),
        minicnn.randperm(20).numpy(),
        F.dropout(minicnn.ones(50), 0.5).numpy(),
        nn.Linear(4, 3).weight.detach().numpy(),
        nn.init.kaiming_normal_(minicnn.empty(3, 4)).numpy(),
        minicnn.zeros(5).uniform_(-1, 1).numpy(),
        minicnn.zeros(5).normal_().numpy(),
    ]


def equal(a: list[np.ndarray], b: list[np.ndarray]) -> list[bool]:
    return [np.array_equal(x, y) for x, y in zip(a, b, strict=True)]


def test_the_same_seed_gives_the_same_bits():
    minicnn.manual_seed(7)
    first = draws()
    minicnn.manual_seed(7)
    assert all(equal(first, draws()))
    assert not any(equal(first, draws()))
    minicnn.manual_seed(8)
    assert not any(equal(first, draws()))


def test_seeds():
    assert minicnn.manual_seed(42).initial_seed() == 42
    assert minicnn.initial_seed() == 42
    minicnn.manual_seed(-1)
    assert minicnn.initial_seed() == 2**64 - 1
    minicnn.manual_seed(2**64 - 1)
    F.dropout(minicnn.ones(10), 0.5)
    drawn = {minicnn.seed() for _ in range(3)}
    assert len(drawn) == 3
    assert minicnn.initial_seed() in drawn
    for wrong in ("seed", None, [1]):
        with pytest.raises(ArgumentError, match=r"^manual_seed: .*integer"):
            minicnn.manual_seed(wrong)


def test_the_state_is_plain_json_and_continues_where_it_was():
    minicnn.manual_seed(3)
    draws()
    state = json.loads(json.dumps(minicnn.get_rng_state()))
    first = draws()
    minicnn.manual_seed(99)
    minicnn.set_rng_state(state)
    assert minicnn.initial_seed() == 3
    assert all(equal(first, draws()))


def test_the_saved_state_is_a_copy():
    minicnn.manual_seed(3)
    state = minicnn.get_rng_state()
    kept = json.dumps(state)
    first = draws()
    assert json.dumps(state) == kept
    minicnn.set_rng_state(state)
    draws()
    assert json.dumps(state) == kept
    minicnn.set_rng_state(state)
    assert all(equal(first, draws()))


def test_generators_of_ones_own_leave_the_global_state_alone():
    minicnn.manual_seed(0)
    before = json.dumps(minicnn.get_rng_state())
    own = minicnn.Generator().manual_seed(5)
    first = [minicnn.rand(3, generator=own).tolist(), minicnn.randperm(9, generator=own).tolist()]
    own.manual_seed(5)
    again = [minicnn.rand(3, generator=own).tolist(), minicnn.randperm(9, generator=own).tolist()]
    assert first == again
    assert own.initial_seed() == 5
    assert json.dumps(minicnn.get_rng_state()) == before
    assert minicnn.rand(3, generator=np.random.default_rng(5)).tolist() == first[0]


def test_draws_before_do_not_shift_dropout_and_dropout_does_not_shift_draws():
    minicnn.manual_seed(1)
    mask = F.dropout(minicnn.ones(100), 0.5).numpy()
    minicnn.manual_seed(1)
    minicnn.rand(1000)
    np.testing.assert_array_equal(F.dropout(minicnn.ones(100), 0.5).numpy(), mask)
    minicnn.manual_seed(1)
    numbers = minicnn.rand(10).numpy()
    minicnn.manual_seed(1)
    F.dropout(minicnn.ones(100), 0.5)
    np.testing.assert_array_equal(minicnn.rand(10).numpy(), numbers)


def test_no_two_operations_draw_the_same_mask_even_in_threads():
    minicnn.manual_seed(0)
    drawn: list[tuple[int, int]] = []

    def work() -> None:
        drawn.extend(random.next_operation() for _ in range(500))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(drawn)) == 2000
    assert {seed for seed, _ in drawn} == {0}


@pytest.mark.parametrize(
    ("make", "mean", "deviation", "low", "high"),
    [
        (lambda n: minicnn.rand(n), 0.5, math.sqrt(1 / 12), 0, 1),
        (lambda n: minicnn.randn(n), 0, 1, -7, 7),
        (lambda n: minicnn.randint(10, (n,)).double(), 4.5, math.sqrt(99 / 12), 0, 10),
        (lambda n: minicnn.randint(-5, 5, (n,)).double(), -0.5, math.sqrt(99 / 12), -5, 5),
        (lambda n: minicnn.zeros(n).uniform_(-2, 4), 1, math.sqrt(3), -2, 4),
        (lambda n: minicnn.zeros(n).normal_(3, 0.5), 3, 0.5, -1, 7),
    ],
    ids=["rand", "randn", "randint", "randint from", "uniform_", "normal_"],
)
def test_distributions(make, mean, deviation, low, high):
    minicnn.manual_seed(0)
    n = 100_000
    x = make(n).numpy().astype(np.float64)
    assert abs(x.mean() - mean) < 5 * deviation / math.sqrt(n)
    assert abs(x.std() - deviation) < 0.02 * deviation
    assert low <= x.min() < x.max() < high
    assert abs(np.corrcoef(x[1:], x[:-1])[0, 1]) < 5 / math.sqrt(n)


def test_permutations_are_permutations():
    minicnn.manual_seed(0)
    p = minicnn.randperm(100)
    assert sorted(p.tolist()) == list(range(100))
    assert p.tolist() != list(range(100))
    assert minicnn.randperm(0).shape == torch.randperm(0).shape
