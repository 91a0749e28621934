"""Data that is no longer where, or what, it was when a run learned from it."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers_cli import TINY, require_one_line
from helpers_photos import pet_images

from minicnn.io import load_checkpoint

QUICK = (
    "--model", "cat_dog_cnn_1_1", "--epochs", "1", "--image-size", "24", "--no-pictures",
    *TINY[2:],
)  # fmt: skip


@pytest.fixture(autouse=True)
def moved(minicnn_):
    """A run on pets/, which is now "other pets/"."""
    pet_images(Path("pets"), 8)
    assert minicnn_("train", "--data", "pets", *QUICK).code == 0
    Path("pets").rename("other pets")


def test_evaluate_says_what_is_missing_and_takes_the_new_place(minicnn_):
    done = minicnn_("evaluate", "runs/pets")
    require_one_line(done, 1, "best.safetensors", "folder pets", f"in {Path.cwd()}", "--data")
    done = minicnn_("evaluate", "runs/pets", "--data", "other pets")
    assert done.code == 0, done.err
    Path("other pets").rename("pets")
    where_it_was = minicnn_("evaluate", "runs/pets")
    assert done.out.splitlines()[2:] == where_it_was.out.splitlines()[2:]


def test_resume_says_what_is_missing_and_takes_the_new_place(minicnn_):
    more = ("train", "--resume", "runs/pets", "--epochs", "2", "--no-pictures")
    require_one_line(minicnn_(*more), 1, "last.safetensors", "folder pets", "--data")
    done = minicnn_(*more, "--data", "other pets")
    assert done.code == 0, done.err
    assert load_checkpoint("runs/pets/last.safetensors").epoch == 2
    assert "data      other pets" in minicnn_("evaluate", "runs/pets", "--data", "other pets").out


def test_resume_refuses_other_pictures(minicnn_):
    """Of another number of them, other ones would be held out: some that were learned from."""
    before = Path("runs/pets/last.safetensors").read_bytes()
    more = ("train", "--resume", "runs/pets", "--epochs", "2", "--data", "other pets")
    fresh = Path("other pets/Cat/new.jpg")
    fresh.write_bytes(Path("other pets/Cat/0.jpg").read_bytes())
    require_one_line(minicnn_(*more), 1, "other pets", "the images were 14 + 2, and are 15 + 2")
    fresh.unlink()
    Path("other pets/Cat").rename("other pets/Tiger")
    require_one_line(minicnn_(*more), 1, "the classes were Cat, Dog, and are Dog, Tiger")
    assert Path("runs/pets/last.safetensors").read_bytes() == before


def test_data_that_is_there_cannot_be_exchanged(minicnn_):
    pet_images(Path("pets"), 8)
    more = ("train", "--resume", "runs/pets", "--epochs", "2", "--data", "other pets")
    require_one_line(minicnn_(*more), 1, "--data other pets contradicts", "--data pets")
