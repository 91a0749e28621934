"""Weights alone: a state dict in a safetensors file, for any program that reads the format.

Files that torch wrote are read as well; which kind a file is, its first bytes tell.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from minicnn.errors import CheckpointError
from minicnn.io.pickles import short
from minicnn.io.tensorfile import read_metadata, read_tensors, write_tensors
from minicnn.io.torchfile import is_torch_file, load_torch
from minicnn.io.tree import to_array, to_tensor
from minicnn.nn.module import STATE_KEYS
from minicnn.tensor import Tensor

KEY = "minicnn"  # the one metadata entry; its text is JSON
PREFIX = "model."  # of a model's weights inside a checkpoint


def save_weights(
    model: Any,
    path: str | os.PathLike[str],
    *,
    config: Mapping[str, Any] | None = None,
    epoch: int | None = None,
) -> Path:
    """Write the weights of `model`, a Module or a state dict, to a safetensors file, atomically.

    The keys are the state dict's. A model from `minicnn.models` also leaves its name and options,
    so `models.load(path)` can rebuild it; `config` are JSON-able notes such as class names, and
    `epoch` is after how many epochs the weights are what they are.
    Raises CheckpointError if the disk refuses.
    """
    if isinstance(model, str | os.PathLike):
        raise CheckpointError(
            f"save_weights: the model is {str(model)!r}, a path. "
            "The model comes first, then the path."
        )
    state = model if isinstance(model, Mapping) else model.state_dict()
    note = {"format": 1, "model": getattr(model, "recipe", None), "config": dict(config or {})}
    if epoch is not None:
        note["epoch"] = epoch
    arrays = {name: to_array(value) for name, value in state.items()}
    return write_tensors(path, arrays, {KEY: json.dumps(note)})


def load_weights(
    path: str | os.PathLike[str], model: Any = None, *, strict: bool = True
) -> dict[str, Any]:
    """The state dict in a file of weights or checkpoint; put into `model` when one is given.

    Args:
        path: written by `save_weights`, `save_checkpoint`, any other safetensors writer, or
            `torch.save`: a state dict, or a dict with one under "state_dict",
            "model_state_dict" or "model".
        model: a Module; nothing of it changes unless everything fits.
        strict: refuse missing and unexpected names; False takes what has the same name.

    Returns: {name: Tensor}.

    Raises:
        CheckpointError: no such file, not one of weights, truncated, or of another model.
    """
    if hasattr(path, "state_dict"):
        raise CheckpointError(
            f"load_weights: the path is a {type(path).__name__}. "
            "The path comes first, then the model."
        )
    header = read_header(path)
    if is_torch_file(path):
        arrays = {name: to_array(value) for name, value in _torch_state(path).items()}
    else:
        arrays = read_tensors(path)
    if header.get("kind") == "checkpoint":
        arrays = {k[len(PREFIX) :]: v for k, v in arrays.items() if k.startswith(PREFIX)}
    if model is not None:
        check_fits(path, arrays, model, header.get("model"), strict=strict)
        model.load_state_dict({k: to_tensor(v) for k, v in arrays.items()}, strict=strict)
    return {name: to_tensor(array) for name, array in arrays.items()}


def read_header(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The JSON that minicnn stored in the file, {} if another program wrote it; no weights."""
    if is_torch_file(path):
        return {}
    text = read_metadata(path).get(KEY, "{}")
    try:
        header = json.loads(text)
    except (ValueError, RecursionError):
        header = None
    if not isinstance(header, dict):
        raise CheckpointError(f"{path}: its minicnn header is not JSON. Use another checkpoint.")
    if not _is_recipe(header.get("model")):
        raise CheckpointError(f"{path}: its recipe of a model is damaged. Use another checkpoint.")
    return header


def _is_recipe(recipe: Any) -> bool:
    """Whether this is what `models.register` leaves with a model, or nothing."""
    if recipe is None:
        return True
    if not isinstance(recipe, dict) or not isinstance(recipe.get("options"), dict):
        return False
    return isinstance(recipe.get("name"), str)


def _torch_state(path: str | os.PathLike[str]) -> Mapping[str, Tensor]:
    """The state dict that torch wrote to a file, alone or with an optimizer's and others."""
    content = load_torch(path)
    inside = f"a {type(content).__name__}"
    if isinstance(content, Mapping):
        inside = f"a dict of {_some([*map(str, content)])}"
        for candidate in (content, *(content.get(key) for key in STATE_KEYS)):
            if isinstance(candidate, Mapping) and all(
                isinstance(name, str) and isinstance(tensor, Tensor)
                for name, tensor in candidate.items()
            ):
                return candidate
    raise CheckpointError(
        f"{path} holds {inside}, not a state dict. "
        "Take it apart with minicnn.load(path) and give its part to model.load_state_dict."
    )


def check_fits(
    path: str | os.PathLike[str],
    arrays: Mapping[str, np.ndarray],
    model: Any,
    recipe: Mapping[str, Any] | None,
    *,
    strict: bool = True,
) -> None:
    """Raise a CheckpointError, in one line, unless `arrays` has the model's names and shapes."""
    wanted = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    problems = []
    optional = {
        f"{path}.{name}".lstrip(".")
        for path, module in model.named_modules_with_repeats()
        for name in module.optional_state
    }
    if strict and (missing := [name for name in wanted if name not in {*arrays, *optional}]):
        problems.append(f"it lacks {_some(missing)}")
    if strict and (extra := [name for name in arrays if name not in wanted]):
        problems.append(f"it has {_some(extra)}, which the model lacks")
    differing = [
        f"{name} is {arrays[name].shape} in the file and {shape} in the model"
        for name, shape in wanted.items()
        if name in arrays and arrays[name].shape != shape
    ]
    if differing:
        problems.append(_some(differing))
    if problems:
        remedy = "Build the model that it was written from."
        if recipe:
            options = "".join(f", {k}={v!r}" for k, v in recipe["options"].items())
            remedy = f"It was written from models.create({recipe['name']!r}{options})."
        name = (getattr(model, "recipe", None) or {}).get("name") or type(model).__name__
        raise CheckpointError(f"{path} does not fit {name}: {'; '.join(problems)}. {remedy}")


def _some(names: list[str], most: int = 3) -> str:
    """The first few of a list, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(map(short, names[:most])) + more
