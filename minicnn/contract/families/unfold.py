"""Unfold (im2col) and fold (col2im): their cases, arrays and calls."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np

from minicnn.contract.cases import WINDOWS, Arrays, Case, Mistake, numbers, window
from minicnn.kernels import reference
from minicnn.kernels.shapes import conv2d_output_size

_PLAIN = {"batch": 1, "channels": 1}


class Unfold:
    """unfold, with fold as its gradient."""

    examples: ClassVar[dict[str, Case]] = {
        **{label: _PLAIN | case for label, case in WINDOWS.items()},
        "two channels": _PLAIN | window((2, 3), (1, 2), channels=2),
        "two images": _PLAIN | window((2, 3), (1, 2), batch=2),
        "no image at all": window(3, 2, batch=0),
        "everything at once": window((6, 7), (3, 2), (2, 1), (1, 2), (1, 2), channels=3),
        "fractions": window((5, 6), (3, 2), (1, 2), (1, 0), seed=1),
    }

    @staticmethod
    def arrays(case: Case, dtype: str) -> Arrays:
        draw, (R, S) = numbers(case, dtype), case["kernel"]
        N, C, (kernel, dilation, padding, stride) = (
            case.get("batch", 2), case.get("channels", 2), Unfold.geometry(case)
        )  # fmt: skip
        P, Q = conv2d_output_size(case["size"], kernel, stride, padding, dilation)
        return {"x": draw(N, C, *case["size"]), "dcols": draw(N, C * R * S, P * Q)}

    @staticmethod
    def geometry(case: Case) -> tuple:
        return case["kernel"], case["dilation"], case["padding"], case["stride"]

    @staticmethod
    def ours(k: Any, case: Case, x: Any, dcols: Any) -> Arrays:
        how = Unfold.geometry(case)
        return {"y": k.unfold(x, *how), "dx": k.fold(dcols, x.shape, *how)}

    @staticmethod
    def mistakes(kernel: str, args: tuple) -> Iterator[Mistake]:
        """Yield what often goes wrong here, each with what it would compute."""
        if kernel == "unfold":
            (N, C, _, _), (R, S) = args[0].shape, args[1]
            cols = reference.unfold(*args)
            taps = np.reshape(cols, (N, C, R, S, cols.shape[2]))
            last = np.reshape(np.moveaxis(taps, 1, 3), cols.shape)
            yield "The rows count (r, s, c); the contract's count (c, r, s), as PyTorch's.", (last,)
            by_column = np.reshape(np.swapaxes(taps, 2, 3), cols.shape)
            yield (
                "The rows count (c, s, r); the contract's count (c, r, s), as PyTorch's.",
                (by_column,),
            )
        else:
            cols, shape, *how = args
            image = np.zeros(int(np.prod(shape)) + 1)  # the pixel before all others is the padding
            places = np.reshape(np.arange(1.0, image.size), shape)
            image[reference.unfold(places, *how).astype(np.int64)] = cols
            yield (
                "Where windows overlap the last one overwrites the others; they must add up.",
                (np.reshape(image[1:], shape),),
            )
