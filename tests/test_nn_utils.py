"""nn.utils against torch: clipping, vectors of parameters. nn.init: distributions and structure."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from oracle import DTYPES, TOLERANCE, check, normal, relative_error

import minicnn
from minicnn import nn
from minicnn.errors import ArgumentError, AutogradError, DtypeError, ShapeError
from minicnn.nn import init, utils

SHAPES = ((4, 3, 3, 2), (7,), (), (5, 6), (0, 3))


def with_gradients(lib: Any, dtype: str, scale: float = 1.0) -> list[Any]:
    """Parameters with gradients, and one without."""
    rng = np.random.default_rng(0)
    found = []
    for shape in SHAPES:
        p = lib.nn.Parameter(lib.tensor(normal(rng, *shape, dtype=dtype)))
        p.grad = lib.tensor(np.asarray(scale * normal(rng, *shape), dtype))
        found.append(p)
    return [*found, lib.nn.Parameter(lib.ones(2))]


def gradients(parameters: list[Any]) -> np.ndarray:
    return np.concatenate([p.grad.numpy().ravel() for p in parameters if p.grad is not None])


# ----------------------------------------------------------------------------------------- clipping


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("norm_type", [2, 2.0, 1, 3.5, math.inf, 0, -math.inf, -1.0])
@pytest.mark.parametrize("max_norm", [0.1, 5, 1e6, 0.0])
@pytest.mark.filterwarnings("ignore::UserWarning")  # torch: about the norm of nothing
def test_clip_grad_norm(dtype, norm_type, max_norm):
    found = []
    for lib in (minicnn, torch):
        parameters = with_gradients(lib, dtype)
        if norm_type < 0 or math.isinf(norm_type):
            parameters[4].grad = None  # torch has no such norm of nothing
        total = lib.nn.utils.clip_grad_norm_(parameters, max_norm, norm_type)
        found.append((total.numpy(), gradients(parameters)))
    (ours, a), (theirs, b) = found
    assert ours.dtype == theirs.dtype
    assert ours.shape == theirs.shape == ()
    assert relative_error(ours, theirs) <= TOLERANCE[dtype]
    assert relative_error(a, b) <= TOLERANCE[dtype]


def test_clipped_gradients_have_that_norm_and_keep_their_direction():
    parameters = with_gradients(minicnn, "float64")
    before = gradients(parameters)
    total = utils.clip_grad_norm_(parameters, 0.5)
    after = gradients(parameters)
    assert total.item() == pytest.approx(np.linalg.norm(before), rel=1e-12)
    assert np.linalg.norm(after) == pytest.approx(0.5, rel=1e-5)
    np.testing.assert_allclose(after / before, np.full(before.shape, 0.5 / total.item()), rtol=1e-5)
    small = gradients(parameters)
    utils.clip_grad_norm_(parameters, 0.6)  # already shorter
    np.testing.assert_array_equal(gradients(parameters), small)


def test_clipping_takes_one_tensor_an_iterator_and_nothing():
    for lib in (minicnn, torch):
        p = lib.nn.Parameter(lib.ones(4))
        assert lib.nn.utils.clip_grad_norm_(p, 1.0).item() == 0
        assert lib.nn.utils.clip_grad_norm_([], 1.0).item() == 0
        p.grad = lib.ones(4)
        assert lib.nn.utils.clip_grad_norm_(p, 1.0).item() == 2
        assert p.grad.tolist() == pytest.approx([0.5] * 4, rel=1e-5)
        p.grad = lib.ones(4)
        assert lib.nn.utils.clip_grad_norm_((q for q in [p]), 1.0, foreach=False).item() == 2
        assert p.grad.tolist() == pytest.approx([0.5] * 4, rel=1e-5)
        lib.nn.utils.clip_grad_value_((q for q in [p]), 0.25)
        assert p.grad.tolist() == [0.25] * 4
        lib.nn.utils.clip_grad_value_(p, clip_value=0.125, foreach=None)
        assert p.grad.tolist() == [0.125] * 4


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_clipping_what_is_not_finite(bad):
    for lib, error in ((minicnn, AutogradError), (torch, RuntimeError)):
        p = lib.nn.Parameter(lib.ones(3))
        p.grad = lib.tensor([1.0, bad, 2.0])
        with pytest.raises(error, match="error_if_nonfinite"):
            lib.nn.utils.clip_grad_norm_([p], 1.0, error_if_nonfinite=True)
        np.testing.assert_array_equal(p.grad.numpy(), [1, bad, 2])
    ours, theirs = (lib.nn.Parameter(lib.ones(3)) for lib in (minicnn, torch))
    ours.grad, theirs.grad = minicnn.tensor([1.0, bad, 2.0]), torch.tensor([1.0, bad, 2.0])
    total = utils.clip_grad_norm_(ours, 1.0)
    np.testing.assert_array_equal(
        total.numpy(), torch.nn.utils.clip_grad_norm_(theirs, 1.0).numpy()
    )
    np.testing.assert_array_equal(ours.grad.numpy(), theirs.grad.numpy())


def test_tensors_without_elements_do_not_count():
    p, empty = nn.Parameter(minicnn.ones(2)), nn.Parameter(minicnn.ones(0, 3))
    p.grad, empty.grad = minicnn.tensor([3.0, -4.0]), minicnn.ones(0, 3)
    for norm_type, expected in ((math.inf, 4), (-math.inf, 3), (2, 5), (1, 7)):
        assert utils.clip_grad_norm_([empty, p], 100.0, norm_type).item() == expected
    assert utils.clip_grad_norm_([empty], 1.0, math.inf).item() == 0


def test_total_norm_and_clipping_apart():
    for lib in (minicnn, torch):
        p = lib.nn.Parameter(lib.zeros(2))
        p.grad = lib.tensor([3.0, 4.0])
        total = lib.nn.utils.get_total_norm([p.grad, lib.tensor([12.0])])
        assert total.item() == 13
        lib.nn.utils.clip_grads_with_norm_([p], 6.5, total)
        assert p.grad.tolist() == pytest.approx([1.5, 2.0], rel=1e-5)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("value", [0.3, 2, 0.0])
def test_clip_grad_value(dtype, value):
    ours, theirs = with_gradients(minicnn, dtype), with_gradients(torch, dtype)
    assert utils.clip_grad_value_(ours, value) is None
    torch.nn.utils.clip_grad_value_(theirs, value)
    np.testing.assert_array_equal(gradients(ours), gradients(theirs))
    assert np.abs(gradients(ours)).max() == np.asarray(value, dtype)


def test_clipping_changes_gradients_in_place():
    p = nn.Parameter(minicnn.ones(3))
    (p * 5).sum().backward()
    held = p.grad
    utils.clip_grad_value_([p], 1.0)
    assert p.grad is held
    assert held.tolist() == [1, 1, 1]


def test_the_norm_has_the_same_bits_at_any_number_of_threads():
    p = nn.Parameter(minicnn.zeros(300_000))
    p.grad = minicnn.from_numpy(normal(np.random.default_rng(0), 300_000, dtype="float32"))
    before = minicnn.kernels.threads.get_num_threads()
    try:
        found = set()
        for n in (1, 2):
            minicnn.kernels.threads.set_num_threads(n)
            found.add(utils.get_total_norm([p.grad]).item())
    finally:
        minicnn.kernels.threads.set_num_threads(before)
    assert len(found) == 1


# ------------------------------------------------------------------------------------------ vectors


def test_parameters_to_vector():
    rng = np.random.default_rng(0)
    arrays = [normal(rng, *shape) for shape in SHAPES]
    check(lambda lib, *tensors: lib.nn.utils.parameters_to_vector(list(tensors)), *arrays)


def test_vectors_go_back_into_parameters():
    for lib in (minicnn, torch):
        model = lib.nn.Sequential(lib.nn.Linear(3, 4), lib.nn.Linear(4, 2))
        vector = lib.arange(26, dtype=lib.float32)
        lib.nn.utils.vector_to_parameters(vector, model.parameters())
        assert model[0].weight.tolist() == [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9, 10, 11]]
        assert model[1].bias.tolist() == [24, 25]
        assert all(p.requires_grad and p.is_leaf for p in model.parameters())
        again = lib.nn.utils.parameters_to_vector(model.parameters())
        assert again.tolist() == vector.tolist()


def test_a_vector_is_copied_and_keeps_the_parameters_memory_and_dtype():
    p = nn.Parameter(minicnn.zeros(2, 2))
    memory, vector = p.array, minicnn.ones(4, dtype=minicnn.float64)
    utils.vector_to_parameters(vector, [p])
    vector[0] = 9
    assert p.array is memory
    assert p.tolist() == [[1, 1], [1, 1]]
    assert p.dtype == minicnn.float32


def test_a_vector_of_another_size_is_refused():
    p = nn.Parameter(minicnn.zeros(2, 2))
    for wrong in (minicnn.ones(3), minicnn.ones(5), minicnn.ones(2, 2)):
        with pytest.raises(ShapeError, match=r"^vector_to_parameters: .* 4 elements.*shape \("):
            utils.vector_to_parameters(wrong, [p])
    assert not p.detach().numpy().any()


# ----------------------------------------------------------------------------------------- nn.init


def filled(function: Any, *shape: int, dtype: str = "float64", **options: Any) -> np.ndarray:
    parameter = nn.Parameter(minicnn.empty(shape, dtype=dtype))
    assert function(parameter, **options) is parameter
    assert parameter.requires_grad
    assert parameter.dtype == dtype
    return parameter.detach().numpy()


TRUNCATED = [
    {}, {"mean": 1.0, "std": 0.5}, {"std": 0.02}, {"a": -0.1, "b": 0.2}, {"a": 0.5, "b": 0.8},
    {"a": 2.0, "b": 9.0}, {"a": -5.0, "b": -3.0}, {"a": 1.0, "b": 1.5}, {"a": -0.5, "b": 60.0},
    {"mean": 3.0, "std": 2.0, "a": -9.0, "b": -3.5},
]  # fmt: skip


@pytest.mark.parametrize("options", TRUNCATED)
@pytest.mark.parametrize("dtype", DTYPES)
def test_trunc_normal_has_the_truncated_distribution(options, dtype):
    """Kolmogorov-Smirnov against the exact distribution function, from math.erfc."""
    found = np.sort(filled(init.trunc_normal_, 100, 100, dtype=dtype, **options).ravel())
    mean, std = options.get("mean", 0.0), options.get("std", 1.0)
    a, b = options.get("a", -2.0), options.get("b", 2.0)
    assert np.asarray(a, dtype) <= found[0] <= found[-1] <= np.asarray(b, dtype)

    sign = -1 if b < mean else 1  # erfc has its digits in one tail only

    def tail(x: float) -> float:
        return math.erfc(sign * (x - mean) / std / math.sqrt(2))

    exact = [(tail(a) - tail(x)) / (tail(a) - tail(b)) for x in found.tolist()]
    steps = np.arange(1, found.size + 1) / found.size
    assert np.abs(np.array(exact) - steps).max() < 1.95 / math.sqrt(found.size)  # p = 0.001


def test_trunc_normal_far_out_and_at_one_point():
    far = filled(init.trunc_normal_, 1000, a=50.0, b=60.0)
    assert 50 <= far.min() <= far.max() < 51
    assert far.mean() == pytest.approx(50 + 1 / 50, abs=0.005)
    np.testing.assert_array_equal(filled(init.trunc_normal_, 3, a=1.5, b=1.5), [1.5] * 3)
    assert filled(init.trunc_normal_, 0, 3).shape == (0, 3)
    open_ended = filled(init.trunc_normal_, 2000, a=2.5, b=math.inf)
    assert open_ended.min() >= 2.5


@pytest.mark.parametrize("shape", [(5, 8), (8, 5), (6, 6), (4, 3, 2, 2), (9, 2, 2), (1, 7), (7, 1)])
@pytest.mark.parametrize("gain", [1, 2.5])
def test_orthogonal(shape, gain):
    found = filled(init.orthogonal_, *shape, gain=gain).reshape(shape[0], -1)
    rows, columns = found.shape
    product = found @ found.T if rows <= columns else found.T @ found
    np.testing.assert_allclose(product, gain**2 * np.eye(min(rows, columns)), atol=1e-12)
    assert relative_error(filled(init.orthogonal_, *shape), filled(init.orthogonal_, *shape)) > 0.1


def test_orthogonal_matrices_are_equally_likely():
    """Every entry's mean is 0, also on the diagonal, where QR alone prefers a sign."""
    mean = np.mean([filled(init.orthogonal_, 3, 3) for _ in range(2000)], axis=0)
    assert np.abs(mean).max() < 4.5 * math.sqrt(1 / 3 / 2000)


@pytest.mark.parametrize("shape", [(3, 5), (5, 3), (4, 4), (0, 3)])
def test_eye(shape):
    np.testing.assert_array_equal(
        filled(init.eye_, *shape), torch.nn.init.eye_(torch.empty(shape)).numpy()
    )


@pytest.mark.parametrize(
    ("shape", "groups"),
    [((3, 2, 3), 1), ((2, 3, 4), 1), ((4, 2, 3, 2), 2), ((6, 3, 3, 3), 2), ((6, 1, 2, 2), 3),
     ((2, 2, 1, 2, 3), 1), ((6, 5, 3, 3), 3)],
)  # fmt: skip
def test_dirac(shape, groups):
    theirs = torch.nn.init.dirac_(torch.empty(shape), groups)
    np.testing.assert_array_equal(filled(init.dirac_, *shape, groups=groups), theirs.numpy())


def test_a_dirac_convolution_passes_its_input_on():
    layer = nn.Conv2d(6, 6, 3, padding=1, groups=2)
    init.dirac_(layer.weight, 2)
    init.zeros_(layer.bias)
    x = minicnn.rand(2, 6, 5, 4)
    with minicnn.no_grad():
        np.testing.assert_array_equal(layer(x).numpy(), x.numpy())


def test_gains_are_torchs():
    names = ["linear", "sigmoid", "tanh", "relu", "leaky_relu", "selu"]
    names += [f"conv{t}{n}d" for t in ("", "_transpose") for n in (1, 2, 3)]
    for name in names:
        assert init.calculate_gain(name) == pytest.approx(torch.nn.init.calculate_gain(name))
    for slope in (0, 0.3, -2.0):
        want = torch.nn.init.calculate_gain("leaky_relu", slope)
        assert init.calculate_gain("leaky_relu", slope) == pytest.approx(want)
    for lib in (nn, torch.nn):
        for slope in (True, "steep"):
            with pytest.raises(ValueError, match=str(slope)):
                lib.init.calculate_gain("leaky_relu", slope)
        with pytest.raises(ValueError, match="wavelet"):
            lib.init.calculate_gain("wavelet")


def test_the_mode_may_be_in_capitals():
    for lib in (minicnn, torch):
        lib.manual_seed(0)
        t = lib.nn.init.kaiming_uniform_(lib.empty(20, 5), mode="FAN_OUT")
        bound = math.sqrt(2) * math.sqrt(3 / 20)
        assert 0.9 * bound < t.abs().max().item() <= bound


def test_tensors_without_elements_stay_so():
    for lib in (minicnn, torch):
        for shape in ((0, 3), (3, 0), (2, 0, 3, 3)):
            for name in ("kaiming_uniform_", "kaiming_normal_"):
                with pytest.warns(UserWarning, match="elements|element tensors"):
                    assert getattr(lib.nn.init, name)(lib.empty(shape)).shape == shape
            for name in ("xavier_uniform_", "orthogonal_", "trunc_normal_", "zeros_"):
                if name == "orthogonal_" and shape[0] == 0 and lib is torch:
                    continue
                assert getattr(lib.nn.init, name)(lib.empty(shape)).shape == shape


INITS = (
    "uniform_",
    "normal_",
    "trunc_normal_",
    "xavier_uniform_",
    "kaiming_normal_",
    "orthogonal_",
)


@pytest.mark.parametrize("name", INITS)
def test_random_numbers_come_from_the_seed_or_the_generator(name):
    function, t = getattr(init, name), minicnn.empty(6, 5)
    minicnn.manual_seed(7)
    first = function(t).clone().numpy()
    second = function(t).clone().numpy()
    minicnn.manual_seed(7)
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(function(t).numpy(), first)
    own = [
        function(t, generator=minicnn.Generator().manual_seed(3)).clone().numpy() for _ in range(2)
    ]
    np.testing.assert_array_equal(own[0], own[1])
    np.testing.assert_array_equal(function(t).numpy(), second)  # which the generator left alone


REFUSED: dict[str, tuple[type[Exception], str, Any]] = {
    "range": (ArgumentError, "uniform_: .*from 1 to 0", lambda i, t, v: i.uniform_(t, 1, 0)),
    "std": (ArgumentError, "normal_: std .*-1", lambda i, t, v: i.normal_(t, 0, -1)),
    "limits": (
        ArgumentError, "trunc_normal_: .*a = 2, b = -2",
        lambda i, t, v: i.trunc_normal_(t, 0, 1, 2, -2),
    ),
    "orthogonal vector": (
        ShapeError, r"orthogonal_: .*2 dimensions.*\(3,\)", lambda i, t, v: i.orthogonal_(v)
    ),
    "eye vector": (ShapeError, r"eye_: needs 2 dimensions.*\(3,\)", lambda i, t, v: i.eye_(v)),
    "dirac matrix": (
        ShapeError, r"dirac_: needs 3 or 4 or 5 dim.*\(4, 3\)", lambda i, t, v: i.dirac_(t)
    ),
    "dirac groups": (
        ArgumentError, "dirac_: 4 filters .*groups=3",
        lambda i, t, v: i.dirac_(t.reshape(4, 3, 1), 3),
    ),
    "xavier vector": (ShapeError, r"init: fans .*\(3,\)", lambda i, t, v: i.xavier_normal_(v)),
    "integers": (
        DtypeError, "uniform_: needs a floating-point tensor, got int64",
        lambda i, t, v: i.uniform_(t.long()),
    ),
    "normal integers": (
        DtypeError, "normal_: needs a floating-point tensor",
        lambda i, t, v: i.normal_(t.long()),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_torch_refuses_is_refused(name):
    kind, pattern, case = REFUSED[name]
    with pytest.raises((ValueError, RuntimeError)):
        case(torch.nn.init, torch.zeros(4, 3), torch.zeros(3))
    with pytest.raises(kind, match=f"^{pattern}") as caught:
        case(init, minicnn.zeros(4, 3), minicnn.zeros(3))
    assert "\n" not in str(caught.value)
