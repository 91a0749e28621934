"""Activations: generated and hard cases, and what torch computes from them."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from helpers_kernel_oracle import Arrays, leaves, with_grads
from helpers_kernels import Case, merged, shapes
from hypothesis import strategies as st

from minicnn.contract.families import activation


class ReLU(activation.ReLU):
    """relu and its gradient."""

    cases = merged(shape=shapes(7, 4))
    hard: ClassVar[dict[str, Case]] = {
        "zeros, infinities, NaN": {"shape": (2, 3), "values": [0.0, -0.0, np.inf, -np.inf, np.nan]},
        "long": {"shape": (3, 70001)},
    }

    @staticmethod
    def theirs(case: Case, **arrays: Any) -> Arrays:
        (x,) = leaves(arrays, "x")
        return with_grads(F.relu(x), arrays["dy"], dx=x)


class Hardtanh(activation.Hardtanh):
    """hardtanh and its gradient."""

    limits = st.sampled_from(((-1.0, 1.0), (0.0, 6.0), (-0.3, 0.7), (1.0, 1.0)))
    cases = merged(shape=shapes(7, 4), limits=limits)
    hard: ClassVar[dict[str, Case]] = {
        "at the limits": {
            "shape": (3, 3), "limits": (-0.5, 2.0), "values": [-0.5, 2.0, np.inf, -np.inf, 0.0]
        },
        "long": {"shape": (3, 70001), "limits": (-0.3, 0.4)},
    }  # fmt: skip

    @staticmethod
    def theirs(case: Case, **arrays: Any) -> Arrays:
        (x,) = leaves(arrays, "x")
        return with_grads(F.hardtanh(x, *case["limits"]), arrays["dy"], dx=x)


class LeakyReLU(activation.LeakyReLU):
    """leaky_relu and its gradient."""

    cases = merged(shape=shapes(7, 4), slope=st.sampled_from((0.01, 0.2, -0.5, 2.0)))
    hard: ClassVar[dict[str, Case]] = {
        "zeros, infinities": {
            "shape": (2, 3),
            "slope": 0.3,
            "values": [0.0, -0.0, np.inf, -np.inf],
        },
        "long": {"shape": (3, 70001), "slope": 0.1},
    }

    @staticmethod
    def theirs(case: Case, **arrays: Any) -> Arrays:
        (x,) = leaves(arrays, "x")
        return with_grads(F.leaky_relu(x, case["slope"]), arrays["dy"], dx=x)


class ELU(activation.ELU):
    """elu and its gradient."""

    cases = merged(
        shape=shapes(7, 4),
        alpha=st.sampled_from((1.0, 0.3, -1.5)),
        scale=st.sampled_from((0.01, 1, 50)),
    )
    hard: ClassVar[dict[str, Case]] = {
        "zeros, infinities, far": {
            "shape": (2, 4), "alpha": 0.7,
            "values": [0.0, -0.0, np.inf, -np.inf, -80.0, -800.0, 800.0],
        },
        "long": {"shape": (3, 70001), "alpha": 1.0},
    }  # fmt: skip

    @staticmethod
    def theirs(case: Case, **arrays: Any) -> Arrays:
        (x,) = leaves(arrays, "x")
        return with_grads(F.elu(x, case["alpha"]), arrays["dy"], dx=x)


class Bounded(activation.Bounded):
    """sigmoid and tanh, whose gradients need the output alone."""

    cases = merged(
        shape=shapes(7, 4),
        name=st.sampled_from(("sigmoid", "tanh")),
        scale=st.sampled_from((0.01, 1, 50)),
    )
    far: ClassVar[list[float]] = [0.0, -0.0, np.inf, -np.inf, 90.0, -90.0, 800.0, -800.0]
    hard: ClassVar[dict[str, Case]] = {
        "sigmoid, far": {"shape": (2, 5), "name": "sigmoid", "values": far},
        "tanh, far": {"shape": (2, 5), "name": "tanh", "values": far},
        "sigmoid, long": {"shape": (3, 70001), "name": "sigmoid"},
        "tanh, long": {"shape": (3, 70001), "name": "tanh"},
    }

    @staticmethod
    def theirs(case: Case, **arrays: Any) -> Arrays:
        (x,) = leaves(arrays, "x")
        return with_grads(getattr(torch, case["name"])(x), arrays["dy"], dx=x)


class Gated(activation.Gated):
    """silu and both forms of gelu: x times a share of it."""

    functions: ClassVar[dict[str, Any]] = {
        "silu": F.silu,
        "none": F.gelu,
        "tanh": lambda x: F.gelu(x, approximate="tanh"),
    }
    cases = merged(
        shape=shapes(7, 4),
        name=st.sampled_from(tuple(functions)),
        scale=st.sampled_from((0.01, 1, 20)),
    )
    hard: ClassVar[dict[str, Case]] = {
        f"{name}, {what}": {"name": name, **more}
        for name in functions
        for what, more in {
            "far": {"shape": (2, 4), "values": [0.0, -0.0, 90.0, -90.0, 1e4, -1e4, 6.5, -6.5]},
            "long": {"shape": (3, 70001)},
        }.items()
    }

    @staticmethod
    def theirs(case: Case, **arrays: Any) -> Arrays:
        (x,) = leaves(arrays, "x")
        return with_grads(Gated.functions[case["name"]](x), arrays["dy"], dx=x)
