"""Every layer and model with weights: torch's state into ours and back, by every file format.

Layers and models are found, not listed: one that is missing from the tables below fails.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from oracle import TOLERANCE, relative_error

import minicnn
from minicnn import io, models, nn

STATEFUL: dict[str, list[tuple[tuple, dict, tuple[int, ...]]]] = {  # arguments, then an input
    "Linear": [((5, 3), {}, (4, 5)), ((5, 3), {"bias": False}, (2, 4, 5))],
    "Conv1d": [((4, 6, 3), {"groups": 2, "padding": 1}, (2, 4, 7))],
    "Conv2d": [
        ((4, 6, (3, 2)), {"stride": (1, 2), "padding": "valid"}, (2, 4, 7, 6)),
        ((4, 6, 3), {"groups": 2, "bias": False, "padding_mode": "reflect", "padding": 1},
         (2, 4, 5, 5)),
    ],
    "Conv3d": [((2, 3, (1, 2, 3)), {}, (2, 2, 3, 4, 5))],
    "ConvTranspose1d": [((4, 6, 3), {"groups": 2, "stride": 2}, (2, 4, 5))],
    "ConvTranspose2d": [((4, 6, (3, 2)), {"stride": 2, "output_padding": 1}, (2, 4, 5, 4))],
    "BatchNorm1d": [((5,), {}, (4, 5)), ((5,), {"affine": False}, (4, 5, 3))],
    "BatchNorm2d": [
        ((3,), {}, (2, 3, 4, 5)),
        ((3,), {"affine": False, "eps": 0.1}, (2, 3, 4, 5)),
        ((3,), {"track_running_stats": False}, (2, 3, 4, 5)),
    ],
    "BatchNorm3d": [((2,), {"bias": False}, (2, 2, 3, 4, 5))],
}  # fmt: skip
# Containers have what is put into them; the models below are made of them.
CONTAINERS = {"Module", "Sequential", "ModuleList", "ModuleDict", "ParameterList"}
ARGUMENTS = [(), (1,), (2, 2), ((1, 1),), (1, 1, 1)]  # one of these makes any layer without state

MODELS: dict[str, tuple[dict[str, Any], tuple[int, ...]]] = {
    "fcnet": ({"num_classes": 3}, (2, 1, 28, 28)),
    "cat_dog_cnn_1_1": ({"image_size": (20, 24), "normalize": (0.4, 0.2)}, (2, 3, 20, 24)),
    "cat_dog_cnn_1_2": ({"image_size": 28, "in_channels": 1}, (2, 1, 28, 28)),
    "cat_dog_cnn_1_3": ({"image_size": 28, "num_classes": 2}, (2, 3, 28, 28)),
    "alexnet": ({"num_classes": 3}, (1, 3, 131, 127)),
    "alexnet_plain": ({"num_classes": 3}, (1, 3, 63, 67)),
}

Save, Load = Callable[[Any, Path], Any], Callable[[Path], Any]
THEIRS: dict[str, Save] = {
    "zip": torch.save,
    "legacy": lambda state, path: torch.save(state, path, _use_new_zipfile_serialization=False),
    "safetensors": lambda state, path: safetensors.torch.save_file(dict(state), path),
}
OURS: dict[str, tuple[Save, Load]] = {
    "zip": (io.save_torch, torch.load),
    "safetensors": (lambda state, path: io.save_weights(state, path), safetensors.torch.load_file),
}


def shaken(module: torch.nn.Module) -> torch.nn.Module:
    """The module with random parameters, and with buffers that are not those it began with."""
    for name, tensor in module.state_dict().items():
        if tensor.is_floating_point():
            fan = max(tensor[0].numel(), 1) if tensor.ndim else 1
            tensor.uniform_(-1, 1).mul_((3 / fan) ** 0.5)
            if name.endswith("running_var"):
                tensor.abs_().add_(0.1)
        else:
            tensor.fill_(7)
    return module.eval()


def assert_same_state(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    assert list(ours) == list(theirs)
    for name, tensor in theirs.items():
        assert ours[name].numpy().dtype == tensor.numpy().dtype, name
        assert np.array_equal(ours[name].numpy(), tensor.numpy()), name


def assert_equal_outputs(ours: nn.Module, theirs: torch.nn.Module, shape: tuple[int, ...]) -> None:
    x = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
    with minicnn.no_grad(), torch.no_grad():
        y = ours.eval()(minicnn.from_numpy(x)).numpy()
        error = relative_error(y, theirs.eval()(torch.from_numpy(x)).numpy())
    assert np.ptp(y) > 0
    assert error < TOLERANCE["float32"]


def blank(module: Any) -> Any:
    """The module with nothing but zeros."""
    with minicnn.no_grad(), torch.no_grad():
        for tensor in module.state_dict().values():
            tensor.fill_(0)
    return module


def round_trip(
    ours: nn.Module,
    theirs: torch.nn.Module,
    back: torch.nn.Module,
    shape: tuple[int, ...],
    folder: Path,
    kinds: tuple[str, ...] = (*THEIRS,),
) -> None:
    """Into ours from each of their formats, and from each of ours into another of theirs."""
    torch.manual_seed(0)
    shaken(theirs)
    for kind in kinds:
        THEIRS[kind](theirs.state_dict(), folder / kind)
        io.load_weights(folder / kind, blank(ours))
        assert_same_state(ours.state_dict(), theirs.state_dict())
    assert_equal_outputs(ours, theirs, shape)
    for kind in OURS.keys() & kinds:
        save, load = OURS[kind]
        save(ours.state_dict(), folder / "ours")
        blank(back).load_state_dict(load(folder / "ours"))
        assert_same_state(ours.state_dict(), back.state_dict())
    assert_equal_outputs(ours, back, shape)


# ------------------------------------------------------------------------------------------ layers

LAYERS = {
    name: kind
    for name in nn.__all__
    if isinstance(kind := getattr(nn, name), type) and issubclass(kind, nn.Module)
}


@pytest.mark.parametrize(
    ("name", "case"), [(name, i) for name in STATEFUL for i in range(len(STATEFUL[name]))]
)
def test_layers_with_state(name, case, tmp_path):
    arguments, options, shape = STATEFUL[name][case]
    theirs, back = (getattr(torch.nn, name)(*arguments, **options) for _ in range(2))
    round_trip(LAYERS[name](*arguments, **options), theirs, back, shape, tmp_path)


def made(kind: type) -> nn.Module | None:
    """A layer with the first arguments that it takes."""
    for arguments in ARGUMENTS:
        try:
            return kind(*arguments)
        except TypeError:
            continue
    return None


@pytest.mark.parametrize("name", sorted({*LAYERS} - {*STATEFUL} - CONTAINERS))
def test_the_other_layers_have_no_state_in_either(name):
    layer = made(LAYERS[name])
    assert layer is not None, f"{name} takes none of {ARGUMENTS}: add some"
    assert not layer.state_dict(), f"{name} has state: add it to STATEFUL"
    if hasattr(torch.nn, name):
        assert not made(getattr(torch.nn, name)).state_dict()


def test_a_container_of_each_kind(tmp_path):
    def net(lib: Any) -> Any:
        class Net(lib.nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.scale = lib.nn.Parameter(lib.ones(1, 4))
                self.register_buffer("shift", lib.zeros(4))
                self.register_buffer("scratch", lib.zeros(9), persistent=False)
                self.list = lib.nn.ModuleList([lib.nn.Linear(4, 4), lib.nn.BatchNorm1d(4)])
                self.dict = lib.nn.ModuleDict({"a": lib.nn.Linear(4, 4, bias=False)})
                self.parameters_ = lib.nn.ParameterList([lib.nn.Parameter(lib.ones(4))])
                self.twice = self.dict["a"]

            def forward(self, x: Any) -> Any:
                for layer in self.list:
                    x = layer(x)
                x = self.twice(self.dict["a"](x)) * self.scale + self.shift
                return x * self.parameters_[0]

        return Net()

    # tied weights are refused by safetensors' own functions for torch; .pth files keep them
    round_trip(net(minicnn), net(torch), net(torch), (3, 4), tmp_path, kinds=("zip", "legacy"))


# ------------------------------------------------------------------------------------------ models


def as_torch(module: str) -> dict[str, Any]:
    """What a file of minicnn.models defines, run with its import lines changed to torch's."""
    source = Path(inspect.getfile(sys.modules[module])).read_text(encoding="utf-8")
    for ours, theirs in {
        "from minicnn import nn": "from torch import nn",
        "from minicnn.nn import functional as F": "from torch.nn import functional as F",
        "from minicnn.tensor import Tensor": "from torch import Tensor",
        "from minicnn.creation import from_numpy": "from torch import from_numpy",
        "from minicnn.models.registry import register": "register = lambda builder: builder",
    }.items():
        source = source.replace(ours, theirs)
    space: dict[str, Any] = {"__name__": f"{module}_in_torch"}
    if "preprocessing import Normalize" in source:
        space |= as_torch("minicnn.models.preprocessing")
        source = source.replace("from minicnn.models.preprocessing import Normalize", "")
    exec(compile(source, module, "exec"), space)
    return space


def narrow(model: Any, lib: Any) -> Any:
    """The model with linear layers of 64 where AlexNets have 4096: as many names, 230 MB less."""

    def width(features: int) -> int:
        return 64 if features == 4096 else features

    for parent in [*model.modules()]:
        for name, layer in [*parent.named_children()]:
            if isinstance(layer, lib.nn.Linear) and 4096 in (layer.in_features, layer.out_features):
                new = lib.nn.Linear(width(layer.in_features), width(layer.out_features))
                setattr(parent, name, new)
    return model


def test_every_model_is_tried():
    assert set(models.list_models()) == set(MODELS), "add what is missing to MODELS"


@pytest.mark.parametrize("name", MODELS)
def test_models(name, tmp_path):
    options, shape = MODELS[name]
    twin = as_torch(getattr(models, name).__module__)[name]
    ours = narrow(models.create(name, **options), minicnn)
    theirs, back = (narrow(twin(**options), torch) for _ in range(2))
    round_trip(ours, theirs, back, shape, tmp_path)
