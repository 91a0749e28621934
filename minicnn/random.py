"""Seeds and generators: one seed decides everything that is drawn.

Two kinds of random numbers, because they are used differently:

* **Counter-based** (dropout masks): Philox4x32-10 with key = seed and counter = (operation number,
  element index). Any element can be computed by any thread on any device without the others, so
  every rung draws the same bits and backward can draw them again instead of storing them.
* **Sequential** (weights, shuffles): a NumPy generator on the CPU, seeded from the same seed.

Source: Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3" (SC 2011).
"""

from __future__ import annotations

import os
import threading
from typing import Any

import numpy as np

from minicnn.kernels.errors import ArgumentError

_lock = threading.Lock()
_seed = 0
_offset = 0  # how many counter-based operations were drawn under this seed
_spawned = 0  # how many seeds were spawned from this seed
_seedings = 0  # how often manual_seed was called
_generator = np.random.default_rng(0)


class Generator:
    """A source of random numbers of its own, for `random_split`, DataLoader and the factories.

    Source: `torch.Generator`. `.numpy` is the NumPy generator inside.
    """

    def __init__(self, device: Any = "cpu") -> None:
        self.manual_seed(0)

    def manual_seed(self, seed: int) -> Generator:
        """Start again from `seed`; returns itself, so `Generator().manual_seed(42)` reads well."""
        self._seed = _checked(seed)
        self.numpy = np.random.default_rng(self._seed)
        return self

    def initial_seed(self) -> int:
        """The seed it was started from."""
        return self._seed


def _checked(seed: Any) -> int:
    try:
        value = int(seed)
    except (TypeError, ValueError):
        raise ArgumentError(
            f"manual_seed: the seed must be an integer, got {seed!r}. Use manual_seed(0)."
        ) from None
    return value % 2**64


def manual_seed(seed: int) -> Generator:
    """Start all random numbers again from `seed`, an integer (taken modulo 2**64)."""
    global _seed, _offset, _spawned, _seedings, _generator
    value = _checked(seed)
    with _lock:
        _seed, _offset, _spawned = value, 0, 0
        _seedings += 1
        _generator = np.random.default_rng(value)
    return Generator().manual_seed(value)


def seed() -> int:
    """Start again from a seed that the operating system draws; returns it."""
    value = int.from_bytes(os.urandom(8), "little")
    manual_seed(value)
    return value


def initial_seed() -> int:
    """The seed in force."""
    return _seed


def generator(own: Any = None) -> np.random.Generator:
    """The NumPy generator of `own` (a Generator, NumPy generator or seed), or the global one."""
    if own is None:
        return _generator
    if isinstance(own, Generator):
        return own.numpy
    if isinstance(own, np.random.Generator):
        return own
    return np.random.default_rng(_checked(own))


def next_operation() -> tuple[int, int]:
    """(seed, operation number) for one counter-based operation; no two get the same."""
    global _offset
    with _lock:
        _offset += 1
        return _seed, _offset - 1


def spawn_seed() -> int:
    """A seed for somebody who draws on their own, such as a DataLoader; no two get the same.

    Spawning disturbs no other draws: with a validation loader, dropout masks stay what they were.
    """
    global _spawned
    with _lock:
        _spawned += 1
        sequence = np.random.SeedSequence(_seed, spawn_key=(_spawned - 1,))
    return int(sequence.generate_state(1, np.uint64)[0])


def seedings() -> int:
    """How often `manual_seed` was called: who keeps a spawned seed spawns again when it changes."""
    return _seedings


def get_rng_state() -> dict[str, Any]:
    """All state that later draws depend on, as plain JSON-able values."""
    with _lock:
        return {
            "seed": _seed,
            "offset": _offset,
            "spawned": _spawned,
            "seedings": _seedings,
            "generator": _generator.bit_generator.state,
        }


def set_rng_state(state: dict[str, Any]) -> None:
    """Continue from what `get_rng_state` returned."""
    global _seed, _offset, _spawned, _seedings, _generator
    with _lock:
        _seed, _offset = int(state["seed"]), int(state["offset"])
        _spawned, _seedings = int(state.get("spawned", 0)), int(state.get("seedings", _seedings))
        _generator = np.random.default_rng()
        _generator.bit_generator.state = state["generator"]
