"""What is measured: a case is one operation, one pass of it, with its shapes, FLOPs and bytes.

A suite is a list of cases, always in the same order. A case is plain data, so that it travels to
the contenders' processes as JSON; they make the inputs themselves, from the shapes in `tensors`.

FLOPs are the direct algorithm's (a multiply-add is two), also for those who need fewer. Bytes are
the least that must move if every cache were perfect: each input read once, each output written.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from math import prod
from typing import Any

from minicnn.errors import ArgumentError

FLOAT = 4  # bytes
Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class Case:
    """One line of a result.

    Attributes:
        suite: the family that it belongs to, such as "layers".
        name: the operation and its sizes, for people: "conv 3→64 224² k11 s4 p2".
        op: the operation, for contenders: "conv2d".
        pass_: "forward", "input gradient", "weight gradient", "gradient", "step", …
        batch: N, the images in it.
        arguments: what the operation takes besides arrays.
        tensors: the shape of each input by name.
        flops, bytes: of one call, as the module says.
    """

    suite: str
    name: str
    op: str
    pass_: str
    batch: int
    arguments: dict[str, Any]
    tensors: Shapes
    flops: int
    bytes: int
    key: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "key", f"{self.name} b{self.batch}, {self.pass_}")

    def as_data(self) -> dict[str, Any]:
        """The case as JSON can hold it."""
        return asdict(self)


def traffic(*shapes: Iterable[int]) -> int:
    """Bytes of float32 arrays of these shapes, each moved once."""
    return FLOAT * sum(map(prod, shapes))


def suites() -> dict[str, Callable[[tuple[int, ...] | None], list[Case]]]:
    """All suites by name: functions of the batch sizes, where None means the suite's own."""
    from minicnn.bench.layer_cases import layers, seeds

    return {"seeds": seeds, "layers": layers}


def select(suite: str, only: tuple[str, ...] = (), batches: tuple[int, ...] = ()) -> list[Case]:
    """The cases of a suite whose key has one of the texts `only` in it, case ignored.

    Raises ArgumentError for an unknown suite, and when no case is left.
    """
    known = suites()
    if suite not in known:
        near = difflib.get_close_matches(suite, known, n=1)
        hint = f"Did you mean {near[0]!r}?" if near else f"Use one of: {', '.join(known)}."
        raise ArgumentError(f"bench: there is no suite {suite!r}. {hint}")
    cases = known[suite](batches or None)
    found = [c for c in cases if not only or any(o.lower() in c.key.lower() for o in only)]
    if not found:
        raise ArgumentError(
            f"bench: no case of suite {suite!r} has {' or '.join(map(repr, only))} in its name. "
            f"Its {len(cases)} cases have names like {cases[0].key!r}."
        )
    return found
