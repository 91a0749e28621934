"""A run as data: what goes into the JSON file, and comes out of it again."""

from __future__ import annotations

import json
import os
import statistics
from pathlib import Path
from typing import Any

from minicnn.bench.figures import paired_ratios, quartiles
from minicnn.bench.machine import machine
from minicnn.bench.measuring import Entry, Run
from minicnn.errors import DataError
from minicnn.io.atomic import atomic_write_text

FORMAT = 1
Data = dict[str, Any]


def result_of(run: Run, baseline: str, command: str) -> Data:
    """Everything that was measured so far, with the figures made of it."""
    peaks = {name: max(found, default=None) for name, found in run.peaks.items()}
    return {
        "format": FORMAT,
        "command": command,
        "machine": machine() | {"threads": run.settings.threads},
        "settings": vars(run.settings),
        "baseline": baseline,
        "contenders": {c.name: run.versions.get(c.name, {}) for c in run.contenders},
        "rounds": run.rounds_done,
        "complete": run.rounds_done == run.settings.rounds,
        "load before": run.load,
        "peaks": {"fma GFLOP/s": peaks["fma"], "copy GB/s": peaks["copy"]},
        "peaks, each time": run.peaks,
        "cases": [_case(run, case, baseline, peaks) for case in run.cases],
        "problems": run.problems,
    }


def _case(run: Run, case: Any, baseline: str, peaks: dict[str, float | None]) -> Data:
    data = case.as_data()
    del data["tensors"]
    entries = run.entries[case.key]
    base = entries[baseline].seconds
    data["contenders"] = {name: _figures(case, entry, base) for name, entry in entries.items()}
    limit = run.limits.get(case.key)
    if limit is not None:
        data["peak of each round"] = run.beside[case.key]
        for contender in run.contenders:
            if not contender.on_gpu:  # the peaks are the CPU's
                found, entry = data["contenders"][contender.name], entries[contender.name]
                found |= _shares(case, entry.seconds, run.beside[case.key], limit, peaks[limit])
    return data


def _shares(
    case: Any, seconds: list[float | None], beside: list[float | None], limit: str,
    best: float | None,
) -> Data:  # fmt: skip
    """How much of the roof was reached: of the peak in the same turn, and of the best of all."""
    amount = (case.flops if limit == "fma" else case.bytes) / 1e9
    shares = [amount / s / peak for s, peak in zip(seconds, beside, strict=False) if s and peak]
    if not shares or not best:
        return {}
    known = [s for s in seconds if s is not None]
    return {
        "share of roof": statistics.median(shares),
        "quartiles of share": quartiles(shares),
        "share of best": amount / statistics.median(known) / best,
        "roof": limit,
    }


def _figures(case: Any, entry: Entry, base: list[float | None]) -> Data:
    """The figures of one contender in one case."""
    found: Data = {"path": entry.path} if entry.path else {}
    found["errors"] = entry.errors
    if entry.problem:
        found |= {"problem": entry.problem, "wrong": entry.wrong}
    seconds = [s for s in entry.seconds if s is not None]
    if not seconds:
        return found
    median = statistics.median(seconds)
    found |= {
        "ms": [1e3 * q for q in quartiles(seconds)],
        "ms of each round": [None if s is None else 1e3 * s for s in entry.seconds],
        "GFLOP/s": case.flops / median / 1e9,
        "GB/s": case.bytes / median / 1e9,
    }
    ratios = paired_ratios(base, entry.seconds)
    if ratios:
        found["ratio"] = quartiles(ratios)
    for name, numbers in (("growth", entry.growth), ("peak", entry.peak)):
        known = [n for n in numbers if n is not None]
        if known:
            found[f"{name} MB"] = statistics.median(known) / 1e6
    return found


def save(result: Data, path: str | os.PathLike[str]) -> None:
    """Write the result as JSON; the old file stays until the new one is whole."""
    text = json.dumps(rounded(result), indent=1, ensure_ascii=False) + "\n"
    atomic_write_text(path, text, error=DataError)


def load(path: str | os.PathLike[str]) -> Data:
    """Read a result. Raises DataError, with the file's name, for what is none."""
    try:
        data = json.loads(Path(path).read_text(encoding="utf-8"))
    except (ValueError, UnicodeDecodeError) as error:
        raise DataError(
            f"{path}: this is no JSON ({error}). Write one with minicnn bench --json."
        ) from error
    if not isinstance(data, dict) or data.get("format") != FORMAT or "cases" not in data:
        raise DataError(
            f"{path}: this is no result of format {FORMAT}. Write one with minicnn bench --json."
        )
    return data


def rounded(value: Any) -> Any:
    """Numbers to five significant digits: no clock is better, and a file stays readable."""
    if isinstance(value, float):
        return float(f"{value:.5g}")
    if isinstance(value, dict):
        return {k: rounded(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(v) for v in value]
    return value
