"""Pooling: generated and hard cases, and what torch computes from them."""

from __future__ import annotations

from typing import Any, ClassVar

import torch.nn.functional as F
from helpers_kernel_oracle import Arrays, leaves, with_grads
from helpers_kernels import Case, merged, window, windows
from hypothesis import strategies as st

from minicnn.contract.families import adaptive_pool, avg_pool, pool


class MaxPool2d(pool.MaxPool2d):
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
    def theirs(case: Case, **arrays: Any) -> Arrays:
        (x,) = leaves(arrays, "x")
        y, indices = F.max_pool2d(x, *MaxPool2d.geometry(case), return_indices=True)
        return {"indices": indices.numpy(), **with_grads(y, arrays["dy"], dx=x)}


class AvgPool2d(avg_pool.AvgPool2d):
    """avg_pool2d and its gradient."""

    cases = merged(
        windows(pooling=True),
        batch=st.integers(0, 2),
        channels=st.integers(1, 3),
        ceil_mode=st.booleans(),
        count_include_pad=st.booleans(),
        divisor_override=st.sampled_from((None, None, 1, -3)),
    )
    hard: ClassVar[dict[str, Case]] = {
        "2x2": window((8, 10), (2, 2), (2, 2)),
        "padded, counted": window((7, 6), (3, 2), (2, 1), (1, 1)),
        "padded, not counted": window((7, 6), (3, 2), (2, 1), (1, 1), count_include_pad=False),
        "ceil": window((6, 8), (3, 3), (2, 2), ceil_mode=True),
        "ceil, padded": window((6, 9), (2, 3), (2, 2), (1, 1), ceil_mode=True),
        "ceil, not counted": window(
            (6, 9), (2, 3), (2, 2), (1, 1), ceil_mode=True, count_include_pad=False
        ),
        "ceil drops a window": window((5, 2), (2, 2), (3, 3), (1, 1), ceil_mode=True),
        "ceil, large kernel": window((5, 5), (6, 6), (2, 2), ceil_mode=True),
        "a divisor": window((6, 8), (3, 3), (2, 2), (1, 1), ceil_mode=True, divisor_override=-7),
        "long rows, stride 1": window((5, 150), (3, 4), (1, 1), (1, 2)),
        "long rows, stride 2": window((6, 151), (3, 3), (2, 2), (1, 1)),
        "long rows, stride 2, no overlap": window((4, 151), (2, 2), (2, 2)),
        "long rows, stride 3": window((9, 120), (4, 5), (3, 3), (2, 2)),
        "gaps": window((11, 70), (1, 2), (3, 4)),
        "gaps of a pixel": window((11, 70), (1, 1), (2, 2)),
        "the whole image": window((7, 9), (7, 9)),
        "large kernel, stride 1": window((12, 11), (9, 8), (1, 1), (4, 4)),
        "zero batch": window((4, 4), (2, 2), (2, 2), batch=0),
        "infinities and NaN": window((9, 40), (3, 3), (2, 2), (1, 1), values="not finite"),
    }

    @staticmethod
    def theirs(case: Case, **arrays: Any) -> Arrays:
        (x,) = leaves(arrays, "x")
        return with_grads(F.avg_pool2d(x, *AvgPool2d.geometry(case)), arrays["dy"], dx=x)


def adaptive(size: Any, output: Any, **more: Any) -> Case:
    """Return a case of adaptive pooling."""
    return {"size": size, "output": output, **more}


ADAPTIVE = merged(
    size=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    output=st.tuples(st.integers(1, 10), st.integers(1, 10)),
    batch=st.integers(0, 2),
    channels=st.integers(1, 3),
    values=st.sampled_from(("normal", "ties", "nan", "-inf")),
)
HARD_ADAPTIVE: dict[str, Case] = {
    "to 1x1": adaptive((7, 6), (1, 1)),
    "13 to 6": adaptive((13, 13), (6, 6)),
    "windows of two sizes": adaptive((7, 10), (3, 4)),
    "more outputs than pixels": adaptive((3, 5), (7, 9)),
    "one pixel, many outputs": adaptive((1, 1), (3, 4)),
    "the image itself": adaptive((4, 5), (4, 5)),
    "long rows": adaptive((4, 301), (3, 100)),
    "long rows, halved": adaptive((6, 140), (3, 70)),
    "large windows": adaptive((40, 33), (3, 4)),
    "overlap, ties": adaptive((7, 7), (4, 4), values="ties"),
    "overlap, NaN": adaptive((7, 7), (4, 4), values="nan"),
    "zero batch": adaptive((4, 4), (3, 2), batch=0),
}


class AdaptiveAvgPool2d(adaptive_pool.AdaptiveAvgPool2d):
    """adaptive_avg_pool2d and its gradient."""

    cases, hard = ADAPTIVE, HARD_ADAPTIVE

    @staticmethod
    def theirs(case: Case, **arrays: Any) -> Arrays:
        (x,) = leaves(arrays, "x")
        return with_grads(F.adaptive_avg_pool2d(x, case["output"]), arrays["dy"], dx=x)


class AdaptiveMaxPool2d(adaptive_pool.AdaptiveMaxPool2d):
    """adaptive_max_pool2d with its indices; max_pool2d_grad copes with its windows too."""

    cases, hard = ADAPTIVE, HARD_ADAPTIVE

    @staticmethod
    def theirs(case: Case, **arrays: Any) -> Arrays:
        (x,) = leaves(arrays, "x")
        y, indices = F.adaptive_max_pool2d(x, case["output"], return_indices=True)
        return {"indices": indices.numpy(), **with_grads(y, arrays["dy"], dx=x)}
