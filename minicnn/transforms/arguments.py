"""What transforms are given, checked: images, sizes, probabilities, interpolation, colours."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from enum import Enum
from typing import Any

from minicnn.errors import ArgumentError
from minicnn.kernels import shapes
from minicnn.tensor import Tensor


class InterpolationMode(Enum):
    """How pixels between pixels are made up. Source: `torchvision.transforms.InterpolationMode`."""

    NEAREST = "nearest"
    NEAREST_EXACT = "nearest-exact"
    BILINEAR = "bilinear"
    BICUBIC = "bicubic"
    BOX = "box"
    HAMMING = "hamming"
    LANCZOS = "lanczos"


# Pillow's numbers for them, which `PIL.Image.Resampling` also is.
RESAMPLING = {
    InterpolationMode.NEAREST: 0,
    InterpolationMode.LANCZOS: 1,
    InterpolationMode.BILINEAR: 2,
    InterpolationMode.BICUBIC: 3,
    InterpolationMode.BOX: 4,
    InterpolationMode.HAMMING: 5,
    InterpolationMode.NEAREST_EXACT: 0,  # Pillow's nearest neighbour is the exact one
}


def interpolation_argument(value: Any, op: str) -> InterpolationMode:
    """Return a mode, its name or Pillow's number as a mode."""
    numbered = {number: mode for mode, number in reversed(RESAMPLING.items())}
    if isinstance(value, int) and not isinstance(value, bool) and value in numbered:
        return numbered[value]
    try:
        return InterpolationMode(value)
    except ValueError:
        names = ", ".join(mode.value for mode in InterpolationMode)
        raise ArgumentError(
            f"{op}: interpolation {value!r} is none of {names}. "
            "Use InterpolationMode.BILINEAR or 'bilinear'."
        ) from None


def size_argument(value: Any, op: str) -> tuple[int, int]:
    """Return an integer, for a square, or (height, width) as (height, width), each at least 1."""
    height, width = shapes.pair(value, "size", op=op)
    if min(height, width) < 1:
        raise ArgumentError(
            f"{op}: size must be at least 1, got {value!r}. Use size=224, or size=(height, width)."
        )
    return height, width


def probability(value: Any, op: str) -> float:
    """Return p, from 0 to 1."""
    if not is_number(value) or not 0 <= value <= 1:
        raise ArgumentError(f"{op}: p must be from 0 to 1, got {value!r}. Use p=0.5.")
    return value


def is_number(value: Any) -> bool:
    """Whether this is a finite real number, NumPy's included."""
    try:
        return not isinstance(value, str | bytes) and math.isfinite(value)
    except (TypeError, ValueError):
        return False


def range_argument(value: Any, name: str, op: str, example: str) -> tuple[float, float]:
    """Return a sequence (smallest, largest) of two numbers as floats."""
    if isinstance(value, Sequence) and len(value) == 2 and all(map(is_number, value)):
        low, high = map(float, value)
        if low <= high:
            return low, high
    raise ArgumentError(
        f"{op}: {name} must be (smallest, largest), got {value!r}. Use {name}={example}."
    )


# ----------------------------------------------------------------------------------------- images


def is_image(value: Any) -> bool:
    """Whether this is a Pillow image. Does not import Pillow: who has an image has done so."""
    pillow = sys.modules.get("PIL.Image")
    return pillow is not None and isinstance(value, pillow.Image)


def require_image(value: Any, op: str, or_what: str = "") -> Any:
    """Return `value`, a Pillow image with at least one pixel."""
    if not is_image(value):
        remedy = (
            f"Put {op} before ToTensor() in the Compose."
            if isinstance(value, Tensor)
            else "Use PIL.Image.fromarray, or PIL.Image.open."
        )
        raise ArgumentError(
            f"{op}: expected a Pillow image{or_what}, got {type(value).__name__}. {remedy}"
        )
    if min(value.size) < 1:
        raise ArgumentError(f"{op}: the image has no pixels: {by(value)}. Leave it out.")
    return value


class on_pixels:
    """Inside, what Pillow cannot do to the image's kind of pixels is an error with a remedy."""

    __slots__ = ("image", "op")

    def __init__(self, op: str, image: Any) -> None:
        self.op, self.image = op, image

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> None:
        if isinstance(error, ValueError | NotImplementedError):
            raise ArgumentError(
                f"{self.op}: Pillow cannot do this to an image of mode {self.image.mode} "
                f"({error}). Convert it first, as with image.convert('RGB')."
            ) from error


def by(image: Any) -> str:
    """An image's size in words, height first as in all sizes here: "300x451 (height x width)"."""
    return f"{image.height}x{image.width} (height x width)"


def fill_argument(value: Any, op: str) -> Any:
    """Return a colour: a number, one for each channel, or a name that Pillow knows."""
    parts = value if isinstance(value, Sequence) and not isinstance(value, str) else [value]
    if not isinstance(value, str) and (not parts or not all(map(is_number, parts))):
        raise ArgumentError(
            f"{op}: fill must be a number, one for each channel or a colour's name, got {value!r}."
            " Use fill=0."
        )
    return value


def colour(fill: Any, image: Any, op: str) -> Any:
    """`fill` as Pillow wants it for this image: one number, or one for each of its channels."""
    if isinstance(fill, str):
        from PIL import ImageColor

        with on_pixels(op, image):
            return ImageColor.getcolor(fill, image.mode)
    bands = len(image.getbands())
    parts = list(fill) if isinstance(fill, Sequence) else [fill]
    if len(parts) not in (1, bands):
        raise ArgumentError(
            f"{op}: fill {fill!r} has {len(parts)} numbers, but the image's mode {image.mode} has "
            f"{bands} channels. Give one number, or {bands}."
        )
    numbers = parts if image.mode == "F" else [int(part) for part in parts]
    return numbers[0] if bands == 1 else tuple(numbers * (bands // len(numbers)))
