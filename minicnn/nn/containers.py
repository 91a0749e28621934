"""Modules that hold modules, or parameters."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from typing import Any, Self

from minicnn.errors import ArgumentError, OutOfRangeError
from minicnn.nn.fusion import steps
from minicnn.nn.module import Module, Parameter
from minicnn.tensor import Tensor


class _Numbered(Module):
    """A list whose items are registered under the names "0", "1", …, as their paths show."""

    def __init__(self, items: Iterable[Any] | None = None) -> None:
        super().__init__()
        self.extend(items or [])

    @property
    def _items(self) -> dict[str, Any]:
        return self._modules

    def _put(self, name: str, item: Any) -> None:
        if not isinstance(item, Module):
            raise ArgumentError(
                f"{type(self).__name__}: item {name!r} is not a Module but a {type(item).__name__}."
                " Make it one: activations are modules too, nn.ReLU() and not F.relu."
            )
        self.add_module(name, item)

    def _name(self, index: Any) -> str:
        names = list(self._items)
        if not -len(names) <= index < len(names):
            raise OutOfRangeError(
                f"{type(self).__name__}: no item {index} among {len(names)}, "
                f"which are {-len(names)}..{len(names) - 1}."
                " Use an index in that range."
            )
        return names[index]

    def _refill(self, items: Iterable[Any]) -> None:
        items = list(items)
        self._items.clear()
        for i, item in enumerate(items):
            self._put(str(i), item)

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._items.values())

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return type(self)(list(self)[index])
        return self._items[self._name(index)]

    def __setitem__(self, index: Any, item: Any) -> None:
        self._put(self._name(index), item)

    def __delitem__(self, index: Any) -> None:
        """Without these items, and the others numbered anew."""
        items = list(self)
        if not isinstance(index, slice):
            self._name(index)
        del items[index]
        self._refill(items)

    def append(self, item: Any) -> Self:
        """Add an item at the end."""
        self._put(str(len(self)), item)
        return self

    def extend(self, items: Iterable[Any]) -> Self:
        """Add items at the end."""
        for item in list(items):
            self.append(item)
        return self

    def insert(self, index: int, item: Any) -> Self:
        """Add an item before the one at `index`; all are numbered anew."""
        if not -len(self) <= index <= len(self):
            raise OutOfRangeError(
                f"{type(self).__name__}.insert: {index} is no place among {len(self)} items, "
                f"which are {-len(self)}..{len(self)}."
                " Use an index in that range."
            )
        before = list(self)
        items = list(before)
        items.insert(index, item)
        try:
            self._refill(items)
        except ArgumentError:
            self._refill(before)
            raise
        return self

    def pop(self, index: Any = -1) -> Any:
        """Take an item out and return it; the others are numbered anew."""
        item = self[index]
        del self[index]
        return item

    def __iadd__(self, items: Iterable[Any]) -> Self:
        return self.extend(items)

    def __add__(self, items: Iterable[Any]) -> Self:
        return self[:].extend(items)


class Sequential(_Numbered):
    """Modules one after the other, each fed with the result of the one before.

    `Sequential(a, b)` names them "0", "1"; `Sequential(OrderedDict(conv=a, act=b))` as you say.
    """

    def __init__(self, *args: Any) -> None:
        super().__init__()
        if len(args) == 1 and isinstance(args[0], dict):
            for name, module in args[0].items():
                self._put(name, module)
        else:
            self._refill(args)

    def forward(self, input: Any) -> Any:
        """The last module's output. Some pairs are computed as one: see `minicnn.nn.fusion`."""
        x = input
        for step in steps(self._modules.values()):
            x = step(x)
        return x

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return type(self)(OrderedDict(list(self._modules.items())[index]))
        return super().__getitem__(index)


class ModuleList(_Numbered):
    """A list of modules that are registered, to be called by the owner's own forward.

    In a plain Python list, `parameters()` and `state_dict()` would not find them.
    """

    def __init__(self, modules: Iterable[Module] | None = None) -> None:
        super().__init__(modules)

    def __repr__(self) -> str:
        """As PyTorch prints it: a run of equal items on one line."""
        lines, first = [], 0
        for text, same in groupby(map(repr, self)):
            count = len(list(same))
            name, times = (
                (f"{first}", "") if count == 1 else (f"{first}-{first + count - 1}", count)
            )
            lines.append(f"({name}): {times}{' x ' if times else ''}{text}")
            first += count
        body = "\n".join(lines).replace("\n", "\n  ")
        return f"{type(self).__name__}(\n  {body}\n)" if lines else f"{type(self).__name__}()"


class ModuleDict(Module):
    """A dict of modules that are registered, in the order of their insertion.

    Args:
        modules: a mapping of names to modules, or pairs of them. A name must be free: not one of
            this class's own, such as "keys".
    """

    def __init__(self, modules: Mapping[str, Module] | Iterable[Any] | None = None) -> None:
        super().__init__()
        self.update(modules or {})

    def __getitem__(self, key: str) -> Module:
        return self._modules[key]

    def __setitem__(self, key: str, module: Module) -> None:
        if not isinstance(module, Module):
            raise ArgumentError(
                f"ModuleDict: item {key!r} is not a Module but a {type(module).__name__}."
                " Make it one, such as nn.ReLU()."
            )
        self.add_module(key, module)

    def __delitem__(self, key: str) -> None:
        del self._modules[key]

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __contains__(self, key: object) -> bool:
        return key in self._modules

    def keys(self) -> Iterable[str]:
        """The names."""
        return self._modules.keys()

    def values(self) -> Iterable[Module]:
        """The modules."""
        return self._modules.values()

    def items(self) -> Iterable[tuple[str, Module]]:
        """Pairs of names and modules."""
        return self._modules.items()

    def update(self, modules: Mapping[str, Module] | Iterable[Any]) -> None:
        """Add, or replace, the modules of a mapping or of pairs."""
        for key, module in dict(modules).items():
            self[key] = module

    def pop(self, key: str) -> Module:
        """Take a module out and return it."""
        return self._modules.pop(key)

    def clear(self) -> None:
        """Take all modules out."""
        self._modules.clear()


class ParameterList(_Numbered):
    """A list of parameters that are registered; a tensor that is none becomes one."""

    def __init__(self, values: Iterable[Tensor] | None = None) -> None:
        super().__init__(values)

    @property
    def _items(self) -> dict[str, Any]:
        return self._parameters

    def _put(self, name: str, item: Any) -> None:
        if not isinstance(item, Tensor):
            raise ArgumentError(
                f"ParameterList: item {name!r} is not a Tensor but a {type(item).__name__}."
                " Make it one, with nn.Parameter(minicnn.tensor(...))."
            )
        self.register_parameter(name, item if isinstance(item, Parameter) else Parameter(item))

    def __repr__(self) -> str:
        """As PyTorch prints it."""
        lines = [
            f"    ({name}): Parameter containing: [minicnn.{p.dtype} of size "
            f"{'x'.join(map(str, p.shape))}]"
            for name, p in self._parameters.items()
        ]
        return "\n".join(["ParameterList(", *lines, ")"]) if lines else "ParameterList()"
