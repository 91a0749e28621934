"""LRScheduler: what all schedulers share - counting epochs, and their state."""

from __future__ import annotations

from typing import Any

from minicnn.errors import ArgumentError, CheckpointError
from minicnn.optim.optimizer import Optimizer


def check_optimizer(scheduler: object, optimizer: Any) -> None:
    """Raise unless `optimizer` is one."""
    if not isinstance(optimizer, Optimizer):
        raise ArgumentError(
            f"{type(scheduler).__name__}: expected an Optimizer, got {type(optimizer).__name__}."
            " Give the one whose rates it sets."
        )


def per_group(scheduler: object, name: str, value: Any, optimizer: Optimizer) -> list[Any]:
    """`value` once for each group, unless it is a list of as many."""
    groups = len(optimizer.param_groups)
    if not isinstance(value, list | tuple):
        return [value] * groups
    if len(value) != groups:
        raise ArgumentError(
            f"{type(scheduler).__name__}: {name} has {len(value)} values for {groups} groups. "
            "Give one for each, or a single one for all."
        )
    return list(value)


def count(scheduler: object, **values: Any) -> None:
    """Raise unless all values are integers of at least 1."""
    for name, value in values.items():
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise ArgumentError(
                f"{type(scheduler).__name__}: {name} must be an integer of at least 1, "
                f"got {value!r}."
                " Correct it."
            )


class LRScheduler:
    """Base class: counts epochs, and gives each group the rate that `get_lr` says.

    A subclass writes `_next`, the rate of one group, or `get_lr`, those of all.

    Args:
        optimizer: its groups' "lr" at this moment becomes their "initial_lr".
        last_epoch: to go on with an optimizer whose groups have an "initial_lr" already: the epoch
            that was finished, counted from 0. -1 starts afresh.

    Attributes:
        last_epoch: how often `step` was called.
        base_lrs: the groups' initial rates.
    """

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        check_optimizer(self, optimizer)
        self.optimizer = optimizer
        for i, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", group["lr"])
            elif "initial_lr" not in group:
                raise ArgumentError(
                    f"{type(self).__name__}: last_epoch={last_epoch} goes on with a schedule, but "
                    f'group {i} has no "initial_lr". Load the optimizer\'s state first, or leave '
                    "last_epoch out."
                )
        self.base_lrs: list[float] = [group["initial_lr"] for group in optimizer.param_groups]
        self.last_epoch = last_epoch
        self._start()

    def _start(self) -> None:
        """The first rates, for the epoch after `last_epoch`."""
        self._step_count = 0
        self._is_initial = True
        self.step()
        self._is_initial = False

    def _rewind(self, last_epoch: int | None = None) -> None:
        """Before the step that `_start` took, or another one."""
        self.last_epoch = self.last_epoch - 1 if last_epoch is None else last_epoch

    def _restart(self) -> None:
        """The rates of epoch 0, computed from the initial ones."""
        for group, base_lr in zip(self.optimizer.param_groups, self.base_lrs, strict=True):
            group["lr"] = base_lr
        self._rewind(-1)
        self._start()

    def step(self) -> None:
        """Go to the next epoch; call it after the optimizer's own step."""
        self._step_count += 1
        self.last_epoch += 1
        for group, lr in zip(self.optimizer.param_groups, self.get_lr(), strict=True):
            group["lr"] = lr
        self._last_lr = [group["lr"] for group in self.optimizer.param_groups]

    def get_lr(self) -> list[float]:
        """The rates of epoch `last_epoch`, computed from those of the epoch before."""
        groups = zip(self.optimizer.param_groups, self.base_lrs, strict=True)
        return [self._next(group["lr"], base_lr) for group, base_lr in groups]

    def _next(self, lr: float, base_lr: float) -> float:
        """The rate of epoch `last_epoch` for a group that had `lr`, and `base_lr` at first."""
        raise NotImplementedError(f"{type(self).__name__} has no get_lr()")

    def get_last_lr(self) -> list[float]:
        """The rates in force, one per group."""
        return self._last_lr

    def state_dict(self) -> dict[str, Any]:
        """All that `load_state_dict` needs, as plain values; the optimizer's state is its own."""
        return {key: value for key, value in self.__dict__.items() if key != "optimizer"}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from what `state_dict` returned."""
        missing = self.state_dict().keys() - state_dict.keys()
        if missing:
            raise CheckpointError(
                f"{type(self).__name__}.load_state_dict: the state lacks "
                f"{', '.join(sorted(missing))}; it is of another kind of scheduler"
            )
        self.__dict__.update({k: v for k, v in state_dict.items() if k != "optimizer"})
