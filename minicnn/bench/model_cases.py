"""Whole networks, a training step and inference: the two course networks, layer by layer as data.

A peer need not know our models: a case holds the list of layers, {"op", "name", …} each, and the
weights' shapes under the names of the state dict. `layers_of` reads the list off the model itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import minicnn.models
from minicnn import nn
from minicnn.bench.cases import Batches, Case, Shape, Shapes, traffic
from minicnn.errors import ArgumentError
from minicnn.nn.module import Module
from minicnn.summary import summary

BATCHES = (1, 32, 128)
CLASSES = 2
CAT_DOG, ALEXNET, FIRST = "cat/dog 1.3", "AlexNet", "cat/dog 1.3 grey"
# name, arguments, image (C, H, W); FIRST is what the first command of the README trains
MODELS: dict[str, tuple[str, dict[str, Any], Shape]] = {
    CAT_DOG: ("cat_dog_cnn_1_3", {"image_size": 160, "num_classes": CLASSES}, (3, 160, 160)),
    ALEXNET: ("alexnet", {"num_classes": CLASSES}, (3, 224, 224)),
    FIRST: (
        "cat_dog_cnn_1_3",
        {"in_channels": 1, "image_size": 28, "num_classes": CLASSES},
        (1, 28, 28),
    ),
}
COUNTERS = "num_batches_tracked"


def models(batches: Batches) -> list[Case]:
    """Inference and a training step of each network."""
    sizes = batches or BATCHES
    return [c for title in MODELS for batch in sizes for c in network("models", title, batch)]


def network(suite: str, title: str, batch: int) -> list[Case]:
    """Inference, and a training step with Adam: forward, cross entropy, backward, update.

    The least bytes: weights read in each direction, written as gradients, and Adam's seven passes.
    """
    name, arguments, image = MODELS[title]
    layers, tensors = described(title)
    options = {"model": name, "options": arguments, "layers": layers, "lr": 1e-3}
    options["classes"] = CLASSES  # for the labels' draw
    x = (batch, *image)
    macs = [batch * row.macs for row in summary(build(title), image).rows if row.macs]
    weights = traffic(*(shape for n, shape in tensors.items() if "running" not in n))
    training = 2 * (3 * sum(macs) - macs[0])  # the image's own gradient is not wanted
    labels: Shapes = {"x": x, "labels": (batch,)}
    parts: tuple[tuple[str, Shapes, int, int], ...] = (
        ("inference", {"x": x}, 2 * sum(macs), traffic(x) + weights),
        ("training step", labels, training, traffic(x) + 10 * weights),
    )
    label = f"{title} {image[1]}²"
    return [
        Case(suite, label, "model", pass_, batch, options, {**inputs, **tensors}, flops, moved)
        for pass_, inputs, flops, moved in parts
    ]


@cache
def build(title: str) -> Module:
    """The network itself."""
    name, arguments, _ = MODELS[title]
    return minicnn.models.create(name, **arguments)


def parameter_shapes(title: str) -> list[Shape]:
    """The shapes of a network's parameters, in its order."""
    return [tuple(p.shape) for p in build(title).parameters()]


def described(title: str) -> tuple[list[dict[str, Any]], Shapes]:
    """The layers of a network in order, and the shapes of its weights by their names."""
    model = build(title)
    shapes = {
        name: tuple(value.shape)
        for name, value in model.state_dict().items()
        if not name.endswith(COUNTERS)
    }
    return list(layers_of(model)), shapes


def layers_of(model: Module) -> Iterator[dict[str, Any]]:
    """Each layer as data; the layers run in the order in which the model holds them."""
    flat, channels = False, 0
    for name, module in model.named_modules():
        if next(module.children(), None) is not None or isinstance(module, nn.Identity):
            continue
        if isinstance(module, nn.Conv2d):
            channels = module.out_channels
        if isinstance(module, nn.Linear | nn.Flatten) and not flat:
            flat = True
            yield {"op": "flatten", "channels": channels}
        if not isinstance(module, nn.Flatten):
            yield _layer(module) | {"name": name}


def _layer(module: Module) -> dict[str, Any]:
    m: Any = module
    if isinstance(m, nn.Conv2d):
        return {"op": "conv2d", "stride": _one(m.stride), "padding": _one(m.padding)}
    if isinstance(m, nn.MaxPool2d):
        return {"op": "max_pool2d", "kernel": _one(m.kernel_size), "stride": _one(m.stride)}
    if isinstance(m, nn.AdaptiveAvgPool2d):
        return {"op": "adaptive_avg_pool2d", "output": _one(m.output_size)}
    if isinstance(m, nn.BatchNorm2d):
        return {"op": "batch_norm", "eps": m.eps, "momentum": m.momentum}
    if isinstance(m, nn.Dropout):
        return {"op": "dropout", "p": m.p}
    names = {nn.Linear: "linear", nn.ReLU: "relu"}
    if type(m) not in names:
        raise ArgumentError(
            f"bench: {type(m).__name__} is no layer that peers know. Add it to model_cases.py."
        )
    return {"op": names[type(m)]}


def _one(value: Any) -> int:
    """The one number of a pair of equal ones."""
    both = value if isinstance(value, tuple | list) else (value, value)
    assert both[0] == both[1], value
    return int(both[0])
