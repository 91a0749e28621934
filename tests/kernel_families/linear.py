"""Linear layers: cases, arrays, and what torch computes from them."""

from __future__ import annotations

from typing import Any, ClassVar

import torch.nn.functional as F
from helpers_kernel_oracle import Arrays, leaves, normal, with_grads
from helpers_kernels import Case, merged
from hypothesis import strategies as st


class Linear:
    """linear and its input, weight and bias gradients."""

    sizes = st.integers(1, 9)
    cases = merged(batch=st.integers(0, 6), i=sizes, o=sizes, bias=st.booleans())
    hard: ClassVar[dict[str, Case]] = {"wide": {"batch": 3, "i": 513, "o": 130, "bias": True}}

    @staticmethod
    def arrays(case: Case, dtype: str) -> Arrays:
        draw, batch, i, o = normal(case, dtype), case["batch"], case["i"], case["o"]
        b = draw(o) if case["bias"] else None
        return {"x": draw(batch, i), "w": draw(o, i), "b": b, "dy": draw(batch, o)}

    @staticmethod
    def ours(k: Any, case: Case, x: Any, w: Any, b: Any, dy: Any) -> Arrays:
        return {
            "y": k.linear(x, w, b),
            "dx": k.linear_input_grad(dy, w),
            "dw": k.linear_weight_grad(dy, x),
            **({} if b is None else {"db": k.linear_bias_grad(dy)}),
        }

    @staticmethod
    def theirs(case: Case, **arrays: Any) -> Arrays:
        x, w, b = leaves(arrays, "x", "w", "b")
        return with_grads(F.linear(x, w, b), arrays["dy"], dx=x, dw=w, db=b)
