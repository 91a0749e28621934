"""Transforms that mirror and turn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from minicnn.data import sample_rng
from minicnn.errors import ArgumentError
from minicnn.tensor import Tensor
from minicnn.transforms.arguments import (
    RESAMPLING,
    InterpolationMode,
    colour,
    fill_argument,
    interpolation_argument,
    is_number,
    on_pixels,
    probability,
    range_argument,
    require_image,
)


class _RandomFlip:
    """Mirror an image, or a tensor (…, H, W), along `_axis` with probability p."""

    _axis: int

    def __init__(self, p: float = 0.5) -> None:
        self.p = probability(p, type(self).__name__)

    def __call__(self, image: Any) -> Any:
        if sample_rng().random() >= self.p:
            return image
        if isinstance(image, Tensor):
            return image.flip(self._axis)
        from PIL import ImageOps

        require_image(image, type(self).__name__, " or a Tensor")
        return ImageOps.mirror(image) if self._axis == -1 else ImageOps.flip(image)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(p={self.p})"


class RandomHorizontalFlip(_RandomFlip):
    """Mirror left and right with probability p: a Pillow image, or a tensor (…, H, W).

    Source: `torchvision.transforms.RandomHorizontalFlip`.
    """

    _axis = -1


class RandomVerticalFlip(_RandomFlip):
    """Mirror top and bottom with probability p: a Pillow image, or a tensor (…, H, W).

    Source: `torchvision.transforms.RandomVerticalFlip`.
    """

    _axis = -2


class RandomRotation:
    """Turn the image by a random angle, counter-clockwise where it is positive.

    Args:
        degrees: the largest angle to either side; or (smallest, largest).
        interpolation: "nearest", "bilinear" or "bicubic".
        expand: make the result large enough for the whole turned image, instead of cutting off.
        center: (x, y) from the upper left corner, in pixels; by default the middle.
        fill: the colour around the turned image: a number, one for each channel, or a name.

    Source: `torchvision.transforms.RandomRotation`. Raises ArgumentError.
    """

    def __init__(
        self,
        degrees: float | Sequence[float],
        interpolation: Any = InterpolationMode.NEAREST,
        expand: bool = False,
        center: Sequence[float] | None = None,
        fill: Any = 0,
    ) -> None:
        op = "RandomRotation"
        if is_number(degrees) and float(degrees) >= 0:  # type: ignore[arg-type]
            degrees = (-float(degrees), float(degrees))  # type: ignore[arg-type]
        elif not isinstance(degrees, Sequence):
            raise ArgumentError(
                f"{op}: degrees must be a number >= 0 or (smallest, largest), got {degrees!r}. "
                "Use degrees=10 for -10 to 10."
            )
        self.degrees = list(range_argument(degrees, "degrees", op, "(-10, 10)"))
        self.interpolation = interpolation_argument(interpolation, op)
        if RESAMPLING[self.interpolation] not in (0, 2, 3):
            raise ArgumentError(
                f"{op}: interpolation {self.interpolation.value} cannot turn an image. "
                "Use 'nearest', 'bilinear' or 'bicubic'."
            )
        self.expand = expand
        self.center = center
        if center is not None and (len(center) != 2 or not all(map(is_number, center))):
            raise ArgumentError(f"{op}: center must be (x, y), got {center!r}. Leave it out.")
        self.fill = fill_argument(0 if fill is None else fill, op)

    def __call__(self, image: Any) -> Any:
        op = "RandomRotation"
        require_image(image, op)
        angle = float(sample_rng().uniform(self.degrees[0], self.degrees[1]))
        fill = colour(self.fill, image, op)
        center = None if self.center is None else (self.center[0], self.center[1])
        with on_pixels(op, image):
            return image.rotate(
                angle, RESAMPLING[self.interpolation], self.expand, center, fillcolor=fill
            )

    def __repr__(self) -> str:
        center = "" if self.center is None else f", center={self.center}"
        return (
            f"RandomRotation(degrees={self.degrees}, interpolation={self.interpolation.value}, "
            f"expand={self.expand}{center}, fill={self.fill})"
        )
