"""A chain of layers as a table: `conv:11,4,2 pool:3,2` with sizes and receptive fields."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from minicnn import shapes
from minicnn.cli.geometry import Windows, by
from minicnn.errors import ArgumentError
from minicnn.kernels.shapes import check_conv, check_pool, conv_padding

Pair = tuple[int, int]

FIELDS = ("kernel", "stride", "padding", "dilation")
NAMED_PADDINGS = {"valid": "valid", "same": "same", "keras-same": "keras_same"}
HEADER = ("layer", "output", "sees", "step", "begins at", "never seen")


@dataclass(frozen=True)
class Layer:
    """A layer as it was written, and its geometry."""

    text: str
    kind: str
    kernel: Pair
    stride: Pair
    padding: Pair | str
    dilation: Pair
    ceil: bool


def parse(text: str) -> Layer:
    """`conv:KERNEL,STRIDE,PADDING,DILATION`, with words in place of numbers; or ArgumentError."""
    kind, _, rest = text.partition(":")
    if kind not in ("conv", "pool") or not rest:
        raise ArgumentError(f"{text!r} is no layer. Write conv:5,1,2 or pool:3,2.")
    numbers: list[Pair] = []
    words: list[str] = []
    for part in rest.lower().replace("×", "x").split(","):
        sides = part.split("x")
        if len(sides) <= 2 and all(side.isascii() and side.isdigit() for side in sides):
            numbers.append((int(sides[0]), int(sides[-1])))
        else:
            words.append(part)
    allowed = tuple(NAMED_PADDINGS) if kind == "conv" else ("ceil",)
    for word in words:
        if word not in allowed:
            raise ArgumentError(
                f"{text!r}: {word!r} is neither a number nor a word of {kind}. "
                f"Write numbers, 3x5 or {', '.join(allowed)}."
            )
    if not 1 <= len(numbers) <= len(FIELDS):
        order = ", ".join(FIELDS)
        raise ArgumentError(f"{text!r} has {len(numbers)} numbers. Write {kind}: and {order}.")
    given = dict(zip(FIELDS, numbers, strict=False))
    padding: Pair | str = given.get("padding", (0, 0))
    if kind == "conv" and words:
        padding = NAMED_PADDINGS[words[0]]
        if len(words) > 1 or "padding" in given:
            raise ArgumentError(f"{text!r} names its padding twice. Write conv:3,1,same.")
    usual = given["kernel"] if kind == "pool" else (1, 1)
    return Layer(
        text,
        kind,
        given["kernel"],
        given.get("stride", usual),
        padding,
        given.get("dilation", (1, 1)),
        "ceil" in words,
    )


def windows(layer: Layer, size: Pair) -> list[Windows]:
    """The layer's windows along both axes, if it can take an input of this size; or ShapeError."""
    how = (layer.stride, layer.padding, layer.dilation)
    if layer.kind == "conv":
        check_conv((1, *size), (1, 1, *layer.kernel), None, *how, 1, op=layer.text)
    else:
        assert not isinstance(layer.padding, str)
        geometry = (layer.stride, layer.padding, layer.dilation, layer.ceil)
        check_pool((1, *size), layer.kernel, *geometry, op=layer.text)
    around = conv_padding(layer.padding, size, layer.kernel, layer.stride, layer.dilation)
    return [
        Windows(n, k, s, *p, d, layer.ceil)
        for n, k, s, p, d in zip(
            size, layer.kernel, layer.stride, around, layer.dilation, strict=True
        )
    ]


def chain_lines(size: Pair, texts: Sequence[str]) -> Iterator[str]:
    """The table, a row for each layer."""
    layers = [parse(text) for text in texts]
    rows = [HEADER, ("input", by(size), "1×1", "1×1", "0", "")]
    passed: tuple[list[Windows], list[Windows]] = ([], [])
    for layer in layers:
        both = windows(layer, size)
        for axis, w in zip(passed, both, strict=True):
            axis.append(w)
        size = (both[0].outputs, both[1].outputs)
        fields = [shapes.receptive_field(_geometry(axis)) for axis in passed]
        rows.append(
            (
                layer.text,
                by(size),
                by([field.size for field in fields]),
                by([field.jump for field in fields]),
                ", ".join(dict.fromkeys(str(field.start) for field in fields)),
                " and ".join(_unseen(both)),
            )
        )
    columns = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for cells in rows:
        sides = [cells[0].ljust(columns[0])]
        sides += [cell.rjust(n) for cell, n in zip(cells[1:-1], columns[1:-1], strict=True)]
        yield "  ".join([*sides, cells[-1]]).rstrip()
    yield ""
    yield "In pixels of the image: how many an output sees, how much further the next"
    yield "output looks, and where the first one's view begins (below 0: in the padding)."


def _geometry(axis: Sequence[Windows]) -> list[tuple[int, int, int, int]]:
    return [(w.kernel, w.stride, w.before, w.dilation) for w in axis]


def _unseen(both: Sequence[Windows]) -> Iterator[str]:
    """Rows and columns of the layer's input under no window."""
    for count, what in zip((len(w.unseen()) for w in both), ("row", "column"), strict=True):
        if count:
            yield f"{count} {what}" + "s" * (count > 1)
