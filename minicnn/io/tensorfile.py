"""Named arrays in one file: the safetensors format, written here and read by its own library.

    8 bytes    n, little-endian: the length of the header
    n bytes    JSON: {"name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, …,
               "__metadata__": {"key": "text"}}, filled up with spaces to a multiple of 8
    the rest   the arrays' bytes, one after the other, little-endian, no gaps

A `crc32` among the metadata, of the arrays' bytes, tells a damaged file from a whole one.
Nothing in it can run code, unlike pickle. The library's own writer copies every array into one
string of bytes first and shuffles the metadata; this one streams, and equal content gives equal
files. Source: the safetensors README, section "Format".
"""

from __future__ import annotations

import json
import os
import struct
import zlib
from collections.abc import Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from minicnn.errors import CheckpointError
from minicnn.io.atomic import atomic_write
from minicnn.io.opening import reading
from minicnn.io.pickles import short

CHECKSUM = "crc32"  # the name among the metadata

_CODES = {
    "float64": "F64", "float32": "F32", "float16": "F16", "int64": "I64", "int32": "I32",
    "int16": "I16", "int8": "I8", "uint8": "U8", "bool": "BOOL",
}  # fmt: skip


def write_tensors(
    path: str | os.PathLike[str], arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str]
) -> Path:
    """Write `arrays` and `metadata` to `path`, atomically.

    Raises:
        CheckpointError: a dtype without a place in the format, or a disk that refuses.
    """
    # Widest items first keeps every array aligned to its item size.
    names = sorted(arrays, key=lambda name: (-arrays[name].dtype.itemsize, name))
    stored: dict[str, np.ndarray] = {}
    header: dict[str, Any] = {}
    end = checksum = 0
    for name in names:
        array = arrays[name]
        if array.dtype.name not in _CODES:
            raise CheckpointError(
                f"cannot write {path}: {name} has dtype {array.dtype}. Convert it to float32 first."
            )
        little = array.astype(array.dtype.newbyteorder("<"), copy=False)
        stored[name] = np.ascontiguousarray(little).reshape(-1).view(np.uint8)
        checksum = zlib.crc32(stored[name], checksum)
        start, end = end, end + array.nbytes
        header[name] = {
            "dtype": _CODES[array.dtype.name],
            "shape": list(array.shape),
            "data_offsets": [start, end],
        }
    header["__metadata__"] = {**metadata, CHECKSUM: f"{checksum:08x}"}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)

    def write(file: BinaryIO) -> None:
        file.write(struct.pack("<Q", len(text)))
        file.write(text)
        for content in stored.values():
            file.write(content)

    return atomic_write(path, write, error=CheckpointError)


def read_tensors(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """All arrays of the file at `path`, by name; CheckpointError if their bytes were damaged."""
    with _opened(path) as file:
        names = file.keys()
        arrays = {name: _array(path, file, name) for name in names}
        promised = (file.metadata() or {}).get(CHECKSUM)
        names = list(file.offset_keys())
    if promised is not None:
        found = 0
        for name in names:
            found = zlib.crc32(arrays[name].reshape(-1).view(np.uint8), found)
        if f"{found:08x}" != promised:
            raise CheckpointError(
                f"{path}: damaged: its numbers have the checksum {found:08x}, written was "
                f"{promised}. Use another checkpoint, or copy the file again."
            )
    return arrays


def _array(path: str | os.PathLike[str], file: Any, name: str) -> np.ndarray:
    """One tensor of an opened file; bfloat16, which NumPy lacks, as float32."""
    part = file.get_slice(name)
    code = part.get_dtype()
    if code == "BF16":
        with open(path, "rb") as raw:
            (length,) = struct.unpack("<Q", raw.read(8))
            start, end = json.loads(raw.read(length))[name]["data_offsets"]
            raw.seek(8 + length + start)
            upper = np.frombuffer(raw.read(end - start), "<u2")
        return (upper.astype(np.uint32) << 16).view(np.float32).reshape(part.get_shape())
    if code not in _CODES.values():
        raise CheckpointError(
            f"{path}: {short(name)} has dtype {code}, unsupported here. "
            "Convert it to float32 first."
        )
    return file.get_tensor(name)


def read_metadata(path: str | os.PathLike[str]) -> dict[str, str]:
    """The texts stored beside the arrays; reads the header only."""
    with _opened(path) as file:
        return {k: text for k, text in (file.metadata() or {}).items() if k != CHECKSUM}


@contextmanager
def _opened(path: str | os.PathLike[str]):
    """The library's reader on `path`, its exceptions turned into one line that names the file."""
    import safetensors

    path = Path(path)
    try:
        with reading(path), safetensors.safe_open(path, framework="numpy") as file:
            yield file
    except CheckpointError:
        raise
    except (
        safetensors.SafetensorError, TypeError, AttributeError, KeyError, ValueError, OverflowError,
    ) as reason:  # fmt: skip
        raise CheckpointError(f"{path}: {_diagnosis(path, reason)}") from reason


def _diagnosis(path: Path, reason: Exception) -> str:
    """What is wrong with a file that the library refused, and what to do."""
    foreign = "Name a .safetensors file, as Trainer and io.save_weights write."
    size = path.stat().st_size
    with open(path, "rb") as file:
        start = file.read(9)
        if size == 0:
            return "the file is empty: its writer was stopped. Use another checkpoint."
        if len(start) < 9 or start[8:] != b"{":
            return f"not a safetensors file (it starts with {start[:8]!r}). {foreign}"
        length = struct.unpack("<Q", start[:8])[0]
        try:
            header = json.loads(b"{" + file.read(min(length, size) - 1))
            ends = [v["data_offsets"][1] for k, v in header.items() if k != "__metadata__"]
            promised = 8 + length + max(ends, default=0)
        except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError):
            promised = 8 + length
    if size < promised:
        return (
            f"truncated, {size:,} bytes of {promised:,} are there. "
            "Use another checkpoint (best or last), or copy the file again."
        )
    why = short(str(reason))
    return f"damaged or unsupported ({why}). Use another checkpoint, or copy the file again."
