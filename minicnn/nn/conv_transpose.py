"""Transposed convolutional layers: `nn.functional.conv_transpose2d` with weights of their own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from minicnn.errors import ArgumentError
from minicnn.kernels.shapes import integer, output_padding_for
from minicnn.nn.conv import Convolution, Sizes
from minicnn.ops.conv_transpose import transposed
from minicnn.ops.elementwise import require_float
from minicnn.tensor import Tensor


class ConvTransposeNd(Convolution):
    """ConvTranspose1d and ConvTranspose2d but for the number of their axes."""

    transposed = True
    padding: tuple[int, ...]

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Sizes,
        stride: Sizes = 1,
        padding: Sizes = 0,
        output_padding: Sizes = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Sizes = 1,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, dilation, output_padding,
            groups, bias, padding_mode, device, dtype,
        )  # fmt: skip

    def forward(self, input: Tensor, output_size: Sequence[int] | None = None) -> Tensor:
        """(N, C, H, W) → (N, K, P, Q), or (C, H, W) → (K, P, Q), with one axis likewise.

        A stride above 1 leaves a choice of sizes: `output_size`, (P, Q) or the whole shape, makes
        it in the place of the layer's output_padding.
        """
        extra = self.output_padding if output_size is None else self._extra(input, output_size)
        return transposed(
            self.axes, input, self.weight, self.bias, self.stride, self.padding, extra,
            self.groups, self.dilation,
        )  # fmt: skip

    def _extra(self, input: Tensor, output_size: Any) -> tuple[int, ...]:
        """The output_padding that gives this size."""
        op = f"conv_transpose{self.axes}d"
        require_float(op, input)
        if not isinstance(output_size, tuple | list):
            example = (28,) * self.axes
            raise ArgumentError(
                f"{op}: output_size must be a tuple of integers, got {output_size!r}. "
                f"Use output_size={example}."
            )
        size = [integer(n, "output_size", op=op) for n in output_size]
        geometry = self.kernel_size, self.stride, self.padding, self.dilation
        return output_padding_for(input.shape, size, *geometry, op=op)


class ConvTranspose1d(ConvTransposeNd):
    """`ConvTranspose2d` with one axis: (N, C, L) → (N, K, Q)."""

    axes = 1


class ConvTranspose2d(ConvTransposeNd):
    """C filters that paint an image: `nn.functional.conv_transpose2d` with its weights.

    It takes sizes back to where `Conv2d` of the same arguments came from: for decoders, which
    make small images large.

    Args:
        in_channels, out_channels: C and K.
        kernel_size: (R, S), or one integer for both.
        stride, padding, dilation: those of the convolution that it transposes.
        output_padding: rows and columns more at the end, below the stride.
        groups: how many groups the channels are cut into.
        bias: whether to add b[k].
        padding_mode: "zeros", as in PyTorch.

    Attributes:
        weight: (C, K/groups, R, S), starting at U(±1/√(K/groups·R·S)).
        bias: (K,), starting likewise, or None.
    """

    axes = 2
