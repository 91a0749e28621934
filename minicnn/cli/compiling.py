"""While kernels are compiled: something to look at, and a Ctrl-C that is heard."""

from __future__ import annotations

import _thread
import math
import signal
import sys
import threading
import time
from typing import Any

import click

from minicnn import doctor

PATIENCE = 1.0  # seconds of compiling before anything is shown


class Compiling:
    """Inside the `with` block, a bar of compiled functions once compiling takes more than a moment.

    Whatever else takes long there shows nothing, and neither do kernels that come from the cache.
    Without a terminal it is one line. Ctrl-C is sent again until it is heard: Python drops an
    exception that is raised while LLVM calls back into it, as LLVM does all the time.

    Args:
        what: the words before the bar.
        total: how many functions there will be; None if nobody knows.
    """

    def __init__(self, what: str, total: int | None = None) -> None:
        self.what = what
        self.total = total
        self._pressed = False
        self._over = threading.Event()
        self._watcher = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Compiling:
        # Signals reach the main thread only; elsewhere (a test) they are somebody else's.
        self._main = threading.current_thread() is threading.main_thread()
        if self._main:
            self._handler, self._hook = signal.getsignal(signal.SIGINT), sys.unraisablehook
            if self._handler is signal.default_int_handler:
                signal.signal(signal.SIGINT, self._press)
            sys.unraisablehook = self._report
        self._watcher.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._over.set()
        self._watcher.join()
        if self._main:
            sys.unraisablehook = self._hook
            signal.signal(signal.SIGINT, self._handler)

    def _press(self, signum: int, frame: Any) -> None:
        self._pressed = True
        if not self._over.is_set():
            raise KeyboardInterrupt

    def _report(self, dropped: Any) -> None:
        if not isinstance(dropped.exc_value, KeyboardInterrupt):
            self._hook(dropped)

    def _watch(self) -> None:
        before, started, bar = doctor.built(), math.inf, None
        while not self._over.wait(0.1):
            if self._pressed:
                _thread.interrupt_main()
            if started == math.inf and doctor.built() > before:
                started = time.perf_counter()
            if bar is not None:
                bar.n = doctor.compiled()
                if bar.total is not None:
                    bar.n = min(bar.n, bar.total)
                bar.refresh()
            elif time.perf_counter() - started > PATIENCE:
                bar = self._bar()
        if bar is not None:
            bar.close()

    def _bar(self) -> Any:
        from tqdm import tqdm

        live = sys.stderr.isatty()
        if not live:
            click.echo(f"{self.what} …", err=True)
        known = "{desc}  {bar}  {n_fmt}/{total_fmt}, {elapsed}"
        unknown = "{desc}: {n_fmt} functions, {elapsed}"
        return tqdm(
            total=self.total, desc=self.what, disable=not live, leave=False, ncols=79, nrows=20,
            bar_format=unknown if self.total is None else known,
        )  # fmt: skip
