"""Transforms that cut a part out of an image, or put a border around it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minicnn.data import sample_rng
from minicnn.errors import ArgumentError, ShapeError
from minicnn.kernels import shapes
from minicnn.transforms.arguments import (
    by,
    colour,
    fill_argument,
    on_pixels,
    require_image,
    size_argument,
)

MODES = ("constant", "edge", "reflect", "symmetric")

Sides = tuple[int, int, int, int]  # left, top, right, bottom: Pillow's and torchvision's order


class CenterCrop:
    """The middle of the image; where the image is smaller, it gets a black border.

        top = round((H - height) / 2),   of two equally near numbers the even one

    Args:
        size: an integer for a square, or (height, width).

    Source: `torchvision.transforms.CenterCrop`.
    """

    def __init__(self, size: int | Sequence[int]) -> None:
        self.size = size_argument(size, "CenterCrop")

    def __call__(self, image: Any) -> Any:
        require_image(image, "CenterCrop")
        height, width = self.size
        if image.size == (width, height):
            return image
        left, top = _middle(image.width, width), _middle(image.height, height)
        # Pillow fills with zeros what lies outside.
        return image.crop((left, top, left + width, top + height))

    def __repr__(self) -> str:
        return f"CenterCrop(size={self.size})"


def _middle(whole: int, part: int) -> int:
    return round((whole - part) / 2) if part <= whole else -((part - whole) // 2)


class Pad:
    """Put a border around the image.

    Args:
        padding: pixels on all sides; (left and right, top and bottom); or (left, top, right,
            bottom). Negative ones cut off.
        fill: the colour of a constant border: a number, one for each channel, or a name.
        padding_mode: "constant"; "edge" repeats the outermost pixel; "reflect" mirrors without it
            and "symmetric" with it.

    Source: `torchvision.transforms.Pad`. Raises ArgumentError.
    """

    def __init__(
        self, padding: int | Sequence[int], fill: Any = 0, padding_mode: str = "constant"
    ) -> None:
        self._sides = sides_argument(padding, "Pad")
        self.padding = padding
        self.fill = fill_argument(fill, "Pad")
        self.padding_mode = mode_argument(padding_mode, "Pad")

    def __call__(self, image: Any) -> Any:
        require_image(image, "Pad")
        return padded("Pad", image, self._sides, self.fill, self.padding_mode)

    def __repr__(self) -> str:
        return f"Pad(padding={self.padding}, fill={self.fill}, padding_mode={self.padding_mode})"


class RandomCrop:
    """A part of the image of a given size, anywhere in it.

    Args:
        size: an integer for a square, or (height, width).
        padding, fill, padding_mode: a border put around the image first, as by `Pad`.
        pad_if_needed: where the image is then smaller than `size`, put what lacks on both sides.

    Source: `torchvision.transforms.RandomCrop`. Raises ArgumentError, and ShapeError for an image
    that is too small.
    """

    def __init__(
        self,
        size: int | Sequence[int],
        padding: int | Sequence[int] | None = None,
        pad_if_needed: bool = False,
        fill: Any = 0,
        padding_mode: str = "constant",
    ) -> None:
        self.size = size_argument(size, "RandomCrop")
        self._sides = None if padding is None else sides_argument(padding, "RandomCrop")
        self.padding = padding
        self.pad_if_needed = pad_if_needed
        self.fill = fill_argument(fill, "RandomCrop")
        self.padding_mode = mode_argument(padding_mode, "RandomCrop")

    def __call__(self, image: Any) -> Any:
        image = self._with_border(require_image(image, "RandomCrop"))
        (height, width), (W, H) = self.size, image.size
        if height > H or width > W:
            raise ShapeError(
                f"RandomCrop: size {height}x{width} is larger than the image, {by(image)}. "
                "Use a smaller size, pad_if_needed=True, or Resize first."
            )
        if (height, width) == (H, W):
            return image
        rng = sample_rng()
        top, left = int(rng.integers(H - height + 1)), int(rng.integers(W - width + 1))
        return image.crop((left, top, left + width, top + height))

    def _with_border(self, image: Any) -> Any:
        style = self.fill, self.padding_mode
        if self._sides is not None:
            image = padded("RandomCrop", image, self._sides, *style)
        if self.pad_if_needed:
            height, width = self.size
            x, y = max(0, width - image.width), max(0, height - image.height)
            image = padded("RandomCrop", image, (x, y, x, y), *style)
        return image

    def __repr__(self) -> str:
        return f"RandomCrop(size={self.size}, padding={self.padding})"


# ---------------------------------------------------------------------------------------- borders


def sides_argument(padding: Any, op: str) -> Sides:
    """Return 1, 2 or 4 integers as (left, top, right, bottom)."""
    given = tuple(padding) if isinstance(padding, Sequence) else (padding,)
    if len(given) in (1, 2, 4):
        numbers = [shapes.integer(number, "padding", op=op) for number in given]
        left, top, right, bottom = numbers * (4 // len(numbers))
        return left, top, right, bottom
    raise ArgumentError(
        f"{op}: padding must be 1, 2 or 4 integers, got {padding!r}. "
        "Use padding=4, or (left, top, right, bottom)."
    )


def mode_argument(padding_mode: Any, op: str) -> str:
    """Return the name of a way to make a border up."""
    if padding_mode not in MODES:
        raise ArgumentError(
            f"{op}: padding_mode {padding_mode!r} is none of {', '.join(MODES)}. "
            "Use padding_mode='constant'."
        )
    return padding_mode


def padded(op: str, image: Any, sides: Sides, fill: Any, mode: str) -> Any:
    """The image with a border of so many pixels; negative ones are cut off."""
    if not any(sides):
        return image
    left, top, right, bottom = sides
    size = image.width + left + right, image.height + top + bottom
    if min(size) < 1:
        raise ShapeError(
            f"{op}: padding {sides} (left, top, right, bottom) leaves nothing of the image, "
            f"{by(image)}. Cut off less."
        )
    with on_pixels(op, image):
        if mode == "constant":
            return _framed(image, size, (left, top), colour(fill, image, op))
        right_edge, low_edge = image.width + min(0, right), image.height + min(0, bottom)
        kept = image.crop((max(0, -left), max(0, -top), right_edge, low_edge))
        return _extended(kept, [max(0, side) for side in sides], mode)


def _framed(image: Any, size: tuple[int, int], corner: tuple[int, int], fill: Any) -> Any:
    from PIL import Image

    result = Image.new(image.mode, size, fill)
    if image.mode == "P":
        result.putpalette(image.getpalette())
    result.paste(image, corner)
    return result


def _extended(image: Any, sides: Sequence[int], mode: str) -> Any:
    """Each channel by itself, because Pillow would take four channels of ink for RGBA."""
    from PIL import Image

    left, top, right, bottom = sides
    border: Any = ((top, bottom), (left, right))
    bands = [np.pad(np.asarray(band), border, mode=mode) for band in image.split()]  # type: ignore[call-overload]
    made = [Image.fromarray(band) for band in bands]
    result = made[0] if len(made) == 1 else Image.merge(image.mode, made)
    if image.mode == "P":
        result.putpalette(image.getpalette())
    return result
