"""BatchNorm and LocalResponseNorm against torch: numbers, running statistics, what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from oracle import DTYPES, LAYOUTS, check, normal, relative_error
from outcomes import same_outcome, table

import minicnn
import minicnn.nn.functional as F
from minicnn import nn
from minicnn.errors import ArgumentError, AutogradError, CheckpointError, ShapeError
from minicnn.kernels import kernel_names, use_backend

both_dtypes = pytest.mark.parametrize("dtype", DTYPES)
fast_rungs = pytest.mark.parametrize("rung", ["numpy", "numba"])


def draw(*shape: int, dtype: str = "float64", seed: int = 0) -> np.ndarray:
    """Normal numbers; others than `check` draws for the cotangent: where dy is x, dx is 0."""
    return normal(np.random.default_rng([7, seed]), *shape, dtype=dtype)


def ours_and_theirs(array: np.ndarray) -> tuple[Any, Any]:
    return minicnn.from_numpy(array.copy()), torch.from_numpy(array.copy())


def agree(ours: Any, theirs: Any, tolerance: float = 1e-5) -> None:
    """The same dtype and shape, and equal numbers."""
    assert str(ours.dtype) == str(theirs.dtype).removeprefix("torch.")
    assert tuple(ours.shape) == tuple(theirs.shape)
    assert relative_error(ours.detach().numpy(), theirs.detach().numpy()) <= tolerance


# ---------------------------------------------------------------------------- F.batch_norm: numbers


@both_dtypes
@fast_rungs
@given(
    shape=st.one_of(
        st.tuples(st.integers(6, 9), st.integers(1, 5)),
        st.tuples(st.integers(2, 4), st.integers(1, 4), st.integers(4, 9)),
        st.tuples(st.integers(0, 4), st.integers(1, 4), st.integers(4, 9), st.integers(2, 9)),
        st.tuples(st.integers(2, 3), st.integers(1, 3), *[st.integers(2, 4)] * 3),
    ),
    training=st.booleans(),
    affine=st.sampled_from(["both", "weight", "bias", "none"]),
    tracked=st.booleans(),
    momentum=st.sampled_from([0.1, 0.0, 1.0, 0.7, -1, 2]),
    eps=st.sampled_from([1e-5, 1e-2, 1]),
    layout=st.sampled_from([*LAYOUTS]),
    seed=st.integers(0, 99),
)
def test_batch_norm(
    rung, dtype, shape, training, affine, tracked, momentum, eps, layout, seed
):  # fmt: skip
    """Values, running statistics, and the gradients of x, weight and bias."""
    C = shape[1]
    if layout == "expanded" and training:
        shape = (shape[0], C, *shape[2:], 5)  # equal images: the batch axis alone has no variance
    x, w, b, mean = (draw(*s, dtype=dtype, seed=seed) for s in (shape, (C,), (C,), (C,)))
    var = np.abs(draw(C, dtype=dtype, seed=seed + 1)) + np.asarray(0.1, dtype)

    def run(lib: Any, x: Any, w: Any, b: Any) -> Any:
        weight = w if affine in ("both", "weight") else None
        bias = b if affine in ("both", "bias") else None
        given = tracked or not training
        stats = [lib.from_numpy(a.copy()) if given else None for a in (mean, var)]
        y = lib.nn.functional.batch_norm(x, *stats, weight, bias, training, momentum, eps)
        return (y, *stats) if given else y

    check(run, x, w, b, rung=rung, layout=[layout, "contiguous", "contiguous"])


@fast_rungs
@pytest.mark.parametrize(
    "shape", [(64, 700), (40, 37, 9), (3, 5, 40, 41), (2, 70, 30, 1), (1, 3, 99)]
)
def test_batch_norm_of_many_tasks(rung, shape):
    x, w, b = (draw(*s, dtype="float32") for s in (shape, shape[1:2], shape[1:2]))
    for training in (True, False):
        check(
            lambda lib, x, w, b, t=training: lib.nn.functional.batch_norm(
                x, w.detach() * 0, w.detach() * 0 + 2, w, b, t
            ),
            x, w, b, rung=rung,
        )  # fmt: skip


@fast_rungs
@pytest.mark.parametrize("shape", [(32, 4), (8, 4, 9, 10)])
def test_a_large_mean_does_not_ruin_the_variance(rung, shape):
    """At a mean of 10,000 float32 has steps of 0.001; E[x²] - mean² would have steps of 8."""
    x = (10_000 + draw(*shape)).astype("float32")
    dy = draw(*shape, dtype="float32", seed=1)
    ours = minicnn.from_numpy(x.copy()).requires_grad_()
    exact = torch.from_numpy(x).double().requires_grad_()
    with minicnn.use_backend(rung):
        var = minicnn.ones(4)
        y = F.batch_norm(ours, minicnn.zeros(4), var, training=True, momentum=1)
        y.backward(minicnn.from_numpy(dy))
    wanted = torch.nn.functional.batch_norm(exact, None, None, training=True)
    wanted.backward(torch.from_numpy(dy).double())
    axes = tuple(i for i in range(len(shape)) if i != 1)
    np.testing.assert_allclose(var.numpy(), exact.detach().var(axes).numpy(), rtol=1e-5)
    # The mean itself is rounded to a step, half of which is 0.0005.
    assert np.abs(y.detach().numpy() - wanted.detach().numpy()).max() < 1e-3
    assert relative_error(ours.grad.numpy(), exact.grad.numpy()) < 1e-3


def test_infinities_and_nan_stay_in_their_channel(rung):
    x = draw(4, 3, 5, dtype="float32")
    x[1, 0, 2], x[2, 2, 0] = np.nan, np.inf
    with minicnn.use_backend(rung):
        y = F.batch_norm(minicnn.from_numpy(x), None, None, training=True).numpy()
    want = torch.nn.functional.batch_norm(torch.from_numpy(x), None, None, training=True).numpy()
    np.testing.assert_array_equal(np.isnan(y), np.isnan(want))
    assert np.isfinite(y[:, 1]).all()


# -------------------------------------------------------------------- F.batch_norm: taken, refused

SHAPES = [
    (), (3,), (4, 3), (1, 3), (4, 3, 2), (1, 3, 1), (1, 3, 2), (4, 3, 2, 5), (1, 3, 1, 1),
    (2, 3, 2, 1, 3), (2, 3, 1, 2, 1, 2), (3, 4), (4, 1), (1, 1),
]  # fmt: skip
EMPTY = [(0, 3), (0, 3, 4, 4), (2, 3, 0), (2, 0), (2, 0, 3)]
SIZES = [None, (3,), (4,), (2,), (1,), (), (3, 1), (1, 3), (1, 1)]


def batch_norm(lib, x, *vectors, dtype="float64", detached=True, **options):
    """F.batch_norm with vectors of the given sizes, or None: all ones, but for the mean."""
    tensors = [
        None if size is None else lib.from_numpy(np.full(size, value, dtype))
        for value, size in zip((0, 1, 1.5, 0.5), vectors, strict=True)
    ]
    return lib.nn.functional.batch_norm(x, *tensors, **options)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_statistics_are_taken_and_refused_as_in_torch(shape):
    table(
        {"mean": SIZES, "var": SIZES, "training": [True, False]},
        lambda lib, x, mean, var, training: batch_norm(
            lib, x, mean, var, None, None, training=training
        ),
        draw(*shape),
    )


@pytest.mark.parametrize("shape", [(4, 3), (4, 3, 2), (4, 1), (3, 4)], ids=str)
def test_weights_are_taken_and_refused_as_in_torch(shape):
    C = (shape[1],)

    def another_shape(weight: Any, bias: Any, training: bool) -> bool:
        """As many numbers in another shape: torch takes them for some ranks of x; refused here."""
        return any(v not in (None, C) and np.prod(v) == C for v in (weight, bias))

    table(
        {"weight": SIZES, "bias": SIZES, "training": [True, False]},
        lambda lib, x, weight, bias, training: batch_norm(
            lib, x, C, C, weight, bias, training=training
        ),
        draw(*shape),
        but=another_shape,
    )


@pytest.mark.parametrize("shape", EMPTY, ids=str)
def test_empty_batches_are_returned_and_move_nothing(shape):
    """In torch they are; only here sizes and dtypes are checked for them, too."""
    C = shape[1]

    def run(lib, x, w, b, training):
        stats = lib.full((C,), 3.0, dtype=lib.float64), lib.full((C,), 5.0, dtype=lib.float64)
        return lib.nn.functional.batch_norm(x, *stats, w, b, training), *stats

    if C:
        table({"training": [True, False]}, run, draw(*shape), draw(C), draw(C))
    x = minicnn.zeros(*shape)
    with pytest.raises(ShapeError, match=r"^batch_norm: running_mean has shape \(9,\)"):
        F.batch_norm(x, minicnn.zeros(9), minicnn.zeros(9))


@pytest.mark.parametrize("training", [True, False])
def test_dtypes_are_taken_and_refused_as_in_torch(training):
    """But for float16, which torch computes and convolutions and this here refuse."""
    names = ["float32", "float64", "int64", "bool"]

    def run(lib, x_dtype, stats, weights):
        x = lib.from_numpy(draw(4, 3).astype(x_dtype))
        four = [lib.from_numpy(np.ones(3, d)) for d in (stats, stats, weights, weights)]
        return lib.nn.functional.batch_norm(x, *four, training)

    table({"x_dtype": names, "stats": names, "weights": names}, run)
    with pytest.raises(minicnn.errors.DtypeError, match=r"^batch_norm: .*float16.*\.float\(\)"):
        F.batch_norm(minicnn.zeros(4, 3, dtype="float16"), None, None, training=True)


def test_options_are_taken_and_refused_as_in_torch():
    table(
        {
            "training": [True, False, 1, 0, None, "yes"],
            "momentum": [0.1, 0, 1, True, -1, 2.5, None, "a"],
            "eps": [1e-5, 1, 0, 0.0, -1e-5, None, "a"],
        },
        lambda lib, x, **options: batch_norm(lib, x, (3,), (3,), (3,), None, **options),
        draw(4, 3),
    )


@pytest.mark.parametrize(
    "call",
    [
        lambda F, x, m, v, w: F.batch_norm(x, m, v),
        lambda F, x, m, v, w: F.batch_norm(x, m, v, w, w, True, 0.2, 1e-3),
        lambda F, x, m, v, w: F.batch_norm(
            input=x, running_mean=m, running_var=v, weight=w, bias=w, training=True, momentum=0.3,
            eps=1e-2,
        ),
        lambda F, x, m, v, w: F.batch_norm(x),
        lambda F, x, m, v, w: F.batch_norm(x, m),
        lambda F, x, m, v, w: F.batch_norm(x, [0, 0, 0], v),
        lambda F, x, m, v, w: F.batch_norm(x, m, v, 1.0),
        lambda F, x, m, v, w: F.batch_norm(x, m.requires_grad_(), v, training=True),
        lambda F, x, m, v, w: F.batch_norm(x, m, v.requires_grad_(), training=False),
        lambda F, x, m, v, w: F.batch_norm([[1.0, 2.0, 3.0]], m, v),
    ],
)  # fmt: skip
def test_arguments_by_position_and_name(call):
    def run(lib, x, w):
        m, v = lib.zeros(3, dtype=lib.float64), lib.ones(3, dtype=lib.float64)
        return call(lib.nn.functional, x, m, v, w), m, v

    assert not same_outcome(run, draw(4, 3), draw(3))


def test_words_of_refusals():
    zeros, ones = minicnn.zeros(3), minicnn.ones(3)
    with pytest.raises(ShapeError) as caught:
        F.batch_norm(minicnn.zeros(1, 3, 1, 1), zeros, ones, training=True)
    assert str(caught.value) == (
        "batch_norm: input (1, 3, 1, 1) has one value per channel, which has no variance to train "
        "with. Use a larger batch, or eval()."
    )
    with pytest.raises(
        ShapeError, match=r"weight has shape \(2,\).* 3 channels\. Give it shape \(3"
    ):
        F.batch_norm(minicnn.zeros(2, 3), zeros, ones, minicnn.ones(2))
    with pytest.raises(ArgumentError, match=r"running_mean is read-only .* \.clone\(\)"):
        F.batch_norm(minicnn.ones(2, 3), minicnn.zeros(1).expand(3), ones, training=True)
    model = nn.Sequential(nn.BatchNorm1d(4))
    with pytest.raises(ShapeError, match=r'^BatchNorm1d "0": running_mean has shape \(4,\)'):
        model(minicnn.zeros(2, 3))
    with pytest.raises(ShapeError, match=r'^BatchNorm1d "0": expected .* Use BatchNorm2d'):
        model(minicnn.zeros(2, 4, 3, 3))


# ------------------------------------------------------------------------------------- statistics


def test_running_statistics_are_moved_in_place_and_not_recorded():
    mean, var = minicnn.zeros(3), minicnn.ones(3)
    arrays, x = (mean.array, var.array), minicnn.randn(5, 3, requires_grad=True)
    y = F.batch_norm(x, mean, var, training=True)
    assert mean.array is arrays[0]
    assert var.array is arrays[1]
    assert mean.grad_fn is None
    assert not mean.requires_grad
    F.batch_norm(x, mean, var, training=True)  # moves them again: nothing saved was theirs
    y.sum().backward()
    np.testing.assert_allclose(mean.numpy(), 0.19 * x.detach().numpy().mean(0), rtol=1e-5)


def test_views_of_statistics_are_moved_too():
    table_of_means = minicnn.zeros(3, 2)
    F.batch_norm(minicnn.ones(4, 3), table_of_means[:, 1], minicnn.ones(3), training=True)
    np.testing.assert_allclose(table_of_means.numpy(), [[0, 0.1]] * 3)


def test_statistics_that_eval_used_must_not_move_before_backward():
    mean, var = minicnn.zeros(3), minicnn.ones(3)
    x = minicnn.randn(5, 3, requires_grad=True)
    y = F.batch_norm(x, mean, var)
    F.batch_norm(x, mean, var, training=True)
    with pytest.raises(AutogradError, match=r"^BatchNorm: saved array \d was changed in place"):
        y.sum().backward()


@fast_rungs
def test_only_wanted_gradients_are_computed(rung):
    calls = []
    with use_backend(rung) as backend:

        class Counting:
            def __getattr__(self, name):
                kernel = getattr(backend, name)
                return lambda *a, **k: (calls.append(name), kernel(*a, **k))[1]

    x, w = minicnn.randn(4, 3), minicnn.ones(3, requires_grad=True)
    stats = minicnn.zeros(3), minicnn.ones(3)
    with use_backend(Counting()):
        F.batch_norm(x, *stats, w).sum().backward()
        F.batch_norm(x.requires_grad_(), *stats).sum().backward()
    assert calls == ["batch_norm", "batch_norm_weight_grad", "batch_norm", "batch_norm"]


# ------------------------------------------------------------------------------------- the layers

LAYERS = {
    "BatchNorm1d": [(6, 3), (5, 3, 4)],
    "BatchNorm2d": [(4, 3, 5, 2)],
    "BatchNorm3d": [(2, 3, 2, 3, 2)],
}
OPTIONS: dict[str, list] = {
    "eps": [1e-5, 0.1],
    "momentum": [0.1, None, 0, 1, 0.0, 0.35],
    "affine": [True, False],
    "track_running_stats": [True, False],
    "bias": [True, False],
}


@pytest.mark.parametrize(
    ("layer", "shape"), [(layer, shape) for layer, shapes in LAYERS.items() for shape in shapes]
)
def test_layers_train_and_evaluate_as_in_torch(layer, shape):
    """Three steps of training and one of eval: outputs, gradients, every buffer, and the text."""

    def run(lib, *batches, **options):
        module = getattr(lib.nn, layer)(3, dtype=lib.float64, **options)
        ys = [module(batch) for batch in batches[:3]]
        ys.append(module.eval()(batches[3]))
        state = module.state_dict()
        parameters = list(module.parameters())
        total = sum((y * y * y).sum() for y in ys)
        gradients = lib.autograd.grad(total, parameters, retain_graph=True) if parameters else []
        return [*ys, *gradients, *(lib.zeros(len(key)) for key in state), *state.values()]

    batches = [2 + draw(*shape, seed=seed) for seed in range(4)]
    table(OPTIONS, run, *batches)


@pytest.mark.parametrize("layer", LAYERS)
def test_layers_print_as_in_torch(layer):
    for options in ({}, {"eps": 1e-3, "momentum": None}, {"affine": False}, {"bias": False}):
        ours, theirs = (getattr(lib, layer)(7, **options) for lib in (nn, torch.nn))
        assert repr(ours) == repr(theirs)
    assert repr(nn.BatchNorm2d(3, 1e-3, 0.2, False, False)) == repr(
        torch.nn.BatchNorm2d(3, 1e-3, 0.2, False, False)
    )


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("tracked", [True, False])
def test_inputs_of_layers_are_taken_and_refused_as_in_torch(layer, training, tracked):
    shapes = [
        (), (3,), (4, 3), (1, 3), (0, 3), (4, 2), (4, 3, 2), (1, 3, 1), (3, 4), (2, 3, 2, 2),
        (1, 3, 1, 1), (3, 2, 2), (0, 3, 2, 2), (2, 4, 2, 2), (2, 3, 2, 2, 2), (2, 3, 1, 2, 1, 2),
    ]  # fmt: skip

    def run(lib, shape):
        module = getattr(lib.nn, layer)(3, track_running_stats=tracked).train(training)
        x = lib.from_numpy(draw(*shape, dtype="float32"))
        return module(x), *module.buffers()

    table({"shape": shapes}, run)


def test_constructor_arguments_are_taken_and_refused_as_in_torch():
    def run(lib, **options):
        module = lib.nn.BatchNorm1d(**options)
        return lib.ones(2), *module.parameters(), *module.buffers()

    table({"num_features": [3, 0, 1, -1, 2.0, "a", None, True]}, run)
    table(OPTIONS | {"num_features": [2]}, run)
    table({"num_features": [2], "device": ["cpu", None], "momentum": [None, 2]}, run)


def test_momentum_none_is_the_average_over_all_batches():
    layer, means = nn.BatchNorm1d(3, momentum=None), []
    for seed in range(5):
        x = draw(6, 3, dtype="float32", seed=seed)
        layer(minicnn.from_numpy(x))
        means.append(x.mean(0))
    np.testing.assert_allclose(layer.running_mean.numpy(), np.mean(means, 0), rtol=1e-5)
    assert layer.num_batches_tracked.item() == 5


def test_reset():
    layer = nn.BatchNorm2d(3)
    layer(minicnn.randn(4, 3, 2, 2))
    with minicnn.no_grad():
        layer.weight.fill_(5)
    layer.reset_running_stats()
    state = {key: value.tolist() for key, value in layer.state_dict().items()}
    assert state["running_mean"] == [0, 0, 0]
    assert state["running_var"] == [1, 1, 1]
    assert state["num_batches_tracked"] == 0
    assert state["weight"] == [5, 5, 5]
    layer.reset_parameters()
    assert layer.weight.tolist() == [1, 1, 1]
    nn.BatchNorm2d(3, track_running_stats=False).reset_running_stats()


@pytest.mark.parametrize("options", [{}, {"momentum": None}, {"affine": False}, {"bias": False}])
def test_a_state_dict_goes_both_ways(options):
    x = draw(6, 3, 4, 4, dtype="float32")
    theirs = torch.nn.BatchNorm2d(3, **options)
    for seed in range(3):
        theirs(torch.from_numpy(3 + draw(6, 3, 4, 4, dtype="float32", seed=seed)))
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.normal_()
    ours = nn.BatchNorm2d(3, **options)
    ours.load_state_dict(theirs.state_dict())
    assert ours.num_batches_tracked.dtype == minicnn.int64
    for mode in (False, True, False):  # and after one more step of training
        a, b = ours_and_theirs(x)
        agree(ours.train(mode)(a), theirs.train(mode)(b))
    back = torch.nn.BatchNorm2d(3, **options)
    back.load_state_dict({k: torch.from_numpy(v.numpy()) for k, v in ours.state_dict().items()})
    a, b = ours_and_theirs(x)
    agree(ours.eval()(a), back.eval()(b))


def test_old_state_dicts_have_no_count_of_batches():
    """As in torch: files from before the count was kept load, and leave it as it is."""
    old = dict(torch.nn.BatchNorm1d(3).state_dict())
    del old["num_batches_tracked"]
    for lib in (nn, torch.nn):
        model = lib.Sequential(lib.BatchNorm1d(3))
        found = model.load_state_dict({f"0.{key}": value for key, value in old.items()})
        assert found.missing_keys == []
    del old["running_mean"]
    with pytest.raises(CheckpointError, match=r"missing: running_mean\b"):
        nn.BatchNorm1d(3).load_state_dict(old)


def test_layers_of_float64():
    layer = nn.BatchNorm1d(3).double()
    assert [str(t.dtype) for t in layer.state_dict().values()] == ["float64"] * 4 + ["int64"]
    assert layer(minicnn.randn(4, 3, dtype="float64")).dtype == minicnn.float64


def test_statistics_of_a_frozen_layer_stay(rung):
    with minicnn.use_backend(rung):
        layer = nn.BatchNorm2d(3)
        layer(minicnn.randn(4, 3, 4, 4))
        before = {k: v.numpy().copy() for k, v in layer.state_dict().items()}
        layer.eval()(minicnn.randn(4, 3, 4, 4, requires_grad=True)).sum().backward()
    for key, value in layer.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), before[key])


# ------------------------------------------------------------------------------- LocalResponseNorm


@both_dtypes
@fast_rungs
@given(
    shape=st.lists(st.integers(1, 5), min_size=3, max_size=6),
    size=st.integers(1, 7),
    alpha=st.sampled_from([1e-4, 0.5, 2, 0]),
    beta=st.sampled_from([0.75, 0.5, 1, 0, 2, 0.9]),
    k=st.sampled_from([1.0, 2, 0.3]),
    layout=st.sampled_from([*LAYOUTS]),
    seed=st.integers(0, 99),
)
def test_local_response_norm(rung, dtype, shape, size, alpha, beta, k, layout, seed):
    def run(lib: Any, x: Any) -> Any:
        # Beyond rank 3 torch takes no view of what lies in another order; here it is copied.
        x = x.contiguous() if lib is torch else x
        return lib.nn.functional.local_response_norm(x, size, alpha, beta, k)

    check(run, draw(*shape, dtype=dtype, seed=seed), rung=rung, layout=layout)


def test_the_windows_of_even_and_odd_sizes_by_hand():
    """Ones in channel 2 of 5: which outputs does it reach? (alpha = size, so d = 1 + sum)."""
    x = minicnn.ones(1, 5, 1) * 1e-9
    x[0, 2, 0] = 1.0
    for size, reached in {1: [2], 2: [2, 3], 3: [1, 2, 3], 4: [1, 2, 3, 4]}.items():
        y = F.local_response_norm(x, size, alpha=size, beta=1.0)
        halved = np.flatnonzero((y / x).numpy().ravel() < 0.75)
        assert halved.tolist() == reached, size


def test_response_norm_is_taken_and_refused_as_in_torch():
    function = lambda lib, x, **o: lib.nn.functional.local_response_norm(x, **o)  # noqa: E731
    sizes = [1, 2, 5, 9, 0, -1, 2.0, None, "a", True, (2,)]
    for shape in ((), (3,), (2, 3), (2, 3, 4), (2, 3, 2, 2), (2, 3, 1, 2, 2), (2, 1, 2, 1, 2, 2)):
        table({"size": sizes}, function, draw(*shape))
    numbers = [1e-4, 1, 0, 2.5, True, None, "a"]
    table(
        {"size": [3], "alpha": numbers, "beta": numbers, "k": [1.0, 2, 0.5, None]},
        function,
        draw(2, 3, 4),
    )
    for shape in ((0, 3, 4), (0, 3, 2, 2), (2, 0, 3), (2, 3, 0), (2, 3, 0, 2)):
        table({"size": [1, 3]}, function, draw(*shape))
    # Integers, which torch takes at some ranks and makes zeros of, are refused; so is float16.
    for dtype in ("int64", "float16"):
        with pytest.raises(minicnn.errors.DtypeError, match=r"^local_response_norm: .*\.float\(\)"):
            F.local_response_norm(minicnn.zeros(2, 3, 4, dtype=dtype), 2)


def test_divisors_of_zero_and_below(rung):
    """k = 0 divides 0 by 0 where all around is 0; roots of negative numbers are NaN."""
    x = np.array([0, 0, 0, 3.0, -4.0]).reshape(1, 5, 1)
    for alpha, beta, k in [(1, 0.75, 0), (1, 0.5, 0), (1, 1, 0), (-1, 0.75, 1), (-1, 1, 1)]:
        ours, theirs = ours_and_theirs(x)
        with minicnn.use_backend(rung):
            y = F.local_response_norm(ours, 2, alpha, beta, k)
        want = torch.nn.functional.local_response_norm(theirs, 2, alpha, beta, k)
        np.testing.assert_allclose(y.numpy(), want.numpy(), rtol=1e-12)


@pytest.mark.parametrize("options", [(5,), (3, 1e-3, 0.5, 2.0), (2, 1, 1, 1)])
def test_the_layer_of_local_responses(rung, options):
    ours, theirs = (lib.LocalResponseNorm(*options) for lib in (nn, torch.nn))
    assert repr(ours) == repr(theirs)
    assert ours.state_dict() == {}
    x = draw(2, 7, 3, 4, dtype="float32")
    check(lambda lib, x: lib.nn.LocalResponseNorm(*options)(x), x, rung=rung)


# --------------------------------------------------------------------------------------- the house


def test_the_numba_rung_has_these_kernels_itself():
    """Else the tests of it would run, and pass, on the numpy rung."""
    own = ("batch_", "response_norm", "softmax", "log_softmax", "hardtanh", "leaky_relu", "elu")
    own += ("sigmoid", "tanh", "silu", "gelu")
    with use_backend("numba") as backend:
        for kernel in kernel_names():
            if kernel.startswith(own):
                assert backend.source_of(kernel) == "numba", kernel


def test_summary_sees_through_normalisation():
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.LocalResponseNorm(5), nn.SiLU(), nn.MaxPool2d(2),
        nn.BatchNorm2d(4, track_running_stats=False), nn.Flatten(), nn.BatchNorm1d(100), nn.GELU(),
        nn.Softmax(1),
    )  # fmt: skip
    before = {k: v.numpy().copy() for k, v in model.state_dict().items()}
    rows = {row.path: row for row in minicnn.summary(model, (3, 12, 12), batch_size=2).rows}
    assert rows["1"].output_shape == rows["3"].output_shape == (2, 4, 10, 10)
    assert rows["2"].receptive_field == (3, 3)
    assert rows["5"].receptive_field == (4, 4)
    assert (rows["1"].parameters, rows["7"].parameters) == (8, 200)
    assert rows["9"].output_shape == (2, 100)
    for key, value in model.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), before[key])
