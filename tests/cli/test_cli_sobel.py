"""`minicnn sobel`: the filters against sums by hand and torch, and the picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from helpers_cli import require_one_line
from PIL import Image

import minicnn
from minicnn.cli.sobel import edges, sobel_layer


def test_sobel_against_sums_written_out_by_hand():
    x = np.random.default_rng(0).random((1, 7, 9)).astype(np.float32)
    gx, gy, magnitude = edges(x)
    i = x[0].astype(np.float64)
    left = i[:-2, :-2] + 2 * i[1:-1, :-2] + i[2:, :-2]
    right = i[:-2, 2:] + 2 * i[1:-1, 2:] + i[2:, 2:]
    above = i[:-2, :-2] + 2 * i[:-2, 1:-1] + i[:-2, 2:]
    below = i[2:, :-2] + 2 * i[2:, 1:-1] + i[2:, 2:]
    np.testing.assert_allclose(gx, left - right, atol=1e-6)
    np.testing.assert_allclose(gy, above - below, atol=1e-6)
    expected = np.sqrt((left - right) ** 2 + (above - below) ** 2)
    np.testing.assert_allclose(magnitude, expected, atol=1e-6)


@pytest.mark.parametrize("rung", ["loops", "numpy", "numba"])
def test_sobel_against_torch_on_every_rung(rung):
    x = np.random.default_rng(1).random((1, 12, 10)).astype(np.float32)
    weight = torch.tensor(sobel_layer().weight.detach().numpy())
    expected = torch.nn.functional.conv2d(torch.tensor(x), weight).numpy()
    with minicnn.use_backend(rung):
        gx, gy, magnitude = edges(x)
    np.testing.assert_allclose(np.stack([gx, gy]), expected, atol=1e-5)
    np.testing.assert_allclose(magnitude, np.hypot(*expected), atol=1e-5)


def test_sobel_sees_a_vertical_edge_as_vertical():
    step = np.zeros((1, 6, 6), np.float32)
    step[..., 3:] = 1
    gx, gy, magnitude = edges(step)
    np.testing.assert_array_equal(gx[0], [0, -4, -4, 0])  # darker on the left
    assert not gy.any()
    np.testing.assert_array_equal(magnitude, np.abs(gx))


def test_sobel_never_overwrites_the_image_it_reads(minicnn_):
    Image.fromarray(np.zeros((9, 9), np.uint8)).save("drawing.png")
    before = Path("drawing.png").read_bytes()
    Path("link.png").symlink_to("drawing.png")
    for out in ("drawing.png", "./drawing.png", "link.png"):
        require_one_line(minicnn_("sobel", "drawing.png", "-o", out), 1, "is the image itself")
    assert Path("drawing.png").read_bytes() == before
    require_one_line(minicnn_("sobel", "drawing.png", "-o", "."), 1, "a folder. Name a file")


def test_more_threads_than_cores_are_said_to_be_cut(minicnn_):
    done = minicnn_("sobel", "--threads", "4096")
    assert done.code == 0
    assert "--threads 4096 is more than the" in done.err


def test_sobel_draws_the_shipped_photograph(minicnn_):
    done = minicnn_("sobel")
    assert done.code == 0, done.err
    assert "451×300" in done.out
    assert "449×298" in done.out
    picture = np.asarray(Image.open("edges.png").convert("L"))
    H, W = picture.shape
    assert W > 4 * H  # four pictures of 3:2 in a row
    assert picture.std() > 20


def test_sobel_of_a_named_image(minicnn_):
    Image.fromarray(np.full((20, 30, 3), 128, np.uint8)).save("flat.png")  # no edge at all
    done = minicnn_("sobel", "flat.png", "-o", "deep/er/edges.pdf")
    assert done.code == 0, done.err
    assert Path("deep/er/edges.pdf").read_bytes().startswith(b"%PDF")
