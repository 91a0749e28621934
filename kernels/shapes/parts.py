"""What the checks have in common, along any number of axes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from ..errors import ArgumentError, MiniCNNError, ShapeError
from .formulas import Shape, pool_output_size, span

_REMEDIES = {
    "kernel_size": "The smallest kernel is {}.",
    "stride": "Use stride=1 to visit every position.",
    "padding": "To crop, slice the input instead.",
    "dilation": "Use dilation=1 for a kernel without gaps.",
    "output_padding": "Use output_padding=0.",
    "output_size": "The smallest output is {}.",
}
_IMAGES = {1: "C, L", 2: "C, H, W", 3: "C, D, H, W"}  # behind the batch, by number of axes


def fail(op: str, problem: str, remedy: str, error: type[MiniCNNError] = ShapeError) -> NoReturn:
    """Raise a one-line error."""
    raise error(f"{op}: {problem} {remedy}")


def by(sizes: Sequence[int]) -> str:
    """Return (3, 5) as "3x5"."""
    return "x".join(map(str, sizes))


def require_at_least(least: int, name: str, value: Shape, op: str) -> None:
    """Raise unless an argument is at least so much along every axis."""
    if min(value) < least:
        problem = f"{name} must be at least {least}, got {by(value)}."
        remedy = _REMEDIES[name].format(by((1,) * len(value)))
        fail(op, problem, remedy, ArgumentError)


def check_geometry(op: str, **values: Shape) -> None:
    """Raise unless the padding is at least 0 and all else at least 1."""
    for name, value in values.items():
        require_at_least(0 if name == "padding" else 1, name, value, op)


def check_image(x_shape: Shape, axes: int, op: str) -> None:
    """Raise unless there are so many axes behind the channels, and nothing but the batch empty."""
    got = tuple(x_shape)
    if len(got) not in (axes + 1, axes + 2):
        one = _IMAGES[axes]
        problem = f"expected input (N, {one}) or ({one}), got {len(got)} axes: {got}."
        fail(op, problem, "Add an axis of one with x[None], or reshape.")
    if min(got[-axes - 1 :]) < 1:
        fail(op, f"input {got} has an empty axis.", "Only the batch may be empty.")


def check_groups(groups: int, channels: int, what: str, op: str) -> None:
    """Raise unless the groups share the channels evenly."""
    if groups < 1:
        fail(op, f"groups must be at least 1, got {groups}.", "Use groups=1.", ArgumentError)
    if rest := channels % groups:
        divisors = ", ".join(str(g) for g in range(1, channels + 1) if channels % g == 0)
        problem = f"groups={groups} does not divide the {channels} {what}"
        sum_ = f"({channels} % {groups} = {rest})."
        fail(op, f"{problem} {sum_}", f"Use groups from {divisors}.", ArgumentError)


def window_outputs(
    op: str,
    size: Shape,
    kernel: Shape,
    stride: Shape,
    padding: Shape,
    dilation: Shape,
    ceil_mode: bool = False,
) -> tuple[int, ...]:
    """Return the outputs along each axis, or raise if the kernel does not fit in."""
    axes = zip(size, kernel, stride, padding, dilation, strict=True)
    outputs = tuple(pool_output_size(*axis, ceil_mode) for axis in axes)
    if min(outputs) >= 1:
        return outputs
    spans = [span(k, d) for k, d in zip(kernel, dilation, strict=True)]
    padded = [n + 2 * p for n, p in zip(size, padding, strict=True)]
    sums = [f"{n}+2*{p}" for n, p in zip(size, padding, strict=True)]
    enough = tuple(max(-((n - k) // 2), 0) for n, k in zip(size, spans, strict=True))
    dilated = "" if max(dilation) == 1 else f" with dilation {by(dilation)} spans {by(spans)} and"
    problem = (
        f"kernel {by(kernel)}{dilated} is larger than the padded input {by(padded)} "
        f"({', '.join(dict.fromkeys(sums))})."
    )
    enough_text = enough[0] if len(set(enough)) == 1 else enough
    fail(op, problem, f"Use a smaller kernel, or padding >= {enough_text}.")
