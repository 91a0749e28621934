"""`minicnn train`, on tiny real runs."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import numpy as np
import pytest
from helpers_cli import TINY, narrow, require_one_line
from helpers_photos import pet_images
from PIL import Image

import minicnn
from minicnn import data, datasets, io, models, nn, optim
from minicnn.cli import sources
from minicnn.cli.job import fitting
from minicnn.io import load_checkpoint

FILES = (
    "history.csv", "curves.png", "predictions.png", "filters.png", "feature_maps.png",
    "best.safetensors", "last.safetensors", "run.json",
)  # fmt: skip


def test_train_leaves_a_whole_run_and_says_what_came_of_it(minicnn_):
    done = minicnn_("train", *TINY, "--epochs", "2")
    assert done.code == 0, done.err
    folder = Path("runs/cats-vs-dogs")
    assert sorted(p.name for p in folder.iterdir()) == sorted(FILES)
    for name in FILES:
        assert name in done.out
        if name.endswith(".png"):
            Image.open(folder / name).verify()
    history = list(csv.DictReader((folder / "history.csv").read_text().splitlines()))
    best = max(history, key=lambda row: float(row["val_accuracy"]))
    shown = f"best      {float(best['val_accuracy']):.1%} of the validation images"
    assert f"{shown}, after epoch {best['epoch']}\n" in done.out
    assert narrow(done.out)
    assert not set(done.out) & set("\r█▏")  # no bar where no terminal is
    assert done.err == ""
    rows = re.findall(r"^ +([12])/2 +(\S+) +(\S+)% +(\S+) +(\S+)%", done.out, re.M)
    assert [float(row[1]) for row in rows] == [round(float(h["loss"]), 3) for h in history]
    assert [float(row[4]) for row in rows] == [
        round(100 * float(h["val_accuracy"]), 1) for h in history
    ]


def test_the_test_accuracy_is_that_of_the_best_weights(minicnn_):
    done = minicnn_("train", *TINY, "--epochs", "2", "--no-pictures", "--out", "here")
    model = models.load("here/best.safetensors")
    images, labels = datasets.CatsVsDogs("test").as_tensors()
    with minicnn.use_backend("numpy"), minicnn.no_grad():
        right = int((model(images).numpy().argmax(1) == labels.numpy()).sum())
    assert f"({right} of 249)" in done.out
    assert not list(Path("here").glob("*.png"))


def test_a_second_run_goes_beside_the_first(minicnn_):
    arguments = ("train", *TINY, "--epochs", "1", "--no-pictures")
    minicnn_(*arguments)
    first = Path("runs/cats-vs-dogs/last.safetensors").read_bytes()
    assert "runs/cats-vs-dogs-2" in minicnn_(*arguments).out
    assert Path("runs/cats-vs-dogs-2/last.safetensors").read_bytes() == first  # the same seed
    minicnn_(*arguments, "--seed", "1")
    assert Path("runs/cats-vs-dogs-3/last.safetensors").read_bytes() != first
    assert Path("runs/cats-vs-dogs/last.safetensors").read_bytes() == first


def test_train_is_the_loop_of_every_tutorial_to_the_same_bits(minicnn_):
    """On the default rung, so that the rehearsal before the training is seen to leave no trace."""
    minicnn_("train", "--train-images", "64", "--epochs", "2", "--no-pictures", "--out", "here",
             "--no-flip", "--seed", "5")  # fmt: skip
    minicnn.manual_seed(5)
    model = models.cat_dog_cnn_1_3(
        in_channels=1, image_size=28, num_classes=2, normalize=sources.NORMALIZE["cats-vs-dogs"]
    )
    part = data.Subset(datasets.CatsVsDogs("train"), range(64))
    loader = data.DataLoader(part, batch_size=32, shuffle=True)
    optimizer = optim.Adam(model.parameters(), lr=2e-3)
    for _ in range(2):
        for images, labels in loader:
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(images), labels).backward()
            optimizer.step()
    for name, weights in io.load_weights("here/last.safetensors").items():
        np.testing.assert_array_equal(weights.numpy(), model.state_dict()[name].numpy())


def test_options_reach_the_run(minicnn_):
    done = minicnn_(
        "train", *TINY, "--epochs", "1", "--data", "animals", "--model", "fcnet", "--lr", "0.05",
        "--optimizer", "sgd", "--seed", "7", "--no-flip", "--out", "here",
    )  # fmt: skip
    assert done.code == 0, done.err
    stored = load_checkpoint("here/last.safetensors")
    assert stored.recipe["name"] == "fcnet"
    assert stored.recipe["options"]["num_classes"] == 10
    assert stored.optimizer["type"] == "SGD"
    group = stored.optimizer["state"]["param_groups"][0]
    assert (group["lr"], group["momentum"]) == (0.05, 0.9)
    settings = stored.config["settings"]
    assert settings["seed"] == 7
    assert settings["backend"] == "numpy"
    assert settings["flip"] is False
    assert len(stored.config["classes"]) == 10
    assert "numpy, 1 thread\n" in done.out
    assert not Path("here/filters.png").exists()  # it has no convolution
    assert Path("here/predictions.png").exists()


def test_backend_and_threads_are_as_before_after_a_command(minicnn_):
    before = minicnn.get_num_threads()
    minicnn_("sobel", "--backend", "numpy", "--threads", "1")
    assert minicnn.get_num_threads() == before
    assert minicnn.kernels.current_backend().name == "numba"


def test_a_last_batch_too_small_for_batch_norm_is_said_before_anything_is_written(minicnn_):
    """AlexNet's last BatchNorm sees a map of 1×1 here; 9 images are 8 and one."""
    pet_images(Path("pets"), 5)
    alexnet = ("train", "--model", "alexnet", "--data", "pets", "--image-size", "127")
    done = minicnn_(*alexnet, "--batch-size", "8", "--backend", "numpy")
    require_one_line(
        done, 1, "--batch-size 8: 9 images", 'BatchNorm2d "feature_extractor.18"',
        "Use --batch-size 7",
    )  # fmt: skip
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("images", "size", "remedy"),
    [(129, 128, 127), (9, 8, 7), (7, 6, 5), (7, 3, 4), (7, 2, 4), (5, 1, 3), (2, 1, 2), (1, 8, 0)],
)
def test_the_batch_size_that_is_advised_leaves_no_image_alone(images, size, remedy):
    """7 images by 3 and by 2 leave one, so that a larger size is what helps."""
    assert fitting(images, size) == (f"Use --batch-size {remedy}" if remedy else "Add images.")
