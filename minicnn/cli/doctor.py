"""`minicnn doctor`: what was found on this machine; with --warm, kernels compiled ahead."""

from __future__ import annotations

import textwrap
import time

import click

from minicnn import doctor
from minicnn.cli.app import say_error
from minicnn.cli.compiling import Compiling
from minicnn.cli.options import Page, compute_with, computing, option
from minicnn.errors import MiniCNNError

DTYPES = ("float32", "float64")


@click.command("doctor", cls=Page)
@option(
    "--warm",
    is_flag=True,
    section="What is done",
    help="Compile all CPU kernels now, so that no later start waits.",
)
@computing
@click.pass_context
def command(ctx: click.Context, warm: bool, backend: str | None, threads: int | None) -> None:
    """What minicnn found on this machine: versions, cores and threads, SIMD,
    GPU (or why none), caches, and which rung each kernel comes from.

    \b
    minicnn doctor
    minicnn doctor --warm
    minicnn doctor --backend loops
    """
    compute_with(backend, threads)
    if warm:
        started = time.perf_counter()
        with Compiling("compiling all CPU kernels", total=len(DTYPES) * doctor.compilable()):
            doctor.warm(DTYPES)
        seconds = time.perf_counter() - started
        click.echo(f"All CPU kernels are ready, after {seconds:.1f} s.\n")
    for title, facts in doctor.examine().items():
        click.echo(title)
        for name, value in facts.items():
            click.echo(wrapped(name, value))
    wrong = doctor.problems()
    for problem in wrong:
        say_error(MiniCNNError(problem))
    ctx.exit(1 if wrong else 0)


def wrapped(name: str, value: str) -> str:
    """`  name   value`, long values going on below themselves."""
    # Paths are not cut: who copies one wants it whole.
    return textwrap.fill(
        value, 79, initial_indent=f"  {name:<11} ", subsequent_indent=" " * 14,
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip
