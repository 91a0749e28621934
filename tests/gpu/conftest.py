"""Fixtures of the GPU rung's tests: the host's compiler in the place of a GPU."""

from __future__ import annotations

import types
from collections.abc import Iterator

import fake_cupy
import host_driver
import pytest
from device_driver import DeviceDriver

from minicnn import kernels
from minicnn.kernels import gpu
from minicnn.kernels.gpu import _cuda


@pytest.fixture
def host() -> Iterator[host_driver.HostDriver]:
    """A HostDriver in force during the test."""
    reason = host_driver.usable()
    if reason:
        pytest.skip(reason)
    with _cuda.use_driver(host_driver.HostDriver()) as driver:
        yield driver


@pytest.fixture
def gpus(monkeypatch) -> Iterator[types.ModuleType]:
    """Two GPUs that answer. The cupy rung is empty: its kernels' tests are elsewhere."""
    empty = kernels.Backend("cupy", types.SimpleNamespace())
    monkeypatch.setitem(kernels._rungs, "cupy", empty)
    with fake_cupy.installed(devices=2) as cupy:
        yield cupy


@pytest.fixture
def kernels_run(monkeypatch) -> Iterator[DeviceDriver]:
    """A GPU that answers, whose rung is the real one on the host's compiler."""
    monkeypatch.setitem(kernels._rungs, "cupy", kernels.Backend("cupy", gpu))
    reason = host_driver.usable()
    if reason:
        pytest.skip(reason)
    with fake_cupy.installed(), _cuda.use_driver(DeviceDriver()) as driver:
        yield driver
