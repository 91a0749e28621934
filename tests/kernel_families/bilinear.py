"""Bilinear: cases, arrays, and what torch computes from them."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
from helpers_kernel_oracle import Arrays, leaves, normal, with_grads
from helpers_kernels import Case, merged
from hypothesis import strategies as st


class Bilinear2d:
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
    def arrays(case: Case, dtype: str) -> Arrays:
        draw, rng = normal(case, dtype), np.random.default_rng(case["seed"])
        (H, P), (W, Q) = case["rows"], case["columns"]
        N, C = case.get("batch", 2), case.get("channels", 2)
        # Also places on pixels, the last one among them.
        rows = np.where(rng.random(P) < 0.3, rng.integers(0, H, P), rng.uniform(0, H - 1, P))
        columns = np.where(rng.random(Q) < 0.3, rng.integers(0, W, Q), rng.uniform(0, W - 1, Q))
        places = {"rows": rows.astype(dtype), "columns": columns.astype(dtype)}
        return {"x": draw(N, C, H, W), **places, "dy": draw(N, C, P, Q)}

    @staticmethod
    def ours(k: Any, case: Case, x: Any, rows: Any, columns: Any, dy: Any) -> Arrays:
        return {
            "y": k.bilinear2d(x, rows, columns),
            "dx": k.bilinear2d_grad(dy, rows, columns, x.shape),
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
