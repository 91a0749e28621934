"""Unpacking zip archives that mean harm, are damaged, or are interrupted."""

from __future__ import annotations

import errno
import io
import os
import signal
import stat
import struct
import subprocess
import sys
import time
import warnings
import zipfile

import pytest
from helpers_site import photographs, zipped

from minicnn.datasets import disk, unpack
from minicnn.errors import DataError

LINK, PIPE, DEVICE = stat.S_IFLNK | 0o777, stat.S_IFIFO | 0o644, stat.S_IFCHR | 0o644


def put(folder, content):
    path = folder / "tiny.zip"
    path.write_bytes(content)
    return path


def tree(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def refused(folder, content, *pieces):
    """Unpacking fails with one line that says these pieces, and leaves nothing."""
    (folder / "inner").mkdir()
    archive = put(folder / "inner", content)
    with pytest.raises(DataError) as caught:
        unpack.unpack(archive, "tiny", folder / "inner" / "tiny")
    text = str(caught.value)
    assert "\n" not in text
    for piece in (str(archive), *pieces):
        assert piece in text, (piece, text)
    assert os.listdir(folder) == ["inner"]
    assert os.listdir(folder / "inner") == ["tiny.zip"]
    with pytest.raises(DataError):
        unpack.require_intact(archive)


def with_member(name, mode=0, content=b"content", **changes):
    """A good archive with one more member."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # about names that are there twice
        archive.writestr("tiny/good.txt", b"good")
        archive.writestr("tiny/folder/good.txt", b"good")
        info = zipfile.ZipInfo(name)
        info.filename = name  # ZipInfo mends some names by itself
        info.external_attr = mode << 16
        for key, value in changes.items():
            setattr(info, key, value)
        archive.writestr(info, content)
    return file.getvalue()


# ---------------------------------------------------------------------------------- what works


def test_all_files_arrive(tmp_path):
    members = {"tiny/a.txt": b"a", "tiny/b/c.bin": bytes(3_000_000), "tiny/empty": b""}
    archive = put(tmp_path, zipped({**members, "licence.pdf": b"terms", "other/x": b"x"}))
    unpack.require_intact(archive)
    unpack.unpack(archive, "tiny", tmp_path / "target")
    assert tree(tmp_path / "target") == {
        "a.txt": b"a", "b/c.bin": bytes(3_000_000), "empty": b"", "licence.pdf": b"terms",
    }  # fmt: skip
    assert sorted(os.listdir(tmp_path)) == ["target", "tiny.zip"]
    with zipfile.ZipFile(archive) as file:  # against the standard library
        file.extractall(tmp_path / "plain")
    assert {f"plain/tiny/{k}" for k in ("a.txt", "b/c.bin", "empty")} < set(tree(tmp_path))


def test_stored_members_names_in_unicode_and_folders_of_their_own(tmp_path):
    content = zipped({"tiny/": b"", "tiny/ü ñ 猫.txt": b"1", "tiny/sub/": b""}, zipfile.ZIP_STORED)
    unpack.unpack(put(tmp_path, content), "tiny", tmp_path / "tiny")
    assert tree(tmp_path / "tiny") == {"ü ñ 猫.txt": b"1"}


def test_permissions_of_the_archive_are_not_taken_over(tmp_path):
    content = with_member("tiny/run", stat.S_IFREG | stat.S_ISUID | 0o777)
    unpack.unpack(put(tmp_path, content), "tiny", tmp_path / "tiny")
    assert not (tmp_path / "tiny" / "run").stat().st_mode & (stat.S_ISUID | stat.S_IXUSR)


# ------------------------------------------------------------------------------- evil members


@pytest.mark.parametrize(
    ("name", "piece"),
    [
        ("../evil", "'../evil' would lie outside the folder"),
        ("tiny/../../evil", "would lie outside the folder"),
        ("tiny/..", "would lie outside the folder"),
        ("/evil", "would lie outside the folder"),
        ("//server/evil", "would lie outside the folder"),
        ("C:evil", "would lie outside the folder"),
        ("c:/evil", "would lie outside the folder"),
        ("\\evil", "would lie outside the folder"),
        ("..\\evil", "no name that every system takes"),
        ("tiny/a\\b", "no name that every system takes"),
        ("tiny//evil", "no name that every system takes"),
        ("tiny/./evil", "no name that every system takes"),
        ("tiny/a:stream", "no name that every system takes"),
        ("tiny/a\nb", r"'tiny/a\nb' is no name that every system takes"),
        ("tiny/a\x1b[2J", "no name that every system takes"),
        ("tiny/good.txt", "'tiny/good.txt' is there twice"),
        ("tiny/GOOD.TXT", "'tiny/GOOD.TXT' is there twice"),
        ("tiny/good.txt/x", "lies in a folder that is also a file"),
        ("tiny/folder", "'tiny/folder' is there twice"),
        ("tiny/" + "d/" * 20 + "x", "folders deep"),
    ],
)
def test_names_that_mean_harm(tmp_path, name, piece):
    refused(tmp_path, with_member(name), "is not safe to unpack", piece)


def test_a_name_with_a_nul(tmp_path):
    content = with_member("tiny/aXb.txt").replace(b"tiny/aXb.txt", b"tiny/a\0b.txt")
    refused(tmp_path, content, r"'tiny/a\x00b.txt' is no name that every system takes")


@pytest.mark.parametrize("mode", [LINK, PIPE, DEVICE, stat.S_IFBLK, stat.S_IFSOCK])
def test_links_and_devices(tmp_path, mode):
    refused(tmp_path, with_member("tiny/link", mode, b"/etc/passwd"), "is a link or a device")


def test_a_link_does_not_lead_others_out(tmp_path):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        info = zipfile.ZipInfo("tiny/out")
        info.external_attr = LINK << 16
        archive.writestr(info, str(tmp_path))
        archive.writestr("tiny/out/evil", b"evil")
    refused(tmp_path, file.getvalue(), "'tiny/out' is a link or a device")


def test_encrypted_and_unusual_members(tmp_path):
    content = bytearray(with_member("tiny/x"))
    place = content.rindex(b"PK\x01\x02")
    content[place + 8] |= 1
    refused(tmp_path, bytes(content), "'tiny/x' is encrypted")


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_methods_that_photographs_do_not_need(tmp_path, method):
    refused(tmp_path, zipped({"tiny/x": b"x"}, method), f"unusual way (method {method})")


# ----------------------------------------------------------------------------------------- bombs


def test_a_bomb(tmp_path):
    content = zipped({f"tiny/{i}": bytes(5_000_000) for i in range(4)})
    assert len(content) < 50_000
    refused(tmp_path, content, "would grow to 20,000,000, more than 10 times as many")


def test_a_bomb_of_one_stream_that_many_members_share(tmp_path):
    """Members that overlap, so that each may look harmless (Fifield, WOOT 2019)."""
    stream, record = bytes(1_000_000), []
    head = zipped({"tiny/a": stream})
    local, entry = head[: head.index(b"PK\x01\x02")], head[head.index(b"PK\x01\x02") :]
    entry = entry[: entry.index(b"PK\x05\x06")]
    record = entry * 100
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 100, 100, len(record), len(local), 0)
    refused(tmp_path, local + record + end, "would grow to 100,000,000")


def test_a_bomb_that_lies_about_its_size(tmp_path):
    content = bytearray(zipped({"tiny/x": bytes(30_000_000)}))
    for signature, offset in ((b"PK\x01\x02", 24), (b"PK\x03\x04", 22)):
        place = content.index(signature) + offset
        content[place : place + 4] = struct.pack("<L", 1000)
    refused(tmp_path, bytes(content), "not a whole zip archive (Bad CRC-32")


def test_too_many_members(tmp_path, monkeypatch):
    monkeypatch.setattr(unpack, "FILES", 10)
    refused(tmp_path, zipped({f"tiny/{i}": b"" for i in range(11)}), "11 members, more than 10")


def test_what_is_well_packed_but_small_is_no_bomb(tmp_path):
    archive = put(tmp_path, zipped({"tiny/x": bytes(10_000_000)}))
    unpack.unpack(archive, "tiny", tmp_path / "tiny")


# --------------------------------------------------------------------------------------- damage


@pytest.mark.parametrize("kept", [0, 1, 100, 0.5, 0.99, -1])
def test_truncated(tmp_path, kept):
    content = photographs(2, 40)
    content = content[: int(kept * len(content)) if isinstance(kept, float) else kept]
    refused(tmp_path, content, "not a whole zip archive")


@pytest.mark.parametrize("place", [200, 3000, 8000])
def test_a_flipped_bit(tmp_path, place):
    content = bytearray(photographs(2, 40))
    content[place] ^= 4
    refused(tmp_path, bytes(content), "not a whole zip archive")


def test_a_member_shorter_than_it_says(tmp_path):
    content = bytearray(zipped({"tiny/x": b"0123456789" * 10}))
    for signature, offset in ((b"PK\x01\x02", 24), (b"PK\x03\x04", 22)):
        place = content.index(signature) + offset
        content[place : place + 4] = struct.pack("<L", 1000)
    refused(tmp_path, bytes(content), "not a whole zip archive", "has 100 bytes")


@pytest.mark.parametrize("content", [b"hello", b"<html></html>" * 50, bytes(5000)])
def test_no_zip_at_all(tmp_path, content):
    refused(tmp_path, content, "not a whole zip archive")


def test_an_archive_of_something_else(tmp_path):
    archive = put(tmp_path, zipped({"other/x": b"x", "tiny": b"a file"}))
    with pytest.raises(DataError, match="no folder 'tiny' in it"):
        unpack.unpack(archive, "tiny", tmp_path / "tiny")
    assert os.listdir(tmp_path) == ["tiny.zip"]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(300))
def test_mutated_archives_are_unpacked_or_refused(tmp_path, seed):
    import numpy as np

    rng = np.random.default_rng(seed)
    content = bytearray(photographs(1, 16))
    for place in rng.integers(0, len(content), rng.integers(1, 6)):
        content[place] = rng.integers(256)
    try:
        unpack.unpack(put(tmp_path, bytes(content)), "tiny", tmp_path / "tiny")
    except DataError as error:
        lines, expected = str(error).splitlines(), ["tiny.zip"]
    else:
        lines, expected = ["unpacked"], ["tiny", "tiny.zip"]
    assert len(lines) == 1
    assert sorted(os.listdir(tmp_path)) == expected


# -------------------------------------------------------------------------------------- the disk


def test_space_is_asked_for_first(tmp_path, monkeypatch):
    usage = type("usage", (), {"free": 999})
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda path: usage)
    archive = put(tmp_path, zipped({"tiny/x": bytes(1000)}))
    with pytest.raises(DataError, match=r"tiny\.zip, unpacked, needs"):
        unpack.unpack(archive, "tiny", tmp_path / "tiny")
    assert os.listdir(tmp_path) == ["tiny.zip"]
    usage.free = 1000
    unpack.unpack(archive, "tiny", tmp_path / "tiny")


def test_a_disk_that_fills_up(tmp_path, monkeypatch):
    def full(*_):
        yield b"a little"
        raise OSError(errno.ENOSPC, "No space left on device")

    archive = put(tmp_path, photographs(2, 40))
    with monkeypatch.context() as patch:
        patch.setattr(unpack, "_chunks", full)
        with pytest.raises(DataError, match="no space left on device") as caught:
            unpack.unpack(archive, "tiny", tmp_path / "tiny")
    assert "\n" not in str(caught.value)
    assert os.listdir(tmp_path) == ["tiny.zip"]
    unpack.unpack(archive, "tiny", tmp_path / "tiny")


# ----------------------------------------------------------------------------------- interrupted


SCRIPT = """
import pathlib, sys, time
from minicnn.datasets import unpack
real = unpack._write
def slow(*arguments):
    time.sleep(float(sys.argv[2]))
    return real(*arguments)
unpack._write = slow
folder = pathlib.Path(sys.argv[1])
unpack.unpack(folder / "tiny.zip", "tiny", folder / "tiny")
"""


def kill_while_unpacking(folder, pause, files):
    """Kill a process that unpacks, when it has written so many files."""
    process = subprocess.Popen([sys.executable, "-c", SCRIPT, str(folder), str(pause)])
    until = time.monotonic() + 60
    while time.monotonic() < until and process.poll() is None:
        if len(tree(folder)) > files:
            break
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait(60)


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL there")
def test_a_killed_process_leaves_nothing_half(tmp_path):
    archive = put(tmp_path, photographs(2, 40))
    kill_while_unpacking(tmp_path, 0.3, 2)
    assert sorted(os.listdir(tmp_path)) == [".tiny.unpacking", "tiny.zip"]
    assert 0 < len(tree(tmp_path / ".tiny.unpacking")) < 10
    unpack.unpack(archive, "tiny", tmp_path / "tiny")
    assert sorted(os.listdir(tmp_path)) == ["tiny", "tiny.zip"]
    assert len(tree(tmp_path / "tiny")) == 10


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL there")
@pytest.mark.parametrize("files", range(0, 11))
def test_killed_at_any_file(tmp_path, files):
    archive = put(tmp_path, photographs(2, 40))
    kill_while_unpacking(tmp_path, 0.02, files)
    if not (tmp_path / "tiny").exists():
        unpack.unpack(archive, "tiny", tmp_path / "tiny")
    assert len(tree(tmp_path / "tiny")) == 10


def test_ctrl_c_leaves_nothing(tmp_path, monkeypatch):
    def stopped(*_):
        raise KeyboardInterrupt

    archive = put(tmp_path, photographs(2, 40))
    monkeypatch.setattr(unpack, "_chunks", stopped)
    with pytest.raises(KeyboardInterrupt):
        unpack.unpack(archive, "tiny", tmp_path / "tiny")
    assert os.listdir(tmp_path) == ["tiny.zip"]


def test_remains_of_any_kind_are_removed_first(tmp_path):
    archive = put(tmp_path, photographs(2, 40))
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "file").write_text("stays")
    (tmp_path / ".tiny.unpacking").symlink_to("precious")
    unpack.unpack(archive, "tiny", tmp_path / "tiny")
    assert (tmp_path / "precious" / "file").read_text() == "stays"
    assert not os.path.lexists(tmp_path / ".tiny.unpacking")
