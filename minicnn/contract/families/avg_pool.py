"""Average pooling: its cases, their arrays, and the calls made of them."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from minicnn.contract.cases import Arrays, Case, numbers, window
from minicnn.kernels.shapes import pool_output_size

_PLAIN = {"batch": 1, "channels": 1}


class AvgPool2d:
    """avg_pool2d and its gradient."""

    examples: ClassVar[dict[str, Case]] = {
        "one pixel": _PLAIN | window(1, 1),
        "a row of four, in pairs": _PLAIN | window((1, 4), (1, 2), (1, 2)),
        "one window": _PLAIN | window(2, 2),
        "2×2 windows, side by side": _PLAIN | window(4, 2, 2),
        "the image is not square": _PLAIN | window((2, 6), 2, 2),
        "the kernel is not square": _PLAIN | window((4, 3), (2, 3), (2, 3)),
        "a row and a column are left over": _PLAIN | window(5, 2, 2),
        "windows overlap": _PLAIN | window((3, 4), 2, 1),
        "a stride for each axis": _PLAIN | window((5, 4), 2, (1, 2)),
        "the stride is larger than the kernel": _PLAIN | window((7, 5), (2, 1), (3, 2)),
        "padding 1, counted": _PLAIN | window(3, 2, 2, 1),
        "padding 1, not counted": _PLAIN | window(3, 2, 2, 1, count_include_pad=False),
        "a padding for each axis": _PLAIN | window((4, 3), (3, 2), (2, 1), (1, 0)),
        "ceil_mode where nothing is left over": _PLAIN | window(4, 2, 2, ceil_mode=True),
        "ceil_mode adds windows over the edge": _PLAIN | window(5, 2, 2, ceil_mode=True),
        "ceil_mode, padding counted": _PLAIN | window((6, 4), 3, 2, 1, ceil_mode=True),
        "ceil_mode, padding not counted": _PLAIN
        | window((6, 4), 3, 2, 1, ceil_mode=True, count_include_pad=False),
        "ceil_mode drops a window that starts in the padding": _PLAIN
        | window((5, 2), 2, 3, 1, ceil_mode=True),
        "a divisor": _PLAIN | window(2, 2, divisor_override=3),
        "a divisor, padded": _PLAIN | window(3, 2, 2, 1, divisor_override=5),
        "two channels": window((2, 4), 2, 2, batch=1),
        "two images": window((2, 4), 2, 2, channels=1),
        "no image at all": window(4, 2, 2, batch=0),
        "everything at once": window((8, 9), (3, 2), (2, 3), 1, ceil_mode=True),
        "fractions": window((7, 8), 3, 2, 1, seed=1),
    }

    @staticmethod
    def arrays(case: Case, dtype: str) -> Arrays:
        draw, (*how, ceil_mode, _, _) = numbers(case, dtype), AvgPool2d.geometry(case)
        x = draw(case.get("batch", 2), case.get("channels", 2), *case["size"])
        if case.get("values") == "not finite":
            x[0, 0, 2, 7], x[0, 1, 4, 20], x[1, 0, 3, 30] = np.nan, np.inf, -np.inf
        P, Q = map(pool_output_size, case["size"], *how, (1, 1), (ceil_mode, ceil_mode))
        return {"x": x, "dy": draw(*x.shape[:2], P, Q)}

    @staticmethod
    def geometry(case: Case) -> tuple:
        named = [case[name] for name in ("kernel", "stride", "padding")]
        more = case.get("ceil_mode", False), case.get("count_include_pad", True)
        return (*named, *more, case.get("divisor_override"))

    @staticmethod
    def ours(k: Any, case: Case, x: Any, dy: Any) -> Arrays:
        geometry = AvgPool2d.geometry(case)
        return {"y": k.avg_pool2d(x, *geometry), "dx": k.avg_pool2d_grad(dy, x.shape, *geometry)}
