"""Going on with a run, and losing none: resume, replace, full disks, Ctrl-C."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from helpers_cli import TINY, command, finished, require_one_line

from minicnn import models
from minicnn.cli.compiling import Compiling
from minicnn.io import load_checkpoint, load_weights, read_header


def test_resume_gives_the_bits_of_an_uninterrupted_run(minicnn_, trained):
    minicnn_("train", *TINY, "--epochs", "1", "--no-pictures", "--out", "two")
    middle = Path("two/last.safetensors").read_bytes()
    done = minicnn_("train", "--resume", "two", "--epochs", "2", "--threads", "2", "--no-pictures")
    assert done.code == 0, done.err
    assert "after epoch 1, from two/last.safetensors" in done.out
    assert Path("two/last.safetensors").read_bytes() != middle
    for name in ("last.safetensors", "history.csv"):
        assert Path("two", name).read_bytes() == (trained / name).read_bytes(), name
    # The best epoch was the first, of a run that was asked for one: only that is different.
    best, expected = (f / "best.safetensors" for f in (Path("two"), trained))
    assert read_header(best)["epoch"] == read_header(expected)["epoch"]
    kept = load_weights(best)
    for key, weights in load_weights(expected).items():
        np.testing.assert_array_equal(kept[key].numpy(), weights.numpy())


def test_a_run_without_a_finished_epoch_answers_nothing(minicnn_):
    """The folder that a run leaves which failed, or was killed, in its first epoch."""
    arguments = ("train", *TINY, "--epochs", "1", "--no-pictures", "--lr", "1e30", "--out", "bad")
    require_one_line(minicnn_(*arguments), 1, "the loss is")
    assert sorted(p.name for p in Path("bad").iterdir()) == ["last.safetensors"]
    for ask in (("evaluate", "bad"), ("summary", "bad")):
        require_one_line(minicnn_(*ask), 1, "untrained", "minicnn train --resume bad")


def test_resume_without_a_name_takes_the_newest_run(minicnn_):
    arguments = ("train", *TINY, "--epochs", "1", "--no-pictures")
    minicnn_(*arguments)
    minicnn_(*arguments)
    os.utime("runs/cats-vs-dogs/last.safetensors", (1, 1))
    done = minicnn_("train", "--resume", "--epochs", "2", "--no-pictures")
    assert "from runs/cats-vs-dogs-2/last.safetensors" in done.out
    assert load_checkpoint("runs/cats-vs-dogs-2/last.safetensors").epoch == 2
    assert load_checkpoint("runs/cats-vs-dogs/last.safetensors").epoch == 1


def test_resume_into_another_folder_leaves_the_first_alone(minicnn_, run):
    before = {path: path.read_bytes() for path in run.iterdir()}
    done = minicnn_("train", "--resume", run, "--epochs", "3", "--out", "more", "--no-pictures")
    assert done.code == 0, done.err
    assert load_checkpoint("more/last.safetensors").epoch == 3
    assert {path: path.read_bytes() for path in run.iterdir()} == before


def test_resume_of_a_finished_run_says_how_to_get_more(minicnn_, run):
    done = minicnn_("train", "--resume", run)
    assert done.code == 0, done.err
    assert "all 2 epochs were there. More of them: --epochs 4" in done.out


@pytest.mark.parametrize(
    ("options", "pieces"),
    [
        (("--lr", "0.1"), ("--lr 0.1", "--lr 0.002")),
        (("--seed", "1"), ("--seed 1", "--seed 0")),
        (("--model", "fcnet"), ("--model fcnet", "cat_dog_cnn_1_3")),
        (("--batch-size", "8"), ("--batch-size 8", "--batch-size 16")),
        (("--backend", "loops"), ("--backend loops", "--backend numpy")),
        (("--no-flip",), ("--no-flip", "--flip")),
        (("--epochs", "1"), ("--epochs 1", "has 2 already")),
    ],
)
def test_resume_refuses_what_contradicts_the_run(minicnn_, run, options, pieces):
    before = (run / "last.safetensors").read_bytes()
    require_one_line(minicnn_("train", "--resume", run, *options), 1, *pieces)
    assert (run / "last.safetensors").read_bytes() == before


def test_resume_takes_options_that_agree(minicnn_, run):
    done = minicnn_("train", "--resume", run, "--lr", "0.002", "--seed", "0", "--no-pictures")
    assert done.code == 0, done.err


# ----------------------------------------------------------------------------- nothing gets lost


def test_a_run_is_not_replaced_unless_asked(minicnn_, run):
    before = {path: path.read_bytes() for path in run.iterdir()}
    arguments = ("train", *TINY, "--epochs", "1", "--seed", "3", "--no-pictures", "--out", run)
    require_one_line(minicnn_(*arguments), 1, "run", "--resume", "--overwrite")
    assert {path: path.read_bytes() for path in run.iterdir()} == before
    done = minicnn_(*arguments, "--overwrite")
    assert done.code == 0, done.err
    assert load_checkpoint(run / "last.safetensors").epoch == 1
    assert not (run / "curves.png").exists()  # of the run that was there


def test_resume_from_an_earlier_epoch_does_not_replace_the_last(minicnn_, run):
    shutil.copy(run / "last.safetensors", run / "earlier.safetensors")
    done = minicnn_("train", "--resume", run / "earlier.safetensors", "--epochs", "3")
    require_one_line(done, 1, "last.safetensors", "--out")


def test_resume_from_the_best_says_that_it_is_weights_alone(minicnn_, run):
    done = minicnn_("train", "--resume", run / "best.safetensors", "--epochs", "3")
    require_one_line(done, 1, "best.safetensors", "weights alone", f"--resume {run}")


@pytest.mark.skipif(sys.platform == "win32", reason="no such limits there")
def test_a_full_disk_is_one_line_and_keeps_what_was_there(run):
    """A limit on the size of files refuses a write as a full disk does."""
    import resource

    before = (run / "last.safetensors").read_bytes()
    limit = len(before) // 2

    def fill() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    done = finished("train", "--resume", run, "--epochs", "3", preexec_fn=fill)
    require_one_line(done, 1, "safetensors", "cannot write")
    assert (run / "last.safetensors").read_bytes() == before


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write")
def test_a_read_only_folder_is_one_line(minicnn_, tmp_path):
    tmp_path.chmod(0o500)
    try:
        require_one_line(minicnn_("train", *TINY), 1, "runs", "permission denied")
    finally:
        tmp_path.chmod(0o700)


# ---------------------------------------------------------------------------------------- Ctrl-C


@pytest.mark.skipif(sys.platform == "win32", reason="signals differ there")
def test_ctrl_c_saves_and_the_run_goes_on_to_the_same_bits(minicnn_):
    # A process of a test runner in the background may have been told to ignore Ctrl-C.
    process = command(
        "train", *TINY, "--epochs", "500", "--out", "long",
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    assert process.stdout is not None
    for line in process.stdout:
        if re.match(r" +2/500 ", line):
            break
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "Traceback" not in out + err
    assert "what was learned is saved" in out
    assert "minicnn train --resume long" in out
    done = load_checkpoint("long/last.safetensors").epoch
    assert 2 <= done < 500
    assert f"after {done} epochs" in out
    if Path("long/interrupted.safetensors").exists():  # the signal came within an epoch
        assert models.load("long/interrupted.safetensors").recipe["name"] == "cat_dog_cnn_1_3"
        assert "long/interrupted" not in out
        assert "interrupted.safetensors" in out
    more = str(done + 1)
    assert minicnn_("train", "--resume", "long", "--epochs", more, "--no-pictures").code == 0
    minicnn_("train", *TINY, "--epochs", more, "--out", "straight", "--no-pictures")
    for name in ("last.safetensors", "history.csv"):
        assert Path("long", name).read_bytes() == Path("straight", name).read_bytes()


def compile_and_drop_ctrl_c() -> None:
    with Compiling("compiling"):
        with contextlib.suppress(KeyboardInterrupt):  # as Python does when LLVM calls back
            signal.raise_signal(signal.SIGINT)
        for _ in range(100):
            time.sleep(0.1)


@pytest.mark.skipif(sys.platform == "win32", reason="signals differ there")
def test_a_dropped_ctrl_c_is_sent_again_while_kernels_are_compiled():
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            compile_and_drop_ctrl_c()
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)


def test_ctrl_c_outside_a_training_is_one_line(minicnn_, monkeypatch):
    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("minicnn.cli.summary.default_size", interrupted)
    done = minicnn_("summary", "fcnet")
    assert (done.code, done.err.strip()) == (130, "minicnn: stopped by Ctrl-C.")
