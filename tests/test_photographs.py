"""Photographs that are fetched when they are asked for: from an empty folder to a sample."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time

import pytest
from helpers_site import PARTS, Site, photographs, picture, published, zipped
from helpers_terminal import on_terminals, seen_on_terminal

import minicnn
from minicnn import data, datasets, doctor, transforms
from minicnn.datasets import download
from minicnn.datasets.archive import Archive
from minicnn.datasets.published import PUBLISHED, Published, data_folder, obtain
from minicnn.errors import ArgumentError, DataError

CONTENT = photographs()
PETS = zipped(
    {
        **{f"PetImages/Cat/{i}.jpg": picture(i) for i in (1, 2, 10)},
        **{f"PetImages/Dog/{i}.jpg": picture(100 + i) for i in (1, 2)},
        "PetImages/Cat/666.jpg": b"",
        "PetImages/Dog/11702.jpg": b"",
        "PetImages/Cat/Thumbs.db": b"thumbs",
        "CDLA-Permissive-2.0.pdf": b"terms",
        "readme[1].txt": b"read me",
    }
)


@pytest.fixture(autouse=True)
def on_this_machine(monkeypatch, tmp_path):
    """No name but this machine's is looked up, no proxy asked, no time lost."""
    real = socket.getaddrinfo

    def only_here(host, *more, **others):
        if host not in ("127.0.0.1", "localhost"):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return real(host, *more, **others)

    monkeypatch.setattr(socket, "getaddrinfo", only_here)
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setenv("MINICNN_DATA_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(download, "WAITS", (0,))


def stand_in(monkeypatch, cls, content, url, folder=None):
    """Put a small archive in the place of the published one."""
    real = cls.published
    archive = Archive(real.archive.file, url, len(content), hashlib.sha256(content).hexdigest())
    folder = folder or real.folder
    monkeypatch.setattr(cls, "published", Published(archive, folder, real.parts, "", ""))


# --------------------------------------------------------------------------------- the classes


@pytest.mark.parametrize(("split", "count"), [("train", 6), ("validation", 6)])
def test_cats_and_dogs_filtered(tmp_path, monkeypatch, split, count):
    content = zipped(
        {f"cats_and_dogs_filtered/{part}/{i}.jpg": picture(i) for part in PARTS for i in range(3)}
    )
    with Site(content) as site:
        stand_in(monkeypatch, datasets.CatsAndDogsFiltered, content, site.url)
        transform = transforms.Compose([transforms.Resize((4, 6)), transforms.ToTensor()])
        pets = datasets.CatsAndDogsFiltered(tmp_path, split, transform=transform)
        assert datasets.CatsAndDogsFiltered(str(tmp_path), split, download=False).samples
        assert len(site.requests) == 1
    assert isinstance(pets, datasets.ImageFolder)
    assert pets.class_to_idx == {"cats": 0, "dogs": 1}
    assert (len(pets), pets.split) == (count, split)
    assert all(f"/{split}/" in path for path, _ in pets.samples)
    images, labels = next(iter(data.DataLoader(pets, 6)))
    assert images.shape == (6, 3, 4, 6)
    assert labels.tolist() == [0, 0, 0, 1, 1, 1]


def test_pet_images_without_the_empty_files(tmp_path, monkeypatch):
    with Site(PETS) as site:
        stand_in(monkeypatch, datasets.PetImages, PETS, site.url)
        pets = datasets.PetImages(tmp_path)
        assert pets.class_to_idx == {"Cat": 0, "Dog": 1}
        assert pets.targets == [0, 0, 0, 1, 1]
        skipped = sorted(os.path.relpath(path, tmp_path) for path in pets.skipped)
        assert skipped == ["PetImages/Cat/666.jpg", "PetImages/Dog/11702.jpg"]
        assert all(image.size == (8, 8) for image, _ in pets)
        assert len(datasets.PetImages(tmp_path, on_error="raise")) == 7
    # The terms and the readme are kept with the pictures.
    assert (tmp_path / "PetImages" / "CDLA-Permissive-2.0.pdf").read_bytes() == b"terms"
    assert (tmp_path / "PetImages" / "readme[1].txt").is_file()


def test_by_default_it_goes_to_the_data_folder(tmp_path, monkeypatch):
    with Site(PETS) as site:
        stand_in(monkeypatch, datasets.PetImages, PETS, "https://photographs.invalid/x.zip")
        pets = datasets.PetImages(url=site.url)
    assert str(pets.root) == str(tmp_path / "cache" / "PetImages")


def test_a_folder_that_is_there_is_taken_as_it_is(tmp_path, monkeypatch):
    for part in ("Cat", "Dog"):
        (tmp_path / "PetImages" / part).mkdir(parents=True)
        (tmp_path / "PetImages" / part / "1.jpg").write_bytes(picture(1))
    tmp_path.chmod(0o500)
    assert len(datasets.PetImages(tmp_path)) == 2
    tmp_path.chmod(0o700)
    assert os.listdir(tmp_path) == ["PetImages"]


def test_an_unknown_split_is_refused_before_anything_is_fetched(tmp_path):
    with pytest.raises(ArgumentError, match="'test' is none of train, validation"):
        datasets.CatsAndDogsFiltered(tmp_path, "test")
    assert os.listdir(tmp_path) == []


def test_importing_loads_no_http():
    code = "import minicnn, sys; print({'pooch', 'requests', 'filelock'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout == "set()\n"


def test_what_is_published():
    cats, pets = PUBLISHED["cats-and-dogs-filtered"], PUBLISHED["pet-images"]
    assert datasets.CatsAndDogsFiltered.published is cats
    assert datasets.PetImages.published is pets
    for entry, cls in ((cats, datasets.CatsAndDogsFiltered), (pets, datasets.PetImages)):
        assert entry.archive.url.endswith("/" + entry.archive.file)
        assert f"{entry.archive.size:,} bytes" in cls.__doc__
    assert (cats.archive.size, cats.archive.sha256) == (68606236, None)
    assert pets.archive.size == 824887076
    assert re.fullmatch("b7974bd0[0-9a-f]{56}", pets.archive.sha256)


# ------------------------------------------------------------------------------------- by hand


def test_download_false_says_what_to_fetch(tmp_path):
    for cls in (datasets.CatsAndDogsFiltered, datasets.PetImages):
        archive = cls.published.archive
        with pytest.raises(DataError) as caught:
            cls(tmp_path, download=False)
        text = str(caught.value)
        assert "\n" not in text
        for piece in (archive.url, f"{archive.size:,} bytes", str(tmp_path / archive.file)):
            assert piece in text
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("download", [True, False])
def test_who_follows_the_error_message_has_the_data(tmp_path, monkeypatch, download):
    stand_in(monkeypatch, datasets.PetImages, PETS, "https://photographs.invalid/x.zip")
    with pytest.raises(DataError) as caught:
        datasets.PetImages(tmp_path / "new", download=download)
    place = re.search(r"save it as (\S+)\.$", str(caught.value))[1]
    os.makedirs(os.path.dirname(place), exist_ok=True)
    with open(place, "wb") as file:
        file.write(PETS)
    assert len(datasets.PetImages(tmp_path / "new", download=download)) == 5


def test_the_archive_may_be_deleted_afterwards(tmp_path):
    with Site(CONTENT) as site:
        what = published(CONTENT, site.url)
        obtain(what, tmp_path)
        (tmp_path / "tiny.zip").unlink()
        assert obtain(what, tmp_path) == tmp_path / "tiny"
        assert len(site.requests) == 1
        shutil.rmtree(tmp_path / "tiny")
        obtain(what, tmp_path)
        assert len(site.requests) == 2


# ----------------------------------------------------------------------------- what is in the way


def test_a_folder_that_is_something_else_is_left_alone(tmp_path):
    (tmp_path / "tiny" / "train").mkdir(parents=True)
    with pytest.raises(DataError, match="tiny is there, but train/cats is not in it"):
        obtain(published(CONTENT, "https://photographs.invalid/"), tmp_path)
    assert os.listdir(tmp_path) == ["tiny"]


def test_an_archive_without_the_classes_is_named(tmp_path):
    content = zipped({"tiny/train/cats/1.jpg": b"", "tiny/validation/x": b""})
    with (
        Site(content) as site,
        pytest.raises(DataError, match="but train/dogs is not in it"),
    ):
        obtain(published(content, site.url), tmp_path)


def test_a_damaged_archive_with_the_right_hash_leaves_no_folder(tmp_path):
    content = CONTENT[: len(CONTENT) // 2]
    with Site(content) as site, pytest.raises(DataError, match="not a whole zip archive"):
        obtain(published(content, site.url), tmp_path)
    assert not (tmp_path / "tiny").exists()


@pytest.mark.parametrize("root", ["/dev/null/data", "file/data"])
def test_a_folder_that_cannot_be(tmp_path, monkeypatch, root):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="not a directory") as caught:
        obtain(published(CONTENT, "https://photographs.invalid/"), root)
    assert "\n" not in str(caught.value)


# ------------------------------------------------------------------------------- the data folder


def test_the_data_folder(tmp_path, monkeypatch):
    assert data_folder() == tmp_path / "cache"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MINICNN_DATA_DIR", "here")
    assert data_folder() == tmp_path / "here"
    monkeypatch.setenv("MINICNN_DATA_DIR", "~/there")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert data_folder() == tmp_path / "there"
    monkeypatch.delenv("MINICNN_DATA_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    if sys.platform == "linux":
        assert data_folder() == tmp_path / "xdg" / "minicnn" / "data"


def test_doctor_knows_it(tmp_path, monkeypatch):
    facts = doctor.examine()
    assert facts["Caches"]["data"] == str(tmp_path / "cache")
    assert facts["Caches"]["fetched"] == "no data set; 0 B"
    assert "unknown" not in facts["Settings"]["MINICNN_DATA_DIR"]
    for part in PUBLISHED["pet-images"].parts:
        (tmp_path / "cache" / "PetImages" / part).mkdir(parents=True)
        (tmp_path / "cache" / "PetImages" / part / "1.jpg").write_bytes(bytes(1024))
    assert doctor.fetched()["fetched"] == "pet-images; 2.0 KiB"


# --------------------------------------------------------------------- several processes, killed

SCRIPT = """
import sys, time, pathlib
from minicnn.datasets import unpack
from minicnn.datasets.archive import Archive
from minicnn.datasets.published import Published, obtain
url, size, digest, root, pause, *parts = sys.argv[1:]
real = unpack._write
def slow(*arguments):
    time.sleep(float(pause))
    return real(*arguments)
unpack._write = slow
archive = Archive("tiny.zip", url, int(size), digest)
print(obtain(Published(archive, "tiny", tuple(parts), "", ""), root))
"""


def start(what, root, pause=0.0, stderr=subprocess.PIPE):
    size, digest = str(what.archive.size), what.archive.sha256
    arguments = [what.archive.url, size, digest, str(root), str(pause), *what.parts]
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", SCRIPT, *arguments],
        stdout=subprocess.PIPE, stderr=stderr, text=True,
    )  # fmt: skip


def files(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def test_of_two_processes_one_fetches_and_one_waits(tmp_path):
    with Site(CONTENT, "waits_half_way", "file") as site:
        what = published(CONTENT, site.url)
        first = start(what, tmp_path)
        assert site.half_sent.wait(60)
        second = start(what, tmp_path)
        assert "another process is fetching it" in second.stderr.readline()
        site.gate.set()  # the first loses its connection, and goes on
        for process in (first, second):
            out, err = process.communicate(timeout=60)
            assert (process.returncode, out, err) == (0, f"{tmp_path / 'tiny'}\n", "")
        assert len(site.requests) == 2  # both of the first
    assert len(files(tmp_path / "tiny")) == 14


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL there")
@pytest.mark.parametrize("moment", ["download", "extraction"])
def test_a_killed_process_is_followed_by_one_that_succeeds(tmp_path, moment):
    answers = ["waits_half_way", "file"] if moment == "download" else ["file"]
    watched = tmp_path / (".tiny.zip.part" if moment == "download" else ".tiny.unpacking")
    with Site(CONTENT, *answers) as site:
        what = published(CONTENT, site.url)
        process = start(what, tmp_path, 0.2)
        until = time.monotonic() + 60
        while time.monotonic() < until and not watched.exists():
            time.sleep(0.005)
        time.sleep(0.3)
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=60)
        assert watched.exists()
        assert not (tmp_path / "tiny").exists()
        obtain(what, tmp_path)
        assert len(site.requests) == len(answers)
    assert len(files(tmp_path / "tiny")) == 14
    assert {*os.listdir(tmp_path)} - {".tiny.zip.lock"} == {"tiny", "tiny.zip"}


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL there")
@pytest.mark.parametrize("moment", range(20))
def test_killed_at_any_moment(tmp_path, moment):
    with Site(CONTENT) as site:
        what = published(CONTENT, site.url)
        process = start(what, tmp_path, 0.05)
        time.sleep(0.2 + 0.1 * moment)
        process.kill()
        process.communicate(timeout=60)
        if (tmp_path / "tiny").exists():
            assert len(files(tmp_path / "tiny")) == 14
        obtain(what, tmp_path)
    assert len(files(tmp_path / "tiny")) == 14


def test_it_is_reachable_from_the_package():
    assert minicnn.datasets.PetImages is datasets.PetImages


@on_terminals
def test_on_a_terminal_there_are_bars_and_they_go_away(tmp_path):
    with Site(CONTENT) as site:
        code, text, out = seen_on_terminal(
            lambda terminal: start(published(CONTENT, site.url), tmp_path, 0.03, stderr=terminal)
        )
    assert (code, out) == (0, f"{tmp_path / 'tiny'}\n")
    assert re.search(r"tiny\.zip: +0%\|.*B/s", text)
    assert re.search(r"unpacking tiny\.zip: +\d\d%\|", text)
    *_, last, after = text.split("\r")
    assert last.strip() + after.strip() == ""  # written over with blanks
