"""Convolution's ladder on the GPU, each path on the host, against the numpy rung."""

from __future__ import annotations

from typing import Any

import host_driver
import numpy as np
import pytest
from helpers_kernels import Case, assert_agree, generated, merged, window, windows
from host_driver import HostDriver, KernelFault
from hypothesis import given
from hypothesis import strategies as st
from kernel_families.conv import Conv2d

from minicnn.errors import ArgumentError
from minicnn.kernels import reference
from minicnn.kernels.gpu import _conv_paths as paths
from minicnn.kernels.gpu import _cuda, conv
from minicnn.kernels.gpu._conv_paths import Layer, choose, forced, predicted, tf32

pytestmark = pytest.mark.skipif(bool(host_driver.usable()), reason=host_driver.usable())

KINDS = ("", "input", "weight")
ON = [(path, dtype) for path in paths.PATHS for dtype in ("float32", "float64")]
ON.remove(("tensor", "float64"))
every_path = pytest.mark.parametrize(("path", "dtype"), ON)


def layer_of(case: Case) -> Layer:
    """Return the layer of a case."""
    arrays = Conv2d.arrays(case, "float32")
    return Layer(arrays["x"].shape, arrays["w"].shape, *Conv2d.geometry(case))


def results(path: str, case: Case, dtype: str, driver: HostDriver | None = None) -> dict[str, Any]:
    """Return y, dx, dw and db of a case by one path on the host."""
    arrays = Conv2d.arrays(case, dtype)
    with _cuda.use_driver(driver or HostDriver()), forced(path):
        return Conv2d.ours(conv, case, **arrays)


def wanted(case: Case, dtype: str) -> dict[str, Any]:
    """Return the same by the numpy rung."""
    return Conv2d.ours(reference, case, **Conv2d.arrays(case, dtype))


@every_path
@generated(12)
@given(
    case=merged(
        windows(),
        batch=st.integers(0, 3),
        groups=st.integers(1, 3),
        channels=st.integers(1, 6),
        filters=st.integers(1, 9),
        bias=st.booleans(),
    ),
    order=st.integers(0, 3),
)
def test_like_the_numpy_rung(path: str, dtype: str, case: Case, order: int) -> None:
    got = results(path, case, dtype, HostDriver(seed=order))
    assert_agree(got, wanted(case, dtype), "numpy")


HARD = {
    **Conv2d.hard,
    "AlexNet's first": window((35, 39), (11, 11), (4, 4), (2, 2), channels=3, filters=5),
    "tiles of 64 filters": window((9, 8), (3, 3), (1, 1), (1, 1), channels=3, filters=33),
    "two tiles of 128 filters": window((6, 5), (3, 2), (1, 1), (1, 1), channels=9, filters=130),
    "a tile and a position": window((3, 43), (1, 1), batch=1, filters=2),
    "exactly a tile": window((8, 8), (1, 1), channels=16, filters=32),
    "more taps than threads": window((19, 18), (17, 17), (1, 1), (2, 2), batch=1),
    "a stride and a dilation with a divisor": window((13, 16), (3, 4), (4, 6), (2, 3), (2, 4)),
    "a dilation that is the stride": window((11, 12), (4, 3), (3, 2), (1, 2), (3, 2)),
    "a stride beyond the image": window((4, 5), (2, 2), (9, 7), (1, 1)),
    "several patches": window((20, 70), (3, 3), (1, 1), (1, 1), batch=2, filters=9),
    "no pixel in any window": window((1, 1), (1, 1), (1, 1), (3, 3)),
    "one filter in 20 groups": window((9, 35), (5, 3), groups=20, channels=2, filters=1),
}


@every_path
@pytest.mark.parametrize("hard", HARD)
def test_hard_case(path: str, dtype: str, hard: str) -> None:
    case = {"seed": 5, **HARD[hard]}
    assert_agree(results(path, case, dtype), wanted(case, dtype), "numpy")


LONG = window((40, 37), (3, 3), (1, 1), (1, 1), batch=2, channels=3, filters=10, groups=2, seed=4)


@pytest.mark.parametrize("path", ["tiled", "implicit", "tensor"])
def test_the_order_of_threads_and_blocks_changes_no_bit(path: str) -> None:
    first = results(path, LONG, "float32")
    for seed in (1, 2):
        again = results(path, LONG, "float32", HostDriver(seed=seed))
        for name, array in first.items():
            np.testing.assert_array_equal(again[name], array, f"{name}, threads in order {seed}")


@pytest.mark.parametrize("path", ["tiled", "implicit", "tensor"])
def test_a_long_weight_gradient_is_split_and_added_up(path: str) -> None:
    driver = HostDriver()
    got = results(path, LONG, "float32", driver)
    deep = {kernel: sizes[2] for kernel, sizes in driver.launches}
    assert deep["conv2d_weight_grad"] > LONG["groups"]  # more than one range
    assert_agree(got, wanted(LONG, "float32"), "numpy")


def test_ranges_cover_all_items_and_fill_the_gpu() -> None:
    for items, blocks, groups, least, step in (
        (5408, 42, 1, 1024, 16),
        (819200, 1, 1, 1024, 16),
        (7, 1, 3, 1024, 16),
        (32, 1, 960, 1, 1),
        (33, 10, 2, 1, 1),
        (1, 1, 60000, 1, 1),
    ):
        count, length = paths.ranges(items, blocks, groups, least, step)
        assert (count - 1) * length < items <= count * length  # none is empty
        assert length % step == 0
        assert length >= min(items, least)
        assert count * groups <= 65535
        assert count == 1 or (count - 1) * blocks * groups < 512


@pytest.mark.parametrize("path", paths.PATHS)
def test_a_batch_too_large_for_int_indices_is_taken_in_parts_or_with_others(
    path, monkeypatch
) -> None:
    case = {**LONG, "batch": 5, "size": (6, 5)}
    monkeypatch.setattr(paths, "MOST", 2 * paths.largest_image(layer_of(case)))
    monkeypatch.setattr(conv, "_COLUMNS", 3000)
    driver = HostDriver()
    assert_agree(results(path, case, "float32", driver), wanted(case, "float32"), "numpy")
    calls = [kernel for kernel, _ in driver.launches]
    assert len(calls) == (4 if path == "direct" else 12 if path != "unfold" else len(calls))
    if path == "unfold":
        assert calls.count("unfold") > 2
        assert calls.count("fold") > 1


@pytest.mark.parametrize("path", paths.PATHS)
def test_out_is_filled_and_returned(path: str) -> None:
    case = {"seed": 1, **HARD["all different"]}
    x, w, b, dy = Conv2d.arrays(case, "float32").values()
    how, want = Conv2d.geometry(case), results(path, case, "float32")
    with _cuda.use_driver(HostDriver()), forced(path):
        for kernel, name, args in (
            (conv.conv2d, "y", (x, w, b, *how)),
            (conv.conv2d_relu, "relu", (x, w, b, *how)),
            (conv.conv2d_input_grad, "dx", (dy, w, x.shape, *how)),
            (conv.conv2d_weight_grad, "dw", (dy, x, w.shape, *how)),
            (conv.conv2d_bias_grad, "db", (dy,)),
        ):
            out = np.full_like(want[name], np.nan)
            assert kernel(*args, out=out) is out
            np.testing.assert_array_equal(out, want[name], name)


# ------------------------------------------------------------------------------ TF32


def test_tf32_keeps_ten_bits_and_rounds_ties_away_from_zero() -> None:
    ulp = 2.0**-10
    numbers = [1 + ulp / 2, 1 + 0.49 * ulp, -1 - ulp / 2, 1 + 1.5 * ulp, 0.0, 2 - ulp / 2, np.inf]
    rounded = [1 + ulp, 1.0, -1 - ulp, 1 + 2 * ulp, 0.0, 2.0, np.inf]
    x = np.array(numbers, np.float32).reshape(-1, 1, 1, 1)
    w = np.ones((1, 1, 1, 1), np.float32)
    with _cuda.use_driver(HostDriver()), forced("tensor"), tf32():
        y = conv.conv2d(x, w, None, (1, 1), (0, 0), (1, 1), 1)
        nan = conv.conv2d(np.full_like(w, np.nan), w, None, (1, 1), (0, 0), (1, 1), 1)
    np.testing.assert_array_equal(y.ravel(), np.array(rounded, np.float32))
    assert np.isnan(nan).all()


def test_tf32_is_off_unless_allowed(monkeypatch) -> None:
    case = {"seed": 2, **window((12, 11), (3, 3), (1, 1), (1, 1), channels=20, filters=30)}
    exact = {k: a.astype(np.float64) for k, a in Conv2d.arrays(case, "float32").items()}
    want = Conv2d.ours(reference, case, **exact)

    def error(path: str = "tensor") -> float:
        got = results(path, case, "float32")
        return max(
            np.abs(got[k] - want[k]).max() / np.abs(want[k]).max() for k in ("y", "dx", "dw")
        )

    three = error()
    with tf32():
        one = error()
        with tf32(False):
            assert error() == three
    monkeypatch.setenv("MINICNN_CUDA_TF32", "1")
    assert error() == one
    assert three < 1.5 * error("implicit") < 1e-4 < one < 2e-3


# ------------------------------------------------------------------------------ the choice


DEEP = Layer((32, 192, 13, 13), (384, 192, 3, 3), (1, 1), (1, 1), (1, 1), 1)
DEPTHWISE = Layer((32, 96, 56, 56), (96, 1, 3, 3), (1, 1), (1, 1), (1, 1), 96)
FIRST = Layer((32, 3, 64, 64), (32, 3, 3, 3), (1, 1), (1, 1), (1, 1), 1)
FEW = Layer((32, 16, 64, 64), (4, 16, 3, 3), (1, 1), (1, 1), (1, 1), 1)


class Gpu(HostDriver):
    """A host that says it is a GPU."""

    def __init__(self, arch: str, shared: int = 99 * 1024) -> None:
        super().__init__()
        self.says, self.shared = arch, shared

    def arch(self) -> str:
        return self.says

    def shared_limit(self) -> int:
        return self.shared


@pytest.mark.parametrize(
    ("layer", "itemsize", "arch", "chosen"),
    [
        (DEEP, 4, "sm_90", ["tensor"] * 3),
        (DEEP, 4, "sm_75", ["unfold", "unfold", "unfold"]),
        (DEEP, 8, "sm_90", ["unfold"] * 3),
        (DEPTHWISE, 4, "sm_90", ["direct", "direct", "tiled"]),
        (FIRST, 4, "sm_75", ["implicit", "tiled", "tiled"]),
        (FEW, 4, "sm_90", ["tiled", "tiled", "tiled"]),
    ],
)
def test_choice_by_shape(layer: Layer, itemsize: int, arch: str, chosen: list[str]) -> None:
    with _cuda.use_driver(Gpu(arch)):
        assert [choose(layer, itemsize, kind) for kind in KINDS] == chosen


def test_paths_that_cannot_compute_a_layer_are_not_taken() -> None:
    wide = FIRST._replace(
        x=(32, 3, 256, 256), dilation=(60, 60)
    )  # patches larger than shared memory
    large = window((40, 40), (17, 17))  # more taps than a block has threads
    with _cuda.use_driver(Gpu("sm_80", 48 * 1024)), forced("tiled"):
        assert choose(FIRST, 4) == "tiled" != choose(wide, 4)
        assert [choose(layer_of(large), 4, kind) for kind in KINDS][2] != "tiled"
    with _cuda.use_driver(Gpu("sm_75")), forced("tensor"):
        assert "tensor" not in [choose(DEEP, 4, kind) for kind in KINDS]
    with _cuda.use_driver(Gpu("sm_80")), forced("tensor"):
        assert [choose(DEEP, 4), choose(DEEP, 8)] == ["tensor", "unfold"]
        enormous = DEEP._replace(x=(1, 192, 4000, 4000))  # indices beyond int
        assert choose(enormous, 4) == "direct"


@pytest.mark.parametrize("path", paths.PATHS)
def test_nothing_to_compute_and_more_filters_than_a_grid_has_rows(path: str) -> None:
    geometry = (1, 1), (0, 0), (1, 1), 1
    for N, C, K in ((0, 2, 4), (1, 0, 4), (1, 2, 0)):
        layer = Layer((N, C, 5, 5), (K, C, 3, 3), *geometry)
        with _cuda.use_driver(HostDriver()), forced(path):
            assert [choose(layer, 4, kind) for kind in KINDS] == ["direct"] * 3
            x, w, dy = (np.ones(s, "float32") for s in (layer.x, layer.w, (N, K, 3, 3)))
            y = conv.conv2d(x, w, np.ones(K, "float32"), *geometry)
            assert y.tolist() == np.full((N, K, 3, 3), 1 + 9 * C).tolist()
            dx = conv.conv2d_input_grad(dy, w, layer.x, *geometry)
            assert (dx.shape, dx.any()) == (layer.x, np.bool_(False))
            dw = conv.conv2d_weight_grad(dy, x, layer.w, *geometry)
            assert (dw.shape, dw.any()) == (layer.w, np.bool_(False))
    with _cuda.use_driver(Gpu("sm_90")), forced(path):
        most = Layer((1, 1, 1, 1), (8 * 65535, 1, 1, 1), *geometry)
        assert choose(most, 4) == path
        assert choose(most._replace(w=(8 * 65535 + 1, 1, 1, 1)), 4) == "direct"


def test_what_cupy_copies_of_the_weight_gradient_s_product_is_the_smaller(monkeypatch) -> None:
    """A stack of matrices that is not contiguous is copied before cuBLAS has it."""
    case = window((9, 9), (3, 3), channels=4, filters=5, batch=2, groups=1, bias=True)
    copied = []

    class Watched:
        def __getattr__(self, name: str) -> Any:
            return getattr(np, name)

        def matmul(self, a: Any, b: Any, **how: Any) -> Any:
            copied.extend(m.size for m in (a, b) if not m.flags.c_contiguous)
            return np.matmul(a, b, **how)

    monkeypatch.setattr(conv, "namespace", lambda x: Watched())
    results("unfold", case, "float32")
    K_P_Q, K_C_R_S = 2 * 5 * 7 * 7, 5 * 4 * 3 * 3
    assert sorted(copied) == sorted((K_P_Q, K_C_R_S))  # dy; and the weights, for dx


def test_a_path_is_forced_by_the_caller_and_by_the_environment(monkeypatch) -> None:
    with _cuda.use_driver(Gpu("sm_90")):
        monkeypatch.setenv("MINICNN_CUDA_CONV", "Tiled")
        assert choose(DEEP, 4) == "tiled"
        with forced("implicit"):
            assert choose(DEEP, 4) == "implicit"
        monkeypatch.setenv("MINICNN_CUDA_CONV", "winograd")
        with pytest.raises(ArgumentError, match=r"MINICNN_CUDA_CONV 'winograd'.*Use one of direct"):
            choose(DEEP, 4)
    with pytest.raises(ArgumentError, match=r"conv path 'fft'.*Use one of direct"), forced("fft"):
        pass
    monkeypatch.setenv("MINICNN_CUDA_TF32", "yes")
    with pytest.raises(ArgumentError, match=r"'yes'.*Use 0 or 1"):
        paths.allows_tf32()


def test_the_arithmetic_of_the_prediction() -> None:
    flops = 2 * 32 * 13 * 13 * 384 * 192 * 9
    tiles = 43 * 128 / (32 * 13 * 13)  # positions in tiles of 128; filters and steps fill theirs
    assert predicted("implicit", DEEP, 4) == pytest.approx(flops * tiles / 14e12)
    outputs = 32 * 96 * 56 * 56
    assert predicted("direct", DEPTHWISE, 4) == pytest.approx(18 * outputs / 2.4e12)
    strided = DEPTHWISE._replace(stride=(2, 2))  # a quarter of the outputs: memory decides
    moved = 4 * (outputs + outputs // 4 + 96 * 9)
    assert predicted("direct", strided, 4) == pytest.approx(moved / 1.5e12)
    with tf32():
        assert predicted("tensor", DEEP, 4) == pytest.approx(flops * tiles / 78e12)


# ------------------------------------------------------------------------------ planted mistakes


SMALL = window((10, 37), (3, 2), (2, 1), (1, 1), (1, 2), channels=5, filters=9, batch=2, seed=6)
ROUND = "__syncthreads();  // this round"
MISTAKES = {
    "direct: a window one pixel up": ("conv_direct.cu", "- pad_h + r", "- pad_h - 1 + r"),
    "direct: phases not told apart": ("conv_direct.cu", "|| down % stride_h ||", "||"),
    "tiled: a halo without its last row": ("conv_tiled.cu", "abs(reach) + 1", "abs(reach)"),
    "tiled: overwrites what others read": (
        "conv_tiled.cu", "__syncthreads();  // nobody needs the last channel any more", ""
    ),
    "tiled: the batch's stride": ("conv_tiled.cu", "image * conv.image_step", "image"),
    "implicit: computes what has not arrived": ("conv_gemm.cuh", ROUND, "//"),
    "implicit: does not wait for its copies": (
        "conv_gemm.cuh", "async_wait();\n        " + ROUND, ROUND
    ),
    "implicit: stride for dilation": ("conv.cuh", ", stride, dilation}", ", dilation, stride}"),
    "implicit: height for width": ("conv_implicit.cu", "int H, int W", "int W, int H"),
    "implicit: adds what lies beyond the range": (
        "conv_gemm.cuh", "k >= of.last_step", "k > of.last_step"
    ),
    "implicit: taps of a phase": ("conv.cuh", "axis.per_tap = -(", "axis.per_tap = ("),
    "tensor: a lane's rows": ("conv_tensor.cu", "+ g + e / 2 * 8", "+ g + e % 2 * 8"),
    "tensor: steps of a lane": ("conv_tensor.cu", "1, b[B::at(k + 4", "1, b[B::at(k + 3"),
    "tensor: a product left out": ("conv_tensor.cu", "mma(of_steps, left.low, right.high);", ""),
}  # fmt: skip


def agrees(path: str, driver: HostDriver) -> bool:
    """Whether a path still computes SMALL, with threads in any order, nearly to the last bit."""
    want = wanted(SMALL, "float64")
    for driver.seed in (0, 1):
        try:
            got = results(path, SMALL, "float32", driver)
        except KernelFault:
            return False
        for name, array in got.items():
            off = np.abs(array - want[name]).max()
            if not off <= 2e-6 * np.abs(want[name]).max():
                return False
    return True


@pytest.mark.parametrize("path", [path for path in paths.PATHS if path != "unfold"])
def test_without_a_mistake(path: str) -> None:
    assert agrees(path, HostDriver())


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_planted_mistake_is_seen(mistake: str) -> None:
    assert not agrees(mistake.partition(":")[0], HostDriver(mutate=[MISTAKES[mistake]]))


@pytest.mark.parametrize(
    ("path", "name", "value"),
    [("implicit", "TILE_N", 256), ("tiled", "TILE_Q", 64), ("tiled", "TILE_P", 4)],
)
def test_a_wrong_launch_size_is_seen(path: str, name: str, value: int, monkeypatch) -> None:
    monkeypatch.setattr(paths, name, value)
    assert not agrees(path, HostDriver())
