"""`minicnn check`: are these kernels right? The contract, run on a file of one's own."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from minicnn import contract
from minicnn.cli.options import Finite, Page, option
from minicnn.contract import report
from minicnn.contract.calls import DTYPES

STYLES: dict[str, dict[str, Any]] = {
    "right": {"fg": "green"},
    "wrong": {"fg": "red", "bold": True},
    "hint": {"fg": "yellow"},
    "title": {"bold": True},
    "faint": {"dim": True},
}


@click.command("check", cls=Page)
@click.argument("kernels", required=False)
@option(
    "--op",
    "ops",
    multiple=True,
    metavar="NAME",
    section="What is checked",
    help="Only this kernel; may be given several times.",
    unless="all in the file",
)
@option(
    "--dtype",
    type=click.Choice(DTYPES),
    metavar="DTYPE",
    section="What is checked",
    help="Only float32 or only float64.",
    unless="both",
)
@option(
    "--timeout",
    type=Finite(min=0, min_open=True),
    default=10.0,
    metavar="SECONDS",
    section="What is checked",
    help="The longest that one call may take.",
    unless="10",
)
@option(
    "--verbose",
    is_flag=True,
    section="What is shown",
    help="All missing kernels by name, and what the file prints.",
)
@option(
    "--example",
    is_flag=True,
    section="What is shown",
    help="Nothing is checked: print a file to begin with.",
)
def command(
    kernels: str | None,
    ops: tuple[str, ...],
    dtype: str | None,
    timeout: float,
    verbose: bool,
    example: bool,
) -> None:
    """Are these kernels right? Every function of KERNELS that is named as a
    kernel is called with the contract's cases, the smallest first, and held
    against the textbook's loops. A wrong one is shown by its smallest case.

    KERNELS is a Python file, as use_backend takes it imported; or a rung's
    name. The exit code is 1 if something is wrong.

    \b
    minicnn check --example > mykernels.py
    minicnn check mykernels.py
    minicnn check mykernels.py --op conv2d --dtype float64
    minicnn check numba --op max_pool2d
    """
    if example:
        click.echo(Path(contract.__file__).with_name("example.py").read_text("utf-8"), nl=False)
        return
    if kernels is None:
        raise click.UsageError("KERNELS is missing. Name a Python file, or a rung.")
    width = 0

    def begin(here: Sequence[str]) -> None:
        nonlocal width
        width = max(map(len, here), default=0)
        click.echo(paint(kernels, "title"))

    def show(verdict: contract.Verdict) -> None:
        if verdict.status != "missing":
            click.echo(report.row(verdict, width, paint))

    found = contract.check(
        kernels,
        ops=ops or None,
        dtypes=(dtype,) if dtype else DTYPES,
        timeout=timeout,
        output=verbose,
        on_start=begin,
        on_verdict=show,
    )
    for line in report.ending(found, paint, verbose):
        click.echo(line)
    if not found.ok or (ops and found.missing):
        sys.exit(1)


def paint(text: str, role: str) -> str:
    """In colour; click takes colours away where standard output is no terminal."""
    return click.style(text, **STYLES.get(role, {}))
