"""Linear layers: their cases, arrays and calls."""

from __future__ import annotations

from typing import Any, ClassVar

from minicnn.contract.cases import Arrays, Case, numbers


def _sizes(batch: int, i: int, o: int, bias: bool = False, **more: Any) -> Case:
    return {"batch": batch, "i": i, "o": o, "bias": bias, **more}


class Linear:
    """linear and its input, weight and bias gradients."""

    examples: ClassVar[dict[str, Case]] = {
        "one number": _sizes(1, 1, 1),
        "one number and a bias": _sizes(1, 1, 1, True),
        "two inputs": _sizes(1, 2, 1),
        "two outputs": _sizes(1, 1, 2, True),
        "two inputs, two outputs": _sizes(1, 2, 2),
        "two rows": _sizes(2, 1, 1, True),
        "all sizes differ": _sizes(2, 4, 3, True),
        "no row at all": _sizes(0, 3, 2, True),
        "fractions": _sizes(5, 17, 6, True, seed=1),
    }

    @staticmethod
    def arrays(case: Case, dtype: str) -> Arrays:
        draw, batch, i, o = numbers(case, dtype), case["batch"], case["i"], case["o"]
        b = draw(o) if case["bias"] else None
        return {"x": draw(batch, i), "w": draw(o, i), "b": b, "dy": draw(batch, o)}

    @staticmethod
    def ours(k: Any, case: Case, x: Any, w: Any, b: Any, dy: Any) -> Arrays:
        return {
            "y": k.linear(x, w, b),
            "dx": k.linear_input_grad(dy, w),
            "dw": k.linear_weight_grad(dy, x),
            **({} if b is None else {"db": k.linear_bias_grad(dy)}),
        }
