"""The process in which a file's kernels run, so that nothing they do can end the examination.

It is asked on standard input and answers on standard output, in pickles. The file's own prints go
to standard error, so they cannot get between the answers.
"""

from __future__ import annotations

import faulthandler
import importlib.util
import os
import pickle
import signal
import sys
import threading
from pathlib import Path
from types import ModuleType
from typing import Any

from minicnn.contract.perform import Performer, Reply
from minicnn.contract.targets import InAFile, advice, found_in


def serve(file: str, timeout: str, crash_log: str) -> None:
    """Import `file`, tell what is in it, and perform calls until there are no more."""
    InAFile.inside = True
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that asks
    questions, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    faulthandler.enable(Path(crash_log).open("w"))  # noqa: SIM115 (open as long as the process)
    watch = _Watch(answers, float(timeout), Performer(file))
    watch.say("started")
    with watch:
        try:
            module = import_file(file)
            answer: Any = found_in(module)
        except (Exception, SystemExit) as error:
            answer = Reply(_import_error(error, watch.perform), fatal=True)
        watch.done(answer)
    while True:
        try:
            call = pickle.load(questions)
        except EOFError:
            return
        with watch:
            watch.done(watch.perform(getattr(module, call.kernel), call))


def import_file(file: str) -> ModuleType:
    """Import a Python file by its path; its folder is searched for what it imports."""
    path = Path(file)
    sys.path.insert(0, str(path.parent))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ImportError("it is no Python file: its name does not end in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault(path.stem, module)
    spec.loader.exec_module(module)
    return module


def _import_error(error: BaseException, perform: Performer) -> str:
    if isinstance(error, SyntaxError) and error.filename == perform.file:
        text = (error.text or "").strip()
        return f"{type(error).__name__}: {error.msg} (line {error.lineno}: {text})"
    return perform.in_words(error)


class _Watch:
    """Answers for code that does not end: after the time limit, with the line where it is."""

    def __init__(self, answers: Any, timeout: float, perform: Performer) -> None:
        self.perform = perform
        self._answers, self._timeout = answers, timeout
        self._main = threading.get_ident()
        self._speaking = threading.Lock()
        self._answered = False

    def __enter__(self) -> None:
        self._answered = False
        self._timer = threading.Timer(self._timeout, self._late)
        self._timer.daemon = True
        self._timer.start()

    def __exit__(self, *exc: object) -> None:
        self._timer.cancel()

    def say(self, answer: Any) -> None:
        """Send an answer."""
        pickle.dump(answer, self._answers)
        self._answers.flush()

    def done(self, answer: Any) -> None:
        """Send the answer of the call."""
        with self._speaking:
            self._answered = True
            self.say(answer)

    def _late(self) -> None:
        with self._speaking:
            if self._answered:
                return
            place = self.perform.where(sys._current_frames().get(self._main))
            trouble = f"No result after {self._timeout:g} s{place}. {advice(self._timeout)}"
            self.say(Reply(trouble, seconds=self._timeout, fatal=True))
            os._exit(1)  # nothing else stops a loop in the main thread
