"""Photographs as planes: cases, arrays and calls."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np

from minicnn.contract.cases import Arrays, Case, Mistake
from minicnn.kernels import reference


def _picture(size: tuple[int, int], depth: int, channels: int, seed: int = 0) -> Case:
    return {"size": size, "depth": depth, "channels": channels, "seed": seed}


class UnitPlanes:
    """unit_planes: bytes in [0, 255] as floats in [0, 1]."""

    examples: ClassVar[dict[str, Case]] = {
        "one grey pixel": _picture((1, 1), 1, 1),
        "one colour": _picture((1, 1), 3, 3),
        "a row of colours": _picture((1, 3), 3, 3),
        "a picture": _picture((2, 3), 3, 3),
        "a fourth byte that nobody wants": _picture((2, 3), 4, 3),
        "a fourth byte that is wanted": _picture((2, 3), 4, 4),
        "all values of a byte": _picture((16, 16), 1, 1),
        "no pixel at all": _picture((0, 4), 3, 3),
        "a photograph": _picture((37, 53), 4, 3, seed=1),
    }

    @staticmethod
    def arrays(case: Case, dtype: str) -> Arrays:
        (H, W), depth = case["size"], case["depth"]
        steps = np.arange(H * W * depth) * 7 + case.get("seed", 0)  # 7 and 256 share no factor
        return {"pixels": (steps % 256).astype(np.uint8).reshape(H, W, depth),
                "like": np.zeros(1, dtype)}  # fmt: skip

    @staticmethod
    def ours(k: Any, case: Case, pixels: Any, like: Any) -> Arrays:
        return {"y": k.unit_planes(pixels, case["channels"], like.dtype)}

    @staticmethod
    def mistakes(kernel: str, args: tuple) -> Iterator[Mistake]:
        """Yield what often goes wrong here, each with what it would compute."""
        pixels, channels, dtype = args
        right = reference.unit_planes(pixels, channels, dtype)
        yield (
            "The values are divided by 256; white, 255, must become 1.",
            (right * 255 / 256,),
        )
        yield "The values are not divided by 255: they shall lie in [0, 1].", (right * 255,)
        yield "The channels come in reverse order.", (right[::-1],)
        crossed = np.reshape(right.transpose(1, 2, 0), right.shape)
        yield "The result counts (h, w, c); the contract's counts (c, h, w).", (crossed,)


class BytePlanes:
    """byte_planes: the bytes of pixels, channel by channel."""

    examples: ClassVar[dict[str, Case]] = UnitPlanes.examples
    arrays = staticmethod(UnitPlanes.arrays)

    @staticmethod
    def ours(k: Any, case: Case, pixels: Any, like: Any) -> Arrays:
        return {"y": k.byte_planes(pixels, case["channels"])}

    @staticmethod
    def mistakes(kernel: str, args: tuple) -> Iterator[Mistake]:
        """Yield what often goes wrong here, each with what it would compute."""
        right = reference.byte_planes(*args)
        yield "The channels come in reverse order.", (right[::-1],)
        crossed = np.reshape(right.transpose(1, 2, 0), right.shape)
        yield "The result counts (h, w, c); the contract's counts (c, h, w).", (crossed,)
