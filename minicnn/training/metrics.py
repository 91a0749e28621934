"""Numbers that say how well a network does, from logits and labels.

A metric is a function of (logits, labels), both NumPy arrays, that returns one value per sample
(averaged over all samples) or one number per batch (weighted by the batch's size).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from minicnn.errors import ArgumentError

Metric = Callable[[np.ndarray, np.ndarray], Any]


def predicted_classes(logits: np.ndarray) -> np.ndarray:
    """The class of each row, (N,) int64: the largest logit, or for one logit 1 where it is > 0."""
    if logits.ndim == 1 or logits.shape[1] == 1:
        return (logits.reshape(-1) > 0).astype(np.int64)
    return logits.argmax(axis=1)


def probabilities(logits: np.ndarray) -> np.ndarray:
    """Logits (N, C) as probabilities: softmax over C, or for one logit (N, 1) the sigmoid."""
    if logits.ndim == 1 or logits.shape[1] == 1:
        # exp of a negative number only: no overflow on either side
        small = np.exp(-np.abs(logits))
        return np.where(logits >= 0, 1 / (1 + small), small / (1 + small))
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def accuracy(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """1 for each sample whose predicted class is its label, else 0."""
    return predicted_classes(logits) == labels.reshape(-1)


METRICS: dict[str, Metric] = {"accuracy": accuracy}


def resolve(metrics: Iterable[str | Metric]) -> dict[str, Metric]:
    """Metrics by name: known names are looked up, functions go by their own."""
    found: dict[str, Metric] = {}
    for metric in [metrics] if isinstance(metrics, str) else metrics:
        if isinstance(metric, str):
            if metric not in METRICS:
                raise ArgumentError(
                    f"Trainer: no metric {metric!r}. Use {', '.join(METRICS)}, or give a function "
                    "of (logits, labels)."
                )
            found[metric] = METRICS[metric]
        else:
            found[getattr(metric, "__name__", type(metric).__name__)] = metric
    return found


class Means:
    """Running means over the samples seen so far, of the loss and each metric."""

    def __init__(self, metrics: Mapping[str, Metric]) -> None:
        self.samples = 0
        self._metrics = metrics
        self._sums = dict.fromkeys(("loss", *metrics), 0.0)

    def add(self, loss: float, logits: np.ndarray, labels: np.ndarray) -> None:
        """Count one batch, whose mean loss is `loss`."""
        n = len(labels)
        self.samples += n
        self._sums["loss"] += loss * n
        for name, metric in self._metrics.items():
            value = np.asarray(metric(logits, labels), dtype=np.float64)
            self._sums[name] += float(value.sum()) if value.ndim else float(value) * n

    def result(self, prefix: str = "") -> dict[str, float]:
        """{"loss": …, "accuracy": …}, each name with `prefix` before it."""
        return {prefix + name: total / max(self.samples, 1) for name, total in self._sums.items()}
