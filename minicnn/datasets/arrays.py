"""Small grey pictures that fit in memory: what the silhouettes and MNIST have in common."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minicnn.data import Columns, Dataset, fetch_each
from minicnn.tensor import Tensor


class ImageArrays(Dataset[tuple[Any, Any]]):
    """Pictures uint8 (N, H, W) with a label each.

    A sample is (image, label). As in torchvision, a `transform` gets a PIL image (mode L) and its
    result is the image; without one, the image is what ToTensor would make: float32 (1, H, W) in
    [0, 1]. The label is an int, or what `target_transform` makes of it.

    Attributes:
        data: Tensor uint8 (N, H, W).
        targets: Tensor int64 (N,).
        classes, class_to_idx: names by label, and labels by name.
    """

    def __init__(
        self,
        images: np.ndarray,
        labels: np.ndarray,
        classes: Sequence[str],
        transform: Callable[[Any], Any] | None = None,
        target_transform: Callable[[int], Any] | None = None,
    ) -> None:
        self.data = Tensor(images)
        self.targets = Tensor(labels.astype(np.int64))
        self.classes = list(classes)
        self.class_to_idx = {name: label for label, name in enumerate(self.classes)}
        self.transform = transform
        self.target_transform = target_transform

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: Any) -> tuple[Any, Any]:
        pixels, label = self.data.array[index], int(self.targets.array[index])
        image = _as_image(pixels) if self.transform is None else self.transform(_picture(pixels))
        return image, label if self.target_transform is None else self.target_transform(label)

    def __getitems__(self, indices: Sequence[int]) -> Sequence[tuple[Any, Any]]:
        if self.transform is not None or self.target_transform is not None:
            return fetch_each(self, indices)
        rows = np.asarray(indices, dtype=np.int64)
        images, labels = _as_image(self.data.array[rows]), Tensor(self.targets.array[rows])
        return Columns([images, labels], sample=lambda image, label: (image, label.item()))

    def as_tensors(self) -> tuple[Tensor, Tensor]:
        """Images float32 (N, 1, H, W) in [0, 1] and labels int64 (N,), without transforms."""
        return _as_image(self.data.array), Tensor(self.targets.array.copy())


def _as_image(pixels: np.ndarray) -> Tensor:
    """uint8 (…, H, W) as float32 (…, 1, H, W) in [0, 1]."""
    return Tensor(pixels[..., None, :, :].astype(np.float32) / 255)


def _picture(pixels: np.ndarray) -> Any:
    from PIL import Image  # here, because whoever uses no transforms need not load it

    return Image.fromarray(pixels)
