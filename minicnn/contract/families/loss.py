"""Softmax with cross-entropy: its cases, their arrays, and the calls made of them."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from minicnn.contract.cases import Arrays, Case, numbers


class SoftmaxCrossEntropy:
    """softmax_cross_entropy with its log-probabilities, and its gradient."""

    examples: ClassVar[dict[str, Case]] = {
        "one class": {"batch": 1, "classes": 1, "scale": 1},
        "two classes, equally likely": {"batch": 1, "classes": 2, "scale": 0},
        "two classes": {"batch": 1, "classes": 2, "scale": 1},
        "three classes": {"batch": 1, "classes": 3, "scale": 1},
        "two rows": {"batch": 2, "classes": 3, "scale": 1},
        "no row at all": {"batch": 0, "classes": 3, "scale": 1},
        "logits of hundreds overflow exp": {"batch": 2, "classes": 3, "scale": 200},
        "an impossible class, -inf": {"batch": 2, "classes": 3, "minus_infinity": True},
        "fractions": {"batch": 5, "classes": 11, "seed": 1},
    }

    @staticmethod
    def arrays(case: Case, dtype: str) -> Arrays:
        draw, N, C = numbers(case, dtype), case["batch"], case["classes"]
        logits = draw(N, C) * np.asarray(case.get("scale", 3), dtype)
        if "seed" in case:  # the gradient of a sure row is rounding error
            logits[:1] = draw(min(N, 1), C)
        target: np.ndarray = np.random.default_rng(case.get("seed", 1)).integers(0, C, size=(N,))
        if case.get("minus_infinity"):
            logits[0, (target[0] + 1) % C] = logits[1, target[1]] = -np.inf
        return {"logits": logits, "target": target, "dlosses": draw(N)}

    @staticmethod
    def ours(k: Any, case: Case, logits: Any, target: Any, dlosses: Any) -> Arrays:
        losses, log_probs = k.softmax_cross_entropy(logits, target)
        dlogits = k.softmax_cross_entropy_grad(dlosses, log_probs, target)
        return {"y": losses, "log_probs": log_probs, "dlogits": dlogits}
