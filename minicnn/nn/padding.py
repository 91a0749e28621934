"""Padding layers: `nn.functional.pad` of the last axis, or the last two, in one mode each.

`padding` is one integer for all sides, or (left, right) of a signal, (left, right, top, bottom) of
an image; a negative number cuts pixels off.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

from minicnn.nn import functional as F
from minicnn.nn.module import Module
from minicnn.tensor import Tensor


class _Pad(Module):
    """Pads the last `axes` axes in `mode`."""

    axes: ClassVar[int]
    mode: ClassVar[str]

    def __init__(self, padding: int | Sequence[int]) -> None:
        super().__init__()
        sides = tuple(padding) if isinstance(padding, Iterable) else (padding,) * 2 * self.axes
        self.padding: tuple[int, ...] = sides

    def forward(self, input: Tensor) -> Tensor:
        """(…, H, W) → (…, top + H + bottom, left + W + right)."""
        return F.pad(input, self.padding, self.mode)

    def extra_repr(self) -> str:
        """As PyTorch prints it."""
        return str(self.padding)


class ConstantPad1d(_Pad):
    """`value` at both ends of a signal of any number of leading axes."""

    axes, mode = 1, "constant"

    def __init__(self, padding: int | Sequence[int], value: float) -> None:
        super().__init__(padding)
        self.value: Any = value

    def forward(self, input: Tensor) -> Tensor:
        """(…, L) → (…, left + L + right)."""
        return F.pad(input, self.padding, self.mode, self.value)

    def extra_repr(self) -> str:
        """As PyTorch prints it."""
        return f"padding={self.padding}, value={self.value}"


class ConstantPad2d(ConstantPad1d):
    """`value` around an image of any number of leading axes."""

    axes = 2


class ZeroPad1d(ConstantPad1d):
    """Zeros at both ends of a signal."""

    def __init__(self, padding: int | Sequence[int]) -> None:
        super().__init__(padding, 0.0)

    def extra_repr(self) -> str:
        """As PyTorch prints it."""
        return str(self.padding)


class ZeroPad2d(ZeroPad1d):
    """Zeros around an image."""

    axes = 2


class ReflectionPad1d(_Pad):
    """A signal (N, C, L) or (C, L) mirrored at its first and last value."""

    axes, mode = 1, "reflect"


class ReflectionPad2d(_Pad):
    """An image (N, C, H, W) or (C, H, W) mirrored at its edge pixels."""

    axes, mode = 2, "reflect"


class ReplicationPad1d(_Pad):
    """A signal (N, C, L) or (C, L) with its first and last value repeated."""

    axes, mode = 1, "replicate"


class ReplicationPad2d(_Pad):
    """An image (N, C, H, W) or (C, H, W) with its edge pixels repeated."""

    axes, mode = 2, "replicate"


class CircularPad1d(_Pad):
    """A signal (N, C, L) or (C, L) that begins again at its end."""

    axes, mode = 1, "circular"


class CircularPad2d(_Pad):
    """An image (N, C, H, W) or (C, H, W) that begins again at its edges, as on a torus."""

    axes, mode = 2, "circular"
