"""Local response normalisation: generated and hard cases, and what torch computes from them."""

from __future__ import annotations

from typing import Any, ClassVar

import torch.nn.functional as F
from helpers_kernel_oracle import Arrays, leaves, with_grads
from helpers_kernels import Case, merged
from hypothesis import strategies as st

from minicnn.contract.families import response_norm


def _case(*shape: int, **more: Any) -> Case:
    return {"shape": shape, "size": 5, "alpha": 1e-2, "beta": 0.75, "k": 2.0, **more}


class ResponseNorm(response_norm.ResponseNorm):
    """response_norm and its gradient."""

    cases = merged(
        shape=st.tuples(st.integers(1, 3), st.integers(1, 8), st.integers(1, 9)),
        size=st.integers(1, 20),
        alpha=st.sampled_from((1e-4, 0.3, 1, 0)),
        beta=st.sampled_from((0.75, 0.5, 1, 0, 2, -0.4)),
        k=st.sampled_from((1.0, 2.0, 0.1)),
    )
    hard: ClassVar[dict[str, Case]] = {
        "AlexNet's": _case(2, 96, 729, alpha=5e-4),
        "a block and a pixel": _case(3, 6, 129, beta=0.6),
        "one channel of a thousand is large": _case(1, 300, 40, size=9, alpha=1.0, large=17),
        "a window of all": _case(2, 40, 7, size=81),
    }

    @staticmethod
    def arrays(case: Case, dtype: str) -> Arrays:
        arrays = response_norm.ResponseNorm.arrays(case, dtype)
        if "large" in case:
            arrays["x"][:, case["large"]] *= 1000
        return arrays

    @staticmethod
    def theirs(case: Case, **arrays: Any) -> Arrays:
        (x,) = leaves(arrays, "x")
        y = F.local_response_norm(x, *(case[name] for name in ("size", "alpha", "beta", "k")))
        return with_grads(y, arrays["dy"], dx=x)
