"""Gather: generated and hard cases, and what torch computes from them."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from helpers_kernel_oracle import Arrays, leaves, with_grads
from helpers_kernels import Case, merged
from hypothesis import strategies as st

from minicnn.contract.families import gather


class Gather2d(gather.Gather2d):
    """gather2d and its gradient: torch indexes, and fills with `where`."""

    axis = st.tuples(st.integers(1, 6), st.integers(0, 9))  # pixels, picks
    cases = merged(batch=st.integers(0, 2), channels=st.integers(1, 3), rows=axis, columns=axis)
    hard: ClassVar[dict[str, Case]] = {
        "one pixel": {"rows": (1, 4), "columns": (1, 3)},
        "few of many": {"rows": (30, 3), "columns": (40, 2)},
        "many of few": {"rows": (2, 50), "columns": (3, 70)},
        "large": {"batch": 3, "channels": 5, "rows": (40, 90), "columns": (37, 81)},
        "zero batch": {"batch": 0, "rows": (3, 4), "columns": (3, 4)},
    }

    @staticmethod
    def theirs(case: Case, **arrays: Any) -> Arrays:
        (x,) = leaves(arrays, "x")
        rows, columns = (torch.from_numpy(arrays[n].astype(int)) for n in ("rows", "columns"))
        picked = x[:, :, rows.clamp(min=0)][:, :, :, columns.clamp(min=0)]
        inside = (rows >= 0)[:, None] & (columns >= 0)
        filled = torch.where(inside, picked, torch.tensor(0.5, dtype=x.dtype))
        return with_grads(filled, arrays["dy"], dx=x)
