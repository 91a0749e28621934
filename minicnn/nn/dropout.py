"""Dropout layers."""

from __future__ import annotations

from minicnn.nn import functional as F
from minicnn.nn.module import Module
from minicnn.ops.dropout import check_probability
from minicnn.tensor import Tensor


class Dropout(Module):
    """Zero each element with probability p while training; see `nn.functional.dropout`."""

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        check_probability(type(self).__name__, p)
        self.p, self.inplace = p, inplace

    def forward(self, input: Tensor) -> Tensor:
        """Any shape, unchanged."""
        return F.dropout(input, self.p, self.training)

    def extra_repr(self) -> str:
        """As PyTorch prints it."""
        return f"p={self.p}, inplace={self.inplace}"


class Dropout2d(Dropout):
    """Zero whole channels with probability p while training; see `nn.functional.dropout2d`."""

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W), unchanged."""
        return F.dropout2d(input, self.p, self.training)
