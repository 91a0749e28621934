"""Fifty steps of training on real cats and dogs, beside torch, from equal weights."""

from __future__ import annotations

import functools
from collections import OrderedDict
from typing import Any

import numpy as np
import pytest
import torch

import minicnn
from minicnn.datasets import CatsVsDogs
from minicnn.models import create

STEPS, BATCH = 50, 16
TOLERANCE = {"float64": 1e-6, "float32": 1e-3}

OPTIMIZERS = {
    "SGD": {"lr": 0.1, "momentum": 0.9, "weight_decay": 1e-4},
    # Adam divides a gradient by its own size: with its usual eps of 1e-8 one of 1e-9, which is
    # rounding error in float32, moves its weight as far as any other, whichever way it fell.
    "Adam": {"lr": 1e-3, "eps": 1e-5},
}


def model_1_3(lib: Any) -> Any:
    """The course's largest network for 28x28 grey images, written out for both libraries."""
    nn, layers, channels = lib.nn, OrderedDict(), 1
    for i in (1, 2, 3):
        layers[f"conv{i}"] = nn.Conv2d(channels, 32, 3)
        layers[f"relu{i}"] = nn.ReLU()
        layers[f"pool{i}"] = nn.MaxPool2d(2)
        channels = 32
    layers |= {
        "flatten": nn.Flatten(),
        "hidden": nn.Linear(32, 64),
        "relu_hidden": nn.ReLU(),
        "dropout": nn.Dropout(0.0),
        "logits": nn.Linear(64, 2),
    }
    return nn.Sequential(layers)


@functools.cache
def batches(dtype: str) -> list[tuple[np.ndarray, np.ndarray]]:
    data = CatsVsDogs("train")
    order = np.random.default_rng(0).permutation(len(data))[: STEPS * BATCH]
    found = [data[int(i)] for i in order]
    images = np.stack([np.asarray(image) for image, _ in found]).astype(dtype)
    labels = np.array([int(label) for _, label in found])
    return [
        (images[i : i + BATCH].reshape(-1, 1, 28, 28), labels[i : i + BATCH])
        for i in range(0, STEPS * BATCH, BATCH)
    ]


def train(lib: Any, model: Any, name: str, dtype: str) -> np.ndarray:
    """The loss of each step."""
    optimizer = getattr(lib.optim, name)(model.parameters(), **OPTIMIZERS[name])
    loss_function = lib.nn.CrossEntropyLoss()
    losses = []
    for images, labels in batches(dtype):
        optimizer.zero_grad()
        loss = loss_function(model(lib.tensor(images)), lib.tensor(labels))
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return np.array(losses)


@functools.cache
def torchs_run(name: str, dtype: str) -> tuple[dict[str, Any], np.ndarray, dict[str, Any]]:
    """The weights before, the losses, and the weights after."""
    torch.manual_seed(0)
    model = model_1_3(torch).to(getattr(torch, dtype))
    start = {key: value.numpy().copy() for key, value in model.state_dict().items()}
    losses = train(torch, model, name, dtype)
    assert losses[-10:].mean() < 0.9 * losses[:10].mean(), "torch itself has to learn something"
    return start, losses, {key: value.numpy() for key, value in model.state_dict().items()}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_fifty_steps(backend, name, dtype):
    start, want, theirs = torchs_run(name, dtype)
    ours = create("cat_dog_cnn_1_3", in_channels=1, image_size=28, num_classes=2, dropout_p=0.0)
    ours.to(dtype).load_state_dict(start)
    with minicnn.use_backend(backend):
        got = train(minicnn, ours, name, dtype)

    errors = {"losses": np.abs(got - want).max() / np.abs(want).max()}
    for key, value in ours.state_dict().items():
        errors[key] = np.abs(value.numpy() - theirs[key]).max() / np.abs(theirs[key]).max()
        assert value.dtype == dtype
    wrong = {key: error for key, error in errors.items() if error > TOLERANCE[dtype]}
    assert not wrong, f"relative to torch after {STEPS} steps: {errors}"
