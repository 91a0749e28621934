"""Nested Python state as JSON plus named arrays, and back, without losing a bit or a type.

JSON has no tuples, no integer keys, no NaN and no arrays; an optimizer's state has all of them.
What JSON cannot say is written as an object with one key that starts with `$`:

    (0.9, 0.999)        {"$tuple": [0.9, 0.999]}
    {0: …, 1: …}        {"$map": [[0, …], [1, …]]}
    nan                 {"$float": "nan"}
    an array            {"$array": "optimizer.state.0.exp_avg"}, stored under that name
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from minicnn.errors import CheckpointError


def pack(value: Any, name: str, arrays: dict[str, np.ndarray]) -> Any:
    """`value` as JSON; its arrays and tensors are put into `arrays` under names below `name`."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float | np.generic):
        number = value.item() if isinstance(value, np.generic) else value
        exotic = isinstance(number, float) and not math.isfinite(number)
        return {"$float": str(number)} if exotic else number
    if isinstance(value, list):
        return [pack(item, f"{name}.{i}", arrays) for i, item in enumerate(value)]
    if isinstance(value, tuple):
        return {"$tuple": pack(list(value), name, arrays)}
    if isinstance(value, Mapping):
        items = [(key, pack(item, f"{name}.{key}", arrays)) for key, item in value.items()]
        if all(isinstance(key, str) and not key.startswith("$") for key in value):
            return dict(items)
        return {"$map": [[pack(key, name, arrays), item] for key, item in items]}
    if isinstance(value, np.ndarray) or hasattr(value, "detach"):
        arrays[name] = to_array(value)
        return {"$array" if isinstance(value, np.ndarray) else "$tensor": name}
    raise CheckpointError(
        f"a checkpoint cannot hold {name}, a {type(value).__name__}. "
        "Use numbers, texts, lists, dicts, arrays and tensors."
    )


def unpack(value: Any, arrays: Mapping[str, np.ndarray]) -> Any:
    """The value that `pack` was given, from its JSON and its arrays."""
    if isinstance(value, list):
        return [unpack(item, arrays) for item in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        ((kind, content),) = value.items()
        if kind == "$tuple":
            return tuple(unpack(content, arrays))
        if kind == "$map":
            return {unpack(key, arrays): unpack(item, arrays) for key, item in content}
        if kind == "$float":
            return float(content)
        if kind == "$array":
            return arrays[content]
        if kind == "$tensor":
            return to_tensor(arrays[content])
    return {key: unpack(item, arrays) for key, item in value.items()}


def to_array(value: Any) -> np.ndarray:
    """A tensor's values as a NumPy array, without its gradient."""
    return value if isinstance(value, np.ndarray) else value.detach().cpu().numpy()


def to_tensor(array: np.ndarray) -> Any:
    """A Tensor on `array`, sharing its memory."""
    from minicnn.creation import from_numpy

    return from_numpy(array)
