"""Losses: cases, arrays, and what torch computes from them."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from helpers_kernel_oracle import Arrays, leaves, normal, with_grads
from helpers_kernels import Case, merged
from hypothesis import strategies as st


class SoftmaxCrossEntropy:
    """softmax_cross_entropy with its log-probabilities, and its gradient."""

    scales = st.sampled_from((1, 30, 1000))
    cases = merged(batch=st.integers(0, 5), classes=st.integers(1, 12), scale=scales)
    hard: ClassVar[dict[str, Case]] = {
        "one class": {"batch": 3, "classes": 1},
        "many classes": {"batch": 4, "classes": 1000},
        "large batch": {"batch": 700, "classes": 3},
        "impossible classes": {"batch": 4, "classes": 5, "minus_infinity": True},
    }

    @staticmethod
    def arrays(case: Case, dtype: str) -> Arrays:
        draw, N, C = normal(case, dtype), case["batch"], case["classes"]
        logits = draw(N, C) * np.asarray(case.get("scale", 3), dtype)
        logits[:1] = draw(min(N, 1), C)  # undecided: the gradient of a sure row is rounding error
        target: np.ndarray = np.random.default_rng(case["seed"]).integers(0, C, size=(N,))
        if case.get("minus_infinity"):
            logits[0, (target[0] + 1) % C] = logits[1, target[1]] = -np.inf
        return {"logits": logits, "target": target, "dlosses": draw(N)}

    @staticmethod
    def ours(k: Any, case: Case, logits: Any, target: Any, dlosses: Any) -> Arrays:
        losses, log_probs = k.softmax_cross_entropy(logits, target)
        dlogits = k.softmax_cross_entropy_grad(dlosses, log_probs, target)
        return {"y": losses, "log_probs": log_probs, "dlogits": dlogits}

    @staticmethod
    def theirs(case: Case, **arrays: Any) -> Arrays:
        (logits,) = leaves(arrays, "logits")
        losses = F.cross_entropy(logits, torch.from_numpy(arrays["target"]), reduction="none")
        log_probs = F.log_softmax(logits, dim=1).detach().numpy()
        return {"log_probs": log_probs, **with_grads(losses, arrays["dlosses"], dlogits=logits)}
