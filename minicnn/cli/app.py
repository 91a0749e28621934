"""The command `minicnn`: its help page, and how every error becomes one line.

Exit codes: 0 done, 1 something the user can mend, 2 a command line that makes no sense, 130 Ctrl-C.
"""

from __future__ import annotations

import difflib
import importlib
import io
import os
import re
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import click

import minicnn
from minicnn.errors import MiniCNNError

# A command's module is imported when it is called: nobody waits for what another one needs.
SECTIONS = {
    "Train and use a network": {
        "train": "Train a network; no arguments: cats against dogs.",
        "evaluate": "Loss, accuracy and confusion matrix of a run.",
        "predict": "Which class is in each image, and how sure.",
    },
    "Pictures": {
        "data": "Fetch photographs; look a folder over: data check FOLDER.",
    },
    "Look inside": {
        "summary": "A network's layers, sizes and costs, before it runs.",
        "shapes": "Output sizes: each formula with the numbers put in.",
        "sobel": "The edges of a picture, by a Conv2d with Sobel's weights.",
    },
    "Kernels of your own": {
        "check": "Is each kernel of a Python file right? Else, where not.",
    },
    "This machine": {
        "doctor": "What was found here: versions, threads, SIMD, caches.",
        "bench": "How fast each rung is here; against other frameworks.",
    },
}

# click's words for what `_hint` knows more about
NO_COMMAND = re.compile(r"No such command '.*'\.")
EXTRA = re.compile(r"Got unexpected extra argument \((.*)\)")

EXAMPLES = """\
Examples:
  minicnn train                              cats and dogs, in under a minute
  minicnn train --data animals --epochs 10   all ten animals
  minicnn evaluate                           the newest run, on its test images
  minicnn predict drawing.png                a silhouette of your own
  minicnn sobel photo.jpg -o edges.png
"""


class Sections(click.Group):
    """A group whose help lists its commands by what they are for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for commands in SECTIONS.values() for name in commands]

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in self.list_commands(ctx):
            return None
        return importlib.import_module(f"minicnn.cli.{name}").command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[Any, Any, list[str]]:
        if args[0] not in self.list_commands(ctx):
            near = difflib.get_close_matches(args[0], self.list_commands(ctx), n=1)
            hint = f"Did you mean {near[0]!r}?" if near else "Use one of the commands."
            ctx.fail(f"No such command {args[0]!r}. {hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, commands in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl(list(commands.items()), col_spacing=4)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        formatter.write("\n" + EXAMPLES)
        formatter.write("\nEach command has its own page: minicnn train --help\n")


def _print_version(ctx: click.Context, option: click.Parameter, wanted: bool) -> None:
    if wanted:
        click.echo(f"minicnn {minicnn.__version__}")
        ctx.exit()


@click.group(
    cls=Sections,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80},
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Print the version and leave.",
)
@click.pass_context
def cli(ctx: click.Context) -> None:
    """A convolution engine to learn from."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


# ---------------------------------------------------------------------------------------- errors


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and leave the process; errors are one line on standard error.

    MINICNN_DEBUG=1 shows the traceback instead.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal without "×" shows "?" for it
            stream.reconfigure(errors="replace")
    try:
        # click returns the code of ctx.exit(), or else what the command returned, which is None
        code = cli.main(arguments, prog_name="minicnn", standalone_mode=False)
    except BaseException as error:
        if _debugging():
            raise
        sys.exit(report(error))
    sys.exit(code or 0)


def report(error: BaseException) -> int:
    """Print an error as one line on standard error; return the exit code."""
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else 1
    if isinstance(error, click.Abort | KeyboardInterrupt):
        click.echo("minicnn: stopped by Ctrl-C.", err=True)
        return 130
    say_error(error)
    return 2 if isinstance(error, click.UsageError) else 1


def say_error(error: BaseException) -> None:
    """One line on standard error, whatever the message looks like."""
    click.echo("minicnn: error: " + " ".join(_message(error).split()), err=True)


def _message(error: BaseException) -> str:
    if isinstance(error, click.UsageError):
        page = error.ctx.command_path if error.ctx else "minicnn"
        text = error.format_message()
        return f"{text}{'' if text.endswith(('.', '?')) else '.'}{_hint(error)} See {page} --help."
    if isinstance(error, MiniCNNError):
        return str(error)
    if isinstance(error, OSError):
        what = (error.strerror or str(error)).lower()
        name = f"{error.filename}: " if error.filename else ""
        return f"{name}{what}. Check the path and the disk."
    if isinstance(error, MemoryError):
        why = f" ({error})" if str(error) else ""
        return f"out of memory{why}. Take a smaller --batch-size, or smaller images."
    return (
        f"{type(error).__name__}: {error} (a fault of minicnn, not yours; "
        "MINICNN_DEBUG=1 shows where it happened)."
    )


def _hint(error: click.UsageError) -> str:
    """What may have been meant by a wrong word on the command line, where click does not say."""
    command, text = error.ctx.command if error.ctx else None, error.format_message()
    if isinstance(command, click.Group) and NO_COMMAND.fullmatch(text):
        return f" Use {', '.join(command.commands)}."
    if command is not None and command.name == "train" and (extra := EXTRA.fullmatch(text)):
        return f" Did you mean --data {extra[1]}?"
    return ""


def _debugging() -> bool:
    return os.environ.get("MINICNN_DEBUG", "") not in ("", "0")
