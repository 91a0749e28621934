"""Transforms that change colours."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from minicnn.data import sample_rng
from minicnn.errors import ArgumentError
from minicnn.transforms.arguments import is_number, on_pixels, range_argument, require_image

Amount = float | Sequence[float]


class ColorJitter:
    """Change brightness, contrast, saturation and hue at random, in random order.

    Args:
        brightness, contrast, saturation: factors are drawn uniformly from (max(0, 1 - x), 1 + x),
            or from (smallest, largest); 0 blacks out, makes all one grey, or takes colours away.
        hue: the shift is drawn from (-x, x), or from (smallest, largest), within (-0.5, 0.5),
            where 1 is the whole circle of colours. Pictures without colours are left as they are.

    Source: `torchvision.transforms.ColorJitter`. Raises ArgumentError.
    """

    def __init__(
        self,
        brightness: Amount = 0,
        contrast: Amount = 0,
        saturation: Amount = 0,
        hue: Amount = 0,
    ) -> None:
        self.brightness = _factors(brightness, "brightness")
        self.contrast = _factors(contrast, "contrast")
        self.saturation = _factors(saturation, "saturation")
        self.hue = _shifts(hue)

    def __call__(self, image: Any) -> Any:
        require_image(image, "ColorJitter")
        rng = sample_rng()
        changes = (
            (_brightness, self.brightness),
            (_contrast, self.contrast),
            (_saturation, self.saturation),
            (_hue, self.hue),
        )
        with on_pixels("ColorJitter", image):
            for k in rng.permutation(4):
                change, amounts = changes[k]
                if amounts is not None:
                    image = change(image, float(rng.uniform(*amounts)))
        return image

    def __repr__(self) -> str:
        return (
            f"ColorJitter(brightness={self.brightness}, contrast={self.contrast}, "
            f"saturation={self.saturation}, hue={self.hue})"
        )


def _factors(value: Any, name: str) -> tuple[float, float] | None:
    """The bounds of a factor; None where it is always 1."""
    amount = value
    if is_number(value):
        value = (max(0.0, 1 - float(value)) if value >= 0 else -1.0, 1 + float(abs(value)))
    low, high = range_argument(value, name, "ColorJitter", "0.2, or (0.8, 1.2)")
    if low < 0:
        raise ArgumentError(
            f"ColorJitter: {name} must be >= 0, got {amount!r}. Use {name}=0.2, or (0.8, 1.2)."
        )
    return None if low == high == 1 else (low, high)


def _shifts(value: Any) -> tuple[float, float] | None:
    """The bounds of the hue's shift; None where it is always 0."""
    amount = value
    if is_number(value):
        value = (-float(value), float(value)) if value >= 0 else (-1.0, 0.0)
    low, high = range_argument(value, "hue", "ColorJitter", "0.1, or (-0.1, 0.1)")
    if low < -0.5 or high > 0.5:
        raise ArgumentError(
            f"ColorJitter: hue must be from 0 to 0.5, or two numbers from -0.5 to 0.5, got "
            f"{amount!r}. Use hue=0.1."
        )
    return None if low == high == 0 else (low, high)


def _brightness(image: Any, factor: float) -> Any:
    from PIL import ImageEnhance

    return ImageEnhance.Brightness(image).enhance(factor)


def _contrast(image: Any, factor: float) -> Any:
    from PIL import ImageEnhance

    return ImageEnhance.Contrast(image).enhance(factor)


def _saturation(image: Any, factor: float) -> Any:
    from PIL import ImageEnhance

    return ImageEnhance.Color(image).enhance(factor)


def _hue(image: Any, shift: float) -> Any:
    """Turn the circle of 256 hues by int(255 · shift); transparency is kept."""
    from PIL import Image

    if image.mode in ("1", "L", "LA", "I", "F") or image.mode.startswith("I;"):
        return image
    hue, saturation, value = image.convert("RGB").convert("HSV").split()
    turned = hue.point([(old + math.trunc(255 * shift)) % 256 for old in range(256)])
    result = Image.merge("HSV", (turned, saturation, value)).convert("RGB")
    if image.mode == "RGBA":
        result.putalpha(image.getchannel("A"))
        return result
    return result.convert(image.mode)


class Grayscale:
    """Grey by ITU-R 601 luma, 0.299 R + 0.587 G + 0.114 B, in one channel or three equal ones.

    Source: `torchvision.transforms.Grayscale`. Raises ArgumentError.
    """

    def __init__(self, num_output_channels: int = 1) -> None:
        if num_output_channels not in (1, 3):
            raise ArgumentError(
                f"Grayscale: num_output_channels must be 1 or 3, got {num_output_channels!r}. "
                "Use 3 for a network that takes colours."
            )
        self.num_output_channels = num_output_channels

    def __call__(self, image: Any) -> Any:
        require_image(image, "Grayscale")
        with on_pixels("Grayscale", image):
            grey = image.convert("L")
            return grey if self.num_output_channels == 1 else grey.convert("RGB")

    def __repr__(self) -> str:
        return f"Grayscale(num_output_channels={self.num_output_channels})"
