"""Every output-size formula against torch's actual output shapes, and against its refusals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from helpers_kernels import generated
from hypothesis import assume, event, given
from hypothesis import strategies as st

from minicnn.kernels import shapes
from minicnn.kernels.errors import ArgumentError, MiniCNNError, ShapeError

BATCH = st.sampled_from(((), (0,), (2,)))
FULL = st.sampled_from(((), (2,)))  # of an empty batch torch's convolutions check less
FEW = st.integers(1, 3)
GEOMETRY = ("size", "kernel", "stride", "padding", "dilation")


@st.composite
def geometry(draw: st.DrawFn, most_padding: int = 2) -> dict[str, Any]:
    """Draw a window and an image, often too small for it; in one case of five, spoil a value."""
    tops = (8, 3, 3, most_padding, 3)
    drawn = {
        name: [draw(st.integers(0 if name == "padding" else 1, top)) for _ in range(2)]
        for name, top in zip(GEOMETRY, tops, strict=True)
    }
    spoiled = draw(st.sampled_from(("none",) * 20 + GEOMETRY))
    if spoiled != "none":
        least = 0 if spoiled == "size" else -1
        drawn[spoiled][draw(st.integers(0, 1))] = draw(st.integers(least, 0))
    return {name: tuple(values) for name, values in drawn.items()}


def spoil(draw: st.DrawFn, *choices: str) -> str:
    """Draw what to spoil, in two cases of three nothing."""
    return draw(st.sampled_from(("none",) * 2 * len(choices) + choices))


def verdict(shape: Callable[[], Any]) -> tuple[int, ...] | str:
    """Return the shape, or "refused" for an error or an output without pixels."""
    try:
        found = shape()
    except (RuntimeError, IndexError, ValueError):
        return "refused"
    found = tuple(found.shape) if isinstance(found, torch.Tensor) else found
    return "refused" if 0 in found[-2:] else found


def assert_same_verdict(ours: Callable[[], Any], torchs: Callable[[], Any]) -> None:
    want = verdict(torchs)
    event("refused" if want == "refused" else "taken")
    assert verdict(ours) == want


@generated(250)
@given(data=st.data(), batch=FULL, how=geometry(), groups=FEW, channels=FEW, filters=FEW)
def test_conv2d_takes_and_refuses_what_torch_does(
    data, batch, how, groups, channels, filters
) -> None:
    wrong = spoil(data.draw, "groups", "input", "bias", "filters", "rank", "weight rank", "empty")
    x = [*batch, channels * groups + (wrong == "input"), *how["size"]]
    w = [filters * groups + (wrong == "filters"), channels, *how["kernel"]]
    b = [w[0] + (wrong == "bias")]
    x = x[1:] if wrong == "rank" else x
    w = w[1:] if wrong == "weight rank" else w
    if wrong == "empty":
        w[data.draw(st.integers(0, 3))] = 0
    at = (how["stride"], how["padding"], how["dilation"], 0 if wrong == "groups" else groups)
    assume(min(*w, *x) >= 0)  # torch.zeros itself refuses negative sizes
    assume(wrong != "empty" or w[1] > 0)  # torch takes zero channels, and returns another shape
    tensors = (torch.zeros(x), torch.zeros(w), torch.zeros(b))
    assert_same_verdict(lambda: shapes.check_conv2d(x, w, b, *at), lambda: F.conv2d(*tensors, *at))


@generated(200)
@given(
    data=st.data(), batch=FULL, how=geometry(), groups=FEW, channels=FEW, filters=FEW,
    extra=st.tuples(st.integers(0, 2), st.integers(0, 2)),
)  # fmt: skip
def test_conv_transpose2d_takes_and_refuses_what_torch_does(
    data, batch, how, groups, channels, filters, extra
) -> None:
    wrong = spoil(data.draw, "groups", "input", "bias", "channels", "rank", "output_padding")
    C = channels * groups + (wrong == "channels")
    x, w = [*batch, C + (wrong == "input"), *how["size"]], [C, filters, *how["kernel"]]
    b = [filters * groups + (wrong == "bias")]
    x = x[1:] if wrong == "rank" else x
    groups = 0 if wrong == "groups" else groups
    extra = (-1, 0) if wrong == "output_padding" else extra
    assume(min(*w, *x[-2:]) > 0)  # torch takes an empty image, whose output is all bias
    at = (how["stride"], how["padding"], extra, groups, how["dilation"])
    tensors = (torch.zeros(x), torch.zeros(w), torch.zeros(b))

    def torchs() -> torch.Tensor:
        if min(how["dilation"]) < 1:
            raise ValueError  # with groups, torch lets a dilation of 0 pass
        return F.conv_transpose2d(*tensors, *at)

    assert_same_verdict(lambda: shapes.check_conv_transpose2d(x, w, b, *at), torchs)


def test_an_empty_batch_is_taken() -> None:
    x, w, at = (0, 4, 5, 6), (6, 2, 3, 3), ((2, 1), (1, 0), (1, 1))
    want = F.conv2d(torch.zeros(x), torch.zeros(w), None, *at, 2)
    assert shapes.check_conv2d(x, w, None, *at, 2) == want.shape
    assert shapes.check_conv_transpose2d((0, 6, 5, 6), w, None, *at[:2], (0, 0), 2, at[2])[0] == 0


def holds_padding_only(size, kernel, stride, padding, dilation, outputs) -> bool:
    """Return whether some window has no pixel along one axis, by looking at every tap."""
    axes = zip(size, kernel, stride, padding, dilation, outputs, strict=True)
    return any(
        not any(0 <= i * s - p + r * d < n for r in range(k))
        for n, k, s, p, d, count in axes
        for i in range(count)
    )


@generated(400)
@given(data=st.data(), batch=BATCH, how=geometry(most_padding=1), ceil_mode=st.booleans())
def test_max_pool2d_takes_and_refuses_what_torch_does(data, batch, how, ceil_mode) -> None:
    wrong = spoil(data.draw, "rank", "empty", "padding")
    x = [*batch, 0 if wrong == "empty" else 2, *how["size"]]
    x = x[1:] if wrong == "rank" else x
    padding = (2, 1) if wrong == "padding" else how["padding"]
    at = (how["kernel"], how["stride"], padding, how["dilation"], ceil_mode)

    def torchs() -> torch.Tensor:
        y = F.max_pool2d(torch.zeros(x), *at)
        if holds_padding_only(how["size"], *at[:4], y.shape[-2:]):
            raise ValueError  # torch goes on, with -inf and an index outside the plane
        return y

    assert_same_verdict(lambda: shapes.check_pool2d(x, *at), torchs)


@pytest.mark.parametrize("ceil_mode", [False, True])
@pytest.mark.parametrize("padding", [0, 1])
def test_pool_sizes_agree_with_torch_over_a_whole_range(padding: int, ceil_mode: bool) -> None:
    for size in range(2, 14):
        for kernel in range(2, min(size + 2 * padding, 6) + 1):
            for stride in range(1, 6):
                x = torch.zeros(1, size)
                want = F.max_pool1d(x, kernel, stride, padding, 1, ceil_mode).shape[-1]
                got = shapes.pool_output_size(size, kernel, stride, padding, 1, ceil_mode)
                assert got == want, (size, kernel, stride)


@generated(200)
@given(data=st.data(), batch=BATCH, how=geometry())
def test_unfold_takes_and_refuses_what_torch_does(data, batch, how) -> None:
    wrong = spoil(data.draw, "rank", "empty")
    x = [*batch, 0 if wrong == "empty" else 2, *how["size"]]
    x = [2, *x] if wrong == "rank" else x
    at = (how["kernel"], how["dilation"], how["padding"], how["stride"])
    assert_same_verdict(lambda: shapes.check_unfold(x, *at), lambda: F.unfold(torch.zeros(x), *at))


@generated(200)
@given(data=st.data(), batch=BATCH, how=geometry(), channels=FEW)
def test_fold_takes_and_refuses_what_torch_does(data, batch, how, channels) -> None:
    wrong = spoil(data.draw, "rows", "positions", "rank", "empty")
    positions = 3  # where the geometry is wrong there is no count that fits
    if min(*how["stride"], *how["kernel"]) > 0:
        P, Q = shapes.conv2d_output_size(*(how[name] for name in GEOMETRY))
        positions = max(P * Q, 0)
    rows = 0 if wrong == "empty" else channels * max(how["kernel"][0] * how["kernel"][1], 0)
    cols = [*batch, rows + (wrong == "rows"), positions + (wrong == "positions")]
    cols = [2, *cols] if wrong == "rank" else cols
    at = (how["size"], how["kernel"], how["dilation"], how["padding"], how["stride"])
    assert_same_verdict(
        lambda: shapes.check_fold(cols, *at), lambda: F.fold(torch.zeros(cols), *at)
    )


# ------------------------------------------------------------------------------ messages

ONE, NONE = (1, 1), (0, 0)
MESSAGES: list[tuple[str, type[MiniCNNError], str, tuple[Any, ...]]] = [
    (
        "check_conv2d",
        ShapeError,
        "conv2d: kernel 11x11 is larger than the padded input 8x8 (4+2*2). "
        "Use a smaller kernel, or padding >= 4.",
        ((1, 3, 4, 4), (8, 3, 11, 11), None, ONE, (2, 2), ONE, 1),
    ),
    (
        "check_conv2d",
        ShapeError,
        "conv2d: kernel 3x3 with dilation 2x4 spans 5x9 and is larger than the padded input 4x7 "
        "(4+2*0, 5+2*1). Use a smaller kernel, or padding >= (1, 2).",
        ((1, 3, 4, 5), (8, 3, 3, 3), None, ONE, (0, 1), (2, 4), 1),
    ),
    (
        "check_conv2d",
        ShapeError,
        "conv2d: input (2, 5, 6, 7) has 5 channels, but weight (8, 3, 3, 3) takes 3 (groups=1). "
        "Use in_channels=5, or an input of 3 channels.",
        ((2, 5, 6, 7), (8, 3, 3, 3), None, ONE, NONE, ONE, 1),
    ),
    (
        "check_conv2d",
        ShapeError,
        "conv2d: input (2, 28, 28, 3) has 28 channels, but weight (8, 3, 3, 3) takes 3 "
        "(groups=1). The channels seem to come last: use x.permute(0, 3, 1, 2).",
        ((2, 28, 28, 3), (8, 3, 3, 3), None, ONE, NONE, ONE, 1),
    ),
    (
        "check_conv2d",
        ArgumentError,
        "conv2d: groups=4 does not divide the 6 filters (6 % 4 = 2). Use groups from 1, 2, 3, 6.",
        ((1, 4, 5, 5), (6, 1, 3, 3), None, ONE, NONE, ONE, 4),
    ),
    (
        "check_conv2d",
        ArgumentError,
        "conv2d: stride must be at least 1, got 2x0. Use stride=1 to visit every position.",
        ((1, 4, 5, 5), (6, 4, 3, 3), None, (2, 0), NONE, ONE, 1),
    ),
    (
        "check_conv2d",
        ArgumentError,
        "conv2d: padding must be at least 0, got -1x0. To crop, slice the input instead.",
        ((1, 4, 5, 5), (6, 4, 3, 3), None, ONE, (-1, 0), ONE, 1),
    ),
    (
        "check_conv2d",
        ShapeError,
        "conv2d: expected input (N, C, H, W) or (C, H, W), got 2 axes: (5, 5). "
        "Add an axis of one with x[None], or reshape.",
        ((5, 5), (6, 4, 3, 3), None, ONE, NONE, ONE, 1),
    ),
    (
        "check_pool2d",
        ArgumentError,
        "max_pool2d: padding 2x1 is more than half of the kernel 3x3. Use padding of at most 1x1.",
        ((1, 1, 5, 5), (3, 3), ONE, (2, 1), ONE),
    ),
    (
        "check_pool2d",
        ShapeError,
        "max_pool2d: a window with dilation 3x3 and padding 1x1 holds no pixel of the input 2x2, "
        "so it has no maximum. Use padding=0 or a smaller dilation.",
        ((1, 1, 2, 2), (2, 2), ONE, ONE, (3, 3)),
    ),
    (
        "check_fold",
        ShapeError,
        "fold: columns (2, 11, 16) have 11 rows, not a multiple of the kernel's 4 taps (2*2). "
        "Give C*4 rows, C the number of channels.",
        ((2, 11, 16), (5, 5), (2, 2), ONE, NONE, ONE),
    ),
    (
        "check_same_padding",
        ArgumentError,
        "conv2d: padding='same' needs stride 1, got 2x1. "
        "Use padding='keras_same' for ceil(size/stride) outputs, or integers.",
        ((2, 1),),
    ),
]


@pytest.mark.parametrize(("check", "error", "message", "arguments"), MESSAGES)
def test_a_refusal_is_one_line_with_numbers_and_a_remedy(check, error, message, arguments) -> None:
    with pytest.raises(error) as caught:
        getattr(shapes, check)(*arguments)
    assert str(caught.value) == message


def test_a_refusal_names_the_op_that_asked() -> None:
    with pytest.raises(ArgumentError, match=r"^avg_pool2d: kernel_size must be at least 1"):
        shapes.check_pool2d((1, 1, 4, 4), (0, 2), ONE, NONE, op="avg_pool2d")


@pytest.mark.parametrize("remedied", [4, 5])
def test_the_remedy_of_the_first_message_is_right(remedied: int) -> None:
    geometry = ((1, 3, 4, 4), (8, 3, 11, 11), None, ONE)
    assert shapes.check_conv2d(*geometry, (remedied,) * 2, ONE, 1)[-1] >= 1


def test_pair_takes_one_integer_or_two() -> None:
    assert shapes.pair(2, "stride", op="conv2d") == (2, 2)
    assert shapes.pair([3], "stride", op="conv2d") == (3, 3)
    assert shapes.pair((1, torch.tensor(2)), "stride", op="conv2d") == (1, 2)


@pytest.mark.parametrize("value", [2.0, "2", None, (), (1, 2, 3), (1, 2.5), True])
def test_pair_refuses_all_else(value: Any) -> None:
    with pytest.raises(ArgumentError, match="conv2d: stride must be an integer or two, got "):
        shapes.pair(value, "stride", op="conv2d")


# ------------------------------------------------------------------------------ other formulas


@pytest.mark.filterwarnings("ignore:Using padding='same'")  # torch: an even kernel costs a copy
@generated(60)
@given(
    size=st.integers(1, 12),
    kernel=st.integers(1, 6),
    dilation=st.integers(1, 3),
)
def test_same_padding_is_torch_s_at_stride_1(size: int, kernel: int, dilation: int) -> None:
    x, w = torch.randn(1, 1, size), torch.randn(1, 1, kernel)
    want = F.conv1d(x, w, padding="same", dilation=dilation)
    before_after = shapes.same_padding(size, kernel, 1, dilation)
    got = F.conv1d(F.pad(x, before_after), w, dilation=dilation)
    torch.testing.assert_close(got, want)


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "dilation", "padding"),
    [  # Keras: total = max((ceil(size/stride) - 1)*stride + span - size, 0), the smaller half first
        (224, 7, 2, 1, (2, 3)),
        (224, 3, 2, 1, (0, 1)),
        (225, 3, 2, 1, (1, 1)),
        (28, 2, 2, 1, (0, 0)),
        (7, 1, 3, 1, (0, 0)),
        (10, 3, 3, 2, (2, 2)),
        (5, 4, 1, 1, (1, 2)),
    ],
)
def test_same_padding_is_keras_s_at_larger_strides(size, kernel, stride, dilation, padding) -> None:
    assert shapes.same_padding(size, kernel, stride, dilation) == padding
    padded = size + sum(padding)
    assert shapes.conv_output_size(padded, kernel, stride, 0, dilation) == -(-size // stride)


@pytest.mark.parametrize("size", [1, 5, 6, 13])
@pytest.mark.parametrize("output", [1, 2, 5, 6, 7])
def test_adaptive_windows_are_torch_s(size: int, output: int) -> None:
    averages = F.adaptive_avg_pool1d(torch.eye(size), output)  # row c: the share of pixel c
    seen = [torch.nonzero(column).flatten().tolist() for column in averages.T]
    assert shapes.adaptive_windows(size, output) == [(s[0], s[-1] + 1) for s in seen]


@generated(60)
@given(
    layers=st.lists(
        st.tuples(st.integers(1, 4), st.integers(1, 3), st.integers(0, 2), st.integers(1, 2)),
        min_size=0,
        max_size=3,
    )
)
def test_receptive_field_is_where_the_gradient_arrives(layers: list[tuple[int, ...]]) -> None:
    x = torch.zeros(1, 1, 200, requires_grad=True)
    y = x
    for kernel, stride, padding, dilation in layers:
        y = F.conv1d(y, torch.ones(1, 1, kernel), None, stride, padding, dilation)
    size, jump, start = shapes.receptive_field(layers)  # type: ignore[arg-type]
    index = y.shape[-1] // 2
    y[0, 0, index].backward()
    assert x.grad is not None
    seen = torch.nonzero(x.grad.flatten()).flatten().tolist()
    assert (seen[0], seen[-1]) == (start + index * jump, start + index * jump + size - 1)


@generated(60)
@given(
    size=st.integers(4, 20),
    kernel=st.integers(1, 4),
    stride=st.integers(1, 4),
    padding=st.integers(0, 2),
)
def test_dropped_pixels_get_no_gradient(size, kernel, stride, padding) -> None:
    stride = min(stride, kernel)  # else there are also gaps between the windows
    x = torch.zeros(1, 1, size, requires_grad=True)
    F.conv1d(x, torch.ones(1, 1, kernel), None, stride, padding).sum().backward()
    assert x.grad is not None
    last = max(torch.nonzero(x.grad.flatten()).flatten().tolist())
    assert shapes.dropped_pixels(size, kernel, stride, padding) == size - 1 - last


def test_adaptive_pool_output() -> None:
    assert shapes.check_adaptive_pool2d((2, 3, 9, 8), (4, 5)) == (2, 3, 4, 5)
    with pytest.raises(ArgumentError, match="output_size must be at least 0, got -1x5"):
        shapes.check_adaptive_pool2d((2, 3, 9, 8), (-1, 5))
