"""Every output-size formula: integers in, integers out, no arrays.

The first half is the formulas, one axis at a time and unchecked, for the kernels. The second half
is the checks, two axes at a time, for the ops: they return the output shape, or raise a one-line
ShapeError or ArgumentError with the formula, the numbers in it and a remedy. What they take and
refuse is what PyTorch does. Derivations: Dumoulin & Visin 2016, "A guide to convolution
arithmetic for deep learning".
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, NoReturn

from .errors import ArgumentError, MiniCNNError, ShapeError

Pair = tuple[int, int]  # (along the height, along the width)
Shape = Sequence[int]


# ------------------------------------------------------------------------------ one axis


def span(kernel: int, dilation: int = 1) -> int:
    """Return the pixels from a kernel's first tap to its last: dilation*(kernel - 1) + 1."""
    return dilation * (kernel - 1) + 1


def conv_output_size(
    size: int, kernel: int, stride: int = 1, padding: int = 0, dilation: int = 1
) -> int:
    """Return the outputs of a convolution: floor((size + 2*padding - span) / stride) + 1."""
    return (size + 2 * padding - span(kernel, dilation)) // stride + 1


def conv2d_output_size(
    size: Shape, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair
) -> Pair:
    """Return (P, Q): `conv_output_size` along both axes."""
    P, Q = map(conv_output_size, size, kernel, stride, padding, dilation)
    return P, Q


def conv_transpose_output_size(
    size: int,
    kernel: int,
    stride: int = 1,
    padding: int = 0,
    output_padding: int = 0,
    dilation: int = 1,
) -> int:
    """Return (size - 1)*stride - 2*padding + span + output_padding.

    A strided convolution rounds down, so `stride` image sizes share one output size;
    `output_padding` chooses among them.
    """
    return (size - 1) * stride - 2 * padding + span(kernel, dilation) + output_padding


def pool_output_size(
    size: int,
    kernel: int,
    stride: int,
    padding: int = 0,
    dilation: int = 1,
    ceil_mode: bool = False,
) -> int:
    """Return the outputs of a pooling: conv_output_size, or with ceil_mode its ceiling.

    The ceiling adds a last window that hangs over the edge. As in PyTorch it counts only if it
    starts in the image or the left padding: (output - 1)*stride < size + padding.
    """
    if not ceil_mode:
        return conv_output_size(size, kernel, stride, padding, dilation)
    output = -((size + 2 * padding - span(kernel, dilation)) // -stride) + 1
    return output - 1 if (output - 1) * stride >= size + padding else output


def same_padding(size: int, kernel: int, stride: int = 1, dilation: int = 1) -> Pair:
    """Return the padding (before, after) for ceil(size / stride) outputs; the odd pixel goes after.

    At stride 1 this is PyTorch's padding="same", whatever the size; for larger strides, which
    PyTorch refuses (`check_same_padding`), it is Keras's.
    """
    output = -(size // -stride)
    total = max((output - 1) * stride + span(kernel, dilation) - size, 0)
    return total // 2, total - total // 2


def adaptive_windows(size: int, output: int) -> list[Pair]:
    """Return (start, end) of each adaptive-pooling window i of `output`, end excluded.

    start = floor(i*size / output), end = ceil((i + 1)*size / output): together they cover every
    pixel, and they overlap when output does not divide size.
    """
    return [(i * size // output, -((i + 1) * size // -output)) for i in range(output)]


def dropped_pixels(
    size: int, kernel: int, stride: int = 1, padding: int = 0, dilation: int = 1
) -> int:
    """Return the image pixels after the last window: max(remainder - padding, 0).

    The remainder is what the stride leaves over, (size + 2*padding - span) mod stride; the right
    padding is lost first.
    """
    return max((size + 2 * padding - span(kernel, dilation)) % stride - padding, 0)


class ReceptiveField(NamedTuple):
    """What one output of a chain of layers sees of the image, along one axis, in pixels."""

    size: int  # pixels from the first seen to the last
    jump: int  # pixels between the fields of two neighbouring outputs
    start: int  # first pixel that output 0 sees; negative inside the padding


def receptive_field(layers: Iterable[tuple[int, int, int, int]]) -> ReceptiveField:
    """Return the receptive field of a chain of (kernel, stride, padding, dilation) layers.

    Per layer: size += (span - 1)*jump, start -= padding*jump, then jump *= stride
    (Araujo, Norris & Sim 2019, "Computing receptive fields of convolutional neural networks").
    """
    size, jump, start = 1, 1, 0
    for kernel, stride, padding, dilation in layers:
        size += (span(kernel, dilation) - 1) * jump
        start -= padding * jump
        jump *= stride
    return ReceptiveField(size, jump, start)


# ------------------------------------------------------------------------------ checks


def integer(value: Any, name: str, *, op: str) -> int:
    """Return `value` as an int; 2.0 and True are refused, as PyTorch refuses them."""
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise ArgumentError(f"{op}: {name} must be an integer, got {value!r}. Use {name}=1.")
    return operator.index(value)


def integers(value: Any, count: int, name: str, *, op: str) -> tuple[int, ...]:
    """Return `value`, one integer for all `count` axes or one for each, as a tuple."""
    values = tuple(value) if isinstance(value, (tuple, list)) else (value,)
    try:
        if len(values) in (1, count) and not any(isinstance(v, bool) for v in values):
            given = tuple(operator.index(v) for v in values)
            return given if len(given) == count else given * count
    except TypeError:
        pass
    wanted, *axes = {
        1: ("an integer",),
        2: ("an integer or two", "(2, 1) for height and width"),
        3: ("an integer or three", "(3, 2, 1) for depth, height and width"),
    }[count]
    remedy = " or ".join([f"{name}=2", *(f"{name}={example}" for example in axes)])
    raise ArgumentError(f"{op}: {name} must be {wanted}, got {value!r}. Use {remedy}.")


def pair(value: Any, name: str, *, op: str) -> Pair:
    """Return `value`, one integer for both axes or two, as (height, width)."""
    height, width = integers(value, 2, name, op=op)
    return height, width


def check_conv2d(
    x_shape: Shape,
    w_shape: Shape,
    b_shape: Shape | None,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
    *,
    op: str = "conv2d",
) -> tuple[int, ...]:
    """Return the output shape (N, K, P, Q), or (K, P, Q) for one image, or raise."""
    _check_image(x_shape, op)
    _check_weight(w_shape, "(filters, channels/groups, height, width)", op)
    _check_geometry(op, stride=stride, padding=padding, dilation=dilation)
    K, C_group, R, S = w_shape
    _check_groups(groups, K, "filters", op)
    _check_channels(x_shape, w_shape, C_group * groups, groups, op)
    _check_bias(b_shape, K, op)
    P, Q = _window_outputs(op, x_shape[-2:], (R, S), stride, padding, dilation)
    return (*x_shape[:-3], K, P, Q)


def check_conv_transpose2d(
    x_shape: Shape,
    w_shape: Shape,
    b_shape: Shape | None,
    stride: Pair,
    padding: Pair,
    output_padding: Pair,
    groups: int,
    dilation: Pair,
    *,
    op: str = "conv_transpose2d",
) -> tuple[int, ...]:
    """Return the output shape (N, K, P, Q), or (K, P, Q) for one image, or raise.

    The weight is (C, K/groups, R, S): that of the convolution whose input gradient this is.
    """
    _check_image(x_shape, op)
    _check_weight(w_shape, "(channels, filters/groups, height, width)", op)
    _check_geometry(op, stride=stride, padding=padding, dilation=dilation)
    _require_at_least(0, "output_padding", output_padding, op)
    C, K_group, R, S = w_shape
    _check_groups(groups, C, "input channels", op)
    _check_channels(x_shape, w_shape, C, groups, op)
    _check_bias(b_shape, K_group * groups, op)
    if any(o >= max(s, d) for o, s, d in zip(output_padding, stride, dilation, strict=True)):
        problem = (
            f"output_padding {_by(output_padding)} must be smaller than the stride "
            f"{_by(stride)} or the dilation {_by(dilation)}."
        )
        _fail(op, problem, "Use output_padding=0, or a larger stride.", ArgumentError)
    axes = zip(x_shape[-2:], (R, S), stride, padding, output_padding, dilation, strict=True)
    P, Q = (conv_transpose_output_size(*axis) for axis in axes)
    if min(P, Q) < 1:
        problem = (
            f"an input of {_by(x_shape[-2:])} gives an output of {_by((P, Q))}, that is "
            "(size-1)*stride - 2*padding + dilation*(kernel-1) + 1 + output_padding."
        )
        _fail(op, problem, "Use less padding or a larger input.")
    return (*x_shape[:-3], K_group * groups, P, Q)


def check_pool2d(
    x_shape: Shape,
    kernel: Pair,
    stride: Pair,
    padding: Pair,
    dilation: Pair = (1, 1),
    ceil_mode: bool = False,
    *,
    op: str = "max_pool2d",
) -> tuple[int, ...]:
    """Return the output shape (N, C, P, Q), or (C, P, Q) for one image, or raise.

    Beyond PyTorch's refusals: a window whose taps all fall on padding has no maximum.
    """
    _check_image(x_shape, op)
    _check_geometry(op, kernel_size=kernel, stride=stride, padding=padding, dilation=dilation)
    most = (kernel[0] // 2, kernel[1] // 2)
    if padding[0] > most[0] or padding[1] > most[1]:
        problem = f"padding {_by(padding)} is more than half of the kernel {_by(kernel)}."
        _fail(op, problem, f"Use padding of at most {_by(most)}.", ArgumentError)
    P, Q = _window_outputs(op, x_shape[-2:], kernel, stride, padding, dilation, ceil_mode)
    for size, s, p, d in zip(x_shape[-2:], stride, padding, dilation, strict=True):
        # Windows that start in the padding reach their first pixel in steps of the dilation.
        if any(start % d >= size for start in range(-p, 0, s)):
            problem = (
                f"a window with dilation {_by(dilation)} and padding {_by(padding)} holds no "
                f"pixel of the input {_by(x_shape[-2:])}, so it has no maximum."
            )
            _fail(op, problem, "Use padding=0 or a smaller dilation.")
    return (*x_shape[:-2], P, Q)


def check_same_padding(stride: Pair, *, op: str = "conv2d") -> None:
    """Raise if padding="same" is asked for at a stride above 1, where PyTorch refuses it."""
    if max(stride) > 1:
        problem = f"padding='same' needs stride 1, got {_by(stride)}."
        _fail(op, problem, "Give padding as integers, e.g. kernel_size // 2.", ArgumentError)


def check_adaptive_pool2d(
    x_shape: Shape, output_size: Pair, *, op: str = "adaptive_avg_pool2d"
) -> tuple[int, ...]:
    """Return the output shape (N, C, P, Q), or (C, P, Q) for one image, or raise."""
    _check_image(x_shape, op)
    _require_at_least(1, "output_size", output_size, op)
    return (*x_shape[:-2], *output_size)


def check_unfold(
    x_shape: Shape, kernel: Pair, dilation: Pair, padding: Pair, stride: Pair, *, op: str = "unfold"
) -> tuple[int, ...]:
    """Return the columns' shape (N, C*R*S, P*Q), or (C*R*S, P*Q) for one image, or raise."""
    _check_image(x_shape, op)
    _check_geometry(op, kernel_size=kernel, stride=stride, padding=padding, dilation=dilation)
    P, Q = _window_outputs(op, x_shape[-2:], kernel, stride, padding, dilation)
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
        _fail(op, problem, "Only the batch may be empty.")
    _check_geometry(op, kernel_size=kernel, stride=stride, padding=padding, dilation=dilation)
    _require_at_least(1, "output_size", output_size, op)
    rows, positions = cols_shape[-2:]
    R, S = kernel
    if rows % (R * S):
        problem = f"{got} have {rows} rows, not a multiple of the kernel's {R * S} taps ({R}*{S})."
        _fail(op, problem, f"Give C*{R * S} rows, C the number of channels.")
    P, Q = _window_outputs(op, output_size, kernel, stride, padding, dilation)
    if positions != P * Q:
        problem = (
            f"{got} have {positions} positions, but the kernel has {P * Q} ({P}*{Q}) in an "
            f"image of {_by(output_size)}."
        )
        _fail(op, problem, "Use the sizes, stride, padding and dilation of the unfold.")
    return (*cols_shape[:-2], rows // (R * S), *output_size)


# ------------------------------------------------------------------------------ parts of checks

_REMEDIES = {
    "kernel_size": "The smallest kernel is 1x1.",
    "stride": "Use stride=1 to visit every position.",
    "padding": "To crop, slice the input instead.",
    "dilation": "Use dilation=1 for a kernel without gaps.",
    "output_padding": "Use output_padding=0.",
    "output_size": "The smallest output is 1x1.",
}


def _fail(op: str, problem: str, remedy: str, error: type[MiniCNNError] = ShapeError) -> NoReturn:
    raise error(f"{op}: {problem} {remedy}")


def _by(pair: Sequence[int]) -> str:
    return f"{pair[0]}x{pair[1]}"


def _require_at_least(least: int, name: str, value: Pair, op: str) -> None:
    if min(value) < least:
        problem = f"{name} must be at least {least}, got {_by(value)}."
        _fail(op, problem, _REMEDIES[name], ArgumentError)


def _check_geometry(op: str, **values: Pair) -> None:
    for name, value in values.items():
        _require_at_least(0 if name == "padding" else 1, name, value, op)


def _check_image(x_shape: Shape, op: str) -> None:
    got = tuple(x_shape)
    if len(got) not in (3, 4):
        problem = f"expected input (N, C, H, W) or (C, H, W), got {len(got)} axes: {got}."
        _fail(op, problem, "Add an axis of one with x[None], or reshape.")
    if min(got[-3:]) < 1:
        _fail(op, f"input {got} has an empty axis.", "Only the batch may be empty.")


def _check_weight(w_shape: Shape, axes: str, op: str) -> None:
    if len(w_shape) != 4 or min(w_shape) < 1:
        _fail(op, f"expected weight {axes}, got {tuple(w_shape)}.", "Every axis needs at least 1.")


def _check_bias(b_shape: Shape | None, K: int, op: str) -> None:
    if b_shape is not None and tuple(b_shape) != (K,):
        problem = f"bias has shape {tuple(b_shape)}, but there are {K} output channels."
        _fail(op, problem, f"Give it shape ({K},).")


def _check_groups(groups: int, channels: int, what: str, op: str) -> None:
    if groups < 1:
        _fail(op, f"groups must be at least 1, got {groups}.", "Use groups=1.", ArgumentError)
    if rest := channels % groups:
        divisors = ", ".join(str(g) for g in range(1, channels + 1) if channels % g == 0)
        problem = f"groups={groups} does not divide the {channels} {what}"
        sum_ = f"({channels} % {groups} = {rest})."
        _fail(op, f"{problem} {sum_}", f"Use groups from {divisors}.", ArgumentError)


def _check_channels(x_shape: Shape, w_shape: Shape, wanted: int, groups: int, op: str) -> None:
    C = x_shape[-3]
    if wanted == C:
        return
    _check_groups(groups, C, "input channels", op)
    remedy = f"Use in_channels={C}, or an input of {wanted} channels."
    if x_shape[-1] == wanted:
        back = (0, 3, 1, 2) if len(x_shape) == 4 else (2, 0, 1)
        remedy = f"The channels seem to come last: use x.permute{back}."
    problem = f"input {tuple(x_shape)} has {C} channels, but weight {tuple(w_shape)} takes {wanted}"
    _fail(op, f"{problem} (groups={groups}).", remedy)


def _window_outputs(
    op: str,
    size: Shape,
    kernel: Pair,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    ceil_mode: bool = False,
) -> Pair:
    axes = zip(size, kernel, stride, padding, dilation, strict=True)
    P, Q = (pool_output_size(*axis, ceil_mode) for axis in axes)
    if min(P, Q) >= 1:
        return P, Q
    spans = [span(k, d) for k, d in zip(kernel, dilation, strict=True)]
    padded = [n + 2 * p for n, p in zip(size, padding, strict=True)]
    sums = [f"{n}+2*{p}" for n, p in zip(size, padding, strict=True)]
    enough = tuple(max(-((n - k) // 2), 0) for n, k in zip(size, spans, strict=True))
    dilated = "" if max(dilation) == 1 else f" with dilation {_by(dilation)} spans {_by(spans)} and"
    problem = (
        f"kernel {_by(kernel)}{dilated} is larger than the padded input {_by(padded)} "
        f"({', '.join(dict.fromkeys(sums))})."
    )
    enough_text = enough[0] if enough[0] == enough[1] else enough
    _fail(op, problem, f"Use a smaller kernel, or padding >= {enough_text}.")
