"""Dropout and its random words: generated and hard cases, and what torch computes from them."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from helpers_kernel_oracle import Arrays, philox_word
from helpers_kernels import Case, merged, shapes
from hypothesis import strategies as st

from minicnn.contract.families import dropout


class Dropout(dropout.Dropout):
    """dropout, its gradient (itself) and philox, against Philox in Python's own integers."""

    cases = merged(
        shape=shapes(6, 3),
        p=st.sampled_from((0.0, 0.1, 0.5, 0.9, 1.0)),
        key=st.integers(0, 2**64 - 1),
        offset=st.integers(0, 2**64 - 1),
    )
    hard: ClassVar[dict[str, Case]] = {
        "long": {"shape": (37, 41), "p": 0.3, "key": 2**64 - 1, "offset": 2**32},
        "a word on the threshold": {"shape": (5,), "p": 0x6627E8D5 / 2**32, "key": 0, "offset": 0},
    }

    @staticmethod
    def theirs(case: Case, **arrays: Any) -> Arrays:
        x, dy, p = arrays["x"], arrays["dy"], case["p"]
        words = np.array([philox_word(case["key"], case["offset"], i) for i in range(x.size)])
        keep = np.reshape(words >= round(p * 2**32), x.shape)
        scale = 1 / (1 - p) if p < 1 else 0.0
        return {"y": keep * scale * x, "dx": keep * scale * dy, "words": words}
