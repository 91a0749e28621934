"""Which layers that follow each other are computed as one: the table that `Sequential` reads.

A ReLU of its own reads and writes all that a convolution has just written. Computed as one, the
numbers pass through it on their way to memory, and the tape keeps one array instead of two. The
results are the same, to the bit; MINICNN_FUSE=0 computes all layers one by one.

A pair is left alone if someone could notice: if one of the two is of a derived class, has hooks or
a `forward` of its own.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

from minicnn.errors import MiniCNNError
from minicnn.nn.activations import ReLU
from minicnn.nn.conv import Conv2d
from minicnn.nn.module import Module
from minicnn.ops.conv import convolve
from minicnn.tensor import Tensor


def steps(modules: Iterable[Module]) -> Iterator[Callable[[Any], Any]]:
    """What to call one after the other: the modules, or a fused function for two of them."""
    rest = iter(modules)
    first = next(rest, None)
    fuse = os.environ.get("MINICNN_FUSE", "").strip() != "0"
    while first is not None:
        second = next(rest, None)
        fused = _fused(first, second) if fuse and second is not None else None
        if fused is not None:
            yield fused
            first = next(rest, None)
        else:
            yield first
            first = second


def _fused(first: Module, second: Module) -> Callable[[Any], Any] | None:
    both = _FUSED.get((type(first), type(second)))
    if both is None or not _is_plain(first) or not _is_plain(second):
        return None
    return partial(both, first, second)


def _is_plain(module: Module) -> bool:
    hooks = module._forward_pre_hooks or module._forward_hooks
    return not hooks and "forward" not in module.__dict__


def _conv_relu(conv: Any, relu: Any, x: Any) -> Any:
    if not isinstance(x, Tensor) or x.ndim != 4:
        return relu(conv(x))
    try:
        return convolve(
            conv.axes, x, conv.weight, conv.bias, conv.stride, conv.padding, conv.dilation,
            conv.groups, conv.padding_mode, then_relu=True,
        )  # fmt: skip
    except MiniCNNError as error:
        conv._locate(error)
        raise


_FUSED: dict[tuple[type[Module], type[Module]], Callable[[Any, Any, Any], Any]] = {
    (Conv2d, ReLU): _conv_relu,
}
