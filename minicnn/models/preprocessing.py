"""Preprocessing as a layer, so that a trained model takes images as they come."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minicnn import nn
from minicnn.creation import from_numpy
from minicnn.errors import ArgumentError
from minicnn.tensor import Tensor

Channels = float | Sequence[float]


class Normalize(nn.Module):
    """y = (x - mean) / std, for all channels or for each: no parameters, nothing in the state dict.

    With the mean and standard deviation of the training images, inputs get mean 0 and variance 1,
    for which initial weights and learning rates are made (LeCun et al. 1998, "Efficient BackProp",
    section 4.3). The cats-and-dogs course's `preprocessor` is Normalize(0.5, 0.5): to [-1, 1].
    """

    def __init__(self, mean: Channels, std: Channels) -> None:
        super().__init__()
        self.mean, self.std = _plain(mean), _plain(std)
        if not np.all(np.asarray(self.std) > 0):
            raise ArgumentError(
                f"Normalize: std must be above 0, got {std}."
                " Use the standard deviation of the training images."
            )
        if np.ndim(self.mean) != np.ndim(self.std) or np.size(self.mean) != np.size(self.std):
            raise ArgumentError(
                f"Normalize: mean {mean} and std {std} differ in length. "
                "Give one number each, or one each for every channel."
            )

    def forward(self, x: Tensor) -> Tensor:
        """Any shape, unchanged; (N, C, H, W) where each channel has numbers of its own."""
        if isinstance(self.mean, float):
            return (x - self.mean) / self.std
        mean, std = (
            from_numpy(np.asarray(values, x.array.dtype)).reshape(-1, 1, 1)
            for values in (self.mean, self.std)
        )
        return (x - mean) / std

    def extra_repr(self) -> str:
        """The two numbers."""
        return f"mean={self.mean}, std={self.std}"


def _plain(values: Channels) -> Any:
    """One number as a float, several as a tuple of floats, which JSON can keep."""
    return tuple(map(float, values)) if isinstance(values, Sequence) else float(values)
