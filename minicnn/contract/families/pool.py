"""Max pooling: its cases, their arrays, the calls made of them, and mistakes often made."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np

from minicnn.contract.cases import Arrays, Case, Mistake, numbers, window
from minicnn.kernels import reference
from minicnn.kernels.shapes import pool_output_size

_PLAIN = {"batch": 1, "channels": 1}


class MaxPool2d:
    """max_pool2d with its indices, and its gradient."""

    examples: ClassVar[dict[str, Case]] = {
        "one pixel": _PLAIN | window(1, 1),
        "a row of four, in pairs": _PLAIN | window((1, 4), (1, 2), (1, 2)),
        "one window": _PLAIN | window(2, 2),
        "2×2 windows, side by side": _PLAIN | window(4, 2, 2),
        "the image is not square": _PLAIN | window((2, 6), 2, 2),
        "the kernel is not square": _PLAIN | window((4, 3), (2, 3), (2, 3)),
        "a row and a column are left over": _PLAIN | window(5, 2, 2),
        "windows overlap, and may share a winner": _PLAIN | window((3, 4), 2, 1),
        "a stride for each axis": _PLAIN | window((5, 4), 2, (1, 2)),
        "the stride is larger than the kernel": _PLAIN | window((7, 5), (2, 1), (3, 2)),
        "only negative numbers": _PLAIN | window(4, 2, 2, values="negative"),
        "padding 1": _PLAIN | window(3, 2, 2, 1),
        "padding 1, only negative numbers": _PLAIN | window(3, 2, 2, 1, values="negative"),
        "a padding for each axis": _PLAIN | window((4, 3), (3, 2), (2, 1), (1, 0)),
        "dilation 2": _PLAIN | window(3, 2, 1, 0, 2),
        "a dilation for each axis": _PLAIN | window((4, 5), (2, 3), 1, 0, (3, 2)),
        "ceil_mode where nothing is left over": _PLAIN | window(4, 2, 2, ceil_mode=True),
        "ceil_mode adds windows over the edge": _PLAIN | window(5, 2, 2, ceil_mode=True),
        "ceil_mode drops a window that starts in the padding": _PLAIN
        | window((5, 2), 2, 3, 1, ceil_mode=True),
        "equal numbers": _PLAIN | window(2, 2, values="equal"),
        "equal numbers, overlapping windows": _PLAIN | window(4, 3, 1, 1, values="few"),
        "NaN": _PLAIN | window((2, 4), 2, 2, values="nan"),
        "NaN, overlapping windows": _PLAIN | window(4, 2, 1, values="nan"),
        "minus infinity": _PLAIN | window((2, 4), 2, 2, values="-inf"),
        "minus infinity, padded": _PLAIN | window(4, 3, 2, 1, values="-inf"),
        "two channels": window((2, 4), 2, 2, batch=1),
        "two images": window((2, 4), 2, 2, channels=1),
        "no image at all": window(4, 2, 2, batch=0),
        "everything at once": window((8, 9), (3, 2), (2, 3), 1, (2, 1), ceil_mode=True),
        "fractions": window((7, 8), 3, 2, 1, seed=1),
    }

    @staticmethod
    def arrays(case: Case, dtype: str) -> Arrays:
        draw, values = numbers(case, dtype), case.get("values", "normal")
        x = draw(case.get("batch", 2), case.get("channels", 2), *case["size"])
        if "seed" not in case:  # no number twice
            order = np.random.default_rng(1).permutation(x.size)
            x = np.reshape(order - x.size // 3, x.shape).astype(dtype)
        if values == "negative":
            x = -1 - abs(x)
        elif values == "ties":
            x = np.round(x)
        elif values == "equal":
            x[...] = 3
        elif values == "few":
            x = x % 3
        elif values != "normal":
            seldom = abs(x) < 0.5 if "seed" in case else x % 3 == 0
            x = np.where(seldom, np.asarray(float(values), dtype), x)
        *how, ceil_mode = MaxPool2d.geometry(case)
        P, Q = map(pool_output_size, case["size"], *how, (ceil_mode, ceil_mode))
        return {"x": x, "dy": draw(*x.shape[:2], P, Q)}

    @staticmethod
    def geometry(case: Case) -> tuple:
        names = ("kernel", "stride", "padding", "dilation")
        return (*(case[name] for name in names), case.get("ceil_mode", False))

    @staticmethod
    def ours(k: Any, case: Case, x: Any, dy: Any) -> Arrays:
        y, indices = k.max_pool2d(x, *MaxPool2d.geometry(case))
        return {"y": y, "indices": indices, "dx": k.max_pool2d_grad(dy, indices, x.shape)}

    @staticmethod
    def mistakes(kernel: str, args: tuple) -> Iterator[Mistake]:
        """Yield what often goes wrong here, each with what it would compute."""
        if kernel == "max_pool2d":
            yield from _forward_mistakes(*args)
        else:
            dy, indices, input_shape = args
            dx = np.zeros(input_shape)
            planes = np.reshape(dx, (*input_shape[:2], input_shape[2] * input_shape[3]))
            for n, c in np.ndindex(*input_shape[:2]):
                planes[n, c, indices[n, c].ravel()] = dy[n, c].ravel()
            yield "Windows that share a winner overwrite each other; their dy must add up.", (dx,)


def _forward_mistakes(
    x: np.ndarray, kernel: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool
) -> Iterator[Mistake]:
    how, unpadded = (stride, padding, dilation, ceil_mode), (stride, (0, 0), dilation, ceil_mode)
    y, indices = reference.max_pool2d(x, kernel, *how)
    (N, C, H, W), (P, Q), (top, left) = x.shape, y.shape[2:], padding
    rows, columns = indices // W, indices % W

    def pooled(x: np.ndarray, how: Any = how) -> tuple[np.ndarray, np.ndarray]:
        y, indices = reference.max_pool2d(x, kernel, *how)
        return y[:, :, :P, :Q], indices  # ceil_mode may add other windows without padding

    widened = ((0, 0), (0, 0), (top, top), (left, left))
    text = "The padding seems to count as 0; it must be -inf, or it beats negative numbers."
    yield text, (pooled(np.pad(x, widened), unpadded)[0], None)
    late = np.pad(x, ((0, 0), (0, 0), (0, 2 * top), (0, 2 * left)), constant_values=-np.inf)
    text = "The windows begin at the first pixel: h = p*stride + r*dilation lacks its - padding."
    yield text, (pooled(late, unpadded)[0], None)
    text = "A NaN in the window must win: y is NaN there."
    yield text, (pooled(np.where(np.isnan(x), -np.inf, x))[0], None)
    text = "Of several NaN the first one wins; it must be the last, as in PyTorch."
    yield text, (y, pooled(_ranks(x, -1))[1])
    text = "Of equal numbers the last one wins; it must be the first in reading order."
    yield text, (y, pooled(_ranks(x, 1))[1])
    text = "The indices count columns first, w*H + h; the contract counts h*W + w."
    yield text, (y, columns * H + rows)
    text = "The indices are places in the padded plane; the contract's are in the image itself."
    yield text, (y, (rows + top) * (W + 2 * left) + columns + left)
    text = "The indices count through all planes; each plane's must begin at 0."
    yield text, (y, np.reshape(np.arange(N * C) * H * W, (N, C, 1, 1)) + indices)
    text = "The indices count inside the window; the contract's count in the whole plane."
    inside = (rows + top - np.arange(P)[:, None] * stride[0]) // dilation[0] * kernel[1]
    yield text, (y, inside + (columns + left - np.arange(Q) * stride[1]) // dilation[1])


def _ranks(x: np.ndarray, direction: int) -> np.ndarray:
    """Return each number's place when sorted, NaN last; of equals the later is higher, or lower."""
    places = np.lexsort((direction * np.arange(x.size), x.ravel()))
    ranks = np.empty(x.size)
    ranks[places] = np.arange(x.size)
    return np.reshape(ranks, x.shape)
