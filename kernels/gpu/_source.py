"""Reading a .cu file: its text, the headers that it includes, and the signatures of its kernels.

A launch that passes `H` where the kernel expects `W` compiles and computes nonsense, so the text
of the kernel, which is at hand anyway, is read for what each argument has to be.
"""

from __future__ import annotations

import hashlib
import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

from ..errors import ArgumentError, MiniCNNError

FOLDER = Path(__file__).parent

_COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.DOTALL)
_INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*"([^"\n]+)"', re.MULTILINE)
_BOUNDS = r"(?:__launch_bounds__\s*\([^()]*\)\s*)?"
_KERNEL = re.compile(
    rf'extern\s+"C"\s+__global__\s+{_BOUNDS}void\s+{_BOUNDS}(\w+)\s*\(([^()]*)\)\s*\{{'
)
_NOT_A_TYPE = {"const", "__restrict__"}


class Parameter(NamedTuple):
    """One parameter of a kernel, as its signature says it."""

    name: str
    type: str  # what it is, or points to: "REAL", "int", "unsigned char", ...
    stars: int  # 0: a number; 1: an array; 2: a table of arrays
    const: bool  # nothing is written through it

    def __str__(self) -> str:
        return f"{'const ' * self.const}{self.type} {'*' * self.stars}{self.name}"


class Source(NamedTuple):
    """A .cu file with all that it includes."""

    name: str  # "unfold.cu"
    text: str
    headers: dict[str, str]  # name in the #include: text
    kernels: dict[str, tuple[Parameter, ...]]
    digest: str  # of the text and the headers

    def kernel(self, name: str) -> tuple[Parameter, ...]:
        """Return the parameters of a kernel. Raises ArgumentError if the file has none so named."""
        try:
            return self.kernels[name]
        except KeyError:
            known = ", ".join(self.kernels) or "none"
            raise ArgumentError(
                f"{self.name} has no kernel {name!r}. Use one of those it has: {known}."
            ) from None


@cache
def read(stem: str) -> Source:
    """Return `<stem>.cu` of this folder, read once. Raises ArgumentError if there is none."""
    path = FOLDER / f"{stem}.cu"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in FOLDER.glob("*.cu")))
        raise ArgumentError(f"no kernel source {stem!r} in {FOLDER}. Use one of: {known}.")
    return parsed(path.name, path.read_text(encoding="utf-8"))


def parsed(name: str, text: str) -> Source:
    """Return the source of this text, with its headers from this folder and its signatures."""
    headers = _headers(text, {})
    digest = hashlib.sha256()
    for part in (name, text, *(piece for item in sorted(headers.items()) for piece in item)):
        digest.update(part.encode() + b"\0")
    return Source(name, text, headers, _signatures(name, text), digest.hexdigest())


def _headers(text: str, found: dict[str, str]) -> dict[str, str]:
    for name in _INCLUDE.findall(text):
        if name not in found:
            found[name] = (FOLDER / name).read_text(encoding="utf-8")
            _headers(found[name], found)
    return found


def _signatures(name: str, text: str) -> dict[str, tuple[Parameter, ...]]:
    plain = _COMMENT.sub(" ", text)
    found = {
        match[1]: tuple(_parameter(part) for part in match[2].split(",") if part.strip())
        for match in _KERNEL.finditer(plain)
    }
    kernels = len(re.findall(r"\b__global__\b", plain))
    if len(found) != kernels:
        raise MiniCNNError(
            f"{name}: {kernels} __global__ functions, but {len(found)} signatures that can be "
            'read. Write each as: extern "C" __global__ void name(const REAL *x, int N) {'
        )
    return found


def _parameter(text: str) -> Parameter:
    words = re.findall(r"\w+|\*", text)
    name, words = words[-1], words[:-1]
    type_ = " ".join(w for w in words if w != "*" and w not in _NOT_A_TYPE)
    return Parameter(name, type_, words.count("*"), words[0] == "const" and "*" in words)
