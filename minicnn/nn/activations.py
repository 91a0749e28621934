"""Activations as modules. Each takes a tensor of any shape and returns one of the same.

`inplace` is accepted, and computed out of place.
"""

from __future__ import annotations

from minicnn.errors import ArgumentError
from minicnn.nn import functional as F
from minicnn.nn.module import Module
from minicnn.tensor import Tensor


def _inplace(inplace: bool, before: str = "") -> str:
    """As PyTorch prints it: only if asked for."""
    return before + "inplace=True" if inplace else ""


class ReLU(Module):
    """max(x, 0)."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        """Any shape, unchanged."""
        return F.relu(input)

    def extra_repr(self) -> str:
        """As PyTorch prints it."""
        return _inplace(self.inplace)


class Hardtanh(Module):
    """x limited to [min_val, max_val]; see `nn.functional.hardtanh`."""

    def __init__(self, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> None:
        super().__init__()
        if not min_val < max_val:
            raise ArgumentError(
                f"Hardtanh: min_val {min_val} must be less than max_val {max_val}. Swap them."
            )
        self.min_val, self.max_val, self.inplace = min_val, max_val, inplace

    def forward(self, input: Tensor) -> Tensor:
        """Any shape, unchanged."""
        return F.hardtanh(input, self.min_val, self.max_val)

    def extra_repr(self) -> str:
        """As PyTorch prints it."""
        return f"min_val={self.min_val}, max_val={self.max_val}{_inplace(self.inplace, ', ')}"


class ReLU6(Hardtanh):
    """min(max(x, 0), 6): activations that small numbers can hold. Source: Krizhevsky 2010."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__(0.0, 6.0, inplace)

    def forward(self, input: Tensor) -> Tensor:
        """Any shape, unchanged."""
        return F.relu6(input)

    def extra_repr(self) -> str:
        """As PyTorch prints it."""
        return _inplace(self.inplace)


class LeakyReLU(Module):
    """x where x > 0, else negative_slope·x; see `nn.functional.leaky_relu`."""

    def __init__(self, negative_slope: float = 0.01, inplace: bool = False) -> None:
        super().__init__()
        self.negative_slope, self.inplace = negative_slope, inplace

    def forward(self, input: Tensor) -> Tensor:
        """Any shape, unchanged."""
        return F.leaky_relu(input, self.negative_slope)

    def extra_repr(self) -> str:
        """As PyTorch prints it."""
        return f"negative_slope={self.negative_slope}{_inplace(self.inplace, ', ')}"


class ELU(Module):
    """x where x > 0, else alpha·(exp(x) - 1); see `nn.functional.elu`."""

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__()
        self.alpha, self.inplace = alpha, inplace

    def forward(self, input: Tensor) -> Tensor:
        """Any shape, unchanged."""
        return F.elu(input, self.alpha)

    def extra_repr(self) -> str:
        """As PyTorch prints it."""
        return f"alpha={self.alpha}{_inplace(self.inplace, ', ')}"


class Sigmoid(Module):
    """1/(1 + exp(-x))."""

    def forward(self, input: Tensor) -> Tensor:
        """Any shape, unchanged."""
        return F.sigmoid(input)


class Tanh(Module):
    """The hyperbolic tangent."""

    def forward(self, input: Tensor) -> Tensor:
        """Any shape, unchanged."""
        return F.tanh(input)


class SiLU(Module):
    """x/(1 + exp(-x)); see `nn.functional.silu`."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        """Any shape, unchanged."""
        return F.silu(input)

    def extra_repr(self) -> str:
        """As PyTorch prints it."""
        return _inplace(self.inplace)


class GELU(Module):
    """x·Φ(x), exactly or, with approximate="tanh", nearly; see `nn.functional.gelu`."""

    def __init__(self, approximate: str = "none") -> None:
        super().__init__()
        self.approximate = approximate

    def forward(self, input: Tensor) -> Tensor:
        """Any shape, unchanged."""
        return F.gelu(input, approximate=self.approximate)

    def extra_repr(self) -> str:
        """As PyTorch prints it."""
        return f"approximate={self.approximate!r}"


class Softmax(Module):
    """exp(x)/Σexp(x) along `dim`; see `nn.functional.softmax`."""

    def __init__(self, dim: int | None = None) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, input: Tensor) -> Tensor:
        """Any shape, unchanged."""
        return F.softmax(input, self.dim)

    def extra_repr(self) -> str:
        """As PyTorch prints it."""
        return f"dim={self.dim}"


class LogSoftmax(Module):
    """x - log Σexp(x) along `dim`; see `nn.functional.log_softmax`."""

    def __init__(self, dim: int | None = None) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, input: Tensor) -> Tensor:
        """Any shape, unchanged."""
        return F.log_softmax(input, self.dim)

    def extra_repr(self) -> str:
        """As PyTorch prints it."""
        return f"dim={self.dim}"
