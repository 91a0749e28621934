"""Local response normalisation: its cases, arrays and calls."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from minicnn.contract.cases import Arrays, Case, numbers


def _sizes(*shape: int, size: int, beta: float = 1.0, **more: Any) -> Case:
    """Return a case of x (N,C,L) and a window of `size` channels."""
    return {"shape": shape, "size": size, "alpha": 1.0, "beta": beta, "k": 1.0, **more}


class ResponseNorm:
    """response_norm and its gradient."""

    examples: ClassVar[dict[str, Case]] = {
        "one value, a window of one": _sizes(1, 1, 1, size=1),
        "two channels, a window of one": _sizes(1, 2, 1, size=1),
        "a window of two: before": _sizes(1, 2, 1, size=2),
        "a window of three: both sides": _sizes(1, 3, 1, size=3),
        "a window of four": _sizes(1, 5, 1, size=4),
        "two pixels": _sizes(1, 3, 2, size=3),
        "two images": _sizes(2, 3, 1, size=2),
        "a power of 3/4": _sizes(1, 3, 2, size=3, beta=0.75),
        "a power of 1/2": _sizes(1, 3, 2, size=2, beta=0.5),
        "another power": _sizes(1, 3, 2, size=2, beta=1.3),
        "alpha and k": _sizes(1, 3, 2, size=2, alpha=0.5, k=2.0),
        "a window larger than the channels": _sizes(2, 3, 2, size=9),
        "no image at all": _sizes(0, 3, 2, size=3),
        "fractions": _sizes(2, 7, 5, size=5, beta=0.75, seed=1),
    }

    @staticmethod
    def arrays(case: Case, dtype: str) -> Arrays:
        draw = numbers(case, dtype)
        x = draw(*case["shape"]) * np.asarray(case.get("spread", 1), dtype)
        return {"x": x, "dy": draw(*case["shape"])}

    @staticmethod
    def ours(k: Any, case: Case, x: Any, dy: Any) -> Arrays:
        options = [case[name] for name in ("size", "alpha", "beta", "k")]
        return {"y": k.response_norm(x, *options), "dx": k.response_norm_grad(dy, x, *options)}
