"""Checks of the convolutions: what fits together, and how large the output is."""

from __future__ import annotations

from ..errors import ArgumentError
from .formulas import Shape, conv_transpose_output_size
from .parts import (
    by,
    check_geometry,
    check_groups,
    check_image,
    fail,
    require_at_least,
    window_outputs,
)


def check_conv(
    x_shape: Shape,
    w_shape: Shape,
    b_shape: Shape | None,
    stride: Shape,
    padding: str | Shape,
    dilation: Shape,
    groups: int,
    *,
    op: str | None = None,
) -> tuple[int, ...]:
    """Return the output shape (N, K, P, Q), or (K, P, Q) for one image, or raise.

    There are as many axes behind the channels as strides: one, two or three. The padding is
    integers, or a name that `formulas.conv_padding` knows.
    """
    axes = len(stride)
    op = op or f"conv{axes}d"
    check_image(x_shape, axes, op)
    _check_weight(w_shape, "filters, channels/groups", axes, op)
    around = (0,) * axes if isinstance(padding, str) else padding
    check_geometry(op, stride=stride, padding=around, dilation=dilation)
    if padding == "same":
        check_same_padding(stride, op=op)
    K, C_group, *kernel = w_shape
    check_groups(groups, K, "filters", op)
    _check_channels(x_shape, w_shape, C_group * groups, groups, axes, op)
    _check_bias(b_shape, K, op)
    size = x_shape[-axes:]
    if padding in ("same", "keras_same"):  # as many as there are steps
        outputs = tuple(-(n // -s) for n, s in zip(size, stride, strict=True))
    else:
        outputs = window_outputs(op, size, kernel, stride, around, dilation)
    return (*x_shape[: -axes - 1], K, *outputs)


def check_conv_transpose(
    x_shape: Shape,
    w_shape: Shape,
    b_shape: Shape | None,
    stride: Shape,
    padding: Shape,
    output_padding: Shape,
    groups: int,
    dilation: Shape,
    *,
    op: str | None = None,
) -> tuple[int, ...]:
    """Return the output shape (N, K, P, Q), or (K, P, Q) for one image, or raise.

    The weight is (C, K/groups, R, S): that of the convolution whose input gradient this is.
    """
    axes = len(stride)
    op = op or f"conv_transpose{axes}d"
    check_image(x_shape, axes, op)
    _check_weight(w_shape, "channels, filters/groups", axes, op)
    check_geometry(op, stride=stride, padding=padding, dilation=dilation)
    require_at_least(0, "output_padding", output_padding, op)
    C, K_group, *kernel = w_shape
    check_groups(groups, C, "input channels", op)
    _check_channels(x_shape, w_shape, C, groups, axes, op)
    _check_bias(b_shape, K_group * groups, op)
    if any(o >= max(s, d) for o, s, d in zip(output_padding, stride, dilation, strict=True)):
        problem = (
            f"output_padding {by(output_padding)} must be smaller than the stride "
            f"{by(stride)} or the dilation {by(dilation)}."
        )
        fail(op, problem, "Use output_padding=0, or a larger stride.", ArgumentError)
    size = x_shape[-axes:]
    geometry = zip(size, kernel, stride, padding, output_padding, dilation, strict=True)
    outputs = [conv_transpose_output_size(*axis) for axis in geometry]
    if min(outputs) < 1:
        problem = (
            f"an input of {by(size)} gives an output of {by(outputs)}, that is "
            "(size-1)*stride - 2*padding + dilation*(kernel-1) + 1 + output_padding."
        )
        fail(op, problem, "Use less padding or a larger input.")
    return (*x_shape[: -axes - 1], K_group * groups, *outputs)


def output_padding_for(
    x_shape: Shape,
    output_size: Shape,
    kernel: Shape,
    stride: Shape,
    padding: Shape,
    dilation: Shape,
    *,
    op: str,
) -> tuple[int, ...]:
    """Return the output_padding with which a transposed convolution gives this size, or raise.

    The size is (P, Q) or the whole output shape; its batch and channels are not looked at.
    """
    axes = len(stride)
    check_image(x_shape, axes, op)
    if len(output_size) not in (axes, len(x_shape)):
        problem = f"output_size {tuple(output_size)} has {len(output_size)} numbers"
        fail(op, f"{problem} for input {tuple(x_shape)}.", f"Give the last {axes} sizes.")
    size, wanted = x_shape[-axes:], tuple(output_size[-axes:])
    geometry = zip(size, kernel, stride, padding, (0,) * axes, dilation, strict=True)
    least = [conv_transpose_output_size(*axis) for axis in geometry]
    extra = tuple(n - m for n, m in zip(wanted, least, strict=True))
    if any(not 0 <= e < s for e, s in zip(extra, stride, strict=True)):
        most = [m + s - 1 for m, s in zip(least, stride, strict=True)]
        problem = f"output_size {by(wanted)} cannot come from an input of {by(size)}"
        remedy = f"Use {by(least)}" + ("." if least == most else f" to {by(most)}.")
        fail(op, f"{problem} and stride {by(stride)}.", remedy)
    return extra


def check_same_padding(stride: Shape, *, op: str = "conv2d") -> None:
    """Raise if padding="same" is asked for at a stride above 1, where PyTorch refuses it."""
    if max(stride) > 1:
        problem = f"padding='same' needs stride 1, got {by(stride)}."
        remedy = "Use padding='keras_same' for ceil(size/stride) outputs, or integers."
        fail(op, problem, remedy, ArgumentError)


def _check_weight(w_shape: Shape, channels: str, axes: int, op: str) -> None:
    if len(w_shape) != axes + 2 or min(w_shape) < 1:
        kernel = {1: "length", 2: "height, width", 3: "depth, height, width"}[axes]
        problem = f"expected weight ({channels}, {kernel}), got {tuple(w_shape)}."
        fail(op, problem, "Every axis needs at least 1.")


def _check_bias(b_shape: Shape | None, K: int, op: str) -> None:
    if b_shape is not None and tuple(b_shape) != (K,):
        problem = f"bias has shape {tuple(b_shape)}, but there are {K} output channels."
        fail(op, problem, f"Give it shape ({K},).")


def _check_channels(
    x_shape: Shape, w_shape: Shape, wanted: int, groups: int, axes: int, op: str
) -> None:
    C = x_shape[-axes - 1]
    if wanted == C:
        return
    check_groups(groups, C, "input channels", op)
    remedy = f"Use in_channels={C}, or an input of {wanted} channels."
    if x_shape[-1] == wanted:
        batch, last = range(len(x_shape) - axes - 1), len(x_shape) - 1
        back = (*batch, last, *range(len(batch), last))
        remedy = f"The channels seem to come last: use x.permute{back}."
    problem = f"input {tuple(x_shape)} has {C} channels, but weight {tuple(w_shape)} takes {wanted}"
    fail(op, f"{problem} (groups={groups}).", remedy)
