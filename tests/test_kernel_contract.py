"""Every kernel on every rung against torch, forward and backward, and against the loops rung."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest
from helpers_kernel_oracle import philox_block
from helpers_kernels import (
    GPU_RUNGS,
    Case,
    Strict,
    assert_agree,
    generated,
    here,
    running,
    there,
    window,
)
from hypothesis import given
from hypothesis import strategies as st
from kernel_families import FAMILIES
from kernel_families.conv import Conv2d

from minicnn.kernels import kernel_names, reference
from minicnn.kernels.reference.dropout import philox4x32

RUNGS = ("loops", "numpy", "numba", *GPU_RUNGS)
DTYPES = ("float32", "float64")
TABLES = ("rows", "columns")  # arguments that are the CPU's on every rung: places to read at


def on_rung(family: Any, rung: str, case: Case, arrays: dict[str, Any]) -> dict[str, np.ndarray]:
    """Return a family's results on a rung; its arrays go there and the results come back."""
    moved = {n: a if n in TABLES else there(rung, a) for n, a in arrays.items()}
    with running(rung, case.get("seed", 0)):
        return {name: here(a) for name, a in family.ours(Strict(rung), case, **moved).items()}


def check(family: Any, rung: str, dtype: str, case: Case) -> None:
    """Compare all results of a family on a rung with torch's, and with those of the loops rung."""
    arrays = family.arrays(case, dtype)
    got = on_rung(family, rung, case, arrays)
    assert_agree(got, family.theirs(case, **arrays), "torch")
    if rung != "loops":
        assert_agree(got, family.ours(Strict("loops"), case, **arrays), "loops")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rung", RUNGS)
@pytest.mark.parametrize("family", FAMILIES)
@generated(15)
@given(data=st.data())
def test_generated_case(family: str, rung: str, dtype: str, data: st.DataObject) -> None:
    check(FAMILIES[family], rung, dtype, data.draw(FAMILIES[family].cases))


HARD = [(name, hard) for name, family in FAMILIES.items() for hard in family.hard]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rung", RUNGS)
@pytest.mark.parametrize(("family", "hard"), HARD, ids=[f"{n}: {h}" for n, h in HARD])
def test_hard_case(family: str, hard: str, rung: str, dtype: str) -> None:
    check(FAMILIES[family], rung, dtype, {"seed": 7, **FAMILIES[family].hard[hard]})


LAYERS = {  # too many multiply-adds for the loops
    "AlexNet's first": window((63, 59), (11, 11), (4, 4), (2, 2), channels=3, filters=24),
    "AlexNet's second": window((27, 27), (5, 5), (1, 1), (2, 2), channels=16, filters=20),
    "13x13": window((13, 13), (3, 3), (1, 1), (1, 1), batch=3, channels=48, filters=52),
    "cat/dog's second": window((79, 79), (3, 3), channels=32, filters=32),
    "two groups": window((14, 14), (3, 3), (1, 1), (1, 1), groups=2, channels=24, filters=16),
    "depthwise": window((28, 28), (3, 3), (2, 2), (1, 1), groups=20, channels=1, filters=1),
    "pointwise": window((28, 28), (1, 1), channels=64, filters=96),
    "dilated": window((33, 31), (3, 3), (1, 1), (4, 4), (4, 4), channels=12, filters=19),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rung", RUNGS[1:])
@pytest.mark.parametrize("layer", LAYERS)
def test_layer_of_a_real_network(layer: str, rung: str, dtype: str) -> None:
    case = {"seed": 3, **LAYERS[layer]}
    arrays = Conv2d.arrays(case, dtype)
    assert_agree(on_rung(Conv2d, rung, case, arrays), Conv2d.theirs(case, **arrays), "torch")


@pytest.mark.parametrize("rung", RUNGS)
@pytest.mark.parametrize("kernel", kernel_names())
def test_signature_is_the_same_on_every_rung(kernel: str, rung: str) -> None:
    with running(rung) as backend:
        got = inspect.signature(getattr(backend, kernel)).parameters.values()
    want = inspect.signature(getattr(reference, kernel)).parameters.values()
    assert [(p.name, p.kind, p.default) for p in got] == [(p.name, p.kind, p.default) for p in want]


def test_every_kernel_is_in_a_family() -> None:
    """A kernel added to the contract fails here until the one test body runs it."""
    called = {name for family in FAMILIES.values() for name in family.ours.__code__.co_names}
    assert called >= set(kernel_names())


KNOWN_ANSWERS = [  # Random123's published vectors of philox4x32 with 10 rounds: counter, key, words
    ("0 0 0 0", "0 0", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff " * 4, "ffffffff " * 2, "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    (
        "243f6a88 85a308d3 13198a2e 03707344",  # the digits of pi
        "a4093822 299f31d0",
        "d16cfe09 94fdcceb 5001e420 24126ea1",
    ),
]


@pytest.mark.parametrize(("counter", "key", "answer"), KNOWN_ANSWERS)
def test_philox_gives_the_published_words(counter: str, key: str, answer: str) -> None:
    counter_words, (k0, k1), want = (
        [int(word, 16) for word in text.split()] for text in (counter, key, answer)
    )
    assert philox_block(counter_words, [k0, k1]) == want
    arrays = tuple(np.array([word], dtype=np.uint64) for word in counter_words)
    assert [int(word[0]) for word in philox4x32(np, arrays, (k0, k1))] == want


@pytest.mark.parametrize("rung", RUNGS)
def test_philox_stream_starts_with_the_published_words(rung: str) -> None:
    with running(rung) as backend:
        words = [f"{word:08x}" for word in backend.philox(0, 0, 4)]
    assert words == KNOWN_ANSWERS[0][2].split()
