"""Running the command line in tests."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass

TINY = ("--train-images", "48", "--batch-size", "16", "--backend", "numpy", "--threads", "1")


@dataclass
class Done:
    """How a command ended, and what it printed."""

    code: int
    out: str
    err: str


def command(*arguments: object, **more) -> subprocess.Popen:
    """Start a command in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "minicnn", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **more,
    )


def finished(*arguments: object, **more) -> Done:
    """Run a command in a process of its own."""
    process = command(*arguments, **more)
    out, err = process.communicate(timeout=120)
    return Done(process.returncode, out, err)


def require_one_line(done: Done, code: int, *pieces: str) -> None:
    """The command failed with this code and one line that says all of `pieces`."""
    assert done.code == code, done
    lines = done.err.splitlines()
    assert len(lines) == 1, done.err
    assert lines[0].startswith("minicnn: error: ")
    assert "Traceback" not in done.out + done.err
    for piece in pieces:
        assert piece in lines[0], (piece, lines[0])


def narrow(text: str) -> bool:
    """Whether the text fits a terminal of 80 columns."""
    return max(map(len, text.splitlines())) <= 80
