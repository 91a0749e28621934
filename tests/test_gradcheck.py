"""gradcheck: it finds what is wrong, says where, and accuses nobody who is right."""

from __future__ import annotations

import functools
import subprocess
import sys
import types

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minicnn
import minicnn.nn as nn
import minicnn.nn.functional as F
from minicnn.autograd import Function, gradcheck
from minicnn.autograd.slopes import Curves
from minicnn.errors import ArgumentError, DtypeError, GradcheckError, ShapeError
from minicnn.kernels import reference


@pytest.fixture(autouse=True)
def on_numpy():
    """The check is the same on every rung, and this one compiles nothing."""
    with minicnn.use_backend("numpy"):
        yield


def normal(*shape: int, seed: int = 0, requires_grad: bool = True) -> minicnn.Tensor:
    array = np.asarray(np.random.default_rng(seed).standard_normal(shape))
    return minicnn.tensor(array, requires_grad=requires_grad)


def found(func, *inputs, **options) -> GradcheckError:
    """The error that gradcheck raises; it is one line, and False without exceptions."""
    with pytest.raises(GradcheckError) as caught:
        gradcheck(func, inputs, **options)
    assert not gradcheck(func, inputs, raise_exception=False, **options)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("gradcheck of ")
    return caught.value


def square(gradient) -> type[Function]:
    """x², with a gradient of the test's own."""

    class Square(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx, dy):
            return gradient(*ctx.saved_tensors, dy)

    return Square


def product(gradient_a, gradient_b) -> type[Function]:
    """a @ b, with gradients of the test's own."""

    class Product(Function):
        @staticmethod
        def forward(ctx, a, b):
            ctx.save_for_backward(a, b)
            return a @ b

        @staticmethod
        def backward(ctx, dy):
            a, b = ctx.saved_tensors
            return gradient_a(a, b, dy), gradient_b(a, b, dy)

    return Product


def plus(gradient_bias) -> type[Function]:
    """x (N, C) + bias (C,), with a bias gradient of the test's own."""

    class Plus(Function):
        @staticmethod
        def forward(ctx, x, bias):
            return x + bias

        @staticmethod
        def backward(ctx, dy):
            return dy, gradient_bias(dy)

    return Plus


def changed(array, place, change):
    array = np.array(array)
    array[place] = change(array[place])
    return array


# --------------------------------------------------------------------------- what is wrong is found


def test_a_wrong_sign_in_one_entry():
    x = normal(4, 5)
    wrong = square(lambda x, dy: changed(2 * x * dy, (1, 2), np.negative))
    error = found(wrong.apply, x)
    assert (error.input, error.entry) == (0, (1, 2))
    right = 2 * x[1, 2].item()
    assert error.analytic == pytest.approx(-right)
    assert error.numeric == pytest.approx(right)
    assert str(error).startswith(
        f"gradcheck of Square: input 0 (x) is wrong at entry (1, 2): the slope of output entry "
        f"(1, 2) is {-right:.6g} by backward, {right:.6g} ± "
    )
    assert f"a difference of {-2 * right:.6g}. 1 of 20 entries disagree." in str(error)
    assert "special case at this place" in str(error)


def test_a_missing_factor():
    error = found(square(lambda x, dy: x * dy).apply, normal(3, 2))
    assert "6 of 6 entries disagree. Every entry is 0.5 times what it should be" in str(error)
    error = found(square(lambda x, dy: -2 * x * dy).apply, normal(3, 2))
    assert "Every entry has the wrong sign." in str(error)


def test_a_transposed_gradient():
    wrong = product(lambda a, b, dy: dy @ b.T, lambda a, b, dy: (a.T @ dy).T)
    error = found(wrong.apply, normal(3, 3), normal(3, 3, seed=1))
    assert error.input == 1
    assert error.entry[0] != error.entry[1]
    assert "input 1 (b)" in str(error)
    assert "6 of 9 entries disagree" in str(error)
    assert "transposed: swap the axes back" in str(error)


def test_permuted_and_mirrored_gradients():
    wrong = product(lambda a, b, dy: (dy @ b.T)[::-1], lambda a, b, dy: a.T @ dy)
    error = found(wrong.apply, normal(4, 3), normal(3, 2, seed=1))
    assert error.input == 0
    assert "mirrored along dim 0" in str(error)
    order = [2, 0, 3, 1]
    wrong = product(lambda a, b, dy: (dy @ b.T)[order], lambda a, b, dy: a.T @ dy)
    error = found(wrong.apply, normal(4, 3), normal(3, 2, seed=1))
    assert error.input == 0
    assert "right numbers in the wrong places" in str(error)


def test_two_entries_exchanged():
    """Their sum is right: a direction of ones, or of signs, could miss it."""

    def exchanged(x, dy):
        gradient = 2 * x * dy
        gradient[0, 0], gradient[2, 1] = gradient[2, 1], gradient[0, 0]
        return gradient

    for seed in range(20):
        error = found(square(exchanged).apply, normal(3, 2), seed=seed)
        assert error.entry in ((0, 0), (2, 1))
        assert "2 of 6 entries disagree" in str(error)


def test_a_forgotten_input():
    forgotten = product(lambda a, b, dy: dy @ b.T, lambda a, b, dy: None)
    error = found(forgotten.apply, normal(2, 3), normal(3, 4))
    assert error.input == 1
    assert "is None by backward" in str(error)
    assert "12 of 12 entries disagree. Return this input's gradient from backward" in str(error)
    zero = product(lambda a, b, dy: np.zeros_like(a), lambda a, b, dy: a.T @ dy)
    error = found(zero.apply, normal(2, 3), normal(3, 4))
    assert error.input == 0
    assert "backward gives 0 for the whole input: is its gradient forgotten?" in str(error)


def test_an_input_cut_off_with_detach():
    error = found(lambda x, w: x * w.detach(), normal(2, 3), normal(3))
    assert error.input == 1
    assert "gradcheck of a lambda ending in Mul: input 1 (w)" in str(error)
    assert ".detach()" in str(error)


def test_a_missing_sum_over_the_broadcast_axis():
    error = found(plus(lambda dy: dy).apply, normal(4, 5), normal(5))
    assert "Plus.backward: gradient 1 has shape (4, 5), its input (5,)" in str(error)
    assert "Sum it over the broadcast axes" in str(error)
    error = found(plus(lambda dy: dy[0]).apply, normal(4, 5), normal(5))
    assert error.input == 1
    assert "5 of 5 entries disagree" in str(error)
    error = found(plus(lambda dy: dy.sum(1)).apply, normal(4, 4), normal(4))  # the wrong axis
    assert error.input == 1


def test_the_wrong_number_of_gradients_and_an_exception():
    error = found(plus(lambda dy: dy.sum(0, keepdims=False)[:3]).apply, normal(4, 5), normal(5))
    assert "gradient 1 has shape (3,), its input (5,)" in str(error)
    error = found(square(lambda x, dy: (dy, dy)).apply, normal(2))
    assert "Square.backward returned 2 gradients for 1 arguments" in str(error)
    error = found(square(lambda x, dy: x @ dy.reshape(7)).apply, normal(2))
    assert "backward raises ValueError: " in str(error)
    assert isinstance(error.__cause__, ValueError)


def test_a_gradient_that_ignores_the_incoming_one():
    error = found(square(lambda x, dy: 2 * x).apply, normal(3, 2))
    assert "does not grow with the gradient that it is given: multiply by it" in str(error)


def test_a_gradient_that_is_no_number():
    wrong = square(lambda x, dy: changed(2 * x * dy, (0, 3), lambda _: np.nan))
    error = found(wrong.apply, normal(2, 5))
    assert (error.input, error.entry) == (0, (0, 3))
    assert "nan by backward" in str(error)
    wrong = square(lambda x, dy: changed(2 * x * dy, 7_003, lambda _: np.inf))
    assert found(wrong.apply, normal(20_000)).entry == (7_003,)


def test_a_second_output():
    class Both(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * 3, x * x

        @staticmethod
        def backward(ctx, first, second):
            (x,) = ctx.saved_tensors
            return 3 * first + changed(2 * x * second, (2,), lambda g: g / 2)

    error = found(lambda x: Both.apply(x), normal(4))
    assert error.entry == (2,)
    assert "the slope of output 1 entry (2,) is" in str(error)


def test_an_output_whose_gradient_did_not_arrive():
    """Wrong only if the second output gets no gradient, which materialize_grads=False allows."""

    class Both(Function):
        materialize_grads = False

        @staticmethod
        def forward(ctx, x):
            return x * 3, x * 2

        @staticmethod
        def backward(ctx, first, second):
            return (
                3 * first
                if second is None
                else 4 * second
                if first is None
                else first * 3 + second * 2
            )

    error = found(Both.apply, normal(4))
    assert "Every entry is 2 times what it should be" in str(error)


def test_pooling_that_sends_the_gradient_to_the_wrong_pixel():
    kernels = types.SimpleNamespace(
        max_pool2d_grad=lambda dy, indices, shape: reference.max_pool2d_grad(
            dy, (indices // shape[3] + indices % shape[3] * shape[3]).astype(np.int32), shape
        )
    )
    kernels.__name__ = "mine"
    with minicnn.use_backend(kernels):
        error = found(lambda x: F.max_pool2d(x, 2), normal(1, 2, 4, 4))
    assert error.input == 0
    assert "gradcheck of a lambda ending in MaxPool2d" in str(error)


def test_a_wrong_kernel_of_ones_own():
    def conv2d_weight_grad(dy, x, shape, stride, padding, dilation, groups, *, out=None):
        right = reference.conv2d_weight_grad(dy, x, shape, stride, padding, dilation, groups)
        return right[..., ::-1, ::-1].copy()

    kernels = types.SimpleNamespace(conv2d_weight_grad=conv2d_weight_grad, __name__="mine")
    inputs = normal(2, 2, 6, 5), normal(3, 2, 3, 3, seed=1), normal(3, seed=2)
    conv = functools.partial(F.conv2d, stride=2, padding=1)
    with minicnn.use_backend(kernels):
        error = found(conv, *inputs)
    assert error.input == 1
    assert str(error).startswith("gradcheck of conv2d: input 1 (weight) is wrong at entry (")
    assert "mirrored along dim 2, 3: flip them back" in str(error)
    assert gradcheck(conv, inputs)


@given(
    shape=st.lists(st.integers(1, 6), max_size=3),
    place=st.integers(0, 10**6),
    factor=st.sampled_from([-1.0, 0.0, 0.98, 1.005, 2.0, 1e6]),
    seed=st.integers(0, 99),
)
def test_any_wrong_entry_is_found(shape, place, factor, seed):
    entry = np.unravel_index(place % int(np.prod(shape)), shape)
    wrong = square(lambda x, dy: changed(2 * x * dy, entry, lambda g: g * factor))
    x = minicnn.tensor(normal(*shape, seed=seed).detach().numpy() + 3, requires_grad=True)
    error = found(wrong.apply, x, seed=seed)
    assert error.entry == tuple(map(int, entry))
    assert error.numeric == pytest.approx(2 * x.array[entry], rel=1e-6)


@pytest.mark.parametrize("factor", [-1.0, 1.02])
def test_one_wrong_entry_among_twenty_thousand(factor):
    wrong = square(lambda x, dy: changed(2 * x * dy, (93, 177), lambda g: g * factor))
    x = normal(100, 200)
    with minicnn.no_grad():
        x[93, 177] = 1.5
    error = found(wrong.apply, x)
    assert error.entry == (93, 177)
    assert "entries looked at disagree" in str(error)


def test_small_gradients_are_judged_by_their_own_size():
    """Of a mean, every entry is far below atol."""
    x = normal(50, 40)
    assert gradcheck(lambda x: (x * x).mean(), x)
    error = found(lambda x: square(lambda x, dy: -2 * x * dy).apply(x).mean() * 1e-3, x)
    assert "wrong sign" in str(error)


def test_what_tolerances_allow():
    nearly = square(lambda x, dy: 2 * x * dy * (1 + 1e-4))
    assert gradcheck(nearly.apply, normal(3, 4))
    assert not gradcheck(nearly.apply, normal(3, 4), rtol=1e-5, atol=0, raise_exception=False)
    shifted = square(lambda x, dy: 2 * x * dy + 1e-3)
    assert gradcheck(shifted.apply, normal(3, 4), atol=1e-2)
    assert not gradcheck(shifted.apply, normal(3, 4), raise_exception=False)


# --------------------------------------------------------------------- what is right is not accused


def integers(*shape: int, seed: int) -> minicnn.Tensor:
    """Small whole numbers: full of ties, of zeros, and of values at the bounds."""
    array = np.random.default_rng(seed).integers(-1, 2, shape).astype("float64")
    return minicnn.tensor(array, requires_grad=True)


KINKS = {
    "relu": F.relu,
    "leaky_relu": F.leaky_relu,
    "hardtanh at its limits": F.hardtanh,
    "abs": lambda x: x.abs(),
    "clamp at its limits": lambda x: x.clamp(0, 1),
    "max_pool2d": lambda x: F.max_pool2d(x, 2),
    "max_pool2d, overlapping": lambda x: F.max_pool2d(x, 3, 1, padding=1),
    "max along a dim": lambda x: x.max(2).values,
    "amax": lambda x: x.amax((1, 3)),
    "maximum": lambda x: x.maximum(x.flip(3)),
    "l1_loss": lambda x: F.l1_loss(x, minicnn.zeros_like(x)),
    "huber_loss at its corner": lambda x: F.huber_loss(x, minicnn.zeros_like(x)),
    "norm at 0": lambda x: (x * 0 + x.relu()).norm(dim=3),
    "relu of products": lambda x: (x * x.flip(2)).relu().sum(3).relu(),
    "sqrt at 0": lambda x: x.abs().sqrt(),
    "smooth": lambda x: (x * x).exp(),
    "constant": lambda x: x * 0 + 1,
    "no rung of its own": lambda x: x.view(-1)[::3],
}


@pytest.mark.parametrize("name", KINKS)
def test_right_functions_at_kinks(name):
    for seed in range(8):
        with minicnn.use_backend("numpy"):
            assert gradcheck(KINKS[name], integers(2, 2, 4, 6, seed=seed), seed=seed)


@pytest.mark.parametrize("name", KINKS)
def test_wrong_functions_at_kinks_are_accused_all_the_same(name):
    """The kink is no alibi: the gradient is doubled, which is wrong at the points nearby too."""

    class Doubled(Function):
        @staticmethod
        def forward(ctx, x):
            return x * 1

        @staticmethod
        def backward(ctx, dy):
            return 2 * dy

    if name == "constant":
        return
    for seed in range(3):
        x = integers(2, 2, 4, 6, seed=seed)
        with minicnn.use_backend("numpy"):
            error = found(lambda x: KINKS[name](Doubled.apply(x)), x, seed=seed)
        assert "2 times what it should be" in str(error)


def test_kinks_nearer_than_the_step():
    for distance in (0.0, 1e-9, -1e-8, 3e-7, -5e-7, 9e-7, 2e-6):
        x = minicnn.tensor(np.full((3, 4), distance), requires_grad=True)
        assert gradcheck(F.relu, x)


def test_points_where_the_domain_ends():
    end = minicnn.tensor(np.ones((4, 5)), requires_grad=True)
    assert gradcheck(lambda x: (x - 1).sqrt(), end)
    assert gradcheck(lambda x: (1 - x).sqrt(), end)
    assert gradcheck(lambda x: x.log(), minicnn.tensor(np.full(30, 1e-4), requires_grad=True))


def test_many_kinks_in_a_large_input():
    x = normal(300, 1000)
    with minicnn.use_backend("numpy"):
        assert gradcheck(F.relu, x)


def test_functions_that_jump_or_have_no_slope_anywhere():
    assert gradcheck(lambda x: x * 2 + (x > 0).double(), integers(3, 4, seed=0))
    weierstrass = lambda x: sum((x * 7**n).sin() * 2.0**-n for n in range(1, 16))  # noqa: E731
    error = found(weierstrass, normal(5))
    assert "no derivative here: slope " in str(error)
    assert "Choose inputs without jumps" in str(error)


def test_functions_that_compute_in_few_digits():
    assert gradcheck(lambda x: x.float().exp().double(), normal(3, 4))
    error = found(lambda x: x.float().exp(), normal(3, 4))
    assert "output 0 is float32, too coarse" in str(error)


def test_a_loss_near_0_whose_digits_are_lost():
    """1e-8 = log(1 + 1e-8): its noise is of the size of 1, not of its own."""
    logits = np.array([[18.0, 0.1, -0.3], [0.2, 19.0, 0.0]])
    labels = minicnn.tensor([0, 1])
    for seed in range(20):
        x = minicnn.tensor(logits + 0.1 * normal(2, 3, seed=seed).array, requires_grad=True)
        assert gradcheck(lambda x: F.cross_entropy(x, labels), x, seed=seed)


def test_infinities_that_stay_are_no_trouble():
    mask = minicnn.tensor([[True, False, False]])
    assert gradcheck(lambda x: x.masked_fill(mask, -np.inf).exp(), normal(2, 3))
    assert gradcheck(lambda x: x.masked_fill(mask, -np.inf), normal(2, 3))
    error = found(lambda x: (x - 10).log(), normal(2, 3))
    assert "output 0 is NaN at these inputs. Choose others." in str(error)


# ---------------------------------------------------------------------------- the slopes themselves


@given(
    at=st.floats(-1.2, 1.2),
    jump=st.floats(-10, 10),
    wave=st.sampled_from([1.0, 1e3, 1e5, 1e6]),
    bend=st.floats(-10, 10),
    size=st.sampled_from([1e-3, 1.0, 1e3]),
)
def test_the_error_covers_the_truth(at, jump, wave, bend, size):
    """f(x) = size·(sin(wave·x + 1) + bend·x² + jump·max(x - kink, 0))."""
    eps = 1e-6
    kink = at * eps

    def f(point):
        (x,) = point
        return [size * (np.sin(wave * x + 1) + bend * x * x + jump * np.maximum(x - kink, 0.0))]

    slope = Curves(f, [np.zeros(1)], eps).sample([np.ones(1)], eps).slope([np.ones(1)])
    allowed = [size * wave * np.cos(1.0)] if kink >= 0 else []
    allowed += [size * (wave * np.cos(1.0) + jump)] if kink <= 0 else []
    for truth in allowed:
        assert abs(slope.value - truth) <= slope.error
    if abs(at) > 1 and wave == 1:
        assert slope.error < 1e-7 * size * (1 + abs(bend) + abs(jump))  # and it is no excuse


# -------------------------------------------------------------------------------- other accusations


def test_random_numbers_are_noticed():
    error = found(lambda x: F.dropout(x, 0.5), normal(4, 5))
    assert "two runs on equal inputs differ by" in str(error)
    assert "minicnn.manual_seed" in str(error)

    def same_mask(x):
        minicnn.manual_seed(7)
        return F.dropout(x, 0.5)

    assert gradcheck(same_mask, normal(4, 5))

    noise = np.random.default_rng(0)
    shaky = square(lambda x, dy: 2 * x * dy * (1 + 1e-9 * noise.standard_normal()))
    assert "two runs" in str(found(shaky.apply, normal(3)))
    assert gradcheck(shaky.apply, normal(3), nondet_tol=1e-6)


def test_changes_of_the_inputs_are_noticed():
    class Doubling(Function):
        @staticmethod
        def forward(ctx, x):
            x *= 2
            return x * 1

        @staticmethod
        def backward(ctx, dy):
            return 2 * dy

    error = found(Doubling.apply, normal(3))
    assert "func changes input 0 in place. Work on a copy" in str(error)
    assert error.input == 0

    def changes_index(x, index):
        index.array[0] = 0
        return x[index]

    error = found(changes_index, normal(3), minicnn.tensor([1, 2]))
    assert error.input == 1

    def writes(x, dy):
        dy *= 2 * x
        return dy

    error = found(square(writes).apply, normal(3))
    assert "backward changes its argument 0" in str(error)

    def spoils(x, dy):
        gradient = 2 * x * dy
        x += 1
        return gradient

    assert "backward changes input 0" in str(found(square(spoils).apply, normal(3)))


def test_outputs_that_do_not_depend_on_an_input():
    error = found(lambda x, w: x * 2, normal(3), normal(2))
    assert error.input == 1
    assert "no output depends on input 1. Pass allow_unused=True" in str(error)
    assert gradcheck(lambda x, w: x * 2, (normal(3), normal(2)), allow_unused=True)
    error = found(lambda x: x.detach() * 2, normal(3))
    assert "no output depends on the inputs as far as the tape knows" in str(error)
    error = found(lambda x: [x * 2, 3], normal(3))
    assert "output 1 is a int. Return a tensor or a tuple of them." in str(error)


# ----------------------------------------------------------------------------- how it can be called


def test_what_may_be_checked():
    x, w, b = normal(2, 3, 6, 5), normal(4, 3, 3, 2, seed=1), normal(4, seed=2)
    assert gradcheck(F.conv2d, (x, w, b)) is True
    assert gradcheck(F.conv2d, [x, w, b, 2], projections=1)
    assert gradcheck(F.relu, x, eps=1e-5, seed=3)
    assert gradcheck(lambda x: x.max(1), x)  # a named tuple, with indices
    assert gradcheck(lambda x: (x.argmax(), x * 2), x)
    assert gradcheck(lambda x: x.unbind(1), x)
    assert gradcheck(nn.Linear(5, 2, dtype=minicnn.float64), x)
    assert gradcheck(lambda a, b: a * b, (x, x))  # one tensor as two inputs
    assert gradcheck(lambda x, factor: x * factor, (x, 3.0))
    assert gradcheck(lambda x: x.sum(), minicnn.zeros(0, 3, dtype=minicnn.float64).requires_grad_())
    assert gradcheck(lambda x: x * x, minicnn.tensor(3.0, dtype=minicnn.float64).requires_grad_())
    assert gradcheck(lambda x: x + 1, (x * 2,))  # computed, not a leaf
    frozen = w.detach()
    assert gradcheck(F.conv2d, (x, frozen))
    layer = nn.Conv2d(3, 4, 3, dtype=minicnn.float64)
    assert gradcheck(lambda x, weight: F.conv2d(x, weight, layer.bias), (x, layer.weight))
    assert layer.weight.grad is None
    assert layer.bias.grad is None


def test_nothing_of_the_users_changes():
    x, w = normal(3, 4), normal(4, seed=1)
    x.grad = minicnn.ones_like(x)
    before = [x.array.copy(), w.array.copy()]
    state = minicnn.get_rng_state()
    assert gradcheck(lambda x, w: (x * w).relu(), (x, w))
    found(lambda x, w: square(lambda x, dy: x).apply(x) * w, x, w)
    for tensor, array in zip((x, w), before, strict=True):
        np.testing.assert_array_equal(tensor.array, array)
    assert x.grad.tolist() == np.ones((3, 4)).tolist()
    assert w.grad is None
    assert minicnn.get_rng_state() == state
    assert minicnn.is_grad_enabled()
    with minicnn.no_grad():
        assert gradcheck(F.relu, x)


def test_it_is_loaded_when_first_used():
    code = """
import sys, minicnn
assert "minicnn.autograd.checking" not in sys.modules
assert "gradcheck" in minicnn.autograd.__all__
x = minicnn.ones(2, dtype=minicnn.float64, requires_grad=True)
print(minicnn.autograd.gradcheck(lambda x: x * x, x))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "True\n"), done.stderr


def test_the_same_call_says_the_same():
    wrong = square(lambda x, dy: x * dy)
    assert len({str(found(wrong.apply, normal(3, 4))) for _ in range(3)}) == 1


def test_the_number_of_evaluations():
    """Few, at any size: that is what random projections are for."""
    for size in (1, 100_000):
        calls = []

        def counted(x, calls=calls):
            calls.append(x)
            return x * x

        assert gradcheck(counted, normal(size), projections=3)
        assert len(calls) == 4 + 3 * 5  # two runs and two backwards first


def test_what_is_refused():
    x = normal(3)
    with pytest.raises(DtypeError, match=r"^gradcheck: input 0 is float32.*\.double\(\)"):
        gradcheck(F.relu, minicnn.ones(3, requires_grad=True))
    for inputs in (normal(3, requires_grad=False), (), (3.0, "x")):
        with pytest.raises(ArgumentError, match=r"^gradcheck: none of the inputs.*requires_grad_"):
            gradcheck(F.relu, inputs)
    for options in ({"eps": 0}, {"eps": -1e-6}, {"atol": -1}, {"rtol": np.nan}, {"projections": 0}):
        name = next(iter(options))
        with pytest.raises(ArgumentError, match=f"^gradcheck: {name} must be at least"):
            gradcheck(F.relu, x, **options)
    with pytest.raises(ShapeError, match=r"^max_pool2d"):  # forward's own refusal is no verdict
        gradcheck(lambda x: F.max_pool2d(x, 2), x, raise_exception=False)
