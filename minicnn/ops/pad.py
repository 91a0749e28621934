"""pad: pixels around an image, of one value or taken from the image itself; or pixels cut off.

Whatever the mode, place i of a padded axis shows pixel picks[i] of the input, or the constant if
that is -1. So a mode is a rule for numbers, and one kernel, `gather2d`, moves the pixels of all
modes, for any number of axes in one pass; its gradient adds up what each pixel is shown in.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import numpy as np

from minicnn import dtypes
from minicnn.autograd import Variable
from minicnn.kernels.errors import ArgumentError, DtypeError, ShapeError
from minicnn.kernels.shapes import Pair, integer
from minicnn.ops.elementwise import require_tensor
from minicnn.ops.gather import Picks, Shape, pick


def pad(
    input: Variable, pad: Sequence[int], mode: str = "constant", value: float | None = None
) -> Any:
    """Add pixels before and after the last axes of `input`; a negative number cuts pixels off.

    Along an axis of size n, place i of the result shows pixel j = i - before, if there is one, and

        constant    `value`, of any number of axes and any dtype
        reflect     the image in a mirror at its edge pixel: -j, or 2·(n-1) - j; pads below n
        replicate   the edge pixel
        circular    the image beginning again: j mod n; pads up to n. n counts what is not cut off

    Args:
        input: for "constant" of any rank; for the others with one or two axes before the padded
            one, two or three, as in (N, C, H, W) or (C, H, W); only the batch may be empty.
        pad: (before, after) of the last axis, then of the one before it, and so on:
            (left, right, top, bottom) pads an image.
        value: for "constant", 0 if not given. Cut to an integer for integers.

    Returns:
        a copy, with axes of size before + n + after.

    Raises:
        ArgumentError, ShapeError, DtypeError: as PyTorch refuses; also a "circular" pad larger
            than what is left after cutting, where PyTorch may return unwritten memory.
    """
    require_tensor("pad", input)
    x, pairs, number = input.array, _pairs(pad, input.array.ndim), _number(value)
    rule = _rules.get(mode) if isinstance(mode, str) else None
    if rule is None:
        names = ", ".join(_rules)
        raise ArgumentError(f'pad: mode must be one of {names}, got {mode!r}. Use "constant".')
    if mode != "constant":
        _check_axes(x.shape, pairs, mode)
        _check_values(x.dtype, mode, number)
    untouched: Picks = [None] * (x.ndim - len(pairs))
    padded = zip(x.shape[len(untouched) :], reversed(pairs), strict=True)
    picks = untouched + [None if p == (0, 0) else rule(n, p, x.shape) for n, p in padded]
    added = any(max(p) > 0 for p in pairs)
    return pick(input, picks, _as_element(number, x.dtype) if added else 0)


# ------------------------------------------------------------------------------ the modes


def _constant(n: int, pad: Pair, shape: Shape) -> np.ndarray:
    if _remaining(n, pad) < 0:
        _fail(shape, n, pad, f"cuts off more than the {n} pixels there are", f"Cut at most {n}.")
    places = np.arange(-pad[0], n + pad[1])
    return np.where((places < 0) | (places >= n), -1, places)


def _reflect(n: int, pad: Pair, shape: Shape) -> np.ndarray:
    if max(pad) >= n:
        remedy = f'Use at most {n - 1}, or mode="replicate".'
        _fail(shape, n, pad, f"must stay below {n}: the mirror image leaves out the edge", remedy)
    places = np.abs(np.arange(-pad[0], n + pad[1]))
    return np.where(places >= n, 2 * (n - 1) - places, places)


def _replicate(n: int, pad: Pair, shape: Shape) -> np.ndarray:
    return np.clip(np.arange(-pad[0], n + pad[1]), 0, n - 1)


def _circular(n: int, pad: Pair, shape: Shape) -> np.ndarray:
    left = _remaining(n, pad)
    if left < 0:
        _fail(shape, n, pad, f"cuts off more than the {n} pixels there are", f"Cut at most {n}.")
    if max(pad) > left:
        what = f"wraps around the {left} pixels to repeat more than once"
        _fail(shape, n, pad, what, f"Use at most {left}, or pad twice.")
    start = max(-pad[0], 0)
    places = np.arange(-max(pad[0], 0), left + max(pad[1], 0))
    return start + places % left if left else places


_rules: dict[str, Callable[[int, Pair, Shape], np.ndarray]] = {
    "constant": _constant,
    "reflect": _reflect,
    "replicate": _replicate,
    "circular": _circular,
}


def _remaining(n: int, pad: Pair) -> int:
    """The pixels left after cutting."""
    return n + min(pad[0], 0) + min(pad[1], 0)


# ------------------------------------------------------------------------------ checks


def _fail(shape: Shape, n: int, pad: Pair, what: str, remedy: str) -> NoReturn:
    raise ShapeError(f"pad: {pad} on an axis of size {n} in input {shape} {what}. {remedy}")


def _pairs(pad: Any, ndim: int) -> list[Pair]:
    """`pad` as (before, after) pairs, the last axis first."""
    example = "Use (before, after) for the last axis, then for the one before it."
    if not isinstance(pad, tuple | list):
        raise ArgumentError(f"pad: pad must be a tuple of integers, got {pad!r}. {example}")
    numbers = [integer(p, "pad", op="pad") for p in pad]
    if len(numbers) % 2:
        raise ArgumentError(f"pad: pad {tuple(numbers)} has an odd length. {example}")
    if len(numbers) > 2 * ndim:
        raise ArgumentError(
            f"pad: pad {tuple(numbers)} is for {len(numbers) // 2} axes, but the input has {ndim}. "
            f"Use at most {2 * ndim} numbers."
        )
    return list(zip(numbers[::2], numbers[1::2], strict=True))


def _check_axes(shape: Shape, pairs: list[Pair], mode: str) -> None:
    """Raise unless one or two axes come before the padded ones, and there are pixels to take."""
    lead = len(shape) - len(pairs)
    if len(pairs) not in (1, 2, 3) or lead not in (1, 2):
        raise ShapeError(
            f'pad: mode="{mode}" pads the last 1, 2 or 3 axes, after one or two others as in '
            f"(N, C, H, W) or (C, H, W), but got {2 * len(pairs)} numbers for input {shape}. "
            'Reshape the input, or use mode="constant".'
        )
    if mode == "circular":
        return
    if 0 in shape[lead - 1 :]:
        raise ShapeError(
            f'pad: mode="{mode}" has no pixels to take in input {shape}. Only the batch may be '
            'empty; use mode="constant".'
        )
    sizes = [n + sum(p) for n, p in zip(shape[lead:], reversed(pairs), strict=True)]
    if max(sizes) < 1 or min(sizes) < 0:
        raise ShapeError(
            f"pad: {tuple(p for pair in pairs for p in pair)} leaves nothing of input {shape}: "
            f"sizes before + n + after = {sizes}. Cut less."
        )


def _check_values(dtype: np.dtype, mode: str, value: float) -> None:
    if value != 0:
        raise ArgumentError(
            f'pad: mode="{mode}" takes its pixels from the image, got value={value!r}. Leave value '
            'out, or use mode="constant".'
        )
    if dtype == dtypes.bool_ and mode != "circular":
        raise DtypeError(
            f'pad: mode="{mode}" takes no truth values (bool). Convert with .to(minicnn.uint8).'
        )


def _number(value: Any) -> float:
    if isinstance(value, Variable) and value.array.ndim == 0:
        value = value.array.item()
    if value is not None and not dtypes.is_scalar(value):
        raise ArgumentError(f"pad: value must be a number, got {value!r}. Use value=0.")
    return 0 if value is None else value


def _as_element(value: float, dtype: np.dtype) -> float:
    """`value` as an element of `dtype`, cut to an integer if need be."""
    if dtype == dtypes.bool_:
        return bool(value)
    floating = dtypes.is_floating(dtype)
    limits = np.finfo(dtype) if floating else np.iinfo(dtype)
    special = floating and not math.isfinite(value)
    if not special and not limits.min <= value <= limits.max:
        raise ArgumentError(
            f"pad: value {value!r} is outside the range of {dtype}, {limits.min} to {limits.max}. "
            "Use a smaller value, or convert the input."
        )
    return float(value) if floating else int(value)
