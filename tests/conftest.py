"""Set-up for all tests: hypothesis draws the same examples in every run, and the rungs' names."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

import minicnn

try:
    import torch
    from oracle import RUNGS

    torch.set_num_threads(1)  # its threads wait by spinning, and the cores are minicnn's here
except ImportError:  # all tests need torch but those in gradients/, which make do without
    torch, RUNGS = None, ()

settings.register_profile(
    "minicnn",
    derandomize=True,
    deadline=None,
    database=None,
    max_examples=20,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("minicnn")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """`pytest -m gradients` looks at its own folder alone: it starts at once, without torch too."""
    here = Path(__file__).parent
    mine = here / "gradients"
    elsewhere = collection_path not in (here, mine) and mine not in collection_path.parents
    return True if elsewhere and config.getoption("markexpr") == "gradients" else None


@pytest.fixture(autouse=True)
def same_seed() -> None:
    """Every test draws the same numbers, whichever tests ran before it."""
    minicnn.manual_seed(0)
    if torch is not None:
        torch.manual_seed(0)


@pytest.fixture(params=RUNGS, scope="session")
def rung(request: pytest.FixtureRequest) -> str:
    """Each rung's name in turn; pass it to `oracle.check` or `minicnn.use_backend`."""
    return request.param
