"""Elementwise functions against torch, forward and backward.

No rung computes these: they are NumPy's. Shapes are generated; values stay where each function is
smooth, and the edges (zeros, ties, overflow, division by zero) have tests of their own.
"""

from __future__ import annotations

import math
import operator

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import mutually_broadcastable_shapes
from oracle import DTYPES, LAYOUTS, check, normal

import minicnn
from minicnn.errors import ArgumentError, DtypeError, ShapeError

both_dtypes = pytest.mark.parametrize("dtype", DTYPES)
shapes = st.lists(st.integers(0, 4), max_size=4).map(tuple)
layouts = st.sampled_from([*LAYOUTS])
seeds = st.integers(0, 999)
pairs = mutually_broadcastable_shapes(num_shapes=2, max_dims=4, min_side=0, max_side=4).map(
    lambda found: found.input_shapes
)
triples = mutually_broadcastable_shapes(num_shapes=3, max_dims=3, max_side=3).map(
    lambda found: found.input_shapes
)


def positive(seed: int, shape: tuple, dtype: str) -> np.ndarray:
    """Numbers from 0.5 to 2.5: logarithms, roots, powers and quotients are tame there."""
    return np.asarray(np.random.default_rng(seed).uniform(0.5, 2.5, shape), dtype)


def signed(seed: int, shape: tuple, dtype: str) -> np.ndarray:
    return normal(np.random.default_rng(seed), *shape, dtype=dtype)


# --------------------------------------------------------------------------- two operands

BINARY = {
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "truediv": operator.truediv,
    "pow": operator.pow,
    "mod": operator.mod,
}


@both_dtypes
@pytest.mark.parametrize("name", [*BINARY, "maximum", "minimum"])
@given(shapes=pairs, layout=layouts, seed=seeds)
def test_binary(name, dtype, shapes, layout, seed):
    a, b = positive(seed, shapes[0], dtype), positive(seed + 1, shapes[1], dtype)

    def function(lib, a, b):
        return BINARY[name](a, b) if name in BINARY else getattr(lib, name)(a, b)

    check(function, a, b, layout=layout)


@both_dtypes
@pytest.mark.parametrize("name", ["add", "sub", "mul", "truediv"])
def test_binary_of_signed_numbers(name, dtype):
    a, b = signed(0, (3, 4), dtype), signed(1, (4,), dtype)
    check(lambda lib, a, b: BINARY[name](a, b), a, b)


@pytest.mark.parametrize(
    "scalar", [2, -3, 0.5, True, np.float64(1.5), np.float32(0.25), np.int64(3)]
)
@pytest.mark.parametrize("name", [*BINARY, "floordiv"])
def test_binary_with_a_number_on_either_side(name, scalar):
    function = operator.floordiv if name == "floordiv" else BINARY[name]
    number = scalar.item() if isinstance(scalar, np.generic) else scalar
    base = positive(3, (3, 4), "float32")
    for swap in (False, True):
        if name in ("pow", "mod") and swap and scalar == -3:
            continue  # a negative number to a fractional power has no value
        if name in ("sub", "pow") and scalar is True:
            continue  # torch refuses truth values here
        cut = name == "floordiv" or (name == "mod" and swap)  # torch has no derivative of these

        def both(lib, x, swap=swap, cut=cut):
            other = number if lib is torch else scalar
            x = x.detach() if cut else x
            return function(other, x) if swap else function(x, other)

        check(both, base)


@both_dtypes
def test_powers_at_zero_and_of_negative_numbers(dtype):
    x = np.array([-2.0, -1.0, 0.0, 0.0, 3.0], dtype)
    for exponent in (0, 1, 2, 3, 0.0, 2.0):
        check(lambda lib, x, e=exponent: x**e, x)
    check(lambda lib, x, e: x**e, np.abs(x), np.array([2, 0, 3, 1, 0.5], dtype))
    check(lambda lib, e: 2**e, x)
    check(lambda lib, e: 0.0**e, np.array([0.5, 1, 2], dtype))


def test_remainder_has_the_divisors_sign():
    x = np.array([-7.5, -2.0, 2.0, 7.5])
    for divisor in (3, -3, 2.5):
        check(lambda lib, x, d=divisor: x % d, x)
        check(lambda lib, x, d=divisor: x.detach() // d, x)
    whole = np.array([-7, -2, 2, 7])
    for divisor in (3, -3):
        check(lambda lib, x, d=divisor: x % d, whole)
        check(lambda lib, x, d=divisor: x // d, whole)


@both_dtypes
def test_ties_share_the_gradient(dtype):
    a, b = np.array([1.0, 2.0, 3.0], dtype), np.array([3.0, 2.0, 1.0], dtype)
    for name in ("maximum", "minimum"):
        check(lambda lib, a, b, n=name: getattr(lib, n)(a, b), a, b)
        check(lambda lib, a, n=name: getattr(lib, n)(a, a), a)


@both_dtypes
@given(shapes=triples, layout=layouts, seed=seeds)
def test_where(dtype, shapes, layout, seed):
    condition = signed(seed, shapes[0], dtype) > 0
    a, b = signed(seed + 1, shapes[1], dtype), signed(seed + 2, shapes[2], dtype)
    how = ["contiguous", layout, layout]
    check(lambda lib, c, a, b: lib.where(c, a, b), np.asarray(condition), a, b, layout=how)


def test_where_with_numbers_and_masked_fill():
    mask, x = np.array([[True, False, True]]), signed(0, (2, 3), "float32")
    check(lambda lib, m, x: lib.where(m, x, 0.5), mask, x)
    check(lambda lib, m, x: lib.where(m, 2, x), mask, x)
    check(lambda lib, m: lib.where(m, 1.0, -1.0), mask)
    check(lambda lib, m: lib.where(m, 1, -1), mask)
    check(lambda lib, m, x: x.masked_fill(m, -math.inf), mask, x)
    check(lambda lib, m, x: x.where(m, x * 2), mask, x)
    check(lambda lib, m, x: x.masked_fill(m, 7), mask, np.arange(6).reshape(2, 3))
    with pytest.raises(ShapeError, match=r"^where: .*\(2,\).*\(3,\)"):
        minicnn.where(minicnn.tensor([True, False]), minicnn.zeros(3), minicnn.zeros(3))


# ---------------------------------------------------------------------------- one operand


@both_dtypes
@pytest.mark.parametrize(
    "name",
    ["neg", "abs", "exp", "log", "log1p", "sqrt", "square", "sin", "cos", "tanh", "sigmoid"],
)
@given(shape=shapes, layout=layouts, seed=seeds)
def test_unary(name, dtype, shape, layout, seed):
    make = positive if name in ("log", "log1p", "sqrt") else signed
    check(lambda lib, x: getattr(lib, name)(x), make(seed, shape, dtype), layout=layout)
    check(lambda lib, x: getattr(x, name)(), make(seed, shape, dtype))


@pytest.mark.parametrize("name", ["exp", "log", "sqrt", "sin", "cos", "tanh", "sigmoid", "log1p"])
def test_unary_of_integers_gives_float32(name):
    check(lambda lib, x: getattr(lib, name)(x), np.array([1, 2, 3]))
    check(lambda lib, x: getattr(lib, name)(x), np.array([True, True]))


@both_dtypes
def test_sigmoid_and_tanh_far_out(dtype):
    x = np.array([-1e4, -90, -20, 0, 20, 90, 1e4], dtype)
    # sigmoid(-90) = 8e-40 is below float32's normal numbers: absolute, not relative, there
    check(lambda lib, x: lib.sigmoid(x), x)
    check(lambda lib, x: lib.tanh(x), x)


def test_rounding_and_signs():
    x = np.array([-2.5, -1.5, -0.5, 0.0, 0.5, 1.5, 2.5])
    for name in ("round", "floor", "ceil", "sign"):
        ours = getattr(minicnn.tensor(x), name)()
        np.testing.assert_array_equal(ours.numpy(), getattr(torch.tensor(x), name)().numpy())
        assert not ours.requires_grad


def test_abs_and_neg_of_integers():
    x = np.array([-3, 0, 4])
    check(lambda lib, x: -x, x)
    check(lambda lib, x: abs(x), x)
    check(lambda lib, x: ~x, x)
    check(lambda lib, x: ~x, np.array([True, False]))
    check(lambda lib, x: +x, x)


@both_dtypes
@given(shape=shapes, bounds=st.sampled_from([(-0.5, 0.5), (None, 0.2), (0.1, None), (1.0, -1.0)]))
def test_clamp(dtype, shape, bounds):
    low, high = bounds
    check(lambda lib, x: lib.clamp(x, low, high), signed(1, shape, dtype))
    check(lambda lib, x: x.clip(min=low, max=high), signed(2, shape, dtype))


def test_clamp_at_its_edges_and_dtypes():
    check(lambda lib, x: x.clamp(0, 6), np.array([-1.0, 0, 3, 6, 7]))
    check(lambda lib, x: x.clamp(0, 6), np.array([-1.0, 0, 3, 6, 7], "float32"))
    check(lambda lib, x: x.clamp(2, 3), np.array([1, 2, 3, 4]))
    check(lambda lib, x: x.clamp(1.5, 2.5), np.array([1, 2, 3, 4]))
    check(lambda lib, x: x.clamp(0, 1), np.array([np.nan, 0.5, np.inf]))
    y = minicnn.ones(3).clamp(np.float64(0.5), np.float64(2))
    assert y.dtype == minicnn.float32
    with pytest.raises(ArgumentError, match=r"^clamp: .*min and max"):
        minicnn.ones(3).clamp()
    with pytest.raises(DtypeError, match=r"^clamp: .*numbers.*Tensor.*maximum"):
        minicnn.ones(3).clamp(minicnn.zeros(3))


@pytest.mark.parametrize("name", ["isnan", "isfinite", "logical_not"])
def test_predicates(name):
    x = np.array([1.0, 0.0, np.nan, np.inf, -np.inf])
    check(lambda lib, x: getattr(lib, name)(x), x)
    check(lambda lib, x: getattr(lib, name)(x), np.array([0, 1, 2]))


@pytest.mark.parametrize("name", ["eq", "ne", "lt", "le", "gt", "ge"])
def test_comparisons(name):
    a, b = np.array([[1.0], [2.0], [np.nan]]), np.array([1.0, 2.0, 3.0])
    check(lambda lib, a, b: getattr(operator, name)(a, b), a, b)
    check(lambda lib, a, b: getattr(lib, name)(a, b), a, b)
    check(lambda lib, a: getattr(a, name)(2), np.array([1, 2, 3]))
    check(lambda lib, a: getattr(operator, name)(2.5, a), np.array([1, 2, 3]))


@pytest.mark.parametrize("name", ["and_", "or_", "xor"])
def test_bitwise(name):
    function = getattr(operator, name)
    truths = np.array([True, True, False])
    check(lambda lib, a, b: function(a, b), truths, truths[::-1].copy())
    check(lambda lib, a, b: function(a, b), np.array([6, 3]), np.array([5, 5]))
    check(lambda lib, a: function(a, True), np.array([True, False]))
    check(lambda lib, a: function(6, a), np.array([5, 9]))


def test_division_by_zero_and_overflow_are_silent_as_in_torch():
    x = np.array([-1.0, 0.0, 1.0])
    check(lambda lib, x: x / 0, x)
    check(lambda lib, x: 1 / x, x)
    check(lambda lib, x: x / x, x)
    check(lambda lib, x: x.detach() // 0.0, x)
    check(lambda lib, x: lib.log(x), x)
    check(lambda lib, x: lib.sqrt(x), np.array([-1.0, 0.0, 4.0]))
    check(lambda lib, x: lib.exp(x * 1000), x)
    check(lambda lib, x: x**-1, x)
    check(lambda lib, x: x.mean(), np.zeros(0))


def test_integers_cannot_be_divided_by_zero():
    for function in (operator.floordiv, operator.mod):
        with pytest.raises(ArgumentError, match=r"zero"):
            function(minicnn.tensor([1, 2]), 0)
        with pytest.raises(ArgumentError, match=r"zero"):
            function(minicnn.tensor([1, 2]), minicnn.tensor([1, 0]))
    assert (minicnn.tensor([1, 2]) / 0).tolist() == [math.inf, math.inf]


def test_what_has_no_value_is_refused_in_one_line():
    flags = minicnn.tensor([True, False])
    for name, compute in {
        "sub": lambda: flags - flags,
        "neg": lambda: -flags,
        "pow": lambda: minicnn.tensor([2]) ** -1,
    }.items():
        with pytest.raises((DtypeError, ArgumentError), match=rf"^{name}: ") as caught:
            compute()
        assert "\n" not in str(caught.value)


def test_operands_that_do_not_fit():
    a = minicnn.zeros(2, 3)
    with pytest.raises(ShapeError, match=r"^add: shapes \(2, 3\) and \(2,\) do not broadcast"):
        a + minicnn.zeros(2)
    for other in (np.zeros(3), [1, 2, 3], "three", None, 1j, np.complex64(1)):
        with pytest.raises(DtypeError, match=r"^mul: expected a Tensor or a number, got"):
            a * other
    with pytest.raises(DtypeError, match=r"minicnn\.tensor\(\.\.\.\)"):
        np.zeros(3) + a
    with pytest.raises(TypeError):
        np.add(np.zeros(3), a)


@pytest.mark.parametrize(
    ("name", "wanted", "kept"),
    [
        ("add", "ab", ""), ("mul", "a", "b"), ("mul", "b", "a"), ("mul", "ab", "ab"),
        ("truediv", "a", "b"), ("truediv", "b", "by"), ("pow", "a", "ab"), ("pow", "b", "ay"),
        ("mod", "a", ""), ("mod", "b", "ab"), ("mul", "", ""),
    ],
)  # fmt: skip
def test_only_what_the_wanted_gradients_need_is_kept(name, wanted, kept):
    a, b = (minicnn.tensor([1.0, 2.0], requires_grad=n in wanted) for n in "ab")
    y = getattr(operator, name)(a, b)
    arrays = {"a": a.array, "b": b.array, "y": y.array}
    saved = y.grad_fn.saved_tensors if wanted else (None,) * 3
    for letter, array in zip("aby", saved, strict=True):
        assert array is (arrays[letter] if letter in kept else None), letter


def test_integers_of_one_shape_are_divided_as_floats():
    check(lambda lib, a, b: a / b, np.array([1, 2, 3]), np.array([2, 4, 5]))
