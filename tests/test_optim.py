"""SGD, Adam and AdamW against torch's over twenty steps; groups; state that passes both ways."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from oracle import TOLERANCE, normal, relative_error

import minicnn
from minicnn import optim
from minicnn.errors import ArgumentError, CheckpointError

SHAPES = ((4, 3, 3, 2), (7,), (5, 6), ())
CASES = [
    ("SGD", {"lr": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.9}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.3}),
    ("SGD", {"lr": 0.1, "weight_decay": 0.05}),
    ("SGD", {"lr": 0.1, "momentum": 0.8, "weight_decay": 0.05, "nesterov": True}),
    ("SGD", {"lr": 0.0, "momentum": 0.9}),
    ("Adam", {}),
    ("Adam", {"lr": 0.05, "betas": (0.8, 0.95), "eps": 1e-3}),
    ("Adam", {"lr": 0.05, "weight_decay": 0.1}),
    ("Adam", {"lr": 0.05, "betas": (0.0, 0.0)}),
    ("Adam", {"lr": 0.05, "amsgrad": True, "weight_decay": 0.1}),
    ("Adam", {"lr": 0.05, "weight_decay": 0.1, "decoupled_weight_decay": True}),
    ("Adam", {"lr": 0.05, "maximize": True, "foreach": True}),
    ("AdamW", {"lr": 0.05, "amsgrad": True, "maximize": True}),
    ("SGD", {"lr": 0.1, "maximize": True, "momentum": 0.9, "weight_decay": 0.05, "fused": False}),
    ("AdamW", {"lr": 0.05}),
    ("AdamW", {"lr": 0.05, "weight_decay": 0.2, "betas": (0.7, 0.9)}),
]
every_case = pytest.mark.parametrize(
    ("name", "options"), CASES, ids=[f"{n}-{'-'.join(map(str, o.values()))}" for n, o in CASES]
)


def parameters(lib, dtype: str) -> list:
    rng = np.random.default_rng(0)
    return [lib.tensor(normal(rng, *s, dtype=dtype), requires_grad=True) for s in SHAPES]


def run(lib, params: list, optimizer, steps: int, start: int = 0) -> None:
    """Steps down gradients that change direction and size, and are missing now and then."""
    for step in range(start, start + steps):
        optimizer.zero_grad()
        for i, p in enumerate(params):
            if (step + i) % 7 == 3:
                continue  # no gradient: the parameter and its state stay as they are
            rng = np.random.default_rng([step, i])
            g = normal(rng, *p.shape, dtype="float64") * 10.0 ** rng.integers(-3, 2)
            p.grad = lib.tensor(np.asarray(g, str(p.dtype).removeprefix("torch.")))
        optimizer.step()


def assert_equal(ours: list, theirs: list, dtype: str) -> None:
    for a, b in zip(ours, theirs, strict=True):
        assert a.dtype == dtype
        assert relative_error(a.detach().numpy(), b.detach().numpy()) <= TOLERANCE[dtype]


@every_case
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_twenty_steps(rung, dtype, name, options):
    ours, theirs = parameters(minicnn, dtype), parameters(torch, dtype)
    with minicnn.use_backend(rung):
        run(minicnn, ours, getattr(optim, name)(ours, **options), 20)
    run(torch, theirs, getattr(torch.optim, name)(theirs, **options), 20)
    assert_equal(ours, theirs, dtype)


def test_parameters_that_are_not_contiguous(rung):
    base = normal(np.random.default_rng(0), 4, 6)
    ours = [minicnn.from_numpy(base.copy().T[::2]).requires_grad_()]
    theirs = [torch.tensor(np.ascontiguousarray(base.T[::2]), requires_grad=True)]
    with minicnn.use_backend(rung):
        run(minicnn, ours, optim.Adam(ours, lr=0.1), 5)
    run(torch, theirs, torch.optim.Adam(theirs, lr=0.1), 5)
    assert_equal(ours, theirs, "float64")


def test_gradients_that_are_not_contiguous_and_stay_as_they_are(rung):
    p = minicnn.zeros(3, 4, dtype=minicnn.float64, requires_grad=True)
    g = normal(np.random.default_rng(0), 4, 3)
    for make in (
        lambda: optim.SGD([p], lr=0.1, momentum=0.9, weight_decay=0.1, nesterov=True),
        lambda: optim.Adam([p], weight_decay=0.1),
        lambda: optim.AdamW([p]),
    ):
        p.grad = minicnn.from_numpy(g).t()
        kept = g.copy()
        optimizer = make()
        with minicnn.use_backend(rung):
            optimizer.step()
            optimizer.step()
        np.testing.assert_array_equal(g, kept)


def test_zero_grad_forgets_gradients():
    p = minicnn.ones(2, requires_grad=True)
    optimizer = optim.SGD([p])
    (p * 2).sum().backward()
    optimizer.zero_grad()
    assert p.grad is None
    before = p.tolist()
    optimizer.step()
    assert p.tolist() == before


def test_step_takes_a_closure():
    p = minicnn.tensor([3.0], requires_grad=True)
    optimizer = optim.SGD([p], lr=0.1)

    def closure():
        optimizer.zero_grad()
        loss = (p * p).sum()
        loss.backward()
        return loss

    with minicnn.no_grad():
        loss = optimizer.step(closure)
    assert loss.item() == 9
    assert p.item() == pytest.approx(3 - 0.1 * 6)


# ------------------------------------------------------------------------------ parameter groups


def test_groups_have_options_of_their_own(rung):
    def make(lib, params):
        return lib.optim.SGD(
            [
                {"params": params[:2], "lr": 0.5},
                {"params": params[2], "momentum": 0.9, "weight_decay": 0.1},
            ],
            lr=0.01,
        )

    ours, theirs = parameters(minicnn, "float64"), parameters(torch, "float64")
    a, b = make(minicnn, ours), make(torch, theirs)
    for lib, params, optimizer in ((minicnn, ours, a), (torch, theirs, b)):
        optimizer.add_param_group({"params": [params[3]], "lr": 0.2})
        with minicnn.use_backend(rung):
            run(lib, params, optimizer, 8)
            optimizer.param_groups[0]["lr"] = 0.001  # what a schedule does
            run(lib, params, optimizer, 8, start=8)
    assert_equal(ours, theirs, "float64")
    assert [g["lr"] for g in a.param_groups] == [g["lr"] for g in b.param_groups]


def test_what_is_no_parameter_or_option():
    p = minicnn.ones(2, requires_grad=True)
    for pattern, make in {
        r"^SGD: .*iterable.*one Tensor.*model\.parameters\(\)": lambda: optim.SGD(p),
        r"^Adam: got no parameters": lambda: optim.Adam([]),
        r"^SGD: can only optimise tensors, got ndarray": lambda: optim.SGD([p.detach().numpy()]),
        r"^SGD: .*leaf": lambda: optim.SGD([p * 2]),
        r"^SGD: .*more than one group": lambda: optim.SGD([{"params": [p]}, {"params": [p]}]),
        r"^SGD: lr must be a number >= 0, got -1": lambda: optim.SGD([p], lr=-1),
        r"^Adam: lr must be .* got nan": lambda: optim.Adam([p], lr=float("nan")),
        r"^SGD: momentum": lambda: optim.SGD([p], momentum=-0.1),
        r"^SGD: nesterov needs momentum": lambda: optim.SGD([p], nesterov=True),
        r"^AdamW: betas .*\(0\.9, 1\.0\)": lambda: optim.AdamW([p], betas=(0.9, 1.0)),
        r"^Adam: weight_decay": lambda: optim.Adam([p], weight_decay=-1),
        r"^Adam: eps": lambda: optim.Adam([p], eps=-1),
    }.items():
        with pytest.raises(ArgumentError, match=pattern) as caught:
            make()
        assert "\n" not in str(caught.value)


# ------------------------------------------------------------------------------------------- state


@every_case
def test_state_round_trip_continues_to_the_same_bits(name, options):
    params = parameters(minicnn, "float32")
    optimizer = getattr(optim, name)(params, **options)
    run(minicnn, params, optimizer, 6)
    saved = copy.deepcopy(optimizer.state_dict())
    resumed = [minicnn.tensor(p.detach(), requires_grad=True) for p in params]
    other = getattr(optim, name)(resumed, lr=9.0)
    other.load_state_dict(saved)
    for ps, o in ((params, optimizer), (resumed, other)):
        run(minicnn, ps, o, 6, start=6)
    for a, b in zip(params, resumed, strict=True):
        np.testing.assert_array_equal(a.detach().numpy(), b.detach().numpy())


def converted(value, tensor):
    """A state dict with each tensor turned into the other library's."""
    if isinstance(value, dict):
        return {k: converted(v, tensor) for k, v in value.items()}
    if isinstance(value, list):
        return [converted(v, tensor) for v in value]
    return tensor(np.array(value)) if hasattr(value, "numpy") else value


@every_case
def test_state_passes_to_torch_and_back(name, options):
    ours, theirs = parameters(minicnn, "float64"), parameters(torch, "float64")
    a, b = getattr(optim, name)(ours, **options), getattr(torch.optim, name)(theirs, **options)
    run(minicnn, ours, a, 5)
    run(torch, theirs, b, 5)
    to_torch, from_torch = a.state_dict(), b.state_dict()
    assert to_torch["state"].keys() == from_torch["state"].keys()
    for i, state in to_torch["state"].items():
        theirs_i = {k: v for k, v in from_torch["state"][i].items() if v is not None}
        assert state.keys() == theirs_i.keys()
    for key in ("params", *options):
        assert to_torch["param_groups"][0][key] == from_torch["param_groups"][0][key]

    new_ours, new_theirs = parameters(minicnn, "float64"), parameters(torch, "float64")
    for lib, new, old in ((minicnn, new_ours, theirs), (torch, new_theirs, ours)):
        for p, q in zip(new, old, strict=True):
            p.data = lib.tensor(q.detach().numpy())
    c, d = getattr(optim, name)(new_ours), getattr(torch.optim, name)(new_theirs)
    c.load_state_dict(from_torch)  # torch's own tensors are taken as they are
    d.load_state_dict(converted(to_torch, torch.tensor))
    for lib, params, optimizer in (
        (minicnn, ours, a), (torch, theirs, b), (minicnn, new_ours, c), (torch, new_theirs, d),
    ):  # fmt: skip
        run(lib, params, optimizer, 5, start=5)
    for same in (theirs, new_ours, new_theirs):
        for p, q in zip(ours, same, strict=True):
            assert relative_error(p.detach().numpy(), q.detach().numpy()) <= 1e-8


def test_loading_copies_the_state():
    p = minicnn.ones(2, requires_grad=True)
    optimizer = optim.Adam([p])
    p.grad = minicnn.ones(2)
    optimizer.step()
    saved = optimizer.state_dict()
    other = optim.Adam([minicnn.ones(2, requires_grad=True)])
    other.load_state_dict(saved)
    optimizer.step()
    (state,) = other.state.values()
    assert state["step"].item() == 1
    assert state["exp_avg"].tolist() == pytest.approx([0.1, 0.1])


def test_state_that_does_not_fit_is_named():
    p, q = minicnn.ones(2, requires_grad=True), minicnn.ones(3, requires_grad=True)
    optimizer = optim.Adam([p])
    p.grad = minicnn.ones(2)
    optimizer.step()
    with pytest.raises(CheckpointError, match=r"^Adam\.load_state_dict: .*\[1\].*\[2\]"):
        optim.Adam([p, q]).load_state_dict(optimizer.state_dict())
    with pytest.raises(CheckpointError, match=r"^load_state_dict: exp_avg .*\(2,\).*\(3,\)"):
        optim.Adam([q]).load_state_dict(optimizer.state_dict())


def test_repr_shows_the_groups():
    text = repr(optim.SGD([minicnn.ones(1)], lr=0.5))
    assert text.startswith("SGD (\nParameter Group 0\n")
    assert "    lr: 0.5\n" in text
    assert text.endswith(")")


def test_steps_do_not_depend_on_the_rung():
    found = []
    for rung in ("loops", "numpy", "numba"):
        params = parameters(minicnn, "float64")
        with minicnn.use_backend(rung):
            run(minicnn, params, optim.Adam(params, lr=0.1), 5)
        found.append(params)
    for other in found[1:]:
        for a, b in zip(found[0], other, strict=True):
            assert relative_error(a.detach().numpy(), b.detach().numpy()) <= 1e-12
