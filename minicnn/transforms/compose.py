"""Transforms made of others: one after the other, by chance, or a function of one's own."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from minicnn.data import sample_rng
from minicnn.errors import ArgumentError
from minicnn.transforms.arguments import probability


class Compose:
    """Apply transforms in order, each to the result of the one before.

    Source: `torchvision.transforms.Compose`.
    """

    def __init__(self, transforms: Iterable[Callable[[Any], Any]]) -> None:
        self.transforms = _callables(transforms, "Compose")

    def __call__(self, image: Any) -> Any:
        for transform in self.transforms:
            image = transform(image)
        return image

    def __repr__(self) -> str:
        lines = [f"    {transform!r}" for transform in self.transforms]
        return "\n".join(["Compose(", *lines, ")"])


class RandomApply:
    """Apply all the transforms in order with probability p, or else none of them.

    Source: `torchvision.transforms.RandomApply`.
    """

    def __init__(self, transforms: Iterable[Callable[[Any], Any]], p: float = 0.5) -> None:
        self.transforms = _callables(transforms, "RandomApply")
        self.p = probability(p, "RandomApply")

    def __call__(self, image: Any) -> Any:
        if sample_rng().random() >= self.p:
            return image
        for transform in self.transforms:
            image = transform(image)
        return image

    def __repr__(self) -> str:
        lines = [f"    {transform!r}" for transform in self.transforms]
        return "\n".join(["RandomApply(", f"    p={self.p}", *lines, ")"])


class Lambda:
    """Apply a function of one's own. Source: `torchvision.transforms.Lambda`."""

    def __init__(self, lambd: Callable[[Any], Any]) -> None:
        if not callable(lambd):
            raise ArgumentError(
                f"Lambda: expected a function, got {type(lambd).__name__}. "
                "Use Lambda(lambda image: image.convert('RGB'))."
            )
        self.lambd = lambd

    def __call__(self, image: Any) -> Any:
        return self.lambd(image)

    def __repr__(self) -> str:
        return "Lambda()"


def _callables(transforms: Any, op: str) -> list[Callable[[Any], Any]]:
    found = [*transforms] if isinstance(transforms, Iterable) else [transforms]
    wrong = [item for item in found if not callable(item) or _lacks_parentheses(item)]
    if wrong or not isinstance(transforms, Iterable):
        got = (wrong or found)[0]
        raise ArgumentError(
            f"{op}: expected a list of transforms, got {got!r}. "
            f"Use {op}([Resize(224), ToTensor()])."
        )
    return found


def _lacks_parentheses(item: Any) -> bool:
    """Whether this is a class of transforms, such as ToTensor, in place of ToTensor()."""
    return isinstance(item, type) and any("__call__" in vars(base) for base in item.__mro__)
