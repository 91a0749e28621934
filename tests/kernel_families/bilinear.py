"""Bilinear: generated and hard cases, and what torch computes from them."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from helpers_kernel_oracle import Arrays, leaves, with_grads
from helpers_kernels import Case, merged
from hypothesis import strategies as st

from minicnn.contract.families import bilinear


class Bilinear2d(bilinear.Bilinear2d):
    """bilinear2d and its gradient, at places in any order."""

    axis = st.tuples(st.integers(1, 6), st.integers(1, 9))  # pixels, places
    cases = merged(batch=st.integers(0, 2), channels=st.integers(1, 3), rows=axis, columns=axis)
    hard: ClassVar[dict[str, Case]] = {
        "one pixel": {"rows": (1, 4), "columns": (1, 3)},
        "one row": {"rows": (1, 1), "columns": (9, 20)},
        "few of many": {"rows": (30, 3), "columns": (40, 2)},
        "many of few": {"rows": (2, 50), "columns": (3, 70)},
        "large": {"batch": 3, "channels": 5, "rows": (40, 90), "columns": (37, 81)},
        "zero batch": {"batch": 0, "rows": (3, 4), "columns": (3, 4)},
    }

    @staticmethod
    def theirs(case: Case, **arrays: Any) -> Arrays:
        """By matrices: y = R x Cᵀ, where a row of R holds a place's weights of the pixels."""
        (x,) = leaves(arrays, "x")
        R, C = (
            torch.clamp(1 - abs(torch.from_numpy(arrays[name])[:, None] - torch.arange(n)), min=0)
            for name, n in (("rows", x.shape[2]), ("columns", x.shape[3]))
        )
        return with_grads(R.to(x) @ x @ C.T.to(x), arrays["dy"], dx=x)
