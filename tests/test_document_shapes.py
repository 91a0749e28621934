"""The shapes that the course prints for its first convolutions, and how a shape prints here."""

from __future__ import annotations

import pytest

import minicnn
import minicnn.nn as nn


@pytest.mark.parametrize(
    ("title", "options", "shape"),
    [
        ("Baseline", {"out_channels": 3, "kernel_size": 3}, (3, 126, 126)),
        ("Larger Kernel", {"out_channels": 3, "kernel_size": 7}, (3, 122, 122)),
        ("Larger Stride", {"out_channels": 3, "kernel_size": 3, "stride": 3}, (3, 42, 42)),
        ("Larger Padding", {"out_channels": 3, "kernel_size": 3, "padding": 2}, (3, 130, 130)),
        ("More Output Channels", {"out_channels": 64, "kernel_size": 3}, (64, 126, 126)),
    ],
)
@pytest.mark.parametrize("backend", ["numpy", "numba"])  # loops would take minutes
def test_convolutions_of_a_128_pixel_image(backend, title, options, shape):
    image = minicnn.rand(3, 128, 128)
    with minicnn.use_backend(backend):
        output = nn.Conv2d(in_channels=3, **options)(image)
    assert output.shape == shape, title
    assert str(output.shape) == f"minicnn.Size({[*shape]})"


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_stacked_convolutions(backend):
    image = minicnn.rand(3, 128, 128)
    conv1 = nn.Conv2d(in_channels=3, out_channels=32, kernel_size=7, stride=2, padding=1)
    conv2 = nn.Conv2d(in_channels=32, out_channels=64, kernel_size=3, stride=1, padding=0)
    with minicnn.use_backend(backend):
        output = conv2(conv1(image))
    assert output.shape == (64, 60, 60)
    assert f"{output.shape}" == "minicnn.Size([64, 60, 60])"


def test_pooling():
    image = minicnn.rand(3, 128, 128)
    assert nn.MaxPool2d(kernel_size=3)(image).shape == (3, 42, 42)
    assert nn.MaxPool2d(kernel_size=3, stride=2)(image).shape == (3, 63, 63)


def test_the_fully_connected_network():
    """784 -> 64 -> 64 -> 64 -> 10 on a batch of 28x28 images, with `x.view(-1, 28*28)` inside."""
    net = minicnn.models.FCNet()
    assert net(minicnn.rand(5, 1, 28, 28)).shape == (5, 10)
    names = [name for name, _ in net.named_parameters()]
    assert names == [f"fc{i}.{part}" for i in (1, 2, 3, 4) for part in ("weight", "bias")]
    assert sum(p.numel() for p in net.parameters()) == 59_210


def test_a_size_is_a_tuple_that_prints():
    size = minicnn.Size([3, 126, 126])
    assert repr(size) == "minicnn.Size([3, 126, 126])"
    assert size == (3, 126, 126)
    assert nn.Conv2d(3, 3, 3)(minicnn.rand(3, 128, 128)).shape == (3, 126, 126)
