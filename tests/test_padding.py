"""pad and the padding layers against torch: every mode, any side, forward and backward."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

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
from minicnn.kernels import cpu, reference
from minicnn.ops.gather import as_planes

MODES = ("constant", "reflect", "replicate", "circular")


def x_of(*shape: int, dtype: str = "float32") -> np.ndarray:
    return normal(np.random.default_rng(5), *shape, dtype=dtype)


def wraps_too_often(shape, pad, mode) -> bool:
    """Where torch may return memory that nobody wrote: a circular pad larger than what is left.

    It checks the pad against the axis before cutting, and then copies the rest onto itself.
    """
    sizes = reversed(shape[-(len(pad) // 2) :]) if pad else ()
    axes = zip(pad[::2], pad[1::2], sizes, strict=False)
    return mode == "circular" and any(max(a, b) > n + min(a, 0) + min(b, 0) for a, b, n in axes)


# ------------------------------------------------------------------------------- values, gradients


@st.composite
def padded(draw: st.DrawFn) -> tuple[tuple[int, ...], tuple[int, ...], str]:
    """Draw a shape, pads that the mode allows for it, and the mode: each side on its own."""
    mode = draw(st.sampled_from(MODES))
    count = draw(st.integers(1, 3))
    lead = draw(st.integers(0, 2)) if mode == "constant" else draw(st.integers(1, 2))
    sizes, pad = [], []
    for _ in range(count):
        size = draw(st.integers(1, 5))
        top = {"constant": 4, "reflect": size - 1, "replicate": 6, "circular": size}[mode]
        before = draw(st.integers(-size + 1, top))
        rest = size + min(before, 0)
        most = min(top, rest) if mode == "circular" else top
        after = draw(st.integers(1 - rest, most))
        if mode == "circular":
            before = min(before, size + min(after, 0))
        sizes, pad = [size, *sizes], [*pad, before, after]
    batch = draw(st.sampled_from([1, 2] if lead < 2 else [0, 1, 2]))
    leading = [batch, draw(st.integers(1, 3))][:lead]
    return (*leading, *sizes), tuple(pad), mode


@pytest.mark.parametrize("dtype", DTYPES)
@given(case=padded(), layout=st.sampled_from([*LAYOUTS]), seed=st.integers(0, 99))
@example(((2, 3, 4, 5), (1, 2, 3, 0), "reflect"), "permuted", 0)
@example(((2, 3, 4, 5), (4, 0, 0, 3), "reflect"), "strided", 0)
@example(((2, 3, 4, 5), (-2, 4, 3, -3), "replicate"), "expanded", 0)
@example(((1, 2, 3, 4, 5), (1, 0, 0, 2, 3, 3), "circular"), "contiguous", 0)
@example(((2, 3, 4), (1, 2, 0, 1, 2, 0), "constant"), "permuted", 0)  # the batch is padded too
def test_pad(rung, dtype, case, layout, seed):
    shape, pad, mode = case
    x = normal(np.random.default_rng(seed), *shape, dtype=dtype)
    value = 1.5 if mode == "constant" else None
    check(lambda lib, x: lib.nn.functional.pad(x, pad, mode, value), x, rung=rung, layout=layout)


@pytest.mark.parametrize("rung", ["numpy", "numba"])
@pytest.mark.parametrize("mode", MODES)
def test_large_images(mode, rung):
    """Long runs, several threads: the paths that small cases do not reach."""
    x = x_of(3, 8, 61, 67)
    check(lambda lib, x: lib.nn.functional.pad(x, (5, 2, 30, -7), mode), x, rung=rung)


def test_by_hand():
    x = minicnn.tensor([[[1, 2, 3, 4]]])
    expected = {
        "constant": [9, 9, 1, 2, 3, 4, 9],
        "reflect": [3, 2, 1, 2, 3, 4, 3],
        "replicate": [1, 1, 1, 2, 3, 4, 4],
        "circular": [3, 4, 1, 2, 3, 4, 1],
    }
    for mode, row in expected.items():
        value = 9 if mode == "constant" else None
        assert F.pad(x, (2, 1), mode, value).tolist() == [[row]], mode
    assert F.pad(x, (-1, 2), "replicate").tolist() == [[[2, 3, 4, 4, 4]]]


@pytest.mark.parametrize("mode", MODES)
def test_the_result_is_a_copy_and_nan_and_infinity_stay(rung, mode):
    x = np.array([[[np.nan, -np.inf, 3.0, np.inf]]])
    with minicnn.use_backend(rung):
        t = minicnn.tensor(x)
        same, wider = F.pad(t, (0, 0), mode), F.pad(t, (1, 2), mode)
    assert not np.shares_memory(same.array, t.array)
    np.testing.assert_array_equal(same.numpy(), x)
    np.testing.assert_array_equal(wider.numpy()[0, 0, 1:5], x[0, 0])
    theirs = torch.nn.functional.pad(torch.tensor(x), (1, 2), mode)
    np.testing.assert_array_equal(wider.numpy(), theirs.numpy())


def test_any_number_of_axes_is_one_pass():
    passes = []

    def counted(*arguments, **options):
        passes.append(arguments[0].shape)
        return reference.gather2d(*arguments, **options)

    x = minicnn.rand(2, 3, 4, 5)
    with minicnn.use_backend(SimpleNamespace(gather2d=counted)):
        F.pad(x, (1, 1, 2, 0))
        F.pad(x, (1, 0, 0, 0, -1, 2, 3, 1))
        F.pad(x, (0, 0, 0, 0, 1, 1))
    # batch and channels stay apart; all axes but the last are rows; the image is one long row
    assert passes == [(6, 1, 4, 5), (1, 1, 24, 5), (2, 1, 3, 20)]


@given(data=st.data(), shape=st.lists(st.integers(1, 4), min_size=1, max_size=5).map(tuple))
def test_picks_along_any_axes_become_rows_and_columns(data, shape):
    """`as_planes` against picking one axis after the other."""
    picks = []
    for n in shape:
        numbers = st.lists(st.integers(-1, n - 1), max_size=4)
        chosen = data.draw(st.none() | numbers)
        picks.append(None if chosen is None else np.array(chosen, int))
    x = np.arange(1, np.prod(shape) + 1, dtype="float32").reshape(shape)
    want = x
    for axis, chosen in enumerate(picks):
        if chosen is not None:
            index = (slice(None),) * axis
            want = want[(*index, chosen)].copy()
            want[(*index, chosen < 0)] = -5
    planes, rows, columns = as_planes(shape, picks)
    for rung in (reference, cpu):
        got = rung.gather2d(x.reshape(planes), rows, columns, -5)
        np.testing.assert_array_equal(got.reshape(want.shape), want)


# ----------------------------------------------------------------------- accepted, refused as torch

SHAPES = [
    (), (0,), (4,), (3, 4), (0, 4), (3, 0), (2, 3, 4), (0, 3, 4), (2, 0, 4), (2, 3, 0),
    (1, 2, 3, 4), (0, 2, 3, 4), (1, 0, 3, 4), (1, 2, 0, 4), (1, 2, 2, 3, 4), (1, 1, 1, 2, 3, 4),
]  # fmt: skip
SIDES = [(1, 2), (0, 3), (3, 0), (4, 0), (0, 5), (-1, 3), (2, -1), (-2, -2), (-5, 2), (0, 0)]
PADS = [
    (), (1,), (1, 1, 1),
    *SIDES,
    *((*last, *before) for last, before in itertools.product(SIDES[:8:2], SIDES[1::3])),
    (1, 0, 0, 1, 1, 1), (-1, 2, 2, -1, 0, 1), (0, 0, 0, 0, 0, 0), (0, 0, 0, 0, 2, 1),
    (1, 1, 1, 1, 1), (1, 0) * 4, (1, 0) * 5,
]  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_what_torch_takes_and_refuses(shape):
    table(
        {"mode": MODES, "pad": PADS},
        lambda lib, x, mode, pad: lib.nn.functional.pad(x, pad, mode),
        x_of(*shape),
        but=lambda mode, pad: wraps_too_often(shape, pad, mode),
    )


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int8", "int32", "int64", "float16", *DTYPES])
def test_dtypes_and_values(dtype):
    infinite = [float("nan"), float("inf"), -float("inf")]
    table(
        {
            "mode": MODES,
            "pad": [(1, 2), (0, 0), (-1, -1)],
            "value": [None, 0, 0.0, -0.0, 1, 1.5, -1, 300, True, 1e300, *infinite, "1", 2j, [1]],
        },
        lambda lib, x, mode, pad, value: lib.nn.functional.pad(x, pad, mode, value),
        (x_of(2, 3, 5) * 3).astype(dtype),
        tolerance=1e-3 if dtype == "float16" else None,
    )


@pytest.mark.parametrize(
    "pad",
    [
        [1, 1], torch.Size([2, 0]), (np.int64(1), np.int32(2)), 1, 1.0, (1.0, 1), (1, 1.0), "ab",
        None, (None, 1), (1, None), ("1", 1), range(2), np.array([1, 1]), {1, 2}, (True, 1),
        ((1, 1), (1, 1)), (np.array([1, 2]), 1), [[1, 1]],
    ],
    ids=repr,
)  # fmt: skip
def test_what_a_pad_may_be(pad):
    verdict = same_outcome(lambda lib, x: lib.nn.functional.pad(x, pad), x_of(2, 3, 4))
    assert not verdict, verdict


def test_positions_and_keywords():
    x = x_of(2, 3, 4)
    for call in (
        lambda lib, x: lib.nn.functional.pad(x, (1, 2), "constant", 3.0),
        lambda lib, x: lib.nn.functional.pad(input=x, pad=(1, 2), mode="reflect", value=0),
        lambda lib, x: lib.nn.functional.pad(x, value=lib.tensor(2.5), pad=[1, 2]),
        lambda lib, x: lib.nn.functional.pad(x, (lib.tensor(1), 2)),
        lambda lib, x: lib.nn.functional.pad(x, (1, 1), "mirror"),
        lambda lib, x: lib.nn.functional.pad(x, (1, 1), None),
        lambda lib, x: lib.nn.functional.pad(x, (1, 1), ["reflect"]),
        lambda lib, x: lib.nn.functional.pad(x.tolist(), (1, 1)),
        lambda lib, x: lib.nn.functional.pad(x),
        lambda lib, x: lib.nn.functional.pad(x, (1, 1), value=lib.tensor([2.0])),
    ):
        verdict = same_outcome(call, x)
        assert not verdict, verdict


def test_meant_to_differ_from_torch():
    # torch checks only the first number for being a bool
    with pytest.raises(ArgumentError, match=r"^pad: pad must be an integer, got True"):
        F.pad(minicnn.ones(3), (1, True))
    # torch takes the value through a double: 9007199254740992
    big = 2**53 + 1
    assert F.pad(minicnn.tensor([1]), (1, 0), value=big).tolist() == [big, 1]
    # torch overflows: -9223372036854775808
    with pytest.raises(ArgumentError, match="outside the range of int64"):
        F.pad(minicnn.tensor([1]), (1, 0), value=2**63)
    # torch answers from unwritten memory, or refuses, by how the input lies in memory
    for pad in ((-2, 4), (4, -2), (-5, 4), (1, -5)):
        with pytest.raises(ShapeError, match=r"^pad: .* on an axis of size 5"):
            F.pad(minicnn.ones(2, 3, 5), pad, "circular")


@pytest.mark.parametrize(
    ("shape", "pad", "mode", "error", "words"),
    [
        ((2, 3, 5), (5, 0), "reflect", ShapeError, r"\(5, 0\) on an axis of size 5 .* below 5.*4"),
        ((2, 3, 5), (0, 6), "circular", ShapeError, r"around the 5 pixels .*Use at most 5"),
        ((2, 3, 5), (-3, -3), "constant", ShapeError, r"cuts off more than the 5 .*at most 5"),
        ((2, 3, 5), (-2, -3), "reflect", ShapeError, r"leaves nothing .*= \[0\]\. Cut less"),
        ((2, 3, 5), (1, 1, 1), "constant", ArgumentError, r"odd length.*\(before, after\)"),
        ((5,), (1, 1, 1, 1), "constant", ArgumentError, r"for 2 axes, but the input has 1"),
        ((5,), (1, 1), "reflect", ShapeError, r"after one or two others as in \(N, C, H, W\)"),
        ((2, 0, 5), (1, 1), "reflect", ShapeError, r"no pixels .*Only the batch may be empty"),
    ],
)
def test_errors_say_what_came_and_what_to_do(shape, pad, mode, error, words):
    with pytest.raises(error, match=f"^pad: .*{words}"):
        F.pad(minicnn.ones(*shape), pad, mode)


def test_no_mirror_of_truth_values():
    mask = minicnn.ones(2, 3, 5, dtype=minicnn.bool)
    with pytest.raises(DtypeError, match=r"^pad: mode=\"reflect\" .*\.to\(minicnn\.uint8\)"):
        F.pad(mask, (1, 1), "reflect")


# -------------------------------------------------------------------------------------- the layers

LAYERS = {
    "ConstantPad1d": (2.5,), "ZeroPad1d": (), "ReflectionPad1d": (), "ReplicationPad1d": (),
    "CircularPad1d": (), "ConstantPad2d": (-1,), "ZeroPad2d": (), "ReflectionPad2d": (),
    "ReplicationPad2d": (), "CircularPad2d": (),
}  # fmt: skip


@pytest.mark.parametrize("name", LAYERS)
def test_layers(name):
    wide = (1, 2) if name.endswith("1d") else (1, 2, 3, 0)
    for shape in ((3, 5), (2, 3, 5), (2, 3, 4, 5), (0, 3, 4, 5)):
        table(
            {"padding": [1, 0, -1, wide, [*wide], 9, (1,), (1, 2, 3), 1.5, "ab", None]},
            lambda lib, x, padding: getattr(lib.nn, name)(padding, *LAYERS[name])(x),
            x_of(*shape),
        )


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("padding", [2, [1, 2], (1, 2)])
def test_layers_print_as_torchs(name, padding):
    padding = padding if name.endswith("1d") or isinstance(padding, int) else (*padding, 3, 4)
    ours, theirs = (getattr(lib, name)(padding, *LAYERS[name]) for lib in (nn, torch.nn))
    assert repr(ours) == repr(theirs)
    assert ours.padding == theirs.padding
    assert not [*ours.parameters()]


def test_a_layers_error_names_its_path():
    net = nn.Sequential(nn.ReLU(), nn.ReflectionPad2d(9))
    with pytest.raises(ShapeError, match=r'^ReflectionPad2d "1": .*\(9, 9\) on an axis of size 4'):
        net(minicnn.ones(1, 2, 4, 5))


def test_the_layer_table_keeps_the_receptive_field():
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReflectionPad2d((1, 2, 0, 1)), nn.Conv2d(4, 4, 3))
    rows = minicnn.summary(net, (3, 9, 9)).rows
    assert [row.output_shape for row in rows] == [(1, 4, 7, 7), (1, 4, 8, 10), (1, 4, 6, 8)]
    assert [row.receptive_field for row in rows] == [(3, 3), (3, 3), (5, 5)]


# -------------------------------------------------------------------------------------- the kernel


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int16", "float16", "int32", "int64"])
def test_picking_takes_any_dtype(dtype):
    rng = np.random.default_rng(0)
    x = rng.integers(0, 2 if dtype == "bool" else 99, (2, 3, 9, 31)).astype(dtype)
    rows, columns = (np.array([-1, *range(3, n), -1, 0], np.int32) for n in (9, 31))
    got = cpu.gather2d(x, rows, columns, 1)
    assert got.dtype == dtype
    np.testing.assert_array_equal(got, reference.gather2d(x, rows, columns, 1))


def test_same_bits_at_any_number_of_threads():
    rng = np.random.default_rng(0)
    rows, columns = (rng.integers(-1, n, 5 * n).astype(np.int32) for n in (37, 41))
    x, dy = x_of(4, 8, 37, 41), x_of(4, 8, rows.size, columns.size)
    before, found = minicnn.get_num_threads(), []
    try:
        for threads in (1, 2):
            minicnn.set_num_threads(threads)
            y = cpu.gather2d(x, rows, columns, 0)
            found.append((y, cpu.gather2d_grad(dy, rows, columns, x.shape)))
    finally:
        minicnn.set_num_threads(before)
    for one, two in zip(*found, strict=True):
        np.testing.assert_array_equal(one, two)
