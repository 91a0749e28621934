"""Batch normalisation: its cases, arrays and calls."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from minicnn.contract.cases import Arrays, Case, numbers


def _sizes(*shape: int, **more: Any) -> Case:
    """Return a case of x (N,C,L)."""
    return {"shape": shape, "weight": False, "bias": False, **more}


class BatchNorm:
    """The moments of a batch, what they normalise, and the gradients through both."""

    examples: ClassVar[dict[str, Case]] = {
        "one channel, two values": _sizes(2, 1, 1),
        "two values of one image": _sizes(1, 1, 2),
        "two images": _sizes(2, 1, 2),
        "a weight": _sizes(2, 1, 2, weight=True),
        "a bias": _sizes(2, 1, 2, bias=True),
        "two channels": _sizes(2, 2, 1, weight=True, bias=True),
        "all sizes differ": _sizes(3, 2, 4, weight=True, bias=True),
        "a channel of equal values": _sizes(2, 1, 2, spread=0, weight=True),
        "a large mean": _sizes(4, 2, 5, mean=1000, seed=1),
        "fractions": _sizes(5, 3, 7, weight=True, bias=True, seed=1),
    }

    @staticmethod
    def arrays(case: Case, dtype: str) -> Arrays:
        draw, C = numbers(case, dtype), case["shape"][1]
        x = draw(*case["shape"]) * np.asarray(case.get("spread", 1), dtype)
        return {
            "x": x + np.asarray(case.get("mean", 0), dtype),
            "weight": draw(C) if case["weight"] else None,
            "bias": draw(C) if case["bias"] else None,
            "dy": draw(*case["shape"]),
        }

    @staticmethod
    def ours(k: Any, case: Case, x: Any, weight: Any, bias: Any, dy: Any) -> Arrays:
        eps = case.get("eps", 0.1)
        mean, var = k.batch_moments(x)
        dweight, dbias = k.batch_norm_weight_grad(dy, x, mean, var, eps)
        dx = k.batch_norm_input_grad(dy, x, mean, var, weight, dweight, dbias, eps)
        return {
            "mean": mean,
            "var": var,
            "y": k.batch_norm(x, mean, var, weight, bias, eps),
            "dx": dx,
            "dweight": dweight,
            "dbias": dbias,
        }
