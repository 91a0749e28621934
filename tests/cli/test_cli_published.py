"""Published photographs by their names, wherever a folder could be named."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from helpers_cli import TINY, require_one_line
from helpers_site import photographs, published

from minicnn import io
from minicnn.datasets.published import PUBLISHED, published_as

CONTENT = photographs(3, 40)
QUICK = (
    "--model",
    "cat_dog_cnn_1_1",
    "--epochs",
    "1",
    "--image-size",
    "24",
    "--no-pictures",
    *TINY[2:],
)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """A small data set is published; its archive lies in the data folder, as if fetched."""
    folder = tmp_path / "cache"
    folder.mkdir()
    monkeypatch.setenv("MINICNN_DATA_DIR", str(folder))
    monkeypatch.setitem(PUBLISHED, "tiny-pets", published(CONTENT, "https://pets.invalid/tiny.zip"))
    (folder / "tiny.zip").write_bytes(CONTENT)
    return folder


def test_what_was_fetched_is_trained_on_evaluated_and_predicted_by_its_name(minicnn_, cache):
    assert minicnn_("data", "fetch", "tiny-pets").code == 0
    done = minicnn_("train", "--data", "TinyPets", *QUICK)  # in any spelling
    assert done.code == 0, done.err
    assert "tiny-pets: 6 to train, 6 to validate" in done.out
    run = Path("runs/tiny-pets")
    settings = io.read_header(run / "best.safetensors")["config"]["settings"]
    assert (settings["data"], settings["skip_broken"]) == ("tiny-pets", False)
    by_itself = minicnn_("evaluate", run)
    assert by_itself.code == 0, by_itself.err
    by_name = minicnn_("evaluate", run, "--data", "tiny_pets", "--split", "validation")
    by_path = minicnn_("evaluate", run, "--data", cache / "tiny", "--split", "validation")
    assert by_name.code == by_path.code == 0
    row = next(line for line in by_path.out.splitlines() if line.startswith("validation"))
    assert row in by_name.out
    assert row in by_itself.out
    picture = cache / "tiny" / "validation" / "cats" / "0.jpg"
    assert minicnn_("predict", "--run", run, picture).code == 0
    assert minicnn_("train", "--resume", run, "--data", "tinypets", "--epochs", "2").code == 0


@pytest.mark.parametrize("command", ["train", "evaluate"])
def test_what_was_not_fetched_says_how_in_one_line(minicnn_, run, cache, command):
    arguments = ("train",) if command == "train" else ("evaluate", run)
    done = minicnn_(*arguments, "--data", "Tiny-Pets")
    require_one_line(done, 1, f"is not in {cache}", "0.0 MB", "minicnn data fetch tiny-pets")
    assert not (cache / "tiny").exists()


def test_a_run_on_data_that_is_gone_says_so(minicnn_, cache):
    minicnn_("data", "fetch", "tiny-pets")
    minicnn_("train", "--data", "tiny-pets", *QUICK)
    shutil.rmtree(cache / "tiny")
    require_one_line(minicnn_("evaluate"), 1, "minicnn data fetch tiny-pets")


def test_a_folder_of_that_name_comes_first(minicnn_, cache):
    minicnn_("data", "fetch", "tiny-pets")
    shutil.copytree(cache / "tiny", "tiny-pets")
    Path("tiny-pets/train/cats/0.jpg").unlink()
    done = minicnn_("train", "--data", "tiny-pets", *QUICK)
    assert "tiny-pets: 5 to train" in done.out, done.err


def test_pictures_that_are_known_to_be_damaged_are_skipped_without_being_told(minicnn_, cache):
    minicnn_("data", "fetch", "tiny-pets")
    PUBLISHED["tiny-pets"] = replace(PUBLISHED["tiny-pets"], damaged=1)
    (cache / "tiny" / "train" / "cats" / "1.jpg").write_bytes(b"")
    refused = minicnn_("train", "--data", "tiny-pets", "--no-skip-broken", *QUICK)
    require_one_line(refused, 1, "1.jpg is empty")
    done = minicnn_("train", "--data", "tiny-pets", *QUICK)
    assert done.code == 0, done.err
    assert "tiny-pets: 5 to train, 6 to validate" in done.out
    assert re.search("^skipped   1 picture that cannot be decoded: .*/cats/1.jpg$", done.out, re.M)
    assert "which, and why: minicnn data check tiny-pets\n" in done.out
    checked = minicnn_("data", "check", "tiny-pets", "--list")
    assert (checked.code, checked.out.split()) == (1, [str(cache / "tiny/train/cats/1.jpg")])


def test_the_names_of_what_is_published():
    assert published_as("PetImages") == published_as("pet_images") == "pet-images"
    assert published_as("pets") is None
    assert PUBLISHED["pet-images"].damaged == 2
