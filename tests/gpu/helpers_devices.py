"""What the tests of devices share."""

from __future__ import annotations

from typing import Any

import numpy as np

import minicnn


def numbers(*shape: int, seed: int = 0, **more: Any) -> minicnn.Tensor:
    array = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
    return minicnn.tensor(array, **more)


def same(a: minicnn.Tensor, b: minicnn.Tensor) -> None:
    np.testing.assert_array_equal(a.detach().cpu().numpy(), b.detach().cpu().numpy())
