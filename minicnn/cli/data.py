"""`minicnn data check`: what is in a folder of pictures, and which of them are damaged."""

from __future__ import annotations

import json
import os
import sys
import textwrap
import unicodedata
from collections import Counter
from typing import Any

import click

from minicnn.cli.app import say_error
from minicnn.cli.data_fetch import fetch, list_data
from minicnn.cli.options import Page, option
from minicnn.cli.sources import fetched
from minicnn.datasets.inspection import IN_ANOTHER_CLASS, Picture, Report, inspect_folder
from minicnn.datasets.published import published_as
from minicnn.errors import DataError
from minicnn.io.image import quiet
from minicnn.kernels import threads

SHOWN = 12  # odd files, passed-over names and classes, without --all
LEFT = 30  # columns for a file's name


@click.group("data", invoke_without_command=True)
@click.pass_context
def command(ctx: click.Context) -> None:
    """Fetch photographs, and look at pictures before a network learns from them."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


command.add_command(fetch)
command.add_command(list_data)


@command.command("check", cls=Page, short_help="What is in a folder of pictures, what is damaged.")
@click.argument("folder")
@option("--all", "everything", is_flag=True, section="What is shown", help="Leave out nothing.")
@option(
    "--list",
    "as_list",
    is_flag=True,
    section="What is shown",
    help="Only the paths of what cannot be decoded, one a line.",
)
@option("--json", "as_json", is_flag=True, section="What is shown", help="Everything, as JSON.")
@option(
    "--threads",
    "workers",
    type=click.IntRange(min=1),
    metavar="N",
    section="On what",
    help="Pictures that are decoded at the same time.",
    unless="all cores",
)
@click.pass_context
def check(
    ctx: click.Context,
    folder: str,
    everything: bool,
    as_list: bool,
    as_json: bool,
    workers: int | None,
) -> None:
    """Decode every picture in FOLDER, which has a folder for each class, or is
    what was fetched under that name; and report what is there, what cannot be
    decoded and what is worth a look. Nothing is changed or deleted.

    The exit code is 1 if a picture cannot be decoded. ImageFolder goes on
    without such pictures if it is told to: on_error="skip".

    \b
    minicnn data check PetImages
    minicnn data check PetImages --list > damaged.txt
    """
    if as_list and as_json:
        raise click.UsageError("--list and --json are two ways to say it. Choose one.")
    name = published_as(folder)
    root = str(fetched(name)) if name and not os.path.exists(folder) else os.path.expanduser(folder)
    with quiet(), _Bar() as bar:
        report = inspect_folder(root, workers or threads.available(), bar.start, bar.step)
    if as_list:
        _list(report)
    elif as_json:
        click.echo(json.dumps(as_dict(report), indent=2))
    else:
        for line in page(report, everything):
            click.echo(line.rstrip())
    ctx.exit(1 if report.broken else 0)


class _Bar:
    """On standard error, if that is a terminal; it goes away at the end."""

    def start(self, total: int) -> None:
        from tqdm import tqdm

        self._broken = 0
        self._bar = tqdm(
            total=total,
            disable=not sys.stderr.isatty(),
            leave=False,
            ncols=79,
            nrows=20,
            bar_format="checking {bar:24} {n_fmt}/{total_fmt} files, {rate_fmt} {postfix}",
            unit="",
        )

    def step(self, picture: Picture) -> None:
        if picture.problem is not None:
            self._broken += 1
            self._bar.set_postfix_str(f"{self._broken} damaged", refresh=False)
        self._bar.update()

    def __enter__(self) -> _Bar:
        return self

    def __exit__(self, *error: object) -> None:
        if hasattr(self, "_bar"):
            self._bar.close()


# ----------------------------------------------------------------------------------- for programs


def _list(report: Report) -> None:
    """Paths as the system has them, so that the list can be worked off by a script."""
    for picture in report.broken:
        if "\n" in picture.path:  # two lines would be two other files
            say_error(DataError(f"{picture.path!r}: a name of two lines. Rename it, then list."))
        else:
            click.echo(os.fsencode(picture.path))


def as_dict(report: Report) -> dict[str, Any]:
    """The report as plain JSON-able values."""
    sides = {"width": 0, "height": 1} if report.sound else {}
    return {
        "folder": report.root,
        "decoded": len(report.sound),
        "damaged": len(report.broken),
        "classes": {
            group or ".": {"decoded": sound, "damaged": broken}
            for group, sound, broken in by_class(report)
        },
        "formats": dict(report.count("format")),
        "modes": dict(report.count("mode")),
        **{
            name: dict(zip(("min", "median", "max"), report.spread(axis), strict=True))
            for name, axis in sides.items()
        },
        "turned_by_exif": sum(picture.turned for picture in report.sound),
        "undecodable": [{"path": p.name, "why": p.problem} for p in report.broken],
        "suspicious": [{"path": p.name, "why": [*p.remarks]} for p in report.odd],
        "passed_over": [{"path": p.name, "why": [*p.remarks]} for p in report.others],
    }


def by_class(report: Report) -> list[tuple[str, int, int]]:
    """(class, decoded, damaged) of each class; "" for pictures outside of them, if any."""
    sound = Counter(picture.group for picture in report.sound)
    broken = Counter(picture.group for picture in report.broken)
    outside = [""] if sound[""] + broken[""] else []
    return [(group, sound[group], broken[group]) for group in [*report.groups, *outside]]


# --------------------------------------------------------------------------------------- the page


def page(report: Report, everything: bool = False) -> list[str]:
    """The report's lines, for a terminal of 80 columns."""
    most = sys.maxsize if everything else SHOWN
    lines = [click.style(printable(report.root), bold=True), ""]
    lines += _classes(report, most)
    lines += _facts(report)
    if report.broken:
        lines += ["", click.style("Cannot be decoded", fg="red", bold=True)]
        lines += _rows([(p.name, p.problem or "") for p in report.broken], sys.maxsize)
    remarks = [*report.odd, *(p for p in report.others if p.remarks)]
    remarks.sort(key=lambda p: IN_ANOTHER_CLASS not in p.remarks[0])
    odd = [(p.name, "; ".join(p.remarks)) for p in remarks]
    odd += [(g, "a class without pictures") for g, s, b in by_class(report) if not s + b]
    if any(not p.group for p in report.pictures):
        odd.append((".", "no class, which ImageFolder needs: make a folder for each"))
    if odd:
        lines += ["", click.style("Worth a look", fg="yellow", bold=True)]
        lines += _rows(odd, most)
    passed = Counter(os.path.basename(p.name) for p in report.others if not p.remarks)
    if passed:
        lines += ["", click.style("Passed over: no pictures, by their endings", bold=True)]
        lines += _rows(
            [(n, f"{c:,} times" if c > 1 else "") for n, c in sorted(passed.items())], most
        )
    return lines


def _classes(report: Report, most: int) -> list[str]:
    rows = [(group or "(no class)", s, b) for group, s, b in by_class(report)]
    total = ("together", len(report.sound), len(report.broken))
    width = min(max([len(printable(name)) for name, *_ in (*rows, total)]), 40)

    def row(name: str, sound: int, broken: int) -> str:
        return f"  {shortened(name, width):<{width}}  {sound:>9,}  {broken:>7,}"

    lines = [f"  {'class':<{width}}  {'decoded':>9}  {'damaged':>7}"]
    lines += [row(*found) for found in rows[:most]]
    if len(rows) > most:
        lines.append(f"  … and {len(rows) - most:,} more classes: --all")
    return [*lines, row(*total)] if len(rows) > 1 else lines


def _facts(report: Report) -> list[str]:
    if not report.sound:
        return []
    facts = {
        "formats": _counts(report.count("format")),
        "modes": _counts(report.count("mode")),
        "width": _spread(report, 0),
        "height": _spread(report, 1),
    }
    turned = sum(picture.turned for picture in report.sound)
    if turned:
        facts["turned"] = f"{turned:,}, upright by what the camera noted (EXIF)"
    return ["", *(line for fact in facts.items() for line in _wrapped(*fact, 8))]


def _counts(found: list[tuple[str, int]]) -> str:
    return ", ".join(f"{name}: {count:,}" for name, count in found)


def _spread(report: Report, axis: int) -> str:
    low, middle, high = report.spread(axis)
    if low == high:
        return f"{low:,}"
    names = [
        shortened(next(p.name for p in report.sound if p.size and p.size[axis] == side), 16)
        for side in (low, high)
    ]
    return f"{low:,} ({names[0]}) to {high:,} ({names[1]}), median {middle:,}"


def _rows(found: list[tuple[str, str]], most: int) -> list[str]:
    """Names and what is said of them; a long name has a line of its own."""
    shown = [(printable(name), printable(said)) for name, said in found[:most]]
    width = min(max(columns(name) for name, _ in shown), LEFT)
    lines = [line for row in shown for line in _wrapped(*row, width)]
    if len(found) > most:
        lines.append(f"  … and {len(found) - most:,} more: --all")
    return lines


def _wrapped(name: str, said: str, width: int) -> list[str]:
    """`  name  what is said of it`, going on below itself; a long name has a line of its own."""
    indent = " " * (width + 4)
    said = textwrap.fill(
        said, 79, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False
    )
    if columns(name) > width:
        return [f"  {name}", *said.splitlines()]
    padded = f"  {name}{' ' * (width - columns(name))}  "
    return (
        [padded + said[len(indent) :].splitlines()[0], *said.splitlines()[1:]] if said else [padded]
    )


def columns(text: str) -> int:
    """How wide a terminal shows the text: some letters take two columns, some marks none."""
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1
        for c in text
    )


def printable(text: str) -> str:
    """The text with line breaks and what is no character spelled out."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def shortened(text: str, width: int) -> str:
    """The text's end, if it is longer than the width."""
    text = printable(text)
    return text if len(text) <= width else "…" + text[1 - width :]
