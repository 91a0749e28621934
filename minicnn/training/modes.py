"""Layers in eval mode for a while."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from minicnn import autograd


@contextmanager
def evaluating(model: Any) -> Iterator[None]:
    """The model in eval mode and nothing recorded; then every layer's mode as it was."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with autograd.no_grad():
            yield
    finally:
        for module, training in modes:
            module.training = training
