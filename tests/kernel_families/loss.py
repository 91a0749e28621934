"""Losses: generated and hard cases, and what torch computes from them."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from helpers_kernel_oracle import Arrays, leaves, with_grads
from helpers_kernels import Case, merged
from hypothesis import strategies as st

from minicnn.contract.families import loss


class SoftmaxCrossEntropy(loss.SoftmaxCrossEntropy):
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
    def theirs(case: Case, **arrays: Any) -> Arrays:
        (logits,) = leaves(arrays, "logits")
        losses = F.cross_entropy(logits, torch.from_numpy(arrays["target"]), reduction="none")
        log_probs = F.log_softmax(logits, dim=1).detach().numpy()
        return {"log_probs": log_probs, **with_grads(losses, arrays["dlosses"], dlogits=logits)}
