"""How long the arrays of a launch have to be, as the comments in the .cu files say it.

    // x (N,C,H,W), w (K,C/groups,R,S), b (K) or null, y (N,K,P,Q)

holds for parameters of these names in all kernels below it, or in all files that include it, until
another comment says otherwise; so does `// (planes, H, W)` behind a parameter, for that one.
Letters are the kernel's parameters; what is none of them (`ranges`) can be any number.
"""

from __future__ import annotations

import re
from functools import cache
from math import prod
from typing import Any

from minicnn.kernels.gpu import _source
from minicnn.kernels.gpu._source import Parameter

_SIZE = r"\w+(?:\s*[-+*/]\s*\w+)*"
_SHAPE = rf"\(({_SIZE}(?:,\s*{_SIZE})*)\)"
_STATED = re.compile(rf"(\w+(?:, \w+)*(?: and \w+)?) {_SHAPE}")
_BEHIND = re.compile(rf"(\w+),?[ \t]*// {_SHAPE}")
_COMMENTS = re.compile(r"//[^\n]*(?:\n//[^\n]*)*")

Kernel = tuple[str, tuple[Parameter, ...]]
Shapes = dict[str, tuple[str, ...]]


def shapes(text: str) -> dict[Kernel, Shapes]:
    """Return the stated shape of each array parameter of the kernels in a source."""
    found: dict[Kernel, Shapes] = {}
    headers = "\n".join(_source.parsed("", text).headers.values())
    text, stated, read = f"{headers}\n{text}", Shapes(), 0
    for match in re.finditer(r"__global__ [^{]*\{", text):
        for names, shape in _all_stated(text[read : match.end()]):
            stated |= dict.fromkeys(names, tuple(re.split(r",\s*", shape)))
        read = match.end()
        ((name, parameters),) = _source.parsed("", f'extern "C" {match[0]}').kernels.items()
        arrays = [p.name for p in parameters if p.stars == 1]
        found[name, parameters] = {a: stated[a] for a in arrays if a in stated}
    return found


def _all_stated(text: str) -> list[tuple[list[str], str]]:
    found = []
    for comment in _COMMENTS.findall(text):
        plain = re.sub(r"\s*//\s*", " ", comment)
        found += [(re.split(", | and ", names), shape) for names, shape in _STATED.findall(plain)]
    return found + [([name], shape) for name, shape in _BEHIND.findall(text)]


@cache
def _known() -> dict[Kernel, Shapes]:
    found: dict[Kernel, Shapes] = {}
    for path in sorted(_source.FOLDER.glob("*.cu")):
        found |= shapes(path.read_text(encoding="utf-8"))
    return found


def wrong(kernel: str, parameters: tuple[Parameter, ...], args: list[Any]) -> str:
    """Return which array of a launch is not as long as its kernel says, or ""."""
    given = list(zip(parameters, args, strict=True))
    numbers = {p.name: int(a) for p, a in given if p.stars == 0}
    stated, found = _known().get((kernel, parameters), {}), {(): 1}
    for parameter, array in given:
        shape = stated.get(parameter.name)
        if shape is None or array is None:
            continue
        free = tuple(size for size in shape if not _is_told(size, numbers))
        told = prod(_value(size, numbers) for size in shape if size not in free)
        many = found.setdefault(free, array.size // told if told else 0)  # the first one says it
        if array.size != told * many:
            return f"{kernel}: {parameter} has {array.size} numbers, not ({', '.join(shape)})"
    return _uneven(kernel, args)


def _is_told(size: str, numbers: dict[str, int]) -> bool:
    return all(name in numbers or name.isdigit() for name in re.findall(r"\w+", size))


def _value(size: str, numbers: dict[str, int]) -> int:
    return eval(size.replace("/", "//"), {}, numbers)


def _uneven(kernel: str, args: list[Any]) -> str:
    """Tables of arrays go through them side by side."""
    tables = {tuple(array.size for array in a) for a in args if isinstance(a, list)}
    return f"{kernel}: tables of arrays of unlike sizes {sorted(tables)}" if len(tables) > 1 else ""
