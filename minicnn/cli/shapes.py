"""`minicnn shapes`: output sizes by their formulas, with the numbers put in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import click

from minicnn import shapes
from minicnn.cli import geometry
from minicnn.cli.chain import chain_lines
from minicnn.cli.geometry import Windows, by, counted, line
from minicnn.cli.options import Page, option
from minicnn.kernels.shapes import (
    check_adaptive_pool,
    check_conv,
    check_conv_transpose,
    check_pool,
    check_unfold,
    conv_padding,
)

Pair = tuple[int, int]
MOST = 1_000_000  # every pixel is looked at

SHORT = {
    "conv": "A convolution: nn.Conv2d.",
    "pool": "A pooling: nn.MaxPool2d, nn.AvgPool2d.",
    "transpose": "A transposed convolution: nn.ConvTranspose2d.",
    "adaptive": "The windows of nn.AdaptiveAvgPool2d.",
    "unfold": "The columns of F.unfold, im2col.",
    "chain": "Layer after layer, with receptive fields.",
}
NAMES = ("valid", "same", "keras-same")


class Two(click.ParamType):
    """One number for both axes, or HxW; with `names`, also a word."""

    def __init__(self, least: int, names: tuple[str, ...] = ()) -> None:
        self.least, self.names = least, names
        self.name = "numbers"

    def convert(self, value: Any, param: Any, ctx: Any) -> Pair | str:
        if isinstance(value, tuple):
            return value
        if str(value).replace("_", "-") in self.names:
            return str(value).replace("_", "-")
        parts = str(value).lower().replace("×", "x").replace(",", "x").split("x")
        if len(parts) > 2 or not all(part.isascii() and part.isdigit() for part in parts):
            words = "".join(f", or {name}" for name in self.names)
            self.fail(f"{value!r} is no size. Write 3, or 3x5 (height x width){words}", param, ctx)
        if not all(self.least <= int(part) <= MOST for part in parts):
            self.fail(f"{value} is not from {self.least} to {MOST:,}", param, ctx)
        return int(parts[0]), int(parts[-1])


def size(name: str, help: str, default: str = "", **more: Any) -> Callable[..., Any]:
    """An option of one or two numbers."""
    return option(
        f"--{name}",
        type=Two(0 if "padding" in name else 1, more.pop("names", ())),
        metavar=more.pop("metavar", "N or HxW"),
        **({"default": default, "unless": default} if default else {}),
        **({} if default or "unless" in more else {"required": True}),
        help=help,
        **more,
    )


def count(name: str, help: str, **more: Any) -> Callable[..., Any]:
    """An option of one number."""
    return option(f"--{name}", type=click.IntRange(min=1), metavar="N", help=help, **more)


WINDOW, IMAGE, COST = "The window", "The image", "What it costs"
INPUT = size("input", "Its pixels.", section=IMAGE)
KERNEL = size("kernel", "The window's size.", section=WINDOW)
STRIDE = size("stride", "Pixels from one window to the next.", "1", section=WINDOW)
PADDING = size("padding", "Pixels on every side.", "0", section=WINDOW)
DILATION = size("dilation", "Pixels from one tap to the next.", "1", section=WINDOW)


def together(*options: Callable[..., Any]) -> Callable[..., Any]:
    """Several options, in this order on the help page."""

    def decorate(command: Any) -> Any:
        for add in reversed(options):
            command = add(command)
        return command

    return decorate


class Formulas(click.Group):
    """A group whose help lists its commands in the order of SHORT, with these words."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(SHORT)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Of what"):
            formatter.write_dl(list(SHORT.items()), col_spacing=4)
        formatter.write("\nEach has its own page: minicnn shapes conv --help\n")


@click.group("shapes", cls=Formulas, invoke_without_command=True)
@click.pass_context
def command(ctx: click.Context) -> None:
    """How large is the output? Each formula with the numbers put in, what the
    edge loses, and what one output sees.

    Sizes are one number for both axes, or HxW. As functions: minicnn.shapes.

    \b
    minicnn shapes conv --input 224 --kernel 11 --stride 4 --padding 2
    minicnn shapes pool --input 13 --kernel 3 --stride 2
    minicnn shapes chain --input 224 conv:11,4,2 pool:3,2 conv:5,1,2 pool:3,2
    """
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


# ---------------------------------------------------------------------------------------- commands


@command.command("conv", cls=Page)
@together(INPUT, KERNEL, STRIDE)
@size(
    "padding", "Pixels on every side; or same, valid, keras-same.", "0",
    section=WINDOW, names=NAMES, metavar="N, HxW or WORD",
)  # fmt: skip
@together(
    DILATION,
    count("channels", "The image's channels.", default=1, section=COST, unless="1"),
    count("filters", "Output channels; with it, parameters and MACs.", section=COST),
    count("groups", "Groups of channels and filters.", default=1, section=COST, unless="1"),
)
def conv(
    input: Pair, kernel: Pair, stride: Pair, padding: Pair | str, dilation: Pair,
    channels: int, filters: int | None, groups: int,
) -> None:  # fmt: skip
    """The output of a convolution, nn.Conv2d.

    \b
    minicnn shapes conv --input 224 --kernel 11 --stride 4 --padding 2
    minicnn shapes conv --input 7 --kernel 3 --stride 2
    minicnn shapes conv --input 28x40 --kernel 3x5 --padding same
    minicnn shapes conv --input 27 --kernel 5 --channels 64 --filters 192
    """
    named = padding.replace("-", "_") if isinstance(padding, str) else padding
    K = groups if filters is None else filters
    weight = (K, max(channels // groups, 1), *kernel)
    check_conv((channels, *input), weight, None, stride, named, dilation, groups, op="conv")
    around = conv_padding(named, input, kernel, stride, dilation)
    axes = [
        Windows(n, k, s, *p, d)
        for n, k, s, p, d in zip(input, kernel, stride, around, dilation, strict=True)
    ]
    title(f"convolution of {by(input)} with a kernel of {by(kernel)}", axes)
    for axis in each_axis(axes):
        if isinstance(padding, str) and padding != "valid":
            show(geometry.same_lines(axis, padding))
        window_lines(axis)
    if filters is None:
        return
    P, Q = (axis.outputs for axis in axes)
    C, (R, S) = channels // groups, kernel
    weights = filters * C * R * S
    parameters = f"{filters}·{C}·{R}·{S} = {weights:,} weights and {counted(filters, 'bias')}"
    click.echo("")
    show([line("parameters", f"{parameters.replace('biass', 'biases')}: {weights + filters:,}")])
    products = f"{filters}·{P}·{Q} outputs · {C}·{R}·{S} taps"
    show([line("MACs", f"{products} = {weights * P * Q:,} an image")])


@command.command("pool", cls=Page)
@together(
    INPUT,
    KERNEL,
    size("stride", "Pixels from one window to the next.", section=WINDOW, unless="the kernel"),
    PADDING,
    DILATION,
)
@option(
    "--ceil-mode", is_flag=True, section=WINDOW,
    help="Round up: a last window may hang over the edge.",
)  # fmt: skip
def pool(
    input: Pair, kernel: Pair, stride: Pair | None, padding: Pair, dilation: Pair, ceil_mode: bool
) -> None:
    """The output of a pooling, nn.MaxPool2d or nn.AvgPool2d.

    \b
    minicnn shapes pool --input 55 --kernel 3 --stride 2
    minicnn shapes pool --input 6 --kernel 2 --stride 3
    minicnn shapes pool --input 6 --kernel 3 --stride 2 --ceil-mode
    """
    stride = stride or kernel
    check_pool((1, *input), kernel, stride, padding, dilation, ceil_mode, op="pool")
    axes = [
        Windows(n, k, s, p, p, d, ceil_mode)
        for n, k, s, p, d in zip(input, kernel, stride, padding, dilation, strict=True)
    ]
    title(f"pooling of {by(input)} with windows of {by(kernel)}", axes)
    for axis in each_axis(axes):
        window_lines(axis)


@command.command("transpose", cls=Page)
@together(
    INPUT,
    KERNEL,
    size("stride", "Outputs from one input's to the next one's.", "1", section=WINDOW),
    size("padding", "Outputs cut off on every side.", "0", section=WINDOW),
    size("output-padding", "Outputs added at the far edge.", "0", section=WINDOW),
    DILATION,
)
def transpose(
    input: Pair, kernel: Pair, stride: Pair, padding: Pair, output_padding: Pair, dilation: Pair
) -> None:
    """The output of a transposed convolution, nn.ConvTranspose2d: the size of
    the image from which a convolution of the same geometry makes the input.

    \b
    minicnn shapes transpose --input 4 --kernel 3 --stride 2 --padding 1
    minicnn shapes transpose --input 14 --kernel 2 --stride 2
    """
    check_conv_transpose(
        (1, *input), (1, 1, *kernel), None, stride, padding, output_padding, 1, dilation,
        op="transpose",
    )  # fmt: skip
    each = list(zip(input, kernel, stride, padding, output_padding, dilation, strict=True))
    outputs = [shapes.conv_transpose_output_size(*axis) for axis in each]
    click.echo(f"transposed convolution of {by(input)} with {by(kernel)}: {by(outputs)}")
    axes = [
        (n, extra, Windows(o, k, s, p, p, d))
        for (n, k, s, p, extra, d), o in zip(each, outputs, strict=True)
    ]
    for axis in each_axis(axes):
        show(geometry.transpose_lines(*axis))
        show(geometry.sketch_of_transpose(axis[0], axis[2]))


@command.command("adaptive", cls=Page)
@INPUT
@size("output", "How many windows.", section=WINDOW)
def adaptive(input: Pair, output: Pair) -> None:
    """The windows of adaptive pooling, nn.AdaptiveAvgPool2d: as many as are
    wanted, over all pixels, of nearly one size.

    \b
    minicnn shapes adaptive --input 13 --output 6
    minicnn shapes adaptive --input 7x10 --output 3x4
    """
    check_adaptive_pool((1, *input), output, op="adaptive")
    click.echo(f"adaptive pooling of {by(input)}: {by(output)}")
    for n, m in each_axis(list(zip(input, output, strict=True))):
        windows = shapes.adaptive_windows(n, m)
        show([line("window i", "begins at ⌊i·input / output⌋")])
        show([line("", "ends before ⌈(i + 1)·input / output⌉")])
        if not windows:
            continue
        i = min(1, m - 1)
        start, end = windows[i]
        first, last = f"⌊{i}·{n} / {m}⌋ = {start}", f"⌈{i + 1}·{n} / {m}⌉ = {end}"
        show([line(f"window {i}", f"begins at {first}, ends before {last}")])
        lengths = sorted({end - start for start, end in windows})
        over = Counter(pixel for start, end in windows for pixel in range(start, end))
        shared = counted(sum(times > 1 for times in over.values()), "pixel")
        each = counted(lengths[-1], "pixel")
        each = each if len(lengths) == 1 else f"{lengths[0]} or {each}"
        show([line("length", f"{each}; {shared} in more than one window")])
        show(geometry.sketch_of_ranges(windows, n))


@command.command("unfold", cls=Page)
@together(
    INPUT, KERNEL, STRIDE, PADDING, DILATION,
    count("channels", "The image's channels.", default=1, section=IMAGE, unless="1"),
    count("batch", "How many images.", default=1, section=IMAGE, unless="1"),
)  # fmt: skip
def unfold(
    input: Pair, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair,
    channels: int, batch: int,
) -> None:  # fmt: skip
    """The columns of F.unfold, im2col: what lies under the kernel, a column for
    each position. A convolution is then one matrix product.

    \b
    minicnn shapes unfold --input 224 --kernel 3 --padding 1 --channels 64
    """
    shape = (batch, channels, *input)
    N, rows, columns = check_unfold(shape, kernel, dilation, padding, stride, op="unfold")
    axes = [
        Windows(n, k, s, p, p, d)
        for n, k, s, p, d in zip(input, kernel, stride, padding, dilation, strict=True)
    ]
    (R, S), (P, Q) = kernel, (axis.outputs for axis in axes)
    click.echo(f"unfold of {by(shape)} under {by(kernel)}: {by((N, rows, columns))}")
    for axis in each_axis(axes):
        show(geometry.output_lines(axis))
    click.echo("")
    show([line("rows", f"channels·taps = {channels}·{R}·{S} = {rows:,}")])
    show([line("columns", f"positions = {P}·{Q} = {columns:,}")])
    numbers, pixels = N * rows * columns, N * channels * input[0] * input[1]
    size = f"{numbers:,} numbers, {4 * numbers:,} bytes in float32"
    show([line("memory", f"{size}: {numbers / pixels:.3g} times the image")])


@command.command("chain", cls=Page)
@click.argument("layers", nargs=-1, required=True)
@INPUT
def chain(layers: tuple[str, ...], input: Pair) -> None:
    """Layer after layer: sizes, and how much of the image one output sees.

    A layer is conv or pool, and behind the colon its kernel, stride, padding
    and dilation, as many as are needed: conv:5,1,2. A pooling's stride is else
    its kernel. Words may stand for numbers: conv:3,1,same, pool:3,2,ceil.

    \b
    minicnn shapes chain --input 224 conv:11,4,2 pool:3,2 conv:5,1,2 pool:3,2
    minicnn shapes chain --input 160x120 conv:3 pool:2 conv:3x1 pool:2,2,ceil
    """
    show(chain_lines(input, layers))


# ------------------------------------------------------------------------------------------- parts


def show(lines: Any) -> None:
    """Print lines."""
    for text in lines:
        click.echo(text)


def title(what: str, axes: list[Windows]) -> None:
    """The first line: what is computed, and what comes out."""
    click.echo(f"{what}: {by([axis.outputs for axis in axes])}")


def each_axis(axes: list[Any]) -> Iterator[Any]:
    """Both axes under their names; if they are equal, one without a name."""
    if axes[0] == axes[1]:
        click.echo("")
        yield axes[0]
        return
    for name, axis in zip(("height", "width"), axes, strict=True):
        click.echo(f"\n{name}")
        yield axis


def window_lines(w: Windows) -> None:
    """One axis of windows that slide: formula, edge, receptive field, sketch."""
    show(geometry.output_lines(w))
    show(geometry.edge_lines(w))
    show([geometry.field_line(w)])
    show(geometry.sketch(w))
