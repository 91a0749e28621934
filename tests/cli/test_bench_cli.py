"""`minicnn bench` and `minicnn bench compare`."""

from __future__ import annotations

import json
import re
import signal
import sys
import time

import pytest
from click.testing import CliRunner
from helpers_cli import command, narrow, require_one_line

from minicnn.bench import results
from minicnn.cli import cli

BRIEF = ("--rounds", "1", "--pause", "0", "--seconds", "0", "--threads", "1")
SLOW = """
from types import SimpleNamespace
import time

def start(count, options):
    return {}

def prepare(case, arrays):
    def run():
        time.sleep(0.01)
        return arrays["x"].clip(0)
    return SimpleNamespace(run=run, outputs=lambda: {"y": run()})
"""


@pytest.mark.parametrize("arguments", [("bench", "--help"), ("bench", "compare", "--help")])
def test_the_pages(arguments):
    done = CliRunner().invoke(cli, [*arguments])
    assert done.exit_code == 0
    assert narrow(done.output)


def test_a_run_from_end_to_end(minicnn_, tmp_path):
    done = minicnn_(
        "bench", "--only", "relu", "--batch", "1", "--rungs", "numpy,numba", *BRIEF,
        "--json", "r.json", "--chart", "out/c.png",
    )  # fmt: skip
    assert (done.code, done.err) == (0, "")
    assert re.search(r"^relu 32 79² b1, forward$", done.out, re.M)
    assert re.search(r"^  numpy +[\d.]+ +\([\d.–]+\) +– +[\d.]+ +\d+ % c +1$", done.out, re.M)
    assert re.search(r"^numba: [\d.]+× numpy \(geometric mean of 1\)", done.out, re.M)
    assert max(map(len, done.out.splitlines())) <= 100
    data = results.load("r.json")
    assert data["settings"] == {
        "threads": 1, "rounds": 1, "seconds": 0, "pause": 0, "timeout": 300,
    }  # fmt: skip
    numba = data["cases"][0]["contenders"]["numba"]
    assert numba["errors"].keys() == {"y"}
    assert len(numba["ms of each round"]) == 1
    assert data["contenders"]["numba"].keys() >= {"python", "minicnn", "numba"}
    assert (tmp_path / "out" / "c.png").stat().st_size > 10_000


def test_a_wrong_contender_fails_the_run(minicnn_, tmp_path):
    (tmp_path / "mine.py").write_text(SLOW.replace("clip(0)", "clip(0.1)"))
    done = minicnn_(
        "bench", "--only", "relu", "--batch", "1", "--rungs", "none", "--peer", "mine.py", *BRIEF
    )
    assert done.code == 1
    assert "mine: relu 32 79² b1, forward: wrong: y is off by 2.0e-01" in done.out


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--suite", "seed"), 1, "Did you mean 'seeds'?"),
        (("--only", "nothing"), 1, "no case of suite 'quick' has 'nothing' in its name"),
        (("--rungs", "numbo"), 1, "no rung 'numbo' here. Use: loops, numpy, numba"),
        (("--rungs", "none"), 1, "nobody to measure"),
        (("--rungs", "numpy,numpy"), 1, "'numpy' is there twice"),
        (("--peer", "tourch"), 1, "no peer 'tourch'"),
        (("--peer", "torch=/no/python"), 1, "no program '/no/python'"),
        (("--peer", "lacks.py"), 1, "lacks: cannot start in "),
        (("--baseline", "jax"), 1, "--baseline 'jax' is not measured. Use one of: numpy, numba"),
        (("--chart", "c.doc"), 2, "c.doc is no picture's name"),
        (("--rounds", "0"), 2, "0 is not in the range x>=1"),
        (("--json", "file/r.json"), 1, "cannot write in the folder"),
        (("compare", "a.json", "none.json"), 1, "no such file"),
        (("compare", "file", "file"), 1, "file: this is no JSON"),
    ],
)
def test_errors_are_one_line(minicnn_, tmp_path, arguments, code, said):
    (tmp_path / "file").write_text("")
    (tmp_path / "lacks.py").write_text("import no_such_framework")
    (tmp_path / "a.json").write_text('{"format": 1, "cases": [], "machine": {}}')
    require_one_line(minicnn_("bench", *arguments), code, said)


def test_compare(minicnn_, tmp_path):
    for name, ms in (("a", [9, 10, 11]), ("b", [18, 20, 22])):
        data = {
            "format": 1, "machine": {"threads": 1},
            "cases": [{"key": "relu", "contenders": {"numba": {"ms": ms}}}],
        }  # fmt: skip
        (tmp_path / f"{name}.json").write_text(json.dumps(data))
    done = minicnn_("bench", "compare", "a.json", "b.json")
    assert done.code == 0
    assert re.search(r"^relu numba +0\.50 \(0\.41–0\.61\) +slower$", done.out, re.M)
    assert minicnn_("bench", "compare", "a.json", "b.json", "--fail-below", "0.5").code == 0
    done = minicnn_("bench", "compare", "a.json", "b.json", "--fail-below", "0.51")
    assert done.code == 1
    assert "1 of 1 below 0.51×" in done.out


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT for one process there")
def test_what_was_measured_survives_ctrl_c(tmp_path):
    (tmp_path / "slow.py").write_text(SLOW)
    process = command(
        "bench", "--only", "relu", "--batch", "1", "--rungs", "none", "--peer", "slow.py",
        "--rounds", "1000", "--pause", "0", "--seconds", "0", "--json", "r.json",
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while not (tmp_path / "r.json").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert (tmp_path / "r.json").exists()  # after the first of a thousand rounds
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err.strip() == "minicnn: stopped by Ctrl-C."
    data = results.load(tmp_path / "r.json")
    assert not data["complete"]
    assert 1 <= data["rounds"] < 1000
    assert len(data["cases"][0]["contenders"]["slow"]["ms of each round"]) >= data["rounds"]
    assert f"stopped after {data['rounds']} of 1000 rounds" in out
