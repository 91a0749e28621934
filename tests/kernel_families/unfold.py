"""Unfold and fold: generated and hard cases, and what torch computes from them."""

from __future__ import annotations

from typing import Any, ClassVar

import torch.nn.functional as F
from helpers_kernel_oracle import Arrays, leaves, with_grads
from helpers_kernels import Case, merged, window, windows
from hypothesis import strategies as st

from minicnn.contract.families import unfold


class Unfold(unfold.Unfold):
    """unfold, with fold as its gradient."""

    cases = merged(windows(), batch=st.integers(0, 2), channels=st.integers(1, 3))
    hard: ClassVar[dict[str, Case]] = {
        "overlap": window((6, 7), (3, 4)),
        "gaps": window((9, 10), (2, 2), (4, 3), (1, 1)),
        "zero batch": window((4, 4), (2, 2), batch=0),
    }

    @staticmethod
    def theirs(case: Case, **arrays: Any) -> Arrays:
        (x,) = leaves(arrays, "x")
        return with_grads(F.unfold(x, *Unfold.geometry(case)), arrays["dcols"], dx=x)


class Fold(Unfold):
    """fold, with unfold as its gradient."""

    @staticmethod
    def ours(k: Any, case: Case, x: Any, dcols: Any) -> Arrays:
        how = Unfold.geometry(case)
        return {"y": k.fold(dcols, x.shape, *how), "dcols": k.unfold(x, *how)}

    @staticmethod
    def theirs(case: Case, **arrays: Any) -> Arrays:
        (cols,) = leaves(arrays, "dcols")
        y = F.fold(cols, case["size"], *Unfold.geometry(case))
        return with_grads(y, arrays["x"], dcols=cols)
