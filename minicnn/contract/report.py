"""How the verdicts look in a terminal of 80 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from minicnn.contract.verdicts import Failure, Verdict

Paint = Callable[[str, str], str]  # (text, role) -> text; roles: right, wrong, hint, title, faint
WIDTH = 79


def plain(text: str, role: str) -> str:
    """Paint nothing."""
    return text


@dataclass(frozen=True, repr=False)
class Report:
    """What `check` returns: print it, or read `verdicts`.

    Attributes:
        name: of the file or module.
        verdicts: one for each kernel that was asked about, those that are there first.
        remarks: about the module as a whole.
    """

    name: str
    verdicts: tuple[Verdict, ...]
    remarks: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong; what is missing is not wrong."""
        return not self.wrong

    @property
    def right(self) -> tuple[str, ...]:
        """The kernels that keep the contract."""
        return self._with_status("right")

    @property
    def wrong(self) -> tuple[str, ...]:
        """The kernels that break it."""
        return self._with_status("wrong")

    @property
    def missing(self) -> tuple[str, ...]:
        """The kernels that the engine would take from the numpy rung."""
        return self._with_status("missing")

    def __getitem__(self, kernel: str) -> Verdict:
        """The verdict on a kernel."""
        for verdict in self.verdicts:
            if verdict.kernel == kernel:
                return verdict
        raise KeyError(kernel)

    def __str__(self) -> str:
        width = max((len(v.kernel) for v in self.verdicts if v.status != "missing"), default=0)
        rows = [row(v, width) for v in self.verdicts if v.status != "missing"]
        return "\n".join([self.name, *rows, *ending(self)])

    __repr__ = __str__

    def _with_status(self, status: str) -> tuple[str, ...]:
        return tuple(v.kernel for v in self.verdicts if v.status == status)


def row(verdict: Verdict, width: int, paint: Paint = plain) -> str:
    """One kernel in one line, its name in `width` columns."""
    failure = verdict.failure
    if verdict.status == "right":
        about = f"{verdict.cases} cases, {verdict.seconds:.2f} s"
    elif failure is None:
        about = "the contract has none for this kernel"
    elif failure.number:
        about = f"case {failure.number} of {verdict.cases}: {failure.example}"
    else:
        about = "its signature" if failure.problem.startswith("Its ") else failure.problem
    room = WIDTH - width - 13
    about = about if len(about) <= room else about[: room - 1] + "…"
    word = "no case" if verdict.status == "unchecked" else verdict.status
    status = paint(f"{word:<9}", verdict.status)
    return f"  {verdict.kernel:<{width}}  {status}{about}"


def ending(report: Report, paint: Paint = plain, verbose: bool = False) -> Iterator[str]:
    """The lines below the rows: each failure, notes, what is missing, and the sum."""
    for verdict in report.verdicts:
        if verdict.failure is not None:
            yield ""
            yield from failure_lines(verdict.kernel, verdict.failure, verdict.cases, paint)
    yield ""
    for note, kernels in _notes(report).items():
        yield from _wrapped("note", f"{', '.join(kernels)}: {note}.", paint)
    for remark in report.remarks:
        yield from _wrapped("note", f"{remark}.", paint)
    if report.missing:
        source = "the engine takes them from the numpy rung"
        if verbose or len(report.missing) <= 3:
            yield from _wrapped("missing", f"{', '.join(report.missing)}: {source}.", paint)
        else:
            some, more = ", ".join(report.missing[:2]), len(report.missing) - 2
            yield from _wrapped("missing", f"{some} and {more} more: {source}.", paint)
    counts = [(report.right, "right"), (report.wrong, "wrong")]
    said = [paint(f"{len(names)} {word}", word) for names, word in counts if names]
    yield from _wrapped("in all", ", ".join(said) or "nothing was examined", paint)


def failure_lines(kernel: str, failure: Failure, cases: int, paint: Paint = plain) -> Iterator[str]:
    """A failure at length: which case, the call, the numbers side by side, the hint."""
    if not failure.number:
        yield paint(kernel, "title")
        yield from _indented(failure.problem)
        return
    case = f"{kernel}, case {failure.number} of {cases}, {failure.dtype}: {failure.example}"
    yield paint(case, "title")
    yield from (paint(line, "faint") for line in _indented(failure.call))
    if failure.pictures:
        yield from _side_by_side(failure)
    yield from _indented(failure.problem)
    if failure.hint:
        yield from (paint(line, "hint") for line in _indented(f"Hint: {failure.hint}"))


def _side_by_side(failure: Failure) -> Iterator[str]:
    """Small arrays beside each other, as many as fit."""
    blocks = [_block(name, array) for name, array in failure.pictures.items()]
    line: list[list[str]] = []
    for block in [*blocks, None]:
        width = sum(len(b[0]) + 4 for b in [*line, *([block] if block else [])])
        if line and (block is None or width > WIDTH):
            height = max(map(len, line))
            for i in range(height):
                cells = [b[i] if i < len(b) else " " * len(b[0]) for b in line]
                yield ("    " + "    ".join(cells)).rstrip()
            line = []
        if block is not None:
            line.append(block)


def _block(name: str, array: np.ndarray) -> list[str]:
    """An array's rows under its name, all lines of one width."""
    plane = np.reshape(array, (-1, array.shape[-1] if array.ndim else 1))
    texts = [[f"{value:.5g}" for value in row] for row in plane.tolist()]
    width = max(len(text) for row in texts for text in row)
    rows = [" ".join(text.rjust(width) for text in row) for row in texts]
    whole = max(len(name), *map(len, rows))
    return [name.ljust(whole), *(row.ljust(whole) for row in rows)]


def _notes(report: Report) -> dict[str, list[str]]:
    """The kernels to which each note applies."""
    notes: dict[str, list[str]] = {}
    for verdict in report.verdicts:
        for note in verdict.notes:
            notes.setdefault(note, []).append(verdict.kernel)
    return notes


def _indented(text: str) -> Sequence[str]:
    return textwrap.wrap(text, WIDTH, initial_indent="  ", subsequent_indent="  ")


def _wrapped(title: str, text: str, paint: Paint) -> Sequence[str]:
    lines = textwrap.wrap(text, WIDTH - 9, break_on_hyphens=False)
    return [f"{title if i == 0 else '':<9}{line}" for i, line in enumerate(lines)]
