"""The register tile, its tables of places, and every kind of vector that it can be built for."""

import functools
import os
import subprocess
import sys

import numba
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from minicnn.kernels import shapes, threads
from minicnn.kernels.cpu import _register_tile, _tasks, _tiled_weight_grad, _vectors
from minicnn.kernels.cpu._places import places
from minicnn.kernels.cpu._strided import gather

# ------------------------------------------------------------------------------- the tile


@numba.njit
def _outer(vectors, a, rows, at, n, b, step, start, start_step, c, c_step, width):
    _register_tile.outer(vectors, a, rows, at, n, b, step, start, start_step, c, c_step, width)


@numba.njit
def _turned(c, c_step, y, plane, width, outward):
    if outward:
        _register_tile.turn_out(c, c_step, y, plane, width)
    else:
        _register_tile.turn_in(c, c_step, y, plane, width)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", [0, 1, 7, 300])
@pytest.mark.parametrize("vectors", [1, 2, 3])
def test_a_tile_is_a_sum_of_outer_products(vectors, n, dtype):
    rng = np.random.default_rng(n)
    width = vectors * _vectors.lanes(np.dtype(dtype).itemsize)
    a, rows = rng.standard_normal(1000).astype(dtype), rng.integers(0, 500, _vectors.ROWS)
    at, b = rng.integers(0, 500, n), rng.standard_normal((n + 1, width + 3)).astype(dtype)
    start = rng.standard_normal(width).astype(dtype)
    c = np.full((_vectors.ROWS, width + 1), 7, dtype)
    _outer(vectors, a, rows, at, n, b.reshape(-1), width + 3, start, 0, c.reshape(-1), width + 1,
           width)  # fmt: skip
    picked = a[rows[:, None] + at].astype(np.float64)
    want = start + picked @ b[:n, :width].astype(np.float64)
    assert np.abs(c[:, :width] - want).max() <= 100 * np.finfo(dtype).eps * np.abs(want).max()
    assert (c[:, width] == 7).all()  # nothing is written beyond the lanes


def test_a_tile_adds_to_what_is_there():
    width = _vectors.lanes(4)
    c = np.arange(_vectors.ROWS * width, dtype=np.float32)
    before, rows = c.copy(), np.arange(_vectors.ROWS)
    ones, at = np.ones(50, np.float32), np.zeros(3, np.int64)
    _outer(1, ones, rows, at, 3, ones, 0, c, width, c, width, width)
    np.testing.assert_array_equal(c, before + 3)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("outward", [True, False])
@pytest.mark.parametrize("vectors", [1, 2, 3])
def test_a_tile_is_turned_round(vectors, outward, dtype):
    width = vectors * _vectors.lanes(np.dtype(dtype).itemsize)
    c = np.arange(_vectors.ROWS * (width + 2), dtype=dtype).reshape(_vectors.ROWS, width + 2)
    y = np.full((width, _vectors.ROWS + 3), -1, dtype)
    _turned(c.reshape(-1), width + 2, y.reshape(-1), _vectors.ROWS + 3, width, outward)
    np.testing.assert_array_equal(y[:, : _vectors.ROWS], c[:, :width].T)
    assert (y[:, _vectors.ROWS :] == -1).all()


# ------------------------------------------------------------------------------- places


@st.composite
def axes(draw):
    """(size, kernel, stride, padding, dilation) with at least one output."""
    kernel, stride, padding, dilation = (
        draw(st.integers(*r)) for r in ((1, 4), (1, 3), (0, 4), (1, 3))
    )
    least = max(1, dilation * (kernel - 1) + 1 - 2 * padding)
    return draw(st.integers(least, least + 6)), kernel, stride, padding, dilation


def met(t, k, spots):
    """{(output row, output column): (place, where to, the taps met)} of class k."""
    lines, columns = (range(of[k], of[k + 1]) for of in (t.rows_of, t.columns_of))
    runs = range(t.runs_of[k], t.runs_of[k + 1])
    taps = [i for r in runs for i in range(t.run_first[r], t.run_first[r] + t.run_count[r])]
    depth = t.tap_at.size // spots
    assert {i // depth for i in taps} == set(np.flatnonzero(t.meets[k]))
    return {
        (int(t.row[i]), int(t.column_to[j])): (
            int(t.row_at[i] + t.column_at[j]), int(t.row_to[i] + t.column_to[j]), taps,
        )
        for i in lines for j in columns
    }  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(axes(), axes(), st.booleans())
def test_every_pixel_meets_the_taps_that_the_formula_says(v, u, transposed):
    """All pairs of an output and an input pixel that share a tap, in both directions."""
    (H, R, *row), (W, S, *column) = v, u
    stride, padding, dilation = zip(row, column, strict=True)
    C, K = 2, 3
    P, Q = shapes.conv2d_output_size((H, W), (R, S), stride, padding, dilation)
    t = places((H, W), (K, C, R, S), (P, Q), stride, padding, dilation, 1, transposed)
    source, depth = ((P, Q), K) if transposed else ((H, W), C)
    found = set()
    outputs = {}
    for k in range(t.rows_of.size - 1):
        outputs.update(met(t, k, R * S))
    for (i, j), (place, to, taps) in outputs.items():
        assert to == i * (W if transposed else Q) + j
        for tap in taps:
            spot, c = divmod(tap, depth)
            rest = place + t.tap_at[tap] - c * source[0] * source[1]
            assert t.tap_w[tap] == (c * C * R * S if transposed else c * R * S) + spot
            found.add(((i, j), divmod(int(rest), source[1]), spot, c))
    want = set()
    for p in range(P):
        for q in range(Q):
            for r in range(R):
                for s in range(S):
                    h = p * stride[0] + r * dilation[0] - padding[0]
                    w = q * stride[1] + s * dilation[1] - padding[1]
                    if 0 <= h < H and 0 <= w < W:
                        pair = ((h, w), (p, q)) if transposed else ((p, q), (h, w))
                        want |= {(*pair, r * S + s, c) for c in range(depth)}
    assert len(outputs) == (H * W if transposed else P * Q)  # each output once, met or not
    assert found == want


@pytest.mark.parametrize("padded", [16, 32, 48, 64, 80, 256, 400])
def test_blocks_of_filters_are_of_whole_vectors_and_cover_them_all(padded):
    blocks = -(-padded // 48)
    found = [_tasks.lanes_of(i, blocks, padded, 16) for i in range(blocks)]
    assert [first for first, _ in found] == [0, *np.cumsum([wide for _, wide in found])[:-1]]
    assert sum(wide for _, wide in found) == padded
    assert all(wide in (16, 32, 48) for _, wide in found)


# ------------------------------------------------------------------------ weight gradients

WAYS = {  # bytes of a small dy, numbers of parts that are few, and the launches beside the main one
    "each task its own channels, dy turned round once": (1 << 30, 0, ["_turn_all"]),
    "the last member all parts": (0, 1 << 30, []),
    "another launch": (0, 0, ["_add_up"]),
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("channels", "filters", "side", "kernel", "stride", "padding", "groups"),
    [
        (64, 20, (25, 26), 3, 1, 1, 1),  # nine classes of pixels, listed
        (64, 50, (15, 13), 3, 1, 1, 1),  # rows too short for squares: turned, then ordered
        (128, 24, (30, 31), 2, 2, 0, 2),  # one class, and groups
    ],
)
def test_weight_gradients_however_parts_are_added_up(
    channels, filters, side, kernel, stride, padding, groups, way, dtype, monkeypatch
):
    small, little, launches = WAYS[way]
    monkeypatch.setattr(_tiled_weight_grad, "_SMALL", small)
    monkeypatch.setattr(_tiled_weight_grad, "_LITTLE", little)
    monkeypatch.setattr(_tiled_weight_grad, "_plan", _tiled_weight_grad._plan.__wrapped__)
    made = []
    for name in ("_turn_all", "_add_up"):
        launch = getattr(_tiled_weight_grad, name)
        note = functools.partial(made.append, name)
        monkeypatch.setattr(
            _tiled_weight_grad, name, lambda *a, launch=launch, note=note: (note(), launch(*a))
        )
    rng = np.random.default_rng(0)
    x = rng.standard_normal((40, channels, *side)).astype(dtype)
    out = [(n + 2 * padding - kernel) // stride + 1 for n in side]
    dy = rng.standard_normal((40, filters, *out)).astype(dtype)
    w_shape = (filters, channels // groups, kernel, kernel)
    geometry = (stride, stride), (padding, padding), (1, 1), groups
    want = torch.nn.grad.conv2d_weight(
        torch.tensor(x, dtype=torch.float64), w_shape, torch.tensor(dy, dtype=torch.float64),
        stride, padding, 1, groups,
    ).numpy()  # fmt: skip
    results = []
    for number in (1, 2):
        before = threads.get_num_threads()
        threads.set_num_threads(number)
        try:
            results.append(np.full(w_shape, np.nan, dtype))
            _tiled_weight_grad.weight_grad(dy, x, results[-1], geometry)
        finally:
            threads.set_num_threads(before)
    assert made == launches * 2
    off = np.abs(results[0] - want).max() / np.abs(want).max()
    assert off <= {np.float32: 1e-5, np.float64: 1e-13}[dtype]
    np.testing.assert_array_equal(results[0], results[1])  # whoever adds up, in the same order


# ----------------------------------------------------------------------------- strided rows


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("count", [0, 1, 15, 16, 17, 55])
@pytest.mark.parametrize("step", [1, 2, 3, 4, 5])
def test_rows_at_a_stride_are_gathered(step, count, dtype):
    """Also where the array ends with the last number: nothing beyond may be read."""
    rows, x_step, y_step = 3, 60 * step + 1, 70
    x = np.arange(2 + 2 * x_step + max(1, (count - 1) * step + 1), dtype=dtype)
    y = np.full(rows * y_step + 8, -1, dtype)
    gather(x, 2, x_step, step, y, 4, y_step, rows, count)
    want = np.full_like(y, -1)
    for r in range(rows):
        for j in range(count):
            want[4 + r * y_step + j] = x[2 + r * x_step + j * step]
    np.testing.assert_array_equal(y, want)


# ------------------------------------------------------------------------- other processors

CHECK = """
import numpy as np, torch, torch.nn.functional as F
from minicnn.kernels import cpu
from minicnn.kernels.cpu import _vectors
assert _vectors.SIMD == {simd!r}
for dtype, tolerance in ((np.float32, 1e-5), (np.float64, 1e-12)):
    for C, K, kernel, stride, padding, groups in (
        (3, 20, 3, 1, 0, 1), (16, 50, 3, 1, 1, 1),
        (8, 70, (5, 2), (2, 1), 2, 2), (5, 33, 4, 3, 1, 1), (3, 9, 5, 2, 2, 1),
        (3, 16, 7, 4, 2, 1), (64, 12, 3, 1, 1, 1),
    ):
        rng = np.random.default_rng(0)
        x = torch.tensor(rng.standard_normal((3, C, 13, 37)).astype(dtype), requires_grad=True)
        conv = torch.nn.Conv2d(C, K, kernel, stride, padding, groups=groups).to(x.dtype)
        y = conv(x)
        dy = torch.tensor(rng.standard_normal(y.shape).astype(dtype))
        y.backward(dy)
        w, b = conv.weight.detach().numpy(), conv.bias.detach().numpy()
        how = conv.stride, conv.padding, (1, 1), groups
        for path in ("tiles", "rows", "winograd"):
            with cpu.forced(path):
                ours = (
                    cpu.conv2d(x.detach().numpy(), w, b, *how),
                    cpu.conv2d_input_grad(dy.numpy(), w, tuple(x.shape), *how),
                    cpu.conv2d_weight_grad(dy.numpy(), x.detach().numpy(), w.shape, *how),
                )
            for a, t in zip(ours, (y, x.grad, conv.weight.grad)):
                t = t.detach().numpy()
                assert np.abs(a - t).max() <= tolerance * np.abs(t).max(), path
print("checked")
"""


@pytest.mark.slow
@pytest.mark.parametrize("simd", _vectors.SHAPES)
def test_tiles_of_every_processor_agree_with_torch(simd, tmp_path):
    """Also those of processors that this one is not: LLVM splits or joins their vectors."""
    environment = {**os.environ, "MINICNN_SIMD": simd, "MINICNN_CACHE_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", CHECK.format(simd=simd)],
        env=environment, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.stdout == "checked\n", done.stderr


def test_an_unknown_processor_is_refused():
    done = subprocess.run(
        [sys.executable, "-c", "import minicnn.kernels.cpu"],
        env={**os.environ, "MINICNN_SIMD": "mmx"}, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert "MINICNN_SIMD='mmx': no such tile. Use one of avx512, avx2," in done.stderr
