"""Stochastic gradient descent."""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn.errors import ArgumentError
from minicnn.kernels import backend_of
from minicnn.optim.optimizer import Optimizer
from minicnn.tensor import Tensor


class SGD(Optimizer):
    """v ← momentum·v + (1-dampening)·(g + weight_decay·w);  w ← w - lr·v.

    With `nesterov`, the step goes along g + momentum·v. v starts as the first gradient.
    Source: Sutskever et al. 2013, in PyTorch's formulation.
    """

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        defaults = {
            "lr": lr, "momentum": momentum, "dampening": dampening,
            "weight_decay": weight_decay, "nesterov": nesterov, "maximize": maximize,
            "foreach": foreach, "differentiable": differentiable, "fused": fused,
        }  # fmt: skip
        super().__init__(params, defaults)

    def _check(self, options: dict[str, Any]) -> None:
        super()._check(options)
        if options["nesterov"] and (options["momentum"] <= 0 or options["dampening"] != 0):
            raise ArgumentError(
                "SGD: nesterov needs momentum > 0 and dampening = 0. Use momentum=0.9, dampening=0."
            )

    def _update(self, array: Any, grad: Any, state: dict[str, Any], group: dict[str, Any]) -> None:
        first = state.get("momentum_buffer") is None
        buffer = None
        if group["momentum"]:
            if first:
                state["momentum_buffer"] = Tensor(np.zeros_like(array))
            buffer = state["momentum_buffer"].array
        backend_of(array).sgd_step(
            array,
            grad,
            buffer,
            lr=float(group["lr"]),
            momentum=float(group["momentum"]),
            dampening=float(group["dampening"]),
            weight_decay=float(group["weight_decay"]),
            nesterov=bool(group["nesterov"]),
            first=first,
        )
