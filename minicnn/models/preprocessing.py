"""Preprocessing as a layer, so that a trained model takes images as they come."""

from __future__ import annotations

from minicnn import nn
from minicnn.errors import ArgumentError
from minicnn.tensor import Tensor


class Normalize(nn.Module):
    """y = (x - mean) / std, two numbers for all channels: no parameters, nothing in the state dict.

    With the mean and standard deviation of the training images, inputs get mean 0 and variance 1,
    for which initial weights and learning rates are made (LeCun et al. 1998, "Efficient BackProp",
    section 4.3). The cats-and-dogs course's `preprocessor` is Normalize(0.5, 0.5): to [-1, 1].
    """

    def __init__(self, mean: float, std: float) -> None:
        super().__init__()
        if not std > 0:
            raise ArgumentError(
                f"Normalize: std must be above 0, got {std}."
                " Use the standard deviation of the training images."
            )
        self.mean, self.std = mean, std

    def forward(self, x: Tensor) -> Tensor:
        """Any shape, unchanged."""
        return (x - self.mean) / self.std

    def extra_repr(self) -> str:
        """The two numbers."""
        return f"mean={self.mean}, std={self.std}"
