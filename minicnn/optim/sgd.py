"""Stochastic gradient descent."""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn.device import computing_on
from minicnn.errors import ArgumentError
from minicnn.kernels import backend_of
from minicnn.nn.module import Parameter
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
        buffer = self._buffer(array, state, group)
        backend_of(array).sgd_step(array, grad, buffer, first=first, **self._options(group))

    def _step_together(self, params: list[Parameter], group: dict[str, Any]) -> bool:
        steps = self._for_many("sgd_steps", params)
        if steps is None:
            return False
        arrays = [p.array for p in params]
        with computing_on(arrays[0]):
            states = [self._state_beside(p) for p in params]
            firsts = {state.get("momentum_buffer") is None for state in states}
            if len(firsts) > 1:
                return False  # a parameter that joined later
            buffers = None
            if group["momentum"]:
                pairs = zip(arrays, states, strict=True)
                buffers = [self._buffer(array, state, group) for array, state in pairs]
            gradients = self._gradients(params, group)
            steps(arrays, gradients, buffers, first=firsts.pop(), **self._options(group))
        for p in params:
            p._version.n += 1
        return True

    def _buffer(self, array: Any, state: dict[str, Any], group: dict[str, Any]) -> Any:
        if not group["momentum"]:
            return None
        if state.get("momentum_buffer") is None:
            state["momentum_buffer"] = Tensor(np.zeros_like(array))
        return state["momentum_buffer"].array

    def _options(self, group: dict[str, Any]) -> dict[str, Any]:
        names = ("lr", "momentum", "dampening", "weight_decay")
        return {n: float(group[n]) for n in names} | {"nesterov": bool(group["nesterov"])}
