"""Layers computed as one: the same bits, and nobody who could notice is passed over."""

from __future__ import annotations

import types

import numpy as np
import pytest

import minicnn
from minicnn import nn
from minicnn.errors import ShapeError
from minicnn.kernels import available_backends, cpu, current_backend, use_backend
from minicnn.kernels.cpu import PATHS, forced

RUNGS = [rung for rung in available_backends() if rung != "cupy"]


def everything(model, x):
    """Output, gradients of the parameters and of the input, as bytes."""
    model.zero_grad()
    x = x.detach().requires_grad_()
    y = model(x)
    y.square().sum().backward()
    arrays = [y.detach(), *(p.grad for p in model.parameters()), x.grad]
    return [a.numpy().tobytes() for a in arrays]


@pytest.fixture
def seen(monkeypatch):
    """The names of the kernels that were called for convolutions and ReLUs."""
    names = []
    backend = current_backend()
    for name in ("conv2d", "relu", "conv2d_relu"):
        kernel = getattr(backend, name)

        def spy(*args, _name=name, _kernel=kernel, **options):
            names.append(_name)
            return _kernel(*args, **options)

        monkeypatch.setitem(backend.__dict__, name, spy)
    return names


@pytest.mark.parametrize("dtype", [minicnn.float32, minicnn.float64])
@pytest.mark.parametrize("rung", RUNGS)
@pytest.mark.parametrize(
    "layer",
    [
        {"in_channels": 2, "out_channels": 3, "kernel_size": 3, "padding": 1},
        {
            "in_channels": 2,
            "out_channels": 4,
            "kernel_size": 3,
            "groups": 2,
            "stride": 2,
            "bias": False,
        },
        {
            "in_channels": 2,
            "out_channels": 3,
            "kernel_size": 2,
            "padding": 1,
            "padding_mode": "reflect",
        },
        {"in_channels": 2, "out_channels": 5, "kernel_size": 1},
    ],
    ids=["same", "groups", "reflect", "1x1"],
)
def test_the_same_bits_as_one_by_one(monkeypatch, rung, layer, dtype):
    minicnn.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(**layer, dtype=dtype), nn.ReLU(), nn.Flatten())
    x = minicnn.randn(2, 2, 6, 7, dtype=dtype)
    with use_backend(rung):
        fused = everything(model, x)
        monkeypatch.setenv("MINICNN_FUSE", "0")
        assert everything(model, x) == fused


def test_what_is_called(seen, monkeypatch):
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Conv2d(2, 2, 1), nn.Tanh(), nn.ReLU())
    x = minicnn.randn(1, 1, 5, 5)
    model(x)
    assert seen == ["conv2d_relu", "conv2d", "relu"]
    seen.clear()
    monkeypatch.setenv("MINICNN_FUSE", "0")
    model(x)
    assert seen == ["conv2d", "relu", "conv2d", "relu"]


class MyReLU(nn.ReLU):
    def forward(self, x):
        return super().forward(x) + 1


def with_hook(model):
    model[0].register_forward_hook(lambda module, args, y: y * 0 - 1)
    return model


def with_pre_hook(model):
    model[1].register_forward_pre_hook(lambda module, args: (args[0] * 0 + 5,))
    return model


def with_forward_of_its_own(model):
    model[1].forward = lambda x: x * 0 + 7
    return model


@pytest.mark.parametrize(
    ("change", "expected"),
    [(with_hook, 0.0), (with_pre_hook, 5.0), (with_forward_of_its_own, 7.0)],
)
def test_nobody_is_passed_over(change, expected):
    model = change(nn.Sequential(nn.Conv2d(1, 1, 1), nn.ReLU()))
    assert (model(minicnn.ones(1, 1, 2, 2)).detach().numpy() == expected).all()


def test_a_derived_class_is_called():
    model = nn.Sequential(nn.Conv2d(1, 1, 1), MyReLU())
    assert (model(minicnn.ones(1, 1, 2, 2)).detach().numpy() >= 1).all()


def test_it_does_not_show():
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU())
    assert repr(model(minicnn.ones(1, 1, 4, 4)).grad_fn) == "<ReluBackward>"
    assert model(minicnn.ones(1, 4, 4)).shape == (2, 2, 2)
    with pytest.raises(ShapeError, match=r'^Conv2d "1": expected input .* got 1 axes'):
        nn.Sequential(nn.Flatten(0), *model)(minicnn.ones(1, 1, 4, 4))
    with pytest.raises(ShapeError, match=r'^Conv2d "0": .*3 channels'):
        model(minicnn.ones(1, 3, 4, 4))


def test_a_students_convolution_is_the_one_that_runs():
    mine = types.SimpleNamespace(conv2d=lambda x, w, b, *geometry: np.full((1, 2, 2, 2), -3.0))
    with use_backend(mine):
        y = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU())(minicnn.ones(1, 1, 4, 4))
    assert (y.detach().numpy() == 0).all()


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("C", "K", "side", "R", "stride", "padding"),
    [(3, 33, 20, 3, 1, 0), (16, 64, 13, 3, 1, 1), (8, 16, 9, 1, 1, 0), (3, 8, 17, 5, 2, 2)],
)
def test_on_every_path_it_is_the_relu_of_the_convolution(
    path, dtype, C, K, side, R, stride, padding
):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, C, side, side)).astype(dtype)
    w, b = rng.standard_normal((K, C, R, R)).astype(dtype), rng.standard_normal(K).astype(dtype)
    x[0, 0, 0, 0], x[1, 0, 2, 2] = np.nan, np.inf
    geometry = (stride, stride), (padding, padding), (1, 1), 1
    with forced(path):
        one_by_one = cpu.relu(cpu.conv2d(x, w, b, *geometry))
        assert np.isnan(one_by_one).any()
        assert cpu.conv2d_relu(x, w, b, *geometry).tobytes() == one_by_one.tobytes()
