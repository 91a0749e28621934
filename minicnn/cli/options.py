"""Options that several commands have, and what they switch on while the command runs."""

from __future__ import annotations

import math
import shlex
from collections.abc import Callable
from typing import Any

import click

from minicnn.device import chosen_device
from minicnn.device import device as Device
from minicnn.errors import ArgumentError
from minicnn.kernels import threads, use_backend

RUNGS = ("loops", "numpy", "numba", "cupy")


class Option(click.Option):
    """An option that stands in a section of the help page, with its default in words."""

    def __init__(
        self, *names: Any, section: str = "Options", unless: str = "", **more: Any
    ) -> None:
        super().__init__(*names, **more)
        self.section = section
        if unless:
            self.help = f"{self.help or ''} [{unless}]".strip()

    def get_help_extra(self, ctx: click.Context) -> Any:
        """Nothing: bounds are in the error message of whoever leaves them."""
        return {}


class Page(click.Command):
    """A command whose help page lists its options by section, in the order they were written."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        sections: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is not None and record[1]:  # an argument without words stands above
                title = getattr(param, "section", "Help")
                sections.setdefault(title, []).append(record)
        for title, records in sections.items():
            with formatter.section(title):
                formatter.write_dl(records)


def option(*names: str, **more: Any) -> Callable[[Callable[..., Any]], Any]:
    """`click.option`, of the class above."""
    return click.option(*names, cls=Option, **more)


def computing(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --backend and --threads; the command calls `compute_with` before it computes."""
    section = "On what"
    command = option(
        "--threads",
        type=click.IntRange(min=1),
        metavar="N",
        section=section,
        help="CPU threads; numba's results are the same bits at any number.",
        unless="all cores",
    )(command)
    return option(
        "--backend",
        type=click.Choice(RUNGS),
        metavar="RUNG",
        section=section,
        help="loops, numpy, numba or cupy.",
        unless="numba",
    )(command)


def on_device(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --device; the command asks `device_for` what it means here."""
    return option(
        "--device",
        default="auto",
        metavar="WHERE",
        section="On what",
        help="cpu, cuda, cuda:1 …, or auto.",
        unless="auto: the GPU if there is one",
    )(command)


def device_for(where: str, backend: str | None) -> Device:
    """The device that --device means. Raises ArgumentError with the reason if it is not there."""
    found = chosen_device(where)
    if backend == "cupy" and found.type == "cpu":
        raise ArgumentError(
            f"--device {where}: the backend cupy computes on a GPU. Leave one of the two out."
        )
    return found


def compute_with(backend: str | None, count: int | None) -> None:
    """Compute on this rung, with so many threads, until the command ends."""
    ctx = click.get_current_context()
    if count is not None:
        if count > threads.available():
            click.echo(
                f"minicnn: --threads {count} is more than the {threads.available()} cores that "
                f"this process may use: taking {threads.available()}.",
                err=True,
            )
        before = threads.get_num_threads()
        threads.set_num_threads(count)
        ctx.call_on_close(lambda: threads.set_num_threads(before))
    if backend is not None:
        ctx.with_resource(use_backend(backend))


def given(name: str) -> bool:
    """Whether the user wrote this option, as opposed to its default."""
    source = click.get_current_context().get_parameter_source(name)
    return source == click.core.ParameterSource.COMMANDLINE


def quoted(path: object) -> str:
    """A path or name as a shell takes it: in quotes, if it has spaces or such."""
    return shlex.quote(str(path))


class Folder(click.Path):
    """A folder's path; an empty one, of a variable that is not set, is not the working folder."""

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        if value == "":
            self.fail("the folder's name is empty", param, ctx)
        return super().convert(value, param, ctx)


class Finite(click.FloatRange):
    """A number within bounds that is neither nan nor inf: nan lies within any bounds."""

    def convert(self, value: Any, param: Any, ctx: Any) -> float:
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value!r} is not a finite number", param, ctx)
        return number


class ImageSize(click.ParamType):
    """CxHxW, HxW or one number: 3x160x160, 160x120, 28."""

    name = "size"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[int, ...]:
        if isinstance(value, tuple):
            return value
        parts = str(value).lower().replace("×", "x").replace(",", "x").split("x")
        whole = all(part.isascii() and part.isdigit() and int(part) for part in parts)
        if not whole or len(parts) > 3:
            self.fail(f"{value!r} is no size. Write 3x160x160, 160x120 or 28", param, ctx)
        return tuple(map(int, parts))
