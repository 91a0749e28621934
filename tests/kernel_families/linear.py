"""Linear layers: generated and hard cases, and what torch computes from them."""

from __future__ import annotations

from typing import Any, ClassVar

import torch.nn.functional as F
from helpers_kernel_oracle import Arrays, leaves, with_grads
from helpers_kernels import Case, merged
from hypothesis import strategies as st

from minicnn.contract.families import linear


class Linear(linear.Linear):
    """linear and its input, weight and bias gradients."""

    sizes = st.integers(1, 9)
    cases = merged(batch=st.integers(0, 6), i=sizes, o=sizes, bias=st.booleans())
    hard: ClassVar[dict[str, Case]] = {"wide": {"batch": 3, "i": 513, "o": 130, "bias": True}}

    @staticmethod
    def theirs(case: Case, **arrays: Any) -> Arrays:
        x, w, b = leaves(arrays, "x", "w", "b")
        return with_grads(F.linear(x, w, b), arrays["dy"], dx=x, dw=w, db=b)
