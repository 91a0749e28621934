"""A training run in one file: weights, optimizer, random state, loaders, history.

Everything is in one safetensors file because one file can be replaced in one step: after a kill
at any moment the weights and the state that belongs to them are of the same epoch. Arrays are
stored as `model.<name>` and `optimizer.<…>`; everything else is JSON in the file's header. The
content depends on the run alone - no clock, no host name - so equal runs give equal files.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from minicnn.errors import CheckpointError
from minicnn.io.pickles import short
from minicnn.io.tensorfile import read_tensors, write_tensors
from minicnn.io.tree import pack, to_array, to_tensor, unpack
from minicnn.io.weights import KEY, PREFIX, check_fits, read_header

FORMAT = 1


@dataclass
class Checkpoint:
    """What `load_checkpoint` found.

    Attributes:
        path: the file it is from.
        epoch: how many epochs were finished.
        model_state: {name: Tensor}, for `Module.load_state_dict`.
        recipe: {"name", "options"} of a model from `minicnn.models`, else None.
        optimizer: {"type": "Adam", "state": its state dict}, or None.
        history: the History's lists; loaders, callbacks: their state dicts.
        config: what the run was started with, as given to `save_checkpoint`.
        rng: `minicnn.random`'s state, or None.
    """

    path: Path
    epoch: int
    model_state: dict[str, Any]
    recipe: dict[str, Any] | None = None
    optimizer: dict[str, Any] | None = None
    history: dict[str, Any] = field(default_factory=dict)
    loaders: dict[str, Any] = field(default_factory=dict)
    callbacks: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    rng: dict[str, Any] | None = None

    def restore(self, model: Any, optimizer: Any = None, *, rng: bool = True) -> None:
        """Put the weights into `model`, the moments into `optimizer`, and the seeds back.

        Nothing changes unless everything fits; raises CheckpointError otherwise.
        """
        arrays = {name: to_array(value) for name, value in self.model_state.items()}
        check_fits(self.path, arrays, model, self.recipe)
        if optimizer is not None:
            self._check_optimizer(optimizer)
            optimizer.load_state_dict(self.optimizer["state"])  # type: ignore[index]
        model.load_state_dict(self.model_state)
        if rng and self.rng is not None:
            from minicnn import random

            random.set_rng_state(self.rng)

    def _check_optimizer(self, optimizer: Any) -> None:
        kind = type(optimizer).__name__
        if self.optimizer is None:
            raise CheckpointError(
                f"{self.path} holds no optimizer state. Restore the model alone, and train afresh."
            )
        if self.optimizer["type"] != kind:
            raise CheckpointError(
                f"{self.path} was written with {self.optimizer['type']}, not {kind}. "
                f"Continue with optim.{self.optimizer['type']}."
            )
        theirs = [len(group["params"]) for group in self.optimizer["state"]["param_groups"]]
        ours = [len(group["params"]) for group in optimizer.state_dict()["param_groups"]]
        if theirs != ours:
            raise CheckpointError(
                f"{self.path}: its optimizer has {theirs} parameters by group, this one {ours}. "
                "Give the optimizer the same parameters as in that run."
            )


def save_checkpoint(
    path: str | os.PathLike[str],
    model: Any,
    optimizer: Any = None,
    *,
    epoch: int = 0,
    history: Mapping[str, Any] | None = None,
    loaders: Mapping[str, Any] | None = None,
    callbacks: Mapping[str, Any] | None = None,
    config: Mapping[str, Any] | None = None,
) -> Path:
    """Write model, optimizer, random state and the rest to one file, atomically.

    Args:
        epoch: finished epochs; `Trainer.fit(resume=path)` goes on with the next.
        history, loaders, callbacks, config: nested dicts of numbers, texts, arrays, tensors.

    Raises:
        CheckpointError: the disk refuses (the earlier file stays), or a value cannot be stored.
    """
    from minicnn import random

    rng = random.get_rng_state()
    rng.pop("seedings", None)  # what the process did before is not part of the run
    arrays = {PREFIX + name: to_array(value) for name, value in model.state_dict().items()}
    header: dict[str, Any] = {
        "format": FORMAT,
        "kind": "checkpoint",
        "epoch": epoch,
        "model": getattr(model, "recipe", None),
        "optimizer": None,
        "rng": rng,
    }
    if optimizer is not None:
        header["optimizer"] = {
            "type": type(optimizer).__name__,
            "state": pack(optimizer.state_dict(), "optimizer", arrays),
        }
    parts = {"history": history, "loaders": loaders, "callbacks": callbacks, "config": config}
    for name, part in parts.items():
        header[name] = pack(dict(part or {}), name, arrays)
    return write_tensors(path, arrays, {KEY: json.dumps(header)})


def load_checkpoint(path: str | os.PathLike[str]) -> Checkpoint:
    """Read what `save_checkpoint` wrote.

    Raises:
        CheckpointError: no such file, a foreign or truncated one, or weights without a run.
    """
    path = Path(path)
    header = read_header(path)
    if header.get("kind") != "checkpoint":
        raise CheckpointError(
            f"{path} holds weights, but no training run to continue. "
            "Load it with io.load_weights, or name a file that the Trainer wrote."
        )
    if not isinstance(header.get("format"), int):
        raise CheckpointError(f"{path}: its header is damaged. Use another checkpoint.")
    if header["format"] > FORMAT:
        raise CheckpointError(
            f"{path} has format {header['format']}, this version reads up to {FORMAT}. "
            "Install a newer minicnn."
        )
    arrays = read_tensors(path)
    try:
        return _checkpoint(path, header, arrays)
    except (KeyError, TypeError, ValueError, RecursionError) as reason:
        raise CheckpointError(
            f"{path}: its header is damaged ({short(repr(reason))}). Use another checkpoint."
        ) from reason


def _checkpoint(path: Path, header: dict, arrays: dict[str, np.ndarray]) -> Checkpoint:
    weights = {k[len(PREFIX) :]: v for k, v in arrays.items() if k.startswith(PREFIX)}
    parts = {
        name: unpack(header[name], arrays)
        for name in ("optimizer", "history", "loaders", "callbacks", "config")
    }
    return Checkpoint(
        path=path,
        epoch=header["epoch"],
        model_state={name: to_tensor(array) for name, array in weights.items()},
        recipe=header["model"],
        rng=header["rng"],
        **parts,
    )
