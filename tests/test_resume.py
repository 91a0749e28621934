"""Runs that were stopped - by the end, by kill -9, by Ctrl-C - go on to the same bits."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from helpers_training import (
    WHOLE_RUN,
    assert_same_bits,
    files,
    fit,
    loaders,
    make,
    weights,
)
from safetensors import safe_open

from minicnn import io, models, optim
from minicnn.errors import CheckpointError, TrainingError
from minicnn.training import Callback, EarlyStopping, History, Trainer

# ------------------------------------------------------------------------------------------- resume


def assert_same_run(a: Path, b: Path) -> None:
    for name in ("last.safetensors", "best.safetensors", "history.csv"):
        assert (a / name).read_bytes() == (b / name).read_bytes(), name


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """A run of five epochs that nothing interrupted."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    fit(make(callbacks=[EarlyStopping(patience=50)]), 5, out=folder)
    assert files(folder) == WHOLE_RUN
    return folder


@pytest.mark.parametrize("stop", [1, 3])
def test_a_resumed_run_writes_the_same_files(whole, stop, tmp_path):
    fit(make(callbacks=[EarlyStopping(patience=50)]), stop, out=tmp_path / "run")
    trainer = make(seed=1234, lr=9.0, callbacks=[EarlyStopping(patience=50)])
    history = fit(trainer, 5, resume=tmp_path / "run")
    assert len(history) == 5
    assert_same_run(whole, tmp_path / "run")
    assert_same_bits(weights(trainer.model), weights(models.load(whole / "last.safetensors")))


def test_resume_into_another_folder_takes_the_best_along(tmp_path):
    first, second = tmp_path / "a", tmp_path / "b"
    fit(make(lr=0.0), 2, out=first)  # no epoch is better than the first
    kept = (first / "last.safetensors").read_bytes()
    fit(make(seed=9), 4, resume=first / "last.safetensors", out=second)
    assert (first / "last.safetensors").read_bytes() == kept
    assert (second / "best.safetensors").read_bytes() == (first / "best.safetensors").read_bytes()
    assert json.loads((second / "run.json").read_text())["best"]["epoch"] == 1
    assert len(History.from_csv(second / "history.csv")) == 4


def test_resuming_a_finished_run_trains_nothing(whole, tmp_path):
    trainer = make(seed=7)
    history = fit(trainer, 5, resume=whole, out=tmp_path / "run")
    assert len(history) == 5
    assert_same_bits(weights(trainer.model), weights(models.load(whole / "last.safetensors")))


def test_the_best_epoch_is_the_best_of_the_history(whole):
    accuracies = History.from_csv(whole / "history.csv").history["val_accuracy"]
    epoch = io.read_header(whole / "best.safetensors")["epoch"]
    assert epoch == accuracies.index(max(accuracies)) + 1
    page = json.loads((whole / "run.json").read_text())
    assert page["best"] == {
        "monitor": "val_accuracy",
        "value": max(accuracies),
        "epoch": epoch,
    }


def test_the_best_epoch_is_its_weights_alone(tmp_path):
    """Under the model's own names, as any program wants them: no state of Adam, no prefix."""
    trainer = make(config={"classes": ["left", "right"]})
    fit(trainer, 1, out=tmp_path)
    with safe_open(tmp_path / "best.safetensors", "np") as file:
        assert sorted(file.keys()) == sorted(trainer.model.state_dict())
    assert_same_bits(weights(models.load(tmp_path / "best.safetensors")), weights(trainer.model))
    header = io.read_header(tmp_path / "best.safetensors")
    assert (header["epoch"], header["config"]) == (1, {"classes": ["left", "right"]})


BEST = -1  # the epoch that proves the best

CHILD = """
import os, signal, sys
sys.path.insert(0, {tests!r})
import helpers_training as t
from minicnn.training import Callback, EarlyStopping

def die(*args):
    os.kill(os.getpid(), signal.SIGKILL)

class Kill(Callback):
    def on_train_batch_end(self, batch, logs):
        if {where!r} == "batch" and (self.trainer.finished_epochs, batch) == ({epoch}, 2):
            die()

replace = os.replace
def replace_or_die(source, target):
    name = os.path.basename(str(target))
    hit = {where!r}.endswith(name) and trainer.finished_epochs == {epoch} + 1
    if hit and {where!r}.startswith("before"):
        die()
    replace(source, target)
    if hit:
        die()
os.replace = replace_or_die

trainer = t.make(callbacks=[EarlyStopping(patience=50), Kill()])
t.fit(trainer, 5, out={out!r})
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL on this system")
@pytest.mark.parametrize(
    ("where", "epoch"),
    [
        ("batch", 0),
        ("batch", 2),
        ("before last.safetensors", 0),
        ("before last.safetensors", 2),
        ("after last.safetensors", 2),
        ("before best.safetensors", BEST),
        ("after best.safetensors", BEST),
        ("before history.csv", 2),
        ("before run.json", 2),
    ],
)
def test_killed_at_any_moment_it_resumes_to_the_same_bits(whole, where, epoch, tmp_path):
    out = tmp_path / "run"
    if epoch == BEST:
        epoch = io.read_header(whole / "best.safetensors")["epoch"] - 1
    script = CHILD.format(tests=str(Path(__file__).parent), where=where, epoch=epoch, out=str(out))
    child = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, timeout=300
    )
    assert child.returncode == -signal.SIGKILL, child.stderr
    done = io.load_checkpoint(out / "last.safetensors").epoch
    last_was_written = ("after last.safetensors", "before history.csv", "before run.json")
    assert done == epoch + (where in last_was_written)
    fit(make(seed=99, callbacks=[EarlyStopping(patience=50)]), 5, resume=out)
    assert_same_run(whole, out)
    assert files(out) == WHOLE_RUN  # the killed writers' temporary files are gone


def test_resume_refuses_what_does_not_fit(whole, tmp_path):
    for trainer, words in (
        (make(classes=3), "logits.weight is (2, 32) in the file and (3, 32) in the model"),
        (_with_sgd(), "was written with Adam, not SGD"),
    ):
        before = weights(trainer.model)
        with pytest.raises(CheckpointError) as error:
            fit(trainer, 5, resume=whole)
        assert words in str(error.value)
        assert_same_bits(before, weights(trainer.model))
    with pytest.raises(CheckpointError, match=r"nowhere: no such file"):
        fit(make(), 5, resume=tmp_path / "nowhere")
    (tmp_path / "last.safetensors").write_bytes((whole / "last.safetensors").read_bytes()[:-7])
    with pytest.raises(CheckpointError, match=r"last\.safetensors: truncated"):
        fit(make(), 5, resume=tmp_path)


def _with_sgd() -> Trainer:
    trainer = make()
    trainer.optimizer = optim.SGD(trainer.model.parameters(), lr=0.1)
    return trainer


# -------------------------------------------------------------------------- never losing a run


def test_a_longer_run_is_not_overwritten(tmp_path):
    out = tmp_path / "run"
    fit(make(), 2, out=out)
    before = {name: (out / name).read_bytes() for name in files(out)}
    with pytest.raises(TrainingError) as error:
        fit(make(), 5, out=out)
    assert "holds a run of 2 epochs" in str(error.value)
    assert f"resume='{out}'" in str(error.value)
    assert "\n" not in str(error.value)
    assert before == {name: (out / name).read_bytes() for name in files(out)}
    fit(make(), 1, out=out, overwrite=True)
    assert io.load_checkpoint(out / "last.safetensors").epoch == 1


def test_going_back_to_an_earlier_epoch_needs_a_new_folder(tmp_path):
    run = tmp_path / "run"
    trainer = make()
    fit(trainer, 1, out=run)
    trainer.save(run / "first.safetensors")
    fit(make(), 3, resume=run)
    with pytest.raises(TrainingError, match=r"holds a run of 3 epochs, .* starting at epoch 2"):
        fit(make(), 5, resume=run / "first.safetensors")
    other = fit(make(), 2, resume=run / "first.safetensors", out=tmp_path / "other")
    assert len(other) == 2
    with pytest.raises(CheckpointError, match=r"best\.safetensors holds weights, but no training"):
        fit(make(), 5, resume=run / "best.safetensors")


def test_an_unreadable_run_is_not_overwritten(tmp_path):
    (tmp_path / "last.safetensors").write_bytes(b"precious")
    with pytest.raises(TrainingError, match=r"last\.safetensors is there and cannot be read"):
        fit(make(), 1, out=tmp_path)
    assert (tmp_path / "last.safetensors").read_bytes() == b"precious"


# ------------------------------------------------------------------------------------------- Ctrl-C


class Press(Callback):
    """Ctrl-C, `times` times, at one batch (or at an epoch's end)."""

    def __init__(self, epoch: int, batch: int | None, times: int = 1) -> None:
        self.at, self.times = (epoch, batch), times

    def on_train_batch_end(self, batch, logs):
        if (self.trainer.finished_epochs, batch) == self.at:
            for _ in range(self.times):
                signal.raise_signal(signal.SIGINT)

    def on_epoch_end(self, epoch, logs):
        if (epoch, None) == self.at:
            signal.raise_signal(signal.SIGINT)


def test_ctrl_c_saves_what_was_learned_and_the_run_can_go_on(whole, tmp_path, capsys):
    out = tmp_path / "run"
    handler = signal.getsignal(signal.SIGINT)
    trainer = make(callbacks=[EarlyStopping(patience=50), Press(2, 1)])
    history = fit(trainer, 5, out=out)
    assert signal.getsignal(signal.SIGINT) is handler
    assert history.interrupted
    assert len(history) == 2
    assert "stopping after this batch" in capsys.readouterr().err
    assert files(out) == sorted([*WHOLE_RUN, "interrupted.safetensors"])
    learned = models.load(out / "interrupted.safetensors")
    assert_same_bits(weights(learned), weights(trainer.model))
    assert json.loads((out / "run.json").read_text())["interrupted"] is True

    again = make(seed=0, callbacks=[EarlyStopping(patience=50)])
    history = fit(again, 5, resume=out)
    assert not history.interrupted
    assert_same_run(whole, out)
    assert files(out) == WHOLE_RUN


def test_ctrl_c_between_epochs_leaves_nothing_half_done(tmp_path):
    history = fit(make(callbacks=[Press(1, None)]), 5, out=tmp_path)
    assert history.interrupted
    assert len(history) == 2
    assert files(tmp_path) == WHOLE_RUN


def test_ctrl_c_during_validation_does_not_count_the_epoch(tmp_path):
    trainer = make()
    train, validation = loaders()

    class Pressing(list):
        def __iter__(self):
            for batch in list.__iter__(self):
                signal.raise_signal(signal.SIGINT)
                yield batch

    history = trainer.fit(train, Pressing(validation), epochs=3, out=tmp_path, progress=False)
    assert history.interrupted
    assert len(history) == 0
    assert "interrupted.safetensors" in files(tmp_path)
    with pytest.raises(TrainingError, match="would overwrite"):
        fit(make(), 3, out=tmp_path)  # what was learned stays
    fresh = Trainer(trainer.model, trainer.optimizer, trainer.loss)
    assert trainer.evaluate(validation) == fresh.evaluate(validation)  # the request is forgotten


def test_a_second_ctrl_c_aborts_at_once_and_leaves_the_files_whole(tmp_path):
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        fit(make(callbacks=[Press(1, 0, times=2)]), 5, out=tmp_path)
    assert signal.getsignal(signal.SIGINT) is handler
    assert files(tmp_path) == WHOLE_RUN
    assert io.load_checkpoint(tmp_path / "last.safetensors").epoch == 1


def test_training_in_another_thread_leaves_signals_alone():
    found = []
    thread = threading.Thread(target=lambda: found.append(fit(make(), 1)))
    thread.start()
    thread.join()
    assert len(found[0]) == 1


def test_an_ignored_ctrl_c_stays_ignored():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        assert not fit(make(callbacks=[Press(0, 0)]), 1).interrupted
    finally:
        signal.signal(signal.SIGINT, before)
