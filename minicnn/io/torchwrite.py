"""Writing zip files that `torch.load(path)` reads under its default, `weights_only=True`.

The pickle is written instruction by instruction, since Python's own writer would have to import
torch to name its functions. `torchfile` describes the format.
"""

from __future__ import annotations

import math
import os
import pickle
import struct
import sys
import zipfile
from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import Any, BinaryIO

import numpy as np

from minicnn.errors import CheckpointError
from minicnn.io.atomic import atomic_write
from minicnn.io.pickles import MAX_DEPTH, is_plain_key
from minicnn.io.torchobjects import DTYPES
from minicnn.io.tree import to_array
from minicnn.nn.module import Parameter
from minicnn.tensor import Size, Tensor

_STORAGES = {dtype: name for name, dtype in DTYPES.items() if name != "UntypedStorage"}
_ALIGNMENT = 64  # bytes: torch maps the storages of large files into memory
_FOLDER = "archive"


def save_torch(obj: Any, f: str | os.PathLike[str] | BinaryIO) -> None:
    """Write a state dict, or containers of tensors and plain values, to a file for torch and us.

    Paths are written atomically. What `load_torch` returns is what can be written: dict,
    OrderedDict, Counter, list, tuple, numbers, texts, None, tensors, parameters, sizes, dtypes;
    NumPy arrays become tensors. Equal content gives equal files. Tensors are stored one by one:
    those that show parts of one another's memory no longer do afterwards. Also known as
    `minicnn.save`. Source: `torch.save`.

    Raises:
        CheckpointError: a value of another type, such as a whole model; a disk that refuses.
    """
    content = _Pickle()
    content.value(obj, "the object", 0)
    if isinstance(f, str | os.PathLike):
        atomic_write(f, lambda file: _write(file, content), error=CheckpointError)
    else:
        _write(f, content)


def _write(file: BinaryIO, content: _Pickle) -> None:
    records: list[tuple[str, Any]] = [
        ("data.pkl", b"".join([pickle.PROTO, b"\2", *content.code, pickle.STOP])),
        ("byteorder", sys.byteorder.encode()),
        *((f"data/{i}", array.view(np.uint8).data) for i, array in enumerate(content.storages)),
        ("version", b"3\n"),
    ]
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in records:
            info = zipfile.ZipInfo(f"{_FOLDER}/{name}")  # dated 1980: equal content, equal files
            large = len(data) >= zipfile.ZIP64_LIMIT
            header = 30 + len(info.filename) + 4 + 20 * large  # 4 of the padding's own, 20 of zip64
            padding = -(file.tell() + header) % _ALIGNMENT
            info.extra = struct.pack("<2sH", b"FB", padding) + b"Z" * padding
            with archive.open(info, "w", force_zip64=large) as record:
                record.write(data)


class _Pickle:
    """The instructions for a value, and the storages that they point to."""

    def __init__(self) -> None:
        self.code: list[bytes] = []
        self.storages: list[np.ndarray] = []
        self._known: dict[tuple[int, int, str], int] = {}

    def value(self, value: Any, name: str, depth: int) -> None:
        """Append the instructions that make `value`, which is called `name` in errors."""
        if depth > MAX_DEPTH:
            raise CheckpointError(f"save: {name[:99]}… has no end. Save it without its own parent.")
        if isinstance(value, np.generic):
            value = value.item()
        write = _WRITERS.get(type(value))
        if isinstance(value, np.dtype) and value.name in _STORAGES:
            self._global("torch", value.name)
        elif write is None:
            raise CheckpointError(
                f"save: {name} is a {type(value).__name__}, which a file of plain data cannot hold."
                " Save a model's state_dict(), and numbers, texts, lists, dicts and tensors."
            )
        else:
            write(self, value, name, depth)

    def _number(self, value: int | float, *_: Any) -> None:
        if isinstance(value, float):
            self.code.append(pickle.BINFLOAT + struct.pack(">d", value))
        elif -(2**31) <= value < 2**31:
            self.code.append(pickle.BININT + struct.pack("<i", value))
        else:
            data = pickle.encode_long(value)
            if len(data) > 255:
                raise CheckpointError("save: an integer of over 2,000 bits. Save it as a text.")
            self.code.append(pickle.LONG1 + bytes([len(data)]) + data)

    def _constant(self, value: bool | None, *_: Any) -> None:
        codes = {None: pickle.NONE, True: pickle.NEWTRUE, False: pickle.NEWFALSE}
        self.code.append(codes[value])

    def _text(self, value: str, *_: Any) -> None:
        data = value.encode("utf-8", "surrogatepass")
        self.code.append(pickle.BINUNICODE + struct.pack("<I", len(data)) + data)

    def _items(self, items: Any, name: str, depth: int) -> None:
        for index, item in enumerate(items):
            self.value(item, f"{name}[{index}]", depth + 1)

    def _list(self, value: list, name: str, depth: int) -> None:
        self.code += [pickle.EMPTY_LIST, pickle.MARK]
        self._items(value, name, depth)
        self.code.append(pickle.APPENDS)

    def _tuple(self, value: tuple, name: str = "", depth: int = 0) -> None:
        if isinstance(value, Size):
            self._global("torch", "Size")
        self.code.append(pickle.MARK)
        self._items(value, name, depth)
        self.code.append(pickle.TUPLE)
        if isinstance(value, Size):
            self.code += [pickle.TUPLE1, pickle.REDUCE]

    def _dict(self, value: dict, name: str = "", depth: int = 0) -> None:
        if type(value) is dict:
            self.code.append(pickle.EMPTY_DICT)
        else:
            self._global("collections", type(value).__name__)
            self.code += [pickle.EMPTY_TUPLE, pickle.REDUCE]
        self.code.append(pickle.MARK)
        for key, item in value.items():
            if not is_plain_key(key):
                raise CheckpointError(
                    f"save: a {type(key).__name__} as a key of {name}. Use texts or numbers."
                )
            self.value(key, "", depth + 1)
            self.value(item, f"{name}[{key!r}]", depth + 1)
        self.code.append(pickle.SETITEMS)

    def _tensor(self, value: Any, name: str, depth: int) -> None:
        array = to_array(value)
        array = np.ascontiguousarray(array, array.dtype.newbyteorder("=")).reshape(array.shape)
        if array.dtype.name not in _STORAGES:
            raise CheckpointError(f"save: {name} has dtype {array.dtype}. Convert it to float32.")
        wants, parameter = getattr(value, "requires_grad", False), type(value) is Parameter
        if parameter:
            self._global("torch._utils", "_rebuild_parameter")
            self.code.append(pickle.MARK)
        self._global("torch._utils", "_rebuild_tensor_v2")
        self.code.append(pickle.MARK)
        self._storage(array)
        strides = tuple(math.prod(array.shape[i + 1 :]) for i in range(array.ndim))
        self._number(0)
        self._tuple(array.shape)
        self._tuple(strides)
        self._constant(wants and not parameter)
        self._dict(OrderedDict())
        self.code += [pickle.TUPLE, pickle.REDUCE]
        if parameter:
            self._constant(wants)
            self._dict(OrderedDict())
            self.code += [pickle.TUPLE, pickle.REDUCE]

    def _storage(self, array: np.ndarray) -> None:
        """Point to the storage of `array`'s numbers; tied weights have one for both."""
        memory = array.__array_interface__["data"][0], array.size, array.dtype.name
        index = self._known.setdefault(memory, len(self.storages)) if array.size else None
        if index in (None, len(self.storages)):
            index = len(self.storages)
            self.storages.append(array.reshape(-1))
        self.code.append(pickle.MARK)
        self._text("storage")
        self._global("torch", _STORAGES[array.dtype.name])
        self._text(str(index))
        self._text("cpu")
        self._number(array.size)
        self.code += [pickle.TUPLE, pickle.BINPERSID]

    def _global(self, module: str, name: str) -> None:
        self.code.append(pickle.GLOBAL + f"{module}\n{name}\n".encode())


_WRITERS: dict[type, Callable[[_Pickle, Any, str, int], None]] = {
    type(None): _Pickle._constant, bool: _Pickle._constant, int: _Pickle._number,
    float: _Pickle._number, str: _Pickle._text, list: _Pickle._list, tuple: _Pickle._tuple,
    Size: _Pickle._tuple, dict: _Pickle._dict, OrderedDict: _Pickle._dict, Counter: _Pickle._dict,
    Tensor: _Pickle._tensor, Parameter: _Pickle._tensor, np.ndarray: _Pickle._tensor,
}  # fmt: skip
