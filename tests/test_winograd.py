"""Winograd's convolution: right on any shape, exact enough, and chosen where it is worth it."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from minicnn.kernels import cpu, threads
from minicnn.kernels.cpu import _kept, _paths, _rows, _runs, _tiled, _winograd, conv
from minicnn.kernels.cpu._winograd_transforms import POINTS, matrices

ONE = (1, 1)
TOLERANCE = {np.float32: 1e-5, np.float64: 1e-12}

# N, C, H, W, K, padding
SHAPES = {
    "rows and columns left over": (2, 12, 30, 23, 8, (1, 1)),
    "more rows than columns": (3, 8, 21, 6, 20, (1, 0)),
    "one row of outputs": (2, 3, 3, 61, 4, (0, 1)),
    "one output": (3, 5, 3, 3, 6, (0, 0)),
    "one pixel": (2, 1, 1, 1, 1, (1, 1)),
    "one output in each of many images": (33, 17, 3, 3, 16, (0, 0)),
    "two columns of tiles, one column of outputs in the last": (2, 4, 9, 7, 5, (0, 0)),
    "one channel": (2, 1, 10, 9, 33, (1, 1)),
    "one filter": (2, 20, 10, 9, 1, (1, 1)),
    "filters beyond whole vectors": (5, 17, 6, 6, 20, (1, 1)),
    "several blocks of filters": (1, 30, 9, 9, 113, (1, 1)),
    "a padding of 2": (2, 6, 4, 5, 7, (2, 2)),
    "padding beyond the kernel": (2, 3, 4, 3, 5, (3, 4)),
    "no images": (0, 4, 6, 6, 5, (1, 1)),
    "bands of a large image": (1, 40, 70, 41, 40, (1, 1)),
    "many images": (33, 9, 6, 5, 10, (1, 1)),
}
SETTINGS = {"m = 3": (2, 48, 6, 6, 33, (1, 1)), "m = 4": (9, 20, 13, 13, 50, (1, 1))}


def arrays(N, C, H, W, K, padding, dtype=np.float32):
    """x, w, b, dy of random numbers."""
    rng = np.random.default_rng(0)
    P, Q = H + 2 * padding[0] - 2, W + 2 * padding[1] - 2
    shapes = (N, C, H, W), (K, C, 3, 3), (K,), (N, K, P, Q)
    return [rng.standard_normal(shape).astype(dtype) for shape in shapes]


def exact(x, w, b, dy, padding):
    """y and dx in float64, from torch."""
    leaf = torch.tensor(x, dtype=torch.float64, requires_grad=True)
    w, b, dy = (torch.tensor(a, dtype=torch.float64) for a in (w, b, dy))
    y = F.conv2d(leaf, w, b, 1, padding)
    y.backward(dy)
    return y.detach().numpy(), leaf.grad.numpy()


def ours(x, w, b, dy, padding):
    settings = (ONE, padding, ONE, 1)
    return cpu.conv2d(x, w, b, *settings), cpu.conv2d_input_grad(dy, w, x.shape, *settings)


def error(got, want):
    return np.abs(got - want).max(initial=0) / np.abs(want).max(initial=1e-300)


@pytest.fixture
def taken(monkeypatch):
    """The modules that compute something, call by call."""
    found = []
    for module in (_winograd, _tiled, _rows, _runs):
        for name in ("correlate", "input_grad", "weight_grad"):
            if real := getattr(module, name, None):
                monkeypatch.setattr(module, name, noted(found, module, real))
    return found


def noted(found, module, function):
    def note(*arguments):
        found.append(module.__name__.rpartition("_")[2])
        return function(*arguments)

    return note


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_any_shape_agrees_with_torch(shape, dtype, taken):
    given = arrays(*shape, dtype)
    with _paths.forced("winograd"):
        got = ours(*given, shape[-1])
    for mine, right in zip(got, exact(*given, shape[-1]), strict=True):
        assert mine.shape == right.shape
        assert mine.dtype == dtype
        assert error(mine, right) <= TOLERANCE[dtype]
    assert set(taken) <= {"winograd"}
    assert taken or not shape[0]


@pytest.mark.parametrize("m", POINTS)
def test_the_matrices_make_a_correlation(m):
    A, G, B = (np.array(matrix) for matrix in matrices(m))
    rng = np.random.default_rng(0)
    d, w = rng.standard_normal(m + 2), rng.standard_normal(3)
    np.testing.assert_allclose(A @ ((G @ w) * (B @ d)), np.correlate(d, w), rtol=1e-12)


# AlexNet's, and those of smaller networks: channels, filters, side, padding
@pytest.mark.parametrize(
    "layer",
    [(192, 384, 13, 1), (384, 256, 6, 1), (256, 256, 6, 1), (32, 32, 79, 0), (32, 32, 38, 0)],
)
def test_it_is_chosen_and_exact_enough(layer, taken):
    C, K, side, padding = layer
    given = arrays(2, C, side, side, K, (padding, padding))
    got = ours(*given, (padding, padding))
    assert taken == ["winograd", "winograd"]
    for mine, right in zip(got, exact(*given, (padding, padding)), strict=True):
        assert error(mine, right) <= 1e-5


def test_where_it_gains_nothing_others_are_chosen():
    assert _paths.choose(9 * 3, 64, 4, outputs=(224, 224)) == "tiles"  # transforms are too much
    assert _paths.choose(9 * 512, 512, 4, outputs=(2, 2)) == "tiles"  # the weights' are, here
    assert _paths.choose(9 * 8, 4, 4, outputs=(64, 64)) == "runs"
    assert _paths.choose(9 * 192, 384, 8, outputs=(13, 13)) == "tiles"  # float64 is to be exact
    assert _paths.choose(9 * 192, 384, 4) == "tiles"  # not a layer for Winograd at all


@pytest.mark.parametrize(
    ("R", "S", "stride", "dilation", "groups"),
    [
        (3, 3, (2, 1), ONE, 1),
        (3, 3, ONE, (1, 2), 1),
        (3, 3, ONE, ONE, 2),
        (3, 2, ONE, ONE, 1),
        (5, 5, ONE, ONE, 1),
    ],
)
def test_other_layers_are_never_its_own(R, S, stride, dilation, groups, taken):
    x, w = np.ones((2, 4, 12, 12), np.float32), np.ones((6, 4 // groups, R, S), np.float32)
    settings = (stride, (2, 2), dilation, groups)
    with _paths.forced("winograd"):
        y = cpu.conv2d(x, w, None, *settings)
        cpu.conv2d_input_grad(y, w, x.shape, *settings)
        cpu.conv2d_weight_grad(y, x, w.shape, *settings)
    assert len(taken) == 3
    assert "winograd" not in taken
    want = F.conv2d(torch.tensor(x), torch.tensor(w), None, *settings).numpy()
    np.testing.assert_allclose(y, want, rtol=1e-6)


@pytest.mark.parametrize("shape", [*SETTINGS.values(), SHAPES["bands of a large image"]])
def test_bits_depend_on_neither_threads_nor_batch(shape):
    padding = shape[-1]
    given = x, w, b, dy = arrays(*shape)
    before = threads.get_num_threads()
    try:
        with _paths.forced("winograd"):
            found = []
            for count in (1, 2):
                threads.set_num_threads(count)
                _kept.clear()
                found.append(ours(*given, padding))
            for n in range(x.shape[0]):
                alone = ours(x[n : n + 1], w, b, dy[n : n + 1], padding)
                for one, all_of_them in zip(alone, found[0], strict=True):
                    np.testing.assert_array_equal(one[0], all_of_them[n])
    finally:
        threads.set_num_threads(before)
    for one, two in zip(*found, strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 3e38])
@pytest.mark.parametrize("shape", SETTINGS.values(), ids=SETTINGS)
def test_a_pixel_spoils_no_outputs_but_its_own(shape, bad):
    padding = shape[-1]
    x, w, b, dy = arrays(*shape)
    with _paths.forced("winograd"):
        clean = ours(x, w, b, dy, padding)
        x[1, 3, 2, 4] = dy[1, 5, 1, 2] = bad
        got = ours(x, w, b, dy, padding)
    want = F.conv2d(*map(torch.tensor, (x, w, b)), 1, padding).numpy()
    back = F.conv_transpose2d(torch.tensor(dy), torch.tensor(w), None, 1, padding).numpy()
    for mine, right, before in zip(got, (want, back), clean, strict=True):
        np.testing.assert_array_equal(mine[0], before[0])  # another image keeps its bits
        fine = np.isfinite(right) & (np.abs(right) < 1e30)
        assert not fine.all()
        assert np.isfinite(mine[fine]).all()
        assert error(mine[fine], right[fine]) <= 1e-5
        np.testing.assert_array_equal(np.isnan(mine), np.isnan(right))


def test_infinite_weights_and_biases_are_infinite_outputs():
    shape = SETTINGS["m = 4"]
    x, w, b, _ = arrays(*shape)
    x = np.abs(x) + 1
    w[7, 3, 1, 1], b[11] = np.inf, -np.inf
    with _paths.forced("winograd"):
        y = cpu.conv2d(x, w, b, ONE, (1, 1), ONE, 1)
    np.testing.assert_array_equal(y[:, 7], np.inf)
    np.testing.assert_array_equal(y[:, 11], -np.inf)
    assert np.isfinite(np.delete(y, [7, 11], axis=1)).all()


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_scratch_memory_need_not_be_zero(shape, monkeypatch):
    """Recycled scratch holds old numbers: with NaN in all of it, nothing may leak into a result."""

    def dirty(size, dtype):
        return np.full(size, np.nan, dtype)

    def refuse(*arguments):
        raise AssertionError("an output was taken for one that is not finite")

    given = arrays(*shape)
    with _paths.forced("winograd"), monkeypatch.context() as patch:
        want = ours(*given, shape[-1])
        _kept.clear()
        patch.setattr(conv.buffers, "empty", dirty)
        for name in ("correlate", "input_grad"):
            patch.setattr(_tiled, name, refuse)
        got = ours(*given, shape[-1])
    for mine, right in zip(got, want, strict=True):
        np.testing.assert_array_equal(mine, right)


def test_weights_that_changed_are_transformed_again():
    x, w, b, dy = arrays(1, 8, 6, 6, 12, ONE)
    with _paths.forced("winograd"):
        ours(x, w, b, dy, ONE)
        w *= 2
        got = ours(x, w, b, dy, ONE)
    for mine, right in zip(got, exact(x, w, b, dy, ONE), strict=True):
        assert error(mine, right) <= 1e-5
