"""Pickles put together instruction by instruction, for torch files that no torch would write."""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
from collections.abc import Mapping

START, STOP = b"\x80\2", b"."
MAGIC = pickle.dumps(0x1950A86A20F9469CFC6C, 2) + pickle.dumps(1001, 2) + pickle.dumps({}, 2)
FLOATS = "torch FloatStorage"
V2 = "torch._utils _rebuild_tensor_v2"


def value(x: object) -> bytes:
    """The instructions for a plain value; bytes are instructions already."""
    if isinstance(x, bytes):
        return x
    if isinstance(x, tuple):
        return b"(" + b"".join(map(value, x)) + b"t"
    return pickle.dumps(x, 2)[2:-1].replace(b"q\x00", b"")


def name(path: str) -> bytes:
    """GLOBAL "module name"."""
    return b"c" + "\n".join(path.split(" ")).encode() + b"\n"


def call(path: str, *arguments: object) -> bytes:
    """A function's result."""
    return name(path) + value(arguments) + b"R"


def storage(key: object = "0", count: object = 6, kind: str = FLOATS, *more: object) -> bytes:
    """A persistent id."""
    return value(("storage", name(kind), key, "cpu", count, *more)) + b"Q"


def tensor(
    at: bytes | None = None,
    offset: object = 0,
    shape: object = (2, 3),
    strides: object = (3, 1),
    *more: object,
    how: str = V2,
) -> bytes:
    """A tensor on a storage, by default 2×3 floats on storage 0."""
    last = more if how != V2 else (more or (False, call("collections OrderedDict")))
    return call(how, storage() if at is None else at, offset, shape, strides, *last)


def zipped(
    body: bytes,
    storages: Mapping[str, bytes] | None = None,
    compression: int = zipfile.ZIP_STORED,
    start: bytes = START,
) -> bytes:
    """A zip file around a pickle; storage 0 has six floats."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        archive.writestr("a/data.pkl", start + body + STOP)
        for key, content in (storages or {"0": bytes(24)}).items():
            archive.writestr(f"a/data/{key}", content)
        archive.writestr("a/version", "3\n")
    return file.getvalue()


def legacy(body: bytes, storages: Mapping[str, bytes] | None = None, start: bytes = START) -> bytes:
    """A file of the older format around a pickle, with storages of four-byte numbers."""
    found = {"0": bytes(24)} if storages is None else storages
    tail = b"".join(struct.pack("<q", len(data) // 4) + data for data in found.values())
    return MAGIC + start + body + STOP + pickle.dumps([*found], 2) + tail
