"""Modules that hold modules."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from typing import Any, Self

from minicnn.errors import ArgumentError
from minicnn.nn.module import Module


class Sequential(Module):
    """Modules one after the other, each fed with the result of the one before.

    `Sequential(a, b)` names them "0", "1"; `Sequential(OrderedDict(conv=a, act=b))` as you say.
    """

    def __init__(self, *args: Any) -> None:
        super().__init__()
        if len(args) == 1 and isinstance(args[0], dict):
            for name, module in args[0].items():
                self._put(name, module)
        else:
            for i, module in enumerate(args):
                self._put(str(i), module)

    def _put(self, name: str, module: Any) -> None:
        if not isinstance(module, Module):
            raise ArgumentError(
                f"Sequential: item {name!r} is not a Module but a {type(module).__name__}"
            )
        self.add_module(name, module)

    def forward(self, x: Any) -> Any:
        """The last module's output."""
        for module in self._modules.values():
            x = module(x)
        return x

    def append(self, module: Module) -> Self:
        """Add a module at the end."""
        self._put(str(len(self)), module)
        return self

    def extend(self, modules: Iterable[Module]) -> Self:
        """Add modules at the end."""
        for module in modules:
            self.append(module)
        return self

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Module]:
        return iter(self._modules.values())

    def _name(self, index: int) -> str:
        names = list(self._modules)
        if not -len(names) <= index < len(names):
            raise IndexError(f"Sequential of {len(names)} modules has no item {index}")
        return names[index]

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return type(self)(OrderedDict(list(self._modules.items())[index]))
        return self._modules[self._name(index)]

    def __setitem__(self, index: int, module: Module) -> None:
        self._put(self._name(index), module)

    def __delitem__(self, index: int) -> None:
        del self._modules[self._name(index)]
        modules = list(self._modules.values())
        self._modules.clear()
        self._modules.update({str(i): module for i, module in enumerate(modules)})
