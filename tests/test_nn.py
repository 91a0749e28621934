"""Modules and layers against torch's: names, state, text, hooks, modes, start, errors."""

from __future__ import annotations

import copy
import inspect
import math
from collections import OrderedDict

import numpy as np
import pytest
import torch
from oracle import TOLERANCE, check, distinct, normal, relative_error

import minicnn
import minicnn.nn as nn
from minicnn.errors import ArgumentError, CheckpointError, DtypeError, ShapeError


def network(lib):
    """A module of modules in either library: nesting, a buffer, a shared layer, no bias."""

    class Block(lib.nn.Module):
        def __init__(self, channels, bias=True):
            super().__init__()
            self.conv = lib.nn.Conv2d(channels, channels, 3, padding=1, bias=bias)
            self.register_buffer("scale", lib.ones(1) * 2)
            self.register_buffer("scratch", lib.zeros(3), persistent=False)
            self.act = lib.nn.ReLU(inplace=True)

        def forward(self, x):
            return self.act(self.conv(x)) * self.scale

    class Net(lib.nn.Module):
        def __init__(self):
            super().__init__()
            self.features = lib.nn.Sequential(
                lib.nn.Conv2d(3, 4, (3, 2), stride=(2, 1), padding=(1, 0)),
                lib.nn.ReLU(),
                lib.nn.MaxPool2d(2, ceil_mode=True),
                Block(4),
                Block(4, bias=False),
            )
            self.head = lib.nn.Sequential(
                OrderedDict(
                    flat=lib.nn.Flatten(),
                    drop=lib.nn.Dropout(0.25),
                    fc=lib.nn.Linear(4 * 2 * 4, 5),
                )
            )
            self.again = self.features[3]
            self.gain = lib.nn.Parameter(lib.ones(5))
            self.register_parameter("nothing", None)
            self.register_buffer("count", lib.tensor(7))

        def forward(self, x):
            return self.head(self.again(self.features(x))) * self.gain

    return Net()


def twins():
    """The same network in both libraries with the same weights."""
    ours, theirs = network(minicnn), network(torch)
    ours.load_state_dict({k: v.numpy() for k, v in theirs.state_dict().items()})
    return ours, theirs


# -------------------------------------------------------------------------- names and their order


def test_names_and_their_order_are_torchs():
    ours, theirs = network(minicnn), network(torch)
    for walk in ("named_parameters", "named_buffers", "named_modules", "named_children"):
        assert [n for n, _ in getattr(ours, walk)()] == [n for n, _ in getattr(theirs, walk)()]
    assert [*ours.state_dict()] == [*theirs.state_dict()]
    assert [n for n, _ in ours.named_parameters("root", recurse=False)] == ["root.gain"]
    shapes = {k: tuple(v.shape) for k, v in ours.state_dict().items()}
    assert shapes == {k: tuple(v.shape) for k, v in theirs.state_dict().items()}
    assert len([*ours.parameters()]) == len([*theirs.parameters()])
    assert len([*ours.modules()]) == len([*theirs.modules()])
    assert len([*ours.children()]) == len([*theirs.children()])
    assert ours.get_submodule("features.3.conv") is ours.features[3].conv
    assert ours.get_submodule("") is ours
    with pytest.raises(AttributeError, match=r"features\.9"):
        ours.get_submodule("features.9")


def test_state_dict_shares_memory_and_carries_no_graph():
    net = network(minicnn)
    state = net.state_dict()
    assert np.shares_memory(state["gain"].array, net.gain.array)
    assert not state["gain"].requires_grad
    assert next(iter(net.state_dict(prefix="a."))) == "a.gain"


# ------------------------------------------------------------------------------- loading weights


def test_weights_pass_both_ways_and_give_the_same_numbers():
    ours, theirs = twins()
    x = normal(np.random.default_rng(0), 2, 3, 6, 8, dtype="float32")
    for net in (ours, theirs):
        net.eval()
    np.testing.assert_allclose(
        ours(minicnn.tensor(x)).detach().numpy(),
        theirs(torch.tensor(x)).detach().numpy(),
        rtol=1e-4,
        atol=1e-6,
    )
    back = network(torch)
    back.load_state_dict({k: torch.tensor(v.numpy()) for k, v in ours.state_dict().items()})
    for key, value in theirs.state_dict().items():
        assert torch.equal(back.state_dict()[key], value)


def test_torchs_own_tensors_load_too():
    ours, theirs = network(minicnn), network(torch)
    assert ours.load_state_dict(theirs.state_dict()) == ([], [])
    np.testing.assert_array_equal(ours.gain.detach().numpy(), theirs.gain.detach().numpy())


def test_loading_copies_and_keeps_the_same_parameters():
    net = nn.Linear(2, 2)
    weight, state = net.weight, {k: v.clone() for k, v in net.state_dict().items()}
    state["weight"].fill_(3)
    net.load_state_dict(state)
    assert net.weight is weight
    assert (weight == 3).all()
    state["weight"].fill_(4)
    assert (weight == 3).all()
    assert weight.requires_grad
    net.load_state_dict({k: v.double() for k, v in state.items()})
    assert net.weight.dtype == minicnn.float32


@pytest.mark.parametrize(
    ("wrap", "remedy"),
    [
        (lambda state: {"epoch": 3, "state_dict": state}, "state['state_dict']"),
        (lambda state: {"model": state}, "state['model']"),
        (lambda state: {f"module.{k}": v for k, v in state.items()}, "removeprefix('module.')"),
        (lambda state: {"other": 1}, "Build the model"),
    ],
)
def test_a_state_that_does_not_fit_says_what_to_do(wrap, remedy):
    model = nn.Linear(2, 3)
    with pytest.raises(CheckpointError, match=r"^load_state_dict: ") as error:
        model.load_state_dict(wrap(model.state_dict()))
    assert remedy in str(error.value)


def test_strict_loading_lists_what_is_missing_unexpected_and_misshapen():
    net = network(minicnn)
    state = net.state_dict()
    del state["gain"]
    del state["features.0.bias"]
    state["extra.weight"] = minicnn.zeros(1)
    state["head.fc.weight"] = minicnn.zeros(2, 2)
    before = {k: v.clone() for k, v in net.state_dict().items()}
    with pytest.raises(CheckpointError) as caught:
        net.load_state_dict(state)
    text = str(caught.value)
    assert "\n" not in text
    assert "load_state_dict: the state does not fit Net" in text
    assert "missing: gain, features.0.bias" in text
    assert "unexpected: extra.weight" in text
    assert "head.fc.weight has shape (2, 2), the model needs (5, 32)" in text
    for key, value in net.state_dict().items():
        assert minicnn.equal(value, before[key])  # nothing was loaded by halves

    del state["head.fc.weight"]
    missing, unexpected = net.load_state_dict(state, strict=False)
    assert missing == ["gain", "features.0.bias", "head.fc.weight"]
    assert unexpected == ["extra.weight"]
    with pytest.raises(CheckpointError, match=r"gain is a str"):
        net.load_state_dict({"gain": "text"}, strict=False)


# ------------------------------------------------------------------------------------------ text


def test_repr_is_torchs():
    assert repr(network(minicnn)) == repr(network(torch))


@pytest.mark.parametrize(
    "make",
    [
        lambda nn: nn.Conv2d(3, 8, 3),
        lambda nn: nn.Conv2d(4, 8, (3, 5), stride=(2, 1), padding=1, dilation=2, groups=2),
        lambda nn: nn.Conv2d(1, 1, 1, bias=False),
        lambda nn: nn.Linear(3, 4),
        lambda nn: nn.Linear(3, 4, bias=False),
        lambda nn: nn.MaxPool2d(2),
        lambda nn: nn.MaxPool2d((3, 2), stride=(1, 2), padding=(1, 0), ceil_mode=True),
        lambda nn: nn.ReLU(),
        lambda nn: nn.ReLU(inplace=True),
        lambda nn: nn.Flatten(),
        lambda nn: nn.Flatten(2, 3),
        lambda nn: nn.Dropout(),
        lambda nn: nn.Dropout(0.1, inplace=True),
        lambda nn: nn.CrossEntropyLoss(),
        lambda nn: nn.BCEWithLogitsLoss(),
        lambda nn: nn.Sequential(),
        lambda nn: nn.Sequential(nn.Sequential(nn.ReLU()), nn.ReLU()),
        lambda nn: nn.Module(),
    ],
)
def test_repr_of_layers_is_torchs(make):
    assert repr(make(nn)) == repr(make(torch.nn))


# ------------------------------------------------------------------------- assigning and deleting


def test_attributes_register_themselves():
    module = nn.Module()
    module.weight = nn.Parameter(minicnn.zeros(2))
    module.child = nn.ReLU()
    module.plain = minicnn.zeros(3)
    module.number = 5
    assert [n for n, _ in module.named_parameters()] == ["weight"]
    assert [n for n, _ in module.named_children()] == ["child"]
    assert [*module.state_dict()] == ["weight"]
    assert {"weight", "child", "plain", "number"} <= set(dir(module))
    module.weight = None
    assert module.weight is None
    assert [*module.parameters()] == []
    module.weight = nn.Parameter(minicnn.ones(1))
    assert [n for n, _ in module.named_parameters()] == ["weight"]
    del module.weight
    assert not hasattr(module, "weight")
    del module.child
    assert [*module.children()] == []
    del module.number
    with pytest.raises(AttributeError, match=r"Module has no attribute 'number'"):
        module.number  # noqa: B018 - it is the access that fails


def test_one_name_means_one_thing():
    module = nn.Module()
    module.x = nn.Parameter(minicnn.zeros(1))
    module.x = nn.ReLU()
    assert [*module.parameters()] == []
    assert isinstance(module.x, nn.ReLU)
    module.y = 5
    module.y = nn.Parameter(minicnn.zeros(1))
    assert [n for n, _ in module.named_parameters()] == ["y"]
    module.register_buffer("b", minicnn.zeros(1))
    module.b = minicnn.ones(1)
    assert [n for n, _ in module.named_buffers()] == ["b"]
    assert module.b.tolist() == [1]
    assert [*module.state_dict()] == ["y", "b"]


def test_assignments_that_are_refused():
    module = nn.Module()
    module.weight = nn.Parameter(minicnn.zeros(1))
    module.child = nn.ReLU()
    module.register_buffer("count", minicnn.zeros(1))
    with pytest.raises(ArgumentError, match=r"Module\.weight: expected a Parameter .* Tensor"):
        module.weight = minicnn.zeros(1)
    with pytest.raises(ArgumentError, match=r"Module\.child: expected a Module .* int"):
        module.child = 5
    with pytest.raises(ArgumentError, match=r"Module\.count: expected a Tensor .* float"):
        module.count = 1.0
    for name in ("", "a.b"):
        with pytest.raises(ArgumentError, match=r"^add_module: "):
            module.add_module(name, nn.ReLU())
    with pytest.raises(
        ArgumentError, match=r"^Sequential: item '1' is not a Module but a function"
    ):
        nn.Sequential(nn.ReLU(), lambda x: x)

    class Late(nn.Module):
        def __init__(self):
            self.layer = nn.ReLU()

    with pytest.raises(AttributeError, match=r"Late: call super\(\)\.__init__\(\) before"):
        Late()
    with pytest.raises(NotImplementedError, match=r"Module has no forward"):
        nn.Module()(1)


def test_shared_modules_and_parameters_count_once():
    layer = nn.Linear(3, 3)
    net = nn.Sequential(layer, nn.ReLU(), layer)
    assert len([*net.parameters()]) == 2
    assert [n for n, _ in net.named_modules()] == ["", "0", "1"]
    assert [*net.state_dict()] == ["0.weight", "0.bias", "2.weight", "2.bias"]
    net.load_state_dict(net.state_dict())
    twin = copy.deepcopy(net)
    assert twin[0] is twin[2]
    tied = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    tied[1].weight = tied[0].weight
    assert len([*tied.parameters()]) == 3
    x = minicnn.ones(1, 3)
    tied(x).sum().backward()
    assert tied[0].weight.grad is tied[1].weight.grad


# ---------------------------------------------------------------------------------- Sequential


def test_sequential_is_a_list():
    a, b, c = nn.ReLU(), nn.Flatten(), nn.Linear(2, 2)
    net = nn.Sequential(a, b)
    assert net.append(c) is net
    assert len(net) == 3
    assert [*net] == [a, b, c]
    assert net[-1] is c
    assert isinstance(net[:2], nn.Sequential)
    assert [*net[1:]] == [b, c]
    net[0] = b
    assert net[0] is b
    del net[1]
    assert [n for n, _ in net.named_children()] == ["0", "1"]
    net.extend([a, a])
    assert len(net) == 4
    with pytest.raises(IndexError):
        net[9]
    named = nn.Sequential(OrderedDict(first=a, second=c))
    assert named.first is a
    assert [n for n, _ in named.named_children()] == ["first", "second"]
    x = minicnn.rand(3)
    assert nn.Sequential()(x) is x


# ----------------------------------------------------------------------------------------- modes


def test_train_and_eval_reach_everything_below():
    net = network(minicnn)
    assert net.training
    assert net.eval() is net
    assert not any(m.training for m in net.modules())
    net.head.train()
    assert [n for n, m in net.named_modules() if m.training] == [
        "head", "head.flat", "head.drop", "head.fc",
    ]  # fmt: skip
    net.train()
    assert all(m.training for m in net.modules())


def test_a_module_may_keep_part_of_itself_in_eval_mode():
    class Frozen(nn.Sequential):
        def train(self, mode=True):
            return super().train(False)

    net = nn.Sequential(Frozen(nn.Dropout()), nn.Dropout()).train()
    assert net[1].training
    assert not net[0].training
    assert not net[0][0].training


def test_dropout_acts_in_training_only():
    layer, x = nn.Dropout(0.5), minicnn.ones(100)
    assert (layer(x) == 0).any()
    layer.eval()
    assert minicnn.equal(layer(x), x)
    with pytest.raises(ArgumentError, match=r"p .*0 to 1, got 1\.5"):
        nn.Dropout(1.5)


def test_to_double_float_apply_and_requires_grad():
    net = network(minicnn)
    parameters = [*net.parameters()]
    assert net.double() is net
    assert all(p.dtype == minicnn.float64 for p in net.parameters())
    assert net.features[3].scale.dtype == minicnn.float64
    assert net.count.dtype == minicnn.int64  # only floating-point ones change
    assert all(a is b for a, b in zip(parameters, net.parameters(), strict=True))
    assert net(minicnn.rand(2, 3, 6, 8, dtype=minicnn.float64)).dtype == minicnn.float64
    net.float().to(minicnn.float64).to("cpu").cpu()
    assert net.gain.dtype == minicnn.float64
    order = []
    assert net.apply(lambda m: order.append(type(m).__name__)) is net
    theirs = []
    network(torch).apply(lambda m: theirs.append(type(m).__name__))
    assert order == theirs
    net.requires_grad_(False)
    assert not any(p.requires_grad for p in net.parameters())
    net.requires_grad_()
    net.float()(minicnn.rand(2, 3, 6, 8)).sum().backward()
    assert net.gain.grad is not None
    net.zero_grad()
    assert all(p.grad is None for p in net.parameters())


def test_deepcopy_is_independent():
    net = network(minicnn)
    twin = copy.deepcopy(net)
    with minicnn.no_grad():
        twin.gain.fill_(9)
    assert (net.gain == 1).all()
    assert twin.again is twin.features[3]
    assert [*twin.state_dict()] == [*net.state_dict()]
    assert isinstance(twin.gain, nn.Parameter)
    assert twin.gain.requires_grad
    twin.eval()
    assert net.training


# ----------------------------------------------------------------------------------------- hooks


def test_forward_hooks():
    layer, log = nn.ReLU(), []
    pre = layer.register_forward_pre_hook(lambda m, args: log.append(("pre", m is layer)))
    changed = layer.register_forward_pre_hook(lambda m, args: (args[0] * 2,))
    post = layer.register_forward_hook(lambda m, args, out: log.append(("post", out.tolist())))
    replaced = layer.register_forward_hook(lambda m, args, out: out + 100)
    assert layer(minicnn.tensor([-1.0, 3.0])).tolist() == [100, 106]
    assert log == [("pre", True), ("post", [0, 6])]
    for handle in (pre, changed, post, replaced):
        handle.remove()
        handle.remove()
    assert layer(minicnn.tensor([-1.0, 3.0])).tolist() == [0, 3]
    assert len(log) == 2


def test_a_forward_hook_may_remove_itself():
    layer, log, handles = nn.ReLU(), [], []
    for i in range(3):
        handles.append(
            layer.register_forward_hook(lambda *_, i=i: (log.append(i), handles[i].remove())[1])
        )
    layer(minicnn.zeros(1))
    layer(minicnn.zeros(1))
    assert log == [0, 1, 2]


# --------------------------------------------------------------------------- forward and backward


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_whole_network_forward_and_backward(rung, dtype):
    """Values, the input's gradient and every parameter's gradient, from equal weights."""
    ours, theirs = twins()
    if dtype == "float64":
        ours.double()
        theirs.double()
    for net in (ours, theirs):
        net.eval()  # no dropout
    names = [n for n, _ in theirs.named_parameters()]
    rng = np.random.default_rng(3)
    x = distinct(rng, 2, 3, 6, 8, dtype=dtype)
    gradients = []
    for lib, net in ((minicnn, ours), (torch, theirs)):
        net.zero_grad()
        t = lib.tensor(x, requires_grad=True)
        with minicnn.use_backend(rung):
            y = net(t)
        y.backward(lib.tensor(normal(np.random.default_rng(4), 2, 5, dtype=dtype)))
        found = [y.detach(), t.grad, *(dict(net.named_parameters())[n].grad for n in names)]
        gradients.append([g.numpy() for g in found])
    for name, a, b in zip(["output", "input", *names], *gradients, strict=True):
        assert a.dtype == dtype
        assert b.any(), f"{name}: a gradient of zeros shows nothing"
        assert relative_error(a, b) <= TOLERANCE[dtype], name


def test_losses_as_modules(rung):
    rng = np.random.default_rng(0)
    logits, labels = normal(rng, 4, 3), np.array([0, 2, 1, 1])
    for reduction in ("mean", "sum", "none"):
        check(
            lambda lib, x, t, how=reduction: lib.nn.CrossEntropyLoss(reduction=how)(x, t),
            logits,
            labels,
            rung=rung,
        )
        check(
            lambda lib, x, t, how=reduction: lib.nn.BCEWithLogitsLoss(reduction=how)(x, t),
            logits,
            rng.random((4, 3)),
            rung=rung,
        )


def test_max_pool2d_with_indices_and_flatten():
    x = distinct(np.random.default_rng(0), 2, 3, 4, 6)
    check(lambda lib, x: lib.nn.MaxPool2d(2, return_indices=True)(x), x)
    check(lambda lib, x: lib.nn.Flatten()(x), x)
    check(lambda lib, x: lib.nn.Flatten(0, 2)(x), x)


# -------------------------------------------------------------------------------- starting weights


@pytest.mark.parametrize(
    ("layer", "fan_in"),
    [
        (lambda: nn.Conv2d(8, 64, (3, 5)), 8 * 3 * 5),
        (lambda: nn.Conv2d(8, 64, 3, groups=4), 2 * 9),
        (lambda: nn.Linear(50, 400), 50),
    ],
)
def test_layers_start_uniform_within_one_over_the_root_of_fan_in(layer, fan_in):
    made = layer()
    bound = 1 / math.sqrt(fan_in)
    for parameter in (made.weight, made.bias):
        values = parameter.detach().numpy()
        assert np.abs(values).max() <= bound
        assert np.abs(values).max() > 0.9 * bound
        assert abs(values.std() - bound / math.sqrt(3)) < 0.15 * bound
        assert abs(values.mean()) < 0.25 * bound
        assert parameter.requires_grad


INITS = {
    "uniform_": lambda lib, t: lib.nn.init.uniform_(t, -0.3, 0.7),
    "normal_": lambda lib, t: lib.nn.init.normal_(t, 1.0, 0.5),
    "constant_": lambda lib, t: lib.nn.init.constant_(t, 0.25),
    "zeros_": lambda lib, t: lib.nn.init.zeros_(t),
    "ones_": lambda lib, t: lib.nn.init.ones_(t),
    "xavier_uniform_": lambda lib, t: lib.nn.init.xavier_uniform_(t, gain=2.0),
    "xavier_normal_": lambda lib, t: lib.nn.init.xavier_normal_(t),
    "kaiming_uniform_": lambda lib, t: lib.nn.init.kaiming_uniform_(t, a=math.sqrt(5)),
    "kaiming_uniform_ relu": lambda lib, t: lib.nn.init.kaiming_uniform_(t, nonlinearity="relu"),
    "kaiming_normal_": lambda lib, t: lib.nn.init.kaiming_normal_(
        t, mode="fan_out", nonlinearity="relu"
    ),
}


@pytest.mark.parametrize("name", INITS)
@pytest.mark.parametrize("shape", [(60, 40), (16, 12, 5, 3)])
def test_init_has_torchs_statistics(name, shape):
    torch.manual_seed(0)
    parameter = nn.Parameter(minicnn.empty(shape))
    assert INITS[name](minicnn, parameter) is parameter
    ours = parameter.detach().numpy().astype(np.float64)
    theirs = INITS[name](torch, torch.empty(shape)).numpy().astype(np.float64)
    spread = theirs.std()
    assert abs(ours.mean() - theirs.mean()) <= 0.15 * spread
    assert abs(ours.std() - spread) <= 0.06 * spread
    if "uniform" in name:
        assert abs(ours.max() - theirs.max()) <= 0.02 * spread
        assert abs(ours.min() - theirs.min()) <= 0.02 * spread
    assert parameter.requires_grad


def test_init_refuses_what_has_no_fan():
    with pytest.raises(ShapeError, match=r"^init: .*2 dimensions.*\(3,\)"):
        nn.init.kaiming_uniform_(minicnn.zeros(3))
    with pytest.raises(ArgumentError, match=r"^init: mode.*'fan_up'"):
        nn.init.kaiming_uniform_(minicnn.zeros(3, 3), mode="fan_up")
    with pytest.raises(ArgumentError, match=r"^calculate_gain: .*'wavelet'"):
        nn.init.calculate_gain("wavelet")
    for name in ("relu", "tanh", "linear", "sigmoid", "conv2d"):
        assert nn.init.calculate_gain(name) == pytest.approx(torch.nn.init.calculate_gain(name))
    assert nn.init.calculate_gain("leaky_relu", 0.2) == pytest.approx(
        torch.nn.init.calculate_gain("leaky_relu", 0.2)
    )


# ------------------------------------------------------------------------------------------ errors


def test_errors_name_the_layer_by_its_path():
    net = network(minicnn)
    for pattern, x in {
        r'^Conv2d "features\.0": .*5 channels.*takes 3': minicnn.zeros(2, 5, 6, 7),
        r'^Conv2d "features\.0": kernel 3x2 is larger than the padded input 3x1 '
        r"\(1\+2\*1, 1\+2\*0\)\. Use a smaller kernel, or padding": minicnn.zeros(2, 3, 1, 1),
        r'^Linear "head\.fc": input \(2, 72\) does not fit weight \(5, 32\).*32': minicnn.zeros(
            2, 3, 11, 13
        ),
        r'^Conv2d "features\.0": .*\(N, C, H, W\) or \(C, H, W\), got 2 axes': minicnn.zeros(6, 7),
    }.items():
        with pytest.raises(ShapeError, match=pattern) as caught:
            net(x)
        assert "\n" not in str(caught.value)
    with pytest.raises(
        DtypeError, match=r'^Conv2d "features\.0": .*input float64, weight float32.*\.float\(\)'
    ):
        net(minicnn.zeros(2, 3, 6, 8, dtype=minicnn.float64))
    with pytest.raises(DtypeError, match=r'^Conv2d "features\.0": .*uint8'):
        net(minicnn.zeros(2, 3, 6, 8, dtype=minicnn.uint8))


def test_errors_of_a_lone_layer_and_of_a_forward_of_ones_own():
    with pytest.raises(ShapeError, match=r"^Conv2d: .*takes 3"):
        nn.Conv2d(3, 4, 3)(minicnn.zeros(1, 2, 8, 8))

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(4, 2)

        def forward(self, x):
            return self.fc(x.view(-1, 4))

    with pytest.raises(ShapeError, match=r"^Net: view: cannot fill \(-1, 4\) from shape \(3, 3\)"):
        Net()(minicnn.zeros(3, 3))
    with pytest.raises(ShapeError, match=r'^Net "0": view: '):
        nn.Sequential(Net())(minicnn.zeros(3, 3))


@pytest.mark.parametrize(
    ("make", "pattern"),
    [
        (lambda: nn.Conv2d(0, 4, 3), r"^Conv2d: in_channels .*at least 1, got 0"),
        (lambda: nn.Conv2d(3, 4, 0), r"^Conv2d: .*kernel_size"),
        (lambda: nn.Conv2d(3, 4, 3, stride=0), r"^Conv2d: .*stride"),
        (lambda: nn.Conv2d(3, 4, 3, stride=(1, -1)), r"^Conv2d: .*stride"),
        (lambda: nn.Conv2d(3, 4, 3, padding=-1), r"^Conv2d: .*padding"),
        (lambda: nn.Conv2d(3, 4, 3, dilation=0), r"^Conv2d: .*dilation"),
        (
            lambda: nn.Conv2d(3, 4, 3, groups=2),
            r"^Conv2d: groups=2 .* the 3 in_channels .* from 1, 3",
        ),
        (
            lambda: nn.Conv2d(4, 5, 3, groups=2),
            r"^Conv2d: groups=2 .* the 5 out_channels .* from 1, 5",
        ),
        (lambda: nn.Conv2d(3, 4, (3, 3, 3)), r"^Conv2d: kernel_size .*integer or two.*\(3, 3, 3\)"),
        (lambda: nn.Conv2d(3, 4, 2.5), r"^Conv2d: kernel_size .*integer or two.*2\.5"),
        (lambda: nn.Linear(0, 4), r"^Linear: in_features"),
        (lambda: nn.Linear(3, -4), r"^Linear: out_features .*-4"),
        (lambda: nn.MaxPool2d(2, padding=2)(minicnn.zeros(1, 1, 8, 8)), r"^MaxPool2d: .*padding"),
        (lambda: nn.MaxPool2d(3, stride=0)(minicnn.zeros(1, 1, 8, 8)), r"^MaxPool2d: .*stride"),
    ],
)
def test_arguments_that_make_no_layer(make, pattern):
    with pytest.raises(ArgumentError, match=pattern) as caught:
        make()
    assert "\n" not in str(caught.value)


CLASSES = [name for name in nn.__all__ if isinstance(getattr(nn, name), type)]
LAYERS = [name for name in CLASSES if name != "Identity"]  # which takes anything, as in torch


@pytest.mark.parametrize("name", LAYERS)
def test_a_wrong_keyword_is_refused_under_the_layers_name(name):
    with pytest.raises(TypeError, match=rf"^{name}\.__(init|new)__\(\) got an unexpected keyword "):
        getattr(nn, name)(nonsense=1)


@pytest.mark.parametrize("name", LAYERS)
def test_a_constructor_under_the_layers_name_takes_what_the_shared_one_does(name):
    layer = getattr(nn, name)
    shared = next(c for c in layer.__mro__ if layer.__init__.__code__ is c.__init__.__code__)
    arguments = inspect.signature(layer.__init__, follow_wrapped=False)
    assert arguments == inspect.signature(inspect.unwrap(shared.__init__), follow_wrapped=False)


def test_a_layer_with_a_name_of_its_own_is_the_same_layer():
    class Own(nn.Conv2d):
        """Without a constructor: Python's errors name the class that has one."""

    with pytest.raises(TypeError, match=r"^Conv2d\.__init__\(\) missing 1 required"):
        Own(3, 4)
    assert (
        repr(Own(3, 4, 2, bias=False)) == "Own(3, 4, kernel_size=(2, 2), stride=(1, 1), bias=False)"
    )
    assert nn.Conv1d.__init__ is not nn.Conv2d.__init__
