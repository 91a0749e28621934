"""Disks that refuse: the earlier file stays, nothing half-written lies about, one line says why."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from minicnn import io, nn
from minicnn.errors import CheckpointError, MiniCNNError, TrainingError
from minicnn.io import atomic

resource = pytest.importorskip("resource", reason="limits on file sizes are a Unix notion")


def one_line(error: pytest.ExceptionInfo, *words: object) -> None:
    text = str(error.value)
    assert "\n" not in text
    for word in words:
        assert str(word) in text, text


@pytest.fixture
def full_disk():
    """A disk that takes 20,000 bytes a file and then no more, by the system's own limit."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_leaves_the_earlier_file(tmp_path, full_disk):
    path = io.save_weights(nn.Linear(10, 10), tmp_path / "w.safetensors")
    before = path.read_bytes()
    with pytest.raises(CheckpointError) as error:
        io.save_weights(nn.Linear(100, 100), path)
    one_line(error, f"cannot write {path}", "file too large", "Free some space")
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["w.safetensors"]


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_disk_that_fails_late_leaves_the_earlier_file(step, tmp_path, monkeypatch):
    path = io.save_weights(nn.Linear(2, 2), tmp_path / "w.safetensors")
    before = path.read_bytes()

    def fail(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, step, fail)
    with pytest.raises(CheckpointError) as error:
        io.save_weights(nn.Linear(2, 2), path)
    one_line(error, path, "no space left on device")
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["w.safetensors"]


def test_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    place = tmp_path / "file" / "run"
    with pytest.raises(CheckpointError) as error:
        io.save_weights(nn.Linear(1, 1), place / "w.safetensors")
    one_line(error, place / "w.safetensors", "Choose a folder")
    for folder in (place, tmp_path / "file"):
        with pytest.raises(TrainingError) as error:
            io.check_writable(folder)
        one_line(error, folder)
    assert (tmp_path / "file").read_text() == "not a folder"


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs Linux's /proc")
def test_a_file_system_that_takes_no_files_even_from_root():
    with pytest.raises(TrainingError) as error:
        io.check_writable("/proc/self/runs")
    one_line(error, "/proc/self/runs")


def test_check_writable_makes_the_folder_and_leaves_it_empty(tmp_path):
    assert io.check_writable(tmp_path / "a" / "b") == tmp_path / "a" / "b"
    assert list((tmp_path / "a" / "b").iterdir()) == []


def test_an_error_while_writing_leaves_nothing(tmp_path):
    def write(file):
        file.write(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        io.atomic_write(tmp_path / "f", write)
    assert list(tmp_path.iterdir()) == []


def test_leftovers_of_killed_writers_are_removed(tmp_path):
    for name in (".f.12-3.tmp", ".g.12-3.tmp", "f"):
        (tmp_path / name).touch()
    atomic.remove_leftovers(tmp_path / "f")
    assert sorted(p.name for p in tmp_path.iterdir()) == [".g.12-3.tmp", "f"]


def test_two_threads_writing_one_file_leave_one_of_the_two(tmp_path):
    path, errors = tmp_path / "f", []

    def write(letter: bytes):
        try:
            for _ in range(50):
                io.atomic_write(path, lambda file: file.write(letter * 10_000))
        except MiniCNNError as error:
            errors.append(error)

    threads = [threading.Thread(target=write, args=(letter,)) for letter in (b"a", b"b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert path.read_bytes() in (b"a" * 10_000, b"b" * 10_000)
    assert [p.name for p in tmp_path.iterdir()] == ["f"]
