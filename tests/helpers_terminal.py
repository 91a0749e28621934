"""What a program writes where a terminal reads it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

on_terminals = pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals there")


def seen_on_terminal(start: Callable[[int], subprocess.Popen[Any]]) -> tuple[int, str, Any]:
    """Return the exit code, the text on the terminal, and what came through a pipe as stdout.

    `start` begins the process, with the terminal's file number as its stderr, or both.
    """
    import pty

    screen, terminal = pty.openpty()
    process = start(terminal)
    os.close(terminal)
    seen = b""
    while True:
        try:
            seen += os.read(screen, 4096)
        except OSError:  # the other end is closed
            break
    os.close(screen)
    out, _ = process.communicate(timeout=60)
    return process.returncode, seen.decode(), out
