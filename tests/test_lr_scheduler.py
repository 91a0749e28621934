"""Every schedule against torch's over 50 steps: several groups, chains, resuming, refusals."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from oracle import relative_error

import minicnn
from minicnn import optim
from minicnn.errors import ArgumentError, CheckpointError
from minicnn.optim import lr_scheduler

Make = Callable[[Any, Any], Any]  # (the library's lr_scheduler module, optimizer) -> scheduler


def seq(*parts: Make, milestones: list[int]) -> Make:
    return lambda S, o: S.SequentialLR(o, [part(S, o) for part in parts], milestones)


SCHEDULES: dict[str, Make] = {
    "step": lambda S, o: S.StepLR(o, 7, gamma=0.5),
    "step positional": lambda S, o: S.StepLR(o, 3, 0.9),
    "step at every epoch": lambda S, o: S.StepLR(o, step_size=1, gamma=0.97),
    "step to nothing": lambda S, o: S.StepLR(o, 9, gamma=0.0),
    "multi step": lambda S, o: S.MultiStepLR(o, [5, 20, 21], gamma=0.3),
    "multi step, unsorted and twice": lambda S, o: S.MultiStepLR(o, (30, 4, 4, 0)),
    "exponential": lambda S, o: S.ExponentialLR(o, 0.93),
    "lambda": lambda S, o: S.LambdaLR(o, lambda epoch: 1 / (1 + epoch)),
    "lambda per group": lambda S, o: S.LambdaLR(
        o, [lambda epoch: 0.95**epoch, lambda epoch: float(epoch % 3), lambda epoch: 1.0]
    ),
    "linear": lambda S, o: S.LinearLR(o),
    "linear down": lambda S, o: S.LinearLR(o, 1.0, 0.0, 20),
    "linear up": lambda S, o: S.LinearLR(o, start_factor=0.01, end_factor=0.8, total_iters=33),
    "linear of no length": lambda S, o: S.LinearLR(o, total_iters=0),
    "cosine": lambda S, o: S.CosineAnnealingLR(o, 50),
    "cosine with a floor, up again": lambda S, o: S.CosineAnnealingLR(o, T_max=11, eta_min=1e-3),
    "cosine of one epoch": lambda S, o: S.CosineAnnealingLR(o, 1, 0.01),
    "one cycle": lambda S, o: S.OneCycleLR(o, 1.0, total_steps=51),
    "one cycle, linear": lambda S, o: S.OneCycleLR(
        o, 0.7, 60, pct_start=0.25, anneal_strategy="linear", div_factor=10, final_div_factor=100
    ),
    "one cycle, three phases": lambda S, o: S.OneCycleLR(
        o, [0.1, 0.2, 0.3], epochs=6, steps_per_epoch=9, three_phase=True, pct_start=0.4
    ),
    "one cycle, own momenta": lambda S, o: S.OneCycleLR(
        o, 1.0, 50, base_momentum=[0.7, 0.8, 0.75], max_momentum=0.9
    ),
    "one cycle, no momentum": lambda S, o: S.OneCycleLR(o, 1.0, 52, cycle_momentum=False),
    "one cycle, no way up": lambda S, o: S.OneCycleLR(o, 1.0, 50, pct_start=0.0),
    "sequence": seq(
        lambda S, o: S.LinearLR(o, 0.1, total_iters=5),
        lambda S, o: S.CosineAnnealingLR(o, 45),
        milestones=[5],
    ),
    "sequence of many": seq(
        lambda S, o: S.ExponentialLR(o, 0.8),
        lambda S, o: S.StepLR(o, 4, 0.5),
        lambda S, o: S.MultiStepLR(o, [0, 3, 9]),
        lambda S, o: S.LambdaLR(o, lambda epoch: 1 / (epoch + 2)),
        lambda S, o: S.LinearLR(o),
        milestones=[6, 15, 30, 41],
    ),
    "sequence that begins with the second": seq(
        lambda S, o: S.LinearLR(o), lambda S, o: S.StepLR(o, 5), milestones=[0]
    ),
}
every_schedule = pytest.mark.parametrize("name", SCHEDULES)
OPTIMIZERS = {"SGD": {"momentum": 0.9}, "Adam": {"betas": (0.8, 0.99)}}


def optimizer(lib: Any, kind: str = "SGD") -> Any:
    """Three groups with rates of their own."""
    groups = [
        {"params": [lib.ones(2, requires_grad=True)], "lr": lr} if lr else
        {"params": [lib.ones(3, requires_grad=True)]}
        for lr in (0.5, 0.02, None)
    ]  # fmt: skip
    return getattr(lib.optim, kind)(groups, lr=0.1, **OPTIMIZERS[kind])


def rates(optimizer: Any) -> list[float]:
    """All that a schedule may change."""
    found = []
    for group in optimizer.param_groups:
        momentum = group["betas"] if "betas" in group else (group["momentum"],)
        found += [group["lr"], *momentum]
    return found


def trace(lib: Any, make: Make, steps: int, kind: str = "SGD") -> np.ndarray:
    o = optimizer(lib, kind)
    scheduler = make(lib.optim.lr_scheduler, o)
    rows = [rates(o)]
    o.step()  # torch warns if the first step is the scheduler's
    for _ in range(steps):
        scheduler.step()
        rows.append(rates(o))
        assert scheduler.get_last_lr() == [group["lr"] for group in o.param_groups]
    return np.array(rows)


@pytest.mark.parametrize("kind", OPTIMIZERS)
@every_schedule
def test_fifty_steps(name, kind):
    ours, theirs = (trace(lib, SCHEDULES[name], 50, kind) for lib in (minicnn, torch))
    np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-15)


def test_the_rates_are_the_formulas():
    """By hand, so that torch and this are not wrong together."""
    p = minicnn.ones(1, requires_grad=True)

    def rates_of(make: Callable[[Any], Any], steps: int) -> list[float]:
        o = optim.SGD([p], lr=2.0)
        s = make(o)
        found = [o.param_groups[0]["lr"]]
        for _ in range(steps):
            s.step()
            found.append(o.param_groups[0]["lr"])
        return found

    assert rates_of(lambda o: lr_scheduler.StepLR(o, 2, 0.5), 5) == [2, 2, 1, 1, 0.5, 0.5]
    assert rates_of(lambda o: lr_scheduler.LinearLR(o, 0.5, total_iters=2), 3) == [1, 1.5, 2, 2]
    halfway = rates_of(lambda o: lr_scheduler.CosineAnnealingLR(o, 4), 4)
    assert halfway == pytest.approx([2, 1 + math.sqrt(0.5), 1, 1 - math.sqrt(0.5), 0])
    up = rates_of(
        lambda o: lr_scheduler.OneCycleLR(
            o, 8.0, 5, pct_start=0.6, div_factor=4, final_div_factor=2, cycle_momentum=False
        ),
        4,
    )
    assert up == pytest.approx([2, 5, 8, 4.5, 1])


@pytest.mark.parametrize(
    "name", [name for name in SCHEDULES if not name.startswith(("one cycle", "sequence"))]
)
def test_two_schedules_on_one_optimizer(name):
    def both(S: Any, o: Any) -> Any:
        first, second = SCHEDULES[name](S, o), S.ExponentialLR(o, 0.9)

        class Both:
            def step(self) -> None:
                first.step()
                second.step()

            get_last_lr = second.get_last_lr

        return Both()

    ours, theirs = (trace(lib, both, 50) for lib in (minicnn, torch))
    np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-15)


@every_schedule
def test_state_round_trip(name):
    make = SCHEDULES[name]
    whole = trace(minicnn, make, 50)
    o = optimizer(minicnn)
    scheduler = make(lr_scheduler, o)
    for _ in range(17):
        scheduler.step()
    state, groups = scheduler.state_dict(), o.state_dict()
    json.dumps(state)  # plain values: they fit into a checkpoint
    for _ in range(9):
        scheduler.step()  # the saved states stay as they are

    other = optimizer(minicnn)
    resumed = make(lr_scheduler, other)
    other.load_state_dict(groups)
    resumed.load_state_dict(state)
    assert resumed.get_last_lr() == [group["lr"] for group in other.param_groups]
    assert resumed.last_epoch == 17
    for row in whole[18:]:
        resumed.step()
        assert rates(other) == row.tolist()


@pytest.mark.parametrize(
    "name", ["step", "multi step", "exponential", "lambda", "linear up", "cosine", "one cycle"]
)
@pytest.mark.parametrize("epoch", [0, 5, 6, 13])
def test_last_epoch_goes_on_with_a_loaded_optimizer(name, epoch):
    found = []
    for lib in (minicnn, torch):
        S = lib.optim.lr_scheduler
        o = optimizer(lib)
        first = SCHEDULES[name](S, o)
        o.step()
        for _ in range(epoch):
            first.step()
        other = optimizer(lib)
        other.load_state_dict(o.state_dict())

        class From:
            """The library's schedulers, with last_epoch given."""

            def __getattr__(self, kind: str, S: Any = S) -> Any:
                return lambda *a, **k: getattr(S, kind)(*a, last_epoch=epoch, **k)

        second = SCHEDULES[name](From(), other)
        rows = [rates(other)]
        other.step()
        for _ in range(10):
            second.step()
            rows.append(rates(other))
        found.append(rows)
    np.testing.assert_allclose(found[0], found[1], rtol=1e-9)


@pytest.mark.parametrize("mode", ["min", "max"])
@pytest.mark.parametrize("threshold_mode", ["rel", "abs"])
@pytest.mark.parametrize("options", [
    {"patience": 2},
    {"patience": 0, "factor": 0.5, "cooldown": 3},
    {"patience": 1, "threshold": 0.05, "min_lr": [0.1, 0.001, 0.0]},
    {"patience": 1, "min_lr": 0.01, "eps": 1e-3},
])  # fmt: skip
def test_reduce_on_plateau(mode, threshold_mode, options):
    rng = np.random.default_rng(0)
    metrics = np.cumsum(rng.standard_normal(50)) + 10 / np.arange(1, 51)
    metrics[20] = np.nan
    metrics[35:] = (np.nanmin if mode == "min" else np.nanmax)(metrics)  # as good as the best
    found = []
    for lib in (minicnn, torch):
        o = optimizer(lib)
        s = lib.optim.lr_scheduler.ReduceLROnPlateau(
            o, mode, threshold_mode=threshold_mode, **options
        )
        rows = []
        for i, metric in enumerate(metrics.tolist()):
            s.step(lib.tensor(metric) if i % 2 else metric)
            rows.append([*rates(o), s.num_bad_epochs, s.last_epoch])
            assert s.get_last_lr() == [group["lr"] for group in o.param_groups]
        found.append(rows)
    assert np.unique(np.array(found[1])[:, 0]).size > 1, "the case never reduces"
    np.testing.assert_allclose(found[0], found[1], rtol=1e-12)


def test_reduce_on_plateau_state_round_trip():
    def make(o: Any) -> Any:
        return lr_scheduler.ReduceLROnPlateau(o, patience=2, cooldown=1)

    o = optimizer(minicnn)
    s = make(o)
    for metric in (1.0, 2.0, 2.0, 2.0, 2.0):
        s.step(metric)
    other = optimizer(minicnn)
    t = make(other)
    other.load_state_dict(o.state_dict())
    t.load_state_dict(s.state_dict())
    for metric in (2.0, 2.0, 2.0, 0.5, 2.0):
        s.step(metric)
        t.step(metric)
        assert rates(o) == rates(other)
    assert s.state_dict() == t.state_dict()


def test_a_schedule_of_ones_own():
    class Halving(lr_scheduler.LRScheduler):
        def get_lr(self):
            return [base / 2**self.last_epoch for base in self.base_lrs]

    o = optimizer(minicnn)
    s = Halving(o)
    assert s.get_last_lr() == [0.5, 0.02, 0.1]
    s.step()
    assert [g["lr"] for g in o.param_groups] == [0.25, 0.01, 0.05]
    assert s.base_lrs == [0.5, 0.02, 0.1]
    assert [g["initial_lr"] for g in o.param_groups] == s.base_lrs


def test_sequences_nest():
    """Where torch's own nested sequence skips an epoch, so by hand."""
    p = minicnn.ones(1, requires_grad=True)
    o = optim.SGD([p], lr=1.0)
    S = lr_scheduler
    inner = S.SequentialLR(o, [S.ExponentialLR(o, 0.5), S.StepLR(o, 1, 0.1)], [2])
    s = S.SequentialLR(o, [S.LinearLR(o, 0.5, total_iters=1), inner], [2])
    found = [o.param_groups[0]["lr"]]
    for _ in range(6):
        s.step()
        found.append(o.param_groups[0]["lr"])
    assert found == pytest.approx([0.5, 1, 1, 0.5, 1, 0.1, 0.01])


def test_the_schedule_is_what_the_optimizer_steps_with():
    p = minicnn.tensor([1.0], requires_grad=True)
    o = optim.SGD([p], lr=0.5)
    s = lr_scheduler.ExponentialLR(o, 0.5)
    for expected in (0.5, 0.25, 0.125):
        p.grad = minicnn.ones(1)
        o.step()
        s.step()
        assert p.item() == expected


def test_adding_a_schedule_keeps_the_optimizer_as_torch_has_it():
    for name, make in SCHEDULES.items():
        keys = []
        for lib in (minicnn, torch):
            o = optimizer(lib)
            make(lib.optim.lr_scheduler, o)
            keys.append([group.keys() for group in o.param_groups])
        assert keys[0] == keys[1], name


# --------------------------------------------------------------------------------------- refusals


REFUSED: dict[str, tuple[str, Make]] = {
    "optimizer": ("StepLR: expected an Optimizer, got list", lambda S, o: S.StepLR([], 2)),
    "one cycle optimizer": ("OneCycleLR: .*Optimizer", lambda S, o: S.OneCycleLR(None, 1.0, 5)),
    "last epoch": ('StepLR: last_epoch=3 .*"initial_lr"', lambda S, o: S.StepLR(o, 2, 0.1, 3)),
    "lambdas": ("LambdaLR: .*2 values for 3 groups", lambda S, o: S.LambdaLR(o, [abs, abs])),
    "linear start": ("LinearLR: start_factor.*got 0", lambda S, o: S.LinearLR(o, 0)),
    "linear start 2": ("LinearLR: start_factor.*got 1.5", lambda S, o: S.LinearLR(o, 1.5)),
    "linear end": ("LinearLR: end_factor.*got -1", lambda S, o: S.LinearLR(o, 1.0, -1)),
    "no length": ("OneCycleLR: give total_steps", lambda S, o: S.OneCycleLR(o, 1.0)),
    "half a length": ("OneCycleLR: give total", lambda S, o: S.OneCycleLR(o, 1.0, epochs=3)),
    "zero length": ("OneCycleLR: total_steps .*got 0", lambda S, o: S.OneCycleLR(o, 1.0, 0)),
    "odd length": ("OneCycleLR: total_steps .*2.5", lambda S, o: S.OneCycleLR(o, 1.0, 2.5)),
    "epochs": (
        "OneCycleLR: epochs .*got -1",
        lambda S, o: S.OneCycleLR(o, 1.0, epochs=-1, steps_per_epoch=3),
    ),
    "share": ("OneCycleLR: pct_start.*2", lambda S, o: S.OneCycleLR(o, 1.0, 9, pct_start=2.0)),
    "strategy": (
        "OneCycleLR: anneal_strategy.*'sine'",
        lambda S, o: S.OneCycleLR(o, 1.0, 9, anneal_strategy="sine"),
    ),
    "rates": ("OneCycleLR: max_lr has 2", lambda S, o: S.OneCycleLR(o, [1.0, 2.0], 9)),
    "no schedules": ("SequentialLR: 0 schedulers", lambda S, o: S.SequentialLR(o, [], [1])),
    "milestones": (
        "SequentialLR: 2 schedulers need 1 milestones, got 0",
        lambda S, o: S.SequentialLR(o, [S.StepLR(o, 1), S.StepLR(o, 1)], []),
    ),
    "plateau in a sequence": (
        "SequentialLR: item 0 is a ReduceLROnPlateau",
        lambda S, o: S.SequentialLR(o, [S.ReduceLROnPlateau(o)], []),
    ),
    "factor": ("ReduceLROnPlateau: factor", lambda S, o: S.ReduceLROnPlateau(o, factor=1.0)),
    "mode": ("ReduceLROnPlateau: mode .*'up'", lambda S, o: S.ReduceLROnPlateau(o, "up")),
    "threshold mode": (
        "ReduceLROnPlateau: threshold_mode.*'x'",
        lambda S, o: S.ReduceLROnPlateau(o, threshold_mode="x"),
    ),
    "least rates": (
        "ReduceLROnPlateau: min_lr has 1 ",
        lambda S, o: S.ReduceLROnPlateau(o, min_lr=[0.1]),
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_torch_refuses_is_refused(name):
    pattern, make = REFUSED[name]
    with pytest.raises((ValueError, TypeError, KeyError)):
        make(torch.optim.lr_scheduler, optimizer(torch))
    with pytest.raises(ArgumentError, match=f"^{pattern}") as caught:
        make(lr_scheduler, optimizer(minicnn))
    assert "\n" not in str(caught.value)


def test_lengths_that_torch_divides_by_later_are_refused_at_once():
    for pattern, make in {
        "StepLR: step_size .*got 0": lambda o: lr_scheduler.StepLR(o, 0),
        "CosineAnnealingLR: T_max .*got 0": lambda o: lr_scheduler.CosineAnnealingLR(o, 0),
    }.items():
        with pytest.raises(ArgumentError, match=f"^{pattern}"):
            make(optimizer(minicnn))


def test_another_optimizers_schedule_in_a_sequence():
    o = optimizer(minicnn)
    foreign = lr_scheduler.StepLR(optimizer(minicnn), 3)
    with pytest.raises(ArgumentError, match=r"^SequentialLR: scheduler 0, a StepLR, belongs to"):
        lr_scheduler.SequentialLR(o, [foreign], [])


def test_momentum_to_cycle_must_be_there():
    class Plain(optim.Optimizer):
        def __init__(self, params):
            super().__init__(params, {"lr": 0.1})

    o = Plain([minicnn.ones(1, requires_grad=True)])
    with pytest.raises(ArgumentError, match=r"^OneCycleLR: Plain has neither .*cycle_momentum=F"):
        lr_scheduler.OneCycleLR(o, 1.0, 10)
    lr_scheduler.OneCycleLR(o, 1.0, 10, cycle_momentum=False)


def test_one_cycle_ends():
    found = []
    for lib in (minicnn, torch):
        o = optimizer(lib)
        s = lib.optim.lr_scheduler.OneCycleLR(o, 1.0, 5)
        o.step()
        for _ in range(5):
            s.step()
        found.append(rates(o))
        with pytest.raises(ValueError, match="step") as caught:
            s.step()
        if lib is minicnn:
            assert str(caught.value).startswith("OneCycleLR: step 6 is beyond the cycle's 5 steps")
    assert relative_error(found[0], found[1]) < 1e-12


def test_a_state_of_another_schedule_is_named():
    o = optimizer(minicnn)
    with pytest.raises(CheckpointError, match=r"^StepLR\.load_state_dict: .*lacks step_size"):
        lr_scheduler.StepLR(o, 3).load_state_dict(lr_scheduler.ExponentialLR(o, 0.9).state_dict())
    two = lr_scheduler.SequentialLR(
        o, [lr_scheduler.StepLR(o, 3), lr_scheduler.ExponentialLR(o, 0.9)], [4]
    )
    with pytest.raises(CheckpointError, match=r"^SequentialLR\.load_state_dict: .*0 schedulers"):
        two.load_state_dict(lr_scheduler.StepLR(o, 3).state_dict())


# ---------------------------------------------------------------------- torch's optimizer options


def test_options_of_optimizers_are_torchs():
    for kind, options in (
        ("SGD", {}),
        ("SGD", {"momentum": 0.9, "nesterov": True, "maximize": True, "foreach": True}),
        ("Adam", {"amsgrad": True, "fused": True}),
        ("AdamW", {"foreach": False}),
    ):
        ours, theirs = (
            getattr(lib.optim, kind)([lib.ones(2, requires_grad=True)], **options)
            for lib in (minicnn, torch)
        )
        assert repr(ours) == repr(theirs)
        assert ours.state_dict() == theirs.state_dict()


def test_parameters_with_names():
    for lib in (minicnn, torch):
        model = lib.nn.Linear(2, 2)
        o = lib.optim.SGD(model.named_parameters(), lr=0.5)
        assert o.param_groups[0]["params"][1] is model.bias
        assert o.state_dict()["param_groups"][0]["param_names"] == ["weight", "bias"]


def test_options_that_torch_refuses_or_that_need_more_are_refused():
    p = [minicnn.ones(1, requires_grad=True)]
    with pytest.raises(ArgumentError, match=r"^Adam: fused and foreach"):
        optim.Adam(p, fused=True, foreach=True)
    with pytest.raises(ArgumentError, match=r"^SGD: differentiable=True"):
        optim.SGD(p, differentiable=True)
    with pytest.raises(ArgumentError, match=r"^SGD: nesterov"):
        optim.SGD([{"params": p, "nesterov": True}])
