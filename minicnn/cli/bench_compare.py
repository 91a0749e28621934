"""`minicnn bench compare`: two results of this machine, case by case."""

from __future__ import annotations

import click

from minicnn.cli.options import Finite, Page, option


@click.command("compare", cls=Page, short_help="Two results: what became faster, what slower.")
@click.argument("a")
@click.argument("b")
@option(
    "--fail-below",
    type=Finite(min=0),
    metavar="X",
    section="How",
    help="Exit code 1 if in any case b has less than X times a's speed.",
)
@option(
    "--anyway",
    is_flag=True,
    section="How",
    help="Even if machine or threads differ.",
)
@click.pass_context
def compare(ctx: click.Context, a: str, b: str, fail_below: float | None, anyway: bool) -> None:
    """What became faster from A to B, and what slower? Both are files that
    minicnn bench --json wrote. A word stands where the quartiles of the two
    do not overlap.

    \b
    minicnn bench compare before.json after.json
    """
    from minicnn.bench import comparing, results

    found = comparing.changes(results.load(a), results.load(b), anyway)
    for line in comparing.lines_of(found):
        click.echo(line)
    below = [change for change in found if fail_below is not None and change.ratio < fail_below]
    if below:
        click.echo(f"{len(below)} of {len(found)} below {fail_below:g}×")
    ctx.exit(1 if below else 0)
