"""The table at the end of `pytest -m gradients`."""

from __future__ import annotations

from typing import Any

import pytest
from gradient_table import Row, installed, table

_ROWS: list[Row] = []


@pytest.fixture(scope="session")
def rows() -> list[Row]:
    """Where the tests put the lines of the table."""
    return _ROWS


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Print the table, if it is what was asked for."""
    if config.getoption("markexpr") != "gradients" or not _ROWS:
        return
    terminalreporter.section("gradients")
    for line in table(_ROWS, installed("torch")):
        terminalreporter.write_line(line.text, **line.look)
