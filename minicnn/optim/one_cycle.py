"""OneCycleLR: the rate up and down once, and momentum the other way."""

from __future__ import annotations

import math
from typing import Any

from minicnn.errors import ArgumentError
from minicnn.optim.optimizer import Optimizer
from minicnn.optim.scheduler import LRScheduler, check_optimizer, count, per_group


class OneCycleLR(LRScheduler):
    """Up from max_lr/div_factor to max_lr, then down to 1/final_div_factor of the start, per batch.

    Momentum (or β₁) goes the other way: where steps are large, less of the past is carried along.
    Call `step` after every batch, `total_steps` times at most. Source: Smith & Topin 2019,
    "Super-convergence".

    Args:
        max_lr: the highest rate, for all groups or a list.
        total_steps: the length of the cycle; or give `epochs` and `steps_per_epoch`.
        pct_start: the share of steps that go up.
        anneal_strategy: "cos" or "linear".
        cycle_momentum: also move momentum from `max_momentum` to `base_momentum` and back.
        div_factor, final_div_factor: as above.
        three_phase: come down to the start as long as it went up, then to the end.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | list[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: float | list[float] = 0.85,
        max_momentum: float | list[float] = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ) -> None:
        check_optimizer(self, optimizer)
        if total_steps is None:
            if epochs is None or steps_per_epoch is None:
                raise ArgumentError(
                    "OneCycleLR: give total_steps, or epochs and steps_per_epoch."
                    " Use steps_per_epoch=len(loader)."
                )
            count(self, epochs=epochs, steps_per_epoch=steps_per_epoch)
            total_steps = epochs * steps_per_epoch
        count(self, total_steps=total_steps)
        if not 0 <= pct_start <= 1:
            raise ArgumentError(
                f"OneCycleLR: pct_start must be from 0 to 1, got {pct_start}. Use 0.3, the default."
            )
        if anneal_strategy not in ("cos", "linear"):
            raise ArgumentError(
                f'OneCycleLR: anneal_strategy must be "cos" or "linear", got {anneal_strategy!r}.'
                " Use one of the two."
            )
        self.total_steps, self.anneal_strategy = total_steps, anneal_strategy
        self.cycle_momentum = cycle_momentum
        self._turns = self._find_turns(pct_start, three_phase)
        peaks = per_group(self, "max_lr", max_lr, optimizer)
        if last_epoch == -1:
            for group, peak in zip(optimizer.param_groups, peaks, strict=True):
                start = peak / div_factor
                group.update(initial_lr=start, max_lr=peak, min_lr=start / final_div_factor)
        if cycle_momentum:
            self._prepare_momentum(optimizer, base_momentum, max_momentum, last_epoch)
        super().__init__(optimizer, last_epoch)

    def _find_turns(self, pct_start: float, three_phase: bool) -> list[list[Any]]:
        """[step, rate there, momentum there] at the ends of the phases, named by group entries."""
        top = float(pct_start * self.total_steps) - 1
        turns: list[list[Any]] = [[0.0, "initial_lr", "max_momentum"]]
        turns.append([top, "max_lr", "base_momentum"])
        if three_phase:
            turns.append([2 * top, "initial_lr", "max_momentum"])
        turns.append([float(self.total_steps - 1), "min_lr", "max_momentum"])
        return turns

    def _prepare_momentum(self, optimizer: Optimizer, base: Any, top: Any, last_epoch: int) -> None:
        if not {"momentum", "betas"} & optimizer.defaults.keys():
            raise ArgumentError(
                f"OneCycleLR: {type(optimizer).__name__} has neither momentum nor betas to cycle. "
                "Pass cycle_momentum=False."
            )
        bases = per_group(self, "base_momentum", base, optimizer)
        tops = per_group(self, "max_momentum", top, optimizer)
        if last_epoch == -1:
            for group, low, high in zip(optimizer.param_groups, bases, tops, strict=True):
                group.update(base_momentum=low, max_momentum=high)

    def get_lr(self) -> list[float]:
        """The rates at step `last_epoch`; sets the momentum too."""
        step = self.last_epoch
        if step > self.total_steps:
            raise ArgumentError(
                f"OneCycleLR: step {step} is beyond the cycle's {self.total_steps} steps. "
                "Make total_steps the number of batches in all epochs."
            )
        phase = next(
            (i for i, turn in enumerate(self._turns[1:-1]) if step <= turn[0]),
            len(self._turns) - 2,
        )
        (begin, *start), (finish, *end) = self._turns[phase : phase + 2]
        share = (step - begin) / (finish - begin) if finish != begin else 1.0
        if self.anneal_strategy == "cos":
            share = (1 - math.cos(math.pi * share)) / 2
        lrs: list[Any] = []
        for group in self.optimizer.param_groups:
            lr, momentum = (
                group[a] + (group[b] - group[a]) * share if a in group else None
                for a, b in zip(start, end, strict=True)
            )
            lrs.append(lr)
            if not self.cycle_momentum:
                continue
            if "betas" in group:
                group["betas"] = (momentum, *group["betas"][1:])
            else:
                group["momentum"] = momentum
        return lrs
