"""The fully connected network that convolutions are measured against: it sees no neighbourhood."""

from __future__ import annotations

from typing import Any

from minicnn import nn
from minicnn.models.registry import register
from minicnn.nn import functional as F


class FCNet(nn.Module):
    """Four linear layers on the flattened 28×28 image: 784 → 64 → 64 → 64 → num_classes.

    Input (N, 1, 28, 28) or anything with 784 values an image; output logits (N, num_classes).
    """

    def __init__(self, num_classes: int = 10) -> None:
        super().__init__()
        self.fc1 = nn.Linear(28 * 28, 64)
        self.fc2 = nn.Linear(64, 64)
        self.fc3 = nn.Linear(64, 64)
        self.fc4 = nn.Linear(64, num_classes)
        self.recipe = {"name": "fcnet", "options": {"num_classes": num_classes}}

    def forward(self, x: Any) -> Any:
        x = x.view(-1, 28 * 28)  # here the picture is lost: 784 numbers without neighbours
        x = F.relu(self.fc1(x))
        x = F.relu(self.fc2(x))
        x = F.relu(self.fc3(x))
        return self.fc4(x)


@register
def fcnet(num_classes: int = 10) -> FCNet:
    """An `FCNet` with `num_classes` logits."""
    return FCNet(num_classes)
