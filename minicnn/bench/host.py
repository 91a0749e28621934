"""The process in which one contender runs: it makes a case's inputs, computes, and takes the time.

    python host.py CONTENDER.py

It is run by its path, in whatever environment the contender needs, with the standard library and
NumPy alone: minicnn need not be there. It is asked on standard input and answers on standard
output, a line of JSON each; what a framework prints goes to standard error. A contender is a file
with two functions:

    start(count, options) -> {name: version}            use `count` threads; called once
    prepare(case, arrays) -> Prepared                   a case with its inputs (NumPy, float32)

and perhaps `synchronise()`, which waits for a device's queue. Of what `prepare` returns, `run()`
computes once, and all of it before it returns (or before `synchronise` does); `outputs()` gives
{name: array} in the case's own layout, and may leave a `path` in what was prepared: in a word,
which of several ways the contender took. For what a contender does not offer, `prepare` raises
NotImplementedError with a reason.
"""

from __future__ import annotations

import sys

if __name__ == "__main__":
    del sys.path[0]  # this folder: its files are named as they like, and would hide packages

import contextlib
import gc
import importlib.util
import json
import os
import signal
import statistics
import time
import traceback
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

WARM_UP = 0.02  # seconds of warm-up calls directly before a timing
CALLS = 3  # at least, in a timing ...
LONG = 1.0  # ... but calls of more than so many seconds are timed once
LARGE = 1 << 20  # bytes of inputs
SAMPLE = 2e-4  # seconds: shorter calls are timed several at once


def main(file: str) -> None:
    """Answer questions until there are no more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that asks
    questions, answers = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    host = Host(file)
    for line in questions:
        try:
            answer = host.answer(json.loads(line))
        except NotImplementedError as error:
            answer = {"not offered": str(error)}
        except Exception as error:
            traceback.print_exc()
            answer = {"error": in_a_line(error)}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


class Host:
    """A contender, and the case that it has prepared."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.module: Any = None
        self.prepared: Any = None
        self.large = False

    def answer(self, question: dict[str, Any]) -> dict[str, Any]:
        """Do what is asked: start, prepare, outputs, time or release."""
        tasks: dict[str, Callable[..., dict[str, Any]]] = {
            "start": self.start,
            "prepare": self.prepare,
            "outputs": self.outputs,
            "time": self.time,
            "release": self.release,
        }
        return tasks[question.pop("do")](**question)

    def start(self, count: int, options: dict[str, Any]) -> dict[str, Any]:
        self.module = import_file(self.file)
        versions = {"python": sys.version.split()[0], **self.module.start(count, options)}
        return {"versions": versions}

    def prepare(self, case: dict[str, Any]) -> dict[str, Any]:
        arrays = draw(case)
        self.large = sum(a.nbytes for a in arrays.values()) > LARGE
        self.prepared = self.module.prepare(case, arrays)
        return {}

    def outputs(self, folder: str) -> dict[str, Any]:
        """Save each output as a .npy file in `folder`."""
        files = {}
        for i, (name, array) in enumerate(self.prepared.outputs().items()):
            files[name] = str(Path(folder) / f"{i}.npy")
            np.save(files[name], array)
        path = getattr(self.prepared, "path", "")
        return {"outputs": files} | ({"path": path} if path else {})

    def time(self, seconds: float, pause: float) -> dict[str, Any]:
        """After a pause and a warm-up, the median seconds of a call; memory before and after."""
        wait = getattr(self.module, "synchronise", None)
        time.sleep(pause)
        call_seconds = warm_up(self.prepared.run, wait)
        forget_peak()
        before = resident()
        samples = clock(self.prepared.run, wait, call_seconds, seconds)
        return {
            "seconds": statistics.median(samples),
            "samples": len(samples),
            "growth": None if before is None else (resident() or 0) - before,
            "peak": peak(),
        }

    def release(self) -> dict[str, Any]:
        self.prepared = None
        if self.large:  # what only a cycle holds must not wait beside the next case's memory
            gc.collect()
        return {}


# -------------------------------------------------------------------------------------- time


def warm_up(run: Callable[[], Any], wait: Callable[[], Any] | None) -> float:
    """Call `run` for a while; return the seconds of the last call."""
    end = time.perf_counter() + WARM_UP
    while True:
        start = time.perf_counter()
        run()
        if wait:
            wait()
        now = time.perf_counter()
        if now >= end:
            return now - start


def clock(
    run: Callable[[], Any], wait: Callable[[], Any] | None, expected: float, seconds: float
) -> list[float]:
    """Seconds of a call, again and again for at least `seconds`; `expected` is a first guess."""
    inner = max(1, round(SAMPLE / max(expected, 1e-9)))
    samples: list[float] = []
    begin = time.perf_counter()
    while True:
        start = time.perf_counter()
        for _ in range(inner):
            run()
        if wait:
            wait()
        now = time.perf_counter()
        samples.append((now - start) / inner)
        if now - begin >= seconds and (len(samples) >= CALLS or samples[-1] >= LONG):
            return samples


# ------------------------------------------------------------------------------------ memory


def resident() -> int | None:
    """Bytes of memory that the process holds; None where the system does not say."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return None


def forget_peak() -> None:
    """Begin a new peak of memory, where the system lets us (Linux)."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak() -> int | None:
    """The most bytes held since `forget_peak`; None where the system does not say."""
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError):
        pass
    return None


# ------------------------------------------------------------------------------------ inputs


def draw(case: dict[str, Any]) -> dict[str, np.ndarray]:
    """The inputs of a case, float32 in [-0.5, 0.5) by name and seed: the same ones everywhere.

    Names that say so get something else: `labels` are class numbers, a model's `….weight` is
    scaled as in He's initialisation, but a vector `….weight`, and a variance, is near 1. Gradients
    `grad …` stay away from 0, where Adam's step is decided by its eps.
    """
    return {name: _drawn(name, shape, case) for name, shape in case["tensors"].items()}


def _drawn(name: str, shape: list[int], case: dict[str, Any]) -> np.ndarray:
    rng = np.random.default_rng(zlib.crc32(f"{case['key']} {name}".encode()))
    if name == "labels":
        return rng.integers(case["arguments"]["classes"], size=shape)
    values = rng.random(shape, np.float32) - np.float32(0.5)
    if name.startswith("grad "):
        return values + np.copysign(np.float32(0.1), values)
    last = name.rpartition(".")[2] if "." in name else ""
    if last == "running_var" or name == "running var" or (last == "weight" and len(shape) == 1):
        return values / 2 + 1
    if last == "weight":
        fan_in = values[0].size
        return values * np.float32((24 / fan_in) ** 0.5)  # variance 2/fan_in; of values: 1/12
    return values / 4 if last == "bias" else values


# --------------------------------------------------------------------------------- the file


def import_file(file: str) -> Any:
    """Import a Python file by its path, under a name that hides no package.

    What lies beside it can be imported too, if nothing else has that name.
    """
    sys.path.append(str(Path(file).parent))
    spec = importlib.util.spec_from_file_location(f"contender_{Path(file).stem}", file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def in_a_line(error: BaseException) -> str:
    """An exception as one line of moderate length."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:300]}" if text else type(error).__name__


if __name__ == "__main__":
    main(sys.argv[1])
