"""Every error is one line on standard error, with a code and a remedy."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from helpers_cli import TINY, finished, require_one_line
from PIL import Image

from minicnn import io, models

BAD = [
    (("train", "--data", "empty"), 1, ("empty", "no class folders")),
    (("train", "--data", "birds"), 1, ("'birds'", "animals")),
    (("train", "--model", "cat_dog_cnn_1_4"), 1, ("cat_dog_cnn_1_4", "cat_dog_cnn_1_3")),
    (("train", "--train-images", "5000"), 1, ("5000", "1491")),
    (("train", "--backend", "cupy"), 1, ("cupy", "numba")),
    (("train", "--epochs", "0"), 2, ("--epochs", "0", "train --help")),
    (("train", "--lr", "nan"), 2, ("--lr", "nan")),
    (("train", "--lr", "0"), 2, ("--lr", "0")),
    (("train", "--batch-size", "x"), 2, ("--batch-size", "'x'")),
    (("train", "--optimizer", "lion"), 2, ("lion", "adam")),
    (("train", "--threads", "0"), 2, ("--threads", "0")),
    (("train", "--epoch", "3"), 2, ("--epoch", "--epochs")),
    (("train", "--out", "a-file/run", *TINY), 1, ("a-file", "not a directory")),
    (("train", "--resume"), 1, ("runs", "minicnn train")),
    (("train", "--resume", "nowhere"), 1, ("nowhere", "no such file")),
    (("train", "--resume", "empty"), 1, ("empty", "last.safetensors")),
    (("train", "--resume", "a-file"), 1, ("a-file", "safetensors")),
    (("train", "--resume", "weights.safetensors"), 1, ("weights.safetensors", "minicnn train")),
    (("train", "--lr", "1e30", "--optimizer", "sgd", *TINY), 1, ("loss", "learning rate")),
    (("tarin",), 2, ("'tarin'", "'train'")),
    (("evaluate",), 1, ("runs", "minicnn train")),
    (("evaluate", "nowhere"), 1, ("nowhere", "no such file")),
    (("evaluate", "a-file"), 1, ("a-file", "safetensors")),
    (("evaluate", "cut.safetensors"), 1, ("cut.safetensors", "truncated")),
    (("evaluate", "weights.safetensors"), 1, ("weights.safetensors", "--data")),
    (("evaluate", "run", "--data", "animals"), 1, ("cat, dog", "bear")),
    (("evaluate", "run", "--split", "tests"), 2, ("tests", "validation")),
    (("predict",), 2, ("IMAGE", "predict --help")),
    (("predict", "--run", "run", "nowhere.png"), 1, ("nowhere.png", "no such file")),
    (("predict", "--run", "run", "a-file"), 1, ("a-file", "not an image")),
    (("predict", "--run", "run", "empty"), 1, ("empty", "folder")),
    (("predict", "--run", "run", "cut.png"), 1, ("cut.png", "damaged")),
    (("predict", "--run", "nowhere", "cut.png"), 1, ("nowhere", "no such file")),
    (("summary",), 2, ("MODEL",)),
    (("summary", "alexnot"), 1, ("alexnot", "cat_dog_cnn_1_1")),
    (("summary", "cat_dog_cnn_1_3", "--input-size", "3x10x10"), 1, ("10", "22")),
    (("summary", "cat_dog_cnn_1_3", "--input-size", "big"), 2, ("'big'", "3x160x160")),
    (("summary", "fcnet", "--input-size", "32"), 1, ("784",)),
    (("summary", "fcnet", "--batch-size", "99999999999999"), 2, ("--batch-size", "1000000")),
    (("sobel", "nowhere.png"), 1, ("nowhere.png", "no such file")),
    (("sobel", "a-file"), 1, ("a-file", "not an image")),
    (("sobel", "dot.png"), 1, ("dot.png", "2×2", "3×3")),
    (("sobel", "-o", "edges.doc"), 1, ("edges.doc", "png")),
    (("sobel", "-o", "a-file/edges.png"), 1, ("a-file/edges.png", "folder")),
]


@pytest.fixture
def bad_files(run):
    """What the commands above are given."""
    Path("a-file").write_text("This is a text and nothing else, whatever it is taken for.")
    Path("empty").mkdir()
    io.save_weights(models.load(run / "best.safetensors"), "weights.safetensors")
    whole = (run / "last.safetensors").read_bytes()
    Path("cut.safetensors").write_bytes(whole[: len(whole) // 2])
    noise = np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8)
    Image.fromarray(noise).save("whole.png")
    Path("cut.png").write_bytes(Path("whole.png").read_bytes()[:2000])
    Image.fromarray(noise[:2, :2]).save("dot.png")


@pytest.mark.parametrize(("arguments", "code", "pieces"), BAD, ids=lambda v: " ".join(map(str, v))
                         if isinstance(v, tuple) else str(v))  # fmt: skip
def test_bad_input_is_one_line(minicnn_, bad_files, arguments, code, pieces):
    done = minicnn_(*arguments)
    require_one_line(done, code, *pieces)
    assert arguments[0] == "train" or not done.out  # no table that ends after its heading


@pytest.mark.parametrize(
    ("variable", "value"), [("MINICNN_BACKEND", "fast"), ("MINICNN_NUM_THREADS", "many")]
)
def test_a_bad_variable_is_one_line(variable, value):
    """In a process of its own: the number of threads is read once."""
    done = finished("train", "--epochs", "1", env={**os.environ, variable: value})
    require_one_line(done, 1, value)


def test_the_traceback_is_there_for_who_wants_it():
    for debugging in ("", "1"):
        done = finished("evaluate", "nowhere", env={**os.environ, "MINICNN_DEBUG": debugging})
        assert done.code == 1
        assert ("Traceback" in done.err) == bool(debugging)
        assert "nowhere: no such file" in done.err


def test_a_fault_of_ours_says_so_in_one_line(minicnn_, monkeypatch):
    def fault(*args, **kwargs):
        raise KeyError("something\nof several lines")

    monkeypatch.setattr("minicnn.cli.summary.default_size", fault)
    require_one_line(minicnn_("summary", "fcnet"), 1, "KeyError", "MINICNN_DEBUG=1")
