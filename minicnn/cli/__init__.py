"""The command line, `minicnn …`: each command in a file of its own, over the public API."""

from minicnn.cli.app import cli, main

__all__ = ["cli", "main"]
