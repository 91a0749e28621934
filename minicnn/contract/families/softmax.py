"""Softmax and its logarithm: their cases, arrays and calls."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from minicnn.contract.cases import Arrays, Case, numbers


def _along(*shape: int, **more: Any) -> Case:
    """Return a case along the middle one of three axes."""
    return {"shape": shape, "scale": 1, **more}


class Softmax:
    """softmax, log_softmax and their gradients, along the middle axis."""

    examples: ClassVar[dict[str, Case]] = {
        f"{'log_softmax' if log else 'softmax'}: {label}": case | {"log": log}
        for log in (False, True)
        for label, case in {
            "one of one": _along(1, 1, 1),
            "two, equally likely": _along(1, 2, 1, scale=0),
            "two": _along(1, 2, 1),
            "three": _along(1, 3, 1),
            "two rows": _along(2, 3, 1),
            "columns": _along(1, 3, 2),
            "rows and columns": _along(2, 3, 4),
            "nothing at all": _along(0, 3, 2),
            "hundreds overflow exp": _along(1, 3, 2, scale=200),
            "an impossible one, -inf": _along(1, 3, 1, values=[-np.inf, 0, 1]),
            "fractions": _along(2, 7, 3, seed=1),
        }.items()
    }

    @staticmethod
    def arrays(case: Case, dtype: str) -> Arrays:
        draw, values = numbers(case, dtype), case.get("values", [])
        x = draw(*case["shape"]) * np.asarray(case["scale"], dtype)
        if "seed" in case:  # undecided: the gradient of a sure row is rounding error
            x[:1] = draw(*x[:1].shape)
        x.ravel()[: len(values)] = values
        return {"x": x, "dy": draw(*case["shape"])}

    @staticmethod
    def ours(k: Any, case: Case, x: Any, dy: Any) -> Arrays:
        if case["log"]:
            y = k.log_softmax(x)
            return {"y": y, "dx": k.log_softmax_grad(dy, y)}
        y = k.softmax(x)
        return {"y": y, "dx": k.softmax_grad(dy, y)}
