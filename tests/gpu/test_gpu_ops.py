"""The GPU's kernels beside convolution, run on the host, against the numpy rung."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from dry_driver import DryDriver
from helpers_kernels import Case, Strict, assert_agree, generated, window
from host_driver import HostDriver, KernelFault, usable
from hypothesis import given
from hypothesis import strategies as st
from kernel_families import FAMILIES

from minicnn.errors import ArgumentError
from minicnn.kernels import gpu, reference
from minicnn.kernels.gpu import _cuda, _grid, _source, optim

pytestmark = pytest.mark.skipif(bool(usable()), reason=usable() or "the host runs kernels")

DTYPES = ("float32", "float64")
# Those that add in the reference's order, or do not add at all: on the host, the same bits.
SAME_BITS = ("MaxPool2d", "AdaptiveMaxPool2d", "Gather2d", "Bilinear2d", "Dropout", "UnitPlanes",
             "Adam", "SGD")  # fmt: skip
SUMMING = ("AvgPool2d", "AdaptiveAvgPool2d", "BatchNorm", "Softmax", "SoftmaxCrossEntropy",
           "ResponseNorm", "Linear")  # fmt: skip
SOURCES = ("pool", "avg_pool", "adaptive_pool", "norm", "softmax", "loss", "dropout", "optim",
           "response_norm", "gather", "bilinear", "image", "linear")  # fmt: skip

# Beyond the families' own hard cases: sizes that take several blocks, or go on along a plane.
LARGE: dict[str, tuple[str, Case]] = {
    "max, planes of several blocks": ("MaxPool2d", window((41, 37), (3, 3), (1, 1), (1, 1))),
    "max, many small planes": (
        "MaxPool2d", window((4, 3), (2, 2), (2, 2), batch=30, channels=20)
    ),
    "max, a large plane's gradient": (
        "MaxPool2d", window((70, 66), (5, 4), (3, 2), (2, 1), values="ties")
    ),
    "max, shared winners": ("MaxPool2d", window((20, 20), (7, 7), (1, 1), (3, 3), values="ties")),
    "average, large windows": (
        "AvgPool2d", window((30, 31), (11, 9), (4, 5), (5, 4), ceil_mode=True)
    ),
    "average, large windows, not counted": (
        "AvgPool2d", window((30, 31), (9, 9), (2, 7), (4, 4), count_include_pad=False)
    ),
    "average, a divisor of 64 bits": (
        "AvgPool2d", window((4, 5), (2, 2), divisor_override=-(2**40))
    ),
    "average of everything": ("AvgPool2d", window((40, 50), (40, 50), channels=7)),
    "average, planes of several blocks": ("AvgPool2d", window((41, 37), (3, 2), (1, 1), (1, 1))),
    "adaptive, large windows": ("AdaptiveAvgPool2d", {"size": (40, 33), "output": (3, 4)}),
    "adaptive, small windows": ("AdaptiveAvgPool2d", {"size": (30, 50), "output": (17, 23)}),
    "adaptive, one output": ("AdaptiveAvgPool2d", {"size": (50, 50), "output": (1, 1)}),
    "adaptive max of everything": ("AdaptiveMaxPool2d", {"size": (30, 50), "output": (1, 1)}),
    "adaptive max, many": ("AdaptiveMaxPool2d", {"size": (30, 50), "output": (17, 23)}),
    "norm, three shares": ("BatchNorm", {"shape": (3, 2, 7001), "weight": True, "bias": False}),
    "norm, a share and a value": (
        "BatchNorm", {"shape": (8193, 1, 1), "weight": False, "bias": True}
    ),
    "norm, shares across images": (
        "BatchNorm", {"shape": (300, 2, 61), "weight": True, "bias": True, "mean": 50}
    ),
    "softmax, a row for a block": ("Softmax", {"shape": (2, 1025, 1), "scale": 3, "log": False}),
    "log_softmax, two warps": ("Softmax", {"shape": (5, 200, 1), "scale": 3, "log": True}),
    "softmax, many columns": ("Softmax", {"shape": (3, 4, 300), "scale": 3, "log": False}),
    "log_softmax, columns": ("Softmax", {"shape": (2, 70, 7), "scale": 3, "log": True}),
    "loss, 1500 classes": ("SoftmaxCrossEntropy", {"batch": 3, "classes": 1500}),
    "linear, many rows": ("Linear", {"batch": 1030, "i": 3, "o": 33, "bias": True}),
    "norm of channels, long": (
        "ResponseNorm",
        {"shape": (2, 5, 2100), "size": 3, "alpha": 0.1, "beta": 0.75, "k": 1.0},
    ),
    "gather, long rows": ("Gather2d", {"rows": (3, 5), "columns": (700, 900)}),
    "bilinear, many planes": (
        "Bilinear2d", {"batch": 20, "channels": 21, "rows": (3, 5), "columns": (4, 3)}
    ),
    "a photograph": ("UnitPlanes", {"size": (31, 67), "depth": 4, "channels": 3}),
    "adam, a block and a number": ("Adam", {"shape": (257,)}),
    "sgd, a block and a number": ("SGD", {"shape": (257,)}),
    "dropout, several blocks": ("Dropout", {"shape": (4, 700), "p": 0.4, "key": 9, "offset": 3}),
}  # fmt: skip


def results(family: str, rung: Any, case: Case, dtype: str) -> dict[str, np.ndarray]:
    kind, case = FAMILIES[family], {"seed": 7, **case}
    return kind.ours(Strict(rung), case, **kind.arrays(case, dtype))


def check(family: str, case: Case, dtype: str, driver: HostDriver | None = None) -> None:
    """Hold all results of a family on the GPU's kernels against those of the numpy rung."""
    with _cuda.use_driver(driver or HostDriver()):
        got = results(family, gpu, case, dtype)
    want = results(family, "numpy", case, dtype)
    assert_agree(got, want, "numpy")
    if family in SAME_BITS:
        for name, array in got.items():
            np.testing.assert_array_equal(array, want[name], name)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("family", SAME_BITS + SUMMING)
@generated(25)
@given(data=st.data())
def test_like_the_numpy_rung(family: str, dtype: str, data: st.DataObject) -> None:
    order = data.draw(st.integers(0, 3))
    check(family, data.draw(FAMILIES[family].cases), dtype, HostDriver(seed=order))


HARD = {f"{f}: {name}": (f, c) for f in SAME_BITS + SUMMING for name, c in FAMILIES[f].hard.items()}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", [*HARD, *LARGE])
def test_hard_case(name: str, dtype: str) -> None:
    check(*{**HARD, **LARGE}[name], dtype)


@pytest.mark.parametrize("name", LARGE)
def test_the_same_bits_in_whatever_order_threads_run(name: str) -> None:
    family, case = LARGE[name]
    runs = []
    for seed in (0, 1, 5):
        with _cuda.use_driver(HostDriver(seed=seed)):
            runs.append(results(family, gpu, case, "float32"))
    for other in runs[1:]:
        for key, array in runs[0].items():
            assert array.tobytes() == other[key].tobytes(), key


def test_every_kernel_is_launched_by_some_case() -> None:
    driver = HostDriver()
    with _cuda.use_driver(driver):
        for family, case in LARGE.values():
            results(family, gpu, case, "float32")
        _many_steps()
    kernels = {kernel for source in SOURCES for kernel in _source.read(source).kernels}
    assert kernels == {kernel for kernel, _ in driver.launches}


# ------------------------------------------------------------------------------ single properties


def test_moments_keep_their_digits_at_a_large_mean(host: HostDriver) -> None:
    x = np.random.default_rng(0).normal(1e4, 1, (6, 3, 5000)).astype("float32")
    mean, var = gpu.batch_moments(x)
    exact = x.astype("float64")
    np.testing.assert_array_equal(mean, exact.mean((0, 2)).astype("float32"))
    np.testing.assert_allclose(var, exact.var((0, 2)), rtol=1e-6)


@pytest.mark.parametrize("shape", [(0, 3, 4), (2, 3, 0)])
def test_moments_of_no_image_are_nan(host: HostDriver, shape: tuple[int, ...]) -> None:
    x = np.ones(shape, "float32")
    mean, var = gpu.batch_moments(x)
    assert np.isnan(mean).all()
    assert np.isnan(var).all()
    ones = np.ones(3, "float32")
    for gradient in gpu.batch_norm_weight_grad(x, x, ones, ones, 0.1):
        assert gradient.tolist() == [0, 0, 0]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_stays_in_its_channel(host: HostDriver, bad: float) -> None:
    x = np.random.default_rng(1).normal(size=(2, 3, 50)).astype("float32")
    x[1, 1, 7] = bad
    with np.errstate(invalid="ignore"):
        want = reference.batch_moments(x)
    for got, expected in zip(gpu.batch_moments(x), want, strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-6)
    assert not np.isfinite(want[0][1])


@pytest.mark.parametrize("shape", [(2, 70, 1), (1, 4, 35)])
@pytest.mark.parametrize(
    "values", [[np.nan], [np.inf, np.nan], [-np.inf] * 140, [np.inf], [1, np.nan]]
)
@pytest.mark.parametrize("log", [False, True])
def test_softmax_of_what_is_not_finite(
    host: HostDriver, shape: tuple[int, ...], values: list[float], log: bool
) -> None:
    x = np.linspace(-1, 1, int(np.prod(shape)), dtype="float32").reshape(shape)
    x.reshape(-1)[: len(values)] = values
    name = "log_softmax" if log else "softmax"
    with np.errstate(invalid="ignore"):
        want = getattr(reference, name)(x)
    got = getattr(gpu, name)(x)
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-7)
    assert np.isnan(want).any()


def test_a_nan_wins_and_the_last_of_several(host: HostDriver) -> None:
    x = np.array([[[[1, np.nan, 5], [np.nan, 2, 9], [4, 4, 4]]]], "float32")
    y, places = gpu.max_pool2d(x, (2, 2), (1, 1), (0, 0), (1, 1), False)
    np.testing.assert_array_equal(y, [[[[np.nan, np.nan], [np.nan, 9]]]])
    np.testing.assert_array_equal(places, [[[[3, 1], [3, 5]]]])


def test_dropout_makes_nan_of_an_infinity_that_it_drops(host: HostDriver) -> None:
    x = np.full(1000, np.inf, "float32")
    with np.errstate(invalid="ignore"):
        want = reference.dropout(x, 0.5, 3, 4)
    np.testing.assert_array_equal(gpu.dropout(x, 0.5, 3, 4), want)
    assert np.isnan(want).any()
    assert np.isposinf(want).any()


def test_dropout_beyond_the_32nd_bit_of_the_block_number(host: HostDriver) -> None:
    """The counter's upper words are the offset's; the key's are the seed's."""
    seed, offset = 2**63 + 5, 2**40 + 2**33 + 1
    np.testing.assert_array_equal(
        gpu.philox(seed, offset, 1001), reference.philox(seed, offset, 1001)
    )


@pytest.mark.parametrize("target", [-100, -1, 3, 2**40])
def test_a_target_that_is_no_class_has_no_loss(host: HostDriver, target: int) -> None:
    logits = np.array([[1, 2, 3], [4, 5, 7]], "float32")
    targets = np.array([target, 1])
    losses, log_probs = gpu.softmax_cross_entropy(logits, targets)
    want = reference.softmax_cross_entropy(logits, targets)
    np.testing.assert_allclose(losses, want[0], rtol=1e-6)
    assert losses[0] == 0
    slopes = np.ones(2, "float32")
    np.testing.assert_allclose(
        gpu.softmax_cross_entropy_grad(slopes, log_probs, targets),
        reference.softmax_cross_entropy_grad(slopes, want[1], targets),
        rtol=1e-5,
    )


@pytest.mark.parametrize("dtype", ["int64", "uint8", "bool"])
def test_integers_are_gathered_by_the_numpy_rung(host: HostDriver, dtype: str) -> None:
    x = np.arange(12).reshape(1, 1, 3, 4).astype(dtype)
    rows, columns = np.array([2, -1, 0], "int32"), np.array([1, 1, -1], "int32")
    got = gpu.gather2d(x, rows, columns, 1)
    assert got.dtype == dtype
    np.testing.assert_array_equal(got, reference.gather2d(x, rows, columns, 1))
    assert not host.launches


def test_gather_from_an_image_without_pixels_is_filled(host: HostDriver) -> None:
    picks = np.array([-1, -1], "int32")
    y = gpu.gather2d(np.ones((1, 2, 0, 3), "float32"), picks, picks, 2.5)
    np.testing.assert_array_equal(y, np.full((1, 2, 2, 2), 2.5))


def test_photographs_on_the_host_stay_there() -> None:
    class Elsewhere(HostDriver):
        def is_array(self, x: object) -> bool:
            return False

    pixels = np.random.default_rng(2).integers(0, 256, (5, 7, 4)).astype("uint8")
    out = np.empty((3, 5, 7), "float32")
    with _cuda.use_driver(Elsewhere()):
        assert gpu.unit_planes(pixels, 3, np.dtype("float32"), out=out) is out
    np.testing.assert_array_equal(out, pixels.transpose(2, 0, 1)[:3] / np.float32(255))


def test_a_plane_of_too_many_numbers_is_refused(host: HostDriver) -> None:
    with pytest.raises(ArgumentError, match=r"norm\.cu, batch_norm: a plane of 1073741825 numbers"):
        _grid.over_planes("norm", "batch_norm", 1, 2**30 + 1)
    with pytest.raises(
        ArgumentError, match=r"softmax\.cu, softmax_rows: a plane of 1073741825 num"
    ):
        _grid.over_rows("softmax", "softmax_rows", 1, 2**30 + 1)


LONG = 2**15  # a plane of LONG x (LONG + 1) pixels has more than an int counts in all kernels
READERS = {
    "max_pool2d": lambda x: gpu.max_pool2d(x, *[(LONG, LONG)] * 2, (0, 0), (1, 1), False),
    "avg_pool2d": lambda x: gpu.avg_pool2d(x, *[(LONG, LONG)] * 2, (0, 0), False, True, None),
    "avg_pool2d, small": lambda x: gpu.avg_pool2d(
        x, (2, 2), (LONG, LONG), (0, 0), False, True, None
    ),
    "adaptive_avg_pool2d": lambda x: gpu.adaptive_avg_pool2d(x, (1, 1)),
    "adaptive_avg_pool2d, small": lambda x: gpu.adaptive_avg_pool2d(x, (LONG // 4, LONG // 4)),
    "adaptive_max_pool2d": lambda x: gpu.adaptive_max_pool2d(x, (1, 1)),
    "bilinear2d": lambda x: gpu.bilinear2d(x, *[np.zeros(1, "float32")] * 2),
}


@pytest.mark.parametrize("name", READERS)
def test_a_plane_is_counted_where_it_is_read_too(name: str) -> None:
    """One number to a result is not what counts: the place of a pixel has to be an int."""
    x = np.broadcast_to(np.float32(0), (1, 1, LONG, LONG + 1))  # four bytes
    with (
        _cuda.use_driver(DryDriver()),
        pytest.raises(ArgumentError, match="a plane of 1073774592 numbers"),
    ):
        READERS[name](x)


# ------------------------------------------------------------------------------ many parameters

SIZES = ((3, 5), (0,), (1000,), (), (257,), (2, 256), (0, 4))
ADAM = {"step": 3, "lr": 0.1, "beta1": 0.9, "beta2": 0.99, "eps": 1e-8, "weight_decay": 0.2}
SGD = {"lr": 0.1, "momentum": 0.9, "dampening": 0.1, "weight_decay": 0.2}


def _arrays(kinds: int, dtype: str, sizes: Any = SIZES) -> list[list[np.ndarray]]:
    rng = np.random.default_rng(5)
    return [[np.asarray(rng.random(size), dtype) for size in sizes] for _ in range(kinds)]


def _many_steps() -> None:
    optim.adam_steps(*_arrays(4, "float32"), **ADAM, decoupled=False)
    optim.sgd_steps(*_arrays(3, "float32"), **SGD, nesterov=False, first=False)


def _one_by_one(kernel: Callable[..., None], lists: list[Any], **options: Any) -> None:
    for arrays in zip(*lists, strict=True):
        kernel(*arrays, **options)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("decoupled", [False, True])
def test_adam_of_all_parameters_in_one_launch(
    host: HostDriver, dtype: str, decoupled: bool
) -> None:
    got, want = _arrays(4, dtype), _arrays(4, dtype)
    optim.adam_steps(*got, **ADAM, decoupled=decoupled)
    _one_by_one(reference.adam_step, want, **ADAM, decoupled=decoupled)
    for ours, theirs in zip(got, want, strict=True):
        for a, b in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-6)
    assert [kernel for kernel, _ in host.launches] == ["adam_many"]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("rolling", [False, True])
def test_sgd_of_all_parameters_in_one_launch(
    host: HostDriver, dtype: str, nesterov: bool, first: bool, rolling: bool
) -> None:
    got, want = _arrays(3, dtype), _arrays(3, dtype)
    if first:
        for buffer in got[2]:
            buffer[...] = np.nan  # is not read
    buffers = want[2] if rolling else [None] * len(SIZES)
    options = {**SGD, "nesterov": nesterov, "first": first}
    optim.sgd_steps(got[0], got[1], got[2] if rolling else None, **options)
    _one_by_one(reference.sgd_step, [want[0], want[1], buffers], **options)
    for ours, theirs in zip(got[: 2 + rolling], want, strict=False):
        for a, b in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-6)
    assert [kernel for kernel, _ in host.launches] == ["sgd_many"]


@pytest.mark.parametrize("sizes", [(), ((0,), (3, 0))])
def test_nothing_to_optimise_launches_nothing(host: HostDriver, sizes: Any) -> None:
    optim.adam_steps(*_arrays(4, "float32", sizes), **ADAM, decoupled=False)
    assert not host.launches


# ------------------------------------------------------------------------------ planted mistakes

MISTAKES = {  # what a slip would be: the file, the text, what it becomes, and a case that finds it
    "a barrier is missing": (
        "reduce.cuh", "    __syncthreads();\n    v = warp_reduce(", "    v = warp_reduce(",
        "softmax, a row for a block",
    ),
    "one step of the warp's sum is missing": (
        "reduce.cuh", "away = 16", "away = 8", "softmax, a row for a block"
    ),
    "a window is a row too high": (
        "pool.cu", "top + R * step_h", "top + (R + 1) * step_h", "max, planes of several blocks"
    ),
    "rows are counted by the height": (
        "pool.cu", "x[h * W + w]", "x[h * H + w]", "max, planes of several blocks"
    ),
    "a window that may have chosen the pixel is not asked": (
        "pool.cu", "(h - most_a + step_h - 1)", "(h - most_a + 2 * step_h - 1)",
        "max, shared winners",
    ),
    "the last one of equals wins": ("pool.cu", "v > best", "v >= best", "max, shared winners"),
    "a pixel misses its first window": (
        "windows.cuh", "(past + stride - 1) / stride", "(past + stride) / stride",
        "average, planes of several blocks",
    ),
    "adaptive windows end too early": (
        "windows.cuh", "first + size + outputs - 1", "first + size", "adaptive max, many"
    ),
    "planes next to each other in a block are mixed up": (
        "planes.cuh", "blockIdx.x * blockDim.y + threadIdx.y", "blockIdx.x + threadIdx.y",
        "max, many small planes",
    ),
    "a thread goes on too far": (
        "planes.cuh", "gridDim.y * blockDim.x", "(gridDim.y + 1) * blockDim.x",
        "norm of channels, long",
    ),
    "the last share counts as a whole one": (
        "norm.cu", "min(share, M - i * share)", "share", "norm, shares across images"
    ),
    "the way through a channel forgets images": (
        "norm.cu", "l -= L, n += 1", "l -= L", "norm, shares across images"
    ),
    "row and column of a pick are swapped": (
        "gather.cu", "(plane * P + row_place[a]) * Q + column_place[b]",
        "(plane * P + column_place[b]) * Q + row_place[a]", "gather, long rows",
    ),
    "two rounds of Philox swap their multipliers": (
        "philox.cuh", "c0 * 0xD2511F53u", "c0 * 0xCD9E8D57u",
        "dropout, several blocks",
    ),
    "the column sums leave out a row of threads": (
        "linear.cu", "for (int i = 1; i < 8; ++i)", "for (int i = 1; i < 7; ++i)",
        "linear, many rows",
    ),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_planted_mistake_is_found(mistake: str) -> None:
    file, old, new, name = MISTAKES[mistake]
    family, case = LARGE[name]

    def found(seed: int) -> bool:
        try:
            check(family, case, "float32", HostDriver(seed=seed, mutate=[(file, old, new)]))
        except (AssertionError, KernelFault):
            return True
        return False

    assert any(map(found, (0, 1, 2)))
