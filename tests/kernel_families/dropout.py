"""Dropout and its random words: cases, arrays, and what torch computes from them."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from helpers_kernel_oracle import Arrays, normal, philox_word
from helpers_kernels import Case, merged, shapes
from hypothesis import strategies as st


class Dropout:
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
    def arrays(case: Case, dtype: str) -> Arrays:
        draw = normal(case, dtype)
        return {"x": draw(*case["shape"]), "dy": draw(*case["shape"])}

    @staticmethod
    def ours(k: Any, case: Case, x: Any, dy: Any) -> Arrays:
        p, seed, offset = case["p"], case["key"], case["offset"]
        words = k.backend.philox(seed, offset, x.size)
        assert words.dtype == np.uint32
        y, dx = k.dropout(x, p, seed, offset), k.dropout(dy, p, seed, offset)
        return {"y": y, "dx": dx, "words": words}

    @staticmethod
    def theirs(case: Case, **arrays: Any) -> Arrays:
        x, dy, p = arrays["x"], arrays["dy"], case["p"]
        words = np.array([philox_word(case["key"], case["offset"], i) for i in range(x.size)])
        keep = np.reshape(words >= round(p * 2**32), x.shape)
        scale = 1 / (1 - p) if p < 1 else 0.0
        return {"y": keep * scale * x, "dx": keep * scale * dy, "words": words}
