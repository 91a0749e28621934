"""`minicnn bench --rungs cupy` without a GPU: its process finds a stand-in, and says its paths."""

from __future__ import annotations

import textwrap
from pathlib import Path

import host_driver
import numpy as np
import pytest

import minicnn
from minicnn.bench import host, layer_cases, memory_cases, model_cases, ours, results, table
from minicnn.bench.contenders import Contender, rung
from minicnn.bench.measuring import Run, Settings
from minicnn.kernels.gpu import _conv_paths, _cuda

pytestmark = pytest.mark.skipif(bool(host_driver.usable()), reason=host_driver.usable() or "usable")

CASES = layer_cases.convolution("t", (2, 9, 7, 3, 1, 1), 2)
STAND_IN = """
import sys
sys.path.insert(0, {folder!r})
import fake_cupy
from device_driver import DeviceDriver
from minicnn.kernels.gpu import _cuda

standing_in = fake_cupy.installed(), _cuda.use_driver(DeviceDriver())
for it in standing_in:
    it.__enter__()
from minicnn.bench.ours import *
"""


def test_each_convolution_s_path_is_said_in_table_and_file(tmp_path: Path) -> None:
    """From the choice in the contender's process to the line of the table."""
    here = Path(__file__).resolve().parent
    file = tmp_path / "ours_on_a_stand_in.py"
    file.write_text(textwrap.dedent(STAND_IN.format(folder=str(here))))
    cupy = Contender("cupy", str(file), options={"rung": "cupy"})
    run = Run(CASES, [rung("numpy"), cupy], Settings(1, rounds=1, seconds=0, pause=0))
    run.check()
    run.round()
    assert run.problems == []
    assert run.versions["cupy"]["GPU"] == "Fake GPU"
    result = results.result_of(run, "numpy", "minicnn bench")
    figures = [case["contenders"]["cupy"] for case in result["cases"]]
    layer = _conv_paths.Layer((2, 2, 7, 7), (9, 2, 3, 3), *[(1, 1)] * 3, 1)
    with _cuda.use_driver(host_driver.HostDriver()):
        want = [_conv_paths.choose(layer, 4, grad_of) for grad_of in ("", "input", "weight")]
    assert [f["path"] for f in figures] == want
    assert all("roof" not in f for f in figures)  # the peaks are the CPU's
    lines = [line for line in table.lines_of(result) if line.startswith("  cupy")]
    assert [line.split()[1] for line in lines] == want


@pytest.mark.usefixtures("kernels_run")
@pytest.mark.parametrize(
    "case",
    [
        CASES[0],
        memory_cases.norm((1,))[0],
        *model_cases.network("t", model_cases.FIRST, 2),
        *memory_cases.optimizers(())[:2],
    ],
    ids=lambda case: case.key,
)
def test_every_kind_of_case_is_computed_on_the_gpu(case, monkeypatch) -> None:
    """Inputs go to the GPU's memory, and the results come back from it."""
    data, waited = case.as_data(), []
    monkeypatch.setattr(minicnn.cuda, "synchronize", lambda: waited.append(True))
    outputs = {}
    for name in ("cupy", "numba"):
        monkeypatch.setattr(minicnn.kernels, "_default", None)
        ours.start(1, {"rung": name})
        prepared = ours.prepare(data, host.draw(data))
        outputs[name] = prepared.outputs()
        prepared.run()
        ours.synchronise()
    assert waited == [True]
    for name, want in outputs["numba"].items():
        assert type(outputs["cupy"][name]) is np.ndarray
        np.testing.assert_allclose(outputs["cupy"][name], want, rtol=1e-3, atol=1e-4)
