"""Dropout and its random words: their cases, arrays and calls."""

from __future__ import annotations

from typing import Any, ClassVar

from minicnn.contract.cases import Arrays, Case, numbers


def _drop(shape: tuple[int, ...], p: float, key: int = 0, offset: int = 0) -> Case:
    return {"shape": shape, "p": p, "key": key, "offset": offset}


class Dropout:
    """dropout, its gradient (itself), and philox."""

    examples: ClassVar[dict[str, Case]] = {
        "nothing is dropped": _drop((1,), 0.0),
        "all is dropped": _drop((1,), 1.0),
        "half, the first block of four words": _drop((4,), 0.5),
        "half, into the second block": _drop((6,), 0.5),
        "a seed": _drop((6,), 0.5, key=1),
        "an offset": _drop((6,), 0.5, offset=1),
        "a table": _drop((3, 4), 0.3, key=7),
        "no number at all": _drop((0,), 0.5),
        "seed and offset of 64 bits": _drop((9,), 0.5, key=2**64 - 1, offset=2**32 + 5),
        "a word on the threshold is kept": _drop((5,), 0x6627E8D5 / 2**32),
        "hundreds": _drop((17, 19), 0.9, key=3, offset=4),
    }

    @staticmethod
    def arrays(case: Case, dtype: str) -> Arrays:
        draw = numbers(case, dtype)
        return {"x": draw(*case["shape"]), "dy": draw(*case["shape"])}

    @staticmethod
    def ours(k: Any, case: Case, x: Any, dy: Any) -> Arrays:
        p, seed, offset = case["p"], case["key"], case["offset"]
        words = k.backend.philox(seed, offset, x.size)
        y, dx = k.dropout(x, p, seed, offset), k.dropout(dy, p, seed, offset)
        return {"y": y, "dx": dx, "words": words}
