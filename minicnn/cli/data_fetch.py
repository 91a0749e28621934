"""`minicnn data fetch` and `minicnn data list`: published photographs, from their publishers."""

from __future__ import annotations

import difflib
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from minicnn.cli.options import Page, option, quoted
from minicnn.datasets.disk import megabytes
from minicnn.datasets.partial import partial_path
from minicnn.datasets.published import (
    PUBLISHED,
    Published,
    data_folder,
    obtain,
    plain,
    published_as,
)

ROOT = option(
    "--root",
    metavar="FOLDER",
    section="Where",
    help="The folder to keep it in.",
    unless="MINICNN_DATA_DIR, or the user's cache folder",
)


class Name(click.ParamType):
    """The name of a published data set, in letters of any size, with or without dashes."""

    name = "name"

    def convert(self, value: Any, param: Any, ctx: Any) -> str:
        if found := published_as(value):
            return found
        known = {plain(name): name for name in PUBLISHED}
        near = difflib.get_close_matches(plain(value), known, n=1)
        hint = f"Did you mean {known[near[0]]}?" if near else f"Use {' or '.join(PUBLISHED)}."
        raise click.BadParameter(f"nothing is published as {value!r}. {hint}", ctx, param)


@click.command("fetch", cls=Page, short_help="Fetch published photographs, check, unpack.")
@click.argument("name", type=Name(), metavar="NAME")
@ROOT
@option("--url", metavar="URL", section="Where", help="Another address of the same archive.")
def fetch(name: str, root: str | None, url: str | None) -> None:
    """Fetch published photographs, check them, and unpack them; NAME is one of
    `minicnn data list`. What is there already is not fetched again, and an
    interrupted download goes on where it ended.

    Without a network: save the archive, got by other means, in the folder
    under its own name; this command then checks and unpacks it.

    \b
    minicnn data fetch cats-and-dogs-filtered
    minicnn data fetch pet-images --root data
    """
    data = PUBLISHED[name].at(url)
    place = obtain(data, root)
    click.echo(str(place))
    for line in (*about(data), _whole("train", f"minicnn train --data {quoted(place)}")):
        click.echo(line)


@click.command("list", cls=Page, short_help="What can be fetched: sizes, terms, what is here.")
@ROOT
def list_data(root: str | None) -> None:
    """What `minicnn data fetch` can fetch: sizes, terms, and what is here."""
    folder = data_folder() if root is None else Path(root).expanduser().absolute()
    click.echo(f"Kept in {folder}")
    for name, data in PUBLISHED.items():
        click.echo(f"\n{click.style(name, bold=True)}")
        archive = f"{data.archive.file}, {data.archive.size:,} bytes"
        state = _row("state", state_of(data, folder))
        address = _whole("from", data.archive.url)
        for line in (*_row("archive", archive), *state, *about(data), address):
            click.echo(line)


def state_of(data: Published, folder: Path) -> str:
    """What of the data is in the folder, in words."""
    archive, size = folder / data.archive.file, megabytes(data.archive.size)
    if data.ready(folder):
        return f"ready, in {data.folder}"
    if archive.is_file():
        return "the archive is here; fetch unpacks it"
    part = partial_path(archive)
    if part.is_file():
        return f"{megabytes(part.stat().st_size)} of {size} are here; fetch goes on with it"
    return "not here"


def about(data: Published) -> Iterator[str]:
    """Lines about what is in it and its terms."""
    yield from _row("holds", data.holds)
    yield from _row("terms", data.terms)


def _whole(name: str, value: str) -> str:
    """One line, however long: it is there to be copied."""
    return f"  {name:<8} {value}"


def _row(name: str, value: str) -> list[str]:
    return textwrap.wrap(
        value, 79, initial_indent=f"  {name:<8} ", subsequent_indent=" " * 11,
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip
