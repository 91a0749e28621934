"""Where a tensor's memory is: on the CPU, as yet; the name "cuda" is refused with a reason."""

from __future__ import annotations

from typing import Any

from minicnn.kernels.errors import ArgumentError


class device:
    """A place for tensors, compared by type and index: `minicnn.device("cpu")`.

    Source: `torch.device`. Raises ArgumentError for an unknown name.
    """

    __slots__ = ("index", "type")
    type: str
    index: int | None

    def __init__(self, kind: str | device = "cpu", index: int | None = None) -> None:
        name, _, number = str(kind).partition(":")  # of a device too: its text is "cuda:0"
        if name not in ("cpu", "cuda") or (number and not number.isdigit()):
            raise ArgumentError(f'device: "{kind}" is not a device. Use "cpu".')
        self.type = name
        self.index = int(number) if number else index

    def __eq__(self, other: object) -> bool:
        return isinstance(other, device) and (self.type, self.index) == (other.type, other.index)

    def __hash__(self) -> int:
        return hash((self.type, self.index))

    def __str__(self) -> str:
        return self.type if self.index is None else f"{self.type}:{self.index}"

    def __repr__(self) -> str:
        index = "" if self.index is None else f", index={self.index}"
        return f"device(type='{self.type}'{index})"


CPU = device("cpu")


def require_available(where: Any) -> device:
    """`where` as a device on which arrays can be made, or an ArgumentError with the remedy."""
    found = device(where)
    if found.type != "cpu":
        raise ArgumentError(
            f'device: "{found}" is not available: this version has no GPU rung. Use device="cpu".'
        )
    return found


class cuda:
    """What PyTorch code asks before it chooses a device."""

    @staticmethod
    def is_available() -> bool:
        """Whether tensors can be moved to a GPU."""
        return False

    @staticmethod
    def device_count() -> int:
        """How many GPUs answer."""
        return 0
