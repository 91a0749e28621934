"""Convolutional layers: `nn.functional.conv2d` with the parameters it needs."""

from __future__ import annotations

import math
from typing import Any

from minicnn.creation import empty
from minicnn.errors import ArgumentError
from minicnn.kernels.shapes import Pair, pair
from minicnn.nn import functional as F
from minicnn.nn.arguments import fan_in_uniform, require_positive
from minicnn.nn.module import Module, Parameter
from minicnn.tensor import Tensor


class Conv2d(Module):
    """K filters slid over an image of C channels: `nn.functional.conv2d` with weights of its own.

    Args:
        in_channels, out_channels: C and K.
        kernel_size: (R, S), or one integer for both.
        stride, padding, dilation: integers or (height, width); padding is zeros.
        groups: how many groups the channels are cut into.
        bias: whether to add b[k].

    Attributes:
        weight: (K, C/groups, R, S), starting at U(±1/√(C/groups·R·S)).
        bias: (K,), starting likewise, or None.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Pair,
        stride: int | Pair = 1,
        padding: int | Pair = 0,
        dilation: int | Pair = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        require_positive(
            "Conv2d", in_channels=in_channels, out_channels=out_channels, groups=groups
        )
        for name, channels in (("in_channels", in_channels), ("out_channels", out_channels)):
            if channels % groups:
                raise ArgumentError(
                    f"Conv2d: {name}={channels} is not a multiple of groups={groups}. "
                    "Each group needs the same number of channels."
                )
        if padding_mode != "zeros":
            raise ArgumentError(f'Conv2d: padding_mode must be "zeros", got {padding_mode!r}')
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.kernel_size = pair(kernel_size, "kernel_size", op="Conv2d")
        self.stride = pair(stride, "stride", op="Conv2d")
        self.padding = pair(padding, "padding", op="Conv2d")
        self.dilation = pair(dilation, "dilation", op="Conv2d")
        if (
            min(self.kernel_size) < 1
            or min(self.stride) < 1
            or min(self.dilation) < 1
            or min(self.padding) < 0
        ):
            raise ArgumentError(
                f"Conv2d: kernel_size {self.kernel_size}, stride {self.stride} and dilation "
                f"{self.dilation} must be at least 1, padding {self.padding} at least 0"
            )
        shape = (out_channels, in_channels // groups, *self.kernel_size)
        self.weight = Parameter(empty(shape, device=device, dtype=dtype))
        self.register_parameter(
            "bias", Parameter(empty(out_channels, device=device, dtype=dtype)) if bias else None
        )
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new weights."""
        fan_in = math.prod(self.weight.shape[1:])
        fan_in_uniform(self.weight, fan_in)
        if self.bias is not None:
            fan_in_uniform(self.bias, fan_in)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) → (N, K, P, Q), or (C, H, W) → (K, P, Q)."""
        return F.conv2d(
            x, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups
        )

    def extra_repr(self) -> str:
        """As PyTorch prints it: defaults are left out."""
        text = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}"
        text += f", stride={self.stride}"
        if self.padding != (0, 0):
            text += f", padding={self.padding}"
        if self.dilation != (1, 1):
            text += f", dilation={self.dilation}"
        if self.groups != 1:
            text += f", groups={self.groups}"
        if self.bias is None:
            text += ", bias=False"
        return text
