"""Compiled CUDA kernels on disk, so that the next process starts at once.

A file's name holds a hash of all that its code depends on, so an edit starts a new file and none
is ever out of date. It ends in the SHA-256 of the code: a file that is cut off or damaged is
compiled again. A folder that cannot be written only costs the compilation.
"""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import platformdirs

from ._source import Source

if TYPE_CHECKING:
    from ._cuda import Driver

_DIGEST = hashlib.sha256().digest_size
_UNUSED_DAYS = 30

_log = logging.getLogger("minicnn.kernels")


def folder() -> Path:
    """Return where compiled CUDA kernels are kept: in MINICNN_CACHE_DIR or the user's cache."""
    root = os.environ.get("MINICNN_CACHE_DIR") or platformdirs.user_cache_dir("minicnn", False)
    return Path(root).absolute() / "cuda"


def module(machine: Driver, source: Source, options: tuple[str, ...]) -> Any:
    """Return the loaded module of a source: from disk, or compiled now and kept there."""
    path = folder() / _name(source, machine.arch(), options)
    code = _read(path)
    if code is not None:
        try:
            return machine.load(code)
        except Exception as error:  # whatever a driver says of a file that it cannot use
            _log.debug("compiled kernels: cannot load %s: %s", path, error)
    start = time.perf_counter()
    code = machine.compile(source, options)
    _log.debug("compiled %s %s in %.1f s", source.name, options, time.perf_counter() - start)
    _write(path, code)
    return machine.load(code)


def _name(source: Source, arch: str, options: tuple[str, ...]) -> str:
    key = "\0".join((source.digest, arch, *sorted(options)))
    return f"{Path(source.name).stem}-{arch}-{hashlib.sha256(key.encode()).hexdigest()[:16]}"


def _read(path: Path) -> bytes | None:
    try:
        data = path.read_bytes()
        if data and hashlib.sha256(data[:-_DIGEST]).digest() == data[-_DIGEST:]:
            _mark(path)
            return data[:-_DIGEST]
    except OSError:  # mostly: it is not there yet
        pass
    return None


def _mark(path: Path) -> None:
    """Note that a file is in use, once a day."""
    try:
        if time.time() - path.stat().st_mtime > 24 * 3600:
            os.utime(path)
    except OSError as error:
        _log.debug("compiled kernels: cannot touch %s: %s", path, error)


def _write(path: Path, code: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(code + hashlib.sha256(code).digest())
            os.replace(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise
        _prune(path.parent)
    except (OSError, ValueError) as error:
        _log.debug("compiled kernels: cannot write %s: %s", path, error)


def _prune(place: Path) -> None:
    """Delete what no process has used for a month."""
    oldest = time.time() - _UNUSED_DAYS * 24 * 3600
    for file in place.iterdir():
        if file.is_file() and file.stat().st_mtime < oldest:
            file.unlink(missing_ok=True)
