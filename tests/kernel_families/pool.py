"""Pooling: cases, arrays, and what torch computes from them."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from helpers_kernel_oracle import Arrays, leaves, normal, with_grads
from helpers_kernels import Case, merged, window, windows
from hypothesis import strategies as st


class MaxPool2d:
    """max_pool2d with its indices, and its gradient."""

    cases = merged(
        windows(pooling=True),
        batch=st.integers(0, 2),
        channels=st.integers(1, 3),
        ceil_mode=st.booleans(),
        values=st.sampled_from(("normal", "negative", "ties", "nan", "-inf")),
    )
    hard: ClassVar[dict[str, Case]] = {
        "2x2": window((8, 10), (2, 2), (2, 2)),
        "negative, padded": window((7, 6), (3, 2), (2, 2), (1, 1), values="negative"),
        "negative, ceil": window((6, 9), (2, 3), (2, 2), (1, 1), values="negative", ceil_mode=True),
        "ceil drops a window": window((5, 2), (2, 2), (3, 3), (1, 1), ceil_mode=True),
        "ceil, large kernel": window((5, 5), (6, 6), (2, 2), ceil_mode=True),
        "overlap, ties": window((9, 9), (3, 3), (1, 1), (1, 1), values="ties"),
        "overlap, NaN": window((9, 9), (3, 3), (2, 1), (1, 1), values="nan"),
        "dilated, -inf": window((9, 8), (3, 2), (1, 2), (1, 1), (2, 3), values="-inf"),
        "stride past the kernel": window((11, 10), (2, 1), (3, 4)),
        "large kernel, stride 1": window((12, 11), (9, 8), (1, 1), (4, 4)),
        "zero batch": window((4, 4), (2, 2), (2, 2), batch=0),
    }

    @staticmethod
    def arrays(case: Case, dtype: str) -> Arrays:
        draw, values = normal(case, dtype), case.get("values", "normal")
        x = draw(case.get("batch", 2), case.get("channels", 2), *case["size"])
        if values == "negative":
            x = -1 - abs(x)
        elif values == "ties":
            x = np.round(x)
        elif values != "normal":
            x = np.where(abs(x) < 0.5, np.asarray(float(values), dtype), x)
        y = F.max_pool2d(torch.from_numpy(x), *MaxPool2d.geometry(case))
        return {"x": x, "dy": draw(*y.shape)}

    @staticmethod
    def geometry(case: Case) -> tuple:
        names = ("kernel", "stride", "padding", "dilation")
        return (*(case[name] for name in names), case.get("ceil_mode", False))

    @staticmethod
    def ours(k: Any, case: Case, x: Any, dy: Any) -> Arrays:
        y, indices = k.max_pool2d(x, *MaxPool2d.geometry(case))
        assert indices.dtype == np.int32
        return {"y": y, "indices": indices, "dx": k.max_pool2d_grad(dy, indices, x.shape)}

    @staticmethod
    def theirs(case: Case, **arrays: Any) -> Arrays:
        (x,) = leaves(arrays, "x")
        y, indices = F.max_pool2d(x, *MaxPool2d.geometry(case), return_indices=True)
        return {"indices": indices.numpy(), **with_grads(y, arrays["dy"], dx=x)}
