"""Zip archives unpacked safely: nothing outside the folder, no bombs, all or nothing.

All members are looked at before the first is written. They go into a folder beside the target,
which takes the target's name in one step when every file is there and its CRC-32 is right. A
process killed at any moment leaves at most that other folder, which the next attempt removes.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import stat
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from minicnn.datasets.disk import bar_of_bytes, require_space, unwritten
from minicnn.errors import DataError

FILES = 200_000  # members at most
DEPTH = 16  # folders within folders at most
# Photographs are compressed already: archives of them grow by a hundredth. An archive that grows
# tenfold (and is more than a toy) is not what it says.
GROWTH = 10
TOY = 1 << 24
CHUNK = 1 << 20
# What zipfile raises on archives that are damaged.
_DAMAGE = (
    zipfile.BadZipFile, zlib.error, EOFError, ValueError, NotImplementedError, RuntimeError,
    UnicodeError,
)  # fmt: skip


def unpack(archive: Path, top: str, target: Path) -> None:
    """Make `target` the folder `top` of the archive; files that lie beside `top` go into it too.

    Whoever calls holds a lock, and `target` does not exist.

    Raises:
        DataError: no zip, damaged, with members that could do harm, without `top`, or no space.
            `target` is not there then.
    """
    staging = target.with_name(f".{target.name}.unpacking")
    try:
        _remove(staging)
        with _opened(archive) as file:
            members = _required(archive, file, top)
            size = sum(member.file_size for member in members)
            require_space(target.parent, size, f"{archive.name}, unpacked,")
            staging.mkdir(parents=True)
            with bar_of_bytes(f"unpacking {archive.name}", size) as bar:
                for member in members:
                    bar.update(_write(file, member, staging / _place(member, top)))
        if hasattr(os, "sync"):  # or a power cut soon after could leave empty files under that name
            os.sync()
        staging.rename(target)
    except OSError as error:
        raise unwritten(target, error) from error
    finally:
        with contextlib.suppress(OSError):
            _remove(staging)


def require_intact(archive: Path) -> None:
    """Raise DataError unless the archive is a zip that is safe to read and has no damaged member.

    Its members are unpacked to nowhere.
    """
    with _opened(archive) as file:
        for member in safe_members(archive, file):
            for _ in _chunks(file, member):
                pass


@contextlib.contextmanager
def _opened(archive: Path) -> Iterator[zipfile.ZipFile]:
    """The archive, open; what is wrong with it becomes a DataError."""
    try:
        with zipfile.ZipFile(archive) as file:
            yield file
    except DataError:
        raise
    except _DAMAGE as error:
        why = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{archive}: not a whole zip archive ({why}). Fetch it again.") from error


def _required(archive: Path, file: zipfile.ZipFile, top: str) -> list[zipfile.ZipInfo]:
    """The files to unpack."""
    members = [
        member
        for member in safe_members(archive, file)
        if not member.is_dir() and member.filename.partition("/")[0] in (top, member.filename)
    ]
    if not any("/" in member.filename for member in members):
        raise DataError(f"{archive}: no folder {top!r} in it. Is it another archive?; replace it.")
    return members


def _place(member: zipfile.ZipInfo, top: str) -> str:
    return member.filename.removeprefix(f"{top}/")


def _write(file: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "xb") as target:  # "x": nothing is written over, whatever its name stands for
        for chunk in _chunks(file, member):
            target.write(chunk)
    return member.file_size


def _chunks(file: zipfile.ZipFile, member: zipfile.ZipInfo) -> Iterator[bytes]:
    """The member's content; zipfile sees to its CRC-32, and that it is not longer than it says."""
    size = 0
    with file.open(member) as content:
        while chunk := content.read(CHUNK):
            size += len(chunk)
            yield chunk
    if size != member.file_size:
        raise zipfile.BadZipFile(f"{member.filename!r} has {size:,} bytes")


def _remove(folder: Path) -> None:
    if folder.is_dir() and not folder.is_symlink():
        shutil.rmtree(folder)
    else:
        folder.unlink(missing_ok=True)


# --------------------------------------------------------------------------------- what is allowed


def safe_members(archive: Path, file: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """All members, if each of them and all together are harmless; else DataError, naming one."""
    members = file.infolist()
    trouble = _too_much(archive, members)
    taken: dict[str, bool] = {}  # names as a careless file system sees them: is it a folder?
    for member in members:
        trouble = trouble or _harm(member) or _clash(member, taken)
    if trouble:
        raise DataError(f"{archive} is not safe to unpack: {trouble}. Do not use this archive.")
    return members


def _too_much(archive: Path, members: list[zipfile.ZipInfo]) -> str:
    size, packed = sum(member.file_size for member in members), archive.stat().st_size
    if len(members) > FILES:
        return f"it has {len(members):,} members, more than {FILES:,}"
    if size > max(GROWTH * packed, TOY):
        return f"its {packed:,} bytes would grow to {size:,}, more than {GROWTH} times as many"
    return ""


def _harm(member: zipfile.ZipInfo) -> str:
    """What is wrong with a member by itself; "" if nothing is."""
    name, mode = member.orig_filename, member.external_attr >> 16
    parts = name.removesuffix("/").split("/")
    if name.startswith(("/", "\\")) or re.match("[A-Za-z]:", name) or ".." in parts:
        return f"{name!r} would lie outside the folder"
    if not name.isprintable() or set(name) & set('\\:*?"<>|') or {"", "."} & set(parts):
        return f"{name!r} is no name that every system takes"
    if len(parts) > DEPTH:
        return f"{name[:40]!r}… lies {len(parts)} folders deep"
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
        return f"{name!r} is a link or a device"
    if member.flag_bits & 1:
        return f"{name!r} is encrypted"
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return f"{name!r} is packed in an unusual way (method {member.compress_type})"
    return ""


def _clash(member: zipfile.ZipInfo, taken: dict[str, bool]) -> str:
    """Whether two members would be one file, or one a file and a folder; fills in `taken`."""
    name = unicodedata.normalize("NFC", member.filename).casefold()
    *folders, last = name.removesuffix("/").split("/")
    path = ""
    for folder in folders:
        path += folder
        if not taken.setdefault(path, True):
            return f"{member.filename!r} lies in a folder that is also a file"
        path += "/"
    path += last
    if path in taken and not (taken[path] and member.is_dir()):
        return f"{member.filename!r} is there twice"
    taken[path] = member.is_dir()
    return ""
