"""Optimizer steps: cases, arrays, and what torch computes from them."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
from helpers_kernel_oracle import Arrays, leaves, normal
from helpers_kernels import Case, merged, shapes
from hypothesis import strategies as st


class Adam:
    """adam_step, three steps, against torch's Adam and AdamW."""

    cases = merged(
        shape=shapes(6, 3),
        lr=st.sampled_from((0.1, 1e-3)),
        betas=st.sampled_from(((0.9, 0.999), (0.5, 0.8))),
        weight_decay=st.sampled_from((0.0, 0.3)),
        decoupled=st.booleans(),
    )
    hard: ClassVar[dict[str, Case]] = {"long": {"shape": (70001,)}}

    @staticmethod
    def arrays(case: Case, dtype: str) -> Arrays:
        draw = normal(case, dtype)
        return {"param": draw(*case["shape"]), "steps": [draw(*case["shape"]) for _ in range(3)]}

    @staticmethod
    def ours(k: Any, case: Case, param: Any, steps: Any) -> Arrays:
        param, m, v = param.copy(), np.zeros_like(param), np.zeros_like(param)
        (beta1, beta2), decoupled = case.get("betas", (0.9, 0.999)), case.get("decoupled", False)
        for step, grad in enumerate(steps, start=1):
            before = grad.copy()
            k.backend.adam_step(
                param, grad, m, v, step=step, lr=case.get("lr", 0.01), beta1=beta1, beta2=beta2,
                eps=1e-8, weight_decay=case.get("weight_decay", 0.1), decoupled=decoupled,
            )  # fmt: skip
            np.testing.assert_array_equal(grad, before)
        return {"param": param, "exp_avg": m, "exp_avg_sq": v}

    @staticmethod
    def theirs(case: Case, **arrays: Any) -> Arrays:
        (param,) = leaves(arrays, "param")
        kind = torch.optim.AdamW if case.get("decoupled", False) else torch.optim.Adam
        lr, decay = case.get("lr", 0.01), case.get("weight_decay", 0.1)
        adam = kind([param], lr, case.get("betas", (0.9, 0.999)), weight_decay=decay)
        for grad in arrays["steps"]:
            param.grad = torch.from_numpy(grad.copy())
            adam.step()
        moments = {name: adam.state[param][name].numpy() for name in ("exp_avg", "exp_avg_sq")}
        return {"param": param.detach().numpy(), **moments}


class SGD(Adam):
    """sgd_step, three steps, against torch's SGD."""

    plain, rolling = (0.0, 0.0, False), (0.9, 0.0, False)
    cases = merged(
        shape=shapes(6, 3),
        lr=st.sampled_from((0.1, 1e-3)),
        momentum=st.sampled_from((plain, rolling, (0.9, 0.0, True), (0.6, 0.4, False))),
        weight_decay=st.sampled_from((0.0, 0.3)),
    )

    @staticmethod
    def ours(k: Any, case: Case, param: Any, steps: Any) -> Arrays:
        momentum, dampening, nesterov = case.get("momentum", SGD.rolling)
        param, buffer = param.copy(), np.full_like(param, np.nan) if momentum else None
        for step, grad in enumerate(steps):
            before = grad.copy()
            k.backend.sgd_step(
                param, grad, buffer, lr=case.get("lr", 0.01), momentum=momentum,
                dampening=dampening, weight_decay=case.get("weight_decay", 0.1),
                nesterov=nesterov, first=step == 0,
            )  # fmt: skip
            np.testing.assert_array_equal(grad, before)
        return {"param": param} if buffer is None else {"param": param, "buffer": buffer}

    @staticmethod
    def theirs(case: Case, **arrays: Any) -> Arrays:
        (param,) = leaves(arrays, "param")
        momentum, dampening, nesterov = case.get("momentum", SGD.rolling)
        lr, decay = case.get("lr", 0.01), case.get("weight_decay", 0.1)
        sgd = torch.optim.SGD([param], lr, momentum, dampening, decay, nesterov)
        for grad in arrays["steps"]:
            param.grad = torch.from_numpy(grad.copy())
            sgd.step()
        buffer = {"buffer": sgd.state[param]["momentum_buffer"].numpy()} if momentum else {}
        return {"param": param.detach().numpy(), **buffer}
