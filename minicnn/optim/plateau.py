"""ReduceLROnPlateau: a lower rate when progress stops."""

from __future__ import annotations

import math
from typing import Any

from minicnn.errors import ArgumentError
from minicnn.optim.optimizer import Optimizer
from minicnn.optim.scheduler import LRScheduler, check_optimizer, per_group


class ReduceLROnPlateau(LRScheduler):
    """lr ← factor·lr when a metric has not improved for more than `patience` epochs.

    Args:
        mode: "min" if lower is better, else "max".
        factor: below 1.
        threshold: how much better counts: a share of the best ("rel"), or a number ("abs").
        cooldown: epochs to wait after a reduction before counting again.
        min_lr: the least rate, for all groups or a list.
        eps: a reduction by less is left out.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float | list[float] = 0,
        eps: float = 1e-8,
    ) -> None:
        check_optimizer(self, optimizer)
        if factor >= 1:
            raise ArgumentError(
                f"ReduceLROnPlateau: factor must be below 1, got {factor}. Use 0.1, the default."
            )
        if mode not in ("min", "max"):
            raise ArgumentError(
                f'ReduceLROnPlateau: mode must be "min" or "max", got {mode!r}. Use one of the two.'
            )
        if threshold_mode not in ("rel", "abs"):
            raise ArgumentError(
                f'ReduceLROnPlateau: threshold_mode must be "rel" or "abs", got {threshold_mode!r}.'
                " Use one of the two."
            )
        self.optimizer, self.factor, self.patience, self.cooldown = (
            optimizer, factor, patience, cooldown,
        )  # fmt: skip
        self.mode, self.threshold, self.threshold_mode, self.eps = (
            mode, threshold, threshold_mode, eps,
        )  # fmt: skip
        self.min_lrs = per_group(self, "min_lr", min_lr, optimizer)
        self.best = math.inf if mode == "min" else -math.inf
        self.num_bad_epochs = self.cooldown_counter = self.last_epoch = 0
        self._last_lr = [group["lr"] for group in optimizer.param_groups]

    def step(self, metrics: Any) -> None:  # type: ignore[override]
        """Take note of this epoch's metric, a number or a tensor of one element."""
        self.last_epoch += 1
        current = float(metrics)
        if self._is_better(current):
            self.best, self.num_bad_epochs = current, 0
        else:
            self.num_bad_epochs += 1
        if self.cooldown_counter > 0:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            self._reduce()
            self.cooldown_counter, self.num_bad_epochs = self.cooldown, 0
        self._last_lr = [group["lr"] for group in self.optimizer.param_groups]

    def _is_better(self, current: float) -> bool:
        sign = -1 if self.mode == "min" else 1
        if self.threshold_mode == "rel":
            bar = self.best * (1 + sign * self.threshold)
        else:
            bar = self.best + sign * self.threshold
        return sign * current > sign * bar

    def _reduce(self) -> None:
        for group, least in zip(self.optimizer.param_groups, self.min_lrs, strict=True):
            lr = max(group["lr"] * self.factor, least)
            if group["lr"] - lr > self.eps:
                group["lr"] = lr
