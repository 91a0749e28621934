"""What makes no training is said before anything is written, in the command line's own words."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

import pytest
from helpers_cli import TINY, require_one_line
from helpers_photos import pet_images

from minicnn.cli import runs

QUICK = (
    "--model", "cat_dog_cnn_1_1", "--epochs", "1", "--image-size", "24", "--no-pictures",
    *TINY[2:],
)  # fmt: skip


@pytest.fixture
def pets() -> Path:
    return pet_images(Path("pets"), 4)


@pytest.mark.usefixtures("pets")
@pytest.mark.parametrize(
    ("place", "remedy"),
    [("parent", "Did you mean --data parent/PetImages?"), ("one", "Add a folder for another")],
)
def test_one_class_is_nothing_to_tell_apart(minicnn_, place, remedy):
    shutil.copytree("pets", "parent/PetImages")
    shutil.copytree("pets/Cat", "one/Cat")
    require_one_line(minicnn_("train", "--data", place, *QUICK), 1, "one class", remedy)
    assert not Path("runs").exists()


@pytest.mark.usefixtures("pets")
@pytest.mark.parametrize("part", ["validation", "test"])
def test_parts_with_other_folders_would_have_other_labels(minicnn_, part):
    """With a folder Ant in one part, its cats have the number of the others' dogs."""
    for name in ("train", "validation", "test"):
        shutil.copytree("pets", f"parts/{name}")
    assert minicnn_("train", "--data", "parts", *QUICK, "--out", "right").code == 0
    shutil.copytree("pets/Dog", f"parts/{part}/Ant")
    done = minicnn_("train", "--data", "parts", *QUICK)
    require_one_line(done, 1, "train: Cat, Dog", f"{part}: Ant, Cat, Dog", "the same folders")
    assert not Path("runs").exists()


@pytest.mark.usefixtures("pets")
@pytest.mark.parametrize(
    ("model", "side", "pieces"),
    [
        ("alexnet", 64, ("64×64 is too small", "127×127")),
        ("fcnet", 28, ("--model fcnet makes (3, 2)", "3×28×28", "not (1, 2)")),
    ],
)
def test_a_network_that_cannot_take_the_images(minicnn_, model, side, pieces):
    more = ("--model", model, "--image-size", side, "--backend", "numpy")
    require_one_line(minicnn_("train", "--data", "pets", *more), 1, *pieces)
    assert not Path("runs").exists()


def test_a_failed_start_is_not_the_newest_run(minicnn_):
    """It is the one that --resume goes on with, but it has nothing to answer."""
    minicnn_("train", *TINY, "--epochs", "1", "--no-pictures", "--out", "runs/a")
    minicnn_("train", *TINY, "--epochs", "1", "--lr", "1e30", "--out", "runs/b")
    assert "from runs/a/best.safetensors" in minicnn_("evaluate").out
    assert runs.checkpoint_in(None, prefer="last.safetensors") == Path("runs/b/last.safetensors")
    shutil.rmtree("runs/a")
    require_one_line(minicnn_("evaluate"), 1, "untrained", "--resume runs/b")


def test_commands_that_are_advised_can_be_copied(minicnn_):
    """From a folder whose name a shell would take apart."""
    name = "Mia's pets"
    pet_images(Path(name), 4)
    done = minicnn_("train", "--data", name, *QUICK)
    assert done.code == 0, done.err
    evaluate, predict = (line.split("minicnn ")[1] for line in done.out.splitlines()[-2:])
    assert shlex.split(evaluate) == ["evaluate", f"runs/{name}"]
    assert minicnn_(*shlex.split(evaluate)).code == 0
    assert shlex.split(predict)[:-1] == ["predict", "--run", f"runs/{name}"]
    again = minicnn_("train", "--data", name, *QUICK, "--out", f"runs/{name}")
    assert f"--resume {shlex.quote(f'runs/{name}')})" in again.err


@pytest.mark.parametrize(
    ("arguments", "code", "piece"),
    [
        (("train", "--data", ""), 1, "--data is empty"),
        (("train", "--out", ""), 2, "name is empty"),
        (("train", "pets"), 2, "Did you mean --data pets?"),
        (("data", "download", "pet-images"), 2, "Use fetch, list, check."),
    ],
)
def test_what_was_meant(minicnn_, arguments, code, piece):
    require_one_line(minicnn_(*arguments), code, piece)
    assert not list(Path().iterdir())


@pytest.mark.parametrize("reason", ["", "Unable to allocate 3 TiB"])
def test_out_of_memory(minicnn_, monkeypatch, reason):
    def too_much(*args, **kwargs):
        raise MemoryError(reason) if reason else MemoryError

    monkeypatch.setattr("minicnn.cli.summary.default_size", too_much)
    done = minicnn_("summary", "fcnet")
    require_one_line(done, 1, f"out of memory{f' ({reason})' if reason else ''}. Take")
