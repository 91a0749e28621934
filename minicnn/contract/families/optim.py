"""Optimizer steps: their cases, arrays and calls."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from minicnn.contract.cases import Arrays, Case, numbers


class Adam:
    """adam_step, three in a row: the moments of one are the input of the next."""

    examples: ClassVar[dict[str, Case]] = {
        "one number": {"shape": (1,), "weight_decay": 0.0},
        "a few numbers": {"shape": (3,), "weight_decay": 0.0},
        "a table": {"shape": (2, 3), "weight_decay": 0.0},
        "other betas": {"shape": (2,), "weight_decay": 0.0, "betas": (0.5, 0.8)},
        "a large eps": {"shape": (2,), "weight_decay": 0.0, "eps": 0.5},
        "weight decay": {"shape": (2,), "weight_decay": 0.3},
        "weight decay, decoupled": {"shape": (2,), "weight_decay": 0.3, "decoupled": True},
        "no number at all": {"shape": (0,)},
        "fractions": {"shape": (3, 4), "seed": 1},
    }

    @staticmethod
    def arrays(case: Case, dtype: str) -> Arrays:
        draw = numbers(case, dtype)
        return {"param": draw(*case["shape"]), "steps": [draw(*case["shape"]) for _ in range(3)]}

    @staticmethod
    def ours(k: Any, case: Case, param: Any, steps: Any) -> Arrays:
        param, m, v = param.copy(), np.zeros_like(param), np.zeros_like(param)
        (beta1, beta2), decoupled = case.get("betas", (0.9, 0.999)), case.get("decoupled", False)
        for step, grad in enumerate(steps, start=1):
            k.backend.adam_step(
                param, grad, m, v, step=step, lr=case.get("lr", 0.01), beta1=beta1, beta2=beta2,
                eps=case.get("eps", 1e-8), weight_decay=case.get("weight_decay", 0.1),
                decoupled=decoupled,
            )  # fmt: skip
        return {"param": param, "exp_avg": m, "exp_avg_sq": v}


class SGD(Adam):
    """sgd_step, three in a row."""

    plain, rolling = (0.0, 0.0, False), (0.9, 0.0, False)
    examples: ClassVar[dict[str, Case]] = {
        "one number": {"shape": (1,), "weight_decay": 0.0, "momentum": plain},
        "a table": {"shape": (2, 3), "weight_decay": 0.0, "momentum": plain},
        "weight decay": {"shape": (2,), "weight_decay": 0.3, "momentum": plain},
        "momentum": {"shape": (2,), "weight_decay": 0.0},
        "momentum and weight decay": {"shape": (2,), "weight_decay": 0.3},
        "dampening": {"shape": (2,), "weight_decay": 0.0, "momentum": (0.6, 0.4, False)},
        "nesterov": {"shape": (2,), "weight_decay": 0.0, "momentum": (0.9, 0.0, True)},
        "no number at all": {"shape": (0,)},
        "fractions": {"shape": (3, 4), "seed": 1},
    }

    @staticmethod
    def ours(k: Any, case: Case, param: Any, steps: Any) -> Arrays:
        momentum, dampening, nesterov = case.get("momentum", SGD.rolling)
        param, buffer = param.copy(), np.full_like(param, np.nan) if momentum else None
        for step, grad in enumerate(steps):
            k.backend.sgd_step(
                param, grad, buffer, lr=case.get("lr", 0.01), momentum=momentum,
                dampening=dampening, weight_decay=case.get("weight_decay", 0.1),
                nesterov=nesterov, first=step == 0,
            )  # fmt: skip
        return {"param": param} if buffer is None else {"param": param, "buffer": buffer}
