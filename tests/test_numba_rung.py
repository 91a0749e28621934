"""The numba rung beyond the kernel contract: the shapes of its special paths, and its promises."""

import os

import numba
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from minicnn.errors import ArgumentError
from minicnn.kernels import cpu, paths, threads
from minicnn.kernels.cpu import (
    _flat,
    _paths,
    _pointwise,
    _rows,
    _runs,
    _tiled,
    _winograd,
    conv,
    optim,
    pool,
)
from minicnn.kernels.cpu.dropout import _words
from minicnn.kernels.shapes import conv2d_output_size

WHEN_STARTED = frozenset(os.environ)
TOLERANCE = {np.float32: 1e-4, np.float64: 1e-10}

# N, C, H, W, K, R, S, stride, padding, dilation, groups
GEOMETRIES = {
    "bands of a large image": (2, 12, 150, 130, 8, 3, 3, (1, 1), (1, 1), (1, 1), 1),
    "bands, strided and dilated": (1, 9, 161, 97, 5, 3, 5, (2, 3), (4, 1), (3, 2), 1),
    "several images in a block": (33, 4, 7, 6, 9, 3, 2, (1, 1), (1, 0), (1, 1), 1),
    "one image, filters shared out": (1, 30, 9, 9, 70, 3, 3, (1, 1), (1, 1), (1, 1), 1),
    "one pixel out": (3, 5, 4, 4, 6, 4, 4, (1, 1), (0, 0), (1, 1), 1),
    "row of outputs": (2, 3, 5, 300, 4, 5, 2, (1, 1), (0, 3), (1, 7), 1),
    "stride beyond the kernel": (2, 3, 17, 19, 5, 2, 1, (5, 3), (0, 1), (1, 1), 1),
    "padding beyond the kernel": (2, 2, 6, 5, 3, 1, 2, (1, 2), (3, 4), (1, 1), 1),
    "dilation beyond the image": (1, 2, 3, 4, 2, 3, 3, (1, 1), (6, 7), (5, 6), 1),
    "AlexNet's first layer": (2, 3, 99, 75, 7, 11, 11, (4, 4), (2, 2), (1, 1), 1),
    "depthwise": (3, 10, 15, 14, 10, 3, 3, (2, 1), (1, 1), (1, 1), 10),
    "groups of odd size": (2, 9, 12, 11, 15, 3, 3, (1, 2), (1, 1), (2, 1), 3),
    "pointwise": (2, 17, 10, 10, 13, 1, 1, (1, 1), (0, 0), (1, 1), 1),
    "strided pointwise": (2, 6, 11, 10, 5, 1, 1, (2, 2), (0, 0), (1, 1), 1),
    "first layer": (3, 3, 50, 83, 20, 3, 3, (1, 1), (0, 0), (1, 1), 1),
    "first layer, rows of 4 vectors and one number": (
        2,
        3,
        20,
        65,
        9,
        5,
        3,
        (2, 1),
        (1, 1),
        (1, 1),
        1,
    ),
    "padding beyond what the gradient needs": (2, 3, 12, 20, 8, 3, 3, (1, 1), (4, 3), (1, 1), 1),
}


def assert_close(got, want, dtype):
    want = want.detach().numpy()
    assert got.shape == want.shape
    assert got.dtype == dtype
    assert np.abs(got - want).max() <= TOLERANCE[dtype] * np.abs(want).max()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("geometry", GEOMETRIES.values(), ids=GEOMETRIES)
@pytest.mark.parametrize("path", _paths.PATHS)
def test_convolution_and_its_gradients_agree_with_torch(geometry, dtype, path, monkeypatch):
    """Each path is forced, whatever the shapes would choose."""
    taken = set()
    modules = (_runs, _tiled, _rows, _pointwise, _winograd)
    for name, module in zip(_paths.PATHS, modules, strict=True):
        for function in ("correlate", "input_grad", "weight_grad"):
            if real := getattr(module, function, None):
                monkeypatch.setattr(module, function, _noted(taken, name, real))
    N, C, H, W, K, R, S, stride, padding, dilation, groups = geometry
    rng = np.random.default_rng(0)
    x = rng.standard_normal((N, C, H, W)).astype(dtype)
    w = rng.standard_normal((K, C // groups, R, S)).astype(dtype)
    b = rng.standard_normal(K).astype(dtype)
    leaves = [torch.tensor(a, requires_grad=True) for a in (x, w, b)]
    y = F.conv2d(*leaves, stride, padding, dilation, groups)
    dy = rng.standard_normal(y.shape).astype(dtype)
    y.backward(torch.tensor(dy))
    settings = (stride, padding, dilation, groups)
    with _paths.forced(path):
        assert_close(cpu.conv2d(x, w, b, *settings), y, dtype)
        assert_close(cpu.conv2d_input_grad(dy, w, x.shape, *settings), leaves[0].grad, dtype)
        assert_close(cpu.conv2d_weight_grad(dy, x, w.shape, *settings), leaves[1].grad, dtype)
    assert_close(cpu.conv2d_bias_grad(dy), leaves[2].grad, dtype)
    is_product = (R, S) == (1, 1) == stride and padding == (0, 0)
    is_winograd = (R, S) == (3, 3) and stride == dilation == (1, 1) and groups == 1
    computes = {"pointwise": is_product, "winograd": is_winograd}.get(path, True)
    assert (path in taken) == computes
    if computes and path != "winograd":  # whose gradient of the weights is another path's
        assert taken == {path} or (path == "rows" and stride != (1, 1))  # as that of the input


@settings(max_examples=60, deadline=None)
@given(
    C=st.integers(1, 4), K=st.integers(1, 19), H=st.integers(1, 30), W=st.integers(1, 70),
    kernel=st.tuples(*2 * [st.integers(1, 5)]), stride=st.tuples(*2 * [st.integers(1, 4)]),
    padding=st.tuples(*2 * [st.integers(0, 6)]), dilation=st.tuples(*2 * [st.integers(1, 3)]),
    groups=st.integers(1, 2),
)  # fmt: skip
def test_rows_of_any_geometry_agree_with_torch(
    C, K, H, W, kernel, stride, padding, dilation, groups
):
    H = max(H, dilation[0] * (kernel[0] - 1) + 1 - 2 * padding[0])
    W = max(W, dilation[1] * (kernel[1] - 1) + 1 - 2 * padding[1])
    rng = np.random.default_rng(0)
    x = torch.tensor(rng.standard_normal((2, C * groups, H, W)), requires_grad=True)
    w = torch.tensor(rng.standard_normal((K * groups, C, *kernel)), requires_grad=True)
    y = F.conv2d(x, w, None, stride, padding, dilation, groups)
    dy = torch.tensor(rng.standard_normal(y.shape))
    dx, dw = torch.autograd.grad(y, (x, w), dy)
    how = stride, padding, dilation, groups
    pixels, weights = x.detach().numpy(), w.detach().numpy()
    with _paths.forced("rows"):
        assert_close(cpu.conv2d(pixels, weights, None, *how), y, np.float64)
        assert_close(cpu.conv2d_input_grad(dy.numpy(), weights, x.shape, *how), dx, np.float64)
        assert_close(cpu.conv2d_weight_grad(dy.numpy(), pixels, w.shape, *how), dw, np.float64)


def _noted(taken, name, function):
    def noted(*arguments):
        taken.add(name)
        return function(*arguments)

    return noted


@pytest.mark.parametrize(
    ("taps", "filters", "path"),
    [
        (9, 1, "runs"),  # depthwise: one lane of 16 would be used
        (288, 4, "runs"),
        (288, 20, "runs"),  # 12 of 32 lanes would be empty
        (288, 32, "tiles"),
        (27, 32, "tiles"),
        (1728, 384, "tiles"),
    ],
)
def test_few_filters_are_shifted_runs_and_many_are_tiles(taps, filters, path):
    assert _paths.choose(taps, filters, 4) == path


@pytest.mark.parametrize(
    ("shape", "grad_of", "path"),
    [
        ((3, 32, 160, 3, 1, 0), "", "rows"),
        ((3, 32, 160, 3, 1, 0), "weight", "rows"),
        ((3, 64, 224, 3, 1, 1), "", "rows"),  # VGG
        ((3, 32, 224, 3, 2, 1), "", "rows"),  # MobileNet
        ((3, 32, 224, 3, 2, 1), "input", "runs"),  # 3 filters, and a stride to go back
        ((64, 3, 128, 3, 1, 1), "input", "rows"),  # 3 channels to 64: a first layer, backwards
        ((3, 64, 224, 11, 4, 2), "", "rows"),  # AlexNet: 55 columns, three vectors and a half
        ((3, 64, 224, 11, 4, 2), "weight", "tiles"),
        ((16, 32, 6, 5, 1, 0), "", "tiles"),  # rows of 2 numbers
        ((3, 8, 160, 3, 1, 1), "", "rows"),
        ((3, 4, 160, 3, 1, 1), "", "runs"),  # half of the 8 filters of a tile would be empty
    ],
)  # fmt: skip
def test_first_layers_are_rows(shape, grad_of, path):
    C, K, side, kernel, stride, padding = shape
    geometry = (stride, stride), (padding, padding), (1, 1), 1
    w_shape, size = (K, C, kernel, kernel), (side, side)
    if grad_of != "input":
        size = conv2d_output_size(size, w_shape[2:], *geometry[:3])
    with paths.listening() as taken:
        conv._path(w_shape, geometry, 4, size, grad_of)
    assert taken == [path]


def test_kernels_of_one_pixel_are_products():
    assert _paths.choose(64, 64, 4, is_product=True) == "pointwise"
    assert _paths.choose(1, 1, 4, is_product=True) == "runs"  # a factor for each channel


def test_a_path_can_be_forced(monkeypatch):
    with _paths.forced("runs"):
        assert _paths.choose(1728, 384, 4) == "runs"
        with _paths.forced(None):
            assert _paths.choose(1728, 384, 4) == "tiles"
    monkeypatch.setenv("MINICNN_CONV", "tiles")
    assert _paths.choose(9, 1, 4) == "tiles"
    monkeypatch.setenv("MINICNN_CONV", "im2col")
    with pytest.raises(ArgumentError, match=r"MINICNN_CONV 'im2col': no such path. Use one of"):
        _paths.choose(9, 1, 4)


@pytest.mark.parametrize("path", [None, *_paths.PATHS])
@pytest.mark.parametrize("shape", [(5, 64, 9, 7), (11, 70, 5, 6), (7, 3, 40, 52)])
def test_the_bits_are_the_same_at_any_number_of_threads(shape, path):
    rng = np.random.default_rng(0)
    x = rng.standard_normal(shape).astype(np.float32)
    w = rng.standard_normal((66, shape[1], 3, 3)).astype(np.float32)
    settings, found = ((1, 1), (1, 1), (1, 1), 1), []
    before = threads.get_num_threads()
    try:
        for count in (1, 2):
            threads.set_num_threads(count)
            with _paths.forced(path):
                y = cpu.conv2d(x, w, None, *settings)
                dx = cpu.conv2d_input_grad(y, w, x.shape, *settings)
                found.append((y, dx, cpu.conv2d_weight_grad(y, x, w.shape, *settings)))
    finally:
        threads.set_num_threads(before)
    for one, two in zip(*found, strict=True):
        np.testing.assert_array_equal(one, two)


def test_the_geometries_take_the_paths_that_they_are_named_for():
    def plan(name, transposed=False):
        N, C, H, W, K, R, S, stride, padding, dilation, groups = GEOMETRIES[name]
        shapes = (N, C, H, W), (K, C // groups, R, S)
        size = F.conv2d(torch.empty(shapes[0]), torch.empty(shapes[1]), None, *geometry_of(name))
        return _flat.plan(
            *shapes, tuple(size.shape[2:]), stride, padding, dilation, groups, 4, transposed
        )

    def geometry_of(name):
        return GEOMETRIES[name][7:]

    assert plan("bands of a large image")[0].bands > 1
    assert plan("bands, strided and dilated", transposed=True)[0].bands > 1
    assert plan("several images in a block")[1].images > 1
    first = plan("one image, filters shared out")[0]
    assert _flat.splits(first.blocks * first.bands * first.groups, first.channels) > 1
    assert plan("AlexNet's first layer", transposed=True)[0].phases == 16


@pytest.mark.parametrize("path", [None, *_paths.PATHS])
def test_a_nan_or_infinity_reaches_exactly_the_outputs_that_its_pixel_has(path):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 3, 20, 17)).astype(np.float32)
    x[0, 1, 0, 16], x[1, 2, 19, 0], x[1, 0, 7, 7] = np.nan, np.inf, -np.inf
    w = rng.standard_normal((5, 3, 3, 3)).astype(np.float32)
    with _paths.forced(path):
        got = cpu.conv2d(x, w, None, (1, 1), (1, 1), (1, 1), 1)
    want = F.conv2d(torch.tensor(x), torch.tensor(w), padding=1).numpy()
    np.testing.assert_array_equal(np.isfinite(got), np.isfinite(want))
    np.testing.assert_array_equal(got[~np.isfinite(got)], want[~np.isfinite(want)])


@pytest.mark.parametrize("path", ["rows", "tiles"])  # `runs` says that it multiplies by zeros
@pytest.mark.parametrize("stride", [1, 2])
def test_an_infinite_pixel_reaches_the_weights_that_met_it(stride, path):
    rng = np.random.default_rng(0)
    x = torch.tensor(rng.standard_normal((2, 3, 11, 21)).astype(np.float32))
    x[0, 0, 0, 0], x[1, 1, 10, 20], x[1, 2, 3, 20] = np.inf, np.nan, -np.inf
    w = torch.zeros((5, 3, 3, 3), requires_grad=True)
    y = F.conv2d(x, w, stride=stride)
    dy = torch.tensor(rng.standard_normal(y.shape).astype(np.float32))
    (want,) = torch.autograd.grad(y, w, dy)
    with _paths.forced(path):
        got = cpu.conv2d_weight_grad(
            dy.numpy(), x.numpy(), (5, 3, 3, 3), (stride, stride), (0, 0), (1, 1), 1
        )
    finite = np.isfinite(want.numpy())
    assert 0 < finite.sum() < finite.size
    np.testing.assert_array_equal(np.isfinite(got), finite)
    np.testing.assert_array_equal(got[~finite], want.numpy()[~finite])


@pytest.mark.parametrize("path", [None, *_paths.PATHS])
@pytest.mark.parametrize("shape", [(9, 4, 11, 13), (40, 3, 5, 6), (3, 6, 90, 80)])
def test_an_image_gets_the_same_bits_alone_and_in_a_batch(shape, path):
    rng = np.random.default_rng(0)
    x = rng.standard_normal(shape).astype(np.float32)
    w = rng.standard_normal((7, shape[1], 3, 3)).astype(np.float32)
    settings = ((1, 1), (1, 1), (1, 1), 1)
    with _paths.forced(path):
        y = cpu.conv2d(x, w, None, *settings)
        dx = cpu.conv2d_input_grad(y, w, x.shape, *settings)
        for n in range(0, shape[0], 3):
            one = cpu.conv2d(x[n : n + 1], w, None, *settings)
            np.testing.assert_array_equal(one, y[n : n + 1])
            back = cpu.conv2d_input_grad(one, w, x[n : n + 1].shape, *settings)
            np.testing.assert_array_equal(back, dx[n : n + 1])


@pytest.mark.parametrize("path", [None, *_paths.PATHS])
@pytest.mark.parametrize("kernel", [1, 3])
def test_no_channels_leave_the_bias(kernel, path):
    x, w = np.ones((2, 0, 9, 20), np.float32), np.ones((3, 0, kernel, kernel), np.float32)
    b, settings = np.arange(3, dtype=np.float32), ((1, 1), (0, 0), (1, 1), 1)
    with _paths.forced(path):
        y = cpu.conv2d(x, w, b, *settings)
        dx = cpu.conv2d_input_grad(y, w, x.shape, *settings)
        dw = cpu.conv2d_weight_grad(y, x, w.shape, *settings)
    side = 10 - kernel
    np.testing.assert_array_equal(y, np.broadcast_to(b[:, None, None], (2, 3, side, side + 11)))
    assert (dx.shape, dw.shape) == (x.shape, w.shape)


@pytest.mark.parametrize("path", [None, *_paths.PATHS])
def test_scratch_memory_need_not_be_zero(path, monkeypatch):
    """Recycled scratch holds old numbers: with NaN in all of it, nothing may leak into a result."""

    def dirty(shape, dtype):
        array = np.empty(shape, dtype)
        array.view(np.uint8)[...] = 0xFF  # NaN in float32 and float64
        return array

    rng = np.random.default_rng(0)
    for N, C, H, W, K, R, S, stride, padding, dilation, groups in GEOMETRIES.values():
        x = rng.standard_normal((N, C, H, W)).astype(np.float32)
        w = rng.standard_normal((K, C // groups, R, S)).astype(np.float32)
        settings = (stride, padding, dilation, groups)
        with _paths.forced(path):
            with monkeypatch.context() as patch:
                patch.setattr(conv.buffers, "empty", dirty)
                y = cpu.conv2d(x, w, None, *settings)
                dx = cpu.conv2d_input_grad(y, w, x.shape, *settings)
                dw = cpu.conv2d_weight_grad(y, x, w.shape, *settings)
            np.testing.assert_array_equal(y, cpu.conv2d(x, w, None, *settings))
            np.testing.assert_array_equal(dx, cpu.conv2d_input_grad(y, w, x.shape, *settings))
            np.testing.assert_array_equal(dw, cpu.conv2d_weight_grad(y, x, w.shape, *settings))


@pytest.mark.parametrize(
    ("counter", "key", "words"),
    [  # known answers of the authors' library, Random123 (kat_vectors, philox4x32 10)
        ((0, 0), 0, (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        (
            (0x85A308D3_243F6A88, 0x03707344_13198A2E),
            0x299F31D0_A4093822,
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
        (
            (0xFFFFFFFF_FFFFFFFF, 0xFFFFFFFF_FFFFFFFF),
            0xFFFFFFFF_FFFFFFFF,
            (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD),
        ),
    ],
)
def test_philox_gives_the_known_answers(counter, key, words):
    stream = np.array([key, counter[1]], np.uint64)
    assert _words(stream, np.uint64(counter[0])) == words


@pytest.mark.parametrize("n", [1, 2, 3, 5, 16385, 16388, 70001])
def test_dropout_keeps_the_elements_whose_word_is_large_enough(n):
    x = np.arange(1, n + 1, dtype=np.float64)
    seed, offset = 2**63 + 12345, 2**40 + 7
    keep = cpu.philox(seed, offset, n) >= round(0.3 * 2**32)
    want = np.where(keep, x * (1 / (1 - 0.3)), 0)
    np.testing.assert_array_equal(cpu.dropout(x, 0.3, seed, offset), want)


def test_read_only_inputs_are_taken_and_compile_nothing_new():
    x = np.random.default_rng(0).standard_normal((2, 3, 8, 8)).astype(np.float32)
    w = np.ones((4, 3, 3, 3), np.float32)
    settings = ((1, 1), (0, 0), (1, 1), 1)
    want = cpu.conv2d(x, w, None, *settings)
    compiled = _rows._sum_taps.compiled
    before = len(compiled.signatures)
    assert before > 0
    for array in (x, w):
        array.flags.writeable = False
    np.testing.assert_array_equal(cpu.conv2d(x, w, None, *settings), want)
    assert len(compiled.signatures) == before


def test_the_users_own_numba_settings_stand():
    before = numba.get_num_threads()
    numba.set_num_threads(1)
    try:
        cpu.relu(np.ones((64, 1024), np.float32))
        assert numba.get_num_threads() == 1
    finally:
        numba.set_num_threads(before)
    assert os.environ.get("NUMBA_CACHE_DIR", "") == numba.config.CACHE_DIR
    assert not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & (os.environ.keys() - WHEN_STARTED)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_warm_compiles_what_training_needs(dtype):
    cpu.warm(dtype)
    kernels = (_rows._sum_taps, _rows._sum_pixels, pool._max_pool, optim._adam)
    before = [len(k.compiled.signatures) for k in kernels]
    rng = np.random.default_rng(0)
    x = rng.standard_normal((8, 3, 30, 30)).astype(dtype)
    w = rng.standard_normal((8, 3, 3, 3)).astype(dtype)
    settings = ((1, 1), (0, 0), (1, 1), 1)
    y = cpu.relu(cpu.conv2d(x, w, None, *settings))
    pooled, places = cpu.max_pool2d(y, (2, 2), (2, 2), (0, 0), (1, 1), False)
    dy = cpu.max_pool2d_grad(pooled, places, y.shape)
    dw = cpu.conv2d_weight_grad(dy, x, w.shape, *settings)
    cpu.adam_step(
        w, dw, np.zeros_like(w), np.zeros_like(w),
        step=1, lr=0.1, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=0.0, decoupled=True,
    )  # fmt: skip
    assert [len(k.compiled.signatures) for k in kernels] == before


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("depth", [3, 4])
@pytest.mark.parametrize("channels", [1, 3])
def test_bytes_become_the_quotients_by_255_to_the_bit(dtype, depth, channels):
    pixels = np.repeat(np.arange(256, dtype=np.uint8), depth).reshape(16, 16, depth)
    want = np.broadcast_to(
        np.arange(256).reshape(16, 16).astype(dtype) / dtype(255), (channels, 16, 16)
    )
    np.testing.assert_array_equal(cpu.unit_planes(pixels, channels, dtype), want)
