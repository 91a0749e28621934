"""What torch's tensors accept ours accept, to the same numbers; what they refuse is refused.

Reductions, shaping, indexing, arithmetic; then parameters of optimizers, schedulers and init.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from oracle import distinct, normal
from outcomes import combinations, same_outcome, table, unreadable

import minicnn
from minicnn import functions
from minicnn.errors import ArgumentError, DtypeError, MiniCNNError

SHAPES = [(3, 4), (2, 3, 4), (4,), (), (0, 3), (2, 0)]
DIMS = [0, 1, -1, 2, -3, (0, 1), (0, -1), (0, 0), None, 1.5, "a", [1]]


def x_of(*shape: int, dtype: str = "float64") -> np.ndarray:
    return normal(np.random.default_rng(3), *shape, dtype=dtype)


def method(name: str):
    """The method of the first tensor, called with the options by keyword."""
    return lambda lib, x, *more, **options: getattr(x, name)(*more, **options)


# ------------------------------------------------------------------------------------- reductions


@pytest.mark.parametrize("name", ["sum", "mean", "var", "std", "amax", "amin"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_reductions(name, shape):
    x = distinct(np.random.default_rng(0), *shape)
    table(
        {"dim": DIMS, "keepdim": [False, True]},
        method(name),
        x,
        # amax(None) is torch's amax(): it has no keyword None, and takes ().
        but=lambda dim, keepdim: name in ("amax", "amin") and dim is None,
    )


@pytest.mark.parametrize("name", ["max", "min", "argmax", "argmin"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_extremes(name, shape):
    x = distinct(np.random.default_rng(0), *shape)
    dims = [0, 1, -1, 2, -3, 1.5, "a", *([None] if name.startswith("arg") else [])]
    table({"dim": dims, "keepdim": [False, True]}, method(name), x)
    assert not same_outcome(lambda lib, x: getattr(x, name)(), x)


@pytest.mark.parametrize("name", ["cumsum", "all", "any", "prod"])
def test_reductions_along_one_dim(name):
    for shape in SHAPES:
        table({"dim": [0, 1, -1, 2, "a"]}, method(name), x_of(*shape))


@pytest.mark.parametrize(
    ("name", "dtype"),
    [  # torch refuses to find the first True; here argmax finds it
        (name, dtype)
        for name in ("sum", "mean", "max", "argmax")
        for dtype in ("int64", "uint8", "bool", "float16")
        if (name, dtype) != ("argmax", "bool")
    ],
)
def test_reductions_of_other_dtypes(name, dtype):
    x = (x_of(3, 4) * 3).astype(dtype)
    assert not same_outcome(lambda lib, x: getattr(x, name)(), x, tolerance=2e-3)
    table({"dim": [0, 1]}, method(name), x, tolerance=2e-3)


# ---------------------------------------------------------------------------------------- shaping

SIZES = [(12,), (3, 4), (2, 6), (-1,), (-1, 2), (5,), (0, -1), (-1, -1), (-2,), (2, 2, 3), ()]


@pytest.mark.parametrize("name", ["reshape", "view"])
@pytest.mark.parametrize("shape", [(3, 4), (12,), (), (0, 3)], ids=str)
def test_reshape_and_view(name, shape):
    x = x_of(*shape)
    table({"size": SIZES}, lambda lib, x, size: getattr(x, name)(size), x)
    table({"size": SIZES[:-1]}, lambda lib, x, size: getattr(x, name)(*size), x)
    table({"size": SIZES}, lambda lib, x, size: getattr(x.t(), name)(size), x_of(4, 3))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_axes(shape):
    x = x_of(*shape)
    dims = [0, 1, -1, 2, -3, "a"]
    for name in ("unsqueeze", "squeeze"):
        table({"dim": dims}, method(name), x)
    assert not same_outcome(lambda lib, x: x.squeeze(), x)
    table({"dim0": dims, "dim1": dims}, method("transpose"), x)
    table({"start_dim": dims, "end_dim": dims}, method("flatten"), x)
    orders = [(0, 1), (1, 0), (2, 1, 0), (0, 0), (0, -1), (0,), (), (0, 2, 1)]
    table({"order": orders}, lambda lib, x, order: x.permute(*order), x,
          but=lambda order: order == ())  # fmt: skip
    table({"order": orders}, lambda lib, x, order: x.permute(order), x)


@pytest.mark.parametrize("shape", [(1, 4), (3, 1), (1,), (), (3, 4)], ids=str)
def test_growing(shape):
    sizes = [(3, 4), (2, 3, 4), (-1, 4), (3, -1), (4,), (), (0, 4), (2, -1, 4), (-1, 3, 4)]
    table({"size": sizes}, lambda lib, x, size: x.expand(size), x_of(*shape))
    counts = [(2,), (2, 3), (1, 2, 3), (0, 2), (-1, 2), ()]
    table({"counts": counts}, lambda lib, x, counts: x.repeat(counts), x_of(*shape))


@pytest.mark.parametrize(
    "shapes",
    [
        [(2, 3), (2, 3)],
        [(2, 3), (4, 3)],
        [(2, 3), (2, 1)],
        [(2, 3), (3,)],
        [(), ()],
        [(3,)],
        [(0,), (2, 3)],
        [(0, 3), (2, 3)],
    ],
    ids=str,
)
def test_joining(shapes):
    arrays = [x_of(*shape) for shape in shapes]
    for name in ("cat", "stack"):
        table(
            {"dim": [0, 1, -1, 2, "a"]},
            lambda lib, *xs, dim, name=name: getattr(lib, name)(xs, dim=dim),
            *arrays,
        )
    for name in ("cat", "stack"):
        assert not same_outcome(lambda lib, name=name: getattr(lib, name)([]))


@pytest.mark.parametrize("name", ["split", "chunk"])
@pytest.mark.parametrize("shape", [(6, 4), (5,), (0, 3), ()], ids=str)
def test_cutting(name, shape):
    sizes = [1, 2, 4, 10, 0, -1, *([[2, 4], [5], [2, 3], [6, -1], []] if name == "split" else [])]
    table(
        {"size": sizes, "dim": [0, 1, -1]},
        lambda lib, x, size, dim: getattr(x, name)(size, dim),
        x_of(*shape),
    )


INDICES = [
    0, -1, 5, slice(None), slice(1, None, 2), slice(3, 1), (0, 1),
    (0, slice(None)),
    (slice(None), -1), Ellipsis, (Ellipsis, 0), (0, Ellipsis), None, (None, 0), (0, 0, 0, 0),
    [0, 2], ([0, 1], [1, 2]), (slice(None), [0, 1]), True, False, 1.5, "a", [5],
    ([0, 1], [0, 1, 2]),
]  # fmt: skip


@pytest.mark.parametrize("shape", [(3, 4), (3, 4, 2), (4,), (), (0, 3)], ids=str)
def test_indexing(shape):
    # Negative steps, which torch refuses, are read as NumPy reads them.
    table({"index": INDICES}, lambda lib, x, index: x[index], x_of(*shape))


# ------------------------------------------------------------------------------------- arithmetic


@pytest.mark.parametrize("operator", ["add", "sub", "mul", "div", "pow"])
@pytest.mark.parametrize(
    "other", [(3, 4), (4,), (3, 1), (1,), (), (3,), (2, 3, 4), (0, 4)], ids=str
)
def test_broadcasting(operator, other):
    a, b = np.abs(x_of(3, 4)) + 0.5, np.abs(x_of(*other)) + 0.5
    assert not same_outcome(lambda lib, x, y: getattr(x, operator)(y), a, np.asarray(b))


DTYPES = ["float32", "float64", "float16", "int64", "int32", "uint8", "bool"]


@pytest.mark.parametrize("operator", ["__add__", "__sub__", "__mul__", "__truediv__", "__lt__"])
def test_dtypes_meet(operator):
    table(
        {"a": DTYPES, "b": [*DTYPES, 2, 2.5, True, "a", None]},
        lambda lib, a, b: getattr(lib.ones(2, 3, dtype=getattr(lib, a)), operator)(
            lib.ones(3, dtype=getattr(lib, b)) if b in DTYPES else b
        ),
        # x + "a" is NotImplemented by both, and Python's own words.
        but=lambda a, b: b in ("a", None),
        tolerance=2e-3,
    )


@pytest.mark.parametrize(
    "name", ["exp", "log", "sqrt", "abs", "sin", "cos", "tanh", "sigmoid", "neg"]
)
def test_functions_of_any_dtype(name):
    table(
        {"dtype": DTYPES},
        lambda lib, dtype: getattr(lib, name)(lib.ones(2, 3, dtype=getattr(lib, dtype))),
        tolerance=2e-3,
    )


def test_clamp():
    limits = [None, -0.5, 0.5, 2, "a"]
    table({"min": limits, "max": limits}, method("clamp"), x_of(3, 4))


METHODS = [  # free functions made of Tensor's methods
    name
    for name, function in vars(functions).items()
    if getattr(function, "__module__", "") == functions.__name__
    and function.__code__.co_name == "function"
]


@pytest.mark.parametrize("value", [None, [1.0, 2.0], np.ones((2, 2), np.float32)], ids=type)
def test_what_is_no_tensor_is_refused_by_every_free_function_in_the_same_words(value):
    assert len(METHODS) > 50
    x = minicnn.ones(2, 2)
    calls = {name: lambda name=name: getattr(minicnn, name)(value) for name in METHODS}
    calls |= {
        "matmul": lambda: minicnn.matmul(x, value),
        "mm": lambda: x.mm(value),
        "bmm": lambda: minicnn.ones(1, 2, 2).bmm(value),
        "dot": lambda: x[0].dot(value),
        "allclose": lambda: minicnn.allclose(x, value),
        "equal": lambda: minicnn.equal(value, x),
        "cat": lambda: minicnn.cat([x, value]),
        "stack": lambda: minicnn.stack([value]),
    }
    for name, ask in calls.items():
        with pytest.raises(DtypeError, match=rf"^{name}: expected a Tensor, got .*minicnn\.tensor"):
            ask()


def test_lists_and_dimensions_that_are_none_are_refused_in_words():
    with pytest.raises(DtypeError, match=r"^cat: expected a list of Tensors, got NoneType\. Use"):
        minicnn.cat(None)
    with pytest.raises(ArgumentError, match=r"^softmax: dim must be an integer, got array"):
        minicnn.softmax(minicnn.ones(2, 2), np.ones(2))


# -------------------------------------------------------------------------- optimizers, schedulers


def same_settings(options: dict, make) -> None:
    """The constructor takes and refuses what torch's does; then steps give equal numbers."""
    wrong = []
    for chosen in combinations(options):
        found = []
        for lib in (torch, minicnn):
            p = lib.nn.Parameter(lib.ones(2, 3, dtype=lib.float64))
            try:
                stepper = make(lib, [p], **chosen)
                for k in range(3):
                    (p * p * (k + 1.0)).sum().backward()
                    stepper.step()
                    p.grad = None
                found.append(p.detach().numpy())
            except Exception as error:
                found.append(None if lib is torch or not unreadable(error) else error)
        theirs, ours = found
        if isinstance(ours, Exception) or (theirs is None) != (ours is None):
            wrong.append(f"{chosen}: torch {theirs}, minicnn {ours!r}")
        elif theirs is not None:
            np.testing.assert_allclose(ours, theirs, rtol=1e-10, err_msg=str(chosen))
    assert not wrong, "\n".join(wrong)


RATES = [0.1, 0, -1, 1, "a", None]


def test_sgd():
    same_settings(
        {
            "lr": [0.1, 0, -1, "a"],
            "momentum": [0, 0.9, -0.5],
            "dampening": [0, 0.5],
            "weight_decay": [0, 0.1, -1],
            "nesterov": [False, True],
            "maximize": [False, True],
        },
        lambda lib, p, **o: lib.optim.SGD(p, **o),
    )


@pytest.mark.parametrize("name", ["Adam", "AdamW"])
def test_adam(name):
    same_settings(
        {
            "lr": [0.1, 0, -1],
            "betas": [(0.9, 0.999), (0.0, 0.5), (1.0, 0.9), (0.9, -1), (0.9,), 0.9],
            "eps": [1e-8, 0.1, -1],
            "weight_decay": [0, 0.1, -1],
            "amsgrad": [False, True],
        },
        lambda lib, p, **o: getattr(lib.optim, name)(p, **o),
    )


class Both:
    """An optimizer and its scheduler, stepped together."""

    def __init__(self, optimizer, scheduler):
        self.optimizer, self.scheduler = optimizer, scheduler

    def step(self):
        self.optimizer.step()
        self.scheduler.step()


SCHEDULES = {
    "StepLR": {"step_size": [1, 2], "gamma": [0.1, 1, 2.0]},
    "MultiStepLR": {"milestones": [[1, 2], [2, 1], [], [1, 1]], "gamma": [0.1, 0.5]},
    "ExponentialLR": {"gamma": [0.5, 1.0, 2.0]},
    "CosineAnnealingLR": {"T_max": [1, 2, 10], "eta_min": [0, 0.01]},
    "LinearLR": {
        "start_factor": [1 / 3, 1.0, 0.0, 1.5, -1],
        "end_factor": [1.0, 0.0, 0.5, 1.5, -1],
        "total_iters": [1, 2, 5],
    },
    "OneCycleLR": {
        "max_lr": [0.5],
        "total_steps": [5, 4, None],
        "pct_start": [0.3, 0.0, 1.0, 1.5, -0.1],
        "anneal_strategy": ["cos", "linear", "exp"],
        "three_phase": [False, True],
    },
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", SCHEDULES)
def test_schedulers(name):
    def make(lib, p, **options):
        optimizer = lib.optim.SGD(p, lr=0.1, momentum=0.9)
        return Both(optimizer, getattr(lib.optim.lr_scheduler, name)(optimizer, **options))

    same_settings(SCHEDULES[name], make)


# --------------------------------------------------------------------------------- clipping, init


@pytest.mark.parametrize("norm_type", [2, 1, 2.0, float("inf"), 3, 0, -1])
@pytest.mark.parametrize("max_norm", [1, 0.1, 100, 0])
def test_clip_grad_norm(max_norm, norm_type):
    found = []
    for lib in (torch, minicnn):
        ps = [lib.nn.Parameter(lib.from_numpy(x_of(*shape))) for shape in ((3, 2), (4,), (2,))]
        sum((p * p).sum() for p in ps[:2]).backward()  # the third has no gradient
        total = lib.nn.utils.clip_grad_norm_(ps, max_norm, norm_type)
        found.append([total.item(), *(p.grad.numpy() for p in ps[:2])])
    for ours, theirs in zip(*reversed(found), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-10)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", [
    "kaiming_uniform_", "kaiming_normal_", "xavier_uniform_", "xavier_normal_", "orthogonal_",
    "eye_", "dirac_", "zeros_", "ones_", "uniform_", "normal_", "trunc_normal_",
])  # fmt: skip
def test_init_takes_the_same_shapes(name):
    for shape in ((4, 3), (4, 3, 2), (4, 3, 2, 2), (4,), (), (0, 3), (4, 3, 2, 2, 2)):
        accepted = []
        for lib in (torch, minicnn):
            try:
                getattr(lib.nn.init, name)(lib.empty(shape))
                accepted.append(True)
            except Exception as error:
                readable = isinstance(error, MiniCNNError) and ". " in str(error)
                accepted.append(False if lib is torch or readable else error)
        assert accepted[0] == accepted[1], (shape, accepted)
