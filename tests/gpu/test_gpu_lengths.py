"""Arrays of another length than a kernel says are seen before it runs, in every launch there is."""

from __future__ import annotations

from functools import cache
from typing import Any

import lengths
import numpy as np
import pytest
from dry_driver import DryDriver, Launch
from host_driver import HostDriver, KernelFault, usable
from test_cubins import launch_all

from minicnn.kernels.gpu import _conv_paths, _cuda, _source

KERNELS = {
    (path.stem, kernel): (parameters, shapes)
    for path in sorted(_source.FOLDER.glob("*.cu"))
    for (kernel, parameters), shapes in lengths.shapes(path.read_text(encoding="utf-8")).items()
}


@cache
def launches() -> list[Launch]:
    """All that the kernel contract's cases launch, on each path of convolution."""
    dry = DryDriver()
    for path in (None, *_conv_paths.PATHS):
        launch_all(path, False, dry)
    return dry.launches


def test_every_array_has_a_shape_in_the_comments() -> None:
    for (stem, kernel), (parameters, shapes) in KERNELS.items():
        arrays = {p.name for p in parameters if p.stars == 1}
        assert shapes.keys() == arrays, f"{stem}.cu, {kernel}: say how long they are"


def test_a_number_less_is_seen_in_each_array_of_each_kernel(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("MINICNN_CACHE_DIR", str(tmp_path))
    seen: set[tuple[str, str]] = set()
    for launch in launches():
        assert not lengths.wrong(launch.kernel, launch.parameters, launch.args)
        for i, (parameter, array) in enumerate(zip(launch.parameters, launch.args, strict=True)):
            for shorter in cut(array):
                args = [*launch.args[:i], shorter, *launch.args[i + 1 :]]
                if lengths.wrong(launch.kernel, launch.parameters, args):
                    seen.add((launch.kernel, parameter.name))
    all_of_them = {
        (kernel, p.name) for (_, kernel), (ps, _) in KERNELS.items() for p in ps if p.stars
    }
    assert seen == all_of_them


def cut(argument: Any) -> list[Any]:
    """The array, or the last array of a table, with a number less, if it has any."""
    if isinstance(argument, np.ndarray) and argument.ndim and argument.size:
        return [argument.reshape(-1)[:-1]]
    return [[*argument[:-1], *cut(argument[-1])]] if isinstance(argument, list) else []


def test_a_launch_with_an_array_too_short_is_refused() -> None:
    x, y = np.zeros(8, "float32"), np.zeros(7, "float32")
    with (
        _cuda.use_driver(DryDriver()) as dry,
        pytest.raises(AssertionError, match=r"silu: REAL \*y has 7 numbers, not \(n\)"),
    ):
        _cuda.spread("activation", "silu", 8, x, y, 8)
    assert not dry.launches


@pytest.mark.skipif(bool(usable()), reason=usable() or "usable")
def test_the_host_refuses_it_too() -> None:
    x, y = np.zeros(8, "float32"), np.zeros(7, "float32")
    with _cuda.use_driver(HostDriver()), pytest.raises(KernelFault, match="y has 7 numbers"):
        _cuda.spread("activation", "silu", 8, x, y, 8)
