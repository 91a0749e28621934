"""Pooling's public face against torch: what is taken and refused, values, gradients, layers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from oracle import DTYPES, check, distinct, normal
from outcomes import table

import minicnn
import minicnn.nn.functional as F
from minicnn import nn
from minicnn.errors import ArgumentError, DtypeError, ShapeError
from minicnn.kernels import cpu, shapes, threads

WINDOWS = ("max_pool1d", "max_pool2d", "avg_pool1d", "avg_pool2d")
ADAPTIVE = tuple(f"adaptive_{kind}_pool{axes}d" for kind in ("avg", "max") for axes in (1, 2))


def x_of(*shape: int, dtype: str = "float64") -> np.ndarray:
    return distinct(np.random.default_rng(5), *shape, dtype=dtype)


def call(name):
    """The function of `nn.functional` of the tensor, with the options by keyword."""
    return lambda lib, x, **options: getattr(lib.nn.functional, name)(x, **options)


# ------------------------------------------------------------------ taken and refused as torch does

SIZES_2D = [1, 2, 3, (3, 2), [2, 3], (2,), [3], np.int64(2), (np.int32(3), 2)]
SIZES_1D = [1, 2, 3, (3,), [2], np.int64(2)]
NO_SIZES = [0, -1, (2, 0), (), [], (2, 3, 1), 2.0, True, (True, 2), None, "2", "ab", {2}]
BATCHES = {"batched": (2,), "one image": (), "an empty batch": (0,)}


@pytest.mark.parametrize("batch", BATCHES)
def test_max_pool2d(batch):
    options = {
        "kernel_size": [2, (3, 2)],
        "stride": [None, (), 1, (2, 1)],
        "padding": [0, 1, (1, 0)],
        "dilation": [1, (1, 2)],
        "ceil_mode": [False, True],
    }
    rung = "numpy" if batch == "one image" else "numba"
    x = x_of(*BATCHES[batch], 2, 7, 8)
    table({**options, "return_indices": [True]}, call("max_pool2d"), x, rung=rung)


@pytest.mark.parametrize("batch", BATCHES)
def test_avg_pool2d(batch):
    options = {
        "kernel_size": [3, (3, 2)],
        "stride": [None, 1, (2, 1)],
        "padding": [0, 1, (1, 0)],
        "ceil_mode": [False, True],
        "count_include_pad": [False, True],
        "divisor_override": [None, -2],
    }
    rung = "numpy" if batch == "one image" else "numba"
    table(options, call("avg_pool2d"), x_of(*BATCHES[batch], 2, 7, 8), rung=rung)


@pytest.mark.parametrize("batch", BATCHES)
def test_pooling_of_rows(batch):
    x = x_of(*BATCHES[batch], 2, 11)
    options = {
        "kernel_size": [2, (3,)],
        "stride": [None, [], 1, (2,)],
        "padding": [0, (1,)],
        "ceil_mode": [False, True],
    }
    more = {"dilation": [1, (2,)], "return_indices": [True]}
    table({**options, **more}, call("max_pool1d"), x)
    table({**options, "count_include_pad": [False, True]}, call("avg_pool1d"), x)


@pytest.mark.parametrize("name", WINDOWS)
def test_one_odd_argument(name):
    """Each option in turn takes every value, good or bad; the others are as usual."""
    one = name.endswith("1d")
    x = x_of(2, 2, 9) if one else x_of(2, 2, 9, 8)
    sizes = [*(SIZES_1D if one else SIZES_2D), *NO_SIZES, (2, 3)]
    odd = {
        "kernel_size": [*sizes, 9, 10, (10,)],
        "stride": [*sizes, (), [], 100],
        "padding": [0, 1, 2, *sizes[-len(NO_SIZES) :]],
        "ceil_mode": [0, 1, None, "yes", np.True_, 1.0],
    }
    if name.startswith("max"):
        odd["dilation"] = [*sizes, 8, 9]
        odd["return_indices"] = [1, None, ""]
    else:
        odd["count_include_pad"] = [0, 1, None, "no", np.False_]
    if name == "avg_pool2d":
        odd["divisor_override"] = [0, 1, -1, 2.0, True, "3", (3,), np.int64(3), 1 << 62, 1 << 63]
    for option, values in odd.items():
        usual = {"kernel_size": [3]} if option != "kernel_size" else {"stride": [None, 1]}
        table({**usual, option: values}, call(name), x)


ROWS = [(2, 3, 9), (3, 9), (0, 3, 9), (2, 0, 9), (2, 3, 0), (3, 0), (9,), (), (1, 2, 3, 9)]
IMAGES = [(2, 3, 8, 9), (3, 8, 9), (0, 3, 8, 9), (2, 0, 8, 9), (2, 3, 0, 9), (3, 8, 0), (8, 9)]
IMAGES += [(9,), (), (1, 2, 3, 8, 9)]


def has_no_channels(name, shape) -> bool:
    """Refused here by all pooling. Torch's adaptive pooling takes it, where it looks at the batch

    alone ((0, 8, 9) is an image without channels, not a batch), or refuses it only in backward.
    """
    channels = shape[-2:-1] if name.endswith("1d") else shape[-3:-2]
    return "adaptive" in name and channels == (0,)


@pytest.mark.parametrize("name", [*WINDOWS, *ADAPTIVE])
def test_input_shapes(name):
    option = "output_size" if "adaptive" in name else "kernel_size"
    for shape in ROWS if name.endswith("1d") else IMAGES:
        if has_no_channels(name, shape):
            with pytest.raises(ShapeError, match=rf"^{name}: .* empty axis\. Only the batch"):
                getattr(F, name)(minicnn.zeros(*shape), 2)
        else:
            # To 1 by 1, torch's adaptive average is the mean of anything: NaN of no pixels.
            sizes = [2] if name.startswith("adaptive_avg") else [1, 2]
            table({option: sizes}, call(name), x_of(*shape))


@pytest.mark.parametrize("name", ADAPTIVE)
def test_adaptive_output_sizes(name):
    one = name.endswith("1d")
    x = x_of(2, 3, 9) if one else x_of(2, 3, 8, 9)
    sizes = [1, 3, 9, 20, (3,), [4], (2, 3), [9, 5], (None, 3), [4, None], (None, None), (None,)]
    sizes += [None, -1, (2, -1), 2.0, (2.0, 3), True, (True, 2), (1, 2, 3), (), [], "3", (3, "4")]
    sizes += [torch.Size([2, 3]), (np.int64(2), 3)]
    more = {"return_indices": [False, True]} if "max" in name else {}
    table({"output_size": sizes, **more}, call(name), x)
    table({"output_size": [3, (2,), (2, 3), (None, 2)], **more}, call(name), x[0])
    table({"output_size": [3, (2,), (2, 3), (None, 2)], **more}, call(name), x[:0])


@pytest.mark.parametrize("name", ADAPTIVE)
def test_an_output_of_no_pixels(name):
    """Torch takes it forward and refuses to go back; here the gradient is 0."""
    x = x_of(2, 3, 9) if name.endswith("1d") else x_of(2, 3, 8, 9)
    for size in (0, (0,)) if name.endswith("1d") else (0, (0, 3), (3, 0), (None, 0)):
        t = minicnn.tensor(x, requires_grad=True)
        y = getattr(F, name)(t, size)
        assert y.shape == getattr(torch.nn.functional, name)(torch.tensor(x), size).shape
        y.sum().backward()
        assert not t.grad.numpy().any()


@pytest.mark.parametrize("name", [*WINDOWS, *ADAPTIVE])
def test_dtypes(name):
    """Integers are refused. Torch pools int64 in some of these functions, and rounds averages."""
    shape = (2, 3, 8) if name.endswith("1d") else (2, 3, 8, 8)
    for dtype in (minicnn.int64, minicnn.uint8, np.dtype(bool), minicnn.float16):
        x = minicnn.zeros(*shape, dtype=dtype)
        with pytest.raises(DtypeError, match=rf"^{name}: .*Convert with \.float\(\)"):
            getattr(F, name)(x, 2)
    with pytest.raises(DtypeError, match=rf"^{name}: expected a Tensor, got ndarray"):
        getattr(F, name)(np.ones(shape), 2)
    check(lambda lib, x: call(name)(lib, x, **of(name)), x_of(*shape, dtype="float32"))


def of(name, size=2):
    """The one argument that a function needs."""
    return {"output_size" if "adaptive" in name else "kernel_size": size}


def test_arguments_by_position_and_by_name():
    calls = {
        "max_pool1d": (2, 1, 1, 2, True, True),
        "max_pool2d": ((2, 3), 1, (1, 0), 2, True, True),
        "avg_pool1d": (2, 1, 1, True, False),
        "avg_pool2d": ((2, 3), 1, (1, 0), True, False, 5),
        "adaptive_avg_pool1d": (3,),
        "adaptive_max_pool1d": (3, True),
        "adaptive_avg_pool2d": ((3, None),),
        "adaptive_max_pool2d": ((None, 2), True),
    }
    for name, arguments in calls.items():
        x = x_of(2, 3, 8) if name.endswith("1d") else x_of(2, 3, 8, 7)
        check(lambda lib, x, n=name, a=arguments: getattr(lib.nn.functional, n)(x, *a), x)
        check(lambda lib, x, n=name: getattr(lib.nn.functional, n)(input=x, **of(n)), x)
    keywords = {"padding": 1, "stride": 1, "kernel_size": 3, "ceil_mode": True}
    more = {"max_pool2d": {"return_indices": True, "dilation": 2}}
    more["avg_pool2d"] = {"divisor_override": 2, "count_include_pad": False}
    for name, rest in more.items():
        check(lambda lib, x, n=name, r=rest: call(n)(lib, x, **keywords, **r), x_of(2, 2, 8, 7))


# ------------------------------------------------------------------------------ values, gradients


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", ["contiguous", "permuted", "strided"])
@pytest.mark.parametrize("name", [*WINDOWS, *ADAPTIVE])
def test_every_rung_and_layout(rung, name, layout, dtype):
    x = x_of(2, 3, 9, dtype=dtype) if name.endswith("1d") else x_of(2, 3, 7, 9, dtype=dtype)
    more = {} if "adaptive" in name else {"stride": 2, "padding": 1, "ceil_mode": True}
    check(lambda lib, x: call(name)(lib, x, **of(name, 4), **more), x, rung=rung, layout=layout)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["avg_pool2d", "adaptive_avg_pool2d"])
def test_expanded_images(rung, name, dtype):
    x = x_of(2, 3, 7, 9, dtype=dtype)
    check(lambda lib, x: call(name)(lib, x, **of(name, 4)), x, rung=rung, layout="expanded")


LARGE = {
    "halved": ("avg_pool2d", {"kernel_size": 2}),
    "overlapping": ("avg_pool2d", {"kernel_size": 3, "stride": 2, "padding": 1}),
    "at stride 1": ("avg_pool2d", {"kernel_size": (5, 3), "stride": 1, "padding": (2, 1)}),
    "ceil": ("avg_pool2d", {"kernel_size": 3, "stride": (2, 3), "ceil_mode": True}),
    "stride 4": ("avg_pool2d", {"kernel_size": 5, "stride": 4, "count_include_pad": False}),
    "to 1x1": ("adaptive_avg_pool2d", {"output_size": 1}),
    "to 6x6": ("adaptive_avg_pool2d", {"output_size": 6}),
    "to 40x70": ("adaptive_avg_pool2d", {"output_size": (40, 70)}),
    "maxima of 6x6": ("adaptive_max_pool2d", {"output_size": 6}),
    "maxima": ("max_pool2d", {"kernel_size": 3, "stride": 2, "padding": 1, "dilation": 2}),
}


@pytest.mark.parametrize("case", LARGE)
def test_large_images(case):
    """Several threads, and the paths of long rows."""
    name, options = LARGE[case]
    x = x_of(4, 8, 57, 62, dtype="float32")
    check(lambda lib, x: call(name)(lib, x, **options), x, rung="numba")


def test_what_the_average_divides_by():
    """A row of ones, so that the sum is the number of pixels: by hand."""
    row = minicnn.ones(1, 4)

    def means(**options):
        return F.avg_pool1d(row, 3, 2, **options).tolist()[0]

    assert means() == [1]
    assert means(ceil_mode=True) == [1, 1]  # beyond the edge nothing is counted
    third = np.float32(2) / np.float32(3)
    assert means(padding=1) == [third, 1]
    assert means(padding=1, ceil_mode=True) == [third, 1, 0.5]  # pixel 3 and one of padding
    assert means(padding=1, count_include_pad=False) == [1, 1]
    assert means(padding=1, ceil_mode=True, count_include_pad=False) == [1, 1, 1]
    image = F.avg_pool2d(minicnn.ones(1, 2, 4), (1, 3), (1, 2), (0, 1), divisor_override=4)
    assert image.tolist() == [[[0.5, 0.75]] * 2]


def test_the_mean_of_equal_numbers_is_that_number(rung):
    """Exactly: dividing, not multiplying by a rounded reciprocal."""
    ones = minicnn.ones(1, 1, 49, 49)
    with minicnn.use_backend(rung):
        for y in (F.avg_pool2d(ones, 7, 3), F.adaptive_avg_pool2d(ones, 5), F.avg_pool2d(ones, 49)):
            assert (y == 1).all()


def test_infinities_stay_in_their_windows(rung):
    x = x_of(1, 1, 12, 40)
    x[0, 0, 3, 5], x[0, 0, 7, 20], x[0, 0, 8, 31] = np.inf, np.nan, -np.inf
    check(lambda lib, x: lib.nn.functional.avg_pool2d(x, 3, 2, 1), x, rung=rung)
    check(lambda lib, x: lib.nn.functional.adaptive_avg_pool2d(x, (5, 7)), x, rung=rung)


@given(
    size=st.integers(1, 12),
    kernel=st.integers(1, 5),
    stride=st.integers(1, 6),
    padding=st.integers(0, 2),
    ceil_mode=st.booleans(),
)
def test_window_formulas(size, kernel, stride, padding, ceil_mode):
    """Against torch: which pixels an average sees and how many it divides by; `windows_over`."""
    padding = min(padding, kernel // 2)
    if shapes.pool_output_size(size, kernel, stride, padding, 1, ceil_mode) < 1:
        return
    windows = shapes.pool_windows(size, kernel, stride, padding, ceil_mode)
    share = torch.nn.functional.avg_pool1d(torch.eye(size), kernel, stride, padding, ceil_mode)
    for (start, end), seen in zip(windows, share.T, strict=True):
        inside = [h for h in range(start, end) if 0 <= h < size]
        assert torch.nonzero(seen).flatten().tolist() == inside
        assert seen.max() == torch.tensor(1.0) / (end - start)
    over = [[i for i, (a, b) in enumerate(windows) if a <= h < b] for h in range(size)]
    assert [[*range(*pair)] for pair in shapes.windows_over(windows, size)] == over


# ------------------------------------------------------------------------------ threads


@pytest.mark.skipif(threads.available() < 2, reason="this process may use one core only")
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_same_bits_at_any_number_of_threads(dtype):
    rng = np.random.default_rng(0)
    x = normal(rng, 7, 5, 45, 39, dtype=dtype)
    before, found = threads.get_num_threads(), []
    try:
        for count in (1, 2):
            threads.set_num_threads(count)
            results = []
            for how in (
                ((3, 2), (2, 1), (1, 1)),
                ((2, 2), (2, 2), (0, 0)),
                ((4, 4), (3, 3), (2, 2)),
            ):
                y = cpu.avg_pool2d(x, *how, True, True, None)
                results += [y, cpu.avg_pool2d_grad(y, x.shape, *how, True, True, None)]
            for size in ((1, 1), (6, 7), (50, 20)):
                y, (most, places) = (
                    cpu.adaptive_avg_pool2d(x, size),
                    cpu.adaptive_max_pool2d(x, size),
                )
                results += [y, cpu.adaptive_avg_pool2d_grad(y, x.shape)]
                results += [most, places, cpu.max_pool2d_grad(y, places, x.shape)]
            found.append(results)
    finally:
        threads.set_num_threads(before)
    for one, two in zip(*found, strict=True):
        np.testing.assert_array_equal(one, two)


# ------------------------------------------------------------------------------ layers

LAYERS = {
    "MaxPool1d": [(2,), ((3,), 2, 1, 1, True, True)],
    "MaxPool2d": [(2,), ((3, 2), (2, 1), 1, 2, True, True), (2, [])],
    "AvgPool1d": [(2,), ([3], 2, 1, True, False), (2, (1,), (1,))],
    "AvgPool2d": [(2,), ((3, 2), (2, 1), 1, True, False, 7), (3, None, 1)],
    "AdaptiveAvgPool1d": [(3,), ((4,),)],
    "AdaptiveAvgPool2d": [(3,), ((4, None),), ([2, 3],)],
    "AdaptiveMaxPool1d": [(3,), ((4,), True)],
    "AdaptiveMaxPool2d": [(3,), ((None, 2), True)],
}


@pytest.mark.parametrize("name", LAYERS)
def test_layers(rung, name):
    x = x_of(2, 3, 8) if name.endswith("1d") else x_of(2, 3, 7, 8)
    for arguments in LAYERS[name]:
        check(lambda lib, x, a=arguments: getattr(lib.nn, name)(*a)(x), x, rung=rung)
        check(lambda lib, x, a=arguments: getattr(lib.nn, name)(*a)(input=x), x[0])
        ours, theirs = (getattr(lib.nn, name)(*arguments) for lib in (minicnn, torch))
        assert repr(ours) == repr(theirs)
        assert dict(ours.state_dict()) == {}
        public = {k: v for k, v in vars(theirs).items() if not k.startswith("_")}
        assert {k: getattr(ours, k) for k in public} == public


def test_layers_by_name():
    options = {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True}
    for name, more in {
        "MaxPool1d": {"dilation": 2, "return_indices": True},
        "MaxPool2d": {"dilation": 2, "return_indices": True},
        "AvgPool1d": {"count_include_pad": False},
        "AvgPool2d": {"count_include_pad": False, "divisor_override": 2},
    }.items():
        x = x_of(2, 3, 8) if name.endswith("1d") else x_of(2, 3, 7, 8)
        check(lambda lib, x, n=name, m=more: getattr(lib.nn, n)(**options, **m)(x), x)


@pytest.mark.parametrize("name", LAYERS)
def test_layers_take_and_refuse_what_torchs_do(name):
    size = "output_size" if name.startswith("Adaptive") else "kernel_size"
    x = x_of(2, 2, 9) if name.endswith("1d") else x_of(2, 2, 9, 8)
    sizes = [2, (2,), (2, 3), 0 if size == "kernel_size" else 1, -1, 2.0, None, True, (2, 3, 4)]
    options = {size: sizes}
    if size == "kernel_size":
        options |= {"stride": [None, 2, 0], "padding": [0, 1, -1, 2], "ceil_mode": [True, 1]}
    table(options, lambda lib, x, **o: getattr(lib.nn, name)(**o)(x), x)


# ------------------------------------------------------------------------------ global pooling


@pytest.mark.parametrize("keepdims", [True, False])
@pytest.mark.parametrize("kind", ["avg", "max"])
def test_global_pooling_is_a_reduction_of_each_channel(rung, kind, keepdims):
    ours = {"avg": nn.GlobalAvgPool2d, "max": nn.GlobalMaxPool2d}[kind]
    reduction = {"avg": torch.mean, "max": torch.amax}[kind]

    def pooled(lib, x):
        if lib is minicnn:
            return ours(keepdims)(x)
        return reduction(x, dim=(-2, -1), keepdim=keepdims)

    for shape in ((2, 3, 7, 5), (3, 7, 5), (1, 2, 1, 1)):
        check(pooled, x_of(*shape), rung=rung)
        check(pooled, x_of(*shape), rung=rung, layout="permuted")
    with minicnn.use_backend(rung):
        assert ours(keepdims)(minicnn.zeros(0, 3, 4, 5)).shape[:2] == (0, 3)


def test_global_pooling_defaults_and_errors():
    x = minicnn.rand(2, 3, 4, 5)
    assert F.global_avg_pool2d(x).shape == F.global_max_pool2d(input=x).shape == (2, 3, 1, 1)
    assert F.global_avg_pool2d(x, keepdims=False).shape == (2, 3)
    assert repr(nn.GlobalMaxPool2d()) == "GlobalMaxPool2d(keepdims=True)"
    with pytest.raises(ShapeError, match=r"^global_avg_pool2d: .*\(N, C, H, W\).*got 2 axes"):
        F.global_avg_pool2d(minicnn.rand(4, 5))
    with pytest.raises(ArgumentError, match=r"^global_max_pool2d: keepdims must be a bool, got 1"):
        F.global_max_pool2d(x, 1)


# ------------------------------------------------------------------------------ errors

ROW, IMAGE = (2, 3, 8), (2, 3, 8, 8)
ERRORS = [
    (
        lambda x: F.max_pool1d(x, 9),
        ROW,
        "max_pool1d: kernel 9 is larger than the padded input 8 (8+2*0). "
        "Use a smaller kernel, or padding >= 1.",
    ),
    (
        lambda x: F.avg_pool1d(x, 3, padding=2),
        ROW,
        "avg_pool1d: padding 2 is more than half of the kernel 3. Use padding of at most 1.",
    ),
    (
        lambda x: F.avg_pool1d(x, (2, 3)),
        ROW,
        "avg_pool1d: kernel_size must be an integer, got (2, 3). Use kernel_size=2.",
    ),
    (
        lambda x: F.max_pool1d(x, 2, 0),
        ROW,
        "max_pool1d: stride must be at least 1, got 0. Use stride=1 to visit every position.",
    ),
    (
        lambda x: F.adaptive_max_pool1d(x, -2),
        ROW,
        "adaptive_max_pool1d: output_size must be at least 0, got -2. The smallest output is 1.",
    ),
    (
        lambda x: F.adaptive_avg_pool1d(x, (2, 3)),
        ROW,
        "adaptive_avg_pool1d: output_size must be an integer or 1 of them, got (2, 3). "
        "Use output_size=6.",
    ),
    (
        lambda x: F.adaptive_avg_pool1d(x, 2),
        IMAGE,
        "adaptive_avg_pool1d: expected input (N, C, L) or (C, L), got 4 axes: (2, 3, 8, 8). "
        "Add an axis of one with x[None], or reshape.",
    ),
    (
        lambda x: F.avg_pool2d(x, (9, 2)),
        IMAGE,
        "avg_pool2d: kernel 9x2 is larger than the padded input 8x8 (8+2*0). "
        "Use a smaller kernel, or padding >= (1, 0).",
    ),
    (
        lambda x: F.avg_pool2d(x, 2, divisor_override=0),
        IMAGE,
        "avg_pool2d: divisor_override must be an int64 other than 0, got 0. "
        "Use divisor_override=None for the size of the window.",
    ),
    (
        lambda x: F.avg_pool2d(x, 2, ceil_mode=1),
        IMAGE,
        "avg_pool2d: ceil_mode must be a bool, got 1. Use ceil_mode=True or ceil_mode=False.",
    ),
    (
        lambda x: F.adaptive_avg_pool2d(x, (3,)),
        IMAGE,
        "adaptive_avg_pool2d: output_size must be an integer or 2 of them, got (3,). "
        "Use output_size=6 or output_size=(6, None).",
    ),
    (
        lambda x: nn.Sequential(nn.AvgPool1d(2), nn.MaxPool1d(5))(x),
        ROW,
        'MaxPool1d "1": kernel 5 is larger than the padded input 4 (4+2*0). '
        "Use a smaller kernel, or padding >= 1.",
    ),
]


@pytest.mark.parametrize(("function", "shape", "message"), ERRORS, ids=[e[2][:40] for e in ERRORS])
def test_a_refusal_names_the_op_and_speaks_of_its_own_axes(function, shape, message):
    with pytest.raises((ShapeError, ArgumentError)) as caught:
        function(minicnn.zeros(*shape))
    assert str(caught.value) == message


# ------------------------------------------------------------------------------ summary


def test_summary_knows_the_shapes():
    images = nn.Sequential(
        nn.AvgPool2d(3, 2, 1, ceil_mode=True),
        nn.AdaptiveMaxPool2d((5, None)),
        nn.AdaptiveAvgPool2d(3),
        nn.GlobalMaxPool2d(keepdims=False),
    )
    x = minicnn.rand(2, 3, 17, 20)
    for row, layer in zip(minicnn.summary(images, (3, 17, 20), 2).rows, images, strict=True):
        x = layer(x)
        assert row.output_shape == x.shape, row.type
    rows = nn.Sequential(nn.AvgPool1d(2), nn.AdaptiveMaxPool1d(5), nn.AdaptiveAvgPool1d(2))
    found = [row.output_shape for row in minicnn.summary(rows, (3, 17), 2).rows]
    assert found == [(2, 3, 8), (2, 3, 5), (2, 3, 2)]


@pytest.mark.parametrize(
    "layers",
    [
        lambda: (nn.AvgPool2d((3, 2), (2, 1)), nn.AvgPool2d(2)),
        lambda: (nn.AdaptiveAvgPool2d((8, 20)), nn.AvgPool2d(2, 1)),  # 3 pixels each, 2 each
        lambda: (nn.AdaptiveAvgPool2d((7, 9)),),  # windows of 4 and 5 pixels
        lambda: (nn.AvgPool2d(2), nn.GlobalAvgPool2d()),
    ],
)
def test_the_receptive_field_is_where_gradients_arrive(layers):
    model = nn.Sequential(*layers())
    x = minicnn.ones(1, 1, 24, 40, requires_grad=True)
    y, most = model(x), [0, 0]
    for p in range(y.shape[2]):
        for q in range(y.shape[3]):
            x.grad = None
            model(x)[0, 0, p, q].backward()
            reached = np.nonzero(x.grad.numpy()[0, 0])
            most = [max(m, int(np.ptp(axis)) + 1) for m, axis in zip(most, reached, strict=True)]
    assert minicnn.summary(model, (1, 24, 40)).rows[-1].receptive_field == tuple(most)
