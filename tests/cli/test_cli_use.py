"""Commands that use a network or look inside: evaluate, predict, summary."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from helpers_cli import TINY, narrow
from PIL import Image

import minicnn
from minicnn import datasets, models
from minicnn.cli.predict import read


def test_evaluate_against_numbers_computed_by_hand(minicnn_, run):
    done = minicnn_("evaluate", "run", "--backend", "numpy", "--batch-size", "100")
    assert done.code == 0, done.err
    assert narrow(done.out)
    model = models.load(run / "best.safetensors")
    for part in ("validation", "test"):
        images, labels = datasets.CatsVsDogs(part).as_tensors()
        with minicnn.use_backend("numpy"), minicnn.no_grad():
            logits = model(images).numpy().astype(np.float64)
        truth, guess = labels.numpy(), logits.argmax(1)
        loss = np.mean(np.log(np.exp(logits).sum(1)) - logits[np.arange(len(truth)), truth])
        right = int((truth == guess).sum())
        row = re.search(rf"^{part} +(\d+) +(\d+) +([\d.]+)% +([\d.]+)$", done.out, re.M)
        assert row is not None
        assert (int(row[1]), int(row[2])) == (249, right)
        assert float(row[3]) == round(100 * right / 249, 1)
        assert abs(float(row[4]) - loss) <= 1e-4
    matrix = re.findall(r"^  (cat|dog) +(\d+|\.) +(\d+|\.) +([\d.]+)%$", done.out, re.M)
    for k, (name, *cells, share) in enumerate(matrix):  # of the test images, the last part
        assert name == ("cat", "dog")[k]
        counts = [0 if cell == "." else int(cell) for cell in cells]
        assert counts == [int(((truth == k) & (guess == j)).sum()) for j in (0, 1)]
        assert float(share) == round(100 * counts[k] / sum(counts), 1)


def test_evaluate_ten_classes_fit_the_terminal(minicnn_):
    minicnn_("train", *TINY, "--epochs", "1", "--data", "animals", "--no-pictures", "--out", "ten")
    done = minicnn_("evaluate", "ten", "--split", "validation")
    assert done.code == 0, done.err
    assert narrow(done.out)
    assert len(re.findall(r"^  \w+ .*%$", done.out, re.M)) == 10


def test_evaluate_without_a_name_takes_the_newest_run(minicnn_):
    minicnn_("train", *TINY, "--epochs", "1", "--no-pictures")
    assert "from runs/cats-vs-dogs/best.safetensors, epoch 1" in minicnn_("evaluate").out


# --------------------------------------------------------------------------------------- predict


def silhouette(index: int) -> tuple[np.ndarray, int]:
    shipped = datasets.CatsVsDogs("test")
    return shipped.data.numpy()[index], int(shipped.targets.numpy()[index])


def test_predict_a_shipped_image_is_what_the_network_says(minicnn_, run):
    model, images = models.load(run / "best.safetensors"), datasets.CatsVsDogs("test")
    expected = []
    for i in range(4):
        Image.fromarray(images.data.numpy()[i]).save(f"{i}.png")
        with minicnn.use_backend("numpy"), minicnn.no_grad():
            z = model(images[i][0][None]).numpy().astype(np.float64)[0]
        sure = np.exp(z) / np.exp(z).sum()
        expected.append((f"{i}.png", ("cat", "dog")[int(z.argmax())], f"{sure.max():.1%}"))
    paths = [name for name, *_ in expected]
    done = minicnn_("predict", "--run", run, "--backend", "numpy", *paths)
    assert done.code == 0, done.err
    assert [tuple(line.split()) for line in done.out.splitlines()] == expected


def test_predict_inverts_dark_shapes_on_light_unless_told(minicnn_, run):
    pixels, _ = silhouette(0)
    Image.fromarray(pixels).save("light.png")
    Image.fromarray(255 - pixels).save("dark.png")
    light, dark = minicnn_("predict", "--run", run, "light.png", "dark.png").out.splitlines()
    assert light.split()[1:3] == dark.split()[1:3]
    assert "inverted" in dark
    assert "inverted" not in light
    forced = minicnn_("predict", "--run", run, "--no-invert", "dark.png").out
    assert "inverted" not in forced


def test_predict_goes_on_after_a_bad_file(minicnn_, run):
    Image.fromarray(silhouette(0)[0]).save("good.png")
    Path("bad.png").write_text("no image")
    done = minicnn_("predict", "--run", run, "bad.png", "good.png", "missing.png")
    assert done.code == 1
    assert done.out.startswith("good.png")
    assert [line.split()[2] for line in done.err.splitlines()] == ["bad.png", "missing.png:"]


def test_an_image_of_the_right_size_is_read_unchanged():
    pixels, _ = silhouette(3)
    Image.fromarray(pixels).save("same.png")
    image, inverted = read("same.png", (1, 28, 28), None)
    np.testing.assert_array_equal(image, pixels[None].astype(np.float32) / 255)
    assert not inverted


def test_other_images_keep_their_shape_and_get_a_border():
    wide = np.zeros((40, 80), np.uint8)
    wide[10:30, 30:50] = 255  # a white square of 20×20 in 80×40
    Image.fromarray(wide).save("wide.png")
    image, _ = read("wide.png", (1, 32, 32), None)
    assert image.shape == (1, 32, 32)
    assert image.dtype == np.float32
    rows, columns = np.nonzero(image[0] > 0.5)
    assert (np.ptp(rows) + 1, np.ptp(columns) + 1) == (8, 8)  # 20 · 32/80, still a square
    assert (image[0, :8] == 0).all()  # above the picture: its border's colour


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "P", "1", "I;16", "I", "F", "CMYK"])
def test_images_of_every_kind_are_read_alike(mode):
    half = np.zeros((28, 28), np.uint8)
    half[:, 14:] = 255
    grey = Image.fromarray(half)
    if mode == "I;16":
        made = Image.fromarray(half.astype(np.uint16) * 257)
    elif mode == "I":
        made = Image.fromarray(half.astype(np.int32) * 257)
    elif mode == "F":
        made = Image.fromarray(half.astype(np.float32))
    else:
        made = grey.convert("RGB").convert(mode) if mode == "CMYK" else grey.convert(mode)
    assert made.mode == mode
    made.save("image.tif")
    image, _ = read("image.tif", (1, 28, 28), False)
    np.testing.assert_allclose(image[0], half / 255, atol=1e-6)


def test_a_shape_on_nothing_is_a_shape_on_white():
    """A black drawing on a transparent ground, as drawing programs save it."""
    pixels, _ = silhouette(0)
    drawing = np.zeros((28, 28, 4), np.uint8)
    drawing[..., 3] = pixels
    Image.fromarray(drawing).save("drawing.png")
    image, inverted = read("drawing.png", (1, 28, 28), None)
    assert inverted
    np.testing.assert_allclose(image[0], pixels / 255, atol=1 / 255)


def test_a_photograph_lying_on_its_side_is_turned():
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90° to the right
    lying = np.zeros((28, 28), np.uint8)
    lying[:14] = 255
    Image.fromarray(lying).save("lying.png", exif=exif)
    image, _ = read("lying.png", (1, 28, 28), False)
    np.testing.assert_array_equal(image[0], np.rot90(lying, -1) / np.float32(255))


# --------------------------------------------------------------------------------------- summary


@pytest.mark.parametrize(
    ("arguments", "pieces"),
    [
        (("cat_dog_cnn_1_1",), ("56,353", "(1, 3, 160, 160)")),
        (("cat-dog-cnn-1.3",), ("683,073", "(1, 32, 158, 158)", "88,818,112 MACs")),
        (("cat_dog_cnn_1_3", "--input-size", "1x28x28", "--classes", "2"), ("(1, 1, 28, 28)",)),
        (("alexnet", "--num-classes", "5"), ("57,026,629",)),  # 3·4097 more than of 2
        (("cat_dog_cnn_1_2", "--input-size", "96x64"), ("(1, 3, 96, 64)",)),
        (("fcnet", "--batch-size", "32"), ("(32, 10)",)),
    ],
)
def test_summary(minicnn_, arguments, pieces):
    done = minicnn_("summary", *arguments)
    assert done.code == 0, done.err
    for piece in pieces:
        assert piece in done.out
    assert narrow(done.out)


def test_summary_of_a_run(minicnn_, run):
    expected = sum(p.numel() for p in models.load(run / "best.safetensors").parameters())
    for name in (run, run / "last.safetensors"):
        done = minicnn_("summary", name)
        assert f"{expected:,}" in done.out
        assert "(1, 1, 28, 28)" in done.out
