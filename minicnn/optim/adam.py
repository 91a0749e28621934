"""Adam: steps scaled by running averages of the gradient and its square."""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn.device import computing_on
from minicnn.errors import ArgumentError
from minicnn.kernels import backend_of
from minicnn.nn.module import Parameter
from minicnn.optim.optimizer import Optimizer
from minicnn.tensor import Tensor


class Adam(Optimizer):
    """m ← β₁m + (1-β₁)g;  v ← β₂v + (1-β₂)g²;  w ← w - lr·m̂/(√v̂ + eps).

    m̂ = m/(1-β₁ᵗ) and v̂ = v/(1-β₂ᵗ) undo the start from zero. `weight_decay` adds decay·w to g, or
    with `decoupled_weight_decay` shrinks w as in AdamW. `amsgrad` takes the largest v so far, so
    that steps never grow again (Reddi, Kale & Kumar 2018). Source: Kingma & Ba 2015. One fused pass
    over memory on the numba rung, and one launch for all parameters on a GPU, but for amsgrad.
    """

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        decoupled_weight_decay: bool = False,
    ) -> None:
        defaults = {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay,
            "amsgrad": amsgrad, "maximize": maximize, "foreach": foreach, "capturable": capturable,
            "differentiable": differentiable, "fused": fused,
            "decoupled_weight_decay": decoupled_weight_decay,
        }  # fmt: skip
        super().__init__(params, defaults)

    def _check(self, options: dict[str, Any]) -> None:
        super()._check(options)
        betas = options["betas"]
        pair = isinstance(betas, tuple | list) and len(betas) == 2
        if not pair or not all(0 <= beta < 1 for beta in betas):
            raise ArgumentError(
                f"{type(self).__name__}: betas must be two numbers in [0, 1), got {betas}."
                " Use betas=(0.9, 0.999)."
            )

    def _update(self, array: Any, grad: Any, state: dict[str, Any], group: dict[str, Any]) -> None:
        self._start(array, state, group)
        state["step"].array[...] += 1
        options = self._options(state, group)
        moments = state["exp_avg"].array, state["exp_avg_sq"].array
        if group["amsgrad"]:
            _amsgrad_step(array, grad, *moments, state["max_exp_avg_sq"].array, **options)
        else:
            backend_of(array).adam_step(array, grad, *moments, **options)

    def _step_together(self, params: list[Parameter], group: dict[str, Any]) -> bool:
        steps = None if group["amsgrad"] else self._for_many("adam_steps", params)
        if steps is None:
            return False
        arrays = [p.array for p in params]
        with computing_on(arrays[0]):
            states = [self._state_beside(p) for p in params]
            for array, state in zip(arrays, states, strict=True):
                self._start(array, state, group)
            if len({state["step"].item() for state in states}) > 1:
                return False  # a parameter that joined later: its corrections are others
            for state in states:
                state["step"].array[...] += 1
            moments = (
                [state[name].array for state in states] for name in ("exp_avg", "exp_avg_sq")
            )
            options = self._options(states[0], group)
            steps(arrays, self._gradients(params, group), *moments, **options)
        for p in params:
            p._version.n += 1
        return True

    def _start(self, array: Any, state: dict[str, Any], group: dict[str, Any]) -> None:
        if not state:
            # A tensor, as PyTorch keeps it, so that state dicts pass both ways.
            state["step"] = Tensor(np.zeros((), np.float32))
            state["exp_avg"] = Tensor(np.zeros_like(array))
            state["exp_avg_sq"] = Tensor(np.zeros_like(array))
            if group["amsgrad"]:
                state["max_exp_avg_sq"] = Tensor(np.zeros_like(array))

    def _options(self, state: dict[str, Any], group: dict[str, Any]) -> dict[str, Any]:
        return {
            "step": int(state["step"].item()),
            "lr": float(group["lr"]),
            "beta1": float(group["betas"][0]),
            "beta2": float(group["betas"][1]),
            "eps": float(group["eps"]),
            "weight_decay": float(group["weight_decay"]),
            "decoupled": bool(group["decoupled_weight_decay"]),
        }


def _amsgrad_step(
    param: Any,
    grad: Any,
    exp_avg: Any,
    exp_avg_sq: Any,
    largest: Any,
    *,
    step: int,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    decoupled: bool,
) -> None:
    """`adam_step` with the largest v so far, which it keeps in `largest`, in place of v."""
    if weight_decay and decoupled:
        param *= 1 - lr * weight_decay
    elif weight_decay:
        grad = grad + weight_decay * param
    exp_avg += (1 - beta1) * (grad - exp_avg)
    exp_avg_sq += (1 - beta2) * (grad * grad - exp_avg_sq)
    np.maximum(largest, exp_avg_sq, out=largest)
    denominator = np.sqrt(largest) / (1 - beta2**step) ** 0.5 + eps
    param -= lr / (1 - beta1**step) * (exp_avg / denominator)


class AdamW(Adam):
    """Adam whose weight decay shrinks the weights directly, w ← w - lr·decay·w, not through g.

    Source: Loshchilov & Hutter 2019.
    """

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        super().__init__(
            params,
            lr,
            betas,
            eps,
            weight_decay,
            amsgrad,
            foreach=foreach,
            maximize=maximize,
            capturable=capturable,
            differentiable=differentiable,
            fused=fused,
            decoupled_weight_decay=True,
        )
