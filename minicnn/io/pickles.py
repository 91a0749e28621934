"""A reader of pickles that can make data and nothing else.

A pickle is a program for a machine with a stack: it pushes numbers and texts, gathers them into
lists and dicts, and may also name any function of any installed module and call it. Python's own
reader does as it is told, so whoever wrote the file runs code here. This machine knows only the
instructions that plain data needs; names go through `find`, which a subclass answers from a fixed
list and which imports nothing. Lengths are checked against the bytes that are left, steps and depth
against limits. Source: PEP 307, PEP 3154 and `pickletools`, where each instruction is described.
"""

from __future__ import annotations

import pickle
import struct
from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import Any, BinaryIO

import numpy as np

from minicnn.errors import CheckpointError

MAX_STEPS = 3_000_000  # about a hundred thousand tensors
MAX_DEPTH = 100  # of containers within containers
MAX_NAME = 1_000  # characters of a module's or function's name

COPY_AGAIN = "Use another copy of the file, or write it again."
DICTS = (dict, OrderedDict, Counter)
CONTAINERS = (list, tuple, *DICTS)
SCALARS = (type(None), bool, int, float, str)


def damaged(what: str) -> CheckpointError:
    """The error for a file that does not keep to its format."""
    return CheckpointError(f"damaged: {what}. {COPY_AGAIN}")


def short(text: str, most: int = 100) -> str:
    """`text` from a file as it may stand in a message: printable, in one line, not endless."""
    text = text if text.isprintable() else ascii(text)
    return text if len(text) <= most else text[:most] + "…"


class Stream:
    """A file's bytes in order, with the count of those left: no length is believed before."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        self.left = size

    def take(self, count: int) -> bytes:
        """The next `count` bytes."""
        if count > self.left:
            raise damaged(f"it ends where {count:,} more bytes should be")
        self.left -= count
        data = self._file.read(count)
        if len(data) != count:
            raise damaged("it became shorter while it was read")
        return data

    def line(self) -> str:
        """The text up to the next line end."""
        line = self._file.readline(min(self.left, MAX_NAME))
        self.left -= len(line)
        if line[-1:] != b"\n":
            raise damaged("a name in it has no end")
        return line[:-1].decode()

    def fill(self, array: np.ndarray) -> None:
        """Read the next bytes into a uint8 array."""
        if array.size > self.left:
            raise damaged(f"it ends where {array.size:,} more bytes should be")
        self.left -= array.size
        view, done = memoryview(array), 0
        while done < array.size:
            count = self._file.readinto(view[done:])  # type: ignore[attr-defined]
            if not count:
                raise damaged("it became shorter while it was read")
            done += count


class Machine:
    """Reads one pickle; by itself it knows no names, so it makes numbers, texts and containers."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.stack: list[Any] = []
        self.below: list[list[Any]] = []  # the stacks under the open marks
        self.memo: dict[int, Any] = {}

    def run(self) -> Any:
        """The value of the stream's next pickle."""
        try:
            if self.stream.take(1) != pickle.PROTO or not 2 <= self.stream.take(1)[0] <= 5:
                raise damaged("no pickle of protocol 2 to 5 is where one should begin")
            for _ in range(MAX_STEPS):
                code = self.stream.take(1)
                step = STEPS.get(code)
                if step is not None:
                    step(self)
                elif code == pickle.STOP:
                    return self._result()
                else:
                    raise damaged(
                        f"it uses the pickle instruction {_name(code)}, not meant for data"
                    )
        except (IndexError, KeyError) as reason:  # nothing on the stack, nothing in the memo
            raise damaged("its pickle takes what it has not made") from reason
        except UnicodeDecodeError as reason:
            raise damaged("a text in it is not UTF-8") from reason
        raise CheckpointError(
            f"more than {MAX_STEPS:,} pickle instructions. Split it, or keep long lists as tensors."
        )

    def _result(self) -> Any:
        if self.below or len(self.stack) != 1:
            raise damaged(f"its pickle leaves {len(self.stack)} values, not one")
        return self.stack[0]

    # ------------------------------------------------------------ what a subclass gives meaning to

    def find(self, module: str, name: str) -> Any:
        """What stands for a global name."""
        raise damaged(f"it names {short(f'{module}.{name}')} where only numbers belong")

    def call(self, function: Any, arguments: tuple[Any, ...]) -> Any:
        """The result of something that `find` returned."""
        raise damaged("it calls something that is no function")

    def new(self, kind: Any, arguments: tuple[Any, ...]) -> Any:
        """An empty object of a kind that `find` returned."""
        raise damaged("it makes an object of something that is no class")

    def build(self, target: Any, state: Any) -> None:
        """Give an object its attributes."""
        raise damaged(f"it sets attributes of a {type(target).__name__}")

    def persistent(self, key: Any) -> Any:
        """What the file keeps outside the pickle under `key`."""
        raise damaged("it points outside its pickle where only numbers belong")

    # ------------------------------------------------------------------------------ the machinery

    def pop_mark(self) -> list[Any]:
        """All that was pushed since the last mark."""
        items, self.stack = self.stack, self.below.pop()
        return items

    def set_items(self, items: list[Any]) -> None:
        """Put key, value, key, value, … into the dict on top."""
        target = self.stack[-1]
        if type(target) not in DICTS or len(items) % 2:
            raise damaged(f"it puts {len(items)} keys and values into a {type(target).__name__}")
        for key, value in zip(items[::2], items[1::2], strict=True):
            if not is_plain_key(key):
                raise damaged(f"a dict in it has a {type(key).__name__} that is no plain key")
            target[key] = value

    def append(self, items: list[Any]) -> None:
        """Put items at the end of the list on top."""
        target = self.stack[-1]
        if type(target) is not list:
            raise damaged(f"it appends to a {type(target).__name__}")
        target.extend(items)


def is_plain_key(key: Any) -> bool:
    """Whether a dict may have this key: a scalar, or a tuple of them.

    Hashing others is a risk: of tuples a million deep it overflows the stack, and whoever may
    choose long integers can make them all collide.
    """
    return all(
        type(part) in SCALARS and (type(part) is not int or -(2**63) <= part < 2**64)
        for part in (key if type(key) is tuple else (key,))
    )


def check_tree(value: Any, leaves: tuple[type, ...]) -> None:
    """Refuse what `value` should not hold: other types, circles, endless depth or repetition.

    A list that holds ten times a list that holds ten times … is small in the file and in memory,
    and still has no end for whoever walks through it.
    """
    _extent(value, leaves, 0, {})


def _extent(
    value: Any, leaves: tuple[type, ...], depth: int, known: dict[int, tuple[int, int]]
) -> tuple[int, int]:
    """(how many values there are at and under `value`, how deep its containers go)."""
    if type(value) not in CONTAINERS:
        if not isinstance(value, leaves):
            raise damaged(f"a {type(value).__name__} stands where a value should")
        return 1, 0
    count, height = known.get(id(value), (1, 1))
    if not count:
        raise damaged("a container in it holds itself")
    if depth + height > MAX_DEPTH:
        raise damaged(f"its containers are more than {MAX_DEPTH} deep")
    if id(value) not in known:
        known[id(value)] = 0, 0  # open: to meet it again below is a circle
        for item in value.values() if isinstance(value, dict) else value:
            inner_count, inner_height = _extent(item, leaves, depth + 1, known)
            count, height = count + inner_count, max(height, inner_height + 1)
        known[id(value)] = count, height
    if count > MAX_STEPS:
        raise damaged(f"its values, repeated ones included, are more than {MAX_STEPS:,}")
    return count, height


# ----------------------------------------------------------------------------------- instructions

Step = Callable[[Machine], Any]


def _name(code: bytes) -> str:
    """An instruction's name; its byte where there is none."""
    import pickletools  # 2,000 lines, for this alone

    names = {known.code: known.name for known in pickletools.opcodes}
    return names.get(code.decode("latin-1"), f"0x{code.hex()}")


def _push(make: Callable[[], Any]) -> Step:
    return lambda machine: machine.stack.append(make())


def _number(layout: str) -> Step:
    read, size = struct.Struct(layout).unpack, struct.calcsize(layout)
    return lambda machine: machine.stack.append(*read(machine.stream.take(size)))


def _argument(layout: str, act: Callable[[Machine, int], Any]) -> Step:
    """An instruction that is followed by one unsigned number."""
    read, size = struct.Struct(layout).unpack, struct.calcsize(layout)
    return lambda machine: act(machine, *read(machine.stream.take(size)))


def _text(machine: Machine, count: int) -> None:
    machine.stack.append(machine.stream.take(count).decode("utf-8", "surrogatepass"))


def _long(machine: Machine, count: int) -> None:
    machine.stack.append(int.from_bytes(machine.stream.take(count), "little", signed=True))


def _put(machine: Machine, index: int) -> None:
    machine.memo[index] = machine.stack[-1]


def _get(machine: Machine, index: int) -> None:
    machine.stack.append(machine.memo[index])


def _frame(machine: Machine, count: int) -> None:
    if count > machine.stream.left:
        raise damaged(f"it ends where {count:,} more bytes should be")


def _mark(machine: Machine) -> None:
    machine.below.append(machine.stack)
    machine.stack = []


def _tuple(count: int) -> Step:
    def gather(machine: Machine) -> None:
        items = [machine.stack.pop() for _ in range(count)]
        machine.stack.append(tuple(reversed(items)))

    return gather


def _tuple_of_marked(machine: Machine) -> None:
    items = machine.pop_mark()
    machine.stack.append(tuple(items))


def _append(machine: Machine) -> None:
    item = machine.stack.pop()
    machine.append([item])


def _set_item(machine: Machine) -> None:
    value, key = machine.stack.pop(), machine.stack.pop()
    machine.set_items([key, value])


def _global(machine: Machine) -> None:
    module, name = machine.stream.line(), machine.stream.line()
    machine.stack.append(machine.find(module, name))


def _stack_global(machine: Machine) -> None:
    name, module = machine.stack.pop(), machine.stack.pop()
    if type(name) is not str or type(module) is not str:
        raise damaged("a name in it is no text")
    machine.stack.append(machine.find(module, name))


def _reduce(machine: Machine, new: bool = False) -> None:
    arguments, function = machine.stack.pop(), machine.stack.pop()
    if type(arguments) is not tuple:
        raise damaged("it calls a function without arguments")
    machine.stack.append((machine.new if new else machine.call)(function, arguments))


def _build(machine: Machine) -> None:
    state = machine.stack.pop()
    machine.build(machine.stack[-1], state)


def _persistent(machine: Machine) -> None:
    machine.stack.append(machine.persistent(machine.stack.pop()))


STEPS: dict[bytes, Step] = {
    pickle.NONE: _push(lambda: None),
    pickle.NEWTRUE: _push(lambda: True),
    pickle.NEWFALSE: _push(lambda: False),
    pickle.EMPTY_LIST: _push(list),
    pickle.EMPTY_DICT: _push(dict),
    pickle.EMPTY_TUPLE: _push(tuple),
    pickle.BININT: _number("<i"),
    pickle.BININT1: _number("<B"),
    pickle.BININT2: _number("<H"),
    pickle.BINFLOAT: _number(">d"),
    pickle.LONG1: _argument("<B", _long),
    pickle.BINUNICODE: _argument("<I", _text),
    pickle.SHORT_BINUNICODE: _argument("<B", _text),
    pickle.BINUNICODE8: _argument("<Q", _text),
    pickle.BINSTRING: _argument("<I", _text),  # Python 2's texts
    pickle.SHORT_BINSTRING: _argument("<B", _text),
    pickle.BINPUT: _argument("<B", _put),
    pickle.LONG_BINPUT: _argument("<I", _put),
    pickle.BINGET: _argument("<B", _get),
    pickle.LONG_BINGET: _argument("<I", _get),
    pickle.MEMOIZE: lambda machine: _put(machine, len(machine.memo)),
    pickle.FRAME: _argument("<Q", _frame),
    pickle.MARK: _mark,
    pickle.TUPLE: _tuple_of_marked,
    pickle.TUPLE1: _tuple(1),
    pickle.TUPLE2: _tuple(2),
    pickle.TUPLE3: _tuple(3),
    pickle.APPEND: _append,
    pickle.APPENDS: lambda machine: machine.append(machine.pop_mark()),
    pickle.SETITEM: _set_item,
    pickle.SETITEMS: lambda machine: machine.set_items(machine.pop_mark()),
    pickle.GLOBAL: _global,
    pickle.STACK_GLOBAL: _stack_global,
    pickle.REDUCE: _reduce,
    pickle.NEWOBJ: lambda machine: _reduce(machine, new=True),
    pickle.BUILD: _build,
    pickle.BINPERSID: _persistent,
}
