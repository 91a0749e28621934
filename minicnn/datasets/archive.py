"""What is known of a published file before it is fetched."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit


@dataclass(frozen=True)
class Archive:
    """A published file.

    Args:
        file: its name on disk.
        url: where it is published, http:// or https://.
        size: its bytes.
        sha256: its published hash, as 64 hexadecimal digits; None if none is published.
    """

    file: str
    url: str
    size: int
    sha256: str | None = None

    @property
    def shown_url(self) -> str:
        """The URL without the name and password that a user may have put into it."""
        parts = urlsplit(self.url)
        return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))

    def by_hand(self, path: Path) -> str:
        """What to do where there is no way to the server."""
        return f"fetch {self.shown_url} ({self.size:,} bytes) by other means and save it as {path}."
