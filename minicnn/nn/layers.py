"""Layers: the functions of `nn.functional` together with the parameters they need."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minicnn.creation import empty
from minicnn.errors import ArgumentError
from minicnn.kernels.shapes import Pair, pair
from minicnn.nn import functional as F
from minicnn.nn import init
from minicnn.nn.module import Module, Parameter
from minicnn.tensor import Tensor


def _fan_in_uniform(parameter: Parameter, fan_in: int) -> None:
    """PyTorch's default start: U(-1/√fan_in, 1/√fan_in), which is kaiming_uniform_ with a = √5."""
    bound = 1 / math.sqrt(fan_in) if fan_in else 0.0
    init.uniform_(parameter, -bound, bound)


def _positive(layer: str, **values: Any) -> None:
    for name, value in values.items():
        if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < 1:
            raise ArgumentError(f"{layer}: {name} must be an integer of at least 1, got {value!r}")


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
        _positive("Conv2d", in_channels=in_channels, out_channels=out_channels, groups=groups)
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
        _fan_in_uniform(self.weight, fan_in)
        if self.bias is not None:
            _fan_in_uniform(self.bias, fan_in)

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


class Linear(Module):
    """y = x·Wᵀ + b over the last axis.

    Attributes:
        weight: (out_features, in_features), starting at U(±1/√in_features).
        bias: (out_features,), starting likewise, or None.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        _positive("Linear", in_features=in_features, out_features=out_features)
        self.in_features, self.out_features = in_features, out_features
        self.weight = Parameter(empty(out_features, in_features, device=device, dtype=dtype))
        self.register_parameter(
            "bias", Parameter(empty(out_features, device=device, dtype=dtype)) if bias else None
        )
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new weights."""
        _fan_in_uniform(self.weight, self.in_features)
        if self.bias is not None:
            _fan_in_uniform(self.bias, self.in_features)

    def forward(self, x: Tensor) -> Tensor:
        """(…, in_features) → (…, out_features)."""
        return F.linear(x, self.weight, self.bias)

    def extra_repr(self) -> str:
        """As PyTorch prints it."""
        features = f"in_features={self.in_features}, out_features={self.out_features}"
        return f"{features}, bias={self.bias is not None}"


class MaxPool2d(Module):
    """The maximum of each window; see `nn.functional.max_pool2d`."""

    def __init__(
        self,
        kernel_size: int | Pair,
        stride: int | Pair | None = None,
        padding: int | Pair = 0,
        dilation: int | Pair = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding, self.dilation = padding, dilation
        self.return_indices, self.ceil_mode = return_indices, ceil_mode

    def forward(self, x: Tensor) -> Any:
        """(N, C, H, W) → (N, C, P, Q)."""
        return F.max_pool2d(
            x,
            self.kernel_size,
            self.stride,
            self.padding,
            self.dilation,
            self.ceil_mode,
            self.return_indices,
        )

    def extra_repr(self) -> str:
        """As PyTorch prints it."""
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, "
            f"dilation={self.dilation}, ceil_mode={self.ceil_mode}"
        )


class Identity(Module):
    """Its input, unchanged; takes, and forgets, any arguments. A placeholder for another layer."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()

    def forward(self, input: Tensor) -> Tensor:
        """Any shape, unchanged."""
        return input


class Flatten(Module):
    """The dimensions from `start_dim` to `end_dim` rolled into one."""

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim, self.end_dim = start_dim, end_dim

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) → (N, C·H·W)."""
        return x.flatten(self.start_dim, self.end_dim)

    def extra_repr(self) -> str:
        """As PyTorch prints it."""
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


class Dropout(Module):
    """Zero each element with probability p while training; see `nn.functional.dropout`."""

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        if not 0 <= p <= 1:
            raise ArgumentError(
                f"{type(self).__name__}: p must be a probability from 0 to 1, got {p}"
            )
        self.p, self.inplace = p, inplace

    def forward(self, x: Tensor) -> Tensor:
        """Any shape, unchanged."""
        return F.dropout(x, self.p, self.training)

    def extra_repr(self) -> str:
        """As PyTorch prints it."""
        return f"p={self.p}, inplace={self.inplace}"


class Dropout2d(Dropout):
    """Zero whole channels with probability p while training; see `nn.functional.dropout2d`."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W), unchanged."""
        return F.dropout2d(x, self.p, self.training)
