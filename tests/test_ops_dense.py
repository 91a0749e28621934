"""Losses, dropout, linear and matmul against torch: forward and backward, on every rung."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from oracle import DTYPES, LAYOUTS, RUNGS, check, normal

import minicnn
import minicnn.nn.functional as F
from minicnn.errors import ArgumentError, DtypeError, OutOfRangeError, ShapeError
from minicnn.kernels import threads

both_dtypes = pytest.mark.parametrize("dtype", DTYPES)
layouts = st.sampled_from([*LAYOUTS])
seeds = st.integers(0, 999)


def rng_of(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


# ------------------------------------------------------------------------------------ losses


@both_dtypes
@given(
    batch=st.integers(1, 5),
    classes=st.integers(1, 6),
    scale=st.sampled_from([1e-3, 1.0, 1e4]),  # exp(1e4) overflows
    reduction=st.sampled_from(["mean", "sum", "none"]),
    layout=layouts,
    seed=seeds,
)
def test_cross_entropy(rung, dtype, batch, classes, scale, reduction, layout, seed):
    rng = rng_of(seed)
    logits = scale * normal(rng, batch, classes)
    # Confident and right leaves a gradient of a few last bits; confident and wrong does not.
    labels = logits.argmin(1) if scale > 1 else rng.integers(0, classes, batch)
    check(
        lambda lib, x, t: lib.nn.functional.cross_entropy(x, t, reduction=reduction),
        logits.astype(dtype),
        labels,
        rung=rung,
        layout=layout,
    )


def test_cross_entropy_of_one_example_and_of_none(rung):
    logits = normal(rng_of(2), 5)
    check(lambda lib, x, t: lib.nn.functional.cross_entropy(x, t), logits, np.array(3), rung=rung)
    empty = np.zeros((0, 4))
    for reduction in ("mean", "sum", "none"):
        check(
            lambda lib, x, t, how=reduction: lib.nn.functional.cross_entropy(x, t, reduction=how),
            empty,
            np.zeros(0, np.int64),
            rung=rung,
        )


def test_cross_entropy_keeps_its_digits_where_softmax_rounds_to_one(rung):
    # log(softmax) would be log(1 - 2e-9) = 0 in float32; the true loss is exp(-20).
    with minicnn.use_backend(rung):
        loss = F.cross_entropy(minicnn.tensor([[20.0, 0.0]]), minicnn.tensor([1]))
        small = F.cross_entropy(
            minicnn.tensor([[20.0, 0.0]], dtype=minicnn.float64), minicnn.tensor([0])
        )
    assert loss.item() == pytest.approx(20.0, rel=1e-6)
    assert small.item() == pytest.approx(np.log1p(np.exp(-20.0)), rel=1e-6)


def test_cross_entropy_takes_labels_of_any_integer_dtype(rung):
    logits = minicnn.tensor(normal(rng_of(0), 3, 4))
    want = F.cross_entropy(logits, minicnn.tensor([0, 3, 1])).item()
    for dtype in ("uint8", "int32", "int64"):
        with minicnn.use_backend(rung):
            got = F.cross_entropy(logits, minicnn.tensor([0, 3, 1], dtype=dtype))
        assert got.item() == pytest.approx(want, rel=1e-12)


@pytest.mark.parametrize("label", [-1, 3, 99])
def test_cross_entropy_names_the_label_out_of_range(label):
    with pytest.raises(
        OutOfRangeError, match=rf"^cross_entropy: label {label} .*position 1.*0\.\.2"
    ):
        F.cross_entropy(minicnn.zeros(2, 3), minicnn.tensor([0, label]))
    with pytest.raises(IndexError):  # what torch raises
        F.cross_entropy(minicnn.zeros(2, 3), minicnn.tensor([0, label]))


def test_cross_entropy_refuses_what_does_not_fit():
    logits, labels = minicnn.zeros(2, 3), minicnn.tensor([0, 1])
    with pytest.raises(DtypeError, match=r"^cross_entropy: .*integers.*float32.*\.long\(\)"):
        F.cross_entropy(logits, labels.float())
    with pytest.raises(ShapeError, match=r"^cross_entropy: .*\(2, 3\).*\(2,\).*\(3,\)"):
        F.cross_entropy(logits, minicnn.tensor([0, 1, 2]))
    with pytest.raises(ShapeError, match=r"^cross_entropy: .*\(N, classes\)"):
        F.cross_entropy(minicnn.zeros(2, 3, 4), labels)
    with pytest.raises(DtypeError, match=r"^cross_entropy: .*int64"):
        F.cross_entropy(logits.long(), labels)
    with pytest.raises(ArgumentError, match=r'^cross_entropy: reduction.*"mean".*\'average\''):
        F.cross_entropy(logits, labels, reduction="average")


@both_dtypes
@given(
    shape=st.lists(st.integers(0, 4), max_size=3),
    scale=st.sampled_from([1.0, 200.0]),
    reduction=st.sampled_from(["mean", "sum", "none"]),
    layout=layouts,
    seed=seeds,
)
@example([3, 1], 1e4, "mean", "contiguous", 0)
def test_bce_with_logits(rung, dtype, shape, scale, reduction, layout, seed):
    rng = rng_of(seed)
    logits = np.asarray(scale * normal(rng, *shape), dtype)
    target = np.asarray(rng.random(shape), dtype)
    check(
        lambda lib, x, t: lib.nn.functional.binary_cross_entropy_with_logits(
            x, t, reduction=reduction
        ),
        logits,
        target,
        rung=rung,
        layout=layout,
    )


def test_bce_with_logits_refuses_what_does_not_fit():
    name = "binary_cross_entropy_with_logits"
    with pytest.raises(ShapeError, match=rf"^{name}: .*\(4, 1\).*\(4,\).*reshape"):
        F.binary_cross_entropy_with_logits(minicnn.zeros(4, 1), minicnn.zeros(4))
    with pytest.raises(DtypeError, match=rf"^{name}: .*int64.*\.float\(\)"):
        F.binary_cross_entropy_with_logits(minicnn.zeros(4), minicnn.zeros(4).long())


# ----------------------------------------------------------------------------------- dropout


def mask_of(rung: str, p: float, shape: tuple, seed: int = 5, dtype: str = "float32"):
    minicnn.manual_seed(seed)
    with minicnn.use_backend(rung):
        return F.dropout(minicnn.ones(shape, dtype=dtype), p).numpy()


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_dropout_drops_a_share_p_and_scales_the_rest(rung, p):
    y = mask_of(rung, p, (300, 400))
    kept = y != 0
    # 120,000 independent trials: five standard deviations
    assert abs(kept.mean() - (1 - p)) < 5 * np.sqrt(p * (1 - p) / y.size)
    np.testing.assert_allclose(y[kept], 1 / (1 - p), rtol=1e-6)
    # Neighbours are independent, along rows and down columns.
    for a, b in ((kept[:, 1:], kept[:, :-1]), (kept[1:], kept[:-1])):
        assert abs(np.corrcoef(a.ravel(), b.ravel())[0, 1]) < 5 / np.sqrt(a.size)


def test_dropout_has_the_same_bits_on_every_rung():
    for shape in ((7,), (3, 5), (2, 3, 4, 5), (1000, 33)):
        masks = [mask_of(rung, 0.3, shape) for rung in RUNGS]
        for other in masks[1:]:
            np.testing.assert_array_equal(masks[0], other)
        double = mask_of("numpy", 0.3, shape, dtype="float64")
        np.testing.assert_array_equal(masks[0] != 0, double != 0)


def test_dropout_draws_a_new_mask_each_time_and_the_same_after_the_same_seed(rung):
    minicnn.manual_seed(1)
    with minicnn.use_backend(rung):
        first, second = (F.dropout(minicnn.ones(1000), 0.5).numpy() for _ in range(2))
        minicnn.manual_seed(1)
        again = F.dropout(minicnn.ones(1000), 0.5).numpy()
        minicnn.manual_seed(2)
        other = F.dropout(minicnn.ones(1000), 0.5).numpy()
    np.testing.assert_array_equal(first, again)
    assert 350 < (first != second).sum() < 650
    assert 350 < (first != other).sum() < 650


@both_dtypes
def test_dropout_backward_uses_the_same_mask(rung, dtype):
    x = minicnn.tensor(normal(rng_of(0), 40, 50, dtype=dtype), requires_grad=True)
    cotangent = normal(rng_of(1), 40, 50, dtype=dtype)
    with minicnn.use_backend(rung):
        y = F.dropout(x.t(), 0.4).t()  # the engine may not assume C order
        F.dropout(minicnn.ones(10), 0.4)  # draws between forward and backward change nothing
    y.backward(minicnn.tensor(cotangent))
    mask = y.detach().numpy() / x.detach().numpy()
    np.testing.assert_allclose(x.grad.numpy(), cotangent * mask, rtol=1e-6)
    assert 0 < (mask == 0).sum() < mask.size


def test_dropout_at_the_ends_and_in_evaluation(rung):
    x = minicnn.rand(20, 20, requires_grad=True)
    with minicnn.use_backend(rung):
        assert F.dropout(x, 0.0) is x
        assert F.dropout(x, 0.5, training=False) is x
        gone = F.dropout(x, 1.0)
        gone.sum().backward()
        assert F.dropout(minicnn.zeros(0, 3), 0.5).shape == (0, 3)
        assert F.dropout(minicnn.tensor(2.0), 0.5).shape == ()
    assert not gone.detach().numpy().any()
    assert not x.grad.numpy().any()
    for p in (-0.1, 1.1, float("nan")):
        with pytest.raises(ArgumentError, match=rf"^dropout: p .*0 to 1, got {p}"):
            F.dropout(x, p)


# -------------------------------------------------------------------------- linear and matmul


@both_dtypes
@given(
    batch=st.lists(st.integers(0, 3), max_size=3),
    inputs=st.integers(1, 5),
    outputs=st.integers(1, 4),
    bias=st.booleans(),
    layout=layouts,
    seed=seeds,
)
@example([], 3, 2, True, "contiguous", 0)
@example([0], 3, 2, True, "contiguous", 0)
@example([2, 3], 3, 2, True, "permuted", 0)
def test_linear(rung, dtype, batch, inputs, outputs, bias, layout, seed):
    rng = rng_of(seed)
    x = normal(rng, *batch, inputs, dtype=dtype)
    w = normal(rng, outputs, inputs, dtype=dtype)
    b = [normal(rng, outputs, dtype=dtype)] if bias else []
    check(lambda lib, *args: lib.nn.functional.linear(*args), x, w, *b, rung=rung, layout=layout)


def test_linear_with_a_vector_as_weight(rung):
    rng = rng_of(0)
    for batch in ((), (4,), (2, 3)):
        check(
            lambda lib, x, w: lib.nn.functional.linear(x, w),
            normal(rng, *batch, 5),
            normal(rng, 5),
            rung=rung,
        )


def test_linear_refuses_what_does_not_fit():
    x, w, b = minicnn.zeros(2, 3), minicnn.zeros(4, 3), minicnn.zeros(4)
    with pytest.raises(ShapeError, match=r"^linear: .*\(2, 5\).*\(4, 3\).*3\. Flatten"):
        F.linear(minicnn.zeros(2, 5), w, b)
    with pytest.raises(ShapeError, match=r"^linear: bias \(3,\).*\(4, 3\).*\(4,\)"):
        F.linear(x, w, minicnn.zeros(3))
    for found, bad in {
        "input float64, weight float32, bias float32": (x.double(), w, b),
        "input float32, weight float32, bias float64": (x, w, b.double()),
        "input int64, weight int64, bias int64": (x.long(), w.long(), b.long()),
    }.items():
        with pytest.raises(DtypeError, match=rf"^linear: .*{found}\..*\.float\(\)"):
            F.linear(*bad)


@both_dtypes
@pytest.mark.parametrize(
    ("a", "b"),
    [
        ((3,), (3,)),
        ((2, 3), (3,)),
        ((3,), (3, 4)),
        ((2, 3), (3, 4)),
        ((5, 2, 3), (3, 4)),
        ((2, 3), (5, 3, 4)),
        ((5, 2, 3), (5, 3, 4)),
        ((5, 1, 2, 3), (6, 3, 4)),
        ((3,), (5, 3, 4)),
        ((5, 2, 3), (3,)),
        ((0, 3), (3, 4)),
        ((2, 0), (0, 4)),
        ((1, 1), (1, 1)),
    ],
)
def test_matmul(dtype, a, b):
    rng = rng_of(0)
    x, y = normal(rng, *a, dtype=dtype), normal(rng, *b, dtype=dtype)
    for layout in LAYOUTS:
        if layout == "expanded" and (len(a) < 2 or len(b) < 2):
            continue
        check(lambda lib, a, b: a @ b, x, y, layout=layout)
    check(lambda lib, a, b: lib.matmul(a, b), x, y)


def test_matmul_of_a_tensor_with_itself():
    check(lambda lib, a: a @ a, normal(rng_of(0), 3, 3))
    check(lambda lib, a: a @ a.t(), normal(rng_of(0), 2, 3))


def test_matmul_of_integers_and_its_relatives():
    check(lambda lib, a, b: a @ b, np.arange(6).reshape(2, 3), np.arange(12).reshape(3, 4))
    rng = rng_of(0)
    check(lambda lib, a, b: lib.mm(a, b), normal(rng, 2, 3), normal(rng, 3, 4))
    check(lambda lib, a, b: lib.bmm(a, b), normal(rng, 5, 2, 3), normal(rng, 5, 3, 4))
    check(lambda lib, a, b: lib.dot(a, b), normal(rng, 3), normal(rng, 3))


def test_matmul_refuses_what_does_not_fit():
    a, b = minicnn.zeros(2, 3), minicnn.zeros(3, 4)
    with pytest.raises(ShapeError, match=r"^matmul: .*\(2, 3\).*\(2, 3\).*3.*2"):
        a @ a
    with pytest.raises(ShapeError, match=r"^matmul: .*dimension"):
        a @ minicnn.tensor(1.0)
    with pytest.raises(ShapeError, match=r"^matmul: .*batch.*do not broadcast"):
        minicnn.zeros(2, 2, 3) @ minicnn.zeros(3, 3, 4)
    with pytest.raises(DtypeError, match=r"^matmul: .*float32.*float64.*Convert"):
        a @ b.double()
    with pytest.raises(DtypeError, match=r"^matmul: .*Tensor.*ndarray"):
        a @ b.numpy()
    with pytest.raises(ShapeError, match=r"^dot: "):
        minicnn.dot(a, b)


@pytest.mark.skipif(threads.available() < 2, reason="needs two cores")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("a", "b"),
    [
        ((50, 510), (510, 42)),
        ((347, 468), (468, 10)),
        ((700, 300), (300, 400)),
        ((5000,), (5000, 1000)),
        ((6, 46, 500), (500, 469)),
        ((3, 1, 127, 45), (4, 45, 305)),
    ],
)
def test_matmul_has_the_same_bits_at_any_number_of_threads(a, b, dtype):
    """Sizes among them at which BLAS itself gives other bits on two threads than on one."""
    rng = np.random.default_rng(0)
    arrays = normal(rng, *a, dtype=dtype), normal(rng, *b, dtype=dtype)
    found = []
    before = threads.get_num_threads()
    try:
        for n in (1, 2):
            threads.set_num_threads(n)
            x, y = (minicnn.tensor(array, requires_grad=True) for array in arrays)
            z = x @ y
            z.backward(minicnn.from_numpy(normal(np.random.default_rng(1), *z.shape, dtype=dtype)))
            found.append([v.numpy().tobytes() for v in (z.detach(), x.grad, y.grad)])
    finally:
        threads.set_num_threads(before)
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (
            lambda x: F.conv2d(x, minicnn.ones(1, 1, 2, 2).double(), minicnn.ones(1)),
            "conv2d: got a mixture of dtypes: input float32, weight float64, bias float32. "
            "Convert with .float() or .to(dtype).",
        ),
        (
            lambda x: F.conv_transpose2d(x, minicnn.ones(1, 1, 2, 2).double()),
            "conv_transpose2d: got a mixture of dtypes: input float32, weight float64. "
            "Convert with .float() or .to(dtype).",
        ),
        (
            lambda x: F.linear(x, minicnn.ones(2, 3), minicnn.ones(2).double()),
            "linear: got a mixture of dtypes: input float32, weight float32, bias float64. "
            "Convert with .float() or .to(dtype).",
        ),
        (
            lambda x: F.linear(x.int(), minicnn.ones(2, 3)),
            "linear: needs float32 or float64, got input int32, weight float32. "
            "Convert with .float().",
        ),
        (
            lambda x: x @ minicnn.ones(3, 2).long(),
            "matmul: got a mixture of dtypes: input float32, other int64. "
            "Convert with .float() or .to(dtype).",
        ),
        (
            lambda x: F.batch_norm(x, minicnn.zeros(1), minicnn.ones(1).double()),
            "batch_norm: got a mixture of dtypes: input float32, running_mean float32, "
            "running_var float64. Convert with .float() or .to(dtype).",
        ),
    ],
)
def test_a_mixture_of_dtypes_is_told_by_the_arguments_names(ask, message):
    with pytest.raises(DtypeError) as caught:
        ask(minicnn.ones(2, 1, 3, 3))
    assert str(caught.value) == message
