"""`minicnn bench`: what each rung, and each peer, makes of this machine."""

from __future__ import annotations

import shlex
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from minicnn.bench.contenders import PEERS, Contender, peer, rung
from minicnn.bench.suites import SUITES, select
from minicnn.cli.bench_compare import compare
from minicnn.cli.options import RUNGS, Finite, Page, option
from minicnn.errors import ArgumentError
from minicnn.io.atomic import check_writable
from minicnn.kernels import threads

QUICK_ROUNDS, ROUNDS = 3, 7
PICTURES = (".png", ".svg", ".pdf")


class Pages(Page, click.Group):
    """A page with options by section, and with the commands below it."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        Page.format_options(self, ctx, formatter)
        self.format_commands(ctx, formatter)


class Picture(click.ParamType):
    """A file for a picture, of a kind that every browser shows."""

    name = "picture"

    def convert(self, value: object, param: object, ctx: object) -> str:
        if Path(str(value)).suffix.lower() not in PICTURES:
            self.fail(f"{value} is no picture's name. Let it end in {', '.join(PICTURES)}")
        return str(value)


@click.group("bench", cls=Pages, invoke_without_command=True, subcommand_metavar="[compare A B]")
@option(
    "--suite",
    default="quick",
    metavar="NAME",
    section="What is measured",
    help=f"{', '.join(SUITES)}.",
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
    help=f"Of {', '.join(RUNGS)}, with commas between; none: only peers.",
    unless="numpy,numba",
)
@option(
    "--peer",
    "peers",
    multiple=True,
    metavar="NAME[=PYTHON]",
    section="Who is measured",
    help=f"{', '.join(PEERS)}, run by this environment's Python or the one at that path; or a "
    "contender's own file.py. May be given several times.",
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
@option(
    "--chart",
    type=Picture(),
    metavar="FILE.png",
    section="What is written",
    help="Bars: each contender's GFLOP/s in each case.",
)
@option(
    "--roofline",
    type=Picture(),
    metavar="FILE.png",
    section="What is written",
    help="Each case under what the machine allows at most.",
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
    chart: str | None,
    roofline: str | None,
    **how: float,
) -> None:
    """How fast is each rung here, how fast are others, how much is left?

    Every output is first held against float64. Then all take turns, in fresh
    processes, round after round; figures are medians, with quartiles.

    \b
    minicnn bench
    minicnn bench --suite seeds --rungs numba --peer torch
    minicnn bench --suite models --peer tf=/path/to/venv/bin/python
    """
    if ctx.invoked_subcommand is not None:
        return
    from minicnn.bench import results, table
    from minicnn.bench.measuring import Run, Settings

    cases = select(suite, only, batches)
    contenders = _contenders(rungs, peers)
    first = _baseline(baseline, contenders, peers)
    for file in (json_file, chart, roofline):
        if file:
            check_writable(Path(file).absolute().parent, error=ArgumentError)
    rounds = rounds or (QUICK_ROUNDS if suite == "quick" else ROUNDS)
    count = min(count or threads.available(), threads.available())
    line = shlex.join(["minicnn", *sys.argv[1:]])

    run = Run(cases, contenders, Settings(count, rounds, **how))
    stopped = False
    with _ctrl_c_sets(run.stop), _bar(run.steps) as run.tell:
        try:
            run.check()
            for _ in range(rounds):
                run.round()
                if json_file:  # so that not even a power cut loses more than a round
                    results.save(results.result_of(run, first, line), json_file)
        except KeyboardInterrupt:
            stopped = True
    result = results.result_of(run, first, line)
    for text in table.lines_of(result):
        click.echo(text)
    if json_file:
        results.save(result, json_file)
    if chart or roofline:
        _draw(result, chart, roofline)
    if stopped:
        raise KeyboardInterrupt
    ctx.exit(1 if run.problems else 0)


command.add_command(compare)


def _contenders(rungs: str, peers: tuple[str, ...]) -> list[Contender]:
    names = [name.strip() for name in rungs.split(",") if name.strip() not in ("", "none")]
    found = [*map(rung, names), *map(peer, peers)]
    if not found:
        raise ArgumentError("bench: there is nobody to measure. Name a rung or a --peer.")
    named = [contender.name for contender in found]
    twice = [name for name in named if named.count(name) > 1]
    if twice:
        raise ArgumentError(f"bench: {twice[0]!r} is there twice. Name it once.")
    return found


def _baseline(wanted: str | None, contenders: list[Contender], peers: tuple[str, ...]) -> str:
    names = [contender.name for contender in contenders]
    if wanted is not None and wanted not in names:
        raise ArgumentError(
            f"bench: --baseline {wanted!r} is not measured. Use one of: {', '.join(names)}."
        )
    if wanted is not None:
        return wanted
    if peers:
        return names[-len(peers)]
    return "numpy" if "numpy" in names else names[0]


def _draw(result: dict[str, object], chart: str | None, roofline: str | None) -> None:
    from minicnn.bench import charts

    if chart:
        charts.bars(result, chart)
    if roofline:
        charts.roofline(result, roofline)


@contextmanager
def _ctrl_c_sets(stop: threading.Event) -> Iterator[None]:
    """The first Ctrl-C sets `stop`, so that nothing is left half done; a second one is as ever."""

    def notice(*_: object) -> None:
        stop.set()
        signal.signal(signal.SIGINT, before)

    before = signal.signal(signal.SIGINT, notice)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _bar(steps: int) -> Iterator[Callable[[str], None]]:
    """A function that moves a bar on standard error by one step, if that is a terminal."""
    from tqdm import tqdm

    with tqdm(
        total=steps, disable=not sys.stderr.isatty(), leave=False, ncols=99, nrows=20,
        bar_format="{bar:16} {percentage:3.0f}% {remaining}  {desc}",
    ) as bar:  # fmt: skip

        def tell(step: str) -> None:
            bar.set_description_str(step[:66], refresh=False)
            bar.update()

        yield tell
