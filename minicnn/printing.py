"""How tensors look in a terminal: PyTorch's way, `tensor([[1., 2.]], requires_grad=True)`."""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn.autograd import Variable

_options: dict[str, Any] = {
    "precision": 4, "threshold": 1000, "edgeitems": 3, "max_line_width": 80,
}  # fmt: skip


def set_printoptions(
    precision: int = 4, threshold: int = 1000, edgeitems: int = 3, linewidth: int = 80
) -> None:
    """Digits after the point, elements before summarising, edge items kept, and line width."""
    _options.update(
        precision=precision, threshold=threshold, edgeitems=edgeitems, max_line_width=linewidth
    )


def tensor_text(x: Variable, prefix: str = "tensor(") -> str:
    """The text of `repr(tensor)`."""
    array: Any = x.array
    if array.size == 0:
        body = "[]" if array.ndim == 1 else f"[], size={array.shape}"
    else:
        body = np.array2string(
            array,
            separator=", ",
            prefix=prefix,
            suffix=")",
            formatter=_formatter(array),
            **_options,
        )
    suffixes = []
    if array.dtype not in (np.float32, np.int64, np.bool_):
        suffixes.append(f"dtype=minicnn.{array.dtype}")
    if x._node is not None:
        suffixes.append(f"grad_fn={x._node!r}")
    elif x._requires_grad:
        suffixes.append("requires_grad=True")
    return ", ".join([prefix + body, *suffixes]) + ")"


def _formatter(array: Any) -> Any:
    """How to print one element, so that columns line up: 1. for whole numbers, 1.5000, 1.5e-07."""
    if array.dtype.kind != "f":
        return {"bool": lambda v: "True" if v else "False"}
    sizes = np.abs(array[np.isfinite(array)])
    whole = bool(np.all(sizes == np.rint(sizes)))
    small, large = sizes[sizes > 0].min(initial=1.0), sizes.max(initial=0.0)
    digits = _options["precision"]
    scientific = large >= 1e8 or (not whole and (small < 1e-4 or large / small > 1000))

    def one(value: Any) -> str:
        if whole and not scientific:
            return f"{value:.0f}." if np.isfinite(value) else str(value)
        return f"{value:.{digits}{'e' if scientific else 'f'}}"

    width = max(len(one(v)) for v in array.ravel()[:: max(array.size // 1000, 1)])
    return {"float_kind": lambda v: one(v).rjust(width)}
