"""Fetching archives from a server that misbehaves; nothing but this machine is ever asked."""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from typing import ClassVar

import pytest
from helpers_site import Site, photographs, zipped

from minicnn.datasets import disk, download, partial
from minicnn.datasets.archive import Archive
from minicnn.datasets.download import fetch, record_of
from minicnn.errors import ArgumentError, DataError

CONTENT = photographs()
CHUNK = 1024  # bytes: what breaks off within one is lost
HALF = len(CONTENT) // 2 // CHUNK * CHUNK


@pytest.fixture(autouse=True)
def on_this_machine(monkeypatch):
    """No name but this machine's is looked up, no proxy asked, no time lost."""
    real = socket.getaddrinfo

    def only_here(host, *more, **others):
        if host not in ("127.0.0.1", "localhost"):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return real(host, *more, **others)

    monkeypatch.setattr(socket, "getaddrinfo", only_here)
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setattr(download, "WAITS", (0, 0, 0))
    monkeypatch.setattr(download, "CHUNK", CHUNK)


def archive(url, content=CONTENT, hashed=True, **changes):
    digest = hashlib.sha256(content).hexdigest() if hashed else None
    return dataclasses.replace(Archive("tiny.zip", url, len(content), digest), **changes)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def refused(site, folder, *pieces, what=None, kind=DataError):
    """`fetch` fails with one line that says these pieces, and how to get the file by hand."""
    what = what or archive(site.url)
    with pytest.raises(kind) as caught:
        fetch(what, folder)
    text = str(caught.value)
    assert "\n" not in text
    remedy = (what.shown_url, f"{what.size:,} bytes", f"save it as {folder / 'tiny.zip'}")
    for piece in (*pieces, *remedy):
        assert piece in text, (piece, text)
    assert not (folder / "tiny.zip").exists()
    return text


# ---------------------------------------------------------------------------------- what works


@pytest.mark.parametrize("answer", ["file", "unannounced", "moved", "ignores_range"])
def test_a_file_is_fetched_once(tmp_path, answer):
    with Site(CONTENT, answer) as site:
        path = fetch(archive(site.url), tmp_path)
        asked = len(site.requests)
        assert path == tmp_path / "tiny.zip"
        assert path.read_bytes() == CONTENT
        assert names(tmp_path) == ["tiny.zip"]
        assert fetch(archive(site.url), tmp_path) == path
        assert len(site.requests) == asked == (2 if answer == "moved" else 1)
        assert "Range" not in site.requests[0]
        assert site.requests[0]["Accept-Encoding"] == "identity"


@pytest.mark.parametrize("trouble", ["broken", "cut", "silent", "cut_untagged", "wrong_piece"])
def test_what_passes_is_tried_again(tmp_path, monkeypatch, trouble):
    monkeypatch.setattr(download, "TIMEOUT", 0.3)
    with Site(CONTENT, trouble, "file") as site:
        assert fetch(archive(site.url), tmp_path).read_bytes() == CONTENT
        assert len(site.requests) == 2
    assert names(tmp_path) == ["tiny.zip"]


def test_a_broken_download_goes_on_where_it_ended(tmp_path):
    with Site(CONTENT, "cut") as site:  # each time half of what is missing
        text = refused(site, tmp_path, "the connection broke after", "that arrived are kept")
        assert len(site.requests) == 4
        begins = [int(re.sub(r"\D", "", r.get("Range", "0"))) for r in site.requests]
        assert begins == sorted(set(begins))
        kept = (tmp_path / ".tiny.zip.part").stat().st_size
        assert kept > 0.9 * len(CONTENT)
        assert f"; the {kept:,} bytes that arrived are kept. Try again" in text
        site.answers = ["file"]
        site.requests.clear()
        assert fetch(archive(site.url), tmp_path).read_bytes() == CONTENT
        assert site.requests[0]["Range"] == f"bytes={kept}-"
        assert site.requests[0]["If-Range"] == site.etag
    assert names(tmp_path) == ["tiny.zip"]


def test_attempts_that_bring_something_are_not_counted(tmp_path, monkeypatch):
    monkeypatch.setattr(download, "PROGRESS", 1000)
    with Site(CONTENT, *["cut"] * 7, "file") as site:
        assert fetch(archive(site.url), tmp_path).read_bytes() == CONTENT
        assert len(site.requests) == 8


@pytest.mark.parametrize("first", ["cut_untagged", "cut_weakly_tagged"])
def test_without_a_strong_etag_it_starts_from_the_beginning(tmp_path, first):
    with Site(CONTENT, first, "file") as site:
        assert fetch(archive(site.url), tmp_path).read_bytes() == CONTENT
        assert "Range" not in site.requests[1]


@pytest.mark.parametrize(
    "second", ["file", "ignores_range", "wrong_piece", "piece_of_another", "refuses_pieces"]
)
def test_pieces_of_two_versions_never_come_together(tmp_path, second):
    then = second if second == "refuses_pieces" else "file"
    with Site(CONTENT, "cut_of_old_version", second, then) as site:
        assert fetch(archive(site.url, hashed=False), tmp_path).read_bytes() == CONTENT
        assert site.requests[1]["If-Range"] == '"old"'


def test_a_server_that_overlooks_if_range_is_found_out(tmp_path):
    (tmp_path / ".x.zip.part").write_bytes(b"12")
    note = {"url": "http://here/x.zip", "etag": '"1"'}
    (tmp_path / ".x.zip.part.json").write_text(json.dumps(note))

    class Answer:
        is_redirect, status_code, url = False, 206, "http://here/x.zip"
        headers: ClassVar = {"Content-Range": "bytes 2-4/5", "ETag": '"2"'}

    part = partial.PartialFile(tmp_path / "x.zip", "http://here/x.zip", 5)
    with pytest.raises(partial.StartAgain, match="here continues with another version"):
        part.begin(Answer())
    assert part.path.read_bytes() == b"12"


def test_a_wrong_first_half_is_found_and_all_is_fetched_again(tmp_path):
    with Site(CONTENT, "cut_wrong", "file", "file") as site:
        assert fetch(archive(site.url), tmp_path).read_bytes() == CONTENT
        assert [("Range" in request) for request in site.requests] == [False, True, False]


def test_a_note_of_another_address_or_a_damaged_one_counts_for_nothing(tmp_path):
    for note in ("", "[]", "{}", json.dumps({"url": "http://other", "etag": '"x"'})):
        (tmp_path / ".tiny.zip.part").write_bytes(b"something")
        (tmp_path / ".tiny.zip.part.json").write_text(note)
        with Site(CONTENT) as site:
            assert fetch(archive(site.url), tmp_path).read_bytes() == CONTENT
            assert "Range" not in site.requests[0]
        (tmp_path / "tiny.zip").unlink()


@pytest.mark.parametrize("more", [b"", b"too much"])
def test_a_partial_file_that_is_whole_or_longer(tmp_path, more):
    with Site(CONTENT) as site:
        (tmp_path / ".tiny.zip.part").write_bytes(CONTENT + more)
        note = {"url": site.url, "etag": site.etag}
        (tmp_path / ".tiny.zip.part.json").write_text(json.dumps(note))
        assert fetch(archive(site.url), tmp_path).read_bytes() == CONTENT
        assert len(site.requests) == bool(more)
    assert names(tmp_path) == ["tiny.zip"]


# ------------------------------------------------------------------------------ what is refused


@pytest.mark.parametrize(
    ("answer", "requests", "piece"),
    [
        ("missing", 1, "127.0.0.1 answers with error 404"),
        ("forbidden", 1, "127.0.0.1 answers with error 403"),
        ("broken", 4, "127.0.0.1 answers with error 500"),
        ("beyond", 4, "127.0.0.1 answers with error 416"),
        ("page", 1, "sends a web page in its place"),
        ("packed", 1, "sends it packed (gzip)"),
        ("empty", 1, "answers with status 204"),
        ("longer", 1, f"has one of {len(CONTENT) + 4:,} bytes instead of {len(CONTENT):,}"),
        ("endless", 1, f"sends more than {len(CONTENT):,} bytes"),
        ("shorter", 1, f"has one of {len(CONTENT) // 2:,} bytes instead of {len(CONTENT):,}"),
        ("shorter_unannounced", 4, "the connection ended after"),
        ("cut_untagged", 4, "the connection broke after"),
        ("wrong_piece", 4, "a piece that was not asked for"),
        ("round_and_round", 31, "127.0.0.1 redirects without end"),
    ],
)
def test_what_cannot_be_the_file_is_named_and_nothing_stays(tmp_path, answer, requests, piece):
    with Site(CONTENT, answer) as site:
        text = refused(site, tmp_path, piece)
        assert len(site.requests) == requests
    assert "kept" not in text
    assert names(tmp_path) == []


def test_bytes_that_are_wrong_are_found_by_the_hash(tmp_path):
    with Site(CONTENT, "wrong") as site:
        zeros = hashlib.sha256(bytes(len(CONTENT))).hexdigest()
        refused(site, tmp_path, "is not the published file", zeros, archive("").sha256)
        assert len(site.requests) == 1
    assert names(tmp_path) == []


@pytest.mark.parametrize("answer", ["page", "longer", "piece_of_a_longer", "missing"])
def test_an_error_in_between_does_not_cost_what_has_arrived(tmp_path, monkeypatch, answer):
    monkeypatch.setattr(download, "WAITS", ())
    with Site(CONTENT, "cut", answer, "file") as site:
        refused(site, tmp_path, "the connection broke")
        refused(site, tmp_path, f"{HALF:,} bytes that arrived are kept")
        assert fetch(archive(site.url), tmp_path).read_bytes() == CONTENT
        assert site.requests[2]["Range"] == f"bytes={HALF}-"


def test_silence_ends(tmp_path, monkeypatch):
    monkeypatch.setattr(download, "TIMEOUT", 0.2)
    with Site(CONTENT, "silent") as site:
        refused(site, tmp_path, "no answer from 127.0.0.1 within 0.2 s")
    with Site(CONTENT, "waits_half_way") as site:
        refused(site, tmp_path, "no answer from 127.0.0.1 within 0.2 s", "are kept")


def test_offline(tmp_path):
    what = archive("https://photographs.invalid/tiny.zip")
    refused(None, tmp_path, "no connection to photographs.invalid", "Name or service", what=what)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        what = archive(f"http://127.0.0.1:{unused.getsockname()[1]}/tiny.zip")
        refused(None, tmp_path, "no connection to 127.0.0.1", "efused", what=what)
    assert names(tmp_path) == []


def test_passwords_in_addresses_are_not_shown(tmp_path):
    what = archive("http://me:secret@photographs.invalid/tiny.zip")
    assert "secret" not in refused(None, tmp_path, "http://photographs.invalid/", what=what)


@pytest.mark.parametrize("url", ["ftp://x/y.zip", "file:///etc/passwd", "", "tiny.zip"])
def test_other_addresses_are_refused(tmp_path, url):
    with pytest.raises(ArgumentError, match="is no web address"):
        fetch(archive(url), tmp_path)


def test_https_is_not_left():
    class Answer:
        is_redirect, status_code, url = False, 200, "http://mirror.invalid/x.zip"
        headers: ClassVar = {"Content-Length": "5"}

    part = partial.PartialFile(disk.Path("/nowhere/x.zip"), "https://first.invalid/x.zip", 5)
    with pytest.raises(partial.Refused, match=r"mirror\.invalid leads to an address without https"):
        part.begin(Answer())


# ------------------------------------------------------------------------------------- the disk


def test_space_is_asked_for_first(tmp_path, monkeypatch):
    usage = type("usage", (), {"free": 2 * len(CONTENT) - 1})
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda path: usage)
    with Site(CONTENT) as site:
        with pytest.raises(DataError, match=r"with its content needs 0\.\d MB in .*, where") as e:
            fetch(archive(site.url), tmp_path)
        assert "MINICNN_DATA_DIR" in str(e.value)
        assert site.requests == []
        usage.free += 1
        fetch(archive(site.url), tmp_path)


def test_what_has_arrived_needs_no_space_again(tmp_path, monkeypatch):
    monkeypatch.setattr(download, "WAITS", ())
    with Site(CONTENT, "cut", "file") as site:
        refused(site, tmp_path, "broke")
        usage = type("usage", (), {"free": 2 * len(CONTENT) - HALF})
        monkeypatch.setattr(disk.shutil, "disk_usage", lambda path: usage)
        fetch(archive(site.url), tmp_path)


@pytest.mark.parametrize("kept", [0, 100_000])
def test_a_disk_that_fills_up(tmp_path, monkeypatch, kept):
    class Full:
        def __init__(self, path, mode):
            self.file = open(path, mode)  # noqa: SIM115

        def write(self, data):
            if self.file.tell() >= kept:
                raise OSError(errno.ENOSPC, "No space left on device")
            self.file.write(data)

        def flush(self):
            self.file.flush()

        def close(self):
            self.file.close()
            raise OSError(errno.ENOSPC, "No space left on device")

    with Site(CONTENT) as site:
        with monkeypatch.context() as patch:
            patch.setattr(partial, "open", Full, raising=False)
            with pytest.raises(DataError, match="no space left on device") as e:
                fetch(archive(site.url), tmp_path)
        assert "\n" not in str(e.value)
        assert len(site.requests) == 1
        assert fetch(archive(site.url), tmp_path).read_bytes() == CONTENT
        assert ("Range" in site.requests[1]) == bool(kept)


@pytest.mark.skipif(getattr(os, "geteuid", int)() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written(tmp_path):
    tmp_path.chmod(0o500)
    with Site(CONTENT) as site, pytest.raises(DataError, match="permission denied"):
        fetch(archive(site.url), tmp_path)
    tmp_path.chmod(0o700)


# -------------------------------------------------------------------------- put there by hand


def test_an_archive_that_lies_there_is_used_without_a_network(tmp_path):
    (tmp_path / "tiny.zip").write_bytes(CONTENT)
    what = archive("https://photographs.invalid/tiny.zip")
    assert fetch(what, tmp_path) == tmp_path / "tiny.zip"


@pytest.mark.parametrize(
    ("content", "piece"),
    [
        (CONTENT[:-1], f"it has {len(CONTENT) - 1:,} bytes instead of {len(CONTENT):,}"),
        (b"", "it has 0 bytes"),
        (CONTENT[:-1] + b"x", "its SHA-256 is"),
        (None, "it is no file"),
    ],
)
def test_another_file_of_that_name_is_refused_and_left_alone(tmp_path, content, piece):
    path = tmp_path / "tiny.zip"
    if content is None:
        path.symlink_to("nowhere")
    else:
        path.write_bytes(content)
    with pytest.raises(DataError, match="is not the published file") as caught:
        fetch(archive("https://photographs.invalid/tiny.zip"), tmp_path)
    assert piece in str(caught.value)
    assert "Move it away and try again, or fetch https://" in str(caught.value)
    assert os.path.lexists(path)
    assert content is None or path.read_bytes() == content


# -------------------------------------------------------------------- where no hash is published


def test_the_hash_at_first_use_is_kept(tmp_path):
    other = zipped({"tiny/a.txt": b"other"})
    other += bytes(len(CONTENT) - len(other))  # as many bytes; a zip may have a comment
    with Site(CONTENT) as site:
        what = archive(site.url, hashed=False)
        path = fetch(what, tmp_path)
        record = json.loads(record_of(path).read_text())
        assert record["sha256"] == hashlib.sha256(CONTENT).hexdigest()
        assert record["bytes"] == len(CONTENT)
        assert record["url"] == site.url
        assert names(tmp_path) == ["tiny.zip", "tiny.zip.json"]
        assert fetch(what, tmp_path) == path
        # Another file of that name, on the disk or from the server, is refused from then on.
        path.write_bytes(CONTENT[:-1] + b"x")
        with pytest.raises(DataError, match=r"recorded in .*tiny\.zip\.json") as caught:
            fetch(what, tmp_path)
        assert "\n" not in str(caught.value)
        path.unlink()
        site.answers = ["wrong"]
        refused(site, tmp_path, "recorded in", "remove it to trust another", what=what)
        assert names(tmp_path) == ["tiny.zip.json"]


def test_what_is_no_whole_zip_is_never_recorded(tmp_path):
    with Site(CONTENT, "wrong") as site:
        refused(site, tmp_path, "not a whole zip archive", what=archive(site.url, hashed=False))
    damaged = bytearray(CONTENT)
    damaged[1000] ^= 1
    with Site(bytes(damaged)) as site:
        refused(site, tmp_path, "Bad CRC-32", what=archive(site.url, hashed=False))
    assert names(tmp_path) == []


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"sha256": 3}', '{"sha256": "no hash"}'])
def test_a_damaged_record_is_no_licence(tmp_path, text):
    (tmp_path / "tiny.zip").write_bytes(CONTENT)
    (tmp_path / "tiny.zip.json").write_text(text)
    with pytest.raises(DataError, match=r"tiny\.zip\.json should hold the archive's SHA-256"):
        fetch(archive("https://photographs.invalid/", hashed=False), tmp_path)


# ----------------------------------------------------------------------------- interrupted


def test_ctrl_c_keeps_what_has_arrived(tmp_path, monkeypatch):
    real = partial.PartialFile.write

    def write(self, data):
        real(self, data)
        if self.size > 100_000:
            raise KeyboardInterrupt

    with Site(CONTENT) as site:
        with monkeypatch.context() as patch:
            patch.setattr(partial.PartialFile, "write", write)
            with pytest.raises(KeyboardInterrupt):
                fetch(archive(site.url), tmp_path)
        kept = (tmp_path / ".tiny.zip.part").stat().st_size
        assert fetch(archive(site.url), tmp_path).read_bytes() == CONTENT
        assert site.requests[1]["Range"] == f"bytes={kept}-"


SCRIPT = """
import sys, pathlib
from minicnn.datasets.archive import Archive
from minicnn.datasets.download import fetch
print("ready", flush=True)
fetch(Archive("tiny.zip", sys.argv[1], int(sys.argv[2]), sys.argv[3]), pathlib.Path(sys.argv[4]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL there")
def test_a_killed_download_is_continued(tmp_path):
    with Site(CONTENT, "waits_half_way", "file") as site:
        what = archive(site.url)
        arguments = [site.url, str(what.size), what.sha256, str(tmp_path)]
        process = subprocess.Popen([sys.executable, "-c", SCRIPT, *arguments])
        assert site.half_sent.wait(60)
        part = tmp_path / ".tiny.zip.part"
        until = time.monotonic() + 60
        while time.monotonic() < until and not (part.exists() and part.stat().st_size):
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait(60)
        assert names(tmp_path) == [".tiny.zip.part", ".tiny.zip.part.json"]
        kept = part.stat().st_size
        assert fetch(what, tmp_path).read_bytes() == CONTENT
        assert site.requests[1]["Range"] == f"bytes={kept}-"
    assert names(tmp_path) == ["tiny.zip"]


def test_no_connection_or_thread_is_left(tmp_path):
    before = threading.active_count()
    with Site(CONTENT, "cut") as site:
        refused(site, tmp_path, "broke")
    assert threading.active_count() <= before + 1  # tqdm's monitor
