"""One case on one rung, measured against torch and against finite differences; and the table.

Nothing here needs torch: without it, the finite differences stand alone.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from gradient_cases import Case

import minicnn
from minicnn.autograd import Node
from minicnn.autograd.checking import GradientCheck
from minicnn.errors import GradcheckError
from minicnn.kernels import current_backend, kernel_names, reference, use_backend

RUNGS = ("loops", "numpy", "numba")
TOLERANCE = 1e-8  # of max|a-b| / max|b|, in float64
NO_KERNEL = "any"  # the rung of an operation without kernels: the same code on each
NAME = 33  # columns of a name: a line has 80

Arrays = dict[str, np.ndarray]  # "output 0", "gradient 1", ... -> array


def installed(name: str) -> Any:
    """The library, or None if it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


# ------------------------------------------------------------------------------- running a case


def tensors(case: Case, arrays: list[np.ndarray], tensor: Callable[[np.ndarray], Any]) -> list[Any]:
    """One tensor per array; those of floating-point numbers require a gradient."""
    made = [tensor(array.copy()) for array in arrays]
    for x, array, draw in zip(made, arrays, case.draws, strict=True):
        if array.dtype.kind == "f" and not draw.constant:
            x.requires_grad_()
    return made


def outputs_of(case: Case, lib: Any, inputs: list[Any]) -> tuple[Any, ...]:
    """What the case computes from tensors of `lib`, always as a tuple."""
    outputs = case.function(lib, *inputs)
    return tuple(outputs) if isinstance(outputs, tuple | list) else (outputs,)


def run(case: Case, lib: Any, times: int = 1) -> Arrays:
    """Outputs and gradients by name, from a random cotangent per output."""
    tensor = lib.from_numpy
    inputs = tensors(case, case.arrays(times), tensor)
    outputs = outputs_of(case, lib, inputs)
    found = {f"output {i}": y.detach().numpy() for i, y in enumerate(outputs)}
    rng = np.random.default_rng(1)
    tracked = [y for y in outputs if y.requires_grad]
    seeds = [tensor(np.asarray(rng.standard_normal(tuple(y.shape)))) for y in tracked]
    lib.autograd.backward(tracked, seeds)
    leaves = [x for x in inputs if x.requires_grad]
    for i, leaf in enumerate(leaves):
        found[f"gradient {i}"] = leaf.grad.numpy()
    return found


def tape_of(outputs: tuple[Any, ...]) -> Iterator[Node]:
    """All nodes that the outputs depend on."""
    waiting, seen = [y.grad_fn for y in outputs], set()
    while waiting:
        node = waiting.pop()
        if isinstance(node, Node) and id(node) not in seen:
            seen.add(id(node))
            waiting += node.next_functions
            yield node


class Recorder:
    """The numpy rung, taking down which kernels are called."""

    def __init__(self) -> None:
        self.called: set[str] = set()
        for name in kernel_names():
            setattr(self, name, self._taking_down(name))

    def _taking_down(self, name: str) -> Callable[..., Any]:
        def kernel(*args: Any, **kwargs: Any) -> Any:
            self.called.add(name)
            return getattr(reference, name)(*args, **kwargs)

        return kernel


def rungs_of(case: Case) -> tuple[str, ...]:
    """The rungs that have kernels of their own for the case; `NO_KERNEL` if it calls none."""
    recorder = Recorder()
    with use_backend(recorder):
        run(case, minicnn)
    if not recorder.called:
        return (NO_KERNEL,)
    found = []
    for rung in RUNGS:
        with use_backend(rung):
            backend = current_backend()
        if any(backend.source_of(kernel) == rung for kernel in recorder.called):
            found.append(rung)
    return tuple(found)


# ---------------------------------------------------------------------------------- measuring it


class Row(NamedTuple):
    """One line of the table; None stands for what there was nothing to compare with."""

    family: str
    name: str
    rung: str
    forward: float | None  # against torch; without it, against the slowest rung
    gradient: float | None  # against torch, the worst of the inputs
    differences: float | None  # against finite differences, the worst of the lines
    seconds: float
    wrong: str  # what is wrong with it, or ""


def relative_error(a: np.ndarray, b: np.ndarray) -> float:
    """max|a-b| / max|b|, infinite where shapes or dtypes differ."""
    if a.shape != b.shape or a.dtype != b.dtype:
        return np.inf
    error = np.max(np.abs(a - b), initial=0).astype("float64")
    scale = np.max(np.abs(b), initial=0)
    return float(error / scale) if scale else float(np.inf if error else 0.0)


def measure(family: str, case: Case, rung: str, torch: Any, definition: Arrays | None) -> Row:
    """The case on one rung, against torch or `definition`, and against finite differences."""
    start = time.perf_counter()
    wrong: list[str] = []
    differences = None
    with use_backend("numpy" if rung == NO_KERNEL else rung):
        ours = run(case, minicnn)
        inputs = tensors(case, case.arrays(), minicnn.from_numpy)
        check = GradientCheck(lambda *xs: case.function(minicnn, *xs), inputs)
        try:
            check.run(projections=2)
            differences = check.worst
        except GradcheckError as error:
            wrong.append(str(error))
    theirs = definition if torch is None else run(case, torch)
    worst: dict[str, float | None] = {"output": None, "gradient": None}
    if theirs is not None:
        if ours.keys() != theirs.keys():
            wrong.append(f"it has {[*ours]}, the other has {[*theirs]}")
        for name in ours.keys() & theirs.keys():
            kind = name.split()[0]
            error = relative_error(ours[name], theirs[name])
            worst[kind] = max(error, worst[kind] or 0.0)
            if not error <= TOLERANCE:
                wrong.append(f"{name} is {error:.1e} off")
    return Row(
        family, case.name, rung, worst["output"], worst["gradient"] if torch else None,
        differences, time.perf_counter() - start, "; ".join(wrong),
    )  # fmt: skip


# ------------------------------------------------------------------------------------ the table


class Line(NamedTuple):
    """One printed line and how it is to look."""

    text: str
    look: dict[str, bool]


def legend(torch: Any) -> list[str]:
    """What the columns are compared with, and which oracle there was."""
    ours = f"minicnn {minicnn.__version__}, float64, against"
    if torch is not None:
        return [
            f"{ours} torch {torch.__version__} and finite differences",
            "  forward, gradient  max|a-b|/max|b| against torch, from random cotangents",
            *_SLOPES,
        ]
    return [
        f"{ours} finite differences alone: torch is not installed",
        "  forward            max|a-b|/max|b| against the rung loops, or else numpy",
        *_SLOPES,
    ]


_SLOPES = (
    "  slopes             along random lines: backward against central differences,",
    "                     which themselves are good to about 1e-9",
    "  rung any           an operation without kernels: the same code on every rung",
    "  *                  the worst of its column",
)


def table(rows: list[Row], torch: Any) -> list[Line]:
    """The rows under headings, the worst of each column marked, and the totals."""
    columns = {"forward": "forward", "gradient": "gradient", "differences": "slopes"}
    if torch is None:
        del columns["gradient"]
    worst = {c: max((getattr(row, c) or 0.0 for row in rows), default=0.0) for c in columns}
    head = f"  {'operation':{NAME}} rung " + "".join(f"{title:>10}" for title in columns.values())
    lines = [Line(text, {}) for text in legend(torch)]
    lines += [Line("", {}), Line(f"{head}     time", {"bold": True})]
    family = ""
    for row in rows:
        if row.family != family:
            family = row.family
            lines.append(Line(f"-- {family}", {"bold": True}))
        is_worst = any(worst[c] and getattr(row, c) == worst[c] for c in columns)
        mark = "!" if row.wrong else "*" if is_worst else " "
        numbers = "".join(f"{_number(getattr(row, c)):>10}" for c in columns)
        text = f"{mark} {row.name:{NAME}} {row.rung:5}{numbers}{row.seconds:8.2f}s"
        look = {"red": True, "bold": True} if row.wrong else {"yellow": True} if is_worst else {}
        lines.append(Line(text, look))
        lines += [Line(f"    {what}", {"red": True}) for what in row.wrong.split("; ") if what]
    return [*lines, Line("", {}), _totals(rows, columns, worst)]


def _number(error: float | None) -> str:
    return "-" if error is None else f"{error:.1e}" if error else "0"


def _totals(rows: list[Row], columns: dict[str, str], worst: dict[str, float]) -> Line:
    bad = sum(bool(row.wrong) for row in rows)
    verdict = f"{bad} of {len(rows)} lines WRONG" if bad else f"all {len(rows)} lines right"
    numbers = ", ".join(f"{title} {_number(worst[c])}" for c, title in columns.items())
    seconds = sum(row.seconds for row in rows)
    look = {"red": True, "bold": True} if bad else {"green": True, "bold": True}
    return Line(f"{verdict}; worst {numbers}; {seconds:.0f} s", look)
