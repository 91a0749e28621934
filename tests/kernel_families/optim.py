"""Optimizer steps: generated and hard cases, and what torch computes from them."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from helpers_kernel_oracle import Arrays, leaves
from helpers_kernels import Case, merged, shapes
from hypothesis import strategies as st

from minicnn.contract.families import optim

PLAIN, ROLLING = optim.SGD.plain, optim.SGD.rolling


class Adam(optim.Adam):
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
    def theirs(case: Case, **arrays: Any) -> Arrays:
        (param,) = leaves(arrays, "param")
        kind = torch.optim.AdamW if case.get("decoupled", False) else torch.optim.Adam
        lr, decay = case.get("lr", 0.01), case.get("weight_decay", 0.1)
        betas, eps = case.get("betas", (0.9, 0.999)), case.get("eps", 1e-8)
        adam = kind([param], lr, betas, eps, weight_decay=decay)
        for grad in arrays["steps"]:
            param.grad = torch.from_numpy(grad.copy())
            adam.step()
        moments = {name: adam.state[param][name].numpy() for name in ("exp_avg", "exp_avg_sq")}
        return {"param": param.detach().numpy(), **moments}


class SGD(optim.SGD):
    """sgd_step, three steps, against torch's SGD."""

    cases = merged(
        shape=shapes(6, 3),
        lr=st.sampled_from((0.1, 1e-3)),
        momentum=st.sampled_from((PLAIN, ROLLING, (0.9, 0.0, True), (0.6, 0.4, False))),
        weight_decay=st.sampled_from((0.0, 0.3)),
    )
    hard: ClassVar[dict[str, Case]] = {"long": {"shape": (70001,)}}

    @staticmethod
    def theirs(case: Case, **arrays: Any) -> Arrays:
        (param,) = leaves(arrays, "param")
        momentum, dampening, nesterov = case.get("momentum", ROLLING)
        lr, decay = case.get("lr", 0.01), case.get("weight_decay", 0.1)
        sgd = torch.optim.SGD([param], lr, momentum, dampening, decay, nesterov)
        for grad in arrays["steps"]:
            param.grad = torch.from_numpy(grad.copy())
            sgd.step()
        buffer = {"buffer": sgd.state[param]["momentum_buffer"].numpy()} if momentum else {}
        return {"param": param.detach().numpy(), **buffer}
