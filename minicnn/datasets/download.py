"""Files from the web that are whole and unchanged, or not there.

pooch talks with the server (redirects, proxies, certificates). What it leaves open is added here: a
partial file has a name of its own until it is proved whole, an interrupted download goes on where
it broke off, passing troubles are retried, and a file without a published hash is held to the hash
that it had when it was first used.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from minicnn.datasets.archive import Archive
from minicnn.datasets.disk import require_space, unwritten
from minicnn.datasets.partial import PartialFile, Refused, StartAgain
from minicnn.datasets.unpack import require_intact
from minicnn.errors import ArgumentError, DataError
from minicnn.io.atomic import atomic_write_text

TIMEOUT = 30.0  # seconds without a byte, after which the connection counts as broken
WAITS = (1.0, 3.0, 9.0)  # seconds before the second, third and fourth attempt
PROGRESS = 1 << 20  # bytes that an attempt must bring so that it does not count as failed
CHUNK = 1 << 16


def fetch(archive: Archive, folder: Path) -> Path:
    """The archive's path in `folder`; fetched if it is not there, and verified in any case.

    Whoever calls holds a lock: two must not write one partial file.

    Raises:
        DataError: no connection, an error of the server, not the published file, no space. What
            has arrived by then is kept and continued by the next call, if it can be.
    """
    path = folder / archive.file
    if os.path.lexists(path):
        require_published(archive, path)
        return path
    if urlsplit(archive.url).scheme not in ("http", "https"):
        raise ArgumentError(
            f"{archive.shown_url!r} is no web address. Use one that begins with https://, or "
            f"save the file as {path}."
        )
    try:
        part = PartialFile(path, archive.url, archive.size)
        # Photographs take as much room again when they are unpacked.
        require_space(folder, 2 * archive.size - part.size, f"{archive.file} with its content")
        continued = _receive(archive, part, path)
        trouble = _difference(archive, part.path, record_of(path))
        if trouble and continued:  # pieces of two downloads; one alone may well be right
            part.remove()
            _receive(archive, part, path)
            trouble = _difference(archive, part.path, record_of(path))
        if trouble:
            part.remove()
            raise DataError(
                f"{archive.file}: what {archive.shown_url} sends is not the published file: "
                f"{trouble}. It was removed; try again, or {archive.by_hand(path)}"
            )
        os.replace(part.path, path)
        part.remove()
    except OSError as error:
        raise unwritten(path, error) from error
    return path


# ------------------------------------------------------------------------------------ receiving


def _receive(archive: Archive, part: PartialFile, path: Path) -> bool:
    """Bring the partial file to its full size; whether it was put together of several answers."""
    continued = part.size > 0
    best, failures = part.size, 0
    while part.size < archive.size:
        continued = part.size > 0
        trouble, passing = _attempt(archive, part)
        if part.size == archive.size:
            break
        if part.size >= best + PROGRESS:  # only ever more, so this cannot go on for ever
            best, failures = part.size, 0
        if not passing or failures == len(WAITS):
            if part.etag:
                trouble += f"; the {part.size:,} bytes that arrived are kept"
            else:
                part.remove()
            raise DataError(
                f"{archive.file} cannot be fetched: {trouble}. Try again, or "
                f"{archive.by_hand(path)}"
            )
        time.sleep(WAITS[failures])
        failures += 1
    return continued


def _attempt(archive: Archive, part: PartialFile) -> tuple[str, bool]:
    """Receive what the server gives; (what went wrong, whether it may be better next time)."""
    from pooch import HTTPDownloader

    get = HTTPDownloader(
        chunk_size=CHUNK, timeout=TIMEOUT, headers=part.headers(), hooks={"response": part.begin}
    )
    try:
        get(archive.url, part, None)
    except StartAgain as reason:
        part.remove()
        return str(reason), True
    except Refused as reason:
        return str(reason), False
    except OSError as error:  # requests' errors are; the disk's were made DataErrors
        if _status(error) == 416:  # the server has not so much: what is here is of another file
            part.remove()
        return _diagnosis(archive, part, error)
    finally:
        part.close()
    return f"the connection ended after {part.size:,} of {archive.size:,} bytes", True


def _status(error: OSError) -> int | None:
    return getattr(getattr(error, "response", None), "status_code", None)


def _diagnosis(archive: Archive, part: PartialFile, error: OSError) -> tuple[str, bool]:
    """A network error in words, and whether it may pass."""
    from requests import exceptions

    host, status = urlsplit(archive.url).hostname, _status(error)
    if status is not None and isinstance(error, exceptions.HTTPError):
        return f"{host} answers with error {status}", status >= 500 or status in (408, 416, 429)
    if isinstance(error, exceptions.TooManyRedirects):
        return f"{host} redirects without end", False
    if isinstance(error, exceptions.Timeout) or "timed out" in str(error).lower():
        return f"no answer from {host} within {TIMEOUT:g} s", True
    if isinstance(error, exceptions.SSLError):
        return f"the certificate of {host} cannot be trusted ({_innermost(error)})", False
    if isinstance(error, exceptions.ChunkedEncodingError) or part.size:
        return f"the connection broke after {part.size:,} of {archive.size:,} bytes", True
    if isinstance(error, exceptions.ConnectionError):
        return f"no connection to {host} ({_innermost(error)})", True
    return f"{type(error).__name__} ({_innermost(error)})", False


def _innermost(error: BaseException) -> str:
    """The system's own words, under the layers that libraries put around them."""
    seen: BaseException | None = error
    while seen is not None:
        found, seen = seen, seen.__cause__ or seen.__context__
    words = found.strerror if isinstance(found, OSError) and found.strerror else str(found)
    return " ".join(str(words).split()) or type(found).__name__


# ------------------------------------------------------------------------------------ verifying


def record_of(path: Path) -> Path:
    """The file beside an archive that keeps its hash, where none is published."""
    return path.with_name(f"{path.name}.json")


def require_published(archive: Archive, path: Path) -> None:
    """Raise DataError unless the file is the published one. Nothing is removed: it may be dear."""
    try:
        trouble = _difference(archive, path, record_of(path))
    except OSError as error:
        raise unwritten(path, error) from error
    if trouble:
        raise DataError(
            f"{path} is not the published file: {trouble}. Move it away and try again, or "
            f"{archive.by_hand(path)}"
        )


def _difference(archive: Archive, path: Path, record: Path) -> str:
    """In what the file differs from the published one; "" if in nothing.

    Where no hash is published, the file must be an undamaged zip, and its hash is recorded.
    """
    from pooch import file_hash

    if not path.is_file():
        return "it is no file"
    size = path.stat().st_size
    if size != archive.size:
        return f"it has {size:,} bytes instead of {archive.size:,}"
    expected, known = archive.sha256, "published"
    if expected is None:
        expected, known = _recorded(record), f"recorded in {record} (remove it to trust another)"
    found = file_hash(str(path), alg="sha256")
    if expected is None:
        try:
            require_intact(path)
        except DataError as error:
            return str(error).rstrip(".")
        _record(archive, record, found)
        return ""
    same = found == expected.lower()
    return "" if same else f"its SHA-256 is {found}, and {expected} is {known}"


def _recorded(record: Path) -> str | None:
    try:
        digest: Any = json.loads(record.read_text(encoding="utf-8"))["sha256"]
        int(digest, 16)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise DataError(
            f"{record} should hold the archive's SHA-256, and cannot be read "
            f"({type(error).__name__}). Remove it if you trust the archive as it is now."
        ) from error
    return str(digest)


def _record(archive: Archive, record: Path, digest: str) -> None:
    content = {
        "file": archive.file,
        "bytes": archive.size,
        "sha256": digest,
        "url": archive.shown_url,
        "recorded": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    # Of an archive in a folder that cannot be written, nothing can be recorded.
    with contextlib.suppress(DataError):
        atomic_write_text(record, json.dumps(content, indent=2) + "\n", error=DataError)
