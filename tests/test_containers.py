"""Containers, Identity and Dropout2d: what they hold, save, print and pass on, beside torch's."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import numpy as np
import pytest
import torch
from oracle import check, normal

import minicnn
import minicnn.nn.functional as F
from minicnn import nn
from minicnn.errors import ArgumentError, DtypeError, OutOfRangeError, ShapeError

LIBRARIES = (minicnn, torch)


def layers(nn: Any, *sizes: int) -> list[Any]:
    """Linear layers that differ in their number of outputs."""
    return [nn.Linear(2, n) for n in sizes]


def outputs(items: Any) -> list[int]:
    return [item.out_features for item in items]


def both(function: Any) -> tuple[Any, Any]:
    """What `function(nn)` gives with ours and with torch's `nn`."""
    return function(nn), function(torch.nn)


# --------------------------------------------------------------------------------- lists of modules


EDITS: dict[str, Any] = {
    "append": lambda m, new: m.append(new),
    "extend": lambda m, new: m.extend([new, new]),
    "extend by itself": lambda m, new: m.extend(list(m)),
    "insert first": lambda m, new: m.insert(0, new),
    "insert in the middle": lambda m, new: m.insert(2, new),
    "insert last": lambda m, new: m.insert(len(m), new),
    "set": lambda m, new: m.__setitem__(1, new),
    "set from the end": lambda m, new: m.__setitem__(-1, new),
    "delete": lambda m, new: m.__delitem__(1),
    "delete from the end": lambda m, new: m.__delitem__(-2),
    "delete a slice": lambda m, new: m.__delitem__(slice(0, 2)),
    "pop": lambda m, new: m.pop(0),
    "pop the last": lambda m, new: m.pop(-1),
    "add in place": lambda m, new: m.__iadd__(type(m)(*[new] if "Seq" in repr(m) else [[new]])),
}


@pytest.mark.parametrize("kind", ["ModuleList", "Sequential"])
@pytest.mark.parametrize("edit", EDITS)
def test_lists_are_edited_like_torchs(kind, edit):
    def run(nn):
        items = layers(nn, 3, 4, 5)
        m = nn.ModuleList(items) if kind == "ModuleList" else nn.Sequential(*items)
        EDITS[edit](m, nn.Linear(2, 9))
        return m

    ours, theirs = both(run)
    assert outputs(ours) == outputs(theirs)
    assert [*ours.state_dict()] == [*theirs.state_dict()]
    assert [name for name, _ in ours.named_modules()] == [n for n, _ in theirs.named_modules()]
    assert repr(ours) == repr(theirs)
    assert len(ours) == len(theirs)


def test_inserting_from_the_end():
    """As into Python's lists; torch's ModuleList breaks here."""
    for m in (nn.ModuleList(layers(nn, 3, 4, 5)), nn.Sequential(*layers(nn, 3, 4, 5))):
        assert outputs(m.insert(-1, nn.Linear(2, 9))) == [3, 4, 9, 5]
        assert [*m.state_dict()][-1] == "3.bias"


@pytest.mark.parametrize("kind", ["ModuleList", "Sequential"])
def test_lists_are_read_like_torchs(kind):
    def run(nn):
        items = layers(nn, 3, 4, 5, 6)
        m = nn.ModuleList(items) if kind == "ModuleList" else nn.Sequential(*items)
        pieces = [m[:2], m[1:], m[-2:], m[::2], m[:0]]
        together = m + (nn.ModuleList(m[:1]) if kind == "ModuleList" else nn.Sequential(items[0]))
        assert m[-1] is items[3]
        assert m[0] is items[0]
        assert items[1] in m
        assert type(together) is type(m)
        return [*(outputs(p) for p in pieces), outputs(together), outputs(m), repr(m[1:])]

    ours, theirs = both(run)
    assert ours == theirs


def test_a_slice_of_a_named_sequential_keeps_the_names():
    ours, theirs = both(
        lambda nn: nn.Sequential(OrderedDict(a=nn.ReLU(), b=nn.Tanh(), c=nn.Sigmoid()))[1:]
    )
    assert repr(ours) == repr(theirs)


@pytest.mark.parametrize("kind", ["ModuleList", "Sequential"])
def test_places_outside_a_list(kind):
    for lib in LIBRARIES:
        items = layers(lib.nn, 3, 4)
        m = lib.nn.ModuleList(items) if kind == "ModuleList" else lib.nn.Sequential(*items)
        for index in (2, -3):
            with pytest.raises(IndexError):
                m[index]
            with pytest.raises(IndexError):
                m[index] = lib.nn.ReLU()
            with pytest.raises(IndexError):
                del m[index]
    with pytest.raises(OutOfRangeError, match=rf"^{kind}: no item 2 among 2, which are -2\.\.1"):
        (nn.ModuleList if kind == "ModuleList" else lambda m: nn.Sequential(*m))(layers(nn, 3, 4))[
            2
        ]


def test_what_is_no_module_is_refused_and_changes_nothing():
    m = nn.ModuleList(layers(nn, 3, 4))
    for change in (lambda: m.append(3), lambda: m.insert(0, "x"), lambda: m.__setitem__(0, len)):
        with pytest.raises(ArgumentError, match=r"^ModuleList: item '\d' is not a Module but a "):
            change()
        assert outputs(m) == [3, 4]
    with pytest.raises(OutOfRangeError, match=r"^ModuleList\.insert: 5 is no place among 2 items"):
        m.insert(5, nn.ReLU())
    with pytest.raises(ArgumentError, match=r"^Sequential: item '0'"):
        nn.Sequential([nn.ReLU()])


def test_a_module_list_trains_but_does_not_run():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.ModuleList([nn.Linear(3, 3) for _ in range(4)])

        def forward(self, x):
            for layer in self.layers:
                x = layer(x)
            return x

    net = Net()
    net(minicnn.rand(2, 3)).sum().backward()
    assert len([p for p in net.parameters() if p.grad is not None]) == 8
    assert "layers.3.bias" in net.state_dict()
    net.eval()
    assert not any(layer.training for layer in net.layers)
    with pytest.raises(NotImplementedError):
        net.layers(minicnn.rand(2, 3))
    with pytest.raises(NotImplementedError):
        torch.nn.ModuleList()(torch.rand(1))


def test_module_lists_print_runs_of_equal_items_on_one_line():
    for make in (
        lambda nn: nn.ModuleList(),
        lambda nn: nn.ModuleList([nn.ReLU()]),
        lambda nn: nn.ModuleList([nn.ReLU(), nn.ReLU(), nn.Tanh(), nn.ReLU()]),
        lambda nn: nn.ModuleList([nn.Linear(2, 3), nn.Linear(2, 3), nn.Linear(2, 4)]),
        lambda nn: nn.ModuleList(
            [nn.ModuleList([nn.ReLU(), nn.ReLU()]), nn.ModuleList([nn.ReLU(), nn.ReLU()])]
        ),
        lambda nn: nn.Sequential(nn.ReLU(), nn.ReLU(), nn.ModuleList([nn.Tanh(), nn.Tanh()])),
    ):
        ours, theirs = both(make)
        assert repr(ours) == repr(theirs)


# --------------------------------------------------------------------------------------- ModuleDict


def test_module_dicts_are_torchs():
    def run(nn):
        a, b, c = layers(nn, 3, 4, 5)
        m = nn.ModuleDict({"a": a, "b": b})
        m["c"] = c
        m.update([("d", a)])
        m.update(nn.ModuleDict({"b": c}))
        seen = [[*m], len(m), "a" in m, "x" in m, [*m.keys()], outputs(m.values()), repr(m)]
        seen += [[name for name, _ in m.items()], m.pop("a") is a, [*m.state_dict()]]
        del m["b"]
        seen += [[*m], m["d"] is a]
        m.clear()
        return [*seen, len(m), repr(m), [*nn.ModuleDict([("x", a), ("y", b)])]]

    ours, theirs = both(run)
    assert ours == theirs


def test_module_dicts_refuse():
    for lib in LIBRARIES:
        m = lib.nn.ModuleDict({"a": lib.nn.ReLU()})
        with pytest.raises(KeyError):
            m["b"]
        with pytest.raises(KeyError):
            del m["b"]
        with pytest.raises(KeyError):
            m.pop("b")
    m = nn.ModuleDict()
    for name in ("", "a.b"):
        with pytest.raises(ArgumentError, match=r"^add_module: a name must be"):
            m[name] = nn.ReLU()
    for name in ("keys", "training", "forward"):
        with pytest.raises(ArgumentError, match=rf"^add_module: ModuleDict has .*'{name}' already"):
            m[name] = nn.ReLU()
        with pytest.raises(KeyError):
            torch.nn.ModuleDict()[name] = torch.nn.ReLU()
    assert m.training
    with pytest.raises(ArgumentError, match=r"^ModuleDict: item 'a' is not a Module but a int"):
        m["a"] = 3


# ------------------------------------------------------------------------------------ ParameterList


def test_parameter_lists_are_torchs():
    def run(lib):
        nn = lib.nn
        first, second = nn.Parameter(lib.ones(2, 3)), lib.zeros(4)
        m = nn.ParameterList([first, second])
        m.append(lib.ones(1))
        m.extend([lib.ones(5)])
        m += nn.ParameterList([lib.ones(6)])
        m[1] = lib.ones(7)
        assert m[0] is first
        assert all(isinstance(p, nn.Parameter) and p.requires_grad for p in m)
        sizes = [p.numel() for p in m]
        tail = [p.numel() for p in m[1:3]]
        names = [name for name, _ in m.named_parameters()]
        return sizes, tail, names, [*m.state_dict()], len(m), repr(m).replace("torch.", "minicnn.")

    assert run(minicnn) == run(torch)
    assert repr(nn.ParameterList()) == repr(torch.nn.ParameterList())


def test_parameter_lists_are_found_and_refuse_numbers():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.scales = nn.ParameterList([minicnn.ones(2), minicnn.ones(3)])

    assert [name for name, _ in Net().named_parameters()] == ["scales.0", "scales.1"]
    with pytest.raises(ArgumentError, match=r"^ParameterList: item '0' is not a Tensor but a int"):
        nn.ParameterList([3])


# ----------------------------------------------------------------------------------------- Identity


def test_identity():
    ours, theirs = both(lambda nn: nn.Identity(54, unused=0.1))
    assert repr(ours) == repr(theirs)
    x = minicnn.rand(2, 3)
    assert ours(x) is x
    assert ours.state_dict() == {}


# ---------------------------------------------------------------------------------------- Dropout2d


@pytest.mark.parametrize("rung", ["numpy", "numba"])
@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_dropout2d_drops_whole_channels(rung, p):
    minicnn.manual_seed(3)
    with minicnn.use_backend(rung):
        y = F.dropout2d(minicnn.ones(60, 50, 3, 4), p).numpy()
    per_channel = y.reshape(60, 50, 12)
    assert (per_channel == per_channel[..., :1]).all()
    kept = per_channel[..., 0] != 0
    np.testing.assert_allclose(per_channel[kept], 1 / (1 - p), rtol=1e-6)
    assert abs(kept.mean() - (1 - p)) < 4 * np.sqrt(p * (1 - p) / kept.size)
    assert len(np.unique(kept, axis=0)) > 20  # images do not share a mask


def test_dropout2d_has_the_same_bits_on_every_rung():
    x = normal(np.random.default_rng(0), 3, 7, 2, 3, dtype="float32")
    found = []
    for rung in ("loops", "numpy", "numba"):
        minicnn.manual_seed(11)
        with minicnn.use_backend(rung):
            found.append(F.dropout2d(minicnn.from_numpy(x), 0.4).numpy())
    assert (found[0] == 0).any()
    for other in found[1:]:
        np.testing.assert_array_equal(found[0], other)


@pytest.mark.parametrize("rung", ["numpy", "numba"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_dropout2d_backward_uses_the_same_mask(rung, dtype):
    rng = np.random.default_rng(0)
    x = minicnn.from_numpy(normal(rng, 5, 4, 6, 3, dtype=dtype)).requires_grad_()
    dy = normal(rng, 4, 6, 3, 5, dtype=dtype)
    with minicnn.use_backend(rung):
        y = F.dropout2d(x, 0.3)
        F.dropout2d(minicnn.ones(2, 2, 2, 2), 0.3)  # other draws in between change nothing
        y.backward(minicnn.from_numpy(dy).permute(3, 0, 1, 2))
    factor = y.detach().numpy() / x.detach().numpy()
    np.testing.assert_allclose(x.grad.numpy(), dy.transpose(3, 0, 1, 2) * factor, rtol=1e-5)


def test_dropout2d_at_the_ends_and_in_evaluation():
    x = minicnn.rand(2, 3, 4, 5)
    assert F.dropout2d(x, 0.0) is x
    assert F.dropout2d(x, 0.5, training=False) is x
    assert not F.dropout2d(x, 1.0).numpy().any()
    module = nn.Dropout2d(0.5, inplace=True)
    assert repr(module) == repr(torch.nn.Dropout2d(0.5, inplace=True))
    assert module.eval()(x) is x
    assert (module.train()(x).numpy() == 0).any()
    assert F.dropout2d(minicnn.ones(0, 3, 2, 2)).shape == (0, 3, 2, 2)


def test_dropout2d_of_three_dimensions_warns_as_torchs_does():
    with pytest.warns(UserWarning, match=r"^dropout2d: shape \(8, 9, 4\) .*\.unsqueeze\(0\)"):
        y = F.dropout2d(minicnn.ones(8, 9, 4)).numpy()
    assert (y == y[..., :1]).all()
    assert 0 < (y[..., 0] == 0).sum() < 72
    with pytest.warns(UserWarning, match="3D input"):
        torch.nn.functional.dropout2d(torch.ones(8, 9, 4))


def test_dropout2d_refuses():
    x = minicnn.ones(2, 3, 4, 5)
    with pytest.raises(ArgumentError, match=r"^dropout2d: p must be .* got 1\.5"):
        F.dropout2d(x, 1.5)
    with pytest.raises(ArgumentError, match=r"^Dropout2d: p must be .* got -0\.1"):
        nn.Dropout2d(-0.1)
    with pytest.raises(DtypeError, match=r"^dropout2d: .*int64"):
        F.dropout2d(x.long())
    for shape in ((4,), (2, 3), (1, 2, 3, 4, 5)):
        with pytest.raises(ShapeError, match=r"^dropout2d: expected \(N, C, H, W\), got shape"):
            F.dropout2d(minicnn.ones(shape))


def test_modules_of_containers_compute_like_torchs(rung):
    def run(lib, x, w, b):
        net = lib.nn.Sequential(lib.nn.Identity(), lib.nn.ModuleList([lib.nn.Linear(4, 3)])[0])
        net += lib.nn.Sequential(lib.nn.ReLU())
        layer = net[1]
        layer.weight, layer.bias = None, None  # given as inputs, for their gradients
        return net[2](lib.nn.functional.linear(net[0](x), w, b))

    rng = np.random.default_rng(0)
    check(run, normal(rng, 5, 4), normal(rng, 3, 4), normal(rng, 3), rung=rung)
