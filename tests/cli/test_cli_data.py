"""`minicnn data check` on a small PetImages with every kind of trouble in it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner
from helpers_cli import finished, narrow, require_one_line
from helpers_photos import broken_pictures, encoded, odd_pictures, pet_images, photo
from helpers_terminal import on_terminals, seen_on_terminal
from PIL import Image

from minicnn.cli import cli
from minicnn.datasets import inspection


@pytest.fixture
def pets():
    """Six sound cats and dogs each; odd cats, broken dogs, and what is no picture."""
    root = pet_images(Path("PetImages"))
    for name, content in odd_pictures().items():
        (root / "Cat" / name).write_bytes(content)
    for name, (content, _) in broken_pictures().items():
        (root / "Dog" / name).write_bytes(content)
    for name in ("Cat", "Dog"):
        (root / name / "Thumbs.db").write_bytes(b"no picture")
    (root / "Dog" / "clip.gif").write_bytes(encoded(photo(7), "GIF"))
    (root / "Dog" / "again.jpg").write_bytes((root / "Cat" / "1.jpg").read_bytes())
    (root / "Dog" / "link.jpg").symlink_to("nowhere.jpg")
    (root / "Dog" / "grey.jpg").write_bytes(encoded(Image.new("RGB", (50, 50), "grey")))
    (root / "Fish").mkdir()
    return root


def rows(text, title):
    """The rows {name: what is said} under a title of the page, wrapped ones joined."""
    part = text.split(f"\n{title}\n")[1].split("\n\n")[0]
    found, name = {}, None
    for line in part.splitlines():
        if line.startswith("    "):
            found[name] = f"{found[name]} {line.strip()}".strip()
        else:
            name, _, said = line[2:].partition("  ")
            found[name] = said.strip()
    return found


def snapshot(root):
    return sorted((str(p), p.lstat().st_mtime_ns, p.lstat().st_size) for p in root.rglob("*"))


def test_the_page(minicnn_, pets):
    before = snapshot(pets)
    done = minicnn_("data", "check", pets)
    assert snapshot(pets) == before
    assert done.code == 1
    assert done.err == ""
    assert narrow(done.out)
    odd, broken = len(odd_pictures()), len(broken_pictures()) + 1
    counts = re.findall(r"^  (\w+) +(\d+) +(\d+)$", done.out, re.M)
    assert counts == [
        ("Cat", str(6 + odd), "0"),
        ("Dog", "8", str(broken)),
        ("Fish", "0", "0"),
        ("together", str(14 + odd), str(broken)),
    ]
    damaged = rows(done.out, "Cannot be decoded")
    assert damaged.keys() == {f"Dog/{name}" for name in (*broken_pictures(), "link.jpg")}
    for name, (_, why) in broken_pictures().items():
        assert why in damaged[f"Dog/{name}"]
    assert damaged["Dog/link.jpg"] == "is a link to nowhere.jpg, which is not there"
    assert rows(done.out, "Worth a look") == {
        "Dog/again.jpg": "the same file in another class: Cat/1.jpg",
        "Cat/extra.jpg": "46 bytes after the picture's end",
        "Cat/extra.png": "4 bytes after the picture's end",
        "Cat/frames.webp": "2 frames, of which the first is used",
        "Cat/really a bitmap.jpg": "a BMP, though it ends in .jpg",
        "Cat/really a gif.jpg": "a GIF, though it ends in .jpg",
        "Cat/кот и 猫.jpg": "the same file again: Cat/SHOUTING.JPG",
        "Dog/grey.jpg": "all pixels have the same colour",
        "Dog/clip.gif": "a GIF that ImageFolder does not take by its ending",
        "Fish": "a class without pictures",
    }
    assert rows(done.out, "Passed over: no pictures, by their endings") == {"Thumbs.db": "2 times"}
    facts = dict(re.findall(r"^  (formats|modes|width|height|turned) +(.*)$", done.out, re.M))
    assert facts["formats"] == "JPEG: 20, PNG: 6, BMP: 1, GIF: 1, TIFF: 1, WEBP: 1"
    assert facts["modes"] == "RGB: 21, I;16: 2, P: 2, 1: 1, CMYK: 1, L: 1, LA: 1, RGBA: 1"
    assert facts["width"].startswith("50 (Dog/grey.jpg) to 200 (Cat/0.jpg), median ")
    assert facts["turned"].startswith("1, ")


def test_sizes(minicnn_):
    root = Path("sizes/a")
    root.mkdir(parents=True)
    for k, (width, height) in enumerate([(10, 9), (30, 5), (20, 70), (40, 6)]):
        Image.effect_noise((width, height), 50).save(root / f"{k}.png")
    done = minicnn_("data", "check", "sizes", "--json")
    assert done.code == 0
    report = json.loads(done.out)
    assert report["width"] == {"min": 10, "median": 20, "max": 40}
    assert report["height"] == {"min": 5, "median": 6, "max": 70}
    page = minicnn_("data", "check", "sizes").out
    assert "width     10 (a/0.png) to 40 (a/3.png), median 20" in page
    assert "height    5 (a/1.png) to 70 (a/2.png), median 6" in page
    assert "Cannot" not in page
    (root / "1.png").unlink()
    (root / "2.png").unlink()
    (root / "3.png").unlink()
    assert "width     10\n  height    9\n" in minicnn_("data", "check", "sizes").out
    assert "Worth" not in page


@pytest.mark.parametrize("workers", [1, 3])
def test_json_holds_it_all_whatever_the_number_of_threads(minicnn_, pets, workers):
    done = minicnn_("data", "check", pets, "--json", "--threads", workers)
    assert done.code == 1
    report = json.loads(done.out)
    assert report["classes"]["Dog"] == {"decoded": 8, "damaged": len(broken_pictures()) + 1}
    assert [entry["path"] for entry in report["undecodable"]] == sorted(
        f"Dog/{name}" for name in (*broken_pictures(), "link.jpg")
    )
    again = {"path": "Dog/again.jpg", "why": ["the same file in another class: Cat/1.jpg"]}
    assert again in report["suspicious"]
    assert [entry["path"] for entry in report["passed_over"]] == [
        "Cat/Thumbs.db", "Dog/Thumbs.db", "Dog/clip.gif",
    ]  # fmt: skip


def test_list_is_for_scripts(minicnn_, pets):
    if sys.platform != "win32":
        for name in (b"\xff cat.jpg", b"two\nlines.jpg"):
            Path(os.fsdecode(os.fsencode(pets / "Cat") + b"/" + name)).write_bytes(b"bad")
    done = finished("data", "check", pets, "--list", errors="surrogateescape")
    assert done.code == 1
    want = [str(pets / "Dog" / name) for name in sorted((*broken_pictures(), "link.jpg"))]
    if sys.platform != "win32":
        want.insert(0, os.fsdecode(os.fsencode(pets / "Cat") + b"/\xff cat.jpg"))
        assert "name of two lines" in done.err
    assert done.out.splitlines() == want
    assert all(os.path.lexists(line) for line in done.out.splitlines())


def test_names_that_are_no_text_are_shown(minicnn_):
    if sys.platform == "win32":
        pytest.skip("no such names there")
    root = Path("odd/a")
    root.mkdir(parents=True)
    for name in (b"\xff.jpg", b"two\nlines.jpg"):
        Path(os.fsdecode(os.fsencode(root) + b"/" + name)).write_bytes(b"bad")
    done = minicnn_("data", "check", "odd")
    assert r"a/\udcff.jpg" in done.out
    assert r"a/two\nlines.jpg" in done.out


def test_a_sound_folder_is_exit_code_0(minicnn_):
    pet_images(Path("pets"), 2)
    done = minicnn_("data", "check", "pets")
    assert done.code == 0
    assert "Cannot be decoded" not in done.out
    assert minicnn_("data", "check", "pets", "--list").out == ""


def test_folders_of_parts_are_counted_by_part_and_class(minicnn_):
    for part in ("train", "validation"):
        pet_images(Path("data") / part, 2)
    report = json.loads(minicnn_("data", "check", "data", "--json").out)
    assert [*report["classes"]] == ["train/Cat", "train/Dog", "validation/Cat", "validation/Dog"]
    assert report["suspicious"] == [
        {"path": f"validation/{name}", "why": [f"the same file in another part: train/{name}"]}
        for name in ("Cat/0.jpg", "Cat/1.jpg", "Dog/0.jpg", "Dog/1.jpg")
    ]


def test_a_folder_without_classes_is_read_and_said_to_have_none(minicnn_):
    pet_images(Path("pets"), 2)
    done = minicnn_("data", "check", "pets/Cat")
    assert done.code == 0
    assert re.search(r"^  \(no class\) +2 +0$", done.out, re.M)
    assert "make a folder for each" in rows(done.out, "Worth a look")["."]


def test_long_pages_are_cut_unless_all_is_wanted(minicnn_):
    for k in range(20):
        Path(f"many/class {k:02}").mkdir(parents=True)
        Path(f"many/class {k:02}/damaged.jpg").write_bytes(b"x")
        Path(f"many/class {k:02}/{k}.txt").touch()
        Path(f"many/class {k:02}/cat.gif").write_bytes(encoded(photo(1), "GIF"))
    short, long = minicnn_("data", "check", "many"), minicnn_("data", "check", "many", "--all")
    assert "… and 8 more classes: --all" in short.out
    assert short.out.count("… and 8 more: --all") == 2
    assert len(rows(short.out, "Cannot be decoded")) == 20  # never cut
    assert "--all" not in long.out
    assert all(f"class {k:02}/cat.gif" in long.out for k in range(20))


@pytest.mark.parametrize(
    ("arguments", "code", "pieces"),
    [
        (("check", "nowhere"), 1, ("nowhere", "no such folder")),
        (("check", "a-file"), 1, ("a-file is a file",)),
        (("check", "empty"), 1, ("empty", "no files in it")),
        (("check",), 2, ("FOLDER", "data check --help")),
        (("chekc",), 2, ("'check'",)),
        (("check", "empty", "--list", "--json"), 2, ("--list and --json",)),
        (("check", "empty", "--threads", "0"), 2, ("--threads",)),
    ],
)
def test_misuse_is_one_line(minicnn_, arguments, code, pieces):
    Path("a-file").touch()
    Path("empty").mkdir()
    require_one_line(minicnn_("data", *arguments), code, *pieces)


@pytest.mark.parametrize("arguments", [("data", "--help"), ("data",), ("data", "check", "--help")])
def test_pages(arguments):
    done = CliRunner().invoke(cli, arguments)
    assert done.exit_code == 0
    assert narrow(done.output)
    assert "check" in done.output


@on_terminals
def test_a_bar_on_a_terminal_goes_away(pets):
    command = [sys.executable, "-m", "minicnn", "data", "check", str(pets)]
    environment = {**os.environ, "TERM": "xterm"}
    _, seen, _ = seen_on_terminal(
        lambda terminal: subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=terminal, env=environment
        )
    )
    assert re.search(r"checking .*/4\d files", seen)
    assert seen.split("\r")[-1].strip() == ""


FIRST_PICTURE = """
from minicnn.cli import data, main

def step(self, picture):
    print("BEGUN", flush=True)
    data._Bar.step = lambda self, picture: None

data._Bar.step = step
main(["data", "check", "pets", "--threads", "1"])
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no signals of this kind there")
def test_ctrl_c_ends_at_once():
    root = pet_images(Path("pets"), 1)
    for k in range(20_000):
        os.link(root / "Cat" / "0.jpg", root / "Cat" / f"link {k}.jpg")
    process = subprocess.Popen(
        [sys.executable, "-c", FIRST_PICTURE],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout.readline() == "BEGUN\n"
    process.send_signal(signal.SIGINT)
    sent = time.monotonic()
    _, err = process.communicate(timeout=60)
    assert time.monotonic() - sent < 3
    assert (process.returncode, err.strip()) == (130, "minicnn: stopped by Ctrl-C.")


# ---------------------------------------------------------------------------------- the end found


def test_the_end_of_a_picture_is_found_behind_what_looks_like_it():
    """A JPEG with another one, its own thumbnail, in its notes; and restart markers."""
    small = encoded(photo(1, (16, 16)))
    noted = encoded(photo(2), comment=small, restart_marker_rows=1, progressive=True)
    assert noted.count(b"\xff\xd9") == 2
    assert b"\xff\xd0" in noted
    chunk = encoded(photo(2), "PNG")
    for content, kind in ((noted, "JPEG"), (chunk, "PNG")):
        assert inspection.bytes_after_the_end(content, kind) == 0
        assert inspection.bytes_after_the_end(content + b"abc", kind) == 3
        for cut in (3, len(content) // 2, len(content) - 1):
            assert inspection.bytes_after_the_end(content[:cut], kind) == 0
    assert inspection.bytes_after_the_end(b"whatever", "GIF") == 0
