"""Models by name. Each remembers its name and options, so that a file can say how to rebuild it."""

from __future__ import annotations

import difflib
import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from minicnn.errors import ArgumentError, CheckpointError, MiniCNNError

OTHER_WORDS = {"classes": "num_classes"}
_builders: dict[str, Callable[..., Any]] = {}
B = TypeVar("B", bound=Callable[..., Any])


def register(builder: B) -> B:
    """Make a function that builds a model known under its name; its options must be JSON-able.

    ::

        @models.register
        def tiny(num_classes: int = 2):
            return nn.Sequential(nn.Flatten(), nn.Linear(784, num_classes))

        models.create("tiny", num_classes=10)

    The model gets an attribute `recipe`, {"name": "tiny", "options": {"num_classes": 10}}, that
    checkpoints store and `models.load` reads. `classes`, the notebook course's word, is taken for
    `num_classes`.
    """
    name = builder.__name__
    signature = inspect.signature(builder)

    @functools.wraps(builder)
    def build(*args: Any, **kwargs: Any) -> Any:
        if "num_classes" not in kwargs and "classes" not in signature.parameters:
            kwargs = {OTHER_WORDS.get(key, key): value for key, value in kwargs.items()}
        try:
            bound = signature.bind(*args, **kwargs)
        except TypeError as reason:
            options = ", ".join(signature.parameters)
            raise ArgumentError(f"{name}: {reason}. Its options are {options}.") from reason
        bound.apply_defaults()
        model = builder(*bound.args, **bound.kwargs)
        model.recipe = {"name": name, "options": dict(bound.arguments)}
        return model

    _builders[name] = build
    return build  # type: ignore[return-value]


def list_models() -> list[str]:
    """The names that `create` knows, sorted."""
    return sorted(_builders)


def create(name: str, **options: Any) -> Any:
    """A new model, with fresh weights from the global seed.

    Raises:
        ArgumentError: an unknown name (the nearest is suggested) or option.
        ShapeError: an image size that the model cannot take.
    """
    key = str(name).strip().lower().replace("-", "_").replace(".", "_")
    if key not in _builders:
        near = difflib.get_close_matches(key, _builders, n=1, cutoff=0.5)
        hint = f"Did you mean {near[0]!r}? " if near else ""
        raise ArgumentError(
            f"models.create: no model {name!r}. {hint}There are {', '.join(list_models())}."
        )
    return _builders[key](**options)


def load(path: str | Path) -> Any:
    """The model that a checkpoint or weight file was written from, with its weights, in eval mode.

    Raises:
        CheckpointError: an unreadable file, or one that does not name a model of `list_models`.
    """
    from minicnn import io

    recipe = io.read_header(path).get("model")
    if not recipe or recipe.get("name") not in _builders:
        named = f"names {recipe['name']!r}, which is not registered" if recipe else "names no model"
        raise CheckpointError(
            f"{path} {named}. Build the model yourself and call io.load_weights(path, model)."
        )
    try:
        model = create(recipe["name"], **recipe["options"])
    except (MiniCNNError, TypeError, ValueError, AttributeError, MemoryError) as reason:
        message = f"{path}: its model cannot be built: {reason}"
        raise CheckpointError(message) from reason
    io.load_weights(path, model)
    return model.eval()
