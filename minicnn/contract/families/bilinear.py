"""Bilinear: its cases, their arrays, and the calls made of them."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from minicnn.contract.cases import Arrays, Case, numbers

_PLAIN = {"batch": 1, "channels": 1}


def _read(rows: list[float], columns: list[float], size: tuple[int, int], **more: Any) -> Case:
    """Return a case that reads an image of `size` at these places."""
    counts = {"rows": (size[0], len(rows)), "columns": (size[1], len(columns))}
    return _PLAIN | counts | {"places": (rows, columns)} | more


class Bilinear2d:
    """bilinear2d and its gradient, at places in any order."""

    examples: ClassVar[dict[str, Case]] = {
        "one pixel": _read([0], [0], (1, 1)),
        "the pixels of a row": _read([0], [0, 1, 2], (1, 3)),
        "half way between two pixels": _read([0], [0.5], (1, 2)),
        "a quarter of the way": _read([0], [0.25], (1, 2)),
        "between two rows": _read([0.25], [0], (2, 1)),
        "between four pixels": _read([0.25], [0.5], (2, 2)),
        "the image is not square": _read([0.5, 1], [0, 1.75], (2, 4)),
        "the last pixel has none after it": _read([1], [2], (2, 3)),
        "a place is read twice": _read([0.5, 0.5], [1, 0.25, 1], (2, 2)),
        "two channels": _read([0.5], [0, 0.75], (2, 2), channels=2),
        "two images": _read([0.5], [0, 0.75], (2, 2), batch=2),
        "no image at all": _read([0.5], [0, 0.75], (2, 2), batch=0),
        "many places, fractions": {"rows": (2, 9), "columns": (5, 11), "seed": 1},
    }

    @staticmethod
    def arrays(case: Case, dtype: str) -> Arrays:
        draw, rng = numbers(case, dtype), np.random.default_rng(case.get("seed", 1))
        (H, P), (W, Q) = case["rows"], case["columns"]
        N, C = case.get("batch", 2), case.get("channels", 2)
        # Also places on pixels, the last one among them.
        rows = np.where(rng.random(P) < 0.3, rng.integers(0, H, P), rng.uniform(0, H - 1, P))
        columns = np.where(rng.random(Q) < 0.3, rng.integers(0, W, Q), rng.uniform(0, W - 1, Q))
        rows, columns = (np.array(places, dtype) for places in case.get("places", (rows, columns)))
        return {"x": draw(N, C, H, W), "rows": rows, "columns": columns, "dy": draw(N, C, P, Q)}

    @staticmethod
    def ours(k: Any, case: Case, x: Any, rows: Any, columns: Any, dy: Any) -> Arrays:
        return {
            "y": k.bilinear2d(x, rows, columns),
            "dx": k.bilinear2d_grad(dy, rows, columns, x.shape),
        }
