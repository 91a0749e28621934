"""The convolutional layers against torch's: arguments, weights, text, padding modes, summary."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from oracle import DTYPES, RUNGS, TOLERANCE, check, normal, relative_error
from outcomes import Values, compare
from test_convolutions import keras_pads

import minicnn
from minicnn import nn
from minicnn.errors import ArgumentError, DtypeError, ShapeError
from minicnn.summary import summary

# torch says that an even kernel may cost "same" a copy
pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")

SIZES = {1: (9,), 2: (7, 6), 3: (4, 5, 4)}  # of the image, by the number of axes
KERNELS = {1: (3,), 2: (2, 3), 3: (2, 1, 3)}
MODES = ["zeros", "reflect", "replicate", "circular"]
LAYERS = ["Conv1d", "Conv2d", "Conv3d", "ConvTranspose1d", "ConvTranspose2d"]


def image(axes: int, batch: str = "two", dtype: str = "float32", channels: int = 4) -> np.ndarray:
    """An input of so many axes behind its channels."""
    whole = [2, channels, *SIZES[axes]]
    shape = {
        "none": whole[1:],
        "zero": [0, *whole[1:]],
        "an axis more": [1, *whole],
        "two axes less": whole[2:],
        "empty axis": [*whole[:-1], 0],
    }.get(batch, whole)
    return normal(np.random.default_rng(0), *shape, dtype=dtype)


def twin(theirs: Any) -> Any:
    """A layer of the same class and arguments as torch's, with its weights."""
    name = type(theirs).__name__
    arguments = {
        key: getattr(theirs, key)
        for key in ("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation",
                    "groups", "padding_mode")
    }  # fmt: skip
    if theirs.transposed:
        arguments["output_padding"] = theirs.output_padding
    ours = getattr(nn, name)(**arguments, bias=theirs.bias is not None)
    ours.load_state_dict(theirs.state_dict())
    return ours


# ------------------------------------------------------------------- what is taken, what is refused

ORDER = ("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "groups",
         "bias", "padding_mode")  # fmt: skip
TRANSPOSED = ("in_channels", "out_channels", "kernel_size", "stride", "padding", "output_padding",
              "groups", "bias", "dilation", "padding_mode")  # fmt: skip


def options_of(name: str) -> dict[str, Values]:
    axes = int(name[-2])
    last, more = (1, 2, 1)[:axes], (1,) * (axes + 1)
    options = {
        "in_channels": Values([4], [0, -4, 3, 4.0, None, (4,)]),
        "out_channels": Values([4, 8], [0, -4, 6, 4.0, None]),
        "kernel_size": Values(
            [2, KERNELS[axes], list(KERNELS[axes])], [more, (2,), 0, -1, 2.5, None, "2"]
        ),
        "stride": Values([1, 2, last, (2,)], [list(more), 0, -1, 1.5, None]),
        "padding": Values(
            [0, 1, list(last), (1,)], [more, -1, 9, 1.0, None, "same", "valid", "SAME"]
        ),
        "dilation": Values([1, 2, last, (2,)], [more, 0, -2, 99, 1.5, None]),
        "groups": Values([1, 2, 4], [0, -1, 3, 2.0, None]),
        "bias": Values([True, False, None], []),
        "padding_mode": Values(["zeros"], ["constant", "Reflect", None, 1]),
        "batch": Values(["two", "none", "zero"], ["an axis more", "two axes less", "empty axis"]),
        "dtype": Values(["float32"], ["float64", "int64"]),
        "call": Values(["keywords", "positions"], []),
    }
    if "Transpose" in name:
        options["output_padding"] = Values([0], [1, last, -1, 1.0, None])
    else:
        options["padding_mode"].usual.extend(MODES[1:])
    return options


def differs(name: str, case: dict) -> str:
    """Why minicnn is not compared with torch in a case."""
    mode, padding, empty = case["padding_mode"], case["padding"], case["batch"] == "zero"
    if case["kernel_size"] == (2,) and "1d" not in name:
        return "one number in a tuple is for all axes here, also in the kernel's size"
    if padding == (1,) and mode != "zeros" and "1d" not in name:
        return "one number in a tuple is for all axes here, also in every padding_mode"
    if padding == -1 and mode != "zeros":
        return "torch crops by a negative padding, but not if padding_mode is zeros"
    if empty and case["dilation"] == 0:
        return "torch does not look at the dilation of an empty batch"
    if empty and "Transpose" in name and (case["output_padding"] or case["dtype"] != "float32"):
        return "torch does not look at the output_padding and dtypes of an empty batch"
    if name == "ConvTranspose1d" and padding == 9 and case["stride"] in (2, (2,)):
        return "torch returns an output without pixels"
    return ""


@pytest.mark.parametrize("name", LAYERS)
def test_layers_take_and_refuse_what_torchs_do(name):
    axes, order = int(name[-2]), TRANSPOSED if "Transpose" in name else ORDER

    def make(lib, case):
        cls = getattr(lib.nn, name)
        if case["call"] == "positions":
            return cls(*(case[key] for key in order))
        return cls(**{key: case[key] for key in order})

    def run(lib, case):
        x = image(axes, case["batch"], case["dtype"])
        make(lib, case)(torch.from_numpy(x) if lib is torch else minicnn.from_numpy(x))

    def agree(case):
        theirs, ours = make(torch, case), make(minicnn, case)
        ours.load_state_dict(theirs.state_dict())
        if not any(isinstance(v, tuple | list) and len(v) < axes for v in case.values()):
            assert repr(ours) == repr(theirs)  # else torch prints the one number that it was given
        layers = {torch: theirs, minicnn: ours}
        check(lambda lib, x: layers[lib](x), image(axes, case["batch"], case["dtype"]))

    counts = compare(
        options_of(name),
        lambda case: run(torch, case),
        lambda case: run(minicnn, case),
        agree,
        name,
        differs=lambda case: differs(name, case),
    )
    assert min(counts["taken"], counts["refused"]) > 150, counts


# -------------------------------------------------------------------------- numbers and gradients

CASES: list[tuple[str, tuple, dict[str, Any]]] = [
    ("Conv1d", (4, 6, 3), {"stride": 2, "padding": 2, "groups": 2}),
    ("Conv1d", (4, 6, 4), {"padding": "same", "dilation": 2, "bias": False}),
    ("Conv2d", (4, 6, (3, 2)), {"stride": (1, 2), "padding": (2, 1), "dilation": (1, 2)}),
    ("Conv2d", (4, 6, (2, 4)), {"padding": "same", "groups": 2}),
    ("Conv2d", (4, 6, 3), {"padding": "valid", "stride": 2}),
    ("Conv3d", (4, 6, (2, 3, 2)), {"padding": (1, 2, 1), "stride": (1, 2, 1), "groups": 2}),
    ("Conv3d", (4, 6, 2), {"padding": "same", "dilation": (1, 2, 1)}),
]

# the loops pad as the numpy rung does: one mode shows it
PADDING = [(rung, mode) for rung in RUNGS for mode in MODES if rung != "loops" or mode == MODES[-1]]


@pytest.mark.parametrize(("rung", "mode"), PADDING)
@pytest.mark.parametrize(("name", "sizes", "how"), CASES)
def test_every_padding_mode_forward_and_backward(rung, name, sizes, how, mode):
    """The input's gradient, and the parameters'."""
    assert_same_numbers(getattr(torch.nn, name)(*sizes, **how, padding_mode=mode), rung)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("name", "sizes", "how"),
    [
        ("ConvTranspose1d", (4, 6, 3), {"stride": 3, "padding": 1, "output_padding": 2}),
        ("ConvTranspose1d", (4, 6, 3), {"groups": 2, "bias": False, "dilation": 2}),
        ("ConvTranspose2d", (4, 6, (3, 2)), {"stride": (1, 2), "padding": (2, 1), "groups": 2}),
        ("ConvTranspose2d", (4, 6, 3), {"stride": 2, "padding": 1, "output_padding": 1}),
    ],
)
def test_transposed_layers_forward_and_backward(rung, dtype, name, sizes, how):
    layer = getattr(torch.nn, name)(*sizes, **how)
    assert_same_numbers(layer.double() if dtype == "float64" else layer, rung)


def assert_same_numbers(theirs: Any, rung: str) -> None:
    ours = twin(theirs)
    dtype = str(theirs.weight.dtype).removeprefix("torch.")
    ours.to(dtype)
    ours.load_state_dict(theirs.state_dict())
    x, found = image(len(theirs.kernel_size), dtype=dtype), []
    for lib, layer in ((minicnn, ours), (torch, theirs)):
        leaf = lib.tensor(x, requires_grad=True)
        with minicnn.use_backend(rung):
            y = layer(leaf)
            y.backward(lib.tensor(normal(np.random.default_rng(1), *y.shape, dtype=dtype)))
        results = [y.detach(), leaf.grad, *(p.grad for p in layer.parameters())]
        found.append([r.numpy() for r in results])
    for a, b in zip(*found, strict=True):
        assert a.shape == b.shape
        assert relative_error(a, b) <= TOLERANCE[dtype]


@pytest.mark.parametrize("mode", MODES)
def test_keras_same_pads_as_the_mode_says(mode):
    """The zeros of Keras's "same", replaced by pixels of the image."""
    layer = nn.Conv2d(4, 6, (3, 4), (2, 3), "keras_same", padding_mode=mode).double()
    x, w, b = (image(2, dtype="float64"), *(p.detach().numpy() for p in layer.parameters()))
    top, left = keras_pads(7, 3, 2, 1), keras_pads(6, 4, 3, 1)
    how = "constant" if mode == "zeros" else mode

    def convolve(lib, x):
        if lib is minicnn:
            return layer(x)
        x = torch.nn.functional.pad(x, (*left, *top), how)
        return torch.nn.functional.conv2d(x, torch.tensor(w), torch.tensor(b), (2, 3))

    check(convolve, x)
    assert repr(layer).endswith(
        "stride=(2, 3), padding=keras_same)"
        if mode == "zeros"
        else f"padding=keras_same, padding_mode={mode})"
    )


@pytest.mark.parametrize("name", ["ConvTranspose1d", "ConvTranspose2d"])
@pytest.mark.parametrize("batch", ["two", "none"])
@pytest.mark.parametrize("how", [{"stride": 3}, {"stride": 2, "padding": 1, "dilation": 3}, {}])
def test_output_size_chooses_among_the_sizes(name, batch, how):
    """Every size from too small to too large, alone and in the whole shape."""
    theirs = getattr(torch.nn, name)(4, 6, 3, **how, output_padding=how.get("stride", 1) - 1)
    ours, axes = twin(theirs), int(name[-2])
    x = image(axes, batch)
    least = list(ours(minicnn.tensor(x)).shape[-axes:])
    layers, taken = {torch: theirs, minicnn: ours}, 0
    for more in range(-4, 3):
        size = [n + more for n in least]
        for given in (size, (6, *size), [9, 9, *size], torch.Size(size), [*size, 1, 1, 1]):
            try:
                theirs(torch.tensor(x), given)
            except ValueError:
                with pytest.raises(ShapeError, match=rf"^{name}: .*(Use|Give) ") as caught:
                    ours(minicnn.tensor(x), given)
                assert "\n" not in str(caught.value)
            else:
                taken += 1
                check(lambda lib, x, given=given: layers[lib](x, output_size=given), x)
    assert taken == 3 * how.get("stride", 1)


@pytest.mark.parametrize("bad", [20, "20", 20.5])
def test_output_size_that_is_no_tuple(bad):
    layer = nn.ConvTranspose2d(4, 6, 3, stride=2)
    with pytest.raises(ArgumentError, match=r"^ConvTranspose2d: output_size must be a tuple"):
        layer(minicnn.from_numpy(image(2)), bad)
    with pytest.raises(ArgumentError, match=r"^ConvTranspose2d: output_size must be an integer"):
        layer(minicnn.from_numpy(image(2)), (20.5, 17))
    with pytest.raises(ShapeError, match=r"expected input \(N, C, H, W\).*got 2 axes"):
        layer(minicnn.zeros(3, 4), (20, 17))
    with pytest.raises(DtypeError, match=r"expected a Tensor, got ndarray"):
        layer(image(2), (20, 17))


# ------------------------------------------------------------------------------------- the weights


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("bias", [True, False])
def test_weights_pass_both_ways_under_the_same_names(name, bias):
    theirs = getattr(torch.nn, name)(4, 6, 3, groups=2, bias=bias)
    ours = getattr(nn, name)(4, 6, 3, groups=2, bias=bias)
    shapes = {key: tuple(value.shape) for key, value in theirs.state_dict().items()}
    assert {key: tuple(value.shape) for key, value in ours.state_dict().items()} == shapes
    assert [*ours.state_dict()] == [*theirs.state_dict()]
    theirs.load_state_dict({k: torch.tensor(v.numpy()) for k, v in ours.state_dict().items()})
    for key, value in theirs.state_dict().items():
        np.testing.assert_array_equal(ours.state_dict()[key].numpy(), value.numpy())
    assert ours.transposed == theirs.transposed


@pytest.mark.parametrize("name", LAYERS)
def test_weights_start_between_torchs_bounds(name):
    """Uniform up to 1/√fan_in, torch's fan_in: of a transposed layer too, where it is K's."""
    largest = {}
    for lib in (minicnn, torch):
        layer = getattr(lib.nn, name)(32, 64, 3, groups=4)
        weight, bias = (p.detach().numpy() for p in (layer.weight, layer.bias))
        largest[lib] = abs(weight).max(), abs(bias).max()
        bound = 1 / math.sqrt(math.prod(weight.shape[1:]))
        assert 0.99 * bound < abs(weight).max() <= bound * (1 + 1e-6)
        assert 0.8 * bound < abs(bias).max() <= bound * (1 + 1e-6)
        assert weight.std() == pytest.approx(bound / math.sqrt(3), rel=0.05)
    assert largest[minicnn] == pytest.approx(largest[torch], rel=0.2)
    layer = getattr(nn, name)(4, 4, 3)
    before = layer.weight.clone()
    layer.reset_parameters()
    assert not minicnn.equal(before, layer.weight)


def test_dtype_and_device_of_the_weights():
    for name in LAYERS:
        layer = getattr(nn, name)(2, 2, 1, dtype=minicnn.float64, device="cpu")
        assert layer.weight.dtype == layer.bias.dtype == minicnn.float64


# ------------------------------------------------------------------------------------------ errors


@pytest.mark.parametrize(
    ("layer", "shape", "message"),
    [
        (
            nn.Conv1d(3, 4, 5),
            (1, 3, 2),
            'Conv1d "body.1.0": kernel 5 is larger than the padded input 2 (2+2*0). '
            "Use a smaller kernel, or padding >= 2.",
        ),
        (
            nn.Conv3d(3, 4, 2),
            (2, 5, 4, 4, 4),
            'Conv3d "body.1.0": input (2, 5, 4, 4, 4) has 5 channels, but weight (4, 3, 2, 2, 2) '
            "takes 3 (groups=1). Use in_channels=5, or an input of 3 channels.",
        ),
        (
            nn.Conv2d(3, 4, 9, padding=4, padding_mode="reflect"),
            (1, 3, 4, 9),
            'Conv2d "body.1.0": pad: (4, 4) on an axis of size 4 in input (1, 3, 4, 9) must stay '
            'below 4: the mirror image leaves out the edge. Use at most 3, or mode="replicate".',
        ),
        (
            nn.Conv2d(3, 4, 3, padding=1, padding_mode="circular"),
            (3, 4),
            'Conv2d "body.1.0": expected input (N, C, H, W) or (C, H, W), got 2 axes: (3, 4). '
            "Add an axis of one with x[None], or reshape.",
        ),
        (
            nn.ConvTranspose2d(3, 4, 1, padding=1),
            (3, 2, 1),
            'ConvTranspose2d "body.1.0": an input of 2x1 gives an output of 0x-1, that is '
            "(size-1)*stride - 2*padding + dilation*(kernel-1) + 1 + output_padding. "
            "Use less padding or a larger input.",
        ),
        (
            nn.ConvTranspose1d(3, 4, 1),
            (3, 2, 1, 1),
            'ConvTranspose1d "body.1.0": expected input (N, C, L) or (C, L), got 4 axes: '
            "(3, 2, 1, 1). Add an axis of one with x[None], or reshape.",
        ),
    ],
)
def test_errors_name_the_layer_by_its_path(layer, shape, message):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Sequential(nn.Identity(), nn.Sequential(layer))

        def forward(self, x):
            return self.body(x)

    with pytest.raises(ShapeError) as caught:
        Net()(minicnn.zeros(*shape))
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: nn.Conv1d(4, 6, 3, groups=4),
            "Conv1d: groups=4 does not divide the 6 out_channels (6 % 4 = 2). "
            "Use groups from 1, 2, 3, 6.",
        ),
        (
            lambda: nn.Conv3d(4, 6, 3, stride=(1, 2)),
            "Conv3d: stride must be an integer or three, got (1, 2). "
            "Use stride=2 or stride=(3, 2, 1) for depth, height and width.",
        ),
        (
            lambda: nn.Conv2d(4, 6, 3, stride=2, padding="same"),
            "Conv2d: padding='same' needs stride 1, got 2x2. "
            "Use padding='keras_same' for ceil(size/stride) outputs, or integers.",
        ),
        (
            lambda: nn.Conv2d(4, 6, 3, padding_mode="mirror"),
            'Conv2d: padding_mode must be "zeros" or "reflect" or "replicate" or "circular", got '
            "'mirror'. Use padding_mode=\"zeros\".",
        ),
        (
            lambda: nn.ConvTranspose2d(4, 6, 3, padding_mode="reflect"),
            "ConvTranspose2d: padding_mode must be \"zeros\", got 'reflect'. "
            'Use padding_mode="zeros".',
        ),
        (
            lambda: nn.ConvTranspose1d(4, 6, 3, padding="same"),
            "ConvTranspose1d: padding must be an integer, got 'same'. Use padding=2.",
        ),
        (
            lambda: nn.ConvTranspose1d(4, 6, 3, output_padding=-1),
            "ConvTranspose1d: output_padding must be at least 0, got -1. Use output_padding=0.",
        ),
    ],
)
def test_arguments_that_make_no_layer(make, message):
    with pytest.raises(ArgumentError) as caught:
        make()
    assert str(caught.value) == message


# ----------------------------------------------------------------------------------------- summary


def rows(model: Any, size: tuple[int, ...], batch: int = 1) -> dict[str, Any]:
    return {row.path: row for row in summary(model, size, batch_size=batch).rows}


def test_summary_of_one_axis():
    model = nn.Sequential(
        nn.Conv1d(2, 4, 3, stride=2, padding=1), nn.ReLU(), nn.Conv1d(4, 6, 5, groups=2)
    )
    found = rows(model, (2, 32), batch=3)
    assert found["0"].output_shape == (3, 4, 16)
    assert found["2"].output_shape == (3, 6, 12)
    assert found["0"].macs == 3 * 4 * 16 * 2 * 3
    assert found["2"].macs == 3 * 6 * 12 * 2 * 5
    assert found["0"].im2col_bytes == 3 * 2 * 3 * 16 * 4
    assert found["0"].receptive_field == (3,)
    assert found["2"].receptive_field == (3 + 4 * 2,)


def test_summary_of_three_axes():
    model = nn.Sequential(
        nn.Conv3d(2, 4, (3, 2, 1), stride=(2, 1, 1), padding=(1, 0, 0)),
        nn.Conv3d(4, 4, (2, 3, 3), padding="same", dilation=(1, 2, 1)),
        nn.Flatten(),
        nn.Linear(4 * 4 * 5 * 6, 3),
    )
    found = rows(model, (2, 8, 6, 6), batch=2)
    assert found["0"].output_shape == (2, 4, 4, 5, 6)
    assert found["1"].output_shape == (2, 4, 4, 5, 6)
    assert found["0"].macs == 2 * 4 * (4 * 5 * 6) * 2 * 6
    assert found["1"].macs == 2 * 4 * (4 * 5 * 6) * 4 * 18
    assert found["0"].im2col_bytes == 2 * (2 * 6) * (4 * 5 * 6) * 4
    assert found["0"].receptive_field == (3, 2, 1)
    assert found["1"].receptive_field == (3 + 2, 2 + 2 * 2, 1 + 2)
    assert found["3"].receptive_field == (8, 6, 6)


def test_summary_of_transposed_layers():
    model = nn.Sequential(nn.ConvTranspose2d(3, 4, (3, 2), stride=2, groups=1), nn.ReLU())
    found = rows(model, (3, 5, 6), batch=2)
    assert found["0"].output_shape == (2, 4, 11, 12)
    assert found["0"].macs == 2 * 3 * (5 * 6) * 4 * 6  # each pixel paints 4 filters of 6 taps
    assert found["0"].im2col_bytes == 2 * 4 * 6 * (5 * 6) * 4
    assert found["0"].receptive_field == (2, 1)
    assert found["0"].parameters == 3 * 4 * 6 + 4
    assert rows(nn.ConvTranspose1d(3, 4, 3, stride=2), (3, 5))[""].receptive_field == (2,)


def test_nothing_is_padded_either(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("a kernel ran")

    for name in minicnn.kernels.reference.__all__:
        monkeypatch.setattr(minicnn.kernels.reference, name, refuse)
    model = nn.Conv2d(3, 4, 5, padding=2, padding_mode="reflect")
    with minicnn.use_backend("numpy"):
        assert rows(model, (3, 1000, 999), batch=4)[""].output_shape == (4, 4, 1000, 999)


@pytest.mark.parametrize(
    "layers",
    [
        [("ConvTranspose1d", 3, 2, 0), ("Conv1d", 2, 1, 0)],
        [("ConvTranspose1d", 3, 2, 1), ("Conv1d", 3, 1, 1)],
        [("Conv1d", 3, 2, 1), ("ConvTranspose1d", 4, 2, 1), ("Conv1d", 2, 1, 0)],
        [("ConvTranspose1d", 2, 3, 0), ("Conv1d", 3, 2, 1), ("ConvTranspose1d", 3, 2, 1)],
        [("ConvTranspose1d", 5, 2, 0), ("ConvTranspose1d", 3, 3, 0), ("Conv1d", 4, 3, 0)],
    ],
)
def test_receptive_fields_of_transposed_layers_are_where_gradients_arrive(layers):
    """With positive weights a pixel is seen iff its gradient is not 0; neighbours may see less."""
    model = nn.Sequential(
        *(getattr(nn, name)(1, 1, k, stride=s, padding=p) for name, k, s, p in layers)
    )
    for parameter in model.parameters():
        parameter.data = minicnn.ones(*parameter.shape)
    x = minicnn.rand(1, 1, 40, requires_grad=True)
    y, most = model(x), 0
    for i in range(y.shape[-1]):
        x.grad = None
        y[0, 0, i].backward(retain_graph=True)
        most = max(most, np.ptp(np.append(np.nonzero(x.grad.numpy()[0, 0])[0], [])) + 1)
    assert rows(model, (1, 40))[str(len(layers) - 1)].receptive_field == (most,)
