"""Convolutions of every rank and transposed ones: the functions against torch's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from oracle import DTYPES, check, normal
from outcomes import Values, compare

import minicnn
from minicnn.errors import ArgumentError, DtypeError, ShapeError
from minicnn.kernels import shapes
from minicnn.nn import functional as F

# torch says that an even kernel may cost "same" a copy
pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")

SIZES = {1: (9,), 2: (7, 6), 3: (4, 5, 4)}  # of the image, by the number of axes
KERNELS = {1: (3,), 2: (2, 3), 3: (2, 1, 3)}


# ------------------------------------------------------------------------ numbers, on each rung

CONVOLUTIONS: list[tuple[str, tuple, tuple, dict[str, Any]]] = [
    ("conv1d", (2, 4, 9), (6, 2, 3), {"stride": 2, "padding": 1, "dilation": 2, "groups": 2}),
    ("conv1d", (3, 5), (2, 3, 5), {}),
    ("conv1d", (2, 3, 6), (3, 1, 4), {"padding": "same", "groups": 3}),
    ("conv2d", (2, 3, 7, 5), (4, 3, 2, 4), {"padding": "same", "dilation": (3, 1)}),
    ("conv2d", (2, 3, 7, 5), (4, 3, 2, 3), {"padding": "valid", "stride": (2, 1)}),
    (
        "conv3d",
        (2, 4, 6, 5, 6),
        (6, 2, 3, 2, 3),
        {"stride": (2, 1, 2), "padding": (1, 0, 2), "dilation": (1, 2, 1), "groups": 2},
    ),
    ("conv3d", (2, 5, 3, 4), (3, 2, 2, 3, 1), {"padding": "same", "dilation": (2, 1, 3)}),
    ("conv3d", (1, 3, 4, 3, 3), (3, 1, 2, 2, 2), {"stride": (3, 1, 1), "groups": 3}),
    ("conv3d", (0, 2, 3, 3, 3), (2, 2, 2, 2, 2), {"padding": 1}),
    ("conv_transpose1d", (2, 4, 5), (4, 3, 3), {"stride": 2, "output_padding": 1, "groups": 2}),
    ("conv_transpose1d", (4, 4), (4, 2, 3), {"dilation": 3, "padding": 2, "output_padding": 2}),
    ("conv_transpose2d", (2, 3, 4, 3), (3, 2, 3, 2), {}),
    (
        "conv_transpose2d",
        (2, 4, 3, 4),
        (4, 3, 3, 2),
        {
            "stride": (2, 3),
            "padding": (1, 0),
            "output_padding": (1, 2),
            "groups": 2,
            "dilation": (2, 3),
        },
    ),
    # more output_padding than stride, up to an output that no pixel reaches
    (
        "conv_transpose2d",
        (2, 2, 3, 4),
        (2, 2, 2, 3),
        {"dilation": (3, 4), "output_padding": (2, 3)},
    ),
    (
        "conv_transpose2d",
        (2, 2, 1, 1),
        (2, 2, 1, 1),
        {"dilation": 3, "padding": 1, "output_padding": 2},
    ),
    ("conv_transpose2d", (0, 4, 3, 3), (4, 1, 3, 3), {"stride": 2, "groups": 4}),
]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("name", "x", "w", "how"), CONVOLUTIONS)
def test_values_and_gradients(rung, dtype, name, x, w, how):
    rng = np.random.default_rng(0)
    K = w[1] * how.get("groups", 1) if "transpose" in name else w[0]
    arrays = [normal(rng, *shape, dtype=dtype) for shape in (x, w, (K,))]

    def convolve(lib, x, w, b):
        return getattr(lib.nn.functional, name)(x, w, b, **how)

    check(convolve, *arrays, rung=rung)


@pytest.mark.parametrize("name", ["conv1d", "conv3d", "conv_transpose1d", "conv_transpose2d"])
@pytest.mark.parametrize("layout", ["permuted", "strided", "expanded"])
def test_any_memory_layout(name, layout):
    axes = int(name[-2])
    rng = np.random.default_rng(0)
    x, w = normal(rng, 2, 4, *SIZES[axes]), normal(rng, 4, 4, *KERNELS[axes])
    check(lambda lib, *given: getattr(lib.nn.functional, name)(*given), x, w, layout=layout)


@pytest.mark.parametrize("name", ["conv1d", "conv3d", "conv_transpose1d", "conv_transpose2d"])
def test_only_the_gradients_asked_for(name):
    axes = int(name[-2])
    arrays = [np.ones((1, 2, *SIZES[axes])), np.ones((2, 2, *KERNELS[axes])), np.ones(2)]
    calls: list[str] = []

    class Counting:
        def __getattr__(self, kernel):
            calls.append(kernel)
            return getattr(minicnn.kernels.reference, kernel)

    kernels = {"x": "conv2d_input_grad", "w": "conv2d_weight_grad", "b": "conv2d_bias_grad"}
    if "transpose" in name:
        kernels["x"] = "conv2d"
    for wanted in kernels:
        named = zip(kernels, arrays, strict=True)
        leaves = [minicnn.tensor(a, requires_grad=n == wanted) for n, a in named]
        with minicnn.use_backend(Counting()):
            y = getattr(F, name)(*leaves)
            calls.clear()
            y.sum().backward()
        assert {c for c in calls if c.startswith("conv2d")} == {kernels[wanted]}
        assert y.array.flags.c_contiguous


def test_a_transposed_convolution_is_the_gradient_of_a_convolution(rung):
    """<W x, y> = <x, W' y>, whatever W."""
    rng = np.random.default_rng(0)
    x, y, w = normal(rng, 2, 4, 9, 8), normal(rng, 2, 6, 4, 4), normal(rng, 6, 2, 3, 2)
    how = {"stride": 2, "padding": (0, 1), "groups": 2, "dilation": (1, 2)}
    with minicnn.use_backend(rung):
        x, y, w = map(minicnn.from_numpy, (x, y, w))
        forward = (F.conv2d(x, w, **how) * y).sum().item()
        backward = (F.conv_transpose2d(y, w, **how, output_padding=(0, 1)) * x).sum().item()
    assert forward == pytest.approx(backward, rel=1e-12)


# ------------------------------------------------------------------------ Keras's "same", by name


def keras_pads(size: int, kernel: int, stride: int, dilation: int) -> tuple[int, int]:
    """Keras's zeros (before, after), by the remainder of the size: the odd one goes after."""
    span = (kernel - 1) * dilation + 1
    total = max(span - (size % stride or stride), 0)
    return total // 2, total - total // 2


@pytest.mark.parametrize("stride", [(1, 1), (2, 2), (3, 2), (2, 5)])
@pytest.mark.parametrize("size", [(7, 6), (8, 9)])
@pytest.mark.parametrize(
    ("kernel", "dilation"), [((3, 3), 1), ((2, 4), 1), ((3, 2), 2), ((1, 1), 1)]
)
def test_keras_same_is_a_pad_and_a_convolution(size, stride, kernel, dilation):
    rng = np.random.default_rng(0)
    x, w = normal(rng, 2, 3, *size), normal(rng, 4, 3, *kernel)
    geometry = zip(size, kernel, stride, (dilation, dilation), strict=True)
    top, left = [keras_pads(*axis) for axis in geometry]

    def convolve(lib, x, w):
        if lib is minicnn:
            return F.conv2d(x, w, stride=stride, padding="keras_same", dilation=dilation)
        x = torch.nn.functional.pad(x, (*left, *top))
        return torch.nn.functional.conv2d(x, w, stride=stride, dilation=dilation)

    check(convolve, x, w)
    y = F.conv2d(
        *map(minicnn.from_numpy, (x, w)), stride=stride, padding="keras_same", dilation=dilation
    )
    assert y.shape[2:] == tuple(-(-n // s) for n, s in zip(size, stride, strict=True))


@pytest.mark.parametrize("axes", [1, 3])
def test_keras_same_along_one_or_three_axes(axes):
    rng = np.random.default_rng(0)
    x, w = normal(rng, 2, 3, *(6, 5, 7)[:axes]), normal(rng, 4, 3, *(3, 2, 4)[:axes])
    strides = (2, 3, 2)[:axes]
    geometry = zip(x.shape[2:], w.shape[2:], strides, (1,) * axes, strict=True)
    pads = [n for axis in reversed([keras_pads(*axis) for axis in geometry]) for n in axis]

    def convolve(lib, x, w):
        function = getattr(lib.nn.functional, f"conv{axes}d")
        if lib is minicnn:
            return function(x, w, stride=strides, padding="keras_same")
        return function(torch.nn.functional.pad(x, pads), w, stride=strides)

    check(convolve, x, w)


def test_an_even_padding_by_name_costs_no_copy():
    """The kernel adds the zeros itself where they are as many before as after."""
    x, w = minicnn.rand(1, 2, 5, 6), minicnn.rand(2, 2, 3, 3)
    copies = []

    class Counting:
        def __getattr__(self, kernel):
            copies.extend(["pad"] * (kernel == "gather2d"))
            return getattr(minicnn.kernels.reference, kernel)

    with minicnn.use_backend(Counting()):
        F.conv2d(x, w, padding="same")
        F.conv2d(x, w, padding="keras_same", stride=(2, 1), dilation=(1, 2))
        assert not copies
        F.conv2d(x, w, padding="keras_same", stride=2)
        assert copies


# ------------------------------------------------------------------- what is taken, what is refused


def geometry(axes: int) -> dict[str, Values]:
    """Values of the arguments that all convolutions have."""
    last, more = (1, 2, 1)[:axes], (1,) * (axes + 1)
    return {
        "batch": Values(["two", "none", "zero"], ["an axis more", "two axes less", "empty axis"]),
        "stride": Values([1, 2, last, [2]], [list(more), (), 0, -1, 1.5, True, None, "1"]),
        "padding": Values([0, 1, list(last), (1,), 9], [more, -1, 1.0, False, None, ("same",)]),
        "dilation": Values([1, 2, last, (2,)], [more, 0, -2, 99, 1.5, None]),
        "groups": Values([1, 2, 4], [3, 0, -1, 2.0, (1,), None, True]),
        "bias": Values(["given", "none"], ["too long", "a matrix", "array", "another dtype"]),
        "dtype": Values(["float64", "float32"], ["mixed", "int64", "bool"]),
        "x": Values(["tensor", "permuted", "strided", "expanded"], ["array", "none"]),
        "weight": Values(
            ["tensor"], ["other channels", "an axis less", "no taps", "array", "none"]
        ),
        "call": Values(["keywords", "positions"], []),
    }


def arrays_of(axes: int, case: dict, transposed: bool) -> tuple[np.ndarray, np.ndarray, Any]:
    """Input, weight and bias of a case, as arrays."""
    rng, C, K = np.random.default_rng(0), 4, 4
    groups = case["groups"] if case["groups"] in (2, 4) else 1
    whole = [2, C, *SIZES[axes]]
    x_shape = {
        "none": whole[1:],
        "zero": [0, *whole[1:]],
        "an axis more": [1, *whole],
        "two axes less": whole[2:],
        "empty axis": [*whole[:-1], 0],
    }.get(case["batch"], whole)
    w_shape = [C, int(K // groups), *KERNELS[axes]]  # K and C are one number: also the other way
    w_shape = {
        "other channels": [w_shape[0] + 1, w_shape[1] + 1, *w_shape[2:]],
        "an axis less": w_shape[:-1],
        "no taps": [*w_shape[:-1], 0],
    }.get(case["weight"], w_shape)
    x_dtype, w_dtype = ("float32", "float64") if case["dtype"] == "mixed" else [case["dtype"]] * 2
    b_dtype = {"float64": "float32"}.get(w_dtype, "float64")
    b_dtype = b_dtype if case["bias"] == "another dtype" else w_dtype
    b_shape = {"too long": [K + 1], "a matrix": [K, 1]}.get(case["bias"], [K])
    x, w, b = normal(rng, *x_shape), normal(rng, *w_shape), normal(rng, *b_shape)
    b = None if case["bias"] == "none" else b.astype(b_dtype)
    return x.astype(x_dtype), w.astype(w_dtype), b


def given_as(how: str, lib: Any, array: Any) -> Any:
    """An array as a tensor of `lib`, or as what is no tensor."""
    if array is None or how == "none":
        return None
    return array if how == "array" else lib.from_numpy(array)


def taken_and_refused(
    name: str, options: dict[str, Values], order: tuple[str, ...], differs
) -> None:
    """Compare a function with torch's over its whole table."""
    axes, transposed = int(name[-2]), "transpose" in name

    def call(lib, case, x, w, b=None):
        function = getattr(lib.nn.functional, name)
        if case["call"] == "positions":
            return function(x, w, b, *(case[argument] for argument in order))
        given = {argument: case[argument] for argument in order}
        return function(input=x, weight=w, bias=b, **given)

    def run(lib, case):
        kinds = case["x"], case["weight"], case["bias"]
        arrays = arrays_of(axes, case, transposed)
        return call(lib, case, *(given_as(k, lib, a) for a, k in zip(arrays, kinds, strict=True)))

    def agree(case):
        arrays = [a for a in arrays_of(axes, case, transposed) if a is not None]
        layouts = ["contiguous" for _ in arrays]
        layouts[0] = layouts[0] if case["x"] == "tensor" else case["x"]
        check(lambda lib, *given: call(lib, case, *given), *arrays, layout=layouts)

    counts = compare(
        options,
        lambda case: run(torch, case),
        lambda case: run(minicnn, case),
        agree,
        name,
        differs=differs,
    )
    assert min(counts.values()) > 0
    assert min(counts["taken"], counts["refused"]) > 150, counts  # else the table shows little


def differs(case: dict) -> str:
    """Where torch takes what is refused here."""
    if case["dtype"] in ("int64", "bool"):
        return "torch convolves integers, without gradients; floats only here"
    if case["batch"] == "zero" and 0 in (case["dilation"],):
        return "torch does not look at the dilation of an empty batch"
    return ""


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_conv_takes_and_refuses_what_torch_does(axes):
    options = geometry(axes)
    options["padding"].usual.extend(["same", "valid"])
    options["padding"].odd.append("SAME")

    def also(case):
        if isinstance(case["padding"], str) and case["bias"] == "another dtype":
            return 'torch lets a bias of another dtype pass where padding is "same" or "valid"'
        return differs(case)

    order = ("stride", "padding", "dilation", "groups")
    taken_and_refused(f"conv{axes}d", options, order, also)


@pytest.mark.parametrize("axes", [1, 2])
def test_conv_transpose_takes_and_refuses_what_torch_does(axes):
    options = geometry(axes)
    options["padding"].odd.extend(["same", "valid"])
    extra = Values([0], [1, (1,), 2, -1, 1.0, None, (0,) * (axes + 1)])
    options["output_padding"] = extra  # 1 and 2 are taken beside a larger stride or dilation

    def also(case):
        if case["bias"] == "another dtype":
            return "torch adds a bias of another dtype"
        if case["batch"] == "zero" and (case["output_padding"] or case["dtype"] == "mixed"):
            return "torch does not look at the output_padding and the dtypes of an empty batch"
        return differs(case)

    order = ("stride", "padding", "output_padding", "groups", "dilation")
    taken_and_refused(f"conv_transpose{axes}d", options, order, also)


# ----------------------------------------------------------------------------------------- messages

MESSAGES = [
    (
        lambda: F.conv1d(minicnn.zeros(1, 2, 1), minicnn.zeros(3, 2, 5), padding=1),
        ShapeError,
        "conv1d: kernel 5 is larger than the padded input 3 (1+2*1). "
        "Use a smaller kernel, or padding >= 2.",
    ),
    (
        lambda: F.conv1d(minicnn.zeros(2, 8, 3), minicnn.zeros(4, 3, 3)),
        ShapeError,
        "conv1d: input (2, 8, 3) has 8 channels, but weight (4, 3, 3) takes 3 (groups=1). "
        "The channels seem to come last: use x.permute(0, 2, 1).",
    ),
    (
        lambda: F.conv1d(minicnn.zeros(1, 1, 2, 8), minicnn.zeros(3, 2, 5)),
        ShapeError,
        "conv1d: expected input (N, C, L) or (C, L), got 4 axes: (1, 1, 2, 8). "
        "Add an axis of one with x[None], or reshape.",
    ),
    (
        lambda: F.conv3d(minicnn.zeros(1, 2, 4, 4, 4), minicnn.zeros(3, 2, 3, 3)),
        ShapeError,
        "conv3d: expected weight (filters, channels/groups, depth, height, width), got "
        "(3, 2, 3, 3). Every axis needs at least 1.",
    ),
    (
        lambda: F.conv3d(minicnn.zeros(2, 4, 5, 6), minicnn.zeros(3, 2, 3, 3, 3), stride=(1, 0, 1)),
        ArgumentError,
        "conv3d: stride must be at least 1, got 1x0x1. Use stride=1 to visit every position.",
    ),
    (
        lambda: F.conv3d(minicnn.zeros(2, 4, 5, 6), minicnn.zeros(3, 2, 3, 3, 3), stride=(1, 2)),
        ArgumentError,
        "conv3d: stride must be an integer or three, got (1, 2). "
        "Use stride=2 or stride=(3, 2, 1) for depth, height and width.",
    ),
    (
        lambda: F.conv2d(minicnn.zeros(2, 5, 6), minicnn.zeros(3, 2, 3, 3), padding="full"),
        ArgumentError,
        'conv2d: padding must be integers or one of "valid", "same", "keras_same", got \'full\'. '
        "Use padding=0.",
    ),
    (
        lambda: F.conv1d(minicnn.zeros(2, 6), minicnn.zeros(3, 2, 3), stride=2, padding="same"),
        ArgumentError,
        "conv1d: padding='same' needs stride 1, got 2. "
        "Use padding='keras_same' for ceil(size/stride) outputs, or integers.",
    ),
    (
        lambda: F.conv_transpose1d(minicnn.zeros(2, 1), minicnn.zeros(2, 3, 2), padding=1),
        ShapeError,
        "conv_transpose1d: an input of 1 gives an output of 0, that is (size-1)*stride - 2*padding "
        "+ dilation*(kernel-1) + 1 + output_padding. Use less padding or a larger input.",
    ),
    (
        lambda: F.conv_transpose2d(
            minicnn.zeros(2, 3, 3), minicnn.zeros(2, 3, 2, 2), output_padding=(0, 1)
        ),
        ArgumentError,
        "conv_transpose2d: output_padding 0x1 must be smaller than the stride 1x1 or the dilation "
        "1x1. Use output_padding=0, or a larger stride.",
    ),
    (
        lambda: F.conv_transpose2d(minicnn.zeros(2, 3, 3), None),
        DtypeError,
        "conv_transpose2d: expected a Tensor, got NoneType. Wrap it in minicnn.tensor(...).",
    ),
]


@pytest.mark.parametrize(("run", "error", "message"), MESSAGES)
def test_a_refusal_speaks_of_the_op_in_its_own_dimensions(run, error, message):
    with pytest.raises(error) as caught:
        run()
    assert str(caught.value) == message


def test_the_paddings_have_names_that_the_shapes_know():
    assert shapes.PADDINGS == ("valid", "same", "keras_same")
    geometry = ((6, 5), (3, 2), (2, 1), (1, 1))
    assert shapes.conv_padding("valid", *geometry) == ((0, 0), (0, 0))
    assert shapes.conv_padding("keras_same", *geometry) == ((0, 1), (0, 1))
    assert shapes.conv_padding((2, 3), *geometry) == ((2, 2), (3, 3))
