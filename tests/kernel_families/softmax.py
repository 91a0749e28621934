"""Softmax: generated and hard cases, and what torch computes from them."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
from helpers_kernel_oracle import Arrays, leaves, with_grads
from helpers_kernels import Case, merged
from hypothesis import strategies as st

from minicnn.contract.families import softmax


class Softmax(softmax.Softmax):
    """softmax, log_softmax and their gradients, along the middle axis."""

    cases = merged(
        shape=st.tuples(st.integers(0, 3), st.integers(1, 9), st.integers(0, 4)),
        scale=st.sampled_from((1, 30, 1000)),
        log=st.booleans(),
    )
    hard: ClassVar[dict[str, Case]] = {
        f"{'log_softmax' if log else 'softmax'}, {what}": {"log": log, "scale": 3, **more}
        for log in (False, True)
        for what, more in {
            "one of one": {"shape": (3, 1, 1)},
            "many rows": {"shape": (3000, 9, 1)},
            "long rows": {"shape": (3, 5003, 1)},
            "many columns": {"shape": (2, 5, 4001)},
            "long columns": {"shape": (1, 1000, 3)},
            "impossible ones": {"shape": (1, 6, 1), "values": [-np.inf, 0, 1, -np.inf]},
            "impossible ones in columns": {"shape": (1, 3, 2), "values": [-np.inf, 0, 1, -np.inf]},
        }.items()
    }

    @staticmethod
    def theirs(case: Case, **arrays: Any) -> Arrays:
        (x,) = leaves(arrays, "x")
        y = (torch.log_softmax if case["log"] else torch.softmax)(x, 1)
        return with_grads(y, arrays["dy"], dx=x)
