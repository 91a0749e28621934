"""interpolate: an image with more or fewer pixels, each the nearest of the old ones or a mixture.

Along each axis, new pixel i of `out` lies at a place of the old axis of size n, counted in pixels
from the centre of the first. With scale = n/out (or 1/scale_factor), it is

    nearest          ⌊i·scale⌋                    the old pixel that covers its left edge
    nearest-exact    ⌊(i + ½)·scale⌋              the one that covers its centre
    linear           (i + ½)·scale - ½            its centre, read between the two old centres
    align_corners    i·(n - 1)/(out - 1)          the same, with the first and last centres kept

limited to 0 … n - 1. The numbers are computed as PyTorch does, in float32 but for linear of
float64, since a rounding error at an edge chooses another pixel. Mode "area" takes the mean of the
old pixels that the new one covers, also in part: it is adaptive average pooling.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NoReturn

import numpy as np

from minicnn import dtypes
from minicnn.autograd import Function, Variable
from minicnn.kernels.errors import ArgumentError, DtypeError, ShapeError
from minicnn.kernels.shapes import flag, integer
from minicnn.ops.adaptive_pool import adaptive_avg_pool1d, adaptive_avg_pool2d
from minicnn.ops.elementwise import cast, require_tensor
from minicnn.ops.gather import pick
from minicnn.ops.shaping import c_order, reshape

_RANKS = {
    "nearest": (3, 4, 5), "nearest-exact": (3, 4, 5), "linear": (3,), "bilinear": (4,),
    "area": (3, 4),
}  # fmt: skip
_MISSING = ("bicubic", "lanczos", "trilinear")  # PyTorch has them
_AXES = {3: "(N, C, L)", 4: "(N, C, H, W)", 5: "(N, C, D, H, W)"}
_OP = "interpolate"


class BilinearFunction(Function):
    """x (N,C,H,W) read at the places rows × columns, between pixels along straight lines."""

    fresh_gradients = True

    @staticmethod
    def forward(ctx, x, rows, columns):
        ctx.geometry = rows, columns, x.shape
        return ctx.backend.bilinear2d(c_order(x), rows, columns)

    @staticmethod
    def backward(ctx, dy):
        return ctx.backend.bilinear2d_grad(c_order(dy), *ctx.geometry), None, None


def interpolate(
    input: Variable,
    size: int | Sequence[int] | None = None,
    scale_factor: float | Sequence[float] | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Any:
    """Resize an image, or a signal, to `size` or by `scale_factor`.

    Args:
        input: (N, C, L) or (N, C, H, W), and for the nearest modes (N, C, D, H, W).
        size: of the output, one integer for all axes or one each; or else
        scale_factor: what to multiply the sizes by, rounded down: one number or one each.
        mode: "nearest", as old OpenCV and PyTorch round; "nearest-exact", as Pillow and
            scikit-image do; "area", the mean of the old pixels; "linear" of (N, C, L);
            "bilinear" of (N, C, H, W).
        align_corners: for the linear modes: keep the centres of the corner pixels in place,
            instead of the edges of the image.
        recompute_scale_factor: compute with the ratio of the sizes, not the scale_factor given,
            which differs from it where the size was rounded.
        antialias: only False: what shrinks to less than half skips pixels, but for mode "area".

    Returns:
        (N, C, out…), of the input's dtype: float16, float32 or float64; nearest also uint8.

    Raises:
        ArgumentError, ShapeError, DtypeError: as PyTorch refuses, and for its modes
            "bicubic", "lanczos" and "trilinear".
    """
    _check_mode(mode, antialias)
    _check_input(input, mode)
    if "linear" not in mode and align_corners is not None:
        _fail(f"align_corners is for linear modes, not {mode!r}", "Leave it out.", ArgumentError)
    align = align_corners is not None and flag(align_corners, "align_corners", op=_OP)
    old = input.array.shape[2:]
    new, factors = _sizes(old, size, scale_factor, bool(recompute_scale_factor))
    _check_sizes(old, new)
    axes = list(zip(old, new, factors, strict=True))
    if mode.startswith("nearest"):
        rule = _nearest if mode == "nearest" else _nearest_exact
        return pick(input, [None, None, *(rule(*axis) for axis in axes)])
    dtype = dtypes.float64 if input.array.dtype == dtypes.float64 else dtypes.float32
    x = cast(input, dtype)  # float16 is a type for storage
    if mode == "area":
        y = (adaptive_avg_pool1d if len(new) == 1 else adaptive_avg_pool2d)(x, new)
    else:
        y = _linear(x, [_places(*axis, align, dtype.type) for axis in axes])
    return cast(y, input.array.dtype)


def _linear(x: Variable, places: list[np.ndarray]) -> Any:
    """A signal is an image of height 1."""
    if len(places) == 2:
        return BilinearFunction.apply(x, *places)
    (columns,) = places
    N, C, L = x.array.shape
    y = BilinearFunction.apply(reshape(x, (N, C, 1, L)), np.zeros(1, columns.dtype), columns)
    return reshape(y, (N, C, columns.size))


# ------------------------------------------------------------------------------ places


def _nearest(n: int, out: int, factor: float | None) -> np.ndarray:
    if out in (n, 2 * n):  # as in PyTorch, even if the factor given was not 1 or 2
        return np.arange(out) // (out // n)
    edges = np.arange(out, dtype=np.float32)
    return np.minimum(edges * _scale(n, out, factor, np.float32), n - 1).astype(np.int64)


def _nearest_exact(n: int, out: int, factor: float | None) -> np.ndarray:
    centres = np.arange(out, dtype=np.float32) + np.float32(0.5)
    return np.minimum(centres * _scale(n, out, factor, np.float32), n - 1).astype(np.int64)


def _places(n: int, out: int, factor: float | None, align: bool, number: Any) -> np.ndarray:
    i, half = np.arange(out, dtype=number), number(0.5)
    if align:
        places = i * (number(n - 1) / number(out - 1) if out > 1 else number(0))
    elif out == n:
        places = i
    else:
        places = (i + half) * _scale(n, out, factor, number) - half
    return np.clip(places, number(0), number(n - 1))


def _scale(n: int, out: int, factor: float | None, number: Any) -> Any:
    """Old pixels per new one."""
    return number(n) / number(out) if factor is None else number(1 / factor)


def _sizes(
    old: tuple[int, ...], size: Any, scale_factor: Any, recompute: bool
) -> tuple[tuple[int, ...], tuple[float | None, ...]]:
    """The new size of each axis, and the factor to compute with, None for the ratio of sizes."""
    count, none = len(old), (None,) * len(old)
    if (size is None) == (scale_factor is None):
        got = "neither" if size is None else "both"
        _fail(f"needs size or scale_factor, got {got}", "Use scale_factor=2.", ArgumentError)
    if size is not None:
        if recompute:
            problem = "recompute_scale_factor has no meaning with a size"
            _fail(problem, "Leave it out.", ArgumentError)
        new = tuple(integer(n, "size", op=_OP) for n in _each(size, count, "size", "2"))
        return new, none
    factors = _each(scale_factor, count, "scale_factor", "2.0")
    if not all(dtypes.is_scalar(f) and math.isfinite(f) for f in factors):
        problem = f"scale_factor must be a finite number or one for each axis, got {scale_factor!r}"
        _fail(problem, "Use scale_factor=2.", ArgumentError)
    factors = tuple(float(f) for f in factors)
    new = tuple(int(n * f) for n, f in zip(old, factors, strict=True))
    return new, none if recompute else factors


def _each(value: Any, count: int, name: str, example: str) -> tuple[Any, ...]:
    """`value`, one for all axes or a sequence with one for each, as a tuple."""
    if not isinstance(value, tuple | list):
        return (value,) * count
    if len(value) != count:
        problem = f"{name} {tuple(value)} is for {len(value)} axes, but the input has {count}"
        remedy = f"Use {name}={example} or {name}=({', '.join([example] * count)},)."
        _fail(f"{problem} after the channels", remedy, ArgumentError)
    return tuple(value)


# ------------------------------------------------------------------------------ checks


def _fail(problem: str, remedy: str, error: type[Exception]) -> NoReturn:
    raise error(f"{_OP}: {problem}. {remedy}")


def _check_mode(mode: Any, antialias: Any) -> None:
    modes = ", ".join(f'"{m}"' for m in _RANKS)
    mode = mode if isinstance(mode, str) else repr(mode)
    if mode in _MISSING:
        _fail(f'mode="{mode}" is not built in', f"Use one of {modes}.", ArgumentError)
    if mode not in _RANKS:
        _fail(f"mode must be one of {modes}, got {mode}", 'Use mode="nearest".', ArgumentError)
    if antialias:
        remedy = 'Use antialias=False; for images that shrink, mode="area" takes all pixels.'
        _fail("antialias=True is not built in", remedy, ArgumentError)


def _check_input(x: Any, mode: str) -> None:
    require_tensor(_OP, x)
    shape, dtype = x.array.shape, x.array.dtype
    if len(shape) not in _RANKS[mode]:
        axes = " or ".join(_AXES[rank] for rank in _RANKS[mode])
        problem = f'mode="{mode}" takes {axes}, got {len(shape)} axes: {shape}'
        remedy = 'Add an axis of one with x[None], or use "linear" for 3 axes, "bilinear" for 4.'
        _fail(problem, remedy, ShapeError)
    if 0 in shape[1:]:
        _fail(f"input {shape} has an empty axis", "Only the batch may be empty.", ShapeError)
    fits = dtypes.is_floating(dtype) or (dtype == dtypes.uint8 and mode.startswith("nearest"))
    if not fits:
        problem = f'mode="{mode}" takes floating-point numbers, and nearest also uint8, not {dtype}'
        _fail(problem, "Convert with .float().", DtypeError)


def _check_sizes(old: tuple[int, ...], new: tuple[int, ...]) -> None:
    if min(new) < 1:
        problem = f"the sizes {old} would become {new}, but none may be smaller than 1"
        _fail(problem, "Use a larger size or scale_factor.", ShapeError)
