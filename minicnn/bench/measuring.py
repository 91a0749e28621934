"""The run: correctness first, then round after round, each contender in turn in fresh processes.

In a round every contender has a new process; all of them wait, blocked, while one computes. Case
by case each is told to time its calls, in an order that rotates: A B C, B C A, … A pause before
each timing lets the threads of the one before fall asleep (BLAS's and OpenMP's spin for a while).
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from minicnn.bench import ceilings
from minicnn.bench.cases import Case
from minicnn.bench.contenders import CaseError, Contender, ContenderError, Line, rung
from minicnn.bench.figures import error_of, limit

TOLERANCE = 1e-4  # max|a-b| / max|b|, against float64
# The gradients of whole models, which jump where rounding decides on which side of ReLU's kink a
# value is, or which pixel is the largest: in AlexNet, at 32 images, they jumped by up to 0.04 of
# the largest, in several frameworks alike. A mistake in the chain is of the order of 1, and each
# layer by itself is held to TOLERANCE.
JUMPING, JUMP = "gradient of ", 0.1


@dataclass(frozen=True)
class Settings:
    """How a run is done; seconds are of a timing, the pause before it, and the longest wait."""

    threads: int
    rounds: int
    seconds: float = 0.05
    pause: float = 0.2
    timeout: float = 300.0


@dataclass
class Entry:
    """What is known of one contender in one case: why it is out, or a number per round."""

    problem: str = ""
    wrong: bool = False  # out for a reason that fails the run
    path: str = ""  # which of its ways the contender took, if it says so
    errors: dict[str, float] = field(default_factory=dict)  # by output, against the reference
    seconds: list[float | None] = field(default_factory=list)
    growth: list[int | None] = field(default_factory=list)
    peak: list[int | None] = field(default_factory=list)


class Run:
    """A measurement under way; what it holds is complete at any time, for whoever stops it.

    Attributes:
        entries: by case key, then by contender name.
        peaks: {"fma": [GFLOP/s, …], "copy": [GB/s, …]}, several of each from a round.
        limits: by case key, the peak that limits it.
        beside: by case key, that peak in each round, measured in the case's turn.
        versions: of each contender.
        problems: what went wrong, in words.
        rounds_done: whole rounds.
        load: how many processes wanted a core, on average, in the minute before.
        stop: once set, `check` and `round` soon end with a KeyboardInterrupt.
    """

    def __init__(
        self,
        cases: list[Case],
        contenders: list[Contender],
        settings: Settings,
        tell: Callable[[str], None] = lambda step: None,
    ) -> None:
        self.cases, self.contenders, self.settings = cases, contenders, settings
        self.tell = tell
        self.stop = threading.Event()
        self.entries = {case.key: {c.name: Entry() for c in contenders} for case in cases}
        self.peaks: dict[str, list[float]] = {"fma": [], "copy": []}
        self.limits: dict[str, str] = {}
        self.beside: dict[str, list[float | None]] = {case.key: [] for case in cases}
        self.versions: dict[str, dict[str, str]] = {}
        self.problems: list[str] = []
        self.rounds_done = 0
        self.load = round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None
        self._ceilings = Contender("(ceilings)", ceilings.__file__)

    @property
    def steps(self) -> int:
        """How often `tell` is called by `check` and all rounds."""
        return len(self.cases) * (1 + self.settings.rounds)

    # ------------------------------------------------------------------------- correctness

    def check(self) -> None:
        """Hold every contender's outputs against the float64 reference; who differs is out.

        Raises ContenderError if one of them cannot even start.
        """
        reference = replace(rung("numpy", dtype="float64"), name="(reference)")
        with self._lines([reference, *self.contenders]) as lines:
            if self.problems:
                raise ContenderError(self.problems[0])
            for case in self.cases:
                self.tell(f"checking {case.key}")
                with tempfile.TemporaryDirectory(prefix="minicnn-bench-") as folder:
                    expected = self._outputs(lines, reference, case, Path(folder, "expected"))
                    for contender in self.contenders:
                        place = Path(folder, contender.name)
                        got = self._outputs(lines, contender, case, place)
                        if expected is None:
                            self.strike(case, contender.name, "not checked: no reference for it")
                        elif got is not None:
                            self.entries[case.key][contender.name].path = got.get("path", "")
                            self._compare(case, contender.name, got["outputs"], expected["outputs"])

    def _outputs(
        self, lines: _Lines, contender: Contender, case: Case, folder: Path
    ) -> dict[str, Any] | None:
        folder.mkdir()
        question = {"do": "outputs", "folder": str(folder)}
        found = lines.ask(contender, case, {"do": "prepare", "case": case.as_data()}, question)
        lines.ask(contender, case, {"do": "release"})
        return found

    def _compare(
        self, case: Case, name: str, got: dict[str, str], expected: dict[str, str]
    ) -> None:
        entry = self.entries[case.key][name]
        for output, file in expected.items():
            if output not in got:
                self.strike(case, name, f"gives no {output}")
                return
            exact = np.load(file, mmap_mode="r")
            entry.errors[output] = error_of(np.load(got[output], mmap_mode="r"), exact)
        worst = max(entry.errors, key=lambda output: entry.errors[output] / allowed(output))
        if not entry.errors[worst] <= allowed(worst):
            self.strike(
                case,
                name,
                f"wrong: {worst} is off by {entry.errors[worst]:.1e} of its largest value, "
                f"more than {allowed(worst):g}; not timed",
            )

    # ------------------------------------------------------------------------------ rounds

    def round(self) -> None:
        """One number for each contender in each case, from fresh processes."""
        r = self.rounds_done
        alive = [c for c in self.contenders if self._is_needed(c)]
        with self._lines([self._ceilings, *alive]) as lines:
            for peak in ceilings.ceilings():
                self._measure_peak(lines, peak)
            for i, case in enumerate(self.cases):
                self.tell(f"round {r + 1}: {case.key}")
                self._measure(lines, case, _rotated(alive, r + i))
        self.rounds_done += 1

    def _measure(self, lines: _Lines, case: Case, contenders: list[Contender]) -> None:
        entries = self.entries[case.key]
        ready = []
        for contender in contenders:
            if not entries[contender.name].problem:
                found = lines.ask(contender, case, {"do": "prepare", "case": case.as_data()})
                if found is not None:
                    ready.append(contender)
        self.beside[case.key].append(self._peak_beside(lines, case) if ready else None)
        for contender in ready:
            entry, found = entries[contender.name], lines.ask(contender, case, self._timing())
            if found is not None:
                entry.seconds.append(found["seconds"])
                entry.growth.append(found["growth"])
                entry.peak.append(found["peak"])
        for contender in ready:
            lines.ask(contender, case, {"do": "release"})
        for entry in entries.values():  # no number in this round
            for numbers in (entry.seconds, entry.growth, entry.peak):
                numbers += [None] * (self.rounds_done + 1 - len(numbers))

    def _peak_beside(self, lines: _Lines, case: Case) -> float | None:
        """The peak that limits a case, now: the machine's speed changes from minute to minute."""
        best = {name: max(found, default=None) for name, found in self.peaks.items()}
        found = limit(case.flops, case.bytes, best["fma"], best["copy"])
        if found is None:
            return None
        name = self.limits.setdefault(case.key, found)
        return self._measure_peak(lines, next(c for c in ceilings.ceilings() if c.op == name))

    def _measure_peak(self, lines: _Lines, peak: Case) -> float | None:
        prepare = {"do": "prepare", "case": peak.as_data()}
        found = lines.ask(self._ceilings, peak, prepare, self._timing())
        lines.ask(self._ceilings, peak, {"do": "release"})
        if found is None:
            return None
        self.peaks[peak.op].append((peak.flops or peak.bytes) / found["seconds"] / 1e9)
        return self.peaks[peak.op][-1]

    def _timing(self) -> dict[str, Any]:
        return {"do": "time", "seconds": self.settings.seconds, "pause": self.settings.pause}

    def _is_needed(self, contender: Contender) -> bool:
        return any(not by_name[contender.name].problem for by_name in self.entries.values())

    # ---------------------------------------------------------------------------- problems

    def strike(self, case: Case | None, name: str, reason: str, wrong: bool = True) -> None:
        """Take a contender out of a case, or (None) out of all of them."""
        for key in [case.key] if case else self.entries:
            entry = self.entries[key].get(name)
            if entry is not None and not entry.problem:
                entry.problem, entry.wrong = reason, wrong
        if wrong:
            self.problems.append(f"{name}: {case.key}: {reason}" if case else reason)

    @contextlib.contextmanager
    def _lines(self, contenders: list[Contender]) -> Iterator[_Lines]:
        lines = _Lines(self)
        try:
            lines.open(contenders)
            yield lines
        finally:
            lines.close()


class _Lines:
    """The open lines of one round; who breaks off gets a new process for the next case."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self._open: dict[str, Line] = {}

    def open(self, contenders: list[Contender]) -> None:
        """Start all processes at once, then wait for each: they load at the same time."""
        settings = self.run.settings
        for contender in contenders:
            try:
                self._open[contender.name] = Line(
                    contender, settings.threads, settings.timeout, self.run.stop
                )
            except ContenderError as error:
                self.run.strike(None, contender.name, str(error))
        for contender in contenders:
            line = self._open.get(contender.name)
            if line is not None:
                try:
                    self.run.versions[contender.name] = line.begin()
                except ContenderError as error:
                    del self._open[contender.name]
                    self.run.strike(None, contender.name, str(error))

    def ask(
        self, contender: Contender, case: Case, *questions: dict[str, Any]
    ) -> dict[str, Any] | None:
        """The answer to the last question; None, with the contender out of the case, if none."""
        answer = None
        for question in questions:
            line = self._open.get(contender.name)
            if line is None:
                return None
            try:
                answer = line.ask(question)
            except CaseError as error:
                self.run.strike(case, contender.name, str(error), wrong=error.offered)
                return None
            except ContenderError as error:
                reason = str(error).removeprefix(f"{contender.name}: ")
                self.run.strike(case, contender.name, reason)
                del self._open[contender.name]
                self.open([contender])
                return None
        return answer

    def close(self) -> None:
        for line in self._open.values():
            line.close()


def allowed(output: str) -> float:
    """How far an output may be off."""
    return JUMP if output.startswith(JUMPING) else TOLERANCE


def _rotated(items: list[Any], by: int) -> list[Any]:
    by %= max(1, len(items))
    return items[by:] + items[:by]
