"""Pooling layers: the functions of `minicnn.ops` with their arguments kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from minicnn.nn import functional as F
from minicnn.nn.module import Module
from minicnn.tensor import Tensor

Sizes = int | Sequence[int]
OutputSize = int | Sequence[int | None]


class _MaxPool(Module):
    """What MaxPool1d and MaxPool2d share."""

    def __init__(
        self,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        padding: Sizes = 0,
        dilation: Sizes = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding, self.dilation = padding, dilation
        self.return_indices, self.ceil_mode = return_indices, ceil_mode

    def _arguments(self) -> tuple[Any, ...]:
        sizes = self.kernel_size, self.stride, self.padding, self.dilation
        return *sizes, self.ceil_mode, self.return_indices

    def extra_repr(self) -> str:
        """As PyTorch prints it."""
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, "
            f"dilation={self.dilation}, ceil_mode={self.ceil_mode}"
        )


class MaxPool1d(_MaxPool):
    """The maximum of each window of a row; see `nn.functional.max_pool1d`."""

    def forward(self, input: Tensor) -> Any:
        """(N, C, L) → (N, C, Q)."""
        return F.max_pool1d(input, *self._arguments())


class MaxPool2d(_MaxPool):
    """The maximum of each window; see `nn.functional.max_pool2d`."""

    def forward(self, input: Tensor) -> Any:
        """(N, C, H, W) → (N, C, P, Q)."""
        return F.max_pool2d(input, *self._arguments())


class AvgPool1d(Module):
    """The mean of each window of a row; see `nn.functional.avg_pool1d`."""

    def __init__(
        self,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        padding: Sizes = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        super().__init__()
        # PyTorch keeps these as tuples, in this layer alone.
        self.kernel_size = _as_tuple(kernel_size)
        self.stride = _as_tuple(kernel_size if stride is None else stride)
        self.padding = _as_tuple(padding)
        self.ceil_mode, self.count_include_pad = ceil_mode, count_include_pad

    def forward(self, input: Tensor) -> Any:
        """(N, C, L) → (N, C, Q)."""
        sizes = self.kernel_size, self.stride, self.padding
        return F.avg_pool1d(input, *sizes, self.ceil_mode, self.count_include_pad)

    def extra_repr(self) -> str:
        """As PyTorch prints it."""
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


def _as_tuple(sizes: Sizes) -> Any:
    return tuple(sizes) if isinstance(sizes, (tuple, list)) else (sizes,)


class AvgPool2d(Module):
    """The mean of each window; see `nn.functional.avg_pool2d`."""

    def __init__(
        self,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        padding: Sizes = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding = padding
        self.ceil_mode, self.count_include_pad = ceil_mode, count_include_pad
        self.divisor_override = divisor_override

    def forward(self, input: Tensor) -> Any:
        """(N, C, H, W) → (N, C, P, Q)."""
        sizes = self.kernel_size, self.stride, self.padding
        counts = self.ceil_mode, self.count_include_pad, self.divisor_override
        return F.avg_pool2d(input, *sizes, *counts)

    def extra_repr(self) -> str:
        """As PyTorch prints it."""
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class AdaptivePool(Module):
    """What all adaptive pooling layers share."""

    def __init__(self, output_size: OutputSize) -> None:
        super().__init__()
        self.output_size = output_size

    def extra_repr(self) -> str:
        """As PyTorch prints it."""
        return f"output_size={self.output_size}"


class AdaptiveAvgPool1d(AdaptivePool):
    """Means of windows that share a row out; see `nn.functional.adaptive_avg_pool1d`."""

    def forward(self, input: Tensor) -> Any:
        """(N, C, L) → (N, C, Q)."""
        return F.adaptive_avg_pool1d(input, self.output_size)


class AdaptiveAvgPool2d(AdaptivePool):
    """Means of windows that share the image out; see `nn.functional.adaptive_avg_pool2d`."""

    def forward(self, input: Tensor) -> Any:
        """(N, C, H, W) → (N, C, P, Q)."""
        return F.adaptive_avg_pool2d(input, self.output_size)


class _AdaptiveMaxPool(AdaptivePool):
    """What the adaptive maxima share."""

    def __init__(self, output_size: OutputSize, return_indices: bool = False) -> None:
        super().__init__(output_size)
        self.return_indices = return_indices


class AdaptiveMaxPool1d(_AdaptiveMaxPool):
    """Maxima of windows that share a row out; see `nn.functional.adaptive_max_pool1d`."""

    def forward(self, input: Tensor) -> Any:
        """(N, C, L) → (N, C, Q)."""
        return F.adaptive_max_pool1d(input, self.output_size, self.return_indices)


class AdaptiveMaxPool2d(_AdaptiveMaxPool):
    """Maxima of windows that share the image out; see `nn.functional.adaptive_max_pool2d`."""

    def forward(self, input: Tensor) -> Any:
        """(N, C, H, W) → (N, C, P, Q)."""
        return F.adaptive_max_pool2d(input, self.output_size, self.return_indices)


class _GlobalPool(Module):
    """What the global poolings share."""

    def __init__(self, keepdims: bool = True) -> None:
        super().__init__()
        self.keepdims = keepdims

    def extra_repr(self) -> str:
        """The one argument."""
        return f"keepdims={self.keepdims}"


class GlobalAvgPool2d(_GlobalPool):
    """The mean of each channel; see `nn.functional.global_avg_pool2d`."""

    def forward(self, input: Tensor) -> Any:
        """(N, C, H, W) → (N, C, 1, 1), or (N, C) without `keepdims`."""
        return F.global_avg_pool2d(input, self.keepdims)


class GlobalMaxPool2d(_GlobalPool):
    """The maximum of each channel; see `nn.functional.global_max_pool2d`."""

    def forward(self, input: Tensor) -> Any:
        """(N, C, H, W) → (N, C, 1, 1), or (N, C) without `keepdims`."""
        return F.global_max_pool2d(input, self.keepdims)
