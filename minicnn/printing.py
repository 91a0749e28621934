"""How tensors look in a terminal: PyTorch's way, `tensor([[1., 2.]], requires_grad=True)`.

All elements of a tensor are written alike, in one of three styles chosen from their magnitudes:
whole numbers (`1.`), decimals (`0.5000`), or powers of ten (`1.0000e-06`) where the largest is more
than 1000 times the smallest or no decimal would show it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minicnn.autograd import Variable
from minicnn.device import beside, device_of, host
from minicnn.dtypes import bool_, get_default_dtype, int64
from minicnn.kernels import on_gpu

_options = {"precision": 4, "threshold": 1000, "edgeitems": 3, "linewidth": 80}


def set_printoptions(
    precision: int = 4, threshold: int = 1000, edgeitems: int = 3, linewidth: int = 80
) -> None:
    """Digits after the point, elements before summarising, edge items kept, and line width."""
    _options.update(
        precision=precision, threshold=threshold, edgeitems=edgeitems, linewidth=linewidth
    )


def tensor_text(x: Variable, prefix: str = "tensor(") -> str:
    """The text of `repr(tensor)`."""
    array: Any = x.array
    usual: tuple[Any, ...] = (get_default_dtype(), int64, bool_)
    suffixes = []
    if array.size == 0:
        usual = usual[:1]  # without elements nothing else tells the dtype
        body = "[]"
        if array.ndim != 1:
            suffixes.append(f"size={array.shape}")
    else:
        summarize = array.size > _options["threshold"]
        shown = host(_corners(array) if summarize else array)
        write, width = _style(shown)
        body = _block(array if summarize else shown, len(prefix), write, width, summarize)
    if on_gpu(array):
        suffixes.append(f"device='{device_of(array)}'")
    if array.dtype not in usual:
        suffixes.append(f"dtype=minicnn.{array.dtype}")
    if x._node is not None:
        suffixes.append(f"grad_fn={x._node!r}")
    elif x._requires_grad:
        suffixes.append("requires_grad=True")
    return _with_suffixes(prefix + body, suffixes, len(prefix)) + ")"


def _corners(array: Any) -> Any:
    """What a summary shows: the first and last `edgeitems` along each axis that is longer."""
    edge = _options["edgeitems"]
    for axis, size in enumerate(array.shape):
        if size > 2 * edge:
            edges = np.array([*range(edge), *range(size - edge, size)])
            array = np.take(array, beside(edges, array), axis)
    return array


def _style(array: Any) -> tuple[Callable[[Any], str], int]:
    """A function that writes one element, and the width at which columns line up."""
    if array.dtype.kind != "f":
        return str, max(len(str(v)) for v in array.ravel().tolist())
    values = array.astype(np.float64).ravel()
    values = values[np.isfinite(values) & (values != 0)]
    if not values.size:
        return _whole, 1
    precision = _options["precision"]
    least, most = np.abs(values).min(), np.abs(values).max()
    whole = bool(np.all(values == np.ceil(values)))
    with np.errstate(over="ignore"):
        powers = most / least > 1000 or most > 1e8 or (least < 1e-4 and not whole)
    write: Callable[[Any], str]
    if powers:
        write = f"{{:.{precision}e}}".format
    else:
        write = _whole if whole else f"{{:.{precision}f}}".format
    return write, max(len(write(v)) for v in values.tolist())


def _whole(value: float) -> str:
    return f"{value:.0f}." if np.isfinite(value) else str(value)


def _block(
    array: Any, indent: int, write: Callable[[Any], str], width: int, summarize: bool
) -> str:
    """`array` in nested brackets, the first of which stands in column `indent`."""
    if array.ndim == 0:
        return write(array.item()).rjust(width)
    cut = summarize and len(array) > 2 * _options["edgeitems"]
    edge = _options["edgeitems"] if cut else len(array)
    if array.ndim == 1:
        parts = [write(v).rjust(width) for v in array[:edge].tolist()]
        if cut:
            parts += [" ...", *(write(v).rjust(width) for v in array[-edge:].tolist())]
        per_line = max(1, (_options["linewidth"] - indent) // (width + 2))
        lines = [", ".join(parts[i : i + per_line]) for i in range(0, len(parts), per_line)]
        return "[" + (",\n" + " " * (indent + 1)).join(lines) + "]"
    parts = [_block(row, indent + 1, write, width, summarize) for row in array[:edge]]
    if cut:
        rest = array[-edge:]
        parts += ["...", *(_block(row, indent + 1, write, width, summarize) for row in rest)]
    return "[" + ("," + "\n" * (array.ndim - 1) + " " * (indent + 1)).join(parts) + "]"


def _with_suffixes(text: str, suffixes: list[str], indent: int) -> str:
    """Each suffix on the last line where it fits, else on a line of its own."""
    used = len(text) - text.rfind("\n") + 1
    for suffix in suffixes:
        if used + len(suffix) + 2 > _options["linewidth"]:
            text += ",\n" + " " * indent + suffix
            used = indent + len(suffix)
        else:
            text += ", " + suffix
            used += len(suffix) + 2
    return text
