"""What is measured: a case is one operation, one pass of it, with its shapes, FLOPs and bytes.

A suite is a list of cases, always in the same order. A case is plain data, so that it travels to
the contenders' processes as JSON; they make the inputs themselves, from the shapes in `tensors`.

FLOPs are the direct algorithm's (a multiply-add is two), also for those who need fewer; 0 where
arithmetic is not what takes the time. Bytes are the least that must move if every cache were
perfect: each input read once, each output written once.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from math import prod
from typing import Any

FLOAT = 4  # bytes
Shape = tuple[int, ...]
Shapes = dict[str, Shape]
Batches = tuple[int, ...]  # the batch sizes that the user chose; none: the suite's own


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
        key: name, batch and pass; no two cases have the same.
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
        size = f" b{self.batch}" if self.batch else ""
        object.__setattr__(self, "key", f"{self.name}{size}, {self.pass_}")

    def as_data(self) -> dict[str, Any]:
        """The case as JSON can hold it."""
        return asdict(self)


def traffic(*shapes: Iterable[int]) -> int:
    """Bytes of float32 arrays of these shapes, each moved once."""
    return FLOAT * sum(map(prod, shapes))
