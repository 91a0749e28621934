"""`minicnn shapes`: the numbers are torch's, the pictures show the windows, pages are narrow."""

from __future__ import annotations

import doctest
import itertools
import re

import pytest
import torch
import torch.nn.functional as F
from helpers_cli import narrow, require_one_line

from minicnn import shapes
from minicnn.cli import geometry
from minicnn.cli.chain import chain_lines
from minicnn.cli.geometry import Windows

COMMANDS = ("conv", "pool", "transpose", "adaptive", "unfold", "chain")


def seen_by(y: torch.Tensor, x: torch.Tensor) -> list[list[int]]:
    """The pixels of x that each output depends on, by its gradient."""
    found = []
    for output in range(y.shape[-1]):
        (grad,) = torch.autograd.grad(y[0, 0, output], x, retain_graph=True)
        found.append(torch.nonzero(grad.flatten()).flatten().tolist())
    return found


# ---------------------------------------------------------------------------------- the formulas


def test_the_page_of_the_functions_is_true():
    assert doctest.testmod(shapes).attempted >= 6
    assert doctest.testmod(shapes).failed == 0


@pytest.mark.parametrize("size", [(5, 6), (7, 4)])
def test_unfold_size_is_torch_s(size):
    for kernel, stride, padding, dilation in itertools.product(
        [(1, 1), (2, 3)], [(1, 1), (2, 3)], [(0, 0), (1, 2)], [(1, 1), (1, 2)]
    ):
        if size[1] + 2 * padding[1] < dilation[1] * (kernel[1] - 1) + 1:
            continue
        cols = F.unfold(torch.zeros(1, 3, *size), kernel, dilation, padding, stride)
        got = shapes.unfold_size(size, kernel, stride, padding, dilation, channels=3)
        assert got == tuple(cols.shape[1:])


GEOMETRY = list(itertools.product(range(1, 9), (1, 2, 3), (1, 2, 3), (0, 1, 2), (1, 2)))


def test_windows_are_where_torch_s_convolution_looks():
    for size, kernel, stride, padding, dilation in GEOMETRY:
        w = Windows(size, kernel, stride, padding, padding, dilation)
        if w.room < 0:
            continue
        x = torch.zeros(1, 1, size, requires_grad=True)
        y = F.conv1d(x, torch.ones(1, 1, kernel), None, stride, padding, dilation)
        seen = seen_by(y, x)
        assert w.outputs == len(seen)
        assert [[p for p in w.taps(i) if 0 <= p < size] for i in range(w.outputs)] == seen
        assert w.unseen() == sorted(set(range(size)) - {p for each in seen for p in each})


def test_windows_rounded_up_are_torch_s_pooling():
    for size, kernel, stride, padding, dilation in GEOMETRY:
        w = Windows(size, kernel, stride, padding, padding, dilation, ceil=True)
        if w.room < 0 or padding > kernel // 2:
            continue
        x = torch.zeros(1, 1, size)
        assert w.outputs == F.max_pool1d(x, kernel, stride, padding, dilation, True).shape[-1]


# --------------------------------------------------------------------------------------- numbers


def sizes(done) -> list[int]:
    """The output sizes in the first line, after the page was looked over."""
    assert done.code == 0, done.err
    assert narrow(done.out)
    assert not any(line.endswith(" ") for line in done.out.splitlines())
    return [int(n) for n in done.out.splitlines()[0].split(": ")[1].split("×")]


def by(pair) -> str:
    return "x".join(map(str, pair))


PAIRS = [((9, 12), (3, 2), (2, 3), (1, 0), (1, 2)), ((30, 30), (5, 5), (3, 3), (2, 2), (2, 2))]


@pytest.mark.parametrize(("size", "kernel", "stride", "padding", "dilation"), PAIRS)
def test_every_command_gives_torch_s_sizes(minicnn_, size, kernel, stride, padding, dilation):
    x = torch.zeros(1, 1, *size)
    at = ("--stride", by(stride), "--padding", by(padding), "--dilation", by(dilation))
    given = ("--input", by(size), "--kernel", by(kernel), *at)
    y = F.conv2d(x, torch.zeros(1, 1, *kernel), None, stride, padding, dilation)
    assert sizes(minicnn_("shapes", "conv", *given)) == list(y.shape[2:])
    y = F.max_pool2d(x, kernel, stride, padding, dilation, True)
    assert sizes(minicnn_("shapes", "pool", *given, "--ceil-mode")) == list(y.shape[2:])
    y = F.conv_transpose2d(x, torch.zeros(1, 1, *kernel), None, stride, padding, 1, 1, dilation)
    done = minicnn_("shapes", "transpose", *given, "--output-padding", "1")
    assert sizes(done) == list(y.shape[2:])
    y = F.unfold(x, kernel, dilation, padding, stride)
    done = minicnn_("shapes", "unfold", *given)
    assert done.out.splitlines()[0].endswith(f": 1×{y.shape[1]}×{y.shape[2]}")


def test_a_pooling_s_stride_is_its_kernel(minicnn_):
    assert sizes(minicnn_("shapes", "pool", "--input", "12", "--kernel", "4x3")) == [3, 4]


def test_alexnet_s_first_layer(minicnn_):
    done = minicnn_("shapes", "conv", "--input", "224", "--kernel", "11", "--stride", "4",
                    "--padding", "2", "--channels", "3", "--filters", "64")  # fmt: skip
    assert sizes(done) == [55, 55]
    for piece in (
        "= ⌊(input + 2·padding - kernel) / stride⌋ + 1\n",
        "= ⌊(224 + 2·2 - 11) / 4⌋ + 1\n",
        "= ⌊217 / 4⌋ + 1 = 54 + 1 = 55\n",
        "left over   217 = 54·4 + 1: at the far edge 1 of the padding\n",
        "sees        11 pixels; output 0 from -2 (in the padding), output 1 from 2\n",
        "64·3·11·11 = 23,232 weights and 64 biases: 23,296\n",
        "64·55·55 outputs · 3·11·11 taps = 70,276,800 an image\n",
    ):
        assert piece in done.out


def test_grouped_weights_are_counted_as_torch_counts(minicnn_):
    layer = torch.nn.Conv2d(6, 4, (3, 5), groups=2)
    done = minicnn_("shapes", "conv", "--input", "9", "--kernel", "3x5", "--channels", "6",
                    "--filters", "4", "--groups", "2")  # fmt: skip
    total = sum(p.numel() for p in layer.parameters())
    assert f"weights and 4 biases: {total}\n" in done.out
    y = layer(torch.zeros(1, 6, 9, 9))
    assert f" = {layer.weight.numel() * y.shape[2] * y.shape[3]:,} an image" in done.out
    assert (
        "and 1 bias:"
        in minicnn_("shapes", "conv", "--input", "9", "--kernel", "3", "--filters", "1").out
    )


def test_padding_by_name(minicnn_):
    same = minicnn_("shapes", "conv", "--input", "28x40", "--kernel", "3x4", "--padding", "same")
    assert sizes(same) == [28, 40]
    assert "1 before and 2 after" in same.out
    assert "= ⌊(40 + 1 + 2 - 4) / 1⌋ + 1" in same.out
    for name in ("keras-same", "keras_same"):
        keras = minicnn_("shapes", "conv", "--input", "224", "--kernel", "7", "--stride", "2",
                         "--padding", name)  # fmt: skip
        assert sizes(keras) == [112, 112]
        assert "= (output - 1)·stride + kernel - input = (112 - 1)·2 + 7 - 224 = 5" in keras.out
        assert "2 before and 3 after" in keras.out
    valid = minicnn_("shapes", "conv", "--input", "5", "--kernel", "3", "--padding", "valid")
    assert sizes(valid) == [3, 3]


def test_what_the_edge_loses(minicnn_):
    out = minicnn_("shapes", "pool", "--input", "8", "--kernel", "3").out
    assert "left over   5 = 1·3 + 2: at the far edge 2 pixels\n" in out
    assert "never seen  2 pixels: 6 to 7\n" in out
    out = minicnn_("shapes", "conv", "--input", "8", "--kernel", "3", "--stride", "4",
                   "--padding", "1").out  # fmt: skip
    assert "left over   7 = 1·4 + 3: at the far edge 1 of the padding and 2 pixels\n" in out
    assert "never seen  3 pixels: 2, 6 to 7\n" in out
    out = minicnn_("shapes", "pool", "--input", "8", "--kernel", "3", "--ceil-mode").out
    assert "edge        the last window hangs 1 pixel over it\n" in out
    assert "never seen  none" in out


def test_ceil_mode_s_exception_is_explained(minicnn_):
    done = minicnn_("shapes", "pool", "--input", "2", "--kernel", "2", "--stride", "3",
                    "--padding", "1", "--ceil-mode")  # fmt: skip
    assert sizes(done) == [1, 1]
    assert "= ⌈2 / 3⌉ + 1 = 1 + 1 = 2\n" in done.out
    assert "- 1 = 1: the last window would begin at 2, behind all pixels\n" in done.out


def test_adaptive_windows_are_torch_s(minicnn_):
    done = minicnn_("shapes", "adaptive", "--input", "7x10", "--output", "3x4")
    assert sizes(done) == [3, 4]
    assert "window 1    begins at ⌊1·7 / 3⌋ = 2, ends before ⌈2·7 / 3⌉ = 5\n" in done.out
    assert "length      3 pixels; 2 pixels in more than one window\n" in done.out
    shares = F.adaptive_avg_pool1d(torch.eye(10), 4).T  # what each output takes of each pixel
    drawn = re.findall(r"^ +\d  (.*█)$", done.out.split("width")[1], re.M)
    assert [[i for i, c in enumerate(row) if c == "█"] for row in drawn] == [
        torch.nonzero(row).flatten().tolist() for row in shares
    ]


def test_a_transposed_convolution_goes_back(minicnn_):
    done = minicnn_("shapes", "transpose", "--input", "4", "--kernel", "3", "--stride", "2",
                    "--padding", "1")  # fmt: skip
    assert sizes(done) == [7, 7]
    assert "a convolution gives 4 from any of 7 to 8" in done.out
    for size in (6, 7, 8, 9):
        assert (shapes.conv_output_size(size, 3, 2, 1) == 4) == (size in (7, 8))


def test_unfold_counts_rows_columns_and_bytes(minicnn_):
    out = minicnn_("shapes", "unfold", "--input", "6x5", "--kernel", "3x2", "--channels", "4",
                   "--batch", "2").out  # fmt: skip
    cols = F.unfold(torch.zeros(2, 4, 6, 5), (3, 2))
    assert out.splitlines()[0].endswith(": " + "×".join(map(str, cols.shape)))
    assert f"{cols.numel():,} numbers, {cols.numel() * 4:,} bytes in float32: 3.2 times" in out


# ---------------------------------------------------------------------------------------- chains


def test_a_chain_is_its_layers_in_torch(minicnn_):
    done = minicnn_("shapes", "chain", "--input", "40x33", "conv:5,2,1", "pool:3,2", "conv:3,1,1,2",
                    "pool:2,2,ceil", "conv:3x1")  # fmt: skip
    assert done.code == 0, done.err
    assert narrow(done.out)
    ones = torch.ones(1, 1, 1, 1)
    x = torch.zeros(1, 1, 40, 33)
    y1 = F.conv2d(x, ones.expand(1, 1, 5, 5), None, 2, 1)
    y2 = F.max_pool2d(y1, 3, 2)
    y3 = F.conv2d(y2, ones.expand(1, 1, 3, 3), None, 1, 1, 2)
    y4 = F.max_pool2d(y3, 2, 2, ceil_mode=True)
    y5 = F.conv2d(y4, ones.expand(1, 1, 3, 1))
    rows = [line.split() for line in done.out.splitlines()[2:7]]
    assert [row[1] for row in rows] == [f"{y.shape[2]}×{y.shape[3]}" for y in (y1, y2, y3, y4, y5)]
    field = shapes.receptive_field([(5, 2, 1, 1), (3, 2, 0, 1), (3, 1, 1, 2), (2, 2, 0, 1)])
    assert rows[3][2:5] == [f"{field.size}×{field.size}", f"{field.jump}×{field.jump}",
                            str(field.start)]  # fmt: skip


def test_a_chain_s_receptive_field_is_where_the_gradient_arrives():
    x = torch.zeros(1, 1, 64, requires_grad=True)
    y = F.conv1d(x, torch.ones(1, 1, 3), None, 2, 1)
    y = F.avg_pool1d(y, 2)
    y = F.conv1d(y, torch.ones(1, 1, 3), None, 1, 1)
    (row,) = [line.split() for line in chain_lines((64, 64), ["conv:3,2,1", "pool:2", "conv:3,1,1"])
              if line.startswith("conv:3,1,1")]  # fmt: skip
    size, step, start = int(row[2].split("×")[0]), int(row[3].split("×")[0]), int(row[4])
    for output, seen in enumerate(seen_by(y, x)):
        whole = range(start + output * step, start + output * step + size)
        assert seen == [pixel for pixel in whole if 0 <= pixel < 64]


def test_a_chain_tells_what_no_window_sees(minicnn_):
    out = minicnn_("shapes", "chain", "--input", "7x9", "pool:2", "conv:3,1,same").out
    assert re.search(r"^pool:2 .* 1 row and 1 column$", out, re.M)
    assert re.search(r"^conv:3,1,same +3×4 ", out, re.M)


# -------------------------------------------------------------------------------------- pictures


def test_a_sketch_shows_the_windows():
    assert list(geometry.sketch(Windows(7, 3, 2, 1, 1))) == [
        "",
        "            ·0123456·",
        "         0  ███",
        "         1    ███",
        "         2      ███",
        "         3        ███",
    ]
    assert list(geometry.sketch(Windows(6, 2, 3, dilation=2))) == [
        "",
        "            012345",
        "         0  █─█",
        "         1     █─█",
        "             ×  × never seen",
    ]


def test_a_sketch_is_drawn_only_where_it_fits():
    for size in range(1, 90):
        lines = list(geometry.sketch(Windows(size, 1)))
        assert len(lines) <= 3 + geometry.MOST_ROWS
        assert all(len(line) <= 80 for line in lines)
        assert bool(lines) == (size <= geometry.MOST_COLUMNS)
    tall = list(geometry.sketch(Windows(30, 3)))
    assert tall[1:3] == ["            0         1         2", "            " + "0123456789" * 3]
    assert tall[-1].split() == ["27", "███"]
    assert tall[-3].strip() == "⋮"


# ------------------------------------------------------------------------------- pages and errors


@pytest.mark.parametrize("name", COMMANDS)
def test_each_page_is_narrow_and_its_examples_run(minicnn_, name):
    page = minicnn_("shapes", name, "--help")
    assert page.code == 0
    assert narrow(page.out)
    examples = re.findall(r"^  minicnn (.*)$", page.out, re.M)
    assert examples
    for example in examples:
        done = minicnn_(*example.split())
        assert done.code == 0, done.err
        assert narrow(done.out), done.out


def test_the_first_page_lists_them_and_its_examples_run(minicnn_):
    page = minicnn_("shapes", "--help")
    assert minicnn_("shapes").out == page.out
    assert re.findall(r"^  (\w+)  +\S", page.out, re.M) == list(COMMANDS)
    for example in re.findall(r"^  minicnn (.*)$", page.out, re.M):
        assert minicnn_(*example.split()).code == 0


BAD = [
    (("conv", "--input", "4", "--kernel", "11"), 1, ("11x11", "4+2*0", "padding >= 4")),
    (("conv", "--input", "8", "--kernel", "3", "--stride", "2", "--padding", "same"), 1, ("same",)),
    (("conv", "--input", "8", "--kernel", "3", "--padding", "all"), 2, ("'all'", "keras-same")),
    (("conv", "--input", "8"), 2, ("--kernel", "shapes conv --help")),
    (("conv", "--input", "0", "--kernel", "1"), 2, ("--input", "from 1")),
    (("conv", "--input", "8", "--kernel", "0"), 2, ("--kernel", "from 1")),
    (("conv", "--input", "8", "--kernel", "3", "--stride", "0"), 2, ("--stride", "from 1")),
    (("conv", "--input", "1x2x3", "--kernel", "1"), 2, ("1x2x3", "3x5")),
    (("conv", "--input", "-3", "--kernel", "1"), 2, ("-3", "3x5")),
    (("conv", "--input", "8.5", "--kernel", "1"), 2, ("8.5", "3x5")),
    (("conv", "--input", "9000000", "--kernel", "1"), 2, ("9000000", "1,000,000")),
    (("conv", "--input", "8", "--kernel", "3", "--groups", "2"), 1, ("groups=2", "1")),
    (("conv", "--input", "8", "--kernel", "3", "--filters", "0"), 2, ("--filters", "0")),
    (("pool", "--input", "8", "--kernel", "2", "--padding", "2"), 1, ("half", "1x1")),
    (("transpose", "--input", "2", "--kernel", "1", "--padding", "3"), 1, ("-4x-4", "padding")),
    (("transpose", "--input", "2", "--kernel", "2", "--output-padding", "1"), 1, ("smaller",)),
    (("unfold", "--input", "2", "--kernel", "3"), 1, ("3x3", "2x2")),
    (("chain", "--input", "8"), 2, ("LAYERS",)),
    (("chain", "--input", "8", "linear:3"), 1, ("'linear:3'", "conv:5,1,2")),
    (("chain", "--input", "8", "conv:"), 1, ("'conv:'", "conv:5,1,2")),
    (("chain", "--input", "8", "conv:same"), 1, ("'conv:same'", "kernel, stride")),
    (("chain", "--input", "8", "conv:3,1,1,1,1"), 1, ("5 numbers", "dilation")),
    (("chain", "--input", "8", "conv:3,1,1,same"), 1, ("twice", "conv:3,1,same")),
    (("chain", "--input", "8", "pool:2,same"), 1, ("'same'", "ceil")),
    (("chain", "--input", "8", "conv:3", "conv:7"), 1, ("conv:7", "7x7", "6x6")),
    (("chain", "--input", "8", "pool:3,2,2"), 1, ("pool:3,2,2", "half")),
    (("cnov",), 2, ("cnov", "conv")),
]


@pytest.mark.parametrize(("arguments", "code", "pieces"), BAD, ids=lambda v: " ".join(v)
                         if isinstance(v, tuple) else str(v))  # fmt: skip
def test_what_has_no_size_is_one_line(minicnn_, arguments, code, pieces):
    done = minicnn_("shapes", *arguments)
    require_one_line(done, code, *pieces)
    assert done.out == ""
