"""`minicnn check`: files with kernels, right, wrong, and such that no program survives."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from helpers_cli import finished, narrow, require_one_line
from helpers_terminal import on_terminals, seen_on_terminal

import minicnn
from minicnn import nn
from minicnn.contract import example

RIGHT = Path(example.__file__).read_text(encoding="utf-8")


def written(*changes: tuple[str, str], name: str = "mykernels.py") -> str:
    """The example with some of its text replaced, as a file."""
    text = RIGHT
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    Path(name).write_text(text, encoding="utf-8")
    return name


def first_line(statement: str) -> tuple[str, str]:
    """A statement put first into the example's conv2d."""
    return "    # 1.", f"    {statement}\n    # 1."


def test_the_example_is_right(minicnn_):
    done = minicnn_("check", "--example")
    assert (done.code, done.out) == (0, RIGHT)
    Path("mykernels.py").write_text(done.out, encoding="utf-8")
    done = minicnn_("check", "mykernels.py")
    assert done.code == 0, done.out
    assert re.search(r"^  conv2d +right +\d+ cases", done.out, re.M)
    assert "missing  adam_step" in done.out
    assert "numpy rung" in done.out
    assert done.out.rstrip().endswith("1 right")
    assert done.err == ""
    assert narrow(done.out)


def test_the_example_computes_in_a_network():
    conv, x = nn.Conv2d(2, 3, 2, stride=2, padding=1), minicnn.randn(2, 2, 5, 6)
    wanted = conv(x).detach().numpy()
    with minicnn.use_backend(example):
        y = conv(x)
    np.testing.assert_allclose(y.detach().numpy(), wanted, rtol=1e-5, atol=1e-6)
    y.sum().backward()
    assert conv.weight.grad is not None


WRONG = {
    "flipped": (
        ("under * w[k]", "under * w[k, :, ::-1, ::-1]"),
        "conv2d, case 2 of", "y[0, 0, 0, 0] is", "Hint: The kernel is flipped along both axes"),
    "without padding": (
        ("top, left = padding", "top, left = 0, 0"),
        ": padding 1\n", "y has shape (1, 1, 1, 1), expected (1, 1, 3, 3).", "is padding used?"),
    "writes into its input": (
        ("    return y", "    x += 1\n    return y"),
        "case 1 of", "It changes its argument x: x[0, 0, 0, 0] was", "afterwards"),
    "in float64": (
        (", dtype=x.dtype) if out", ") if out"),
        "case 1 of", "y is float64, expected float32.", "dtype=x.dtype"),
    "raises": (
        first_line("assert groups == 1, 'no groups yet'"),
        "two groups", "AssertionError: no groups yet", "groups other than 1, and right in all"),
    "exits": (first_line("raise SystemExit(0)"), "case 1 of", "exit()", "line 25"),
    "leaves at once": (
        first_line("import os; os._exit(7)"), "case 1 of", "ended the process", "exit code 7"),
    "another signature": (
        ("stride, padding, dilation, groups, *, out=None", "stride, padding"),
        "its signature", "lacks dilation, groups", "It has to be def conv2d(x, w, b,"),
    "prints": (
        ("under * w[k]", "under * w[k] + print('hello')"), "case 1 of", "TypeError", "(line 4"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", WRONG)
def test_a_wrong_kernel_is_shown_by_its_smallest_case(minicnn_, mistake):
    change, *pieces = WRONG[mistake]
    done = minicnn_("check", written(change))
    assert done.code == 1
    assert re.search(r"^  conv2d +wrong ", done.out, re.M)
    flowing = " ".join(done.out.split())
    for piece in pieces:
        assert piece in done.out or piece in flowing, (piece, done.out)
    assert narrow(done.out)
    assert "hello\n" not in done.out
    assert "Traceback" not in done.out + done.err


def test_numbers_stand_side_by_side(minicnn_):
    out = minicnn_("check", written(("under * w[k]", "under * w[k, :, ::-1, ::-1]"))).out
    lines = out[out.index("conv2d(x[1") :].splitlines()
    titles = next(i for i, line in enumerate(lines) if "y expected" in line)
    assert re.split(r"  +", lines[titles].strip()) == ["x", "w", "y expected", "y got"]
    x, w, want, got = (
        [float(n) for n in cell.split()] for cell in re.split(r"   +", lines[titles + 1].strip())
    )
    assert want == [x[0] * w[0] + x[1] * w[1], x[1] * w[0] + x[2] * w[1]]
    assert got == [x[0] * w[1] + x[1] * w[0], x[1] * w[1] + x[2] * w[0]]


def test_a_kernel_without_end_is_stopped_and_its_line_told(minicnn_):
    name = written(first_line("while dilation[0] > 1: N = N + 1"))
    started = time.perf_counter()
    done = minicnn_("check", name, "--timeout", "0.5")
    assert time.perf_counter() - started < 20
    assert done.code == 1
    flowing = " ".join(done.out.split())
    assert "dilation 2" in done.out
    assert "No result after 0.5 s (line 25: while dilation[0] > 1: N = N + 1)" in flowing
    assert "--timeout 3" in flowing


@pytest.mark.skipif(sys.platform == "win32", reason="crashes have other names there")
def test_a_crash_is_told_and_the_next_kernel_runs(minicnn_):
    crash = first_line("import ctypes; ctypes.string_at(0)")
    text = Path(written(crash)).read_text(encoding="utf-8")
    text += "\n\ndef relu(x, *, out=None):\n    return np.maximum(x, 0)\n"
    Path("mykernels.py").write_text(text, encoding="utf-8")
    done = minicnn_("check", "mykernels.py", "--op", "relu", "--op", "conv2d")
    assert done.code == 1
    assert "It crashed the process (SIGSEGV) (line 25)." in done.out
    assert re.search(r"^  conv2d +wrong", done.out, re.M)
    assert re.search(r"^  relu +wrong", done.out, re.M)  # out= is not filled


def test_several_kernels_and_what_is_missing(minicnn_):
    Path("two.py").write_text(
        "import numpy as np\n"
        "def relu(x):\n    return np.maximum(x, 0)\n"
        "def relu_grad(dy, y):\n    return np.where(y > 0, dy, 0).astype(dy.dtype)\n"
        "def conv_2d(x):\n    return x\n"
    )
    done = minicnn_("check", "two.py", "--verbose")
    assert done.code == 0, done.out
    assert "relu, relu_grad: no out=; the engine does without." in done.out
    assert "conv_2d is no kernel's name; if it is meant as conv2d, call it so." in done.out
    assert "2 right" in done.out
    missing = " ".join(done.out[done.out.index("missing") :].split())
    assert "max_pool2d_grad" in missing


def test_what_the_file_prints_is_shown_on_request():
    name = written(first_line("print('from', 'the file')"))
    quiet = finished("check", name, "--op", "conv2d")
    assert (quiet.code, quiet.err) == (0, "")
    loud = finished("check", name, "--op", "conv2d", "--verbose")
    assert "from the file" in loud.err
    assert "from the file" not in loud.out


def test_a_file_may_import_its_neighbours_and_read_no_input(minicnn_):
    Path("helper.py").write_text(
        "def largest(x):\n    import numpy\n    return numpy.maximum(x, 0)\n"
    )
    Path("mine.py").write_text(
        "from helper import largest\nimport sys\nassert sys.stdin.read() == ''\n"
        "def relu(x):\n    return largest(x)\n"
    )
    assert minicnn_("check", "mine.py").code == 0


def test_a_rung_by_its_name(minicnn_):
    done = minicnn_("check", "loops", "--op", "conv2d", "--dtype", "float64")
    assert done.code == 0
    assert re.search(r"^  conv2d +right", done.out, re.M)
    Path("numba").write_text("def relu(x):\n    return x\n")  # a file of that name comes first
    require_one_line(minicnn_("check", "numba"), 1, "numba", ".py")


def test_a_file_that_checks_itself_does_not_do_so_for_ever(minicnn_):
    name = written(
        ("import numpy as np", "import minicnn.contract\nminicnn.contract.check(__file__)")
    )
    done = minicnn_("check", name)
    require_one_line(done, 1, "checked while it is being checked", "__main__")


def test_compiled_kernels_are_called_like_others(minicnn_):
    Path("jit.py").write_text(
        "import numba, numpy as np\n"
        "@numba.njit\ndef relu(x):\n    return np.maximum(x, np.float32(0)).astype(x.dtype)\n"
    )
    done = minicnn_("check", "jit.py", "--timeout", "60", "--dtype", "float32")
    assert done.code == 0, done.out
    assert "no out=" in done.out


def test_an_op_that_is_not_there_is_not_right(minicnn_):
    done = minicnn_("check", written(), "--op", "relu")
    assert done.code == 1
    assert "missing  relu" in done.out


BAD = [
    ((), 2, ("KERNELS", "check --help")),
    (("nowhere.py",), 1, ("nowhere.py", "no such file", "numba")),
    (("folder",), 1, ("folder", "is a folder")),
    (("text.txt",), 1, ("text.txt", ".py")),
    (("syntax.py",), 1, ("syntax.py", "SyntaxError", "line 2: return return")),
    (("imports.py",), 1, ("imports.py", "ModuleNotFoundError", "line 1: import numpyy")),
    (("exits.py",), 1, ("exits.py", "exit()", "line 1")),
    (("crashes.py",), 1, ("crashes.py", "exit code 5")),
    (("endless.py", "--timeout", "0.3"), 1, ("endless.py", "0.3 s", "line 1: while True")),
    (("none.py",), 1, ("none.py", "conv2d", "--example")),
    (("misspelt.py",), 1, ("misspelt.py", "conv2D is conv2d")),
    (("mykernels.py", "--op", "conv2"), 1, ("'conv2'", "'conv2d'")),
    (("mykernels.py", "--dtype", "float16"), 2, ("float16", "float32")),
    (("mykernels.py", "--timeout", "0"), 2, ("--timeout", "0")),
    (("mykernels.py", "--timeout", "nan"), 2, ("--timeout", "nan")),
]
FILES = {
    "text.txt": "conv2d\n",
    "syntax.py": "def conv2d():\n    return return\n",
    "imports.py": "import numpyy\n",
    "exits.py": "raise SystemExit\n",
    "crashes.py": "import os; os._exit(5)\n",
    "endless.py": "while True: pass\n",
    "none.py": "x = 1\n",
    "misspelt.py": "def conv2D(x):\n    return x\n",
    "mykernels.py": RIGHT,
}


@pytest.mark.parametrize(("arguments", "code", "pieces"), BAD, ids=lambda v: " ".join(v)
                         if isinstance(v, tuple) else str(v))  # fmt: skip
def test_what_cannot_be_checked_is_one_line(minicnn_, arguments, code, pieces):
    Path("folder").mkdir()
    for name in {*arguments} & FILES.keys():
        Path(name).write_text(FILES[name])
    done = minicnn_("check", *arguments)
    require_one_line(done, code, *pieces)
    assert done.out == ""


def test_no_colour_where_no_terminal_is(minicnn_):
    assert "\x1b" not in minicnn_("check", written(("under * w[k]", "under"))).out


@on_terminals
def test_colour_on_a_terminal():
    command = [sys.executable, "-m", "minicnn", "check", written()]
    code, seen, _ = seen_on_terminal(
        lambda terminal: subprocess.Popen(command, stdout=terminal, stderr=terminal)
    )
    assert code == 0
    assert "\x1b[32mright" in seen


def test_nothing_is_left_behind(minicnn_, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    minicnn_("check", written())
    assert not list((tmp_path / "temporary").iterdir())
