"""Adam: steps scaled by running averages of the gradient and its square."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from minicnn.errors import ArgumentError
from minicnn.kernels import current_backend
from minicnn.optim.optimizer import Optimizer
from minicnn.tensor import Tensor


class Adam(Optimizer):
    """m ← β₁m + (1-β₁)g;  v ← β₂v + (1-β₂)g²;  w ← w - lr·m̂/(√v̂ + eps).

    m̂ = m/(1-β₁ᵗ) and v̂ = v/(1-β₂ᵗ) undo the start from zero. `weight_decay` adds decay·w to g.
    Source: Kingma & Ba 2015. One fused pass over memory on the numba rung.
    """

    decoupled: ClassVar[bool] = False

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(
            params, {"lr": lr, "betas": tuple(betas), "eps": eps, "weight_decay": weight_decay}
        )

    def _check(self, options: dict[str, Any]) -> None:
        super()._check(options)
        betas = options["betas"]
        if len(betas) != 2 or not all(0 <= beta < 1 for beta in betas):
            raise ArgumentError(
                f"{type(self).__name__}: betas must be two numbers in [0, 1), got {betas}"
            )

    def _update(self, array: Any, grad: Any, state: dict[str, Any], group: dict[str, Any]) -> None:
        if not state:
            # A tensor, as PyTorch keeps it, so that state dicts pass both ways.
            state["step"] = Tensor(np.zeros((), np.float32))
            state["exp_avg"] = Tensor(np.zeros_like(array))
            state["exp_avg_sq"] = Tensor(np.zeros_like(array))
        state["step"].array[...] += 1
        current_backend().adam_step(
            array,
            grad,
            state["exp_avg"].array,
            state["exp_avg_sq"].array,
            step=int(state["step"].item()),
            lr=float(group["lr"]),
            beta1=float(group["betas"][0]),
            beta2=float(group["betas"][1]),
            eps=float(group["eps"]),
            weight_decay=float(group["weight_decay"]),
            decoupled=self.decoupled,
        )


class AdamW(Adam):
    """Adam whose weight decay shrinks the weights directly, w ← w - lr·decay·w, not through g.

    Source: Loshchilov & Hutter 2019.
    """

    decoupled = True

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay)
