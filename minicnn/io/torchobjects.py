"""What a torch file's pickle may name: tensors on storages, dtypes, sizes, parameters.

A storage is a row of numbers; a tensor shows a part of one under a shape and strides:

    tensor[i, j] = storage[offset + i * strides[0] + j * strides[1]]

Tensors of one storage share its memory here too. bfloat16, which NumPy lacks, becomes float32,
which holds its values exactly. Source: `torch._utils`, whose functions' arguments these are.
"""

from __future__ import annotations

import math
import sys
from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from minicnn.errors import CheckpointError
from minicnn.io.pickles import SCALARS, Machine, Stream, check_tree, damaged, short
from minicnn.nn.module import Parameter
from minicnn.tensor import Size, Tensor

DTYPES = {
    "FloatStorage": "float32", "DoubleStorage": "float64", "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16", "LongStorage": "int64", "IntStorage": "int32",
    "ShortStorage": "int16", "CharStorage": "int8", "ByteStorage": "uint8",
    "BoolStorage": "bool", "UntypedStorage": "uint8",
}  # fmt: skip
MAX_NUMBER = 2**48  # of a shape, stride or offset: beyond any memory, and products stay exact
_OBJECT, _ITEM = 800, 200  # bytes that a tensor and an item of a dict take, at most
STATE_DICT = "In PyTorch, save torch.save(model.state_dict(), path)."


class Budget:
    """Bytes that a file may grow to in memory: by compression, by showing numbers many times, or by
    calls, of which five bytes can make a tensor or copy a long dict.

    16 times its size and 64 MiB more: a state dict needs its size once, an expanded tensor more.
    """

    def __init__(self, file_size: int) -> None:
        self.left = self.total = 16 * file_size + 2**26

    def spend(self, count: int, what: str) -> None:
        """Count bytes; CheckpointError when they are too many."""
        self.left -= count
        if self.left < 0:
            raise CheckpointError(
                f"{what} would take it above {self.total:,} bytes in memory, 64 MiB + 16 times the "
                "file. If you trust it, save .clone()s of its tensors, uncompressed, in PyTorch."
            )


class StorageType(NamedTuple):
    """A storage class that a file names."""

    dtype: str  # "bfloat16" too

    @property
    def itemsize(self) -> int:
        """Bytes per number in the file."""
        return 2 if self.dtype == "bfloat16" else np.dtype(self.dtype).itemsize


class Storage:
    """A row of numbers; `array` has its final dtype from the start, and `fill` brings the values.

    The older format needs that: its tensors come before their numbers.
    """

    def __init__(self, kind: StorageType, array: np.ndarray) -> None:
        self.kind = kind
        self.array = array

    @classmethod
    def empty(cls, kind: StorageType, count: int) -> Storage:
        """Room for `count` numbers; the caller has checked that the file has them."""
        return cls(kind, np.empty(count, "float32" if kind.dtype == "bfloat16" else kind.dtype))

    def fill(self, read: Callable[[np.ndarray], Any], order: str) -> None:
        """Take the numbers from `read(bytes as a uint8 array)`; order "little" or "big"."""
        brief = self.kind.dtype == "bfloat16"
        raw = np.empty(self.array.size, np.uint16) if brief else self.array
        read(raw.view(np.uint8))
        if order != sys.byteorder:
            raw.byteswap(inplace=True)
        if brief:  # the upper half of a float32
            self.array.view(np.uint32)[...] = raw.astype(np.uint32) << 16
        elif self.array.dtype == bool:  # NumPy's are 0 or 1, a file's bytes may be anything
            self.array[...] = self.array.view(np.uint8) != 0


class Named(NamedTuple):
    """A function that a file may call, with the least and greatest number of its arguments."""

    function: Callable[..., Any]
    least: int
    most: int


class Rebuilder(Machine):
    """Reads a pickle of tensors; `storage(kind, key, count, view)` finds their numbers."""

    def __init__(
        self,
        stream: Stream,
        storage: Callable[[StorageType, str, int, Any], Storage],
        budget: Budget,
    ) -> None:
        super().__init__(stream)
        self.storage = storage
        self.budget = budget

    def run(self) -> Any:
        """The value of the pickle: nested containers of plain values and Tensors."""
        value = super().run()
        check_tree(value, (*SCALARS, Tensor, Size, np.dtype))
        return value

    def find(self, module: str, name: str) -> Any:
        """What stands for a global name; CheckpointError for all that are not listed."""
        if module in ("torch", "torch.cuda", "torch.storage") and name in DTYPES:
            return StorageType(DTYPES[name])
        if module == "torch" and name in DTYPES.values():
            return np.dtype("float32" if name == "bfloat16" else name)
        found = NAMES.get(f"{module}.{name}")
        if found is None:
            raise CheckpointError(self._refusal(module, name))
        return found

    def _refusal(self, module: str, name: str) -> str:
        """Why a name is refused, and what to do."""
        it = f"it names {short(f'{module}.{name}')}"
        if module == "torch._utils" or (module[:5] == "torch" and name.endswith("Storage")):
            return f"{it}, a kind of tensor that minicnn lacks. Save its .to_dense().float()."
        if module.split(".")[0] == "numpy":
            return f"{it}. Save plain numbers, x.item(), and tensors instead of NumPy's."
        rest = self.stream.take(min(self.stream.left, 2**20))
        if module.startswith("torch.nn.modules.") or b"_parameters" in rest:
            return f"{it}: a whole pickled model is code, which is never loaded. {STATE_DICT}"
        return f"{it}, but only tensors, numbers, texts and containers are loaded. {STATE_DICT}"

    def call(self, function: Any, arguments: tuple[Any, ...]) -> Any:
        """The result of a listed function."""
        if type(function) is not Named or not function.least <= len(arguments) <= function.most:
            raise damaged(f"it calls something with {len(arguments)} arguments, which does not fit")
        self.budget.spend(_OBJECT, "its number of objects")
        return function.function(self, *arguments)

    def new(self, kind: Any, arguments: tuple[Any, ...]) -> Any:
        """Parameters were saved so until 2018: an object of the class, then its state."""
        if kind is not Parameter:
            raise damaged("it makes an object of something that is no class")
        self.budget.spend(_OBJECT, "its number of objects")
        data = arguments[0] if len(arguments) == 1 else Tensor(np.empty(0, np.float32))
        return _parameter(self, data, False)

    def build(self, target: Any, state: Any) -> None:
        """Set attributes: a state dict's version numbers, left out here, or a Parameter's data."""
        if type(target) is OrderedDict:
            return
        if type(target) is not Parameter or type(state) is not tuple or len(state) not in (3, 5):
            raise damaged(f"it sets attributes of a {type(target).__name__}")
        if len(state) == 5:  # data, grad, hooks, requires_grad, volatile
            if type(state[0]) is not Tensor:
                raise damaged("a parameter in it has no data")
            target.array = state[0].array
        _require_grad(target, state[0 if len(state) == 3 else 3])

    def persistent(self, key: Any) -> Any:
        """The storage of ("storage", type, key, device, count), since all devices become the CPU's.

        The older format adds (key, offset, count) of a part of the storage, or None.
        """
        if type(key) is not tuple or len(key) not in (5, 6) or key[0] != "storage":
            raise damaged("it points to something that is no storage")
        kind, name, device, count = key[1:5]
        if type(kind) is not StorageType or type(name) is not str or type(device) is not str:
            raise damaged("it points to a storage without type or name")
        return self.storage(kind, name, _size(count), key[5] if len(key) == 6 else None)


# -------------------------------------------------------------------------- what a file may call


def _size(number: Any) -> int:
    if type(number) is not int or not 0 <= number < MAX_NUMBER:
        raise damaged("a size, stride, offset or count in it is no number from 0 on")
    return number


def _sizes(numbers: Any) -> tuple[int, ...]:
    if type(numbers) not in (tuple, list, Size) or len(numbers) > 64:
        raise damaged("a tensor's shape or strides in it are no tuple of at most 64 numbers")
    return tuple(map(_size, numbers))


def _tensor(
    machine: Rebuilder,
    storage: Any,
    offset: Any,
    shape: Any,
    strides: Any,
    requires_grad: Any = False,
    hooks: Any = None,
    metadata: Any = None,
) -> Tensor:
    """A tensor on a storage, if all its elements are in there; hooks would be functions."""
    if type(storage) is not Storage:
        raise damaged("a tensor in it has no storage")
    if metadata:
        raise CheckpointError("a tensor in it is stored conjugated. Save its .resolve_conj().")
    offset, shape, strides = _size(offset), _sizes(shape), _sizes(strides)
    array, count = storage.array, math.prod(shape)
    if len(shape) != len(strides):
        raise damaged(f"a tensor in it has the shape {shape} and strides {strides}")
    if not count:
        return _empty(shape, array.dtype, requires_grad)
    needed = 1 + offset + sum((n - 1) * s for n, s in zip(shape, strides, strict=True))
    if needed > array.size:
        raise damaged(
            f"a tensor in it of shape {shape}, strides {strides} and offset {offset} needs a "
            f"storage of {needed:,} numbers, its own has {array.size:,}"
        )
    width = array.itemsize
    machine.budget.spend(count * width, f"a tensor of shape {shape}")
    steps = [s * width for s in strides]
    return _require_grad(
        Tensor(np.ndarray(shape, array.dtype, array, offset * width, steps)), requires_grad
    )


def _empty(shape: tuple[int, ...], dtype: np.dtype, requires_grad: Any) -> Tensor:
    if math.prod(n for n in shape if n) >= MAX_NUMBER:
        raise damaged(f"an empty tensor in it has the shape {shape}")
    return _require_grad(Tensor(np.empty(shape, dtype)), requires_grad)


def _require_grad(tensor: Any, wanted: Any) -> Any:
    if type(wanted) is not bool or (wanted and not tensor.is_floating_point()):
        raise damaged(f"a tensor in it of {tensor.dtype} asks for a gradient")
    return tensor.requires_grad_(wanted)


def _parameter(machine: Rebuilder, data: Any, requires_grad: Any, hooks: Any = None) -> Parameter:
    if type(data) is not Tensor:
        raise damaged("a parameter in it has no data")
    return _require_grad(Parameter(data, False), requires_grad)


def _ordered(machine: Rebuilder, items: Any = ()) -> OrderedDict:
    """An OrderedDict; Python 2 gave its items as a list of [key, value]."""
    if type(items) not in (list, tuple) or any(type(p) is not list or len(p) != 2 for p in items):
        raise damaged("an OrderedDict in it has no list of items")
    machine.budget.spend(_ITEM * len(items), "an OrderedDict")
    found: OrderedDict = OrderedDict()
    machine.stack.append(found)
    machine.set_items([part for pair in items for part in pair])
    return machine.stack.pop()


def _counter(machine: Rebuilder, counts: Any = None) -> Counter:
    """Learning-rate schedules keep their milestones so."""
    if type(counts) not in (dict, type(None)):
        raise damaged("a Counter in it has no dict of counts")
    machine.budget.spend(_ITEM * len(counts or ()), "a Counter")
    found: Counter = Counter()
    found.update(counts or {})
    return found


def _torch_size(machine: Rebuilder, sizes: Any) -> Size:
    return Size(_sizes(sizes))


NAMES: dict[str, Any] = {
    "torch._utils._rebuild_tensor": Named(_tensor, 4, 4),
    "torch._utils._rebuild_tensor_v2": Named(_tensor, 6, 7),
    "torch._utils._rebuild_parameter": Named(_parameter, 3, 3),
    "torch.nn.parameter.Parameter": Parameter,
    "torch.Size": Named(_torch_size, 1, 1),
    "collections.OrderedDict": Named(_ordered, 0, 1),
    "collections.Counter": Named(_counter, 0, 1),
}
