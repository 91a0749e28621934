"""Gather: its cases, their arrays, and the calls made of them."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from minicnn.contract.cases import Arrays, Case, numbers

_PLAIN = {"batch": 1, "channels": 1}


def _picks(rows: list[int], columns: list[int], size: tuple[int, int], **more: Any) -> Case:
    """Return a case with these numbers of rows and columns, from an image of `size`."""
    picked = {"rows": (size[0], len(rows)), "columns": (size[1], len(columns))}
    return _PLAIN | picked | {"picks": (rows, columns)} | more


class Gather2d:
    """gather2d and its gradient."""

    examples: ClassVar[dict[str, Case]] = {
        "one pixel": _picks([0], [0], (1, 1)),
        "a row in its order": _picks([0], [0, 1, 2], (1, 3)),
        "two rows, turned about": _picks([1, 0], [0, 1, 2], (2, 3)),
        "the columns turned about": _picks([0, 1], [2, 1, 0], (2, 3)),
        "some pixels are left out": _picks([1], [0, 2], (3, 4)),
        "a pixel is picked twice": _picks([0, 0], [1, 0, 1], (2, 2)),
        "-1 is filled": _picks([-1, 0], [0, 1], (1, 2)),
        "-1 on both axes": _picks([-1, 0, 1, -1], [1, -1, 0], (2, 2)),
        "nothing is picked": _picks([], [0], (2, 2)),
        "two channels": _picks([1, 0, 1], [0, -1], (2, 1), channels=2),
        "two images": _picks([1, 0, 1], [0, -1], (2, 1), batch=2),
        "no image at all": _picks([1, 0, 1], [0, -1], (2, 1), batch=0),
        "many of few, fractions": {"rows": (2, 9), "columns": (3, 11), "seed": 1},
    }

    @staticmethod
    def arrays(case: Case, dtype: str) -> Arrays:
        draw, rng = numbers(case, dtype), np.random.default_rng(case.get("seed", 1))
        (H, P), (W, Q) = case["rows"], case["columns"]
        N, C = case.get("batch", 2), case.get("channels", 2)
        picks = case.get("picks") or (rng.integers(-1, H, size=P), rng.integers(-1, W, size=Q))
        rows, columns = (np.array(numbers, dtype=np.int32) for numbers in picks)
        return {"x": draw(N, C, H, W), "rows": rows, "columns": columns, "dy": draw(N, C, P, Q)}

    @staticmethod
    def ours(k: Any, case: Case, x: Any, rows: Any, columns: Any, dy: Any) -> Arrays:
        y = k.gather2d(x, rows, columns, 0.5)
        return {"y": y, "dx": k.gather2d_grad(dy, rows, columns, x.shape)}
