"""The pictures: what is drawn where, read back from the figure, and saved whole or not at all."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from PIL import Image

import minicnn
from minicnn import models, nn, plot
from minicnn.errors import ArgumentError, ShapeError, TrainingError
from minicnn.training import History


def some_history(epochs: int = 4, validation: bool = True) -> History:
    history = History()
    for i in range(epochs):
        logs = {"loss": 1 / (i + 1), "accuracy": 0.5 + 0.1 * i}
        if validation:
            logs |= {"val_loss": abs(i - 2) + 0.5, "val_accuracy": 0.9 - 0.1 * abs(i - 1)}
        history.append(i, logs)
    return history


def texts(axes) -> list[str]:
    return [t.get_text() for t in axes.texts] + [t.get_text() for t in axes.get_legend().texts]


def lines(axes) -> dict[str, list]:
    return {line.get_label().split()[0]: list(line.get_ydata()) for line in axes.lines}


def frames(figure: Figure) -> list[tuple[str, float]]:
    """Colour and width of the frame around each visible picture."""
    spines = [axes.spines["left"] for axes in figure.axes if axes.get_visible() and axes.images]
    return [(to_hex(spine.get_edgecolor()).upper(), spine.get_linewidth()) for spine in spines]


# ------------------------------------------------------------------------------------------- curves


def test_curves_draw_every_series_the_best_epoch_and_the_baseline():
    history = some_history()
    loss, accuracy = plot.curves(history, baseline=0.502).axes
    assert lines(loss)["training"] == history.history["loss"]
    assert lines(loss)["validation"] == history.history["val_loss"]
    assert lines(accuracy)["validation"] == history.history["val_accuracy"]
    assert list(loss.lines[0].get_xdata()) == [1, 2, 3, 4]
    assert "best 0.500, epoch 3" in texts(loss)
    assert "best 90.0%, epoch 2" in texts(accuracy)
    assert "validation 70.0%" in texts(accuracy)
    assert any("most frequent class: 50.2%" in text for text in texts(accuracy))
    assert not any("most frequent" in text for text in texts(loss))
    assert any(list(line.get_ydata()) == [0.502, 0.502] for line in accuracy.lines)
    low, high = accuracy.get_ylim()
    assert low < 0.502 < high


@pytest.mark.parametrize("baseline", [0.0, 2 / 3, 1.0])
def test_a_baseline_far_from_the_curves_is_within_the_axes(tmp_path, baseline):
    """As of three validation images. Words outside the axes would leave the curves no room."""
    history = {"accuracy": [1 / 3], "val_accuracy": [0.0]}
    figure = plot.curves(history, tmp_path / "curves.png", baseline=baseline)
    (accuracy,) = figure.axes
    figure.canvas.draw()
    (words,) = [text for text in accuracy.texts if "most frequent" in text.get_text()]
    box = accuracy.get_window_extent()
    assert box.contains(*words.get_window_extent().min)
    assert box.contains(*words.get_window_extent().max)
    assert box.height > figure.bbox.height / 2


def test_curves_without_validation_and_of_other_metrics():
    history = some_history(1, validation=False).history | {"doubt": [0.25]}
    figure = plot.curves(history, title="one epoch")
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["loss", "accuracy", "doubt"]
    assert set(lines(figure.axes[0])) == {"training"}
    assert figure.axes[0].lines[0].get_marker() == "o"  # one point makes no line
    with pytest.raises(ArgumentError, match="the history is empty"):
        plot.curves(History())


def test_curves_survive_a_validation_loss_that_is_nan(tmp_path):
    history = {"loss": [1.0, 2.0], "val_loss": [float("nan"), float("nan")]}
    assert plot.curves(history, tmp_path / "c.png").axes[0].texts[:] == []


# -------------------------------------------------------------------------------------- predictions


@pytest.mark.parametrize("channels", [1, 3])
def test_mistakes_have_a_thick_frame_and_a_cross(channels):
    images = np.random.default_rng(0).random((5, channels, 6, 6))
    logits = np.array([[2.0, 0], [0, 2], [3, 0], [0, 1], [1, 0]])
    figure = plot.predictions(
        images, [0, 1, 1, 1, 0], logits, ["cat", "dog"], title="Test", mistakes_first=False
    )
    assert [width > 2 for _, width in frames(figure)] == [False, False, True, False, False]
    assert frames(figure)[2][0] == plot.ORANGE
    labels = [axes.get_xlabel() for axes in figure.axes]
    assert labels[0] == "cat 88%"
    assert labels[2] == "✗ cat 95%\nis dog"
    assert figure.get_suptitle() == "Test: 1 of 5 wrong"


def test_one_logit_and_tensors():
    figure = plot.predictions(
        minicnn.rand(2, 1, 4, 4), minicnn.tensor([0, 1]), minicnn.tensor([[-2.0], [-1.0]]), "ab"
    )
    assert [axes.get_xlabel() for axes in figure.axes] == ["a 88%", "✗ a 73%\nis b"]


@pytest.mark.parametrize(
    ("wrong", "shown", "title"), [(3, 3, "shown first"), (9, 4, "4 shown first")]
)
def test_mistakes_come_first_but_leave_room(wrong, shown, title):
    labels = np.zeros(40, int)
    labels[-wrong:] = 1
    logits = np.tile([2.0, 0.0], (40, 1))
    figure = plot.predictions(np.zeros((40, 1, 4, 4)), labels, logits, limit=8)
    assert [width > 2 for _, width in frames(figure)] == [True] * shown + [False] * (8 - shown)
    assert figure.get_suptitle() == f"Predictions: {wrong} of 40 wrong, {title}"


def test_predictions_that_do_not_belong_together():
    with pytest.raises(ShapeError, match="3 images, 2 labels, 3 rows of logits"):
        plot.predictions(np.zeros((3, 1, 4, 4)), [0, 1], np.zeros((3, 2)))
    with pytest.raises(ShapeError, match=r"\(2, 4, 4\) is neither grey nor RGB"):
        plot.predictions(np.zeros((1, 2, 4, 4)), [0], np.zeros((1, 2)))


@pytest.mark.parametrize("scale", [(0.0, 1.0), (0.0, 255.0), (-2.0, 3.0)])
def test_images_of_any_range_are_shown_the_same(scale):
    low, high = scale
    image = np.linspace(0, 1, 48).reshape(1, 3, 4, 4) * (high - low) + low
    image = image.astype(np.uint8) if high == 255 else image
    shown = plot.predictions(image, [0], np.zeros((1, 2))).axes[0].images[0].get_array()
    shown = np.asarray(shown, float) / (255 if high == 255 else 1)
    expected = np.linspace(0, 1, 48).reshape(3, 4, 4).transpose(1, 2, 0)
    assert np.allclose(shown, expected, atol=1 / 255)


# --------------------------------------------------------------------------- filters, feature maps


def test_filters_of_one_channel_share_a_scale_around_zero():
    layer = nn.Conv2d(1, 5, 3)
    figure = plot.filters(layer, title="conv1")
    weights = layer.weight.detach().numpy()
    drawn = [axes.images[0] for axes in figure.axes if axes.get_visible() and axes.images]
    assert len(drawn) == 5
    for picture, kernel in zip(drawn, weights, strict=True):
        assert np.array_equal(picture.get_array(), kernel[0])
        assert picture.get_clim() == (-np.abs(weights).max(), np.abs(weights).max())
    assert figure.get_suptitle() == "conv1: 5 filters of 1×3×3"


def test_filters_in_colour_and_of_many_channels():
    weights = np.zeros((2, 3, 3, 3))
    weights[0, 0, 1, 2] = 4.0  # red, at the middle right
    picture = np.asarray(plot.filters(weights).axes[0].images[0].get_array())
    assert picture[1, 2].tolist() == [1, 0.5, 0.5]
    assert picture[0, 0].tolist() == [0.5, 0.5, 0.5]
    figure = plot.filters(np.ones((20, 32, 3, 3)))
    assert sum(bool(axes.images) for axes in figure.axes) == 16 * 16
    assert figure.get_suptitle() == "20 filters of 32×3×3 (the first 16×16)"
    with pytest.raises(ShapeError, match=r"\(3, 2\) are not \(K, C, R, S\)"):
        plot.filters(nn.Linear(2, 3))


def test_feature_maps_are_what_the_layer_gives():
    model = models.cat_dog_cnn_1_1(in_channels=1, image_size=28).train()
    x = minicnn.rand(1, 28, 28)
    with minicnn.no_grad():
        conv = model.conv1(x[None]).numpy()[0]
    figure = plot.feature_maps(model, x, "conv1")
    drawn = [axes.images[0].get_array() for axes in figure.axes if axes.get_xlabel().isdigit()]
    assert len(drawn) == 32
    assert np.allclose(np.stack(drawn), conv, atol=1e-6)
    assert figure.axes[0].get_xlabel() == "input"
    assert model.training
    assert not model.conv1._forward_hooks
    model.conv1.bias.data = minicnn.full((32,), -100.0)
    silent = plot.feature_maps(model, x.numpy(), "relu1", limit=3)
    assert [axes.get_xlabel() for axes in silent.axes[1:4]] == ["0 silent", "1 silent", "2 silent"]
    assert silent.get_suptitle() == "relu1: 3 of 32 maps of 26×26"


def test_layers_without_maps_are_refused():
    model = models.cat_dog_cnn_1_1(in_channels=1, image_size=28)
    with pytest.raises(ArgumentError, match=r"no layer 'conv9'\. There are conv1, relu1, pool1"):
        plot.feature_maps(model, np.zeros((1, 28, 28), np.float32), "conv9")
    with pytest.raises(ShapeError, match=r"'flatten' gives \(1, 800\), which is no picture"):
        plot.feature_maps(model, np.zeros((1, 28, 28), np.float32), "flatten")


# ------------------------------------------------------------------------------------------- saving


@pytest.mark.parametrize("ending", ["png", "svg", "pdf", "jpg"])
def test_the_ending_decides_the_format(ending, tmp_path):
    path = tmp_path / "new" / f"curves.{ending}"
    assert isinstance(some_history().plot(path), Figure)
    start = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF", "jpg": b"\xff\xd8"}[ending]
    assert path.read_bytes().startswith(start)
    if ending == "png":
        with Image.open(path) as picture:
            assert picture.size == (1560, 570)


def test_a_picture_that_cannot_be_saved(tmp_path):
    with pytest.raises(ArgumentError, match=r"no picture format 'docx'\. Use .*png"):
        plot.curves(some_history(), tmp_path / "c.docx")
    (tmp_path / "file").write_text("x")
    with pytest.raises(TrainingError, match=r"cannot write .*file/c\.png") as error:
        plot.curves(some_history(), tmp_path / "file" / "c.png")
    assert "\n" not in str(error.value)


def test_matplotlib_waits_until_it_is_needed_and_pyplot_for_ever():
    code = (
        "import sys, minicnn, minicnn.plot as plot\n"
        "assert 'matplotlib' not in sys.modules\n"
        "plot.curves({'loss': [1.0, 0.5]})\n"
        "assert 'matplotlib.figure' in sys.modules\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
