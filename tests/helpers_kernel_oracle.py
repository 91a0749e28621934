"""What the oracles of the kernel tests are made of: arrays, torch's gradients, a plain Philox."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

Arrays = dict[str, Any]


def normal(case: dict[str, Any], dtype: str) -> Callable[..., np.ndarray]:
    """Return a drawer of standard normal arrays: draw(*shape)."""
    rng = np.random.default_rng(case["seed"])
    return lambda *shape: rng.standard_normal(shape).astype(dtype)


def leaves(arrays: Arrays, *names: str) -> list[Any]:
    """Return torch copies of the named arrays that track gradients; None stays None."""
    return [
        None if arrays[n] is None else torch.from_numpy(arrays[n].copy()).requires_grad_()
        for n in names
    ]


def with_grads(y: torch.Tensor, dy: np.ndarray, **wanted: torch.Tensor | None) -> Arrays:
    """Return y, and the gradients of the wanted leaves after sending the cotangent dy back."""
    y.backward(torch.from_numpy(dy))
    found = {name: leaf.grad for name, leaf in wanted.items() if leaf is not None}
    return {"y": y.detach().numpy()} | {n: g.numpy() for n, g in found.items() if g is not None}


def philox_block(counter: list[int], key: list[int]) -> list[int]:
    """Return Philox4x32-10 of four counter words and two key words, from its definition."""
    for _ in range(10):
        high0, low0 = divmod(counter[0] * 0xD2511F53, 2**32)
        high2, low2 = divmod(counter[2] * 0xCD9E8D57, 2**32)
        counter = [high2 ^ counter[1] ^ key[0], low2, high0 ^ counter[3] ^ key[1], low0]
        key = [(key[0] + 0x9E3779B9) % 2**32, (key[1] + 0xBB67AE85) % 2**32]
    return counter


def philox_word(seed: int, offset: int, i: int) -> int:
    """Return word i of the contract's stream (seed, offset)."""
    counter = [i // 4 % 2**32, i // 4 >> 32, offset % 2**32, offset >> 32]
    return philox_block(counter, [seed % 2**32, seed >> 32])[i % 4]
