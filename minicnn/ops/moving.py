"""From one device's memory to another's, as a recorded operation."""

from __future__ import annotations

from typing import Any

from minicnn.autograd import Function, Variable
from minicnn.device import common_device, device_of, exact_device, to_device


class MoveFunction(Function):
    """y = a copy of x in another device's memory; the gradient goes back to x's."""

    @staticmethod
    def forward(ctx, x, target):
        ctx.source = device_of(x)
        return to_device(x, target)

    @staticmethod
    def backward(ctx, dy):
        return to_device(dy, ctx.source), None


def move(x: Variable, target: Any) -> Any:
    """`x` on a device: itself if it is there already."""
    wanted, source = exact_device(target), device_of(x.array)
    if wanted.type == source.type == "cpu" or wanted == source:
        return x
    return MoveFunction.apply(x, wanted)


def on_one_device(op: str, a: Any, b: Any) -> tuple[Any, Any]:
    """Both on one device: as in PyTorch a CPU tensor without dimensions goes to the other's."""
    places = device_of(a.array), device_of(b.array)
    if a.array.ndim == 0 and places[0].type == "cpu":
        a = move(a, places[1])
    elif b.array.ndim == 0 and places[1].type == "cpu":
        b = move(b, places[0])
    common_device(op, input=a.array, other=b.array)
    return a, b
