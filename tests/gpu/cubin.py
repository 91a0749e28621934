"""What a cubin, which is an ELF file, says of its kernels: registers, stack and shared memory.

The layout of ELF64 is that of the System V ABI; the records of .nv.info are as `cuobjdump -elf`
prints them: format, attribute, size, and here a symbol's number with its value.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

_REGISTERS, _STACK = 0x2F, 0x11  # attributes; 0x04 is the format of records that have a size
_SYMBOLS, _SIZED = 2, 0x04


class Needs(NamedTuple):
    """What one kernel takes."""

    registers: int  # of a thread
    stack: int  # bytes of a thread, in slow memory
    shared: int  # bytes of a block, known when compiled


def needs(cubin: bytes) -> dict[str, Needs]:
    """Return what each kernel of a cubin takes, by its name."""
    sections = _sections(cubin)
    symbols = _symbols(cubin, sections)
    found: dict[str, dict[int, int]] = {}
    for attribute, symbol, value in _records(sections[".nv.info"][0]):
        found.setdefault(symbols[symbol], {})[attribute] = value
    return {
        name: Needs(
            values[_REGISTERS],
            values.get(_STACK, 0),
            sections.get(f".nv.shared.{name}", (b"", 0))[1],
        )
        for name, values in found.items()
        if _REGISTERS in values
    }


def _sections(elf: bytes) -> dict[str, tuple[bytes, int]]:
    """Return content and size by name; a section that is only room has no content."""
    (start,) = struct.unpack_from("<Q", elf, 40)
    entry, count, names = struct.unpack_from("<HHH", elf, 58)
    headers = [struct.unpack_from("<IIQQQQIIQQ", elf, start + i * entry) for i in range(count)]
    text = elf[headers[names][4] : headers[names][4] + headers[names][5]]
    return {
        text[h[0] : text.index(b"\0", h[0])].decode(): (elf[h[4] : h[4] + h[5]], h[5])
        for h in headers
    }


def _symbols(elf: bytes, sections: dict[str, tuple[bytes, int]]) -> list[str]:
    table, text = sections[".symtab"][0], sections[".strtab"][0]
    starts = [struct.unpack_from("<I", table, i)[0] for i in range(0, len(table), 24)]
    return [text[s : text.index(b"\0", s)].decode() for s in starts]


def _records(info: bytes) -> list[tuple[int, int, int]]:
    found, at = [], 0
    while at < len(info):
        kind, attribute, size = struct.unpack_from("<BBH", info, at)
        at += 4
        if kind == _SIZED:
            if size == 8:
                found.append((attribute, *struct.unpack_from("<II", info, at)))
            at += size
    return found
