"""Batch normalisation: generated and hard cases, and what torch computes from them."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from helpers_kernel_oracle import Arrays, with_grads
from helpers_kernels import Case, merged
from hypothesis import strategies as st

from minicnn.contract.families import norm


def _case(*shape: int, **more: Any) -> Case:
    return {"shape": shape, "weight": True, "bias": True, **more}


class BatchNorm(norm.BatchNorm):
    """batch_moments, batch_norm and its two gradients, with the batch's own statistics."""

    # Of two values per channel hardly a gradient is left: what is, is rounding error.
    cases = merged(
        shape=st.tuples(st.integers(6, 12), st.integers(1, 5), st.sampled_from((1, 2, 9, 41, 50))),
        weight=st.booleans(),
        bias=st.booleans(),
        eps=st.sampled_from((1e-5, 1e-2, 1.0)),
        mean=st.sampled_from((0, 3, -30)),
    )
    hard: ClassVar[dict[str, Case]] = {
        "rows": _case(64, 1100, 1),
        "rows of three channels": _case(900, 3, 1),
        "few pixels": _case(33, 75, 9),
        "just short of a plane": _case(5, 7, 39),
        "just a plane": _case(5, 7, 40),
        "planes": _case(7, 12, 900),
        "one image": _case(1, 5, 4000),
        "planes of several runs": _case(2, 3, 9001),
        "nearly equal values": _case(6, 4, 50, spread=1e-3, eps=1e-5),
    }

    @staticmethod
    def theirs(case: Case, **arrays: Any) -> Arrays:
        """In float64: where x has a large mean, torch's own float32 is the worse of the two."""
        dtype, (x, weight, bias) = arrays["x"].dtype, (arrays[n] for n in ("x", "weight", "bias"))
        x, weight, bias = (
            None if a is None else torch.from_numpy(a).double().requires_grad_()
            for a in (x, weight, bias)
        )
        C = case["shape"][1]
        if weight is None:
            weight = torch.ones(C, dtype=torch.float64, requires_grad=True)
        if bias is None:
            bias = torch.zeros(C, dtype=torch.float64, requires_grad=True)
        y = F.batch_norm(x, None, None, weight, bias, True, eps=case.get("eps", 0.1))
        dy = arrays["dy"].astype("float64")
        found = with_grads(y, dy, dx=x, dweight=weight, dbias=bias)
        var, mean = torch.var_mean(x.detach(), (0, 2), correction=0)
        found |= {"mean": mean.numpy(), "var": var.numpy()}
        return {name: array.astype(dtype) for name, array in found.items()}
