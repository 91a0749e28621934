"""Transforms that move pixels."""

from __future__ import annotations

from typing import Any

from minicnn.data import sample_rng
from minicnn.errors import ArgumentError
from minicnn.tensor import Tensor


class RandomHorizontalFlip:
    """Mirror left and right with probability p: a Pillow image, or a tensor (…, H, W)."""

    def __init__(self, p: float = 0.5) -> None:
        if not 0 <= p <= 1:
            raise ArgumentError(f"RandomHorizontalFlip: p must be from 0 to 1, got {p}. Use p=0.5.")
        self.p = p

    def __call__(self, image: Any) -> Any:
        if sample_rng().random() >= self.p:
            return image
        if isinstance(image, Tensor):
            return image.flip(-1)
        from PIL import Image, ImageOps

        if not isinstance(image, Image.Image):
            raise ArgumentError(
                f"RandomHorizontalFlip: expected a Pillow image or a Tensor, got "
                f"{type(image).__name__}. Use PIL.Image.fromarray."
            )
        return ImageOps.mirror(image)

    def __repr__(self) -> str:
        return f"RandomHorizontalFlip(p={self.p})"
