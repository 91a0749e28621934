"""A web server on this machine that gives a file, or misbehaves in a way that a test asks for."""

from __future__ import annotations

import hashlib
import io
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
from PIL import Image

from minicnn.datasets.archive import Archive
from minicnn.datasets.published import Published

PARTS = ("train/cats", "train/dogs", "validation/cats", "validation/dogs")


class Site(ThreadingHTTPServer):
    """Answers the requests in turn as `answers` says; the last of them for ever.

    Attributes:
        content: the file.
        requests: the headers of each request so far.
        gate: what waits, waits for this.
    """

    daemon_threads = True

    def __init__(self, content: bytes, *answers: str) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content, self.answers = content, [*answers] or ["file"]
        self.requests: list[dict[str, str]] = []
        self.gate = threading.Event()
        self.half_sent = threading.Event()
        self.url = f"http://127.0.0.1:{self.server_port}/files/tiny.zip"

    def __enter__(self) -> Site:
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.gate.set()
        self.shutdown()
        self.server_close()

    def handle_error(self, *_: object) -> None:
        """Nothing: clients hang up, or are killed."""

    @property
    def etag(self) -> str:
        return f'"{hashlib.md5(self.content).hexdigest()}"'


class Handler(BaseHTTPRequestHandler):
    server: Site

    def log_message(self, *_: object) -> None:
        """Nothing."""

    def do_GET(self) -> None:
        site = self.server
        answer = site.answers[min(len(site.requests), len(site.answers) - 1)]
        site.requests.append(dict(self.headers))
        if self.path == "/elsewhere":
            answer = "file"
        getattr(self, answer)()

    def say(self, status: int, body: bytes, length: int | None = -1, **headers: str) -> None:
        self.send_response(status)
        headers.setdefault("Content-Type", "application/zip")
        if length is not None:
            headers["Content-Length"] = str(len(body) if length == -1 else length)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def asked(self) -> int:
        """From which byte on, by rights."""
        wanted = self.headers.get("Range", "bytes=0-")
        fits = self.headers.get("If-Range", self.server.etag) == self.server.etag
        return int(wanted[len("bytes=") : -1]) if fits else 0

    def give(self, share: float = 1.0, **headers: str) -> None:
        """The file from the byte that is asked for, or the beginning of that."""
        whole, start = self.server.content, self.asked()
        rest = whole[start:]
        if start:
            headers["Content_Range"] = f"bytes {start}-{len(whole) - 1}/{len(whole)}"
        body = rest[: int(share * len(rest))]
        self.say(206 if start else 200, body, len(rest), **{"ETag": self.server.etag, **headers})

    def half(self) -> bytes:
        return self.server.content[: len(self.server.content) // 2]

    # ------------------------------------------------------------------------------- answers

    def file(self) -> None:
        self.give()

    def cut(self) -> None:
        self.give(0.5)

    def cut_untagged(self) -> None:
        self.say(200, self.half(), len(self.server.content))

    def cut_weakly_tagged(self) -> None:
        self.say(200, self.half(), len(self.server.content), ETag='W/"1"')

    def cut_of_old_version(self) -> None:
        self.say(200, bytes(len(self.half())), len(self.server.content), ETag='"old"')

    def waits_half_way(self) -> None:
        self.give(0.5)
        self.server.half_sent.set()
        self.server.gate.wait(60)

    def silent(self) -> None:
        self.server.gate.wait(60)

    def wrong(self) -> None:
        self.say(200, bytes(len(self.server.content)))

    def cut_wrong(self) -> None:
        self.say(200, bytes(len(self.half())), len(self.server.content), ETag=self.server.etag)

    def longer(self) -> None:
        self.say(200, self.server.content + b"more")

    def endless(self) -> None:
        self.say(200, self.server.content, length=None)
        for _ in range(1000):
            self.wfile.write(bytes(1 << 16))

    def shorter(self) -> None:
        self.say(200, self.half())

    def shorter_unannounced(self) -> None:
        self.say(200, self.half(), length=None)

    def unannounced(self) -> None:
        self.say(200, self.server.content, length=None)

    def ignores_range(self) -> None:
        self.say(200, self.server.content)

    def wrong_piece(self) -> None:
        n = len(self.server.content)
        self.say(206, self.server.content[1:], Content_Range=f"bytes 1-{n - 1}/{n}")

    def piece_of_another(self) -> None:
        n, start = len(self.server.content), self.asked()
        body, place = bytes(n - start), f"bytes {start}-{n - 1}/{n}"
        self.say(206, body, Content_Range=place, ETag='"other"')

    def piece_of_a_longer(self) -> None:
        n, start = len(self.server.content), self.asked()
        self.say(206, bytes(n - start + 5), Content_Range=f"bytes {start}-{n + 4}/{n + 5}")

    def beyond(self) -> None:
        self.say(416, b"", Content_Range=f"bytes */{len(self.server.content)}")

    def refuses_pieces(self) -> None:
        self.beyond() if "Range" in self.headers else self.give()

    def missing(self) -> None:
        self.say(404, b"<html>not here</html>", Content_Type="text/html")

    def forbidden(self) -> None:
        self.say(403, b"")

    def broken(self) -> None:
        self.say(500, b"<html>oops</html>", Content_Type="text/html")

    def page(self) -> None:
        body = b"<html>Please log in to this network</html>"
        self.say(200, body.ljust(len(self.server.content)), Content_Type="text/html; charset=utf-8")

    def packed(self) -> None:
        self.say(200, self.server.content, Content_Encoding="gzip")

    def empty(self) -> None:
        self.say(204, b"")

    def round_and_round(self) -> None:
        self.say(302, b"", Location=self.path)

    def moved(self) -> None:
        self.say(302, b"", Location="/elsewhere")


# ------------------------------------------------------------------------------------- archives


def picture(seed: int, side: int = 8) -> bytes:
    """A JPEG of noise."""
    noise = np.random.default_rng(seed).integers(0, 256, (side, side, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).save(file, "JPEG")
    return file.getvalue()


def zipped(members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip archive of these files."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def photographs(each: int = 3, side: int = 160) -> bytes:
    """An archive like cats_and_dogs_filtered.zip, of 3 × 4 pictures, some 300 kB."""
    members = {
        f"tiny/{part}/{i}.jpg": picture(100 * k + i, side)
        for k, part in enumerate(PARTS)
        for i in range(each)
    }
    return zipped({**members, "tiny/vectorize.py": b"pass\n", "readme[1].txt": b"read me\n"})


def published(content: bytes, url: str, hashed: bool = True) -> Published:
    """The data set in this archive."""
    digest = hashlib.sha256(content).hexdigest() if hashed else None
    archive = Archive("tiny.zip", url, len(content), digest)
    return Published(archive, "tiny", PARTS, "12 photographs", "none")
