"""Normalisation layers: each channel to mean 0 and variance 1, or by its neighbours."""

from __future__ import annotations

from typing import Any, ClassVar

from minicnn import autograd
from minicnn.creation import empty, tensor
from minicnn.errors import ArgumentError, ShapeError
from minicnn.kernels.shapes import integer
from minicnn.nn import functional as F
from minicnn.nn import init
from minicnn.nn.module import Module, Parameter
from minicnn.tensor import Tensor


class BatchNorm(Module):
    """What the layers share; they differ in the ranks that they take.

    Args:
        num_features: C, the number of channels.
        eps: added to the variance, so that it divides.
        momentum: the share by which the running statistics move; None for the plain average over
            all batches so far.
        affine: whether to learn a weight and a bias.
        track_running_stats: without them eval() normalises by the batch's own statistics, too.
        bias: False for a weight alone.

    Attributes:
        weight, bias: (C,), starting at 1 and 0, or None.
        running_mean, running_var: (C,), starting at 0 and 1, or None; the variance is unbiased.
        num_batches_tracked: int64 without dimensions, or None.

    See `nn.functional.batch_norm`.
    """

    ranks: ClassVar[tuple[int, ...]]
    optional_state: ClassVar[frozenset[str]] = frozenset({"num_batches_tracked"})

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        C = integer(num_features, "num_features", op=type(self).__name__)
        if C < 0:
            raise ArgumentError(
                f"{type(self).__name__}: num_features must be at least 0, got {C}. "
                "Give the number of channels."
            )
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        self.affine, self.track_running_stats = affine, track_running_stats

        def vector() -> Tensor:
            return empty(C, device=device, dtype=dtype)

        self.register_parameter("weight", Parameter(vector()) if affine else None)
        self.register_parameter("bias", Parameter(vector()) if affine and bias else None)
        tracked = bool(track_running_stats)
        self.register_buffer("running_mean", vector() if tracked else None)
        self.register_buffer("running_var", vector() if tracked else None)
        self.register_buffer(
            "num_batches_tracked", tensor(0, dtype="int64", device=device) if tracked else None
        )
        self.reset_parameters()

    def reset_running_stats(self) -> None:
        """Forget all batches: mean 0, variance 1."""
        if self.track_running_stats:
            self.running_mean.zero_()
            self.running_var.fill_(1)
            self.num_batches_tracked.zero_()

    def reset_parameters(self) -> None:
        """Start again: running statistics too."""
        self.reset_running_stats()
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, …), unchanged."""
        self._check_rank(input)
        share = 0.0 if self.momentum is None else self.momentum
        if self.training and self.track_running_stats and self.num_batches_tracked is not None:
            with autograd.no_grad():
                self.num_batches_tracked.add_(1)
            if self.momentum is None:
                share = 1 / float(self.num_batches_tracked)
        moved = not self.training or self.track_running_stats
        return F.batch_norm(
            input,
            self.running_mean if moved else None,
            self.running_var if moved else None,
            self.weight,
            self.bias,
            self.training or (self.running_mean is None and self.running_var is None),
            share,
            self.eps,
        )

    def _check_rank(self, x: Tensor) -> None:
        if x.ndim not in self.ranks:
            names = {2: "(N, C)", 3: "(N, C, L)", 4: "(N, C, H, W)", 5: "(N, C, D, H, W)"}
            layer = {2: "1d", 3: "1d", 4: "2d", 5: "3d"}.get(x.ndim)
            remedy = f"Use BatchNorm{layer}" if layer else "Add axes of one"
            raise ShapeError(
                f"batch_norm: expected input {' or '.join(names[r] for r in self.ranks)}, "
                f"got shape {tuple(x.shape)}. {remedy}, or a batch axis with x[None]."
            )

    def extra_repr(self) -> str:
        """As PyTorch prints it."""
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"bias={self.bias is not None}, track_running_stats={self.track_running_stats}"
        )


class BatchNorm1d(BatchNorm):
    """Batch normalisation of rows (N, C) or signals (N, C, L); see `BatchNorm`."""

    ranks = (2, 3)


class BatchNorm2d(BatchNorm):
    """Batch normalisation of images (N, C, H, W); see `BatchNorm`."""

    ranks = (4,)


class BatchNorm3d(BatchNorm):
    """Batch normalisation of volumes (N, C, D, H, W); see `BatchNorm`."""

    ranks = (5,)


class LocalResponseNorm(Module):
    """x/(k + alpha·mean of x² over channels)^beta; see `nn.functional.local_response_norm`."""

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> None:
        super().__init__()
        self.size, self.alpha, self.beta, self.k = size, alpha, beta, k

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, …), unchanged."""
        return F.local_response_norm(input, self.size, self.alpha, self.beta, self.k)

    def extra_repr(self) -> str:
        """As PyTorch prints it."""
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"
