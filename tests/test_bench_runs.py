"""`minicnn bench` and its contenders' processes: the right ones are timed, the others are named."""

from __future__ import annotations

import time

import pytest
from helpers_bench import RIGHT, contender, relu

from minicnn.bench import layer_cases, measuring, table
from minicnn.bench.cases import Case
from minicnn.bench.contenders import CaseError, Contender, ContenderError, Line, peer, rung
from minicnn.bench.measuring import Run, Settings
from minicnn.bench.results import result_of
from minicnn.errors import ArgumentError

BRIEF = Settings(threads=1, rounds=2, seconds=0, pause=0, timeout=60)


def line(who: Contender, timeout: float = 60) -> Line:
    opened = Line(who, 1, timeout)
    opened.begin()
    return opened


# ---------------------------------------------------------------------------------- one process


def test_what_a_contender_prints_is_no_answer(tmp_path):
    loud = contender(tmp_path, "loud", "print('{}')\nos.write(1, b'{}\\n')\n" + RIGHT)
    opened = Line(loud, 3, 60)
    try:
        assert opened.begin()["fake"] == "3 threads"
        assert opened.ask({"do": "prepare", "case": relu(3).as_data()}) == {}
        found = opened.ask({"do": "time", "seconds": 0, "pause": 0})
    finally:
        opened.close()
    assert 0 < found["seconds"] < 1
    assert found["samples"] >= 3


def test_a_timing_is_of_one_call_and_lasts_as_long_as_asked(tmp_path):
    slow = contender(tmp_path, "slow", "run = lambda: time.sleep(0.004)")
    opened = line(slow)
    try:
        opened.ask({"do": "prepare", "case": relu(3).as_data()})
        start = time.perf_counter()
        found = opened.ask({"do": "time", "seconds": 0.1, "pause": 0.1})
        taken = time.perf_counter() - start
    finally:
        opened.close()
    assert 0.004 <= found["seconds"] < 0.04
    assert taken >= 0.2
    assert found["samples"] <= 26


def test_a_device_is_waited_for(tmp_path):
    """`synchronise` is part of the time, once after each sample."""
    starting = "global synchronise\n    def synchronise(): time.sleep(0.02)"
    queued = contender(tmp_path, "queued", RIGHT, starting)
    opened = line(queued)
    try:
        opened.ask({"do": "prepare", "case": relu(3).as_data()})
        found = opened.ask({"do": "time", "seconds": 0, "pause": 0})
    finally:
        opened.close()
    assert 0.02 <= found["seconds"] < 0.2


@pytest.mark.skipif(not measuring.os.path.exists("/proc/self/statm"), reason="the system says not")
def test_memory_that_is_kept_is_seen(tmp_path):
    keep = contender(tmp_path, "keep", "kept = []\nrun = lambda: kept.append(np.ones(1 << 20))")
    opened = line(keep)
    try:
        opened.ask({"do": "prepare", "case": relu(3).as_data()})
        found = opened.ask({"do": "time", "seconds": 0.05, "pause": 0})
    finally:
        opened.close()
    assert found["growth"] >= 3 * 8 * (1 << 20)  # three calls at least, of 8 MiB each
    assert found["peak"] >= found["growth"]


@pytest.mark.parametrize(
    ("preparing", "said"),
    [
        ("os._exit(3)", "still: its process ended, exit code 3"),
        ("os.kill(os.getpid(), 9)", "still: its process ended, killed by signal 9"),
        ("print('Error: bad luck', file=sys.stderr)\nos._exit(1)", r"\(Error: bad luck\)"),
    ],
)
def test_who_dies_is_named(tmp_path, preparing, said):
    opened = line(contender(tmp_path, "still", preparing))
    with pytest.raises(ContenderError, match=said):
        opened.ask({"do": "prepare", "case": relu(3).as_data()})


def test_who_hangs_is_named_and_gone(tmp_path):
    opened = line(contender(tmp_path, "hangs", "time.sleep(600)"))
    opened.timeout = 0.3
    with pytest.raises(ContenderError, match=r"hangs: no answer after 0.3 s. .*--timeout"):
        opened.ask({"do": "prepare", "case": relu(3).as_data()})
    assert opened._process.poll() is not None


def test_errors_and_what_is_not_offered_leave_the_process_alive(tmp_path):
    first = "if case['batch'] == 1:\n    raise NotImplementedError('no ones')\n"
    picky = contender(tmp_path, "picky", first + "if case['batch'] == 2:\n    1 / 0\n" + RIGHT)
    opened = line(picky)
    try:
        with pytest.raises(CaseError, match=r"^no ones$") as refused:
            opened.ask({"do": "prepare", "case": relu(3, 1).as_data()})
        assert not refused.value.offered
        with pytest.raises(CaseError, match=r"^ZeroDivisionError: division by zero$") as failed:
            opened.ask({"do": "prepare", "case": relu(3, 2).as_data()})
        assert failed.value.offered
        assert opened.ask({"do": "prepare", "case": relu(3, 3).as_data()}) == {}
    finally:
        opened.close()


def test_a_python_without_the_framework_is_named(tmp_path):
    lacks = contender(tmp_path, "lacks", starting="import no_such_framework")
    with pytest.raises(ContenderError, match=r"lacks: cannot start in .*no_such_framework"):
        line(lacks)
    text = tmp_path / "no_program.txt"
    text.write_text("")
    with pytest.raises(ContenderError, match=r"cannot start .*no_program.txt: .*ermission"):
        line(Contender("none", lacks.file, str(text)))


def test_peers_and_rungs_that_are_not_there():
    with pytest.raises(ArgumentError, match=r"no peer 'tourch'. Use torch, "):
        peer("tourch")
    with pytest.raises(ArgumentError, match="peer 'torch': no program '/no/python'"):
        peer("torch=/no/python")
    with pytest.raises(ArgumentError, match=r"'mine' would be in .*mine.py, which is not there"):
        peer("mine.py")
    with pytest.raises(ArgumentError, match=r"no rung 'numbo' here. Use: loops, numpy, numba"):
        rung("numbo")


# --------------------------------------------------------------------------------- a whole run


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Run:
    """Two rounds with a right contender, wrong ones, and ones that fail in their own ways."""
    folder = tmp_path_factory.mktemp("contenders")
    wrong = "factor = 1 + (2e-4 if case['batch'] == 3 else 5e-5)\n"
    wrong += "run = lambda: np.maximum(x, 0) * np.float32(factor)"
    later = "if case['batch'] == 3 and os.path.exists(__file__ + '.seen'):\n    os._exit(1)\n"
    later += "if case['batch'] == 3:\n    open(__file__ + '.seen', 'w')\n" + RIGHT
    who = [
        contender(folder, "right"),
        contender(folder, "wrong", wrong),
        contender(folder, "missing", "return SimpleNamespace(run=None, outputs=dict)"),
        contender(folder, "nan", "run = lambda: np.full_like(x, np.nan)"),
        contender(folder, "later", later),
        contender(folder, "other", "raise NotImplementedError('no relu')"),
    ]
    found = Run([relu(3, 2), relu(3, 3), relu(3, 4)], who, BRIEF)
    found.check()
    found.round()
    found.round()
    return found


def problems(run: Run, name: str) -> list[str]:
    return [run.entries[case.key][name].problem for case in run.cases]


def test_the_right_one_is_timed_in_every_case_and_round(run):
    for case in run.cases:
        entry = run.entries[case.key]["right"]
        assert entry.problem == ""
        assert entry.errors == {"y": pytest.approx(0, abs=1e-7)}
        assert len(entry.seconds) == 2
        assert all(0 < s < 1 for s in entry.seconds)


def test_wrong_results_are_reported_and_not_timed(run):
    first, second, third = problems(run, "wrong")
    assert (first, third) == ("", "")
    assert second.startswith("wrong: y is off by 2.0e-04 of its largest value")
    assert run.entries[run.cases[1].key]["wrong"].seconds == [None, None]
    assert None not in run.entries[run.cases[0].key]["wrong"].seconds
    assert (
        problems(run, "nan")
        == ["wrong: y is off by inf of its largest value, more than 0.0001; not timed"] * 3
    )
    assert problems(run, "missing") == ["gives no y"] * 3


def test_who_dies_in_a_case_goes_on_with_the_next(run):
    first, second, third = problems(run, "later")
    assert (first, third) == ("", "")
    assert second.startswith("its process ended, exit code 1")
    entries = [run.entries[case.key]["later"] for case in run.cases]
    assert None not in entries[0].seconds + entries[2].seconds


def test_who_does_not_offer_an_operation_is_no_problem(run):
    assert problems(run, "other") == ["no relu"] * 3
    assert not any("no relu" in problem for problem in run.problems)
    assert any(p.startswith("later: relu 3 b3, forward: its process ended") for p in run.problems)


def test_the_peaks_are_measured_in_every_round_and_beside_every_case(run):
    assert {name: len(found) for name, found in run.peaks.items()} == {"fma": 2, "copy": 2 + 2 * 3}
    assert set(run.limits.values()) == {"copy"}  # of ReLU
    beside = [peak for found in run.beside.values() for peak in found]
    assert sorted(beside) == sorted(set(run.peaks["copy"]) & set(beside))
    assert len(beside) == 2 * 3
    assert all(0.1 < value < 1e6 for found in run.peaks.values() for value in found)


def test_the_table_fits_and_tells_all(run):
    lines = [*table.lines_of(result_of(run, "right", "minicnn bench"))]
    assert max(map(len, lines)) <= 100
    text = "\n".join(lines)
    assert "relu 3 b2, forward" in text
    assert "  other             no relu" in text
    assert "  wrong             wrong: y is off by 2.0e-04" in text
    assert "  nan               wrong: y is off by inf" in text


def test_the_reference_is_not_mixed_up_with_the_rung_that_computes_it(tmp_path):
    """The numpy rung itself, in float32, is held against float64 too."""
    found = Run([*layer_cases.linear("t", (64, 3), 2)], [rung("numpy")], BRIEF)
    found.check()
    assert found.problems == []
    errors = [by_name["numpy"].errors for by_name in found.entries.values()]
    assert all(0 < error < 1e-5 for by_output in errors for error in by_output.values())


def test_who_cannot_start_ends_the_run_before_it_begins(tmp_path):
    absent = contender(tmp_path, "absent", starting="import no_such_framework")
    found = Run([relu(3)], [contender(tmp_path, "right"), absent], BRIEF)
    with pytest.raises(ContenderError, match=r"^absent: cannot start in .*no_such_framework"):
        found.check()


def test_who_can_no_longer_start_is_named_once_and_the_others_go_on(tmp_path):
    absent = contender(tmp_path, "absent", starting="import no_such_framework")
    found = Run([relu(3), relu(4)], [contender(tmp_path, "right"), absent], BRIEF)
    found.round()
    found.round()
    assert len(found.problems) == 1
    assert None not in found.entries[relu(4).key]["right"].seconds
    assert found.entries[relu(4).key]["absent"].problem.startswith("absent: cannot start")


def test_what_has_no_reference_is_not_timed(tmp_path):
    odd = Case("t", "odd", "no such op", "forward", 1, {}, {"x": (3,)}, 0, 12)
    found = Run([odd], [contender(tmp_path, "right")], BRIEF)
    found.check()
    assert found.entries[odd.key]["right"].problem == "not checked: no reference for it"
    assert len(found.problems) == 1


def test_fresh_processes_in_turn(tmp_path):
    """Each round has new processes, and another contender goes first."""
    log = tmp_path / "log"
    note = f"""
note = open({str(log)!r}, "a", buffering=1)
def run():
    print(case["batch"], "NAME", os.getpid(), file=note)
    return np.maximum(x, 0)
"""
    who = [contender(tmp_path, name, note.replace("NAME", name)) for name in "abc"]
    measured = Run([relu(3, 2), relu(3, 3)], who, BRIEF)
    for _ in range(2):
        measured.round()
    calls = [tuple(entry.split()) for entry in log.read_text().splitlines()]
    turns = [call for i, call in enumerate(calls) if i == 0 or calls[i - 1][:2] != call[:2]]
    assert [name for _, name, _ in turns] == [*"abc", *"bca", *"bca", *"cab"]
    assert [batch for batch, _, _ in turns] == [*"222333"] * 2
    assert len({pid for _, _, pid in turns}) == 6
