"""PyTorch's place for data: `minicnn.utils.data` is `minicnn.data`."""

from minicnn.utils import data

__all__ = ["data"]
