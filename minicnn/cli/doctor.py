"""`minicnn doctor`: what was found on this machine; with --warm, kernels compiled ahead."""

from __future__ import annotations

import sys
import textwrap
import time

import click

from minicnn import doctor
from minicnn.cli.options import Page, compute_with, computing, option


@click.command("doctor", cls=Page)
@option(
    "--warm",
    is_flag=True,
    section="What is done",
    help="Compile all CPU kernels now, so that no later start waits.",
)
@computing
def command(warm: bool, backend: str | None, threads: int | None) -> None:
    """What minicnn found on this machine: versions, cores and threads, SIMD,
    GPU (or why none), caches, and which rung each kernel comes from.

    \b
    minicnn doctor
    minicnn doctor --warm
    minicnn doctor --backend loops
    """
    compute_with(backend, threads)
    if warm:
        compile_kernels(("float32", "float64"))
        click.echo()
    for title, facts in doctor.examine().items():
        click.echo(title)
        for name, value in facts.items():
            click.echo(_wrapped(name, value))


def compile_kernels(dtypes: tuple[str, ...]) -> None:
    """Compile the numba rung for these dtypes, with a bar where there is a terminal."""
    from tqdm import tqdm

    started = time.perf_counter()
    what = f"compiling the CPU kernels for {' and '.join(dtypes)}"
    live = sys.stderr.isatty()
    if not live:
        click.echo(f"{what} …")
    with tqdm(
        total=1, desc=what, disable=not live, leave=False, ncols=79,
        bar_format="{desc} {bar} {n_fmt}/{total_fmt} {elapsed}",
    ) as bar:  # fmt: skip

        def tell(done: int, total: int) -> None:
            bar.total, bar.n = total, done
            bar.refresh()

        doctor.warm(dtypes, tell)
    click.echo(f"compiled for {' and '.join(dtypes)} in {time.perf_counter() - started:.1f} s")


def _wrapped(name: str, value: str) -> str:
    """`  name   value`, long values going on below themselves."""
    first = f"  {name:<12}"
    if len(first) < len(name) + 3:
        first = f"  {name} "
    # Paths are not cut: who copies one wants it whole.
    return textwrap.fill(
        value, 79, initial_indent=first, subsequent_indent=" " * 14,
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip
