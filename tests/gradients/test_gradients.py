"""Every differentiable operation on every rung, against torch and finite differences.

    pytest -m gradients

prints the table. Adding an operation adds a line to `gradient_cases.py`; a test fails until then.
"""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gradient_cases import CASES, Case, D, W, X, call, either
from gradient_table import (
    NAME,
    NO_KERNEL,
    Row,
    installed,
    measure,
    outputs_of,
    run,
    rungs_of,
    table,
    tape_of,
    tensors,
)

import minicnn
import minicnn.nn.functional as F
from minicnn import nn
from minicnn.autograd import Function, gradcheck
from minicnn.errors import GradcheckError
from minicnn.kernels import threads

ALL = [(family, case) for family, cases in CASES.items() for case in cases]
each_case = pytest.mark.parametrize(
    ("family", "case"), [pytest.param(family, case, id=case.name) for family, case in ALL]
)


@pytest.mark.gradients
@each_case
def test_gradients(family: str, case: Case, rows: list[Row]) -> None:
    torch = installed("torch")
    try:
        mine = measured(family, case, torch)
    except Exception as error:
        rows.append(Row(family, case.name, "?", None, None, None, 0.0, repr(error)))
        raise
    rows += mine
    wrong = [f"{row.name} on {row.rung}: {row.wrong}" for row in mine if row.wrong]
    assert not wrong, "\n".join(wrong)


def measured(family: str, case: Case, torch: Any) -> list[Row]:
    """One line per rung; without torch, the first rung is what the others are compared with."""
    found: list[Row] = []
    definition = None
    for rung in rungs_of(case):
        found.append(measure(family, case, rung, torch, definition))
        if torch is None and definition is None and rung != NO_KERNEL:
            with minicnn.use_backend(rung):
                definition = run(case, minicnn)
    return found


# ------------------------------------------------------------------------------ nothing is left out


NO_GRADIENT = {"one_hot"}
# Its results are rounded to float32, which drowns differences; tests/test_dtypes.py has torch's.
ROUNDS = {"CastFunction"}
# It needs two devices; tests/gpu/test_devices.py has its gradient.
MOVES = {"MoveFunction"}
CONTAINERS = {"Module", "ModuleDict", "ModuleList", "Parameter", "ParameterList", "Sequential"}


class Library:
    """minicnn, taking down which names of it are used."""

    def __init__(self, wrapped: Any, path: str, used: set[str]) -> None:
        self.wrapped, self.path, self.used = wrapped, path, used
        self.__name__ = wrapped.__name__

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.wrapped, name)
        path = f"{self.path}.{name}".lstrip(".")
        if path in ("nn", "nn.functional"):
            return Library(found, path, self.used)
        self.used.add(path)
        return found


@pytest.fixture(scope="module")
def used() -> tuple[set[str], set[type]]:
    """The names that the cases use, and the Functions on their tapes."""
    names: set[str] = set()
    functions: set[type] = set()
    library = Library(minicnn, "", names)
    with minicnn.use_backend("numpy"):
        for _, case in ALL:
            outputs = outputs_of(case, library, tensors(case, case.arrays(), minicnn.from_numpy))
            functions |= {node.function for node in tape_of(outputs)}
    return names, functions


@pytest.mark.gradients
def test_every_function_of_nn_functional_is_in_the_table(used):
    names, _ = used
    missing = {name for name in F.__all__ if f"nn.functional.{name}" not in names} - NO_GRADIENT
    assert not missing, f"{sorted(missing)}: give each a line in {CASES_FILE}"


@pytest.mark.gradients
def test_every_layer_is_in_the_table(used):
    names, _ = used
    layers = {
        name for name in nn.__all__ if inspect.isclass(getattr(nn, name)) and name not in CONTAINERS
    }
    missing = {name for name in layers if f"nn.{name}" not in names}
    assert not missing, f"{sorted(missing)}: give each a line in {CASES_FILE}"


@pytest.mark.gradients
def test_every_function_of_the_tape_is_in_the_table(used):
    _, functions = used
    missing = (
        {function.__name__ for function in subclasses(Function) if function not in functions}
        - ROUNDS
        - MOVES
    )
    assert not missing, f"{sorted(missing)}: give each a line in {CASES_FILE}"


CASES_FILE = "tests/gradients/gradient_cases.py"


def subclasses(parent: type) -> Iterator[type]:
    """All classes of minicnn's below `parent` that compute something."""
    for child in parent.__subclasses__():
        if child.__module__.startswith("minicnn."):
            yield child
        yield from subclasses(child)


def test_each_line_has_a_name_of_its_own_that_fits():
    names = [case.name for _, case in ALL]
    assert len(set(names)) == len(names)
    assert max(map(len, names)) <= NAME


# --------------------------------------------------------------------------------- the table itself


class Half(Function):
    """x² with half its gradient."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx, dy):
        (x,) = ctx.saved_tensors
        return dy * x


def test_a_wrong_gradient_is_wrong_with_and_without_torch():
    case = call("half", "", either(lambda lib, x: Half.apply(x), lambda lib, x: x * x), X(3, 4))
    row = measure("", case, NO_KERNEL, installed("torch"), None)
    assert row.forward == 0
    assert row.gradient == 0.5
    assert "gradient 0 is 5.0e-01 off" in row.wrong
    for found in (row, measure("", case, NO_KERNEL, None, None)):
        assert "input 0 is wrong at entry (" in found.wrong
        assert "Every entry is 0.5 times what it should be" in found.wrong


def test_a_wrong_result_is_wrong_with_and_without_torch():
    case = call("offset", "", either(lambda lib, x: x + 1e-7, lambda lib, x: x + 0), W(3))
    definition = run(call("right", "", lambda lib, x: x + 0, W(3)), minicnn)
    for oracle in ((installed("torch"), None), (None, definition)):
        row = measure("", case, NO_KERNEL, *oracle)
        assert "output 0 is" in row.wrong
        assert row.differences < 1e-8


def test_which_rungs_have_a_line():
    cases = {case.name: case for _, case in ALL}
    assert rungs_of(cases["conv2d"]) == ("loops", "numpy", "numba")
    assert rungs_of(cases["linear"]) == ("numpy", "numba")
    assert rungs_of(cases["exp"]) == (NO_KERNEL,)


def test_the_printed_table():
    rows = [
        Row("convolution", "conv2d", "loops", 2e-16, 0.0, 1e-10, 0.5, ""),
        Row("convolution", "conv2d", "numba", 3e-16, 4e-15, 2e-10, 12.25, ""),
        Row("activations", "relu", "any", 0.0, 0.0, 3e-9, 0.001, ""),
    ]
    torch = types.SimpleNamespace(__version__="9.8.7")
    lines = table(rows, torch)
    text = [line.text for line in lines]
    assert max(map(len, text)) <= 80
    assert text[0].endswith("against torch 9.8.7 and finite differences")
    assert text[7:] == [
        "  operation                         rung    forward  gradient    slopes     time",
        "-- convolution",
        "  conv2d                            loops   2.0e-16         0   1.0e-10    0.50s",
        "* conv2d                            numba   3.0e-16   4.0e-15   2.0e-10   12.25s",
        "-- activations",
        "* relu                              any           0         0   3.0e-09    0.00s",
        "",
        "all 3 lines right; worst forward 3.0e-16, gradient 4.0e-15, slopes 3.0e-09; 13 s",
    ]
    assert lines[-1].look["green"]

    broken = rows[0]._replace(wrong="output 0 is 1.0e+00 off; gradient 0 is inf off")
    lines = table([broken, *rows[1:]], torch)
    assert [line.text for line in lines if line.look.get("red")] == [
        "! conv2d                            loops   2.0e-16         0   1.0e-10    0.50s",
        "    output 0 is 1.0e+00 off",
        "    gradient 0 is inf off",
        "1 of 3 lines WRONG; worst forward 3.0e-16, gradient 4.0e-15, slopes 3.0e-09; 13 s",
    ]

    alone = [row._replace(gradient=None) for row in rows]
    alone[2] = alone[2]._replace(forward=None)
    text = [line.text for line in table(alone, None)]
    assert text[0].endswith("against finite differences alone: torch is not installed")
    assert text[-5:-1] == [
        "* conv2d                            numba   3.0e-16   2.0e-10   12.25s",
        "-- activations",
        "* relu                              any           -   3.0e-09    0.00s",
        "",
    ]


@pytest.mark.slow
@pytest.mark.parametrize("torch", ["with torch", "without torch"])
def test_the_command_with_and_without_torch(torch):
    hide = "sys.modules['torch'] = None; " if torch == "without torch" else ""
    code = f"import sys; {hide}import pytest; sys.exit(pytest.main(sys.argv[1:]))"
    done = subprocess.run(
        [sys.executable, "-c", code, "-m", "gradients", "-p", "no:cacheprovider"],
        capture_output=True,
        text=True,
        cwd=Path(__file__).resolve().parents[2],
    )
    assert done.returncode == 0, done.stdout + done.stderr
    alone = "finite differences alone: torch is not installed"
    assert (alone in done.stdout) == (torch == "without torch")
    assert re.search(r"^all \d\d\d lines right; worst forward ", done.stdout, re.MULTILINE)


# -------------------------------------------------------------- gradcheck, tried on everything here


class Corrupt(Function):
    """x, whose gradient is wrong in one entry: a mixture of the others' is added to it."""

    @staticmethod
    def forward(ctx, x, entry):
        ctx.entry = entry
        return x * 1

    @staticmethod
    def backward(ctx, dy):
        wrong = dy.copy()
        wrong[ctx.entry] += 0.5 * (dy * np.cos(np.arange(dy.size)).reshape(dy.shape)).sum()
        return wrong, None


@each_case
def test_gradcheck_finds_a_corrupted_entry(family: str, case: Case) -> None:
    rng = np.random.default_rng(0)
    inputs = tensors(case, case.arrays(), minicnn.from_numpy)
    for i, x in enumerate(inputs):
        if not x.requires_grad:
            continue
        entry = tuple(int(rng.integers(size)) for size in x.shape)

        def corrupted(*xs, i=i, entry=entry):
            mine = [Corrupt.apply(x, entry) if k == i else x for k, x in enumerate(xs)]
            return case.function(minicnn, *mine)

        with minicnn.use_backend("numpy"), pytest.raises(GradcheckError) as error:
            gradcheck(corrupted, inputs)
        assert (error.value.input, error.value.entry) == (i, entry), error.value


@pytest.mark.slow
@each_case
def test_gradcheck_does_not_accuse_at_ties_and_zeros(family: str, case: Case) -> None:
    """Every operation at numbers rounded to halves, of which many are equal, and many 0."""
    arrays = [
        np.round(2 * array) / 2 if draw.make in TIED and not draw.constant else array
        for array, draw in zip(case.arrays(), case.draws, strict=True)
    ]
    inputs = tensors(case, arrays, minicnn.from_numpy)
    with minicnn.use_backend("numpy"):
        for seed in range(3):
            assert gradcheck(lambda *xs: case.function(minicnn, *xs), inputs, seed=seed)


TIED = {draw.make for draw in (X(), D())}


# ------------------------------------------------------------------------------ one and two threads


@each_case
def test_the_same_bits_on_one_and_two_threads(family: str, case: Case) -> None:
    """On batches so long that the kernels share out their work."""
    if threads.available() < 2:
        pytest.skip("this process may use one core only")
    arrays = case.arrays()
    times = max(1, 100_000 // max(1, arrays[0].size))
    before = threads.get_num_threads()
    found = []
    try:
        for count in (1, 2):
            threads.set_num_threads(count)
            with minicnn.use_backend("numba"):
                found.append(run(case, minicnn, times))
    finally:
        threads.set_num_threads(before)
    one, two = found
    assert one.keys() == two.keys()
    for name in one:
        assert one[name].tobytes() == two[name].tobytes(), name
