"""Convolutional layers: `nn.functional.conv1d`, `conv2d` and `conv3d` with weights of their own."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

from minicnn.creation import empty
from minicnn.errors import ArgumentError
from minicnn.kernels.shapes import check_same_padding, integers, padding_argument
from minicnn.kernels.shapes.parts import check_geometry, check_groups, require_at_least
from minicnn.nn.arguments import fan_in_uniform, require_positive
from minicnn.nn.module import Module, Parameter
from minicnn.ops.conv import convolve
from minicnn.tensor import Tensor

Sizes = int | Sequence[int]
PADDING_MODES = ("zeros", "reflect", "replicate", "circular")


class Convolution(Module):
    """What the layers share, transposed ones too: checked arguments, the weights' start, text."""

    axes: ClassVar[int]  # behind the channels
    transposed: ClassVar[bool] = False

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Sizes,
        stride: Sizes,
        padding: str | Sizes,
        dilation: Sizes,
        output_padding: Sizes,
        groups: int,
        bias: bool,
        padding_mode: str,
        device: Any,
        dtype: Any,
    ) -> None:
        super().__init__()
        op, axes = type(self).__name__, self.axes
        require_positive(op, in_channels=in_channels, out_channels=out_channels, groups=groups)
        check_groups(groups, in_channels, "in_channels", op)
        check_groups(groups, out_channels, "out_channels", op)
        modes = PADDING_MODES[:1] if self.transposed else PADDING_MODES
        if padding_mode not in modes:
            wanted = " or ".join(f'"{mode}"' for mode in modes)
            raise ArgumentError(
                f"{op}: padding_mode must be {wanted}, got {padding_mode!r}. "
                'Use padding_mode="zeros".'
            )
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.kernel_size = integers(kernel_size, axes, "kernel_size", op=op)
        self.stride = integers(stride, axes, "stride", op=op)
        self.padding: str | tuple[int, ...]
        if self.transposed:
            self.padding = integers(padding, axes, "padding", op=op)
        else:
            self.padding = padding_argument(padding, axes, op=op)
        self.dilation = integers(dilation, axes, "dilation", op=op)
        self.output_padding = integers(output_padding, axes, "output_padding", op=op)
        self.padding_mode = padding_mode
        self._check_geometry(op)
        first, second = in_channels, out_channels
        if not self.transposed:
            first, second = second, first
        shape = (first, second // groups, *self.kernel_size)
        self.weight = Parameter(empty(shape, device=device, dtype=dtype))
        self.register_parameter(
            "bias", Parameter(empty(out_channels, device=device, dtype=dtype)) if bias else None
        )
        self.reset_parameters()

    def _check_geometry(self, op: str) -> None:
        """Raise here, not at the first call, for what fits no input at all."""
        check_geometry(op, kernel_size=self.kernel_size, stride=self.stride, dilation=self.dilation)
        require_at_least(0, "output_padding", self.output_padding, op)
        if self.padding == "same":
            check_same_padding(self.stride, op=op)
        if not isinstance(self.padding, str):
            check_geometry(op, padding=self.padding)

    def reset_parameters(self) -> None:
        """Draw new weights.

        A transposed convolution starts as PyTorch's does, from the taps of one of its input's
        channels: 1/√(K/groups·R·S), though each output adds up C/groups channels.
        """
        fan_in = math.prod(self.weight.shape[1:])
        fan_in_uniform(self.weight, fan_in)
        if self.bias is not None:
            fan_in_uniform(self.bias, fan_in)

    def extra_repr(self) -> str:
        """As PyTorch prints it: defaults are left out."""
        zeros, ones = (0,) * self.axes, (1,) * self.axes
        text = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}"
        text += f", stride={self.stride}"
        if self.padding != zeros:
            text += f", padding={self.padding}"
        if self.dilation != ones:
            text += f", dilation={self.dilation}"
        if self.output_padding != zeros:
            text += f", output_padding={self.output_padding}"
        if self.groups != 1:
            text += f", groups={self.groups}"
        if self.bias is None:
            text += ", bias=False"
        if self.padding_mode != "zeros":
            text += f", padding_mode={self.padding_mode}"
        return text


class ConvNd(Convolution):
    """Conv1d, Conv2d and Conv3d but for the number of their axes."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Sizes,
        stride: Sizes = 1,
        padding: str | Sizes = 0,
        dilation: Sizes = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, dilation, 0, groups, bias,
            padding_mode, device, dtype,
        )  # fmt: skip

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W) → (N, K, P, Q), or (C, H, W) → (K, P, Q); likewise for 1 or 3 axes."""
        return convolve(
            self.axes, input, self.weight, self.bias, self.stride, self.padding, self.dilation,
            self.groups, self.padding_mode,
        )  # fmt: skip


class Conv1d(ConvNd):
    """K filters slid along rows of C channels: `Conv2d` with one axis, (N, C, L) → (N, K, Q)."""

    axes = 1


class Conv2d(ConvNd):
    """K filters slid over an image of C channels: `nn.functional.conv2d` with its weights.

    Args:
        in_channels, out_channels: C and K.
        kernel_size: (R, S), or one integer for both.
        stride, dilation: integers or (height, width).
        padding: likewise, or "valid", "same" or "keras_same" as in `nn.functional.conv2d`.
        groups: how many groups the channels are cut into.
        bias: whether to add b[k].
        padding_mode: what the padding shows: "zeros", or the image itself by "reflect",
            "replicate" or "circular" (`nn.functional.pad`).

    Attributes:
        weight: (K, C/groups, R, S), starting at U(±1/√(C/groups·R·S)).
        bias: (K,), starting likewise, or None.
    """

    axes = 2


class Conv3d(ConvNd):
    """K filters slid through volumes of C channels: `Conv2d` with three axes.

    (N, C, D, H, W) → (N, K, E, P, Q).
    """

    axes = 3
