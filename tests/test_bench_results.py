"""What `minicnn bench` writes: the JSON file, the table, the pictures."""

from __future__ import annotations

import json

import pytest
from helpers_bench import relu

from minicnn.bench import charts, layer_cases, results, table
from minicnn.bench.cases import Case
from minicnn.bench.contenders import Contender
from minicnn.bench.measuring import Run, Settings
from minicnn.errors import ArgumentError, DataError

CONV = layer_cases.convolution("tests", (3, 8, 8, 3, 1, 0), 1)  # forward and weight gradient


def measured(cases: list[Case], **seconds: list[float | None]) -> Run:
    """A run as if these contenders had taken so many seconds in each round of every case."""
    who = [Contender(name, "") for name in seconds]
    run = Run(cases, who, Settings(threads=2, rounds=3))
    run.peaks = {"fma": [90.0, 100.0], "copy": [10.0, 8.0]}
    run.limits = {case.key: "fma" if case.flops else "copy" for case in cases}
    run.beside = {case.key: [10.0, 8.0, None] for case in cases}
    run.rounds_done = 3
    for by_name in run.entries.values():
        for name, times in seconds.items():
            by_name[name].seconds = list(times)
            by_name[name].growth = [10**6] * 3
    return run


def test_figures_of_a_case():
    """24 bytes in 1 and 2 s, beside copies of 10 and 8 GB/s: 2.4e-9 and 1.5e-9 of them."""
    run = measured([relu(3, 1)], a=[1.0, 2.0, 3.0], b=[4.0, 4.0, None])
    run.entries[run.cases[0].key]["a"].errors = {"y": 1e-6}
    data = results.result_of(run, "b", "minicnn bench")
    a = data["cases"][0]["contenders"]["a"]
    assert a["ms"] == [1500.0, 2000.0, 2500.0]
    assert a["ms of each round"] == [1000.0, 2000.0, 3000.0]
    assert a["GFLOP/s"] == 0
    assert a["GB/s"] == pytest.approx(12e-9)
    assert (a["share of roof"], a["roof"]) == (pytest.approx(1.95e-9), "copy")
    assert a["share of best"] == pytest.approx(1.2e-9)  # 12 bytes a second, of 10 GB/s
    assert data["cases"][0]["peak of each round"] == [10.0, 8.0, None]
    assert a["ratio"] == [2.5, 3.0, 3.5]  # of the rounds 4/1 and 4/2
    assert a["growth MB"] == 1
    assert a["errors"] == {"y": 1e-6}
    assert data["peaks"] == {"fma GFLOP/s": 100.0, "copy GB/s": 10.0}
    assert data["complete"]


def test_the_file_holds_everything_and_comes_back(tmp_path):
    run = measured(CONV, numba=[1e-6, 2e-6, 1.23456789e-6], torch=[3e-6] * 3)
    data = results.result_of(run, "torch", "minicnn bench --suite x")
    results.save(data, tmp_path / "r.json")
    again = results.load(tmp_path / "r.json")
    assert again["command"] == "minicnn bench --suite x"
    assert again["settings"]["rounds"] == again["rounds"] == 3
    assert {"name", "cores", "SIMD", "system", "threads"} <= again["machine"].keys()
    assert [case["key"] for case in again["cases"]] == [case.key for case in CONV]
    assert again["cases"][0]["flops"] == 2 * 8 * 36 * 27
    assert again["cases"][0]["contenders"]["numba"]["ms of each round"][2] == 0.0012346


def test_what_is_no_result_is_named(tmp_path):
    for name, text in {"a": "", "b": "[]", "c": '{"format": 0, "cases": []}'}.items():
        (tmp_path / name).write_text(text)
        with pytest.raises(DataError, match=f"{name}: this is no .*minicnn bench --json"):
            results.load(tmp_path / name)


def test_a_stopped_run_says_so():
    run = measured(CONV, numba=[1e-6] * 3)
    run.rounds_done = 2
    data = results.result_of(run, "numba", "")
    assert not data["complete"]
    assert "stopped after 2 of 3 rounds" in [*table.lines_of(data)]


def test_a_run_without_a_single_round_is_still_a_result():
    run = Run(CONV, [Contender("numba", "")], Settings(threads=1, rounds=3))
    data = json.loads(json.dumps(results.result_of(run, "numba", "")))
    assert "  numba             not measured" in [*table.lines_of(data)]
    with pytest.raises(DataError, match="nothing was measured"):
        charts.bars(data, "never.png")


def result_of_ours(run: Run) -> results.Data:
    return results.result_of(run, "torch", "")


def test_the_table():
    run = measured([relu(250_000, 1)], torch=[2e-3] * 3, numba=[1e-3, 1e-3, 2e-3])
    run.load = 0.0
    lines = [*table.lines_of(results.result_of(run, "torch", ""))]
    assert lines[1] == "relu 250000 b1, forward"
    assert lines[2].split() == ["torch", "2.000", "(2.000–2.000)", "–", "1.0", "11", "%", "c", "1"]
    assert lines[3].split() == [
        "numba", "1.000", "(1.000–1.500)", "–", "2.0", "22", "%", "c", "2.00", "(1.50–2.00)",
    ]  # fmt: skip
    assert lines[-2].startswith("peaks on 2 threads: 100 GFLOP/s")
    assert lines[-1] == (
        "numba: 2.00× torch (geometric mean of 1); worst 2.00× in relu 250000 b1, forward"
    )
    run.load = 1.5
    assert "others were busy" in [*table.lines_of(results.result_of(run, "torch", ""))][-1]


def test_memory_that_grows_is_told():
    run = measured(CONV, torch=[2e-3] * 3, numba=[1e-3] * 3)
    run.entries[CONV[1].key]["numba"].growth = [None, 10**6, 99 * 10**6]
    lines = [*table.lines_of(result_of_ours(run))]
    told = [line for line in lines if "MB more" in line]
    assert told == [f"numba: held 50 MB more after the calls of {CONV[1].key} than before"]


@pytest.mark.parametrize("value", [0.000123456, 0.0123456, 1.23456, 123.456, 1234.56, 123456.0])
def test_numbers_keep_their_column(value):
    text = table.number(value)
    assert "e" not in text
    assert len(text) <= 7
    assert float(text) == pytest.approx(value, rel=0.05)


def test_pictures(tmp_path):
    data = results.result_of(measured(CONV, loops=[1.0] * 3, numba=[1e-6] * 3), "loops", "")
    for draw, name in ((charts.bars, "bars.png"), (charts.roofline, "roof.png")):
        figure = draw(data, tmp_path / name)
        assert (tmp_path / name).stat().st_size > 10_000
        assert {"loops", "numba"} <= words(figure)
        assert any(CONV[0].name in word for word in words(figure))


def test_a_roofline_needs_arithmetic(tmp_path):
    data = results.result_of(measured([relu(3, 1)], numba=[1.0] * 3), "numba", "")
    charts.bars(data, tmp_path / "gb.png")  # falls back to GB/s
    with pytest.raises(DataError, match="no case with FLOPs"):
        charts.roofline(data, tmp_path / "r.png")
    with pytest.raises(ArgumentError, match="no picture format"):
        charts.bars(data, tmp_path / "gb.doc")


def words(figure) -> set[str]:
    """All texts in a figure."""
    from matplotlib.text import Text

    return {text.get_text() for text in figure.findobj(Text)}
