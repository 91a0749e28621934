"""Folders with damaged pictures: --skip-broken learns from the others and counts only them."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from helpers_cli import TINY, Done, require_one_line
from helpers_photos import broken_pictures, pet_images

QUICK = (
    "--model", "cat_dog_cnn_1_1", "--epochs", "2", "--image-size", "24", "--no-flip",
    "--no-pictures", *TINY[2:],
)  # fmt: skip
DAMAGED = ("cut.jpg", "page.jpg", "666.jpg")  # the last is empty, which its size alone tells


@pytest.fixture
def folders():
    """sound/ and damaged/: equal, but that two parts of damaged/ have files of no use as well."""
    for part, each in (("train", 8), ("validation", 5), ("test", 6)):
        pet_images(Path("sound") / part, each)
    shutil.copytree("sound", "damaged")
    for part in ("validation", "test"):
        for name in DAMAGED:
            content, _ = broken_pictures()[name]
            (Path("damaged") / part / "Dog" / name).write_bytes(content)


def rows(done: Done) -> dict[str, str]:
    """The lines of evaluate's table by part."""
    assert done.code == 0, done.err
    return {
        part: line
        for line in done.out.splitlines()
        for part in ("train", "validation", "test")
        if re.match(rf"{part} +\d", line)
    }


@pytest.mark.usefixtures("folders")
def test_damaged_pictures_count_in_no_number(minicnn_):
    """The same numbers as without them, though the folder's stand-ins would change all of them."""
    require_one_line(
        minicnn_("train", "--data", "damaged", "--out", "raw", *QUICK), 1, "Dog/666.jpg is empty",
        "--skip-broken", "minicnn data check damaged",
    )  # fmt: skip
    said = {}
    for name in ("sound", "damaged"):
        more = ("--skip-broken",) if name == "damaged" else ()
        done = minicnn_("train", "--data", name, *QUICK, *more)
        assert done.code == 0, done.err
        said[name] = done.out
    history = Path("runs/sound/history.csv").read_text()
    assert Path("runs/damaged/history.csv").read_text() == history
    assert "sound: 16 to train, 10 to validate, 12 to test\n" in said["sound"]
    assert "damaged: 16 to train, 10 to validate, 12 to test, 6 left out\n" in said["damaged"]
    of_12 = [re.search(r"^test .*of 12\)$", text, re.M) for text in said.values()]
    assert of_12[0][0] == of_12[1][0]

    sound = rows(minicnn_("evaluate", "runs/sound"))
    done = minicnn_("evaluate", "runs/damaged")
    assert rows(done) == {part: f"{row}   2 skipped" for part, row in sound.items()}
    assert done.out.count("  Dog") == 2  # the heading and the row of the matrix
    matrix = done.out.splitlines()[-2:]
    assert sum(int(n) for line in matrix for n in re.findall(r"(?<= )\d+(?= )", line)) == 12


@pytest.mark.usefixtures("folders")
def test_what_was_skipped_is_counted_and_can_be_listed(minicnn_):
    """Six files in two parts; evaluate counts those of its rows, without the two empty ones."""
    done = minicnn_("train", "--data", "damaged", "--skip-broken", *QUICK)
    assert "skipped   6 pictures that cannot be decoded, such as damaged/test/Dog/666" in done.out
    assert "which, and why: minicnn data check damaged\n" in done.out
    done = minicnn_("evaluate", "runs/damaged")
    assert "skipped   4 pictures that cannot be decoded, such as damaged/test/Dog/cut" in done.out
    listed = minicnn_("data", "check", "damaged", "--list")
    assert len(listed.out.splitlines()) == 6


@pytest.mark.usefixtures("folders")
def test_evaluate_skips_what_the_run_did_not_know(minicnn_):
    assert minicnn_("train", "--data", "sound", *QUICK).code == 0
    there = ("evaluate", "runs/sound", "--data", "damaged")
    done = minicnn_(*there)
    assert done.err.startswith("minicnn: error: damaged/validation/Dog/666.jpg is empty")
    assert "--skip-broken" in done.err
    sound = rows(minicnn_("evaluate", "runs/sound"))
    found = rows(minicnn_(*there, "--skip-broken"))
    assert found == {part: f"{row}   2 skipped" for part, row in sound.items()}


@pytest.mark.parametrize("more", [(), ("--skip-broken",)])
@pytest.mark.parametrize("content", [None, b"", b"text"])
def test_a_class_without_pictures_is_one_line(minicnn_, content, more):
    """An empty folder, or one in which there is nothing but a file of no use."""
    pet_images(Path("pe ts"), 4)
    Path("pe ts/Bird").mkdir()
    if content is not None:
        Path("pe ts/Bird/0.jpg").write_bytes(content)
    done = minicnn_("train", "--data", "pe ts", *QUICK, *more)
    require_one_line(done, 1, "Bird")
    assert "allow_empty" not in done.err
    if not content and (more or content is None):
        require_one_line(done, 1, "Fill or remove", "minicnn data check 'pe ts'")


@pytest.mark.usefixtures("folders")
def test_a_class_without_a_sound_picture_is_one_line(minicnn_):
    for path in Path("damaged/validation/Cat").iterdir():
        path.write_bytes(b"<!DOCTYPE html>")
    done = minicnn_("train", "--data", "damaged", "--skip-broken", *QUICK)
    require_one_line(done, 1, "no file of class Cat can be loaded")


def test_an_undivided_folder_is_divided_before_its_pictures_are_looked_at(minicnn_):
    """So that a run that is resumed validates on the same pictures, whatever is damaged."""
    pet_images(Path("pets"), 15)
    for k in (1, 4, 11):
        Path(f"pets/Cat/{k}.jpg").write_bytes(b"<!DOCTYPE html>")
    done = minicnn_("train", "--data", "pets", "--skip-broken", *QUICK)
    assert done.code == 0, done.err
    kept, left_out = re.search(
        r"27 to train, (\d) to validate(?:, (\d) left out)?", done.out
    ).groups()
    assert int(kept) + int(left_out or 0) == 3
    done = minicnn_("evaluate", "runs/pets", "--split", "train")
    row = rows(done)["train"].split()
    assert int(row[1]) + int(row[5]) == 27
    assert int(row[5]) + int(left_out or 0) == 3
