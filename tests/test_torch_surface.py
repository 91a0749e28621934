"""What torch accepts is accepted with equal results, what it refuses is refused in words.

Losses, activations, linear, dropout and the rest of `nn.functional` that has no file of its own;
convolution, pooling, padding and normalisation have theirs (`table` is the same).
"""

from __future__ import annotations

import numpy as np
import pytest
from oracle import normal
from outcomes import same_outcome, table

import minicnn
from minicnn.errors import DtypeError

LABELS = np.array([2, 0, 1, 2, 1])


def x_of(*shape: int, dtype: str = "float64") -> np.ndarray:
    return normal(np.random.default_rng(3), *shape, dtype=dtype)


def call(name: str):
    """The function of `nn.functional` called with the tensors, then the options by keyword."""
    return lambda lib, *tensors, **options: getattr(lib.nn.functional, name)(*tensors, **options)


# ---------------------------------------------------------------------------------------- losses

REDUCTIONS = ["mean", "sum", "none", "avg", None, 3]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("logits", "target"),
    [
        ((5, 3), LABELS),
        ((3,), np.array(1)),
        ((5, 3, 2), np.stack([LABELS, LABELS[::-1]], 1)),
        ((5, 3, 2, 2), np.tile(LABELS[:, None, None], (1, 2, 2))),
        ((0, 3), np.zeros(0, int)),
        ((5, 3), LABELS[:4]),
        ((5, 3), LABELS[:, None]),
        ((5, 2), LABELS),
        ((3,), LABELS),
        ((), np.array(0)),
        ((5, 0), LABELS),
        ((5, 3), LABELS.astype(np.uint8)),
        ((5, 3), LABELS - 1),
    ],
    ids=lambda v: str(v) if isinstance(v, tuple) else f"{v.dtype}{list(v.shape)}",
)
def test_cross_entropy_of_labels(logits, target, dtype):
    options = {
        "reduction": REDUCTIONS,
        "ignore_index": [-100, 1, 7],
        "label_smoothing": [0.0, 0.2, 1.5],
    }
    table(options, call("cross_entropy"), x_of(*logits, dtype=dtype), target)


@pytest.mark.parametrize("weights", [(3,), (2,), (3, 1), ()])
@pytest.mark.parametrize("name", ["cross_entropy", "nll_loss"])
def test_class_weights(name, weights):
    table(
        {"reduction": REDUCTIONS[:3], "ignore_index": [-100, 1]},
        lambda lib, x, t, w, **o: getattr(lib.nn.functional, name)(x, t, w.detach(), **o),
        x_of(5, 3), LABELS, np.abs(x_of(*weights)),
    )  # fmt: skip


@pytest.mark.parametrize("shape", [(5, 3), (5, 4), (3, 5), (5,), (5, 3, 1)])
def test_cross_entropy_of_probabilities(shape):
    q = np.abs(x_of(*shape))
    table(
        {"reduction": REDUCTIONS, "label_smoothing": [0.0, 0.1], "ignore_index": [-100, 2]},
        lambda lib, x, q, **o: lib.nn.functional.cross_entropy(x, q.detach(), **o),
        x_of(5, 3), q / q.sum(),
    )  # fmt: skip


ELEMENTWISE = {
    "mse_loss": {},
    "l1_loss": {},
    "smooth_l1_loss": {"beta": [1.0, 0.3, 0.0, -1.0]},
    "huber_loss": {"delta": [1.0, 0.3, 0.0, -1.0]},
    "binary_cross_entropy": {},
    "binary_cross_entropy_with_logits": {},
}


@pytest.mark.parametrize("name", ELEMENTWISE)
@pytest.mark.parametrize(
    "shapes",
    [((4, 3), (4, 3)), ((), ()), ((0, 3), (0, 3)), ((4, 3), (3,)), ((4, 1), (4,)), ((4,), (5,))],
    ids=str,
)
def test_elementwise_losses(name, shapes):
    rng = np.random.default_rng(0)
    x, t = (np.asarray(rng.uniform(0.1, 0.9, shape)) for shape in shapes)
    table({"reduction": REDUCTIONS, **ELEMENTWISE[name]}, call(name), x, t)


@pytest.mark.parametrize("name", ["binary_cross_entropy", "binary_cross_entropy_with_logits"])
@pytest.mark.parametrize("option", ["weight", "pos_weight"])
@pytest.mark.parametrize("shape", [(4, 3), (3,), (4, 1), (1,), (), (4,), (2, 4, 3)])
def test_weights_of_binary_losses(name, option, shape):
    rng = np.random.default_rng(0)
    x, t, w = (np.asarray(rng.uniform(0.1, 0.9, s)) for s in ((4, 3), (4, 3), shape))
    table(
        {"reduction": ["mean", "sum", "none"]},
        lambda lib, x, t, w, **o: getattr(lib.nn.functional, name)(
            x, t, **{option: w.detach()}, **o
        ),
        x, t, w,
    )  # fmt: skip


@pytest.mark.parametrize("bad", [-0.1, 1.1, np.nan])
def test_probabilities_must_be_probabilities(bad):
    x, t = np.full((3, 2), 0.5), np.full((3, 2), 0.5)
    x[1, 1] = bad
    if np.isnan(bad):
        x = x[:, :1]  # torch compares and NaN passes neither test
    assert not same_outcome(call("binary_cross_entropy"), x, t)


# ------------------------------------------------------------------------------------ activations

ACTIVATIONS = {
    "relu": {"inplace": [False]},
    "relu6": {},
    "leaky_relu": {"negative_slope": [0.01, 0.0, -0.5, 2, "a", None]},
    "elu": {"alpha": [1.0, 0.5, -1.0, 0, "a"]},
    "hardtanh": {"min_val": [-1.0, -2, 3.0], "max_val": [1.0, 0, 2]},
    "silu": {},
    "gelu": {"approximate": ["none", "tanh", "erf", None]},
    "sigmoid": {},
    "tanh": {},
}


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "bool", "float16"])
@pytest.mark.parametrize("shape", [(3, 4), (), (0, 2), (2, 1, 3, 2, 2)], ids=str)
def test_activations(name, dtype, shape):
    # In float16 no saturated values: torch's derivative is then of the rounded result.
    x = (x_of(*shape) * (1 if dtype == "float16" else 3)).astype(dtype)
    # Of integers torch takes some options and refuses others, by function: the defaults only.
    options = ACTIVATIONS[name] if dtype.startswith("float") else {}
    table(options, call(name), x, tolerance=2e-3 if dtype == "float16" else None)


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
@pytest.mark.parametrize("shape", [(3, 4), (), (4,), (0, 3), (3, 0), (2, 3, 2), (2, 2, 2, 2)])
def test_softmax_along_any_dim(name, shape):
    table({"dim": [0, 1, -1, 2, -3, None, 1.5, "a"]}, call(name), x_of(*shape))


# --------------------------------------------------------------------------------- linear, dropout


@pytest.mark.parametrize("x", [(5, 3), (3,), (), (0, 3), (2, 5, 3), (5, 4)], ids=str)
def test_linear(x):
    def undocumented(weight, bias):
        # torch's product broadcasts a bias of one, by the rank of x; documented is (out,).
        return (bias in ((), (1,)) and len(weight) == 2) or (bias == () and len(weight) == 1)

    def linear(lib, x, weight, bias):
        arrays = [None if shape is None else x_of(*shape) for shape in (weight, bias)]
        more = [None if a is None else lib.from_numpy(a).requires_grad_() for a in arrays]
        return lib.nn.functional.linear(x, *more)

    weights = [(4, 3), (3,), (4, 2), (), (2, 4, 3)]
    biases = [None, (4,), (3,), (), (1,), (2, 4)]
    table({"weight": weights, "bias": biases}, linear, x_of(*x), but=undocumented)


IMAGES = [(2, 3, 4, 4), (3, 4, 4), (0, 3, 2, 2)]  # dropout2d: torch announces it refuses the rest


@pytest.mark.parametrize(
    ("name", "shape"),
    [*(("dropout2d", s) for s in IMAGES), *(("dropout", s) for s in (*IMAGES, (3, 4), ()))],
    ids=str,
)
def test_dropout_that_drops_nothing_or_everything(name, shape):
    """In between, the masks are of another generator."""
    options = {"p": [0, 1, 0.0, 1.0, -0.1, 1.1, "a", None], "training": [True, False]}
    table(options, call(name), x_of(*shape))


@pytest.mark.parametrize("labels", [[0, 2, 1], [], [[0, 1], [1, 0]], 3, [-1, 0], [0.5]], ids=str)
@pytest.mark.parametrize("classes", [-1, 0, 2, 3, 5])
def test_one_hot(labels, classes):
    array = np.array(labels, dtype=float if labels == [0.5] else int)
    assert not same_outcome(lambda lib, t: lib.nn.functional.one_hot(t.detach(), classes), array)


# ------------------------------------------------------------------------------------------ matmul

SHAPES = [(), (3,), (4,), (2, 3), (3, 4), (4, 3), (5, 2, 3), (5, 3, 4), (1, 3, 4), (0, 3), (3, 0)]


@pytest.mark.parametrize("name", ["matmul", "mm", "bmm", "dot"])
def test_products(name):
    table(
        {"a": SHAPES, "b": SHAPES},
        lambda lib, a, b: getattr(lib, name)(*(lib.from_numpy(x_of(*shape)) for shape in (a, b))),
    )


# ----------------------------------------------------------------------------- names of arguments


@pytest.mark.parametrize(
    "make",
    [
        lambda lib, x: lib.nn.functional.relu(input=x, inplace=False),
        lambda lib, x: lib.nn.functional.softmax(input=x, dim=1),
        lambda lib, x: lib.nn.functional.leaky_relu(input=x, negative_slope=0.2, inplace=False),
        lambda lib, x: lib.nn.functional.linear(input=x, weight=x),
        lambda lib, x: lib.nn.functional.mse_loss(input=x, target=x.detach() + 1, reduction="sum"),
        lambda lib, x: lib.nn.functional.l1_loss(x, x.detach() + 1, reduction="none"),
        lambda lib, x: lib.nn.functional.unfold(x[None, None], (2, 2), 1, 0, 1),
        lambda lib, x: lib.nn.functional.unfold(
            input=x[None, None], kernel_size=2, dilation=1, padding=1, stride=2
        ),
        lambda lib, x: lib.nn.functional.dropout(input=x, p=0.5, training=False, inplace=False),
        lambda lib, x: lib.nn.functional.hardtanh(x, min_val=-0.5, max_val=0.5),
        lambda lib, x: lib.matmul(input=x, other=x.t()),
        lambda lib, x: lib.cat(tensors=(x, x), dim=1),
        lambda lib, x: lib.stack((x, x), dim=-1),
        lambda lib, x: x.sum(dim=1, keepdim=True),
        lambda lib, x: x.mean(dim=(0, 1)),
        lambda lib, x: lib.sum(x, 1),
        lambda lib, x: x.permute(1, 0).reshape(-1),
        lambda lib, x: x.flatten(start_dim=0, end_dim=-1),
        lambda lib, x: lib.clamp(x, min=-0.5, max=0.5),
        lambda lib, x: lib.where(x > 0, x, -x),
    ],
)  # fmt: skip
def test_arguments_have_torchs_names(make):
    assert not same_outcome(make, x_of(4, 4))


@pytest.mark.parametrize("value", [None, 1.5, "a", [1.0, 2.0], np.ones(2, np.float32)], ids=type)
def test_what_is_no_tensor_is_refused_by_every_function_in_the_same_words(value):
    unary = [
        "relu", "relu6", "leaky_relu", "elu", "hardtanh", "sigmoid", "tanh", "silu", "gelu",
        "dropout", "dropout2d",
    ]  # fmt: skip
    calls = {name: lambda F, name=name: getattr(F, name)(value) for name in unary}
    calls |= {
        name: lambda F, n=name: getattr(F, n)(value, 0) for name in ("softmax", "log_softmax")
    }
    calls |= {
        "pad": lambda F: F.pad(value, (1, 1)),
        "interpolate": lambda F: F.interpolate(value, 3),
        "conv2d": lambda F: F.conv2d(minicnn.zeros(1, 2, 3, 3), value),
        "linear": lambda F: F.linear(minicnn.zeros(3), value),
    }
    for name, ask in calls.items():
        with pytest.raises(DtypeError, match=rf"^{name}: expected a Tensor, got .*minicnn\.tensor"):
            ask(minicnn.nn.functional)
    with pytest.raises(DtypeError, match=r"0.*expected a Tensor"):
        minicnn.nn.Sequential(minicnn.nn.ReLU())(value)


@pytest.mark.parametrize(
    "make",
    [
        lambda lib, x, t: lib.nn.functional.cross_entropy(x, t, None, None, 2),
        lambda lib, x, t: lib.nn.functional.cross_entropy(x, t, None, None, 1, None, "sum", 0.1),
        lambda lib, x, t: lib.nn.functional.cross_entropy(x, t, size_average=False),
        lambda lib, x, t: lib.nn.functional.cross_entropy(x, t, reduce=False),
        lambda lib, x, t: lib.nn.functional.cross_entropy(x, t, None, True, -100, True),
        lambda lib, x, t: lib.nn.functional.nll_loss(x, t, None, None, 2, None, "sum"),
        lambda lib, x, t: lib.nn.functional.mse_loss(x, x.detach() + 1, None, None, "sum"),
        lambda lib, x, t: lib.nn.functional.l1_loss(x, x.detach() + 1, False),
        lambda lib, x, t: lib.nn.functional.smooth_l1_loss(
            x, x.detach() + 1, None, None, "sum", 2.0
        ),
        lambda lib, x, t: lib.nn.functional.binary_cross_entropy_with_logits(
            x, (x.detach() > 0).double(), None, None, None, "sum"
        ),
        lambda lib, x, t: lib.nn.CrossEntropyLoss(None, None, 2)(x, t),
        lambda lib, x, t: lib.nn.NLLLoss(None, None, 2, None, "sum")(x, t),
        lambda lib, x, t: lib.nn.MSELoss(None, None, "sum")(x, x.detach() + 1),
        lambda lib, x, t: lib.nn.L1Loss(False)(x, x.detach() + 1),
        lambda lib, x, t: lib.nn.SmoothL1Loss(None, None, "none", 0.5)(x, x.detach() + 1),
        lambda lib, x, t: lib.nn.BCEWithLogitsLoss(None, None, None, "sum")(
            x, (x.detach() > 0).double()
        ),
        lambda lib, x, t: lib.nn.functional.cross_entropy(x, t, label_smoothing="a"),
    ],
)
def test_losses_take_torchs_positions_and_its_old_flags(make):
    assert not same_outcome(make, x_of(5, 3), LABELS)


@pytest.mark.parametrize(
    "name", ["Linear", "Flatten", "Dropout", "Dropout2d", "ReLU", "Sequential"]
)
def test_layers_take_their_input_by_torchs_name(name):
    arguments = {"Linear": (4, 2), "Dropout": (0.0,), "Dropout2d": (0.0,)}.get(name, ())
    assert not same_outcome(
        lambda lib, x: getattr(lib.nn, name)(*arguments)(input=x).sum() * 0, x_of(2, 3, 4, 4)
    )


def test_where_the_network_has_become_nan_gradients_pass_as_in_torch():
    x = np.array([np.nan, -1.0, 2.0])
    for name in ("relu", "elu", "leaky_relu", "hardtanh", "silu", "gelu", "sigmoid", "tanh"):
        for rung in ("numpy", "numba"):
            assert not same_outcome(call(name), x, rung=rung), name
