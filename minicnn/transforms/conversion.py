"""From images to tensors."""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn.errors import DataError
from minicnn.tensor import Tensor


class ToTensor:
    """A Pillow image or an array (H, W) or (H, W, C) of uint8 as a tensor (C, H, W) in [0, 1].

    Raises DataError for anything else. Source: `torchvision.transforms.ToTensor`.
    """

    def __call__(self, image: Any) -> Tensor:
        array = np.asarray(image)
        if array.dtype == np.bool_:
            array = array.astype(np.uint8) * np.uint8(255)
        if array.ndim not in (2, 3) or array.dtype != np.uint8:
            raise DataError(
                f"ToTensor: expected an image of 8 bits a channel, got {type(image).__name__} of "
                f"{array.dtype} and shape {array.shape}. Convert it, as with image.convert('RGB')."
            )
        if array.ndim == 2:
            array = array[:, :, None]
        return Tensor(np.ascontiguousarray(array.transpose(2, 0, 1)).astype(np.float32) / 255)

    def __repr__(self) -> str:
        return "ToTensor()"
