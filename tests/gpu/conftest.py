"""Fixtures of the GPU rung's tests: the host's compiler in the place of a GPU."""

from __future__ import annotations

from collections.abc import Iterator

import host_driver
import pytest

from minicnn.kernels.gpu import _cuda


@pytest.fixture
def host() -> Iterator[host_driver.HostDriver]:
    """A HostDriver in force during the test."""
    reason = host_driver.usable()
    if reason:
        pytest.skip(reason)
    with _cuda.use_driver(host_driver.HostDriver()) as driver:
        yield driver
