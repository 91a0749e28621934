"""Reductions and softmax against torch, forward and backward; and their edges."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracle import DTYPES, LAYOUTS, check, distinct, normal

import minicnn
from minicnn.errors import ArgumentError, DtypeError, ShapeError

both_dtypes = pytest.mark.parametrize("dtype", DTYPES)
filled = st.lists(st.integers(1, 4), max_size=4).map(tuple)
layouts = st.sampled_from([*LAYOUTS])
seeds = st.integers(0, 999)


def signed(seed: int, shape: tuple, dtype: str) -> np.ndarray:
    return normal(np.random.default_rng(seed), *shape, dtype=dtype)


def some_axes(ndim: int) -> st.SearchStrategy[Any]:
    """None, one axis, or several, counted from the front or the back."""
    if ndim == 0:
        return st.none()
    one = st.integers(-ndim, ndim - 1)
    many = st.lists(one, min_size=1, max_size=ndim, unique_by=lambda a: a % ndim).map(tuple)
    return st.none() | one | many


@both_dtypes
@pytest.mark.parametrize("name", ["sum", "mean", "amax", "amin", "var", "std", "norm"])
@given(data=st.data(), keepdim=st.booleans(), layout=layouts, seed=seeds)
def test_reductions(name, dtype, data, keepdim, layout, seed):
    shape = data.draw(filled)
    dim = data.draw(some_axes(len(shape)))
    x = distinct(np.random.default_rng(seed), *shape, dtype=dtype)
    axes = range(len(shape)) if dim is None else [dim] if isinstance(dim, int) else dim
    count = math.prod(shape[a] for a in axes)
    if name in ("var", "std", "norm") and (count < 2 or layout == "expanded"):
        return  # one number has no variance, and a root has no slope at variance 0
    if name == "norm" and isinstance(dim, tuple):
        dim = dim[0]  # torch takes two dimensions for those of a matrix
    if name in ("amax", "amin") and dim is None:
        dim = ()
    check(lambda lib, x: getattr(x, name)(dim=dim, keepdim=keepdim), x, layout=layout)


def test_reductions_over_nothing():
    check(lambda lib, x: x.sum(), np.zeros((0, 3)))
    check(lambda lib, x: x.sum(0), np.zeros((0, 3)))
    check(lambda lib, x: x.mean(1), np.zeros((0, 3)))
    check(lambda lib, x: x.prod(), np.zeros(0))
    assert math.isnan(minicnn.ones(1).var().item())  # torch warns
    check(lambda lib, x: x.argmax(1), np.zeros((0, 3)))
    check(lambda lib, x: x.max(1), np.zeros((0, 3)))
    check(lambda lib, x: x.amax(1), np.zeros((0, 3)))
    for name, op in {"max": "max", "argmax": "argmax", "amin": "min"}.items():
        with pytest.raises(ShapeError, match=rf"^{op}: .*\(0, 3\).*nothing to choose"):
            getattr(minicnn.zeros(0, 3), name)()
    with pytest.raises(ShapeError, match=r"^max: "):
        minicnn.zeros(0, 3).max(0)


def test_variance_with_other_divisors():
    x = signed(0, (3, 4), "float64")
    check(lambda lib, x: x.var(1, unbiased=False), x)
    check(lambda lib, x: x.std(0, correction=0), x)
    check(lambda lib, x: x.var(correction=2), x)


@both_dtypes
@pytest.mark.parametrize("name", ["max", "min"])
@given(data=st.data(), keepdim=st.booleans(), seed=seeds)
def test_extremes_along_one_dimension(name, dtype, data, keepdim, seed):
    shape = data.draw(filled)
    x = distinct(np.random.default_rng(seed), *shape, dtype=dtype)
    dim = data.draw(st.integers(-max(len(shape), 1), max(len(shape), 1) - 1))
    check(lambda lib, x: getattr(x, name)(dim, keepdim), x)
    check(lambda lib, x: getattr(x, "arg" + name)(dim, keepdim), x)
    check(lambda lib, x: getattr(lib, name)(x, dim, keepdim=keepdim), x)


def test_extremes_with_ties():
    x = np.array([[1.0, 3, 3], [2, 2, 2]])
    for name in ("max", "min"):
        check(lambda lib, x, n=name: getattr(x, n)(), x)  # shared among equals
        check(lambda lib, x, n=name: getattr(x, n)(1), x)  # to the first of equals
        check(lambda lib, x, n=name: getattr(x, "a" + n)(1), x)
        check(lambda lib, x, n=name: getattr(x, "arg" + n)(), x)
        check(lambda lib, x, n=name: getattr(lib, n)(x, x * 0 + 2), x)
    found = minicnn.tensor(x).max(1)
    assert found.values.tolist() == [3, 2]
    assert found.indices.tolist() == [1, 0]


def test_nan_wins_every_extreme():
    x = np.array([[1.0, np.nan, 3.0], [4.0, 5.0, 6.0]])
    for name in ("max", "min"):
        check(lambda lib, x, n=name: getattr(x.detach(), n)(), x)
        check(lambda lib, x, n=name: getattr(x, n)(1), x)
        check(lambda lib, x, n=name: getattr(x, "arg" + n)(1), x)


@both_dtypes
@given(data=st.data(), keepdim=st.booleans(), seed=seeds)
def test_prod(dtype, data, keepdim, seed):
    shape = data.draw(filled)
    x = np.random.default_rng(seed).choice([0.0, 0.5, 1.5, -2.0], shape)
    x = np.asarray(x, dtype)
    check(lambda lib, x: x.prod(), x)
    if shape:
        dim = data.draw(st.integers(-len(shape), len(shape) - 1))
        check(lambda lib, x: x.prod(dim, keepdim), x)


def test_norms():
    x = signed(0, (3, 4), "float64")
    for p in (1, 2, 3, math.inf):
        check(lambda lib, x, p=p: x.norm(p), x)
        check(lambda lib, x, p=p: x.norm(p, dim=1, keepdim=True), x)
    check(lambda lib, x: x.norm(), np.zeros(3))
    check(lambda lib, x: x.norm(dim=1), np.array([[0.0, 0.0], [3.0, 4.0]]))


def test_reductions_of_integers_and_booleans():
    for x in (
        np.array([[200, 100]], np.uint8),
        np.array([[True, True]]),
        np.array([[2, -3]], np.int32),
    ):
        for name in ("sum", "prod"):
            check(lambda lib, x, n=name: getattr(x, n)(), x)
        check(lambda lib, x: x.sum(1), x)
        check(lambda lib, x: x.cumsum(1), x)
        check(lambda lib, x: x.all(), x != 0)
        check(lambda lib, x: x.any(dim=1), x != 0)
        with pytest.raises(DtypeError, match=r"^mean: .*\.float\(\)"):
            minicnn.tensor(x).mean()
    check(lambda lib, x: x.max(), np.array([3, 9, 1]))
    check(lambda lib, x: x.sum(dtype=lib.float64), np.array([1, 2], np.int32))


def test_reductions_under_numpys_names():
    x = minicnn.tensor(signed(0, (2, 3), "float64"))
    np.testing.assert_allclose(x.sum(axis=1).numpy(), x.numpy().sum(1))
    np.testing.assert_allclose(
        x.mean(axis=0, keepdims=True).numpy(), x.numpy().mean(0, keepdims=True)
    )
    np.testing.assert_array_equal(x.argmax(axis=1).numpy(), x.numpy().argmax(1))
    np.testing.assert_array_equal(minicnn.argmax(x, axis=1).numpy(), x.numpy().argmax(1))
    with pytest.raises(ArgumentError, match=r"dim or axis"):
        x.sum(0, axis=1)
    with pytest.raises(ShapeError, match=r"^sum: dim 2 .*-2 to 1"):
        x.sum(2)
    with pytest.raises(ShapeError, match=r"^sum: .*twice"):
        x.sum((0, -2))


@both_dtypes
@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
@given(
    data=st.data(),
    layout=st.sampled_from(["contiguous", "permuted", "strided"]),  # equal ones: gradient 0
    seed=seeds,
)
def test_softmax(name, dtype, data, layout, seed):
    shape = data.draw(filled)
    ndim = max(len(shape), 1)
    dim = data.draw(st.integers(-ndim, ndim - 1))
    x = signed(seed, shape, dtype)
    check(lambda lib, x: getattr(lib, name)(x, dim), x, layout=layout)
    check(lambda lib, x: getattr(lib.nn.functional, name)(x, dim=dim), x, layout=layout)


def test_softmax_of_extremes():
    for name in ("softmax", "log_softmax"):
        for dtype in DTYPES:
            x = 50 * signed(0, (3, 4), dtype)
            check(lambda lib, x, n=name: getattr(lib, n)(x.detach(), 1), x)
        check(lambda lib, x, n=name: getattr(lib, n)(x, 1), np.array([[1e4, 0, -1e4]]))
        check(lambda lib, x, n=name: getattr(lib, n)(x, 0), np.zeros((0, 3)))
        check(lambda lib, x, n=name: getattr(lib, n)(x, 1), np.zeros((0, 3)))
        check(lambda lib, x, n=name: getattr(lib, n)(x, 0), np.array([0.0, -np.inf]))
    with pytest.raises(DtypeError, match=r"^softmax: .*int64"):
        minicnn.tensor([1, 2]).softmax(0)


def test_cumsum():
    for axis in (0, 1, -1):
        check(lambda lib, x, axis=axis: x.cumsum(axis), signed(0, (2, 3), "float32"))
    check(lambda lib, x: x.cumsum(0), np.array([True, False, True]))
