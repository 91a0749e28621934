"""`minicnn bench`: what each rung, and each peer, makes of this machine."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

from minicnn.bench.contenders import Contender, peer, rung
from minicnn.bench.suites import select
from minicnn.cli.options import Finite, Page, option
from minicnn.errors import ArgumentError
from minicnn.kernels import threads

QUICK_ROUNDS, ROUNDS = 3, 7


class Pages(Page, click.Group):
    """A page with options by section, and with commands below it."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        Page.format_options(self, ctx, formatter)
        self.format_commands(ctx, formatter)


@click.group("bench", cls=Pages, invoke_without_command=True)
@option(
    "--suite",
    default="quick",
    metavar="NAME",
    section="What is measured",
    help="seeds (the course networks' convolutions), layers.",
    unless="quick",
)
@option(
    "--only",
    multiple=True,
    metavar="TEXT",
    section="What is measured",
    help="Only cases with TEXT in their name; may be given several times.",
    unless="all",
)
@option(
    "--batch",
    "batches",
    multiple=True,
    type=click.IntRange(min=1),
    metavar="N",
    section="What is measured",
    help="Images at once; may be given several times.",
    unless="the suite's own",
)
@option(
    "--rungs",
    default="numpy,numba",
    metavar="NAMES",
    section="Who is measured",
    help="Rungs, with commas between them; none: only peers.",
    unless="numpy,numba",
)
@option(
    "--peer",
    "peers",
    multiple=True,
    metavar="NAME[=PYTHON]",
    section="Who is measured",
    help="torch, torch_compiled, tf or jax, run by this environment's Python or by the one at "
    "that path; or a contender's file. May be given several times.",
    unless="none",
)
@option(
    "--baseline",
    metavar="NAME",
    section="Who is measured",
    help="Whose speed is 1.",
    unless="the first peer, else numpy, else the first",
)
@option(
    "--rounds",
    type=click.IntRange(min=1),
    metavar="N",
    section="How",
    help="Rounds of fresh processes.",
    unless=f"{ROUNDS}; quick: {QUICK_ROUNDS}",
)
@option(
    "--threads",
    "count",
    type=click.IntRange(min=1),
    metavar="N",
    section="How",
    help="CPU threads of each contender.",
    unless="all cores",
)
@option(
    "--seconds",
    type=Finite(min=0),
    default=0.05,
    metavar="S",
    section="How",
    help="How long a timing lasts at least.",
    unless="0.05",
)
@option(
    "--pause",
    type=Finite(min=0),
    default=0.2,
    metavar="S",
    section="How",
    help="Rest before each timing, until others' threads sleep.",
    unless="0.2",
)
@option(
    "--timeout",
    type=Finite(min=0, min_open=True),
    default=300.0,
    metavar="S",
    section="How",
    help="The longest wait for a contender's answer.",
    unless="300",
)
@option(
    "--json",
    "json_file",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    section="What is written",
    help="All figures, with this machine and this command.",
)
@click.pass_context
def command(
    ctx: click.Context,
    suite: str,
    only: tuple[str, ...],
    batches: tuple[int, ...],
    rungs: str,
    peers: tuple[str, ...],
    baseline: str | None,
    rounds: int | None,
    count: int | None,
    json_file: str | None,
    **how: float,
) -> None:
    """How fast is each rung here, how fast are others, and how much is left?

    Every result is checked first. Then all take turns, in fresh processes,
    round after round; figures are medians with quartiles.
    """
    if ctx.invoked_subcommand is not None:
        return
    from minicnn.bench import results, table
    from minicnn.bench.measuring import Run, Settings

    cases = select(suite, only, batches)
    contenders = _contenders(rungs, peers)
    first = _baseline(baseline, contenders, peers)
    rounds = rounds or (QUICK_ROUNDS if suite == "quick" else ROUNDS)
    settings = Settings(min(count or threads.available(), threads.available()), rounds, **how)
    with _bar(len(cases) * (1 + rounds)) as tell:
        run = Run(cases, contenders, settings, tell)
        stopped = False
        try:
            run.check()
            for _ in range(rounds):
                run.round()
        except KeyboardInterrupt:
            stopped = True
    result = results.result_of(run, first, shlex.join(["minicnn", *sys.argv[1:]]))
    for line in table.lines_of(result):
        click.echo(line)
    if json_file:
        results.save(result, json_file)
    if stopped:
        raise KeyboardInterrupt
    ctx.exit(1 if run.problems else 0)


def _contenders(rungs: str, peers: tuple[str, ...]) -> list[Contender]:
    names = [name.strip() for name in rungs.split(",") if name.strip() not in ("", "none")]
    found = [*map(rung, names), *map(peer, peers)]
    if not found:
        raise ArgumentError("bench: there is nobody to measure. Name a rung or a --peer.")
    twice = {c.name for c in found if [d.name for d in found].count(c.name) > 1}
    if twice:
        raise ArgumentError(f"bench: {sorted(twice)[0]!r} is there twice. Name it once.")
    return found


def _baseline(wanted: str | None, contenders: list[Contender], peers: tuple[str, ...]) -> str:
    names = [c.name for c in contenders]
    if wanted is not None and wanted not in names:
        raise ArgumentError(
            f"bench: --baseline {wanted!r} is not measured. Use one of: {', '.join(names)}."
        )
    if wanted is not None:
        return wanted
    if peers:
        return names[-len(peers)]
    return "numpy" if "numpy" in names else names[0]


@contextmanager
def _bar(steps: int) -> Iterator[Callable[[str], None]]:
    """A function that moves a bar on standard error by one step, if that is a terminal."""
    from tqdm import tqdm

    with tqdm(
        total=steps, disable=not sys.stderr.isatty(), leave=False, ncols=99, nrows=20,
        bar_format="{bar:16} {percentage:3.0f}% {remaining}  {desc}",
    ) as bar:  # fmt: skip

        def tell(step: str) -> None:
            bar.set_description_str(step[:68], refresh=False)
            bar.update()

        yield tell
