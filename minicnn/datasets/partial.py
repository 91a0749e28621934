"""A download that is under way: its partial file, and whether the server can go on with it.

`.NAME.part` holds the bytes so far, `.NAME.part.json` which version of which file they are of: the
server's ETag. The next request asks for the rest *if* that is still the version (RFC 9110, sections
13.1.5 and 14), so pieces of two versions never come together; without a strong ETag, and whenever
an answer is in doubt, the download starts from the beginning.
"""

from __future__ import annotations

import contextlib
import json
import re
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urlsplit

from minicnn.datasets.disk import bar_of_bytes, unwritten

_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")


class StartAgain(Exception):
    """What is here cannot be continued."""


class Refused(Exception):
    """What the server sends is not the file."""


def partial_path(target: Path) -> Path:
    """Where the bytes of a download to `target` are until it is whole."""
    return target.with_name(f".{target.name}.part")


class PartialFile:
    """What has arrived of a file of `size` bytes, in the way that pooch's downloader writes it."""

    def __init__(self, target: Path, url: str, size: int) -> None:
        self.name, self.url, self.whole = target.name, url, size
        self.path = partial_path(target)
        self._note = target.with_name(f".{target.name}.part.json")
        self._file: BinaryIO | None = None
        self._response: Any = None
        self._bar: Any = None
        self.etag = self._noted()
        self.size = self.path.stat().st_size if self.path.is_file() else 0
        if not self.etag:
            self.remove()

    def _noted(self) -> str:
        """The ETag of what is here; "" if it cannot be continued."""
        try:
            note = json.loads(self._note.read_text(encoding="utf-8"))
            return str(note["etag"]) if note["url"] == self.url else ""
        except (OSError, ValueError, TypeError, KeyError):
            return ""

    def headers(self) -> dict[str, str]:
        """Headers of the next request: for the file as it is, from where this one ends."""
        plain = {"Accept-Encoding": "identity"}
        if not self.size or not self.etag:
            return plain
        return {**plain, "Range": f"bytes={self.size}-", "If-Range": self.etag}

    def remove(self) -> None:
        """Forget what is here."""
        self.close()
        self._forget()

    def _forget(self) -> None:
        self._note.unlink(missing_ok=True)  # it must never stand beside other bytes
        self.path.unlink(missing_ok=True)
        self.size, self.etag = 0, ""

    # --------------------------------------------------------------------- one answer of the server

    def begin(self, response: Any, **_: Any) -> None:
        """Look at an answer's headers before its body is read; `requests` calls this as a hook."""
        if response.is_redirect:
            return
        self._response = response
        if response.status_code >= 400:  # the downloader says so itself
            return
        self._require_the_file(response)
        start = self._start_of(response)
        if start and start != self.size:
            raise StartAgain(f"{_host(response)} continues from byte {start:,}")
        if start and response.headers.get("ETag", self.etag) != self.etag:
            raise StartAgain(f"{_host(response)} continues with another version")
        try:
            self._open(start, response)
        except OSError as error:
            raise unwritten(self.path, error) from error

    def _require_the_file(self, response: Any) -> None:
        """Refuse what is not the file by its headers, before it replaces what is here."""
        host, headers = _host(response), response.headers
        kind = headers.get("Content-Type", "").partition(";")[0].strip().lower()
        trouble = ""
        if response.status_code not in (200, 206):
            trouble = f"{host} answers with status {response.status_code}"
        elif self.url.startswith("https:") and not response.url.startswith("https:"):
            trouble = f"{host} leads to an address without https"
        elif kind in ("text/html", "application/xhtml+xml"):
            trouble = f"{host} sends a web page in its place"
        elif headers.get("Content-Encoding", "identity") != "identity":
            trouble = f"{host} sends it packed ({headers['Content-Encoding']})"
        else:
            whole = self._announced(response)
            if whole is not None and whole != self.whole:
                trouble = f"{host} has one of {whole:,} bytes instead of {self.whole:,}"
        if trouble:
            raise Refused(trouble)

    @staticmethod
    def _announced(response: Any) -> int | None:
        """The size of the whole file, if the headers say it."""
        if response.status_code == 206:
            found = _RANGE.fullmatch(response.headers.get("Content-Range", ""))
            return int(found[3]) if found and found[3] != "*" else None
        length = response.headers.get("Content-Length", "")
        return int(length) if length.isascii() and length.isdigit() else None

    def _start_of(self, response: Any) -> int:
        """The first byte that this answer brings."""
        if response.status_code == 200:
            return 0
        found = _RANGE.fullmatch(response.headers.get("Content-Range", ""))
        if found is None or not self.size:
            raise StartAgain(f"{_host(response)} sends a piece that was not asked for")
        return int(found[1])

    def _open(self, start: int, response: Any) -> None:
        if not start:
            self._forget()
        self._file = open(self.path, "ab")  # noqa: SIM115 - `close` does it
        if not start:
            etag = response.headers.get("ETag", "")
            if etag.startswith('"'):  # a weak one, W/"…", says nothing about single bytes
                self._note.write_text(json.dumps({"url": self.url, "etag": etag}), "utf-8")
                self.etag = etag
        self._bar = bar_of_bytes(self.name, self.whole, start)

    def write(self, data: bytes) -> None:
        """Append; DataError if the disk refuses, Refused if it is more than the file has."""
        assert self._file is not None
        if self.size + len(data) > self.whole:
            host = _host(self._response)
            self.remove()
            raise Refused(f"{host} sends more than {self.whole:,} bytes")
        try:
            self._file.write(data)
            self._file.flush()
        except OSError as error:
            raise unwritten(self.path, error) from error
        self.size += len(data)
        self._bar.update(len(data))

    def flush(self) -> None:
        """Nothing: `write` has done it."""

    def close(self) -> None:
        """End the connection, the bar and the file, whatever state they are in."""
        for open_ in (self._response, self._bar, self._file):
            with contextlib.suppress(OSError):  # a full disk once more; it was reported
                if open_ is not None:
                    open_.close()
        self._response = self._bar = self._file = None


def _host(response: Any) -> str:
    return urlsplit(response.url).hostname or response.url
