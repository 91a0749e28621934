"""Activations: their cases, arrays and calls."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np

from minicnn.contract.cases import Arrays, Case, Mistake, numbers

ELEMENTWISE: dict[str, Case] = {
    "one number": {"shape": (1,)},
    "a few numbers": {"shape": (5,)},
    "a table": {"shape": (2, 3)},
    "images": {"shape": (2, 1, 2, 3)},
    "nothing at all": {"shape": (0, 3)},
    "fractions": {"shape": (4, 5), "seed": 1},
}


class ReLU:
    """relu and its gradient."""

    examples: ClassVar[dict[str, Case]] = {
        "a negative number": {"shape": (1,), "values": [-2.0]},
        "a positive number": {"shape": (1,), "values": [3.0]},
        "zero": {"shape": (1,), "values": [0.0]},
        **ELEMENTWISE,
        "infinities": {"shape": (2,), "values": [np.inf, -np.inf]},
        "NaN stays NaN": {"shape": (2,), "values": [np.nan, 1.0]},
    }

    @staticmethod
    def arrays(case: Case, dtype: str) -> Arrays:
        draw, values = numbers(case, dtype), case.get("values", [])
        x, dy = draw(*case["shape"]), draw(*case["shape"])
        x.ravel()[: len(values)] = values
        return {"x": x, "dy": np.where(np.isnan(x), 0, dy)}  # at NaN no gradient to agree on

    @staticmethod
    def ours(k: Any, case: Case, x: Any, dy: Any) -> Arrays:
        y = k.relu(x)
        return {"y": y, "dx": k.relu_grad(dy, y)}

    @staticmethod
    def mistakes(kernel: str, args: tuple) -> Iterator[Mistake]:
        """Yield what often goes wrong here, each with what it would compute."""
        if kernel == "relu":
            yield "NaN becomes 0; it has to stay NaN.", (np.where(args[0] > 0, args[0], 0),)
        else:
            dy, y = args
            yield "dy passes where y is 0, too; it must not.", (np.where(y >= 0, dy, 0),)
