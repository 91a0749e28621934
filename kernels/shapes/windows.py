"""Checks of what slides a window without weights: pooling, unfold and fold."""

from __future__ import annotations

from ..errors import ArgumentError
from .formulas import Pair, Shape
from .parts import by, check_geometry, check_image, fail, require_at_least, window_outputs


def check_pool(
    x_shape: Shape,
    kernel: Shape,
    stride: Shape,
    padding: Shape,
    dilation: Shape | None = None,
    ceil_mode: bool = False,
    *,
    op: str | None = None,
) -> tuple[int, ...]:
    """Return the output shape (N, C, P, Q), or (C, P, Q) for one image, or raise.

    There are as many axes behind the channels as the kernel has: one, two or three. Beyond
    PyTorch's refusals: a window whose taps all fall on padding has no maximum.
    """
    axes = len(kernel)
    op = op or f"max_pool{axes}d"
    dilation = dilation or (1,) * axes
    check_image(x_shape, axes, op)
    check_geometry(op, kernel_size=kernel, stride=stride, padding=padding, dilation=dilation)
    most = [k // 2 for k in kernel]
    if any(p > m for p, m in zip(padding, most, strict=True)):
        problem = f"padding {by(padding)} is more than half of the kernel {by(kernel)}."
        fail(op, problem, f"Use padding of at most {by(most)}.", ArgumentError)
    size = x_shape[-axes:]
    outputs = window_outputs(op, size, kernel, stride, padding, dilation, ceil_mode)
    for n, s, p, d in zip(size, stride, padding, dilation, strict=True):
        # Windows that start in the padding reach their first pixel in steps of the dilation.
        if any(start % d >= n for start in range(-p, 0, s)):
            problem = (
                f"a window with dilation {by(dilation)} and padding {by(padding)} holds no "
                f"pixel of the input {by(size)}, so it has no maximum."
            )
            fail(op, problem, "Use padding=0 or a smaller dilation.")
    return (*x_shape[:-axes], *outputs)


def check_adaptive_pool(
    x_shape: Shape, output_size: Shape, *, op: str | None = None
) -> tuple[int, ...]:
    """Return the output shape (N, C, P, Q), or (C, P, Q) for one image, or raise."""
    axes = len(output_size)
    op = op or f"adaptive_avg_pool{axes}d"
    check_image(x_shape, axes, op)
    require_at_least(0, "output_size", output_size, op)
    return (*x_shape[:-axes], *output_size)


def check_unfold(
    x_shape: Shape, kernel: Pair, dilation: Pair, padding: Pair, stride: Pair, *, op: str = "unfold"
) -> tuple[int, ...]:
    """Return the columns' shape (N, C*R*S, P*Q), or (C*R*S, P*Q) for one image, or raise."""
    check_image(x_shape, 2, op)
    check_geometry(op, kernel_size=kernel, stride=stride, padding=padding, dilation=dilation)
    P, Q = window_outputs(op, x_shape[-2:], kernel, stride, padding, dilation)
    return (*x_shape[:-3], x_shape[-3] * kernel[0] * kernel[1], P * Q)


def check_fold(
    cols_shape: Shape,
    output_size: Pair,
    kernel: Pair,
    dilation: Pair,
    padding: Pair,
    stride: Pair,
    *,
    op: str = "fold",
) -> tuple[int, ...]:
    """Return the image's shape (N, C, H, W), or (C, H, W) for columns of one image, or raise."""
    got = f"columns {tuple(cols_shape)}"
    if len(cols_shape) not in (2, 3) or min(cols_shape[-2:]) < 1:
        problem = f"expected columns (N, C*R*S, P*Q) or (C*R*S, P*Q), got {tuple(cols_shape)}."
        fail(op, problem, "Only the batch may be empty.")
    check_geometry(op, kernel_size=kernel, stride=stride, padding=padding, dilation=dilation)
    require_at_least(1, "output_size", output_size, op)
    rows, positions = cols_shape[-2:]
    R, S = kernel
    if rows % (R * S):
        problem = f"{got} have {rows} rows, not a multiple of the kernel's {R * S} taps ({R}*{S})."
        fail(op, problem, f"Give C*{R * S} rows, C the number of channels.")
    P, Q = window_outputs(op, output_size, kernel, stride, padding, dilation)
    if positions != P * Q:
        problem = (
            f"{got} have {positions} positions, but the kernel has {P * Q} ({P}*{Q}) in an "
            f"image of {by(output_size)}."
        )
        fail(op, problem, "Use the sizes, stride, padding and dilation of the unfold.")
    return (*cols_shape[:-2], rows // (R * S), *output_size)
