"""Convolution, unfold, pooling and ReLU on every rung against torch: forward and backward.

Cases are drawn as sizes and a seed, never as arrays, so that a failure prints one line.
"""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from oracle import DTYPES, LAYOUTS, check, distinct, normal

import minicnn
import minicnn.nn.functional as F
from minicnn.errors import ArgumentError, DtypeError, ShapeError

Case = dict[str, Any]
both_dtypes = pytest.mark.parametrize("dtype", DTYPES)
layouts = st.sampled_from([*LAYOUTS])
seeds = st.integers(0, 999)


@st.composite
def windows(draw: st.DrawFn, half_padding: bool = False) -> Case:
    """Draw a window and an image that it fits in; height and width on their own, so not square."""
    axes = []
    for _ in range(2):
        kernel = draw(st.integers(1, 4))
        stride, dilation = draw(st.integers(1, 3)), draw(st.integers(1, 3))
        padding = draw(st.integers(0, kernel // 2 if half_padding else 3))
        least = max(1, dilation * (kernel - 1) + 1 - 2 * padding, dilation if half_padding else 1)
        axes.append((draw(st.integers(least, least + 4)), kernel, stride, padding, dilation))
    names = ("size", "kernel", "stride", "padding", "dilation")
    return dict(zip(names, zip(*axes, strict=True), strict=True))


def window(size, kernel, stride=(1, 1), padding=(0, 0), dilation=(1, 1)) -> Case:
    return {
        "size": size, "kernel": kernel, "stride": stride, "padding": padding, "dilation": dilation,
    }  # fmt: skip


def rng_of(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


# ------------------------------------------------------------------------------ convolution


@both_dtypes
@given(
    win=windows(),
    batch=st.sampled_from([None, 0, 1, 2]),
    groups=st.integers(1, 2),
    filters=st.integers(1, 2),
    channels=st.integers(1, 2),
    bias=st.booleans(),
    layout=layouts,
    seed=seeds,
)
@example(window((5, 4), (3, 2), (2, 1), (1, 2), (1, 2)), 2, 2, 2, 1, True, "permuted", 0)
@example(window((3, 3), (3, 3)), 1, 1, 1, 1, True, "contiguous", 0)  # one output pixel
@example(window((1, 1), (3, 3), padding=(1, 1)), 2, 1, 2, 3, True, "strided", 0)
@example(window((7, 9), (3, 3), (4, 5), (1, 0)), 2, 1, 3, 2, False, "expanded", 0)  # gaps
def test_conv2d(rung, dtype, win, batch, groups, filters, channels, bias, layout, seed):
    rng, K = rng_of(seed), groups * filters
    images = () if batch is None else (batch,)
    x = normal(rng, *images, groups * channels, *win["size"], dtype=dtype)
    w = normal(rng, K, channels, *win["kernel"], dtype=dtype)
    b = [normal(rng, K, dtype=dtype)] if bias else []
    geometry = (win["stride"], win["padding"], win["dilation"], groups)

    def conv2d(lib, x, w, b=None):
        return lib.nn.functional.conv2d(x, w, b, *geometry)

    check(conv2d, x, w, *b, rung=rung, layout=layout)


def test_conv2d_computes_only_the_gradients_asked_for(rung):
    rng = rng_of(0)
    arrays = [normal(rng, *s) for s in ((2, 3, 5, 6), (4, 3, 3, 2), (4,))]
    for wanted in ((True, False, False), (False, True, False), (False, False, True)):
        x, w, b = (minicnn.tensor(a, requires_grad=r) for a, r in zip(arrays, wanted, strict=True))
        tx, tw, tb = (torch.tensor(a, requires_grad=r) for a, r in zip(arrays, wanted, strict=True))
        with minicnn.use_backend(rung):
            y = F.conv2d(x, w, b, stride=2, padding=1)
        ty = torch.nn.functional.conv2d(tx, tw, tb, stride=2, padding=1)
        cotangent = normal(rng, *ty.shape)
        y.backward(minicnn.tensor(cotangent))
        ty.backward(torch.tensor(cotangent))
        for ours, theirs in zip((x, w, b), (tx, tw, tb), strict=True):
            assert (ours.grad is None) == (theirs.grad is None)
            if theirs.grad is not None:
                np.testing.assert_allclose(ours.grad.numpy(), theirs.grad.numpy(), rtol=1e-10)


def test_conv2d_saves_the_input_and_never_the_columns(rung):
    x = minicnn.rand(1, 2, 6, 6, requires_grad=True)
    w = minicnn.rand(3, 2, 3, 3, requires_grad=True)
    with minicnn.use_backend(rung):
        y = F.conv2d(x, w)
    saved = y.grad_fn.saved_tensors
    assert saved[0] is x.array
    assert saved[1] is w.array
    assert len(saved) == 2


@pytest.mark.parametrize(
    ("x", "w", "b"),
    [
        ("float32", "float64", None),
        ("float64", "float32", None),
        ("float32", "float32", "float64"),
        ("int64", "int64", None),
        ("float16", "float16", None),
    ],
)
def test_conv2d_refuses_mixed_and_foreign_dtypes(x, w, b):
    tensors = [
        None if dtype is None else minicnn.ones(shape, dtype=dtype)
        for dtype, shape in ((x, (1, 2, 4, 4)), (w, (3, 2, 3, 3)), (b, (3,)))
    ]
    with pytest.raises(DtypeError, match=rf"^conv2d: .*{x}.*Convert with \.float\(\)") as caught:
        F.conv2d(*tensors)
    assert "\n" not in str(caught.value)
    with pytest.raises(TypeError):
        F.conv2d(*tensors)


# ---------------------------------------------------------------------------- unfold and fold


@both_dtypes
@given(
    win=windows(),
    batch=st.sampled_from([None, 0, 1, 2]),
    channels=st.integers(1, 3),
    layout=layouts,
    seed=seeds,
)
def test_unfold(rung, dtype, win, batch, channels, layout, seed):
    images = () if batch is None else (batch,)
    x = normal(rng_of(seed), *images, channels, *win["size"], dtype=dtype)
    arguments = (win["kernel"], win["dilation"], win["padding"], win["stride"])
    if batch == 0:  # torch refuses an empty batch here; ours keeps the columns' shape
        y = F.unfold(minicnn.tensor(x), *arguments)
        like = torch.nn.functional.unfold(torch.ones(1, *x.shape[1:]), *arguments)
        assert y.shape == (0, *like.shape[1:])
        return
    check(lambda lib, x: lib.nn.functional.unfold(x, *arguments), x, rung=rung, layout=layout)


@both_dtypes
@given(
    win=windows(),
    batch=st.sampled_from([None, 1, 2]),
    channels=st.integers(1, 3),
    layout=layouts,
    seed=seeds,
)
def test_fold(rung, dtype, win, batch, channels, layout, seed):
    arguments = (win["kernel"], win["dilation"], win["padding"], win["stride"])
    like = torch.nn.functional.unfold(torch.ones(1, channels, *win["size"]), *arguments)
    images = () if batch is None else (batch,)
    columns = normal(rng_of(seed), *images, *like.shape[1:], dtype=dtype)
    check(
        lambda lib, x: lib.nn.functional.fold(x, win["size"], *arguments),
        columns,
        rung=rung,
        layout=layout,
    )


def test_conv2d_is_a_matrix_product_over_unfold(rung):
    rng = rng_of(3)
    x, w = minicnn.tensor(normal(rng, 2, 3, 6, 5)), minicnn.tensor(normal(rng, 4, 3, 3, 2))
    with minicnn.use_backend(rung):
        direct = F.conv2d(x, w, stride=(2, 1), padding=1)
        columns = F.unfold(x, (3, 2), padding=1, stride=(2, 1))
    product = (w.reshape(4, -1) @ columns).reshape(direct.shape)
    np.testing.assert_allclose(direct.numpy(), product.numpy(), rtol=1e-12, atol=1e-12)


# ------------------------------------------------------------------------------- max pooling


def pools(x_kind: str, batch: int | None, channels: int, size: tuple, seed: int, dtype: str):
    """An input of `size` without ties, all negative if asked: padding must never win."""
    images = () if batch is None else (batch,)
    x = distinct(rng_of(seed), *images, channels, *size, dtype=dtype)
    return x - 100 if x_kind == "negative" else x


@both_dtypes
@given(
    win=windows(half_padding=True),
    batch=st.sampled_from([None, 0, 1, 2]),
    channels=st.integers(1, 3),
    kind=st.sampled_from(["signed", "negative"]),
    ceil_mode=st.booleans(),
    layout=st.sampled_from(["contiguous", "permuted", "strided"]),  # expanded makes ties
    seed=seeds,
)
@example(window((4, 5), (3, 2), (2, 1), (1, 1)), 2, 2, "negative", False, "permuted", 0)
@example(window((5, 6), (2, 3), (3, 2), (1, 1)), 1, 1, "negative", True, "contiguous", 0)
@example(window((6, 6), (3, 3), (1, 1)), 1, 1, "signed", False, "contiguous", 0)  # overlaps
def test_max_pool2d(rung, dtype, win, batch, channels, kind, ceil_mode, layout, seed):
    x = pools(kind, batch, channels, win["size"], seed, dtype)
    geometry = (win["kernel"], win["stride"], win["padding"], win["dilation"], ceil_mode, True)
    try:
        torch.nn.functional.max_pool2d(torch.tensor(x), *geometry)
    except RuntimeError:  # a window with no pixel, which torch may refuse: so do we
        with pytest.raises(ShapeError):
            F.max_pool2d(minicnn.tensor(x), *geometry)
        return
    check(lambda lib, x: lib.nn.functional.max_pool2d(x, *geometry), x, rung=rung, layout=layout)


def test_max_pool2d_takes_the_first_of_equals_and_nan_over_all(rung):
    ties = np.zeros((1, 2, 4, 4))
    nans = distinct(rng_of(1), 1, 2, 4, 4)
    nans[0, 0, 1, 1] = nans[0, 1, 2, 3] = np.nan
    infinite = np.full((1, 2, 4, 4), -np.inf)
    for x in (ties, nans, infinite):
        check(
            lambda lib, x: lib.nn.functional.max_pool2d(x, 2, 1, 1, return_indices=True),
            x,
            rung=rung,
        )


def test_max_pool2d_stride_defaults_to_the_kernel():
    x = minicnn.rand(1, 1, 6, 7)
    assert F.max_pool2d(x, (2, 3)).shape == (1, 1, 3, 2)
    assert F.max_pool2d(x, 2, stride=1).shape == (1, 1, 5, 6)


# ------------------------------------------------------------------------------- activations


@both_dtypes
@given(shape=st.lists(st.integers(0, 5), max_size=4), layout=layouts, seed=seeds)
@example([], "contiguous", 1)
@example([0, 3], "contiguous", 1)
def test_relu(rung, dtype, shape, layout, seed):
    x = normal(rng_of(seed), *shape, dtype=dtype)
    check(lambda lib, x: lib.nn.functional.relu(x), x, rung=rung, layout=layout)


def test_relu_at_zero_and_nan(rung):
    x = np.array([-1.0, -0.0, 0.0, 2.0, np.nan, np.inf, -np.inf])
    with minicnn.use_backend(rung):
        t = minicnn.tensor(x, requires_grad=True)
        y = F.relu(t)
        y.backward(minicnn.tensor(np.arange(1.0, 8.0)))
    np.testing.assert_array_equal(y.detach().numpy(), np.maximum(x, 0))
    np.testing.assert_array_equal(t.grad.numpy(), [0, 0, 0, 4, 5, 6, 0])


def test_relu_of_integers_stays_integer():
    y = F.relu(minicnn.tensor([-3, 4]))
    assert y.dtype == minicnn.int64
    assert y.tolist() == [0, 4]


def test_relu_inplace_is_accepted_and_out_of_place():
    x = minicnn.tensor([-1.0, 2.0], requires_grad=True)
    y = F.relu(x * 1, inplace=True)
    y.sum().backward()
    assert x.tolist() == [-1, 2]
    assert x.grad.tolist() == [0, 1]


# ------------------------------------------------------------------------------------ threads


def test_threads_may_compute_side_by_side(rung):
    """In a process of its own: a rung that is not safe in threads may abort instead of raising."""
    script = f"""
import threading
import numpy as np
import minicnn
import minicnn.nn.functional as F

def work(seed):
    rng = np.random.default_rng(seed)
    x = minicnn.tensor(rng.standard_normal((2, 2, 9, 8)).astype("float32"), requires_grad=True)
    w = minicnn.tensor(rng.standard_normal((4, 2, 3, 2)).astype("float32"), requires_grad=True)
    with minicnn.use_backend({rung!r}):
        y = F.max_pool2d(F.relu(F.conv2d(x, w, padding=1)), 2)
        loss = F.cross_entropy(F.linear(y.flatten(1), minicnn.ones(3, 64)), minicnn.tensor([0, 2]))
        loss.backward()
    return [loss.item(), *x.grad.numpy().ravel(), *w.grad.numpy().ravel()]

alone = [work(seed) for seed in range(4)]
together = {{}}

def repeat(seed):
    together[seed] = [work(seed) for _ in range({2 if rung == "loops" else 20})]

threads = [threading.Thread(target=repeat, args=(seed,)) for seed in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(all(found == alone[seed] for seed in range(4) for found in together[seed]))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "True\n"), done.stderr


@pytest.mark.parametrize("rung", ["loops", "numpy", "numba"])
@pytest.mark.parametrize("groups", [1.0, "1", True, None])
def test_groups_must_be_an_integer_and_a_bad_call_spoils_no_good_one(rung, groups):
    x, w = minicnn.rand(1, 2, 5, 7), minicnn.rand(3, 2, 2, 3)
    with minicnn.use_backend(rung):
        with pytest.raises(ArgumentError, match=r"^conv2d: groups must be an integer, got"):
            F.conv2d(x, w, groups=groups)
        assert F.conv2d(x, w).shape == (1, 3, 4, 5)


@pytest.mark.parametrize("bad", [np.ones((1, 2, 5, 5)), [1.0], None, 3])
def test_what_is_no_tensor_is_named(bad):
    for call in (
        lambda: F.conv2d(bad, minicnn.rand(1, 2, 3, 3)),
        lambda: F.max_pool2d(bad, 2),
        lambda: F.linear(bad, minicnn.rand(3, 5)),
        lambda: F.unfold(bad, 2),
    ):
        with pytest.raises(DtypeError, match=r"expected a Tensor, got .* minicnn\.tensor"):
            call()
