"""Learning rates that change while training: `scheduler.step()` after each epoch, or each batch.

A scheduler multiplies, or replaces, the "lr" of its optimizer's groups. Most compute the next rate
from the present one, not from the first, so that several on one optimizer work together.
Source of names and semantics: `torch.optim.lr_scheduler`.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from minicnn.errors import ArgumentError, CheckpointError
from minicnn.optim.one_cycle import OneCycleLR
from minicnn.optim.optimizer import Optimizer
from minicnn.optim.plateau import ReduceLROnPlateau
from minicnn.optim.scheduler import LRScheduler, check_optimizer, count, per_group

__all__ = [
    "CosineAnnealingLR",
    "ExponentialLR",
    "LRScheduler",
    "LambdaLR",
    "LinearLR",
    "MultiStepLR",
    "OneCycleLR",
    "ReduceLROnPlateau",
    "SequentialLR",
    "StepLR",
]


class StepLR(LRScheduler):
    """lr ← gamma·lr every `step_size` epochs."""

    def __init__(
        self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1
    ) -> None:
        count(self, step_size=step_size)
        self.step_size, self.gamma = step_size, gamma
        super().__init__(optimizer, last_epoch)

    def _next(self, lr: float, base_lr: float) -> float:
        due = self.last_epoch > 0 and self.last_epoch % self.step_size == 0
        return lr * self.gamma if due else lr


class MultiStepLR(LRScheduler):
    """lr ← gamma·lr at each of the `milestones`; one that is named twice counts twice."""

    def __init__(
        self,
        optimizer: Optimizer,
        milestones: Iterable[int],
        gamma: float = 0.1,
        last_epoch: int = -1,
    ) -> None:
        self.milestones, self.gamma = sorted(milestones), gamma
        super().__init__(optimizer, last_epoch)

    def _next(self, lr: float, base_lr: float) -> float:
        return lr * self.gamma ** self.milestones.count(self.last_epoch)


class ExponentialLR(LRScheduler):
    """lr ← gamma·lr every epoch."""

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1) -> None:
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def _next(self, lr: float, base_lr: float) -> float:
        return lr if self._is_initial else lr * self.gamma


class LambdaLR(LRScheduler):
    """lr = initial lr · lr_lambda(epoch), with one function for all groups or a list of them.

    `state_dict` leaves the functions out: give the same ones when going on.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        lr_lambda: Callable[[int], float] | Sequence[Callable[[int], float]],
        last_epoch: int = -1,
    ) -> None:
        check_optimizer(self, optimizer)
        self.lr_lambdas = per_group(self, "lr_lambda", lr_lambda, optimizer)
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """The initial rates times the functions' values."""
        pairs = zip(self.base_lrs, self.lr_lambdas, strict=True)
        return [base_lr * factor(self.last_epoch) for base_lr, factor in pairs]

    def state_dict(self) -> dict[str, Any]:
        """The state without the functions."""
        return {key: value for key, value in super().state_dict().items() if key != "lr_lambdas"}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from what `state_dict` returned, with the functions given here."""
        super().load_state_dict({**state_dict, "lr_lambdas": self.lr_lambdas})


class LinearLR(LRScheduler):
    """lr = initial lr · a factor that goes in a straight line from `start_factor` to `end_factor`.

    It gets there after `total_iters` epochs and stays. For warming up: large steps are only safe
    once the averages that scale them have settled.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: float = 1 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        if not 0 < start_factor <= 1:
            raise ArgumentError(
                f"LinearLR: start_factor must be above 0 and at most 1, got {start_factor}."
                " Use 1/3, the default."
            )
        if not 0 <= end_factor <= 1:
            raise ArgumentError(
                f"LinearLR: end_factor must be from 0 to 1, got {end_factor}. Use 1, the default."
            )
        self.start_factor, self.end_factor = start_factor, end_factor
        self.total_iters = total_iters
        super().__init__(optimizer, last_epoch)

    def _next(self, lr: float, base_lr: float) -> float:
        if self.last_epoch == 0:
            return lr * self.start_factor
        if self._is_initial or self.last_epoch > self.total_iters:
            return lr
        rise = self.end_factor - self.start_factor  # over all epochs; 1/total_iters of it in each
        before = self.start_factor * self.total_iters + rise * (self.last_epoch - 1)
        return lr * (1 + rise / before)


class CosineAnnealingLR(LRScheduler):
    """lr = eta_min + (initial lr - eta_min)·(1 + cos(π·epoch/T_max))/2.

    From the initial rate down to `eta_min` in `T_max` epochs, slowly at both ends; going on, up
    again. Source: Loshchilov & Hutter 2017, "SGDR", without its restarts.
    """

    def __init__(
        self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1
    ) -> None:
        count(self, T_max=T_max)
        self.T_max, self.eta_min = T_max, eta_min
        super().__init__(optimizer, last_epoch)

    def _height(self, epoch: int) -> float:
        """1 + cos: from 2 at epoch 0 to 0 at T_max."""
        return 1 + math.cos(math.pi * epoch / self.T_max)

    def _next(self, lr: float, base_lr: float) -> float:
        if self._is_initial:
            return lr
        if (self.last_epoch - 1) % (2 * self.T_max) == self.T_max:
            # At the bottom there is nothing left to be in proportion to: begin the way up.
            return lr + (base_lr - self.eta_min) * self._height(self.T_max - 1) / 2
        proportion = self._height(self.last_epoch) / self._height(self.last_epoch - 1)
        return self.eta_min + (lr - self.eta_min) * proportion


class SequentialLR(LRScheduler):
    """One scheduler after the other: the next takes over, from its start, at each milestone.

    Args:
        schedulers: all of the same optimizer.
        milestones: one fewer than schedulers, rising: the epochs of the changes.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        schedulers: Sequence[LRScheduler],
        milestones: Sequence[int],
        last_epoch: int = -1,
    ) -> None:
        check_optimizer(self, optimizer)
        self._schedulers, self._milestones = list(schedulers), list(milestones)
        for i, scheduler in enumerate(self._schedulers):
            if not isinstance(scheduler, LRScheduler) or isinstance(scheduler, ReduceLROnPlateau):
                raise ArgumentError(
                    f"SequentialLR: item {i} is a {type(scheduler).__name__}, which does not step "
                    "by epochs alone."
                    " Step that one by hand."
                )
            if scheduler.optimizer is not optimizer:
                raise ArgumentError(
                    f"SequentialLR: scheduler {i}, a {type(scheduler).__name__}, belongs to "
                    "another optimizer."
                    " Make all of the same."
                )
        if len(self._milestones) != len(self._schedulers) - 1:
            raise ArgumentError(
                f"SequentialLR: {len(self._schedulers)} schedulers need "
                f"{len(self._schedulers) - 1} milestones, got {len(self._milestones)}."
                " Each milestone starts the next scheduler."
            )
        self.optimizer, self.last_epoch = optimizer, last_epoch + 1
        # Each scheduler took its first step when it was made; only the first one is to begin.
        self._rewind()
        self._start()

    def _rewind(self, last_epoch: int | None = None) -> None:
        super()._rewind(last_epoch)
        for scheduler in self._schedulers:
            scheduler._rewind(last_epoch)

    def _start(self) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = group["initial_lr"]
        self.last_epoch += 1
        first = self._schedulers[bisect_right(self._milestones, 0)]
        first._start()
        self._last_lr = first.get_last_lr()

    def _restart(self) -> None:
        self._rewind(-1)
        self._start()

    def step(self) -> None:
        """Go to the next epoch."""
        self.last_epoch += 1
        index = bisect_right(self._milestones, self.last_epoch)
        scheduler = self._schedulers[index]
        if index and self._milestones[index - 1] == self.last_epoch:
            scheduler._restart()
        else:
            scheduler.step()
        self._last_lr = scheduler.get_last_lr()

    def state_dict(self) -> dict[str, Any]:
        """The state, with that of each scheduler."""
        state = super().state_dict()
        return {**state, "_schedulers": [each.state_dict() for each in self._schedulers]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from what `state_dict` returned."""
        schedulers = self._schedulers
        states = state_dict.get("_schedulers", [])
        if len(states) != len(schedulers):
            raise CheckpointError(
                f"SequentialLR.load_state_dict: a state of {len(states)} schedulers does not fit "
                f"{len(schedulers)}."
                " Build it as it was when the state was saved."
            )
        for scheduler, state in zip(schedulers, states, strict=True):
            scheduler.load_state_dict(state)
        super().load_state_dict({**state_dict, "_schedulers": schedulers})
