"""Ctrl-C as a request: finish the batch, save, return. A second one aborts at once."""

from __future__ import annotations

import signal
import sys
import threading
from typing import Any


class Interrupt:
    """Inside the `with` block, true once Ctrl-C was pressed.

    The first Ctrl-C only sets the flag, so weights are never left in the middle of a step; then the
    handler from before is back, and a second one raises KeyboardInterrupt wherever the program is.
    Only the main thread can receive signals: elsewhere the flag stays false.
    """

    def __init__(self) -> None:
        self._pressed = False
        self._before: Any = None

    def __bool__(self) -> bool:
        return self._pressed

    def __enter__(self) -> Interrupt:
        self._pressed = False
        self._before = None
        if threading.current_thread() is threading.main_thread():
            handler = signal.getsignal(signal.SIGINT)
            # A handler from C, or a process told to ignore Ctrl-C (nohup): leave it alone.
            if handler not in (None, signal.SIG_IGN):
                self._before = handler
                signal.signal(signal.SIGINT, self._first)
        return self

    def __exit__(self, *exc: object) -> None:
        self._pressed = False
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)

    def _first(self, signum: int, frame: Any) -> None:
        self._pressed = True
        signal.signal(signal.SIGINT, self._before)
        print("\nstopping after this batch (Ctrl-C again: at once)", file=sys.stderr, flush=True)
