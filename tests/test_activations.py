"""Activations against torch, as functions and modules: forward, backward, kinks, NaN, refusals."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from oracle import DTYPES, LAYOUTS, check, distinct, normal, relative_error

import minicnn
import minicnn.nn.functional as F
from minicnn import nn
from minicnn.errors import ArgumentError, DtypeError, ShapeError
from minicnn.kernels.reference.erf import erf

# Functions with options, as calls in either library.
FUNCTIONS: dict[str, Any] = {
    "relu": lambda F, x: F.relu(x),
    "relu inplace": lambda F, x: F.relu(x * 1, True),
    "relu6": lambda F, x: F.relu6(x),
    "relu6 inplace": lambda F, x: F.relu6(x * 1, inplace=True),
    "hardtanh": lambda F, x: F.hardtanh(x),
    "hardtanh positional": lambda F, x: F.hardtanh(x, -0.3, 0.7, False),
    "hardtanh keywords": lambda F, x: F.hardtanh(x, max_val=2.0, min_val=1.0),
    "hardtanh of one value": lambda F, x: F.hardtanh(x, 1, 1),
    "leaky_relu": lambda F, x: F.leaky_relu(x),
    "leaky_relu slope": lambda F, x: F.leaky_relu(x, 0.2),
    "leaky_relu falling": lambda F, x: F.leaky_relu(x, negative_slope=-0.5),
    "leaky_relu integer": lambda F, x: F.leaky_relu(x, 2, inplace=False),
    "elu": lambda F, x: F.elu(x),
    "elu alpha": lambda F, x: F.elu(x, 0.3),
    "elu negative": lambda F, x: F.elu(x, alpha=-1.5),
    "sigmoid": lambda F, x: F.sigmoid(x),
    "tanh": lambda F, x: F.tanh(x),
    "silu": lambda F, x: F.silu(x),
    "gelu": lambda F, x: F.gelu(x),
    "gelu none": lambda F, x: F.gelu(x, approximate="none"),
    "gelu tanh": lambda F, x: F.gelu(x, approximate="tanh"),
}
MODULES: dict[str, Any] = {
    "ReLU": [{}, {"inplace": True}],
    "ReLU6": [{}, {"inplace": True}],
    "Hardtanh": [{}, {"min_val": 0.0, "max_val": 0.5}, {"inplace": True}],
    "LeakyReLU": [{}, {"negative_slope": 0.2}, {"inplace": True}],
    "ELU": [{}, {"alpha": 2.0}, {"inplace": True}],
    "Sigmoid": [{}],
    "Tanh": [{}],
    "SiLU": [{}, {"inplace": True}],
    "GELU": [{}, {"approximate": "tanh"}],
    "Softmax": [{"dim": 1}, {"dim": -1}],
    "LogSoftmax": [{"dim": 0}],
}
CASES = [(name, options) for name, cases in MODULES.items() for options in cases]
every_function = pytest.mark.parametrize("name", FUNCTIONS)
both_dtypes = pytest.mark.parametrize("dtype", DTYPES)
shapes = st.lists(st.integers(0, 4), max_size=4)
layouts = st.sampled_from([*LAYOUTS])


@both_dtypes
@every_function
@given(
    shape=shapes,
    scale=st.sampled_from([0.1, 3.0, 30.0]),
    layout=layouts,
    seed=st.integers(0, 999),
)
@example([2, 3, 4, 5], 3.0, "permuted", 0)
@example([], 3.0, "contiguous", 0)
def test_functions(name, dtype, shape, scale, layout, seed):
    x = np.asarray(scale * distinct(np.random.default_rng(seed), *shape), dtype)
    check(lambda lib, x: FUNCTIONS[name](lib.nn.functional, x), x, layout=layout)


@both_dtypes
@pytest.mark.parametrize(("name", "options"), CASES)
def test_modules(rung, dtype, name, options):
    x = 3 * normal(np.random.default_rng(0), 3, 4, 2, dtype=dtype)
    # times 1, as torch refuses to change a leaf in place
    check(lambda lib, x: getattr(lib.nn, name)(**options)(x * 1), x, rung=rung)


@pytest.mark.parametrize(("name", "options"), CASES)
def test_modules_print_and_save_like_torch(name, options):
    ours, theirs = (getattr(lib, name)(**options) for lib in (nn, torch.nn))
    assert repr(ours) == repr(theirs)
    assert ours.state_dict() == theirs.state_dict() == {}
    for key in options:
        assert getattr(ours, key) == getattr(theirs, key)


def test_modules_take_options_by_position():
    for make in (
        lambda nn: nn.Hardtanh(-2.0, 0.5, True),
        lambda nn: nn.LeakyReLU(0.3, True),
        lambda nn: nn.ELU(0.3, True),
        lambda nn: nn.GELU("tanh"),
        lambda nn: nn.ReLU6(True),
        lambda nn: nn.SiLU(True),
        lambda nn: nn.Softmax(2),
        lambda nn: nn.Softmax(),
        lambda nn: nn.Sequential(nn.ReLU(), nn.Tanh(), nn.LogSoftmax(1)),
    ):
        assert repr(make(nn)) == repr(make(torch.nn))


@every_function
def test_kinks_and_extremes(name):
    """At the kinks torch takes one of two slopes; that one. Infinities and NaN are kept apart."""
    points = [0.0, -0.0, 6.0, 1.0, -1.0, -0.3, 0.7, 2.0, 1e4, -1e4, 1e-30, -1e-30, 88.8, -104.0]
    for dtype in DTYPES:
        check(lambda lib, x: FUNCTIONS[name](lib.nn.functional, x), np.array(points, dtype))


@every_function
def test_nan_and_infinity(name):
    points = [math.nan, math.inf, -math.inf]
    if name.startswith("gelu"):  # inf·0 in one library or the other
        points = points[:1]
    ours, theirs = minicnn.tensor(points), torch.tensor(points)
    np.testing.assert_allclose(
        FUNCTIONS[name](F, ours).numpy(),
        FUNCTIONS[name](torch.nn.functional, theirs).numpy(),
        rtol=1e-6,
    )


def test_inplace_changes_nothing():
    x = minicnn.tensor([-2.0, 3.0, 7.0], requires_grad=True)
    for module in (
        nn.ReLU(inplace=True), nn.ReLU6(True), nn.LeakyReLU(inplace=True),
        nn.ELU(inplace=True), nn.SiLU(inplace=True), nn.Hardtanh(inplace=True),
    ):  # fmt: skip
        y = module(x)
        assert y is not x
        assert x.tolist() == [-2.0, 3.0, 7.0]
        y.sum().backward()


@pytest.mark.parametrize("name", [name for name in FUNCTIONS if name not in ("sigmoid", "tanh")])
def test_half_precision_is_computed_in_single(name):
    x = 2 * normal(np.random.default_rng(0), 50, dtype="float16")
    ours = minicnn.from_numpy(x).requires_grad_()
    theirs = torch.from_numpy(x.copy()).requires_grad_()
    y, z = FUNCTIONS[name](F, ours), FUNCTIONS[name](torch.nn.functional, theirs)
    y.sum().backward()
    z.sum().backward()
    assert y.dtype == minicnn.float16
    # one unit in the last place
    assert relative_error(y.detach().numpy(), z.detach().numpy()) < 1e-3
    assert relative_error(ours.grad.numpy(), theirs.grad.numpy()) < 1e-3


def test_integers_and_booleans():
    x, mask = [-3, 0, 2, 9], [True, False]
    for name in ("relu", "relu6", "hardtanh", "sigmoid", "tanh"):
        ours = getattr(F, name)(minicnn.tensor(x))
        theirs = getattr(torch.nn.functional, name)(torch.tensor(x))
        assert str(ours.dtype) == str(theirs.dtype).removeprefix("torch.")
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-6)
    for name in ("relu", "relu6", "hardtanh", "leaky_relu", "elu", "silu", "gelu"):
        with pytest.raises((RuntimeError, NotImplementedError)):
            getattr(torch.nn.functional, name)(torch.tensor(mask))
        with pytest.raises(DtypeError, match=rf"^{name}: .*bool.*\.float\(\)"):
            getattr(F, name)(minicnn.tensor(mask))
    for name in ("leaky_relu", "elu", "silu", "gelu", "softmax", "log_softmax"):
        options = {"dim": 0} if "softmax" in name else {}
        with pytest.raises(NotImplementedError):
            getattr(torch.nn.functional, name)(torch.tensor(x), **options)
        with pytest.raises(DtypeError, match=rf"^{name}: .*int64.*\.float\(\)"):
            getattr(F, name)(minicnn.tensor(x), **options)


def test_options_out_of_range_are_refused():
    x = minicnn.zeros(2)
    with pytest.raises(ArgumentError, match=r"^hardtanh: min_val 2 is larger than max_val 1"):
        F.hardtanh(x, 2, 1)
    with pytest.raises(ArgumentError, match=r"^Hardtanh: min_val 1 .* max_val 1"):
        nn.Hardtanh(1, 1)
    with pytest.raises(ArgumentError, match=r'^gelu: approximate .*"none" or "tanh".*\'erf\''):
        F.gelu(x, approximate="erf")
    with pytest.raises(ArgumentError, match=r"^GELU: approximate"):
        nn.GELU("erf")(x)
    with pytest.raises(
        ArgumentError, match=r"^leaky_relu: negative_slope must be a number, got 'steep'"
    ):
        F.leaky_relu(x, "steep")


# ----------------------------------------------------------------------------------------- softmax


@both_dtypes
@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
@given(
    shape=st.lists(st.integers(0, 4), max_size=4),
    dim=st.integers(-4, 3),
    scale=st.sampled_from([1.0, 1e3]),
    layout=layouts,
    seed=st.integers(0, 99),
)
@example([2, 0], 1, 1.0, "contiguous", 0)
@example([], 0, 1.0, "contiguous", 0)
def test_softmax(name, dtype, shape, dim, scale, layout, seed):
    dim %= max(len(shape), 1)
    x = np.asarray(scale * normal(np.random.default_rng(seed), *shape), dtype)
    check(lambda lib, x: getattr(lib.nn.functional, name)(x, dim), x, layout=layout)


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_softmax_dtype_and_names(name):
    for x in (np.arange(6).reshape(2, 3), normal(np.random.default_rng(0), 2, 3, dtype="float32")):
        check(
            lambda lib, x: getattr(lib.nn.functional, name)(x, dim=1, dtype=lib.float64),
            x,
            tolerance=1e-8,
        )
    with pytest.raises(ShapeError, match=rf"^{name}: dim 2 "):
        getattr(F, name)(minicnn.zeros(2, 3), 2)


@pytest.mark.parametrize("ndim", [1, 2, 3, 4])
def test_softmax_without_dim_warns_and_chooses_as_torch_does(ndim):
    x = normal(np.random.default_rng(0), *(2, 3, 4, 5)[:ndim])
    with pytest.warns(UserWarning, match=r"softmax: no dim was given; taking dim=\d"):
        ours = nn.Softmax()(minicnn.from_numpy(x))
    with pytest.warns(UserWarning, match="Implicit dimension"):
        theirs = torch.nn.Softmax()(torch.from_numpy(x))
    np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-12)
    with pytest.warns(UserWarning, match=r"^log_softmax: no dim"):
        F.log_softmax(minicnn.from_numpy(x))


# --------------------------------------------------------------------------------------------- erf


def test_erf_against_the_standard_library():
    x = np.concatenate([np.linspace(-7, 7, 20_001), np.geomspace(1e-300, 5, 1000)])
    exact = np.array([math.erf(v) for v in x])
    assert np.abs(erf(x) - exact).max() <= 1e-14
    assert np.abs(erf(x.astype("float32")) - exact).max() <= 5e-7
    assert erf(x.astype("float32")).dtype == np.float32


def test_erf_at_the_ends():
    assert erf(np.array([np.inf, -np.inf, 50.0, -50.0])).tolist() == [1, -1, 1, -1]
    assert np.isnan(erf(np.array([np.nan]))).all()
    assert erf(np.zeros((2, 0, 3))).shape == (2, 0, 3)
    assert float(erf(np.array(0.5))) == pytest.approx(0.5204998778130465, abs=1e-14)
