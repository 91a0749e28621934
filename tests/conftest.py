"""Set-up for all tests: hypothesis draws the same examples in every run, and the rungs' names."""

from __future__ import annotations

import pytest
import torch
from hypothesis import HealthCheck, settings
from oracle import RUNGS

import minicnn

torch.set_num_threads(1)  # its threads wait by spinning, and the cores are minicnn's here

settings.register_profile(
    "minicnn",
    derandomize=True,
    deadline=None,
    database=None,
    max_examples=20,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("minicnn")


@pytest.fixture(autouse=True)
def same_seed() -> None:
    """Every test draws the same numbers, whichever tests ran before it."""
    minicnn.manual_seed(0)
    torch.manual_seed(0)


@pytest.fixture(params=RUNGS, scope="session")
def rung(request: pytest.FixtureRequest) -> str:
    """Each rung's name in turn; pass it to `oracle.check` or `minicnn.use_backend`."""
    return request.param
