"""Losses against torch in all combinations of their options, and what they refuse."""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from oracle import DTYPES, LAYOUTS, check, normal

import minicnn
import minicnn.nn.functional as F
from minicnn import nn
from minicnn.errors import ArgumentError, DtypeError, MiniCNNError, OutOfRangeError, ShapeError

KERNEL_RUNGS = ("numpy", "numba")
REDUCTIONS = ("mean", "sum", "none")
both_dtypes = pytest.mark.parametrize("dtype", DTYPES)
each_reduction = pytest.mark.parametrize("reduction", REDUCTIONS)
layouts = st.sampled_from([*LAYOUTS])
extra_dimensions = st.lists(st.integers(1, 3), max_size=3)


def rng_of(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


ROWS = normal(rng_of(), 4, 3)


def probabilities(rng: np.random.Generator, *shape: int, dtype: str = "float64") -> np.ndarray:
    """Numbers from 0.02 to 0.98."""
    return np.asarray(0.02 + 0.96 * rng.random(shape), dtype)


# ----------------------------------------------------------------------------------- cross-entropy


@pytest.mark.parametrize("rung", KERNEL_RUNGS)
@both_dtypes
@given(
    batch=st.integers(1, 4),
    classes=st.integers(1, 5),
    extra=extra_dimensions,
    weighted=st.booleans(),
    ignored=st.sampled_from([None, -100, -1, 0, 1]),
    smoothing=st.sampled_from([0.0, 0.1, 1.0]),
    reduction=st.sampled_from(REDUCTIONS),
    layout=layouts,
    seed=st.integers(0, 99),
)
@example(3, 4, [2, 3], True, 1, 0.1, "mean", "permuted", 0)
@example(4, 3, [], False, None, 0.0, "mean", "contiguous", 0)
def test_cross_entropy_of_labels(
    rung, dtype, batch, classes, extra, weighted, ignored, smoothing, reduction, layout, seed
):
    rng = rng_of(seed)
    x = 3 * normal(rng, batch, classes, *extra, dtype=dtype)
    t = rng.integers(0, classes, (batch, *extra))
    if ignored is not None:
        t[rng.random(t.shape) < 0.4] = ignored
        if ignored < classes and not weighted:
            t.flat[0] = max(classes - 1, 0)
    w = probabilities(rng, classes, dtype=dtype) if weighted else None
    options = {} if ignored is None else {"ignore_index": ignored}
    check(
        lambda lib, x, t: lib.nn.functional.cross_entropy(
            x, t, w if w is None else lib.tensor(w), reduction=reduction,
            label_smoothing=smoothing, **options,
        ),
        x, t, rung=rung, layout=layout,
    )  # fmt: skip


@pytest.mark.parametrize("rung", KERNEL_RUNGS)
@both_dtypes
@given(
    batch=st.integers(0, 4),
    classes=st.integers(1, 5),
    extra=extra_dimensions,
    weighted=st.booleans(),
    smoothing=st.sampled_from([0.0, 0.2, 1.0]),
    reduction=st.sampled_from(REDUCTIONS),
    layout=layouts,
    seed=st.integers(0, 99),
)
def test_cross_entropy_of_probabilities(
    rung, dtype, batch, classes, extra, weighted, smoothing, reduction, layout, seed
):
    """Gradients flow to the probabilities too."""
    rng = rng_of(seed)
    x = 3 * normal(rng, batch, classes, *extra, dtype=dtype)
    t = probabilities(rng, *x.shape, dtype=dtype)
    w = probabilities(rng, classes, dtype=dtype) if weighted else None
    check(
        lambda lib, x, t: lib.nn.functional.cross_entropy(
            x, t, w if w is None else lib.tensor(w), reduction=reduction, label_smoothing=smoothing
        ),
        x, t, rung=rung, layout=layout,
    )  # fmt: skip


@each_reduction
@pytest.mark.parametrize("smoothing", [0.0, 0.3])
@pytest.mark.parametrize("weighted", [False, True])
def test_cross_entropy_of_one_example(reduction, smoothing, weighted):
    rng = rng_of()
    x, w = normal(rng, 5), probabilities(rng, 5)
    for t in (np.array(3), np.array(-100), probabilities(rng, 5)):
        check(
            lambda lib, x, t: lib.nn.functional.cross_entropy(
                x, t, lib.tensor(w) if weighted else None, reduction=reduction,
                label_smoothing=smoothing,
            ),
            x, t,
        )  # fmt: skip


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("shape", [(4, 3), (2, 3, 2), (0, 3), (0, 3, 4)])
def test_cross_entropy_where_nothing_counts(shape, smoothing, weighted):
    """The mean is NaN, as 0/0, and its gradient 0; sum and "none" are 0."""
    x = normal(rng_of(), *shape)
    t = np.full(shape[:1] + shape[2:], -100)
    w = probabilities(rng_of(), 3)
    for reduction in REDUCTIONS:
        for name in ("cross_entropy", "nll_loss"):
            options = {"label_smoothing": smoothing} if name == "cross_entropy" else {}
            check(
                lambda lib, x, t, name=name, options=options, reduction=reduction: getattr(
                    lib.nn.functional, name
                )(x, t, lib.tensor(w) if weighted else None, reduction=reduction, **options),
                x, t,
            )  # fmt: skip


@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 2)])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_where_all_labels_have_weight_zero(shape, smoothing):
    x, w = normal(rng_of(), *shape), np.array([0.0, 1.0, 1.0])
    t = np.zeros(shape[:1] + shape[2:], np.int64)
    for reduction in REDUCTIONS:
        check(
            lambda lib, x, t, reduction=reduction: lib.nn.functional.cross_entropy(
                x, t, lib.tensor(w), reduction=reduction, label_smoothing=smoothing
            ),
            x, t,
        )  # fmt: skip


def test_cross_entropy_of_impossible_classes():
    """A logit of -inf says: never. That is no matter unless it is the label."""
    x = np.array([[-np.inf, 0.0, 1.0], [2.0, -np.inf, 1.0]])
    for t in ([1, 0], [2, 2], [1, 1], [-100, 0], [0, -100]):
        for reduction in REDUCTIONS:
            check(
                lambda lib, x, t, reduction=reduction: lib.nn.functional.cross_entropy(
                    x, t, reduction=reduction
                ),
                x, np.array(t),
            )  # fmt: skip


def test_the_plain_case_runs_one_kernel_each_way():
    calls = []

    class Recorder:
        def softmax_cross_entropy(self, logits, target):
            calls.append("forward")
            with minicnn.use_backend("numpy") as rung:
                return rung.softmax_cross_entropy(logits, target)

        def softmax_cross_entropy_grad(self, dlosses, log_probs, target):
            calls.append("backward")
            with minicnn.use_backend("numpy") as rung:
                return rung.softmax_cross_entropy_grad(dlosses, log_probs, target)

    x = minicnn.rand(4, 3, requires_grad=True)
    with minicnn.use_backend(Recorder()):
        loss = nn.CrossEntropyLoss()(x, minicnn.tensor([0, 2, 1, 0]))
        loss.backward()
    assert calls == ["forward", "backward"]
    names, node = [], loss.grad_fn
    while isinstance(node, minicnn.autograd.Node):
        names.append(node.name)
        node = next((edge for edge in node.next_functions if edge is not None), None)
    assert "Where" not in names  # what only the options need


def test_cross_entropy_by_hand():
    x = minicnn.tensor([[0.0, math.log(3)], [0.0, 0.0]])
    t = minicnn.tensor([1, 0])
    first, second = math.log(4 / 3), math.log(2)
    w = minicnn.tensor([1.0, 3.0])
    assert F.cross_entropy(x, t).item() == pytest.approx((first + second) / 2)
    assert F.cross_entropy(x, t, w).item() == pytest.approx((3 * first + second) / 4)
    smooth = 0.8 * first + 0.2 * (math.log(4) + first) / 2
    assert F.cross_entropy(x[:1], t[:1], label_smoothing=0.2).item() == pytest.approx(smooth)


# ------------------------------------------------------------------------------------- NLL, one-hot


@both_dtypes
@given(
    batch=st.integers(1, 4),
    classes=st.integers(1, 5),
    extra=extra_dimensions,
    weighted=st.booleans(),
    ignored=st.sampled_from([None, -100, 0]),
    reduction=st.sampled_from(REDUCTIONS),
    layout=layouts,
    seed=st.integers(0, 99),
)
def test_nll_loss(dtype, batch, classes, extra, weighted, ignored, reduction, layout, seed):
    rng = rng_of(seed)
    x = normal(rng, batch, classes, *extra, dtype=dtype)
    t = rng.integers(0, classes, (batch, *extra))
    if ignored is not None:
        t[rng.random(t.shape) < 0.4] = ignored
    w = probabilities(rng, classes, dtype=dtype) if weighted else None
    options = {} if ignored is None else {"ignore_index": ignored}
    check(
        lambda lib, x, t: lib.nn.functional.nll_loss(
            x, t, w if w is None else lib.tensor(w), reduction=reduction, **options
        ),
        x, t, layout=layout,
    )  # fmt: skip


@each_reduction
def test_nll_loss_of_one_example(reduction):
    check(
        lambda lib, x, t: lib.nn.functional.nll_loss(x, t, reduction=reduction),
        normal(rng_of(), 4), np.array(2),
    )  # fmt: skip


@each_reduction
@pytest.mark.parametrize("name", ["cross_entropy", "nll_loss"])
def test_one_example_whose_label_has_a_dimension(name, reduction):
    """Forward only: torch has no backward here."""
    found = []
    for lib in (minicnn, torch):
        x, t = lib.tensor([1.0, -2.0, 0.5]), lib.tensor([2])
        found.append(getattr(lib.nn.functional, name)(x, t, reduction=reduction))
    np.testing.assert_allclose(found[0].numpy(), found[1].numpy(), rtol=1e-6)
    assert found[0].shape == tuple(found[1].shape)


@pytest.mark.parametrize("shape", [(), (4,), (2, 3), (0,), (2, 0)])
@pytest.mark.parametrize("classes", [-1, 5, 7])
def test_one_hot(shape, classes):
    labels = rng_of().integers(0, 5, shape)
    if not labels.size and classes == -1:
        return  # torch cannot say either; see the refusals
    check(lambda lib, t: lib.nn.functional.one_hot(t, classes), labels)
    if classes == -1:
        check(lambda lib, t: lib.nn.functional.one_hot(t), labels)


# ----------------------------------------------------------------------------- binary cross-entropy


@both_dtypes
@given(
    shape=st.lists(st.integers(0, 3), max_size=3),
    weight=st.sampled_from([None, "same", "one", "row"]),
    reduction=st.sampled_from(REDUCTIONS),
    layout=layouts,
    seed=st.integers(0, 99),
)
def test_binary_cross_entropy(dtype, shape, weight, reduction, layout, seed):
    rng = rng_of(seed)
    p, t = (probabilities(rng, *shape, dtype=dtype) for _ in range(2))
    sizes = {"same": shape, "one": [], "row": shape[-1:]}.get(weight, [])
    w = probabilities(rng, *sizes, dtype=dtype)
    check(
        lambda lib, p, t: lib.nn.functional.binary_cross_entropy(
            p, t, None if weight is None else lib.tensor(w), reduction=reduction
        ),
        p, t, layout=layout,
    )  # fmt: skip


@both_dtypes
@each_reduction
def test_binary_cross_entropy_of_certainties(dtype, reduction):
    """Logarithms stop at -100 and slopes at 1e12, so that a wrong certainty stays finite."""
    p = np.array([0.0, 1.0, 0.0, 1.0, 0.3, 1e-30], dtype)
    for t in ([1.0, 0.0, 0.0, 1.0, 0.2, 1.0], [0.5] * 6):
        check(
            lambda lib, p, t=t: lib.nn.functional.binary_cross_entropy(
                p, lib.tensor(np.array(t, dtype)), reduction=reduction
            ),
            p,
        )  # fmt: skip


@both_dtypes
@given(
    shape=st.lists(st.integers(0, 3), max_size=3),
    scale=st.sampled_from([1.0, 50.0, 1e4]),
    weight=st.sampled_from([None, "same", "one", "row"]),
    pos_weight=st.sampled_from([None, "same", "one", "row"]),
    reduction=st.sampled_from(REDUCTIONS),
    layout=layouts,
    seed=st.integers(0, 99),
)
def test_binary_cross_entropy_with_logits(
    dtype, shape, scale, weight, pos_weight, reduction, layout, seed
):
    rng = rng_of(seed)
    x, t = scale * normal(rng, *shape), probabilities(rng, *shape)
    found = {
        name: probabilities(
            rng, *{"same": shape, "one": [], "row": shape[-1:]}.get(how, []), dtype=dtype
        ) * 3 if how else None
        for name, how in (("weight", weight), ("pos_weight", pos_weight))
    }  # fmt: skip
    check(
        lambda lib, x, t: lib.nn.functional.binary_cross_entropy_with_logits(
            x, t, reduction=reduction,
            **{k: v if v is None else lib.tensor(v) for k, v in found.items()},
        ),
        np.asarray(x, dtype), np.asarray(t, dtype), layout=layout,
    )  # fmt: skip


def test_weights_of_other_dtypes_and_outside_targets_are_taken():
    x, t = normal(rng_of(), 4, dtype="float32"), np.array([0.0, 5.0, -1.0, 1.0], "float32")
    for w in (np.arange(1, 5), np.arange(1, 5.0)):
        check(
            lambda lib, x, t, w=w: lib.nn.functional.binary_cross_entropy_with_logits(
                x, t, pos_weight=lib.tensor(w)
            ),
            x, t,
        )  # fmt: skip


# ---------------------------------------------------------------------------------------- distances


DISTANCES: dict[str, list[dict[str, Any]]] = {
    "mse_loss": [{}],
    "l1_loss": [{}],
    "smooth_l1_loss": [{}, {"beta": 0.3}, {"beta": 0}, {"beta": 5.0}],
    "huber_loss": [{}, {"delta": 0.3}, {"delta": 5.0}],
}
DISTANCE_CASES = [(name, o) for name, options in DISTANCES.items() for o in options]


@both_dtypes
@pytest.mark.parametrize(("name", "options"), DISTANCE_CASES)
@given(
    shape=st.lists(st.integers(0, 4), max_size=4),
    reduction=st.sampled_from(REDUCTIONS),
    layout=layouts,
    seed=st.integers(0, 99),
)
def test_distances(dtype, name, options, shape, reduction, layout, seed):
    rng = rng_of(seed)
    x, t = (normal(rng, *shape, dtype=dtype) for _ in range(2))
    check(
        lambda lib, x, t: getattr(lib.nn.functional, name)(x, t, reduction=reduction, **options),
        x, t, layout=layout,
    )  # fmt: skip


@each_reduction
@pytest.mark.parametrize("name", ["mse_loss", "l1_loss", "huber_loss"])
def test_weighted_distances(name, reduction):
    """The weight has a gradient too."""
    rng = rng_of()
    x, t, w = normal(rng, 3, 4), normal(rng, 3, 4), probabilities(rng, 3, 4)
    check(
        lambda lib, x, t, w: getattr(lib.nn.functional, name)(x, t, weight=w, reduction=reduction),
        x, t, w,
    )  # fmt: skip


@pytest.mark.parametrize(("name", "options"), DISTANCE_CASES)
def test_distances_at_their_corners(name, options):
    d = np.array([0.0, 0.3, -0.3, 1.0, -1.0, 5.0, -5.0, 1e4, np.inf])
    check(
        lambda lib, x: getattr(lib.nn.functional, name)(
            x, lib.zeros(9, dtype=lib.float64), reduction="none", **options
        ),
        d,
    )


@pytest.mark.parametrize(("name", "options"), DISTANCE_CASES)
@pytest.mark.parametrize(
    "shapes", [((4, 3), (3,)), ((4, 1), (4,)), ((2, 1, 3), (4, 1)), ((), (2,))]
)
def test_distances_broadcast_with_a_warning(name, options, shapes):
    """As in torch: accepted, though seldom meant."""
    rng = rng_of()
    arrays = [normal(rng, *shape) for shape in shapes]

    def distance(lib, x, t):
        function = getattr(lib.nn.functional, name)
        if lib is torch:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return function(x, t, **options)
        with pytest.warns(UserWarning, match=rf"^{name}: input .* and target .* differ") as caught:
            y = function(x, t, **options)
        assert caught[0].filename == __file__
        return y

    check(distance, *arrays)


def test_distances_promote():
    rng = rng_of()
    x, integers, doubles = normal(rng, 3, 2, dtype="float32"), rng.integers(-3, 3, (3, 2)), ROWS
    for name in ("mse_loss", "l1_loss", "smooth_l1_loss"):  # torch's Huber loss has no promotion
        for t in (integers, np.asarray(doubles[:3, :2], order="C")):
            check(
                lambda lib, x, t, name=name: getattr(lib.nn.functional, name)(x, t),
                x, t, tolerance=1e-6,
            )  # fmt: skip


# ------------------------------------------------------------------------------------------ modules


LABELS = np.array([0, 2, 1, 2])
SHARES = probabilities(rng_of(), 4, 3)
WEIGHT = np.array([0.2, 1.0, 3.0])
MODULES: list[tuple[str, dict[str, Any], np.ndarray, np.ndarray]] = [
    ("CrossEntropyLoss", {}, ROWS, LABELS),
    ("CrossEntropyLoss", {"weight": WEIGHT, "ignore_index": 2}, ROWS, LABELS),
    ("CrossEntropyLoss", {"label_smoothing": 0.1, "reduction": "sum"}, ROWS, LABELS),
    ("CrossEntropyLoss", {"weight": WEIGHT, "label_smoothing": 0.1}, ROWS, SHARES),
    ("NLLLoss", {}, ROWS, LABELS),
    ("NLLLoss", {"weight": WEIGHT, "ignore_index": 0, "reduction": "none"}, ROWS, LABELS),
    ("BCELoss", {}, SHARES, SHARES[::-1].copy()),
    ("BCELoss", {"weight": WEIGHT, "reduction": "sum"}, SHARES, SHARES[::-1].copy()),
    ("BCEWithLogitsLoss", {}, ROWS, SHARES),
    ("BCEWithLogitsLoss", {"weight": WEIGHT, "reduction": "none"}, ROWS, SHARES),
    ("BCEWithLogitsLoss", {"weight": WEIGHT, "pos_weight": WEIGHT * 2}, ROWS, SHARES),
    ("MSELoss", {}, ROWS, SHARES),
    ("MSELoss", {"reduction": "none"}, ROWS, SHARES),
    ("L1Loss", {"reduction": "sum"}, ROWS, SHARES),
    ("SmoothL1Loss", {"beta": 0.2}, ROWS, SHARES),
    ("HuberLoss", {"delta": 0.2, "reduction": "sum"}, ROWS, SHARES),
]


def build(lib: Any, name: str, options: dict[str, Any]) -> Any:
    tensors = {k: lib.tensor(v) if isinstance(v, np.ndarray) else v for k, v in options.items()}
    return getattr(lib.nn, name)(**tensors)


@pytest.mark.parametrize(("name", "options", "x", "t"), MODULES)
def test_modules(rung, name, options, x, t):
    check(lambda lib, x, t: build(lib, name, options)(x, t), x, t, rung=rung)


@pytest.mark.parametrize(("name", "options", "x", "t"), MODULES)
def test_modules_print_and_save_like_torch(name, options, x, t):
    ours, theirs = (build(lib, name, options) for lib in (minicnn, torch))
    assert repr(ours) == repr(theirs)
    assert [*ours.state_dict()] == [*theirs.state_dict()]
    for key, value in theirs.state_dict().items():
        np.testing.assert_array_equal(ours.state_dict()[key].numpy(), value.numpy())
    for key in ("reduction", *(k for k in options if "weight" not in k)):
        assert getattr(ours, key) == getattr(theirs, key)


def test_weights_move_with_the_module():
    loss = nn.CrossEntropyLoss(weight=minicnn.tensor([1.0, 2.0])).double()
    assert loss.weight.dtype == minicnn.float64
    assert list(loss.parameters()) == []
    x, t = minicnn.zeros(2, 2, dtype=minicnn.float64), minicnn.tensor([0, 1])
    assert loss(x, t).item() == pytest.approx(math.log(2))


def test_positional_weight():
    for lib in (minicnn, torch):
        w = lib.tensor([1.0, 2.0, 3.0])
        for name in ("CrossEntropyLoss", "NLLLoss", "BCELoss", "BCEWithLogitsLoss"):
            assert getattr(lib.nn, name)(w).weight.tolist() == [1, 2, 3]
        assert lib.nn.HuberLoss("sum", 0.5).delta == 0.5


# ----------------------------------------------------------------------------------------- refusals


def tensors(lib: Any) -> dict[str, Any]:
    return {
        "x": lib.zeros(4, 3), "x3": lib.zeros(2, 3, 4), "t": lib.tensor([0, 2, 1, 0]),
        "p": lib.full((4,), 0.5), "q": lib.tensor([0.0, 1.0, 1.0, 0.0]), "F": lib.nn.functional,
        "lib": lib,
    }  # fmt: skip


Case = Callable[..., Any]
REFUSED: dict[str, tuple[type[MiniCNNError], str, Case]] = {
    "label too large": (
        OutOfRangeError, r"cross_entropy: label 3 at position 1 .*0\.\.2 \(3 classes\)",
        lambda x, t, F, **_: F.cross_entropy(x, t + 1),
    ),
    "label too small": (
        OutOfRangeError, "cross_entropy: label -1 at position 0",
        lambda x, t, F, **_: F.cross_entropy(x, t - 1),
    ),
    "label in extra dimensions": (
        OutOfRangeError, r"cross_entropy: label 7 at position \(1, 2\)",
        lambda x3, lib, F, **_: F.cross_entropy(x3, lib.tensor([[0, 1, 2, 0], [0, 0, 7, 0]])),
    ),
    "label beside ignored ones": (
        OutOfRangeError, "nll_loss: label 9 at position 3",
        lambda x, lib, F, **_: F.nll_loss(x, lib.tensor([0, -1, -1, 9]), ignore_index=-1),
    ),
    "fewer labels": (
        ShapeError, r"cross_entropy: logits \(4, 3\) need labels of shape \(4,\), got \(3,\)",
        lambda x, t, F, **_: F.cross_entropy(x, t[:3]),
    ),
    "labels without extra dimensions": (
        ShapeError, r"cross_entropy: logits \(2, 3, 4\) need labels of shape \(2, 4\), got \(2,\)",
        lambda x3, t, F, **_: F.cross_entropy(x3, t[:2]),
    ),
    "labels of another size": (
        ShapeError, r"nll_loss: .*\(2, 4\), got \(2, 3\)",
        lambda x3, lib, F, **_: F.nll_loss(x3, lib.zeros(2, 3).long()),
    ),
    "labels as numbers": (
        DtypeError, r"cross_entropy: class labels .* got float32 .*\.long\(\)",
        lambda x, t, F, **_: F.cross_entropy(x, t.float()),
    ),
    "labels of the logits' shape": (
        ShapeError, r"cross_entropy: .*got \(4, 3\)",
        lambda x, F, **_: F.cross_entropy(x, x.long()),
    ),
    "boolean labels": (
        DtypeError, "cross_entropy: class labels must be integers .*bool",
        lambda x, t, F, **_: F.cross_entropy(x, t > 0),
    ),
    "probabilities for nll": (
        DtypeError, "nll_loss: class labels must be integers",
        lambda x, F, **_: F.nll_loss(x, x),
    ),
    "labels that are no tensor": (
        DtypeError, r"cross_entropy: target must be a Tensor, got list.*minicnn\.tensor",
        lambda x, F, **_: F.cross_entropy(x, [0, 1, 2, 0]),
    ),
    "no logits": (
        ShapeError, r"cross_entropy: .*got shape \(\)",
        lambda lib, F, **_: F.cross_entropy(lib.tensor(1.0), lib.tensor(0)),
    ),
    "integer logits": (
        DtypeError, "nll_loss: .*int64",
        lambda x, t, F, **_: F.nll_loss(x.long(), t),
    ),
    "probabilities of another shape": (
        DtypeError, r"cross_entropy: .*got float32 of shape \(4, 2\)",
        lambda x, F, **_: F.cross_entropy(x, x[:, :2]),
    ),
    "probabilities with ignore_index": (
        ArgumentError, "cross_entropy: ignore_index=1 is for class labels",
        lambda x, F, **_: F.cross_entropy(x, x, ignore_index=1),
    ),
    "class weights of another number": (
        ShapeError, r"cross_entropy: weight .* 3 classes, got shape \(2,\)",
        lambda x, t, lib, F, **_: F.cross_entropy(x, t, lib.ones(2)),
    ),
    "class weights of another dtype": (
        DtypeError, "nll_loss: weight is float64, the logits are float32",
        lambda x, t, lib, F, **_: F.nll_loss(x, t, lib.ones(3, dtype=lib.float64)),
    ),
    "class weights to train": (
        ArgumentError, r"cross_entropy: weight is a constant here.*weight\.detach\(\)",
        lambda x, t, lib, F, **_: F.cross_entropy(x, t, lib.ones(3, requires_grad=True)),
    ),
    "smoothing": (
        ArgumentError, "cross_entropy: label_smoothing .*got 2.0",
        lambda x, t, F, **_: F.cross_entropy(x, t, label_smoothing=2.0),
    ),
    "bce outside": (
        ArgumentError, r"binary_cross_entropy: input .*got 1\.5.*with_logits",
        lambda p, q, F, **_: F.binary_cross_entropy(p + 1, q),
    ),
    "bce NaN": (
        ArgumentError, "binary_cross_entropy: input .*got nan",
        lambda p, q, F, **_: F.binary_cross_entropy(p * float("nan"), q),
    ),
    "bce target outside": (
        ArgumentError, "binary_cross_entropy: target .*got 2.0",
        lambda p, q, F, **_: F.binary_cross_entropy(p, q + 1),
    ),
    "bce shapes": (
        ShapeError, r"binary_cross_entropy: input \(4,\) and target \(4, 1\) .*reshape",
        lambda p, q, F, **_: F.binary_cross_entropy(p, q[:, None]),
    ),
    "bce dtypes": (
        DtypeError, "binary_cross_entropy: got a mixture of dtypes",
        lambda p, q, F, **_: F.binary_cross_entropy(p, q.double()),
    ),
    "bce weight": (
        ShapeError, r"binary_cross_entropy: weight \(3,\) does not broadcast .*\(4,\)",
        lambda p, q, lib, F, **_: F.binary_cross_entropy(p, q, lib.ones(3)),
    ),
    "bce larger weight": (
        ShapeError, r"binary_cross_entropy: weight \(2, 4\)",
        lambda p, q, lib, F, **_: F.binary_cross_entropy(p, q, lib.ones(2, 4)),
    ),
    "bce logits shapes": (
        ShapeError, r"binary_cross_entropy_with_logits: input \(4,\) and target \(3,\)",
        lambda p, q, F, **_: F.binary_cross_entropy_with_logits(p, q[:3]),
    ),
    "bce logits of integers": (
        DtypeError, "binary_cross_entropy_with_logits: .*int64",
        lambda p, q, F, **_: F.binary_cross_entropy_with_logits(p.long(), q),
    ),
    "bce logits integer target": (
        DtypeError, r"binary_cross_entropy_with_logits: .*int64.*\.float\(\)",
        lambda p, q, F, **_: F.binary_cross_entropy_with_logits(p, q.long()),
    ),
    "pos_weight": (
        ShapeError, r"binary_cross_entropy_with_logits: pos_weight \(3,\)",
        lambda p, q, lib, F, **_: F.binary_cross_entropy_with_logits(
            p, q, pos_weight=lib.ones(3)
        ),
    ),
    "larger pos_weight": (
        ShapeError, r"binary_cross_entropy_with_logits: pos_weight \(2, 4\)",
        lambda p, q, lib, F, **_: F.binary_cross_entropy_with_logits(
            p, q, pos_weight=lib.ones(2, 4)
        ),
    ),
    "weight to train": (
        ArgumentError, "binary_cross_entropy_with_logits: weight is a constant",
        lambda p, q, lib, F, **_: F.binary_cross_entropy_with_logits(
            p, q, lib.ones(4, requires_grad=True)
        ),
    ),
    "mse of integers": (
        DtypeError, "mse_loss: .*int64",
        lambda t, F, **_: F.mse_loss(t, t),
    ),
    "mse with a number": (
        DtypeError, "mse_loss: target must be a Tensor, got float",
        lambda x, F, **_: F.mse_loss(x, 1.0),
    ),
    "mse weight": (
        ShapeError, r"mse_loss: weight \(3,\) must have the losses' shape \(4, 3\)",
        lambda x, lib, F, **_: F.mse_loss(x, x, weight=lib.ones(3)),
    ),
    "huber weight": (
        ShapeError, r"huber_loss: weight \(3,\)",
        lambda x, lib, F, **_: F.huber_loss(x, x, weight=lib.ones(3)),
    ),
    "negative beta": (
        ArgumentError, "smooth_l1_loss: beta must be >= 0, got -1",
        lambda x, F, **_: F.smooth_l1_loss(x, x, beta=-1),
    ),
    "zero delta": (
        ArgumentError, "huber_loss: delta must be > 0, got 0",
        lambda x, F, **_: F.huber_loss(x, x, delta=0),
    ),
    "one_hot negative": (
        OutOfRangeError, r"one_hot: labels -1\.\.1 ",
        lambda t, F, **_: F.one_hot(t - 1),
    ),
    "one_hot too few classes": (
        OutOfRangeError, r"one_hot: labels 0\.\.2 leave the range of 2 classes, 0\.\.1",
        lambda t, F, **_: F.one_hot(t, 2),
    ),
    "one_hot of nothing": (
        ArgumentError, "one_hot: no labels",
        lambda t, F, **_: F.one_hot(t[:0]),
    ),
    "one_hot of numbers": (
        DtypeError, "one_hot: labels must be integers, got float32",
        lambda x, F, **_: F.one_hot(x),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_torch_refuses_is_refused(name):
    kind, pattern, case = REFUSED[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises((RuntimeError, ValueError, IndexError, TypeError, AttributeError)):
            case(**tensors(torch))
    with pytest.raises(kind, match=f"^{pattern}") as caught:
        case(**tensors(minicnn))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "second"),
    [("cross_entropy", "t"), ("nll_loss", "t")]
    + [(n, "x") for n in (*DISTANCES, "binary_cross_entropy", "binary_cross_entropy_with_logits")],
)
def test_unknown_reductions(name, second):
    for lib, error in ((torch, ValueError), (minicnn, ArgumentError)):
        given = tensors(lib)
        with pytest.raises(error, match="average"):
            getattr(given["F"], name)(given["x"], given[second], reduction="average")


def test_shapes_that_do_not_broadcast():
    for name in DISTANCES:
        with pytest.raises(ShapeError, match=rf"^{name}: input \(4, 3\) and target \(4, 2\)"):
            getattr(F, name)(minicnn.zeros(4, 3), minicnn.zeros(4, 2))


def test_integer_labels_of_every_width_are_taken():
    """More than torch, which takes int64 and uint8: NumPy's labels are often int32."""
    x = minicnn.rand(4, 3)
    want = F.cross_entropy(x, minicnn.tensor([0, 2, 1, 0])).item()
    for dtype, name in itertools.product(("uint8", "int8", "int16", "int32", "int64"), (1, 2)):
        t = minicnn.from_numpy(np.array([0, 2, 1, 0], dtype))
        if name == 1:
            assert F.cross_entropy(x, t).item() == want
        else:
            assert F.one_hot(t).tolist() == F.one_hot(t.long()).tolist()
