"""Activations: cases, arrays, and what torch computes from them."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch.nn.functional as F
from helpers_kernel_oracle import Arrays, leaves, normal, with_grads
from helpers_kernels import Case, merged, shapes


class ReLU:
    """relu and its gradient."""

    cases = merged(shape=shapes(7, 4))
    hard: ClassVar[dict[str, Case]] = {
        "zeros, infinities, NaN": {"shape": (2, 3), "values": [0.0, -0.0, np.inf, -np.inf, np.nan]},
        "long": {"shape": (3, 70001)},
    }

    @staticmethod
    def arrays(case: Case, dtype: str) -> Arrays:
        draw, values = normal(case, dtype), case.get("values", [])
        x, dy = draw(*case["shape"]), draw(*case["shape"])
        x.ravel()[: len(values)] = values
        return {"x": x, "dy": np.where(np.isnan(x), 0, dy)}  # at NaN no gradient to agree on

    @staticmethod
    def ours(k: Any, case: Case, x: Any, dy: Any) -> Arrays:
        y = k.relu(x)
        return {"y": y, "dx": k.relu_grad(dy, y)}

    @staticmethod
    def theirs(case: Case, **arrays: Any) -> Arrays:
        (x,) = leaves(arrays, "x")
        return with_grads(F.relu(x), arrays["dy"], dx=x)
