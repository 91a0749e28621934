"""What the tensors of a case hold: a letter for each kind of numbers.

X and W are normal numbers; X, D, P, U and L have a batch as their first axis, which the test of
threads makes long. D are distinct numbers, no two of them near: maxima without ties. P are
positive, U between 0 and 1, L class labels, V positive and of a fixed shape, I given integers, M
a given mask. `const` hides a tensor from differentiation.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np


class Draw(NamedTuple):
    """How one array is drawn."""

    make: Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]
    shape: tuple[int, ...]
    batch: bool  # whether its first axis is a batch
    constant: bool = False  # whether it is passed on without asking for a gradient

    def array(self, rng: np.random.Generator, times: int = 1) -> np.ndarray:
        """The array, with a batch `times` as long."""
        shape = (self.shape[0] * times, *self.shape[1:]) if self.batch else self.shape
        return self.make(rng, shape)


def _normal(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return np.asarray(rng.standard_normal(shape))


def _distinct(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    size = int(np.prod(shape))
    return ((rng.permutation(size) - size // 2 + 0.25) * (4 / size)).reshape(shape)


def X(*shape: int) -> Draw:
    """Normal numbers with a batch in front."""
    return Draw(_normal, shape, batch=True)


def W(*shape: int) -> Draw:
    """Normal numbers of a fixed shape."""
    return Draw(_normal, shape, batch=False)


def D(*shape: int) -> Draw:
    """Distinct numbers between -2 and 2, none of them 0."""
    return Draw(_distinct, shape, batch=True)


def P(*shape: int) -> Draw:
    """Numbers between 0.5 and 2."""
    return Draw(lambda rng, shape: rng.uniform(0.5, 2, shape), shape, batch=True)


def V(*shape: int) -> Draw:
    """Numbers between 0.5 and 2, of a fixed shape."""
    return P(*shape)._replace(batch=False)


def U(*shape: int) -> Draw:
    """Numbers between 0.05 and 0.95."""
    return Draw(lambda rng, shape: rng.uniform(0.05, 0.95, shape), shape, batch=True)


def L(classes: int, *shape: int) -> Draw:
    """Labels of that many classes."""
    return Draw(lambda rng, shape: rng.integers(0, classes, shape), shape, batch=True)


def I(values: Any) -> Draw:  # noqa: E743
    """The given integers."""
    return Draw(lambda rng, shape: np.array(values, np.int64), (), batch=False)


def M(values: Any) -> Draw:
    """The given mask."""
    return Draw(lambda rng, shape: np.array(values, bool), (), batch=False)


def const(draw: Draw) -> Draw:
    """The same numbers, as a constant."""
    return draw._replace(constant=True)
