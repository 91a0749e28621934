"""Activations: their cases, arrays and calls."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np

from minicnn.contract.cases import Arrays, Case, Mistake, numbers

_FAR = [0.0, -0.0, np.inf, -np.inf, 90.0, -90.0, 800.0, -800.0]


def elementwise(**more: Any) -> dict[str, Case]:
    """Return the cases of a function of single numbers, each with `more`."""
    cases: dict[str, Case] = {
        "a negative number": {"shape": (1,), "values": [-2.0]},
        "a positive number": {"shape": (1,), "values": [3.0]},
        "zero": {"shape": (1,), "values": [0.0]},
        "a few numbers": {"shape": (5,)},
        "a table": {"shape": (2, 3)},
        "images": {"shape": (2, 1, 2, 3)},
        "nothing at all": {"shape": (0, 3)},
        "fractions": {"shape": (4, 5), "seed": 1},
        "NaN stays NaN": {"shape": (2,), "values": [np.nan, 1.0]},
    }
    return {label: case | more for label, case in cases.items()}


class Elementwise:
    """What the activations share; a subclass says which kernels are called."""

    examples: ClassVar[dict[str, Case]] = elementwise()

    @staticmethod
    def arrays(case: Case, dtype: str) -> Arrays:
        draw, values = numbers(case, dtype), case.get("values", [])
        x = draw(*case["shape"]) * np.asarray(case.get("scale", 1), dtype)
        dy = draw(*case["shape"])
        if "seed" in case:  # where all is saturated, slopes are rounding errors
            x.ravel()[:1], dy.ravel()[:1] = 0.5, 1
        x.ravel()[: len(values)] = values
        # At NaN the engine's gradients are torch's; of a student's kernel any is as good.
        return {"x": x, "dy": np.where(np.isnan(x), 0, dy)}


class ReLU(Elementwise):
    """relu and its gradient."""

    examples = elementwise() | {"infinities": {"shape": (2,), "values": [np.inf, -np.inf]}}

    @staticmethod
    def ours(k: Any, case: Case, x: Any, dy: Any) -> Arrays:
        y = k.relu(x)
        return {"y": y, "dx": k.relu_grad(dy, y)}

    @staticmethod
    def mistakes(kernel: str, args: tuple) -> Iterator[Mistake]:
        """Yield what often goes wrong here, each with what it would compute."""
        if kernel == "relu":
            yield "NaN becomes 0; it has to stay NaN.", (np.where(args[0] > 0, args[0], 0),)
        else:
            dy, y = args
            yield "dy passes where y is 0, too; it must not.", (np.where(y >= 0, dy, 0),)


class Hardtanh(Elementwise):
    """hardtanh and its gradient."""

    examples = elementwise(limits=(-1.0, 2.0)) | {
        "at the limits": {
            "shape": (5,), "limits": (-1.0, 2.0), "values": [-1.0, 2.0, np.inf, -np.inf, 0.0]
        },
        "other limits": {"shape": (5,), "limits": (0.0, 6.0)},
    }  # fmt: skip

    @staticmethod
    def ours(k: Any, case: Case, x: Any, dy: Any) -> Arrays:
        return {
            "y": k.hardtanh(x, *case["limits"]),
            "dx": k.hardtanh_grad(dy, x, *case["limits"]),
        }


class LeakyReLU(Elementwise):
    """leaky_relu and its gradient."""

    examples = elementwise(slope=0.5) | {
        "a negative slope": {"shape": (5,), "slope": -0.25},
        "infinities": {"shape": (2,), "slope": 0.5, "values": [np.inf, -np.inf]},
    }

    @staticmethod
    def ours(k: Any, case: Case, x: Any, dy: Any) -> Arrays:
        slope = case["slope"]
        return {"y": k.leaky_relu(x, slope), "dx": k.leaky_relu_grad(dy, x, slope)}


class ELU(Elementwise):
    """elu and its gradient."""

    examples = elementwise(alpha=1.0) | {
        "another alpha": {"shape": (5,), "alpha": 0.5},
        "small numbers keep their digits": {"shape": (3,), "alpha": 1.0, "scale": 1e-4},
        "far from zero": {"shape": (8,), "alpha": 1.0, "values": _FAR},
    }

    @staticmethod
    def ours(k: Any, case: Case, x: Any, dy: Any) -> Arrays:
        alpha = case["alpha"]
        return {"y": k.elu(x, alpha), "dx": k.elu_grad(dy, x, alpha)}


class Bounded(Elementwise):
    """sigmoid and tanh, whose gradients need the output alone."""

    examples: ClassVar[dict[str, Case]] = {
        f"{name}: {label}": case
        for name in ("sigmoid", "tanh")
        for label, case in (
            elementwise(name=name, scale=0.25)
            | {"far from zero": {"shape": (9,), "name": name, "scale": 0.25, "values": _FAR}}
        ).items()
    }

    @staticmethod
    def ours(k: Any, case: Case, x: Any, dy: Any) -> Arrays:
        if case["name"] == "sigmoid":
            y = k.sigmoid(x)
            return {"y": y, "dx": k.sigmoid_grad(dy, y)}
        y = k.tanh(x)
        return {"y": y, "dx": k.tanh_grad(dy, y)}


class Gated(Elementwise):
    """silu and both forms of gelu: x times a share of it."""

    examples: ClassVar[dict[str, Case]] = {
        f"{'' if name == 'silu' else 'approximate='}{name}: {label}": case
        for name in ("silu", "none", "tanh")
        for label, case in (
            elementwise(name=name, scale=0.25)
            | {"far from zero": {"shape": (5,), "name": name, "values": [0.0, 90, -90, 1e4, -1e4]}}
        ).items()
    }

    @staticmethod
    def ours(k: Any, case: Case, x: Any, dy: Any) -> Arrays:
        if case["name"] == "silu":
            return {"y": k.silu(x), "dx": k.silu_grad(dy, x)}
        return {"y": k.gelu(x, case["name"]), "dx": k.gelu_grad(dy, x, case["name"])}
