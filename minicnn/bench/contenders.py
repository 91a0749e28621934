"""Who is measured, and the line to a process in which one of them runs.

A contender is a rung of ours, a known peer (`benchmarks/peers` of a checkout), or any file that
`host.py` can run. Each has its own interpreter, so a peer may live in another environment.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import selectors
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from minicnn.errors import ArgumentError, MiniCNNError
from minicnn.kernels import available_backends

GLANCE = 0.2  # seconds between two looks at whether to stop
HERE = Path(__file__).resolve().parent
PEERS_FOLDER = HERE.parent.parent / "benchmarks" / "peers"
PEERS: dict[str, tuple[str, dict[str, Any]]] = {  # file, and options for its start
    "torch": ("peer_torch.py", {}),
    "torch_compiled": ("peer_torch.py", {"compiled": True}),
    "tf": ("peer_tensorflow.py", {}),
    "jax": ("peer_jax.py", {}),
}


class ContenderError(MiniCNNError):
    """A contender that cannot run, gives no answer, or whose process ended."""


class CaseError(MiniCNNError):
    """A case that a contender cannot do, though it goes on; `offered`: it should have."""

    def __init__(self, message: str, offered: bool) -> None:
        super().__init__(message)
        self.offered = offered


@dataclass(frozen=True)
class Contender:
    """Attributes: its name in the tables, its file, its Python, and options for its `start`."""

    name: str
    file: str
    python: str = sys.executable
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def on_gpu(self) -> bool:
        """Whether it is our rung for GPUs, to which the CPU's peaks mean nothing."""
        return self.options.get("rung") == "cupy"


def rung(name: str, **options: Any) -> Contender:
    """One of our own rungs. Raises ArgumentError for one that cannot run here."""
    usable = available_backends()
    if name not in usable:
        raise ArgumentError(f"bench: there is no rung {name!r} here. Use: {', '.join(usable)}.")
    return Contender(name, str(HERE / "ours.py"), options={"rung": name, **options})


def peer(spec: str) -> Contender:
    """A peer from `NAME`, `NAME=/path/to/python`, or with a contender's file in place of NAME.

    Raises ArgumentError for an unknown name, and for a file or Python that is not there.
    """
    name, _, python = spec.partition("=")
    options: dict[str, Any] = {}
    if name.endswith(".py"):
        file = Path(name).resolve()
        name = file.stem
    elif name in PEERS:
        file, options = PEERS_FOLDER / PEERS[name][0], PEERS[name][1]
    else:
        raise ArgumentError(
            f"bench: there is no peer {name!r}. Use {', '.join(PEERS)}, or a contender's file.py."
        )
    if not file.is_file():
        raise ArgumentError(
            f"bench: peer {name!r} would be in {file}, which is not there. The known peers come "
            "with a checkout of the project: install it from there with pip install -e."
        )
    found = shutil.which(python) if python else sys.executable
    if found is None:
        raise ArgumentError(
            f"bench: peer {name!r}: no program {python!r}. Give the path of an environment's "
            f"python, as in --peer {name}=/path/to/venv/bin/python."
        )
    return Contender(name, str(file), found, options)


class Line:
    """A contender's process, asked and answered in lines of JSON.

    Every failure is a ContenderError that names the contender; the process is gone afterwards.
    Setting `stop` ends the waiting with a KeyboardInterrupt.
    """

    def __init__(
        self, contender: Contender, count: int, timeout: float, stop: threading.Event | None = None
    ) -> None:
        self.contender, self.timeout = contender, timeout
        self._stop = stop or threading.Event()
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 (open as long as the process)
        self._rest = b""
        try:
            self._process = subprocess.Popen(
                [contender.python, str(HERE / "host.py"), contender.file],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._said,
            )
        except OSError as error:
            self._said.close()
            raise ContenderError(
                f"{contender.name}: cannot start {contender.python}: {error.strerror}. "
                "Check that it is a Python."
            ) from error
        self._question = {"do": "start", "count": count, "options": contender.options}

    def begin(self) -> dict[str, Any]:
        """Wait until the contender is ready; return the versions that it runs on."""
        try:
            return self.ask(self._question)["versions"]
        except CaseError as error:
            self._fail(f"cannot start in {self.contender.python}: {error}. Install what it lacks")

    def ask(self, question: dict[str, Any]) -> dict[str, Any]:
        """Send a question, and wait for its answer, at most `timeout` seconds.

        Raises CaseError if the contender says that it does not offer that, or raised an error.
        """
        pipe = self._process.stdin
        assert pipe is not None
        try:
            pipe.write(json.dumps(question).encode() + b"\n")
            pipe.flush()
        except OSError:
            self._fail(self._how_it_ended())
        answer = json.loads(self._line())
        if "not offered" in answer:
            raise CaseError(answer["not offered"], offered=False)
        if "error" in answer:
            raise CaseError(answer["error"], offered=True)
        return answer

    def close(self) -> None:
        """End the process, whatever it is doing."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout, self._said):
            if pipe is not None:
                with contextlib.suppress(OSError):  # unsent bytes for a process that is gone
                    pipe.close()

    def _line(self) -> bytes:
        pipe = self._process.stdout
        assert pipe is not None
        end = time.monotonic() + self.timeout
        with selectors.DefaultSelector() as selector:
            selector.register(pipe, selectors.EVENT_READ)
            while b"\n" not in self._rest:
                if self._stop.is_set():
                    raise KeyboardInterrupt
                left = end - time.monotonic()
                if left <= 0:
                    self._fail(f"no answer after {self.timeout:g} s. Give it more with --timeout")
                if not selector.select(min(left, GLANCE)):
                    continue
                piece = os.read(pipe.fileno(), 1 << 16)
                if not piece:
                    self._fail(self._how_it_ended())
                self._rest += piece
        line, _, self._rest = self._rest.partition(b"\n")
        return line

    def _how_it_ended(self) -> str:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(1)
        code = self._process.poll()
        how = f"killed by signal {-code}" if code is not None and code < 0 else f"exit code {code}"
        self._said.seek(max(0, self._said.seek(0, os.SEEK_END) - 4000))
        said = self._said.read().decode(errors="replace").strip().splitlines()
        telling = [line for line in said if re.search("error|abort|fail|kill", line, re.I)] or said
        last = f" ({' '.join(telling[-1].split())[:200]})" if telling else ""
        return f"its process ended, {how}{last}. Leave it out, or mend it"

    def _fail(self, reason: str) -> NoReturn:
        self.close()
        raise ContenderError(f"{self.contender.name}: {reason}.")
