"""Upsampling layers: `nn.functional.interpolate` with its arguments kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from minicnn.errors import ArgumentError
from minicnn.nn import functional as F
from minicnn.nn.module import Module
from minicnn.tensor import Tensor


class Upsample(Module):
    """An image or signal resized to `size` or by a factor; see `nn.functional.interpolate`."""

    def __init__(
        self,
        size: int | Sequence[int] | None = None,
        scale_factor: float | tuple[float, ...] | None = None,
        mode: str = "nearest",
        align_corners: bool | None = None,
        recompute_scale_factor: bool | None = None,
    ) -> None:
        super().__init__()
        self.size, self.mode, self.align_corners = size, mode, align_corners
        self.scale_factor: float | tuple[float, ...] | None
        if isinstance(scale_factor, tuple):
            self.scale_factor = tuple(_number(factor) for factor in scale_factor)
        else:
            self.scale_factor = _number(scale_factor) if scale_factor else None
        self.recompute_scale_factor = recompute_scale_factor

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W) → (N, C, P, Q), or without W and Q."""
        return F.interpolate(
            input,
            self.size,
            self.scale_factor,
            self.mode,
            self.align_corners,
            self.recompute_scale_factor,
        )

    def extra_repr(self) -> str:
        """As PyTorch prints it."""
        by_size = self.scale_factor is None
        what = f"size={self.size!r}" if by_size else f"scale_factor={self.scale_factor!r}"
        return f"{what}, mode={self.mode!r}"


def _number(factor: Any) -> float:
    try:
        return float(factor)
    except (TypeError, ValueError):
        raise ArgumentError(
            f"Upsample: scale_factor must be a number or a tuple of numbers, got {factor!r}. "
            "Use scale_factor=2."
        ) from None


class UpsamplingNearest2d(Upsample):
    """`Upsample` of an image in mode "nearest"."""

    def __init__(
        self,
        size: int | Sequence[int] | None = None,
        scale_factor: float | tuple[float, ...] | None = None,
    ) -> None:
        super().__init__(size, scale_factor, mode="nearest")


class UpsamplingBilinear2d(Upsample):
    """`Upsample` of an image in mode "bilinear" with align_corners=True."""

    def __init__(
        self,
        size: int | Sequence[int] | None = None,
        scale_factor: float | tuple[float, ...] | None = None,
    ) -> None:
        super().__init__(size, scale_factor, mode="bilinear", align_corners=True)
