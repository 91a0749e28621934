"""interpolate and the upsampling layers against torch: every mode, forward and backward."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from oracle import DTYPES, LAYOUTS, check, normal
from outcomes import same_outcome, table

import minicnn
import minicnn.nn.functional as F
from minicnn import nn
from minicnn.errors import ArgumentError, DtypeError, ShapeError
from minicnn.kernels import cpu

NEAREST, LINEAR = ("nearest", "nearest-exact"), ("linear", "bilinear")
MODES = (*NEAREST, *LINEAR, "area")
SCALES = (0.3, 0.5, 0.7, 0.9, 1.0, 1.1, 1.3, 1.5, 1.7, 2.0, 2.5, 3.3, 1 / 3, 10 / 3)


def x_of(*shape: int, dtype: str = "float32") -> np.ndarray:
    return normal(np.random.default_rng(5), *shape, dtype=dtype)


def interpolate(lib, x, **options):
    return lib.nn.functional.interpolate(x, **options)


def no_pooling_of(shape, mode) -> bool:
    """Mode "area" of (N, C, D, H, W) would need adaptive pooling in 3-d, which is not built in."""
    return mode == "area" and len(shape) == 5


# ------------------------------------------------------------------------------- values, gradients


@st.composite
def resized(draw: st.DrawFn) -> tuple[tuple[int, ...], dict]:
    """Draw a shape of 3 to 5 axes, and options for it: each axis on its own."""
    mode = draw(st.sampled_from(MODES))
    rank = {"linear": 3, "bilinear": 4}.get(mode) or draw(st.sampled_from([3, 4, 5]))
    rank = min(rank, 4) if mode == "area" else rank
    shape = (draw(st.integers(0, 2)), draw(st.integers(1, 3)))
    shape += tuple(draw(st.integers(1, 7)) for _ in range(rank - 2))
    options: dict = {"mode": mode}
    if mode in LINEAR:
        options["align_corners"] = draw(st.booleans())
    # Nearest, by a factor along one axis: torch's forward and backward disagree, see below.
    if draw(st.booleans()) or (mode in NEAREST and rank != 4):
        options["size"] = tuple(draw(st.integers(1, 12)) for _ in shape[2:])
    else:
        at_least = [[s for s in SCALES if int(n * s) >= 1] for n in shape[2:]]
        options["scale_factor"] = tuple(draw(st.sampled_from(scales)) for scales in at_least)
        options["recompute_scale_factor"] = draw(st.sampled_from([None, True, False]))
    return shape, options


@pytest.mark.parametrize("dtype", DTYPES)
@given(case=resized(), layout=st.sampled_from([*LAYOUTS]), seed=st.integers(0, 99))
@example(((2, 3, 5, 4), {"mode": "nearest", "scale_factor": 2}), "permuted", 0)
@example(((2, 3, 4, 5), {"mode": "bilinear", "size": (9, 3)}), "strided", 0)
@example(((2, 3, 5), {"mode": "linear", "size": 1, "align_corners": True}), "expanded", 0)
@example(((2, 3, 5, 4), {"mode": "bilinear", "scale_factor": 1.1}), "contiguous", 0)  # 5 to 5
@example(((2, 3, 2, 3, 4), {"mode": "nearest", "size": (3, 2, 9)}), "permuted", 0)
def test_interpolate(rung, dtype, case, layout, seed):
    shape, options = case
    x = normal(np.random.default_rng(seed), *shape, dtype=dtype)
    check(lambda lib, x: interpolate(lib, x, **options), x, rung=rung, layout=layout)


@pytest.mark.parametrize("rung", ["numpy", "numba"])
@pytest.mark.parametrize("mode", [*NEAREST, "bilinear", "area"])
@pytest.mark.parametrize("size", [(83, 130), (20, 19)])
def test_large_images(mode, size, rung):
    x = x_of(3, 8, 41, 67)
    check(lambda lib, x: interpolate(lib, x, size=size, mode=mode), x, rung=rung)


def test_by_hand():
    x = minicnn.tensor([[[0.0, 2.0, 4.0]]])
    expected = {
        ("nearest", None): [0, 0, 2, 2, 4],  # floor of 0, 0.6, 1.2, 1.8, 2.4
        ("nearest-exact", None): [0, 0, 2, 4, 4],  # floor of 0.3, 0.9, 1.5, 2.1, 2.7
        ("linear", False): [0, 0.8, 2, 3.2, 4],  # -0.2 (limited to 0), 0.4, 1, 1.6, 2.2 (to 2)
        ("linear", True): [0, 1, 2, 3, 4],
    }
    for (mode, align), row in expected.items():
        y = F.interpolate(x, size=5, mode=mode, align_corners=align)
        np.testing.assert_allclose(y.numpy(), [[row]], rtol=1e-6, err_msg=mode)


def test_bilinear_reproduces_planes():
    """A plane a + b·h + c·w stays one: with corners aligned, exactly from corner to corner."""
    h, w = np.ogrid[0:4, 0:6]
    plane = minicnn.tensor((3 + 2.0 * h - 0.5 * w)[None, None])
    y = F.interpolate(plane, size=(10, 16), mode="bilinear", align_corners=True)
    rows, columns = np.linspace(0, 3, 10)[:, None], np.linspace(0, 5, 16)
    np.testing.assert_allclose(y.numpy()[0, 0], 3 + 2 * rows - 0.5 * columns, rtol=1e-12)


@pytest.mark.parametrize("mode", [*NEAREST, "bilinear"])
def test_every_size_and_factor(mode):
    """Rounding chooses pixels: all small sizes, and factors whose products hit whole numbers."""
    kinds: list[tuple[int, dict]] = [
        (n, {"size": (1, out)}) for n in range(1, 18) for out in range(1, 38)
    ]
    kinds += [
        (n, {"scale_factor": (1.0, scale)})
        for n, scale in itertools.product(range(1, 40), SCALES)
        if int(n * scale) >= 1
    ]
    for n, options in kinds:
        x = np.arange(n, dtype="float32").reshape(1, 1, 1, n)
        ours = F.interpolate(minicnn.tensor(x), mode=mode, **options)
        theirs = torch.nn.functional.interpolate(torch.tensor(x), mode=mode, **options)
        np.testing.assert_allclose(
            ours.numpy(), theirs.numpy(), atol=1e-5, err_msg=f"{n} {options}"
        )


# ----------------------------------------------------------------------- accepted, refused as torch

SHAPES = [
    (), (4,), (3, 4), (2, 3, 4), (0, 3, 4), (2, 0, 4), (2, 3, 0), (1, 2, 3, 4), (0, 2, 3, 4),
    (1, 0, 3, 4), (1, 2, 0, 4), (1, 2, 3, 0), (1, 2, 2, 3, 4), (1, 1, 1, 2, 3, 4),
]  # fmt: skip
SIZES = [None, 5, 1, 0, -1, (6,), (2, 7), [2, 7], (2, 3, 5), (2, 0), (2, 7.0), 2.0, "2", True]
FACTORS = [
    None, 2, 1.7, 0.5, 0.1, 0, -1.0, (1.5,), (2, 0.7), [2, 0.7], (1, 2, 3), "x", (2, None),
    float("nan"), float("inf"), True, np.float32(1.7), np.int64(2), 2j,
]  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_sizes_and_factors(shape):
    for options in ({"size": SIZES, "scale_factor": [None, 2]}, {"scale_factor": FACTORS}):
        table(
            {"mode": MODES, **options},
            interpolate,
            x_of(*shape),
            # The last: torch answers with NaN, the mean of nothing, but only for size=1.
            but=lambda mode, **o: (
                no_pooling_of(shape, mode)
                or (mode == "area" and 0 in shape[1:] and o.get("size") == 1)
            ),
        )


@pytest.mark.parametrize("shape", [(2, 3, 4), (1, 2, 3, 4), (1, 2, 2, 3, 4)], ids=str)
def test_rules(shape):
    for options in ({"size": [5]}, {"scale_factor": [1.7, 2]}):
        table(
            {
                **options,
                "mode": [*MODES, "cubic", "", None, 3],
                "align_corners": [None, True, False, 1, "yes"],
                "recompute_scale_factor": [None, True, False],
                "antialias": [False, 0],
            },
            interpolate,
            x_of(*shape),
            but=lambda mode, **_: no_pooling_of(shape, mode),
        )


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int8", "int32", "int64", "float16", *DTYPES])
@pytest.mark.parametrize("shape", [(2, 3, 4), (1, 2, 3, 4)], ids=str)
def test_dtypes(shape, dtype):
    table(
        {"mode": MODES, "size": [3, 7]},
        interpolate,
        (x_of(*shape) * 3).astype(dtype),
        tolerance=2e-3 if dtype == "float16" else None,
        # torch has a kernel of its own for bytes, with rounded weights; see below
        but=lambda mode, size: (mode, dtype) == ("bilinear", "uint8"),
    )


def test_positions_and_keywords():
    x = x_of(1, 2, 3, 4)
    for call in (
        lambda lib, x: lib.nn.functional.interpolate(x, 5),
        lambda lib, x: lib.nn.functional.interpolate(x, None, 1.5, "bilinear", True, True, False),
        lambda lib, x: lib.nn.functional.interpolate(input=x, size=(5, 6), mode="bilinear"),
        lambda lib, x: lib.nn.functional.interpolate(x, (np.int64(5), lib.tensor(2))),
        lambda lib, x: lib.nn.functional.interpolate(x, lib.tensor(2)),
        lambda lib, x: lib.nn.functional.interpolate(x, np.array([2, 3])),
        lambda lib, x: lib.nn.functional.interpolate(x.tolist(), 5),
        lambda lib, x: lib.nn.functional.interpolate(x, scale_factor=lib.tensor(2.0)),
        lambda lib, x: lib.nn.functional.interpolate(x),
        lambda lib, x: lib.nn.functional.interpolate(x, 5, antialias=True),  # not of nearest
    ):
        verdict = same_outcome(call, x)
        assert not verdict, verdict


def test_meant_to_differ_from_torch():
    x = minicnn.rand(1, 2, 6, 8)
    for mode in ("bicubic", "trilinear", "lanczos"):
        with pytest.raises(ArgumentError, match=rf'^interpolate: mode="{mode}" is not built in'):
            F.interpolate(x, 3, mode=mode)
    with pytest.raises(
        ArgumentError, match=r"^interpolate: antialias=True .*mode=\"area\" takes all"
    ):
        F.interpolate(x, 3, mode="bilinear", antialias=True)
    # torch makes "2222" of 4 * "2" before it looks
    with pytest.raises(ArgumentError, match=r"^interpolate: scale_factor must be .*got '2'\. Use"):
        F.interpolate(x, scale_factor="2", recompute_scale_factor=True)
    # torch rounds weights to bytes' precision, by the instructions that the processor has
    with pytest.raises(DtypeError, match=r"^interpolate: .*not uint8\. Convert with \.float\(\)"):
        F.interpolate(minicnn.ones(1, 1, 3, 4, dtype=minicnn.uint8), 5, mode="bilinear")

    # By a factor other than 1 that keeps the size, torch's nearest keeps the pixels in its
    # backward passes, and in its forward pass of small images, but not of signals or large images:
    # there its gradient is that of another function. Here nearest always keeps them.
    signal = np.arange(5, dtype="float32").reshape(1, 1, 5)
    theirs = torch.tensor(signal, requires_grad=True)
    picked = torch.nn.functional.interpolate(theirs, scale_factor=1.15)
    picked.sum().backward()
    assert picked.tolist() == [[[0, 0, 1, 2, 3]]]
    assert theirs.grad.tolist() == [[[1, 1, 1, 1, 1]]]
    ours = minicnn.tensor(signal, requires_grad=True)
    kept = F.interpolate(ours, scale_factor=1.15)
    kept.sum().backward()
    assert kept.tolist() == signal.tolist()
    assert ours.grad.tolist() == [[[1, 1, 1, 1, 1]]]


@pytest.mark.parametrize(
    ("shape", "options", "error", "words"),
    [
        ((1, 2, 3, 4), {}, ArgumentError, r"needs size or scale_factor, got neither\. Use"),
        ((1, 2, 3, 4), {"size": 2, "scale_factor": 2}, ArgumentError, r"got both\. Use"),
        ((1, 2, 3, 4), {"size": (2,)}, ArgumentError, r"for 1 axes, but the input has 2 .*\(2, 2"),
        ((1, 2, 3, 4), {"scale_factor": 0.3}, ShapeError, r"sizes \(3, 4\) would become \(0, 1\)"),
        ((1, 2, 3, 4), {"size": 2, "mode": "linear"}, ShapeError, r"takes \(N, C, L\), got 4 axes"),
        ((2, 3), {"size": 2}, ShapeError, r"got 2 axes: \(2, 3\)\. Add an axis .* x\[None\]"),
        ((1, 0, 3), {"size": 2}, ShapeError, r"empty axis\. Only the batch may be empty"),
        ((1, 2, 3), {"size": 2, "align_corners": True}, ArgumentError, r"linear modes, not 'near"),
        ((1, 2, 3), {"size": 2.5}, ArgumentError, r"size must be an integer, got 2\.5"),
    ],
)
def test_errors_say_what_came_and_what_to_do(shape, options, error, words):
    with pytest.raises(error, match=f"^interpolate: .*{words}"):
        F.interpolate(minicnn.ones(*shape), **options)


# -------------------------------------------------------------------------------------- the layers


def test_layers():
    for shape in ((2, 3, 4), (2, 3, 4, 5)):
        table(
            {
                "size": [None, 3],
                "scale_factor": [None, 2, 1.7, (2, 0.5), [2, 0.5], (1.5,), 0, "x", "2"],
                "mode": ["nearest", "linear", "bilinear"],
                "align_corners": [None, True],
                "recompute_scale_factor": [None, True],
            },
            lambda lib, x, **options: lib.nn.Upsample(**options)(x),
            x_of(*shape),
        )
    for name in ("UpsamplingNearest2d", "UpsamplingBilinear2d"):
        table(
            {"size": [None, 3, (2, 7)], "scale_factor": [None, 2, (2, 0.5), -1]},
            lambda lib, x, name=name, **options: getattr(lib.nn, name)(**options)(x),
            x_of(2, 3, 4, 5),
        )


@pytest.mark.parametrize(
    "make",
    [
        lambda nn: nn.Upsample(scale_factor=2),
        lambda nn: nn.Upsample(scale_factor=(2, 3), mode="bilinear", align_corners=True),
        lambda nn: nn.Upsample(size=[3, 4]),
        lambda nn: nn.Upsample(),
        lambda nn: nn.UpsamplingNearest2d(scale_factor=2),
        lambda nn: nn.UpsamplingBilinear2d(size=(2, 3)),
    ],
)
def test_layers_print_as_torchs(make):
    assert repr(make(nn)) == repr(make(torch.nn))


def test_the_layer_table_claims_no_receptive_field_behind_a_resize():
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Upsample(scale_factor=2), nn.Conv2d(4, 4, 3))
    rows = minicnn.summary(net, (3, 9, 9)).rows
    assert [row.output_shape for row in rows] == [(1, 4, 7, 7), (1, 4, 14, 14), (1, 4, 12, 12)]
    assert [row.receptive_field for row in rows] == [(3, 3), None, None]
    bilinear = nn.Sequential(nn.Conv2d(3, 4, 3), nn.UpsamplingBilinear2d(scale_factor=2))
    assert minicnn.summary(bilinear, (3, 9, 9)).rows[-1].receptive_field is None


# -------------------------------------------------------------------------------------- the kernel


def test_same_bits_at_any_number_of_threads():
    x, dy = x_of(4, 8, 37, 41), x_of(4, 8, 90, 120)
    rows, columns = (np.linspace(0, n - 1, m, dtype="float32") for n, m in ((37, 90), (41, 120)))
    before, found = minicnn.get_num_threads(), []
    try:
        for threads in (1, 2):
            minicnn.set_num_threads(threads)
            y = cpu.bilinear2d(x, rows, columns)
            found.append((y, cpu.bilinear2d_grad(dy, rows, columns, x.shape)))
    finally:
        minicnn.set_num_threads(before)
    for one, two in zip(*found, strict=True):
        np.testing.assert_array_equal(one, two)
