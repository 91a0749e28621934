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


def run(case: Any, where: str) -> list[np.ndarray]:
    """A case's results and gradients, all of which have to be where its tensors are."""
    minicnn.manual_seed(0)
    tensors = []
    for draw, array in zip(case.draws, case.arrays(), strict=True):
        x = minicnn.tensor(array, device=where)
        tensors.append(x.requires_grad_(x.is_floating_point() and not draw.constant))
    outputs = case.function(minicnn, *tensors)
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    recorded = [y for y in outputs if y.requires_grad]
    rng = np.random.default_rng(3)
    seeds = [minicnn.tensor(rng.standard_normal(y.shape), device=where) for y in recorded]
    minicnn.autograd.backward(recorded, seeds)
    results = [*outputs, *(x.grad for x in tensors if x.grad is not None)]
    assert {str(y.device) for y in results} == {where}
    return [y.detach().cpu().numpy() for y in results]
