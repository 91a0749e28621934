"""Contenders that exist only for the tests of `minicnn bench`, and cases that take no time."""

from __future__ import annotations

import textwrap
from pathlib import Path

from minicnn.bench.cases import Case, traffic
from minicnn.bench.contenders import Contender

HEAD = """
import os, sys, time
from types import SimpleNamespace
import numpy as np

def start(count, options):
    print("a framework's greeting on standard output")
    {starting}
    return {{"fake": f"{{count}} threads"}}

def prepare(case, arrays):
    x = arrays["x"]
    {preparing}
    return SimpleNamespace(run=run, outputs=lambda: {{"y": run()}})
"""
RIGHT = "run = lambda: np.maximum(x, 0)"


def contender(folder: Path, name: str, preparing: str = RIGHT, starting: str = "") -> Contender:
    """A contender for ReLU, with these lines of Python in its two functions."""
    file = folder / f"{name}.py"
    inside = {"preparing": textwrap.indent(preparing, "    ").lstrip(), "starting": starting}
    file.write_text(HEAD.format(**inside))
    return Contender(name, str(file))


def relu(n: int, batch: int = 2) -> Case:
    """ReLU of batch times n numbers; the same name, another key for each batch."""
    x = (batch, n)
    return Case("tests", f"relu {n}", "relu", "forward", batch, {}, {"x": x}, 0, traffic(x, x))
