"""The calls in kernels/gpu/*.py against the signatures in *.cu, both as text.

A launch checks the number and the types of its arguments. It cannot see that H stands where W
belongs: both are ints. But wrappers call things by the names that the kernels have for them.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from minicnn.kernels.gpu import _source

WRAPPERS = sorted(path.name for path in _source.FOLDER.glob("*.py"))
BEFORE = {"launch": 4, "spread": 3, "over_planes": 4, "over_rows": 4}  # arguments of their own


def launches(text: str) -> Iterator[tuple[int, str, str, list[ast.expr]]]:
    """Yield (line, source, kernel, arguments) of each launch that names its kernel by literals."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func).rpartition(".")[2]
            first = [a.value for a in node.args[:2] if isinstance(a, ast.Constant)]
            if name in BEFORE and len(first) == 2:
                yield node.lineno, *first, node.args[BEFORE[name] :]


def mistakes(text: str) -> list[str]:
    """Return what is wrong with the launches in a wrapper's text."""
    found = []
    for line, source, kernel, args in launches(text):
        names = [parameter.name for parameter in _source.read(source).kernel(kernel)]
        starred = any(isinstance(a, ast.Starred) for a in args)
        if not starred and len(args) != len(names):
            found.append(f"line {line}: {len(args)} arguments for {len(names)} parameters")
        for place, arg in enumerate(args):
            if isinstance(arg, ast.Starred):
                break
            said = ast.unparse(arg)
            if said in names and (place >= len(names) or said != names[place]):
                found.append(f"line {line}: {said} stands where {kernel} has {names[place]}")
    return found


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_what_is_passed_stands_where_its_name_does(wrapper: str) -> None:
    assert not mistakes((_source.FOLDER / wrapper).read_text(encoding="utf-8"))


def test_the_reader_finds_the_launches() -> None:
    """Else the test above would pass over nothing."""
    read = {
        source
        for wrapper in WRAPPERS
        for _, source, _, _ in launches((_source.FOLDER / wrapper).read_text(encoding="utf-8"))
    }
    assert {"norm", "loss", "pool", "gather", "dropout", "response_norm"} <= read


SWAPPED = [
    ("_cuda.launch('norm', '{kernel}', 1, 1, {args})", 0, 1),
    ("spread('norm', '{kernel}', n, {args})", -1, -2),
]


@pytest.mark.parametrize(("call", "one", "other"), SWAPPED)
def test_swapped_arguments_are_seen(call: str, one: int, other: int) -> None:
    kernel, parameters = next(iter(_source.read("norm").kernels.items()))
    names = [parameter.name for parameter in parameters]
    assert not mistakes(call.format(kernel=kernel, args=", ".join(names)))
    names[one], names[other] = names[other], names[one]
    assert len(mistakes(call.format(kernel=kernel, args=", ".join(names)))) == 2
    assert mistakes(call.format(kernel=kernel, args=", ".join(names[1:])))


def test_kernels_keep_to_what_the_house_promises() -> None:
    """No floats added atomically, no printing, no headers that a machine might lack."""
    for path in (*_source.FOLDER.glob("*.cu"), *_source.FOLDER.glob("*.cuh")):
        text = re.sub(r"//.*", "", path.read_text(encoding="utf-8"))
        for word in ("atomic", "printf", "#include <", "clock"):
            assert word not in text, f"{path.name} has {word}"


def test_what_lanes_and_copies_do_together_stays_where_it_is_written() -> None:
    """An asm that is not volatile may be moved into a branch that some lanes of a warp skip."""
    moved = []
    for path in _source.FOLDER.glob("*.cuh"):
        text = path.read_text(encoding="utf-8")
        moved += re.findall(r'\basm\s*\(\s*"([\w.]+)', text)
    assert moved == ["cvt.rna.tf32.f32"]  # of one lane by itself
