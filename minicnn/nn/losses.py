"""Losses as modules."""

from __future__ import annotations

from minicnn.nn import functional as F
from minicnn.nn.module import Module
from minicnn.tensor import Tensor


class CrossEntropyLoss(Module):
    """-log softmax(logits)[label], averaged over the batch; see `nn.functional.cross_entropy`."""

    def __init__(self, *, reduction: str = "mean") -> None:
        super().__init__()
        self.reduction = reduction

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Logits (N, classes) and labels (N,) → a scalar."""
        return F.cross_entropy(input, target, reduction=self.reduction)


class BCEWithLogitsLoss(Module):
    """Binary cross-entropy on logits; see `nn.functional.binary_cross_entropy_with_logits`."""

    def __init__(self, *, reduction: str = "mean") -> None:
        super().__init__()
        self.reduction = reduction

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Logits and targets in [0, 1] of one shape → a scalar."""
        return F.binary_cross_entropy_with_logits(input, target, reduction=self.reduction)
