"""Torch's weight files, `.pth` and `.pt`, read without torch and without running what is in them.

Since torch 1.6 a file is a zip archive, of stored records as a rule:

    name/data.pkl      a pickle of the containers; a tensor in it points to a storage by its number
    name/data/0 …      the storages' numbers
    name/byteorder     "little" or "big"; little where it is missing

Before, a file was five pickles in a row, a magic number, 1001, facts about the machine, the
containers and the storages' names, and then, for each name, a count (8 bytes) and the numbers,
both little-endian whatever the machine was. Source: `torch.serialization`.
"""

from __future__ import annotations

import io
import os
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

import numpy as np

from minicnn.device import CPU, device, require_available, to_device
from minicnn.errors import ArgumentError, CheckpointError
from minicnn.io.opening import open_binary
from minicnn.io.pickles import Machine, Stream, damaged, short
from minicnn.io.torchobjects import Budget, Rebuilder, Storage, StorageType
from minicnn.tensor import Tensor

MAGIC = 0x1950A86A20F9469CFC6C
PROTOCOL = 1001
_CHUNK = 1 << 20


def load_torch(
    f: str | os.PathLike[str] | BinaryIO, map_location: Any = None, *, weights_only: bool = True
) -> Any:
    """What `torch.save` wrote: containers, numbers, texts and Tensors, nested as they were.

    Files are never trusted: a name in one is answered from a fixed list, no module is imported, no
    foreign function called, and all sizes are checked before memory is taken. Admitted are dict,
    OrderedDict, Counter, list, tuple, numbers, texts, None, tensors, parameters, torch.Size and
    dtypes. bfloat16 becomes float32. Also known as `minicnn.load`. Source: `torch.load`.

    Args:
        f: a path, or a file open for reading bytes.
        map_location: a device for the tensors, wherever they were saved from; without one, or with
            a function or dict as in PyTorch, they come to the CPU.
        weights_only: True; there is no other way here.

    Raises:
        CheckpointError: no such file; not one of torch's, or damaged; a name that is not listed,
            as in a whole pickled model; numbers that minicnn lacks, such as complex ones.
    """
    if not weights_only:
        raise ArgumentError(
            "load: weights_only=False would run code from the file. Leave it out, or convert the "
            "file in PyTorch to a state dict: torch.save(model.state_dict(), path)."
        )
    where = CPU
    if map_location is not None and not callable(map_location) and type(map_location) is not dict:
        where = require_available(map_location)
    return _moved(_content(f), where)


def _moved(value: Any, where: device) -> Any:
    """What a file held with its tensors on a device: themselves, since nobody else has them yet."""
    if where == CPU:
        return value
    if isinstance(value, Tensor):
        value.array = to_device(value.array, where)
    elif isinstance(value, dict | list | tuple):
        for item in value.values() if isinstance(value, dict) else value:
            _moved(item, where)
    return value


def _content(f: str | os.PathLike[str] | BinaryIO) -> Any:
    if isinstance(f, str | os.PathLike):
        with open_binary(f) as file:
            return _named(os.fspath(f), file)
    if f.read(0) != b"" or not f.seekable():
        raise ArgumentError("load: a text file or a pipe. Open a file with open(path, 'rb').")
    return _named("the file", f)


def is_torch_file(path: str | os.PathLike[str]) -> bool:
    """Whether the file at `path` begins like torch's, whatever its name ends with."""
    with open_binary(path) as file:
        return _kind(file.read(512)) in ("zip", "pickles", "tar")


def _kind(start: bytes) -> str:
    """What a file is by its first 512 bytes."""
    if not start:
        return "empty"
    if start[8:9] == b"{":
        return "safetensors"
    if start[:4] in (b"PK\3\4", b"PK\5\6"):
        return "zip"
    if start[257:262] == b"ustar":
        return "tar"
    return "pickles" if start[:1] == b"\x80" else "unknown"


def _named(name: str, file: BinaryIO) -> Any:
    """The content of an open file; errors begin with its name."""
    try:
        return _load(file)
    except CheckpointError as reason:
        message = f"{name}: {reason}"
        raise CheckpointError(message) from reason
    except MemoryError as reason:
        raise CheckpointError(f"{name}: memory is too short for it. Free some.") from reason


def _load(file: BinaryIO) -> Any:
    begin = file.tell()
    size = file.seek(0, os.SEEK_END) - begin
    file.seek(begin)
    start = file.read(512)
    file.seek(begin)
    kind = _kind(start)
    if kind == "zip":
        return _load_zip(file, size)
    if kind == "pickles":
        return _load_pickles(Stream(file, size), Budget(size))
    if kind == "tar":
        raise CheckpointError(
            "a tar file as torch wrote until 0.1.7, which is not read. "
            "Load it with an old PyTorch and save it again."
        )
    if kind == "empty":
        raise CheckpointError("the file is empty: its writer was stopped. Use another copy.")
    if kind == "safetensors":
        raise CheckpointError("a safetensors file, not torch's. Use minicnn.io.load_weights.")
    raise CheckpointError(
        f"not a file of torch's (it starts with {start[:8]!r}). Name one that torch.save wrote."
    )


# -------------------------------------------------------------------------------- zip, since 1.6


def _load_zip(file: BinaryIO, size: int) -> Any:
    budget = Budget(size)
    archive = _Archive(file, size, budget)
    order = archive.read("byteorder").decode("latin-1") if "byteorder" in archive else "little"
    if order not in ("little", "big"):
        raise damaged(f"its byte order is {short(order)!r}, neither little nor big")
    storages: dict[str, Storage] = {}

    def storage(kind: StorageType, key: str, count: int, view: Any) -> Storage:
        if view is not None or not re.fullmatch("[0-9]{1,18}", key, re.ASCII):
            raise damaged(f"its storage {short(key)!r} has no number")
        if key not in storages:
            name = f"data/{key}"
            archive.expect(name, count * kind.itemsize)
            storages[key] = Storage.empty(kind, count)
            storages[key].fill(lambda raw: archive.fill(name, raw), order)
        return _as_expected(storages[key], key, kind, count)

    pickle = archive.read("data.pkl")
    return Rebuilder(Stream(io.BytesIO(pickle), len(pickle)), storage, budget).run()


def _as_expected(found: Storage, key: str, kind: StorageType, count: int) -> Storage:
    if found.kind != kind or found.array.size != count:
        raise damaged(f"its storage {short(key)} has two types or sizes")
    return found


class _Archive:
    """The records of a zip file by their names within its one folder; all sizes checked at once."""

    def __init__(self, file: BinaryIO, file_size: int, budget: Budget) -> None:
        with _zip_errors():
            self._archive = zipfile.ZipFile(file)
        records = self._archive.infolist()
        names = [record.filename for record in records]
        folders = {name[:-9] for name in names if re.fullmatch(r"[^/]+/data\.pkl", name)}
        if any(name.endswith("/constants.pkl") for name in names):
            raise CheckpointError(
                "a TorchScript program, which is code. In PyTorch, torch.jit.load it and save its "
                "state_dict()."
            )
        if len(folders) != 1:
            raise CheckpointError(
                f"a zip archive with {len(folders)} data.pkl, where torch.save writes one. "
                "Name a file that torch.save wrote."
            )
        (self._folder,) = folders
        self._records = dict(zip(names, records, strict=True))
        if len(self._records) != len(names) or sum(r.compress_size for r in records) > file_size:
            raise damaged("its records overlap, or two have one name")
        for record in records:
            if record.flag_bits & 1 or record.compress_type not in (0, zipfile.ZIP_DEFLATED):
                raise CheckpointError(
                    f"its record {short(record.filename)!r} is encrypted or packed in a way that "
                    "torch does not write. Pack it again without compression."
                )
            if record.compress_type == zipfile.ZIP_DEFLATED:
                budget.spend(record.file_size, f"its record {short(record.filename)!r}")
            elif record.compress_size != record.file_size:
                raise damaged(f"its record {short(record.filename)!r} has two sizes")

    def __contains__(self, name: str) -> bool:
        return f"{self._folder}/{name}" in self._records

    def expect(self, name: str, size: int) -> None:
        """CheckpointError unless the record is there and has `size` bytes."""
        if name not in self:
            raise damaged(f"it has no record {name}")
        found = self._records[f"{self._folder}/{name}"].file_size
        if found != size:
            raise damaged(f"its record {name} has {found:,} bytes, not {size:,}")

    def fill(self, name: str, array: np.ndarray) -> None:
        """Read a record into a uint8 array of its size; its CRC is verified."""
        view, done = memoryview(array), 0
        record = self._records[f"{self._folder}/{name}"]
        with _zip_errors(), self._archive.open(record) as content:
            while data := content.read(min(_CHUNK, array.size - done)):
                view[done : done + len(data)] = data
                done += len(data)
            if done < array.size or content.read(1):  # the end is where the CRC is compared
                raise damaged(f"its record {name} has another size than promised")

    def read(self, name: str) -> bytes:
        """A small record's bytes."""
        array = np.empty(self._records[f"{self._folder}/{name}"].file_size, np.uint8)
        self.fill(name, array)
        return array.tobytes()


@contextmanager
def _zip_errors() -> Iterator[None]:
    """What the zip library raises on broken archives, in one line."""
    try:
        yield
    except CheckpointError:
        raise
    except (
        zipfile.BadZipFile, zlib.error, struct.error, EOFError, NotImplementedError, OSError,
        OverflowError, ValueError,
    ) as reason:  # fmt: skip
        raise damaged(f"no whole zip archive ({short(str(reason))})") from reason


# ----------------------------------------------------------------------------- pickles, until 1.5


def _load_pickles(stream: Stream, budget: Budget) -> Any:
    if Machine(stream).run() != MAGIC:
        raise CheckpointError(
            "a pickle, but not torch's: it lacks the magic number. In PyTorch, write the state "
            "dict with torch.save, not with pickle.dump."
        )
    if Machine(stream).run() != PROTOCOL:
        raise CheckpointError("of another version than 1001. Save it again with today's PyTorch.")
    Machine(stream).run()  # the sizes of C's integers there, and its byte order: no use of either
    storages: dict[str, Storage] = {}
    room = stream.left

    def storage(kind: StorageType, key: str, count: int, view: Any) -> Storage:
        nonlocal room
        if key not in storages:
            room -= count * kind.itemsize
            if room < 0:
                raise damaged(f"its storages would be longer than the file, one of {count:,}")
            storages[key] = Storage.empty(kind, count)
        found = _as_expected(storages[key], key, kind, count)
        return found if view is None else _part(found, view)

    value = Rebuilder(stream, storage, budget).run()
    keys = Machine(stream).run()
    plain = type(keys) is list and all(type(key) is str for key in keys)
    if not plain or sorted(keys) != sorted(storages):
        raise damaged("its tensors need other storages than it has")
    for key in keys:
        (count,) = struct.unpack("<Q", stream.take(8))
        if count != storages[key].array.size:
            raise damaged(f"its storage {short(key)} has {count:,} numbers, not as many as needed")
        storages[key].fill(stream.fill, "little")
    return value


def _part(storage: Storage, view: Any) -> Storage:
    """A part of a storage, (key, offset, count), as torch wrote it before 0.4."""
    numbers = view[1:] if type(view) is tuple and len(view) == 3 else ()
    if not numbers or any(type(n) is not int or n < 0 for n in numbers):
        raise damaged("a part of a storage in it has no offset or length")
    offset, count = numbers
    if offset + count > storage.array.size:
        raise damaged(f"a part of a storage in it, {offset}+{count}, goes beyond its end")
    return Storage(storage.kind, storage.array[offset : offset + count])
