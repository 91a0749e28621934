"""Convolution: generated and hard cases, and what torch computes from them."""

from __future__ import annotations

from typing import Any, ClassVar

import torch.nn.functional as F
from helpers_kernel_oracle import Arrays, leaves, with_grads
from helpers_kernels import Case, merged, window, windows
from hypothesis import strategies as st

from minicnn.contract.families import conv


class Conv2d(conv.Conv2d):
    """conv2d and its input, weight and bias gradients."""

    cases = merged(
        windows(),
        batch=st.integers(0, 2),
        groups=st.integers(1, 3),
        channels=st.integers(1, 2),  # per group
        filters=st.integers(1, 3),  # per group
        bias=st.booleans(),
    )
    hard: ClassVar[dict[str, Case]] = {
        "1x1": window((7, 9), (1, 1), channels=9, filters=17),
        "first layer": window((9, 11), (3, 3), (1, 1), (1, 1), channels=3, filters=9),
        "wide rows": window((3, 101), (3, 3), (1, 1), (1, 1), filters=5),
        "stride past the kernel": window((11, 10), (2, 1), (3, 4)),
        "padding past the kernel": window((2, 3), (2, 3), (2, 1), (5, 4)),
        "kernel is the image": window((5, 4), (5, 4), channels=4, filters=6),
        "one pixel": window((1, 1), (3, 3), (1, 1), (1, 1), channels=3, filters=4),
        "all different": window((13, 9), (2, 4), (3, 2), (1, 3), (4, 2), filters=3),
        "depthwise": window((8, 7), (3, 3), (2, 2), (1, 1), groups=10, channels=1, filters=1),
        "depthwise, twice": window((5, 6), (3, 2), groups=5, channels=1, filters=2),
        "stem 7x7": window((15, 12), (7, 7), (2, 2), (3, 3), batch=1, channels=3, filters=4),
        "zero batch": window((6, 6), (3, 3), batch=0, groups=2),
    }

    @staticmethod
    def theirs(case: Case, **arrays: Any) -> Arrays:
        x, w, b = leaves(arrays, "x", "w", "b")
        y = F.conv2d(x, w, b, *Conv2d.geometry(case))
        return {"relu": F.relu(y).detach().numpy()} | with_grads(y, arrays["dy"], dx=x, dw=w, db=b)
