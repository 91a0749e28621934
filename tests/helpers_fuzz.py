"""Reading damaged files under watch: nothing may run, hang, grow or end in a raw error."""

from __future__ import annotations

import codecs
import pickletools  # noqa: F401
import random
import signal
import struct
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy  # noqa: F401

from minicnn import Tensor
from minicnn.errors import CheckpointError

# What readers load when they first meet an odd file would look like the work of that file.
for _name in ("cp437", "utf-8-sig", *(f"utf-{n}{e}" for n in (16, 32) for e in ("", "-le", "-be"))):
    codecs.lookup(_name)

FORBIDDEN = (
    "exec", "compile", "import", "os.", "shutil.", "subprocess.", "socket.", "ctypes.", "pickle.",
    "marshal.", "code.", "sys._getframe", "tempfile.", "urllib.", "webbrowser.",
)  # fmt: skip
ALLOWED = ("os.fspath", "os.listdir")
SECONDS = 20  # for one file, on a machine that does other things too

_watched: list[str] | None = None


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    """Python's audit events: what an interpreter does to the world outside of it."""
    if _watched is None or event in ALLOWED:
        return
    writes = event == "open" and isinstance(arguments[1], str) and arguments[1] not in ("r", "rb")
    if writes or event.startswith(FORBIDDEN):
        _watched.append(f"{event} {arguments!r:.200}")


sys.addaudithook(_hook)  # for good, so it looks away unless something is watched


class TookTooLong(BaseException):
    """Not an Exception, so that no reader may swallow it."""


@contextmanager
def watched(bytes_allowed: int) -> Iterator[list[str]]:
    """Fail if the block does what data may not do, takes too long or too much memory."""
    global _watched

    def alarm(*_: Any) -> None:
        raise TookTooLong

    previous = signal.signal(signal.SIGALRM, alarm)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    tracemalloc.start(1)
    _watched = events = []
    try:
        yield events
    finally:
        _watched = None
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert not events, events
    assert peak < bytes_allowed, f"{peak:,} bytes"


def outcome(read: Callable[[Path], Any], path: Path, content: bytes) -> str:
    """Read a file of this content; the error's message, or "" if it was taken and is sound."""
    path.write_bytes(content)
    with watched(2**27 + 24 * len(content)):
        try:
            value = read(path)
        except CheckpointError as error:
            message = str(error)
            assert "\n" not in message
            assert path.name in message
            assert len(message) < 2000
            return message
        for tensor in tensors(value):
            np.array_equal(tensor, tensor)  # every element is read: out of bounds would crash
    return ""


def tensors(value: Any) -> Iterator[np.ndarray]:
    """All arrays within nested containers."""
    if isinstance(value, Tensor):
        yield value.array
    elif isinstance(value, np.ndarray):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from tensors(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from tensors(item)


# --------------------------------------------------------------------------------------- mutations

NUMBERS = [0, 1, 2, 127, 128, 255, 256, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**62,
           2**63 - 1, 2**63, 2**64 - 1]  # fmt: skip
TOKENS = [
    b".", b"(", b")", b"}", b"]", b"t", b"u", b"s", b"a", b"e", b"R", b"b", b"Q", b"0", b"2", b"N",
    b"\x81", b"\x85", b"\x86", b"\x87", b"\x88", b"\x89", b"\x93", b"\x94", b"h\0", b"h\3", b"q\0",
    b"K\xff", b"J\xff\xff\xff\xff", b"M\xff\xff", b"\x8a\x08" + b"\xff" * 7 + b"\x7f",
    b"cos\nsystem\n", b"cbuiltins\neval\n", b"cbuiltins\ngetattr\n", b"X\x02\0\0\0ls\x85R",
    b"ctorch\nDoubleStorage\n", b"ctorch._utils\n_rebuild_tensor_v2\n", b"cos\nsystem\n)R",
    b"null", b"-1", b"1e999", b"[[[[", b"{}", b'"F64"', b'"BF16"', b"18446744073709551615", b'""',
    b'{"$tuple":[]}', b'{"$map":[[[],1]]}', b'{"$array":"x"}', b"NaN", b"\\ud800", b"\xff\xfe",
]  # fmt: skip


def mutated(content: bytes, rng: random.Random, other: bytes = b"") -> bytes:
    """`content` with one to four changes, each of a random kind at a random place."""
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        at = rng.randrange(len(data) + 1)
        length = rng.choice((1, 1, 2, 4, 8, 16, 64))
        kind = rng.randrange(10)
        if kind <= 1 and at < len(data):
            data[at] ^= 1 << rng.randrange(8)
        elif kind == 2 and at < len(data):
            data[at] = rng.randrange(256)
        elif kind == 3:
            size = rng.choice("BHIQ")
            number = rng.choice(NUMBERS) % (1 << 8 * struct.calcsize(size))
            packed = struct.pack(rng.choice("<>") + size, number)
            data[at : at + len(packed)] = packed
        elif kind == 4:
            del data[at : at + length]
        elif kind == 5:
            data[at:at] = data[at : at + length]
        elif kind == 6:
            token = rng.choice(TOKENS)
            data[at : at + rng.choice((0, len(token)))] = token
        elif kind == 7:
            source = other or content
            start = rng.randrange(len(source))
            data[at : at + rng.choice((0, length))] = source[start : start + length]
        elif kind == 8:
            there = rng.randrange(len(data) + 1)
            part = bytes(data[there : there + length])
            data[at : at + length] = part
        elif rng.random() < 0.3:
            del data[at:]
        if not data:
            return b""
    return bytes(data)
