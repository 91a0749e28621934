"""Convolution: its cases, their arrays, and the calls made of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np

from minicnn.contract.cases import WINDOWS, Arrays, Case, Mistake, numbers, window
from minicnn.kernels import reference
from minicnn.kernels.shapes import conv2d_output_size

_PLAIN = {"batch": 1, "channels": 1, "filters": 1, "bias": False}


class Conv2d:
    """conv2d and its input, weight and bias gradients."""

    examples: ClassVar[dict[str, Case]] = {
        **{label: _PLAIN | case for label, case in WINDOWS.items()},
        "the padding is larger than the kernel": _PLAIN | window((1, 2), (1, 2), 1, (2, 3)),
        "a bias": _PLAIN | window(1, 1, bias=True),
        "two filters": _PLAIN | window(2, 1, filters=2, bias=True),
        "two channels": _PLAIN | window(2, 1, channels=2),
        "two images": _PLAIN | window(2, 1, batch=2, bias=True),
        "images, channels, filters": window(3, 2, batch=2, channels=3, filters=2),
        "two groups": window(2, 1, batch=1, groups=2, channels=1, filters=1, bias=False),
        "two groups of two channels, three filters": window(3, 2, groups=2, channels=2, filters=3),
        "no image at all": window(3, 2, batch=0),
        "everything at once": window((6, 7), (3, 2), (2, 1), (1, 2), (1, 2), groups=2),
        "fractions": window((5, 6), (3, 2), (1, 2), (1, 0), seed=1),
        "fractions, a larger image": window((12, 11), 3, 1, 1, channels=4, filters=3, seed=2),
    }

    @staticmethod
    def arrays(case: Case, dtype: str) -> Arrays:
        draw, N, groups = numbers(case, dtype), case.get("batch", 2), case.get("groups", 1)
        C, K = groups * case.get("channels", 2), groups * case.get("filters", 2)
        x, w = draw(N, C, *case["size"]), draw(K, C // groups, *case["kernel"])
        P, Q = conv2d_output_size(case["size"], case["kernel"], *Conv2d.geometry(case)[:3])
        b = draw(K) if case.get("bias", True) else None
        return {"x": x, "w": w, "b": b, "dy": draw(N, K, P, Q)}

    @staticmethod
    def geometry(case: Case) -> tuple:
        return case["stride"], case["padding"], case["dilation"], case.get("groups", 1)

    @staticmethod
    def ours(k: Any, case: Case, x: Any, w: Any, b: Any, dy: Any) -> Arrays:
        how = Conv2d.geometry(case)
        return {
            "y": k.conv2d(x, w, b, *how),
            "relu": k.conv2d_relu(x, w, b, *how),
            "dx": k.conv2d_input_grad(dy, w, x.shape, *how),
            "dw": k.conv2d_weight_grad(dy, x, w.shape, *how),
            **({} if b is None else {"db": k.conv2d_bias_grad(dy)}),
        }

    @staticmethod
    def mistakes(kernel: str, args: tuple) -> Iterator[Mistake]:
        """Yield what often goes wrong here, each with what it would compute."""
        if kernel == "conv2d":
            x, w, b, stride, (top, left), *rest = args
            late = np.pad(x, ((0, 0), (0, 0), (0, 2 * top), (0, 2 * left)))
            y = reference.conv2d(late, w, b, stride, (0, 0), *rest)
            yield (
                "The windows begin at the first pixel, as if all the padding were at the end.",
                (y,),
            )
