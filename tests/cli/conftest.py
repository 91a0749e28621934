"""Fixtures of the command line's tests."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from helpers_cli import TINY, Done

from minicnn.cli import main


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Every test works in an empty folder, and with no settings of the developer's."""
    monkeypatch.chdir(tmp_path)
    for name in ("MINICNN_BACKEND", "MINICNN_NUM_THREADS", "MINICNN_DEBUG"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def minicnn_(capsys):
    """Run a command in this process, as the entry point does."""

    def run(*arguments: object) -> Done:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([str(a) for a in arguments])
        return Done(ended.value.code or 0, *capsys.readouterr())

    return run


@pytest.fixture(scope="session")
def trained(tmp_path_factory) -> Path:
    """The folder of a run: two epochs of a few images. Copy it to change it."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    with pytest.raises(SystemExit) as ended:
        main(["train", *TINY, "--epochs", "2", "--out", str(folder)])
    assert not ended.value.code
    return folder


@pytest.fixture
def run(trained, tmp_path) -> Path:
    """A copy of that run in the working folder."""
    return Path(shutil.copytree(trained, tmp_path / "run"))
