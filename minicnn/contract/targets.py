"""Whose kernels are examined: a module in this process, or a file in one of its own."""

from __future__ import annotations

import inspect
import os
import pickle
import queue
import re
import signal
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from minicnn.contract.calls import Call
from minicnn.contract.perform import Performer, Reply
from minicnn.errors import ArgumentError
from minicnn.kernels import kernel_names

RUNGS = ("loops", "numpy", "numba", "cupy")
START = 60.0  # seconds that Python and NumPy may take to start
GRACE = 2.0  # seconds that a process has to tell where it is, after its time is up


class Parameter(NamedTuple):
    """One parameter of a function, as `inspect` describes it."""

    name: str
    kind: str
    optional: bool


class Found(NamedTuple):
    """What a module has.

    Attributes:
        kernels: the contract's kernels in it, each with its parameters; None where they cannot be
            known, and a text that describes what bears the name but is no function.
        others: its other functions.
    """

    kernels: dict[str, tuple[Parameter, ...] | str | None]
    others: tuple[str, ...]


def found_in(module: object) -> Found:
    """Look for kernels in a module, or in any object with attributes."""
    kernels = {k: _parameters(getattr(module, k)) for k in kernel_names() if hasattr(module, k)}
    here = getattr(module, "__name__", None)
    functions = {
        name for name, value in vars(module).items()
        if inspect.isfunction(value) and value.__module__ == here
    } if hasattr(module, "__dict__") else set()  # fmt: skip
    return Found(kernels, tuple(sorted(functions - kernels.keys())))


def _parameters(function: Any) -> tuple[Parameter, ...] | str | None:
    if not callable(function):
        return f"is {function!r}, not a function"
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # compiled code does not always tell
        return None
    return tuple(Parameter(p.name, p.kind.name, p.default is not p.empty) for p in parameters)


class InThisProcess:
    """The kernels of a module or rung that is trusted not to crash: no time limit."""

    def __init__(self, module: object) -> None:
        self.found = found_in(module)
        self._module = module
        self._perform = Performer(getattr(module, "__file__", None))

    def function(self, kernel: str) -> Any:
        """The kernel itself."""
        return getattr(self._module, kernel)

    def ask(self, call: Call) -> Reply:
        """Call the kernel."""
        return self._perform(getattr(self._module, call.kernel), call)

    def close(self) -> None:
        """Nothing was opened."""


class InAFile:
    """The kernels of a Python file, imported in a process of its own.

    Whatever happens there, an endless loop, exit() or a crash, is a reply here; the next call gets
    a new process.

    Args:
        timeout: seconds for each call, and for the import.
        output: what the file prints goes to standard error; else nowhere.

    Raises:
        ArgumentError: a file that is not there, or that cannot be imported.
    """

    inside = False  # whether this process is one of those

    def __init__(self, path: str | os.PathLike[str], timeout: float, output: bool = False) -> None:
        self.path = Path(path).resolve()
        self._given, self._timeout, self._output = str(path), timeout, output
        self._process: subprocess.Popen[bytes] | None = None
        if not self.path.is_file():
            what = "is a folder" if self.path.is_dir() else "no such file"
            raise ArgumentError(
                f"{path}: {what}. Name a Python file, or a rung: {', '.join(RUNGS)}."
            )
        if InAFile.inside:
            raise ArgumentError(
                f"{path}: checked while it is being checked. Call check only "
                'under `if __name__ == "__main__":`.'
            )
        opened, log = tempfile.mkstemp(prefix="minicnn-check-", suffix=".log")
        os.close(opened)
        self._crash_log = Path(log)
        try:
            self.found: Found = self._start()
        except BaseException:
            self.close()
            raise

    def function(self, kernel: str) -> Any:
        """Nothing: it lives in another process."""

    def ask(self, call: Call) -> Reply:
        """Have the process call the kernel."""
        try:
            if self._process is None:
                self._start()
            self._send(call)
            reply = self._receive(self._timeout + GRACE)
        except (_Ended, ArgumentError) as error:
            return Reply(str(error), fatal=True)
        if reply.fatal:
            self._stop()
        return reply

    def close(self) -> None:
        """End the process, and remove its log."""
        self._stop()
        self._crash_log.unlink(missing_ok=True)

    def _start(self) -> Found:
        """Start a process and have it import the file."""
        code = (
            f"import sys; sys.path[:] = {sys.path!r}; "
            "from minicnn.contract.worker import serve; serve(*sys.argv[1:])"
        )
        self._process = subprocess.Popen(
            [sys.executable, "-c", code, str(self.path), str(self._timeout), str(self._crash_log)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=None if self._output else subprocess.DEVNULL,
        )
        self._replies: queue.SimpleQueue[Any] = queue.SimpleQueue()
        threading.Thread(
            target=_read, args=(self._process.stdout, self._replies), daemon=True
        ).start()
        try:
            self._receive(START)  # Python is there
            answer = self._receive(self._timeout + GRACE)
        except _Ended as error:
            raise self._not_imported(str(error)) from None
        if isinstance(answer, Reply):
            self._stop()
            raise self._not_imported(answer.trouble)
        return answer

    def _not_imported(self, trouble: str) -> ArgumentError:
        return ArgumentError(f"{self._given} cannot be imported; mend this first: {trouble}")

    def _send(self, call: Call) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        with suppress(OSError):  # if it has ended, its output says so too
            pickle.dump(call, self._process.stdin)
            self._process.stdin.flush()

    def _receive(self, seconds: float) -> Any:
        try:
            answer = self._replies.get(timeout=seconds)
        except queue.Empty:
            self._stop()
            limit = f"{self._timeout:g} s"
            raise _Ended(f"No result after {limit}. {advice(self._timeout)}") from None
        if answer is None:
            raise _Ended(self._how_it_ended())
        return answer

    def _how_it_ended(self) -> str:
        """The process is gone: in words, with the line of the file if Python could note it."""
        assert self._process is not None
        code = self._process.wait()
        self._stop()
        if code < 0:
            how = f"It crashed the process ({signal.Signals(-code).name})"
        elif code > 255:
            how = f"It crashed the process (exit code {code:#x})"
        else:
            how = f"It ended the process with exit code {code}"
        lines = re.findall(
            rf'File "{re.escape(str(self.path))}", line (\d+)',
            self._crash_log.read_text(encoding="utf-8", errors="replace"),
        )
        return f"{how} (line {lines[0]})." if lines else f"{how}."

    def _stop(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait()
        assert process.stdin is not None
        with suppress(OSError):  # what was not yet sent has nowhere to go
            process.stdin.close()


class _Ended(Exception):
    """The process ended, or its time did."""


def advice(timeout: float) -> str:
    """What to do about a call that takes too long."""
    return f"An endless loop? If it only takes its time: --timeout {6 * timeout:g}."


def _read(stream: Any, replies: queue.SimpleQueue[Any]) -> None:
    """Pass on what the process says; None when it says no more."""
    with stream:
        try:
            while True:
                replies.put(pickle.load(stream))
        except (EOFError, OSError, pickle.UnpicklingError):
            replies.put(None)


Target = InThisProcess | InAFile
