"""Transforms that scale an image."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any

from minicnn.data import sample_rng
from minicnn.errors import ArgumentError
from minicnn.kernels import shapes
from minicnn.transforms.arguments import (
    RESAMPLING,
    InterpolationMode,
    by,
    interpolation_argument,
    on_pixels,
    range_argument,
    require_image,
    size_argument,
)


class Resize:
    """Scale an image; by default bilinear and antialiased, as Pillow does it.

        short, long → size, int(size · long / short)        for an integer size
        short, long → int(max_size · size / long'), max_size    where long' > max_size

    Args:
        size: (height, width); or an integer for the shorter side, which keeps the proportions.
        interpolation: an InterpolationMode, its name, or Pillow's number.
        max_size: the most that the longer side may become; only with an integer size.
        antialias: True or None. On Pillow images it is always on: False is warned of.

    Source: `torchvision.transforms.Resize`. Raises ArgumentError.
    """

    def __init__(
        self,
        size: int | Sequence[int],
        interpolation: Any = InterpolationMode.BILINEAR,
        max_size: int | None = None,
        antialias: bool | None = True,
    ) -> None:
        height, width = size_argument(size, "Resize")
        self._both = (height, width) if isinstance(size, Sequence) and len(size) == 2 else None
        self._short = height
        self.size = size
        self.interpolation = interpolation_argument(interpolation, "Resize")
        self.max_size = max_size
        self.antialias = antialias
        if max_size is not None:
            self._check_max_size(shapes.integer(max_size, "max_size", op="Resize"))
        if antialias is False:
            warn_of_antialias("Resize")

    def _check_max_size(self, max_size: int) -> None:
        if self._both is not None:
            raise ArgumentError(
                f"Resize: max_size={max_size} needs a size for the shorter side alone, got "
                f"{self.size}. Use size={self._short}, or leave max_size out."
            )
        if max_size <= self._short:
            raise ArgumentError(
                f"Resize: max_size={max_size} must be more than the shorter side's size="
                f"{self._short}. Use max_size={2 * self._short}."
            )

    def __call__(self, image: Any) -> Any:
        require_image(image, "Resize")
        return resized("Resize", image, self._output_size(image), self.interpolation)

    def _output_size(self, image: Any) -> tuple[int, int]:
        if self._both is not None:
            return self._both
        short, long = sorted(image.size)
        new_short, new_long = self._short, int(self._short * long / short)
        if self.max_size is not None and new_long > self.max_size:
            new_short, new_long = int(self.max_size * new_short / new_long), self.max_size
        if new_short < 1:
            raise ArgumentError(
                f"Resize: at max_size={self.max_size} nothing is left of the shorter side of the "
                f"image, {by(image)}. Use size=(height, width)."
            )
        return (new_short, new_long) if image.height <= image.width else (new_long, new_short)

    def __repr__(self) -> str:
        return (
            f"Resize(size={self.size}, interpolation={self.interpolation.value}, "
            f"max_size={self.max_size}, antialias={self.antialias})"
        )


class RandomResizedCrop:
    """Cut out a random part of the image and scale it to `size`.

    The part's area is drawn uniformly from `scale` times the image's, its width / height
    log-uniformly from `ratio`. After ten draws that do not fit, the largest part in the middle
    with a ratio within `ratio` is taken.

    Args:
        size: an integer for a square, or (height, width).
        scale, ratio: (smallest, largest).
        interpolation, antialias: as for `Resize`.

    Source: `torchvision.transforms.RandomResizedCrop`; the crop of "Going deeper with
    convolutions" (Szegedy et al. 2015), section 6. Raises ArgumentError.
    """

    def __init__(
        self,
        size: int | Sequence[int],
        scale: Sequence[float] = (0.08, 1.0),
        ratio: Sequence[float] = (3.0 / 4.0, 4.0 / 3.0),
        interpolation: Any = InterpolationMode.BILINEAR,
        antialias: bool | None = True,
    ) -> None:
        op = "RandomResizedCrop"
        self.size = size_argument(size, op)
        self.scale = range_argument(scale, "scale", op, "(0.08, 1.0)")
        self.ratio = range_argument(ratio, "ratio", op, "(0.75, 1.33)")
        if min(self.scale[0], self.ratio[0]) <= 0:
            raise ArgumentError(
                f"{op}: scale and ratio must be above 0, got {scale} and {ratio}. "
                "Use scale=(0.08, 1.0), ratio=(0.75, 1.33)."
            )
        self._log_ratio = math.log(self.ratio[0]), math.log(self.ratio[1])
        self.interpolation = interpolation_argument(interpolation, op)
        self.antialias = antialias
        if antialias is False:
            warn_of_antialias(op)

    def __call__(self, image: Any) -> Any:
        require_image(image, "RandomResizedCrop")
        top, left, height, width = self._window(image)
        part = image.crop((left, top, left + width, top + height))
        return resized("RandomResizedCrop", part, self.size, self.interpolation)

    def _window(self, image: Any) -> tuple[int, int, int, int]:
        """Top, left, height and width of the part."""
        W, H = image.size
        rng = sample_rng()
        for _ in range(10):
            area = W * H * rng.uniform(*self.scale)
            aspect = math.exp(rng.uniform(*self._log_ratio))  # width / height
            width, height = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
            if 0 < width <= W and 0 < height <= H:
                top, left = rng.integers(H - height + 1), rng.integers(W - width + 1)
                return int(top), int(left), height, width
        tall, wide = self.ratio
        height = min(H, max(1, round(W / tall)))
        width = min(W, max(1, round(H * wide)))
        return (H - height) // 2, (W - width) // 2, height, width

    def __repr__(self) -> str:
        scale, ratio = (tuple(round(x, 4) for x in pair) for pair in (self.scale, self.ratio))
        return (
            f"RandomResizedCrop(size={self.size}, scale={scale}, ratio={ratio}, "
            f"interpolation={self.interpolation.value}, antialias={self.antialias})"
        )


def resized(op: str, image: Any, size: tuple[int, int], mode: InterpolationMode) -> Any:
    """The image at (height, width); itself where it has that size."""
    height, width = size
    if image.size == (width, height):
        return image
    with on_pixels(op, image):
        return image.resize((width, height), RESAMPLING[mode])


def warn_of_antialias(op: str) -> None:
    """Say that antialias=False changes nothing."""
    warnings.warn(
        f"{op}: Pillow always antialiases; antialias=False is ignored. Leave it out.",
        stacklevel=3,
    )
