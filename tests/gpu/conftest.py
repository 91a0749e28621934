"""Fixtures of the GPU rung's tests: the host's compiler in the place of a GPU."""

from __future__ import annotations

import types
from collections.abc import Iterator

import fake_cupy
import host_driver
import pytest

from minicnn import kernels
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
