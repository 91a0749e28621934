"""Adaptive pooling: its cases, their arrays, and the calls made of them."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from minicnn.contract.cases import Arrays, Case, numbers


def _share(size: tuple[int, int], output: tuple[int, int], **more: Any) -> Case:
    return {"size": size, "output": output, "batch": 1, "channels": 1, **more}


class AdaptiveAvgPool2d:
    """adaptive_avg_pool2d and its gradient."""

    examples: ClassVar[dict[str, Case]] = {
        "one pixel": _share((1, 1), (1, 1)),
        "a row to its mean": _share((1, 3), (1, 1)),
        "a row in two halves": _share((1, 4), (1, 2)),
        "the image itself": _share((2, 2), (2, 2)),
        "the whole image to one": _share((2, 3), (1, 1)),
        "in halves along both axes": _share((4, 2), (2, 1)),
        "a number of outputs for each axis": _share((2, 6), (1, 3)),
        "three pixels to two: the windows overlap": _share((1, 3), (1, 2)),
        "windows of two sizes": _share((5, 7), (3, 4)),
        "more outputs than pixels": _share((2, 1), (3, 2)),
        "equal numbers": _share((2, 2), (1, 1), values="equal"),
        "equal numbers, overlapping windows": _share((5, 5), (3, 3), values="few"),
        "NaN": _share((2, 4), (1, 2), values="nan"),
        "minus infinity": _share((2, 4), (1, 2), values="-inf"),
        "two channels": _share((2, 3), (1, 2), channels=2),
        "two images": _share((2, 3), (1, 2), batch=2),
        "no image at all": _share((2, 3), (1, 2), batch=0),
        "fractions": _share((9, 7), (4, 3), batch=2, channels=3, seed=1),
    }

    @staticmethod
    def arrays(case: Case, dtype: str) -> Arrays:
        draw, values = numbers(case, dtype), case.get("values", "normal")
        lead = case.get("batch", 2), case.get("channels", 2)
        x = draw(*lead, *case["size"])
        if values == "ties":
            x = np.round(x)
        elif values == "equal":
            x[...] = 3
        elif values == "few":
            x = x % 3
        elif values != "normal":
            seldom = abs(x) < 0.5 if "seed" in case else x % 3 == 0
            x = np.where(seldom, np.asarray(float(values), dtype), x)
        return {"x": x, "dy": draw(*lead, *case["output"])}

    @staticmethod
    def ours(k: Any, case: Case, x: Any, dy: Any) -> Arrays:
        y = k.adaptive_avg_pool2d(x, case["output"])
        return {"y": y, "dx": k.adaptive_avg_pool2d_grad(dy, x.shape)}


class AdaptiveMaxPool2d(AdaptiveAvgPool2d):
    """adaptive_max_pool2d with its indices; max_pool2d_grad copes with its windows too."""

    @staticmethod
    def ours(k: Any, case: Case, x: Any, dy: Any) -> Arrays:
        y, indices = k.adaptive_max_pool2d(x, case["output"])
        return {"y": y, "indices": indices, "dx": k.max_pool2d_grad(dy, indices, x.shape)}
