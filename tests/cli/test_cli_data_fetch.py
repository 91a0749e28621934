"""`minicnn data fetch` and `minicnn data list`."""

from __future__ import annotations

import hashlib

import pytest
from helpers_cli import narrow, require_one_line
from helpers_site import Site, photographs, published

from minicnn.cli import data_fetch
from minicnn.datasets import download
from minicnn.datasets.published import PUBLISHED

CONTENT = photographs(1, 40)


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("MINICNN_DATA_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setattr(download, "WAITS", ())


@pytest.fixture
def site():
    with Site(CONTENT) as site:
        yield site


@pytest.fixture
def tiny(site, monkeypatch):
    """Publish a small archive on this machine."""
    monkeypatch.setitem(PUBLISHED, "tiny-pets", published(CONTENT, site.url))
    return site


def test_fetch_says_where_it_is_and_what_to_do_next(minicnn_, tiny, tmp_path):
    done = minicnn_("data", "fetch", "tiny-pets")
    place = tmp_path / "cache" / "tiny"
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines()[0] == str(place)
    assert f"minicnn train --data {place}" in done.out
    assert "12 photographs" in done.out
    assert (place / "train" / "cats" / "0.jpg").is_file()
    again = minicnn_("data", "fetch", "TinyPets")
    assert again.out == done.out
    assert len(tiny.requests) == 1


def test_fetch_into_a_folder_from_another_address(minicnn_, tiny, tmp_path, monkeypatch):
    elsewhere = published(CONTENT, "https://photographs.invalid/tiny.zip")
    monkeypatch.setitem(PUBLISHED, "tiny-pets", elsewhere)
    done = minicnn_("data", "fetch", "tiny-pets", "--root", "here", "--url", tiny.url)
    assert done.code == 0, done.err
    assert (tmp_path / "here" / "tiny" / "train" / "dogs" / "0.jpg").is_file()


@pytest.mark.parametrize("answer", ["missing", "wrong", "page", "cut"])
def test_what_fails_is_one_line(minicnn_, tiny, tmp_path, answer):
    tiny.answers = [answer]
    place = tmp_path / "cache" / "tiny.zip"
    done = minicnn_("data", "fetch", "tiny-pets")
    require_one_line(done, 1, tiny.url, f"{len(CONTENT):,} bytes", f"save it as {place}.")
    assert done.out == ""
    place.write_bytes(CONTENT)  # as the message says
    assert minicnn_("data", "fetch", "tiny-pets").code == 0


def test_an_unknown_name(minicnn_):
    require_one_line(minicnn_("data", "fetch", "petimage"), 2, "Did you mean pet-images?")
    done = minicnn_("data", "fetch", "mnist")
    require_one_line(done, 2, "'mnist'", "cats-and-dogs-filtered or pet-images")
    require_one_line(minicnn_("data", "fetch"), 2, "NAME")


def test_list_names_sizes_terms_and_addresses(minicnn_, tmp_path):
    done = minicnn_("data", "list")
    assert done.code == 0
    assert done.out.splitlines()[0] == f"Kept in {tmp_path / 'cache'}"
    for name, entry in PUBLISHED.items():
        assert name in done.out
        assert f"{entry.archive.size:,} bytes" in done.out
        assert entry.archive.url in done.out
    assert done.out.count("not here") == len(PUBLISHED)
    assert "CDLA-Permissive-2.0" in done.out
    assert "unknown: none come with it" in done.out
    long = [line for line in done.out.splitlines() if "https://" not in line][1:]
    assert narrow("\n".join(long))
    assert not (tmp_path / "cache").exists()


def test_list_says_what_is_here(tiny, tmp_path, minicnn_):
    entry, folder = PUBLISHED["tiny-pets"], tmp_path / "cache"

    def state():
        out = minicnn_("data", "list", "--root", folder).out.partition("tiny-pets")[2]
        return next(line for line in out.splitlines() if "state" in line)

    assert "not here" in state()
    tiny.answers = ["cut"]
    minicnn_("data", "fetch", "tiny-pets")
    folder.joinpath(".tiny.zip.part").write_bytes(bytes(2_000_000))
    assert "2.0 MB of 0.0 MB are here; fetch goes on with it" in state()
    folder.joinpath("tiny.zip").write_bytes(CONTENT)
    assert "the archive is here; fetch unpacks it" in state()
    minicnn_("data", "fetch", "tiny-pets")
    assert "ready, in tiny" in state()
    assert entry.archive.sha256 == hashlib.sha256(CONTENT).hexdigest()


@pytest.mark.parametrize("arguments", [(), ("fetch",), ("list",)])
def test_pages(minicnn_, arguments):
    done = minicnn_("data", *arguments, "--help")
    assert done.code == 0
    assert narrow(done.out)
    if not arguments:
        assert all(name in done.out for name in ("check", "fetch", "list"))


def test_names_in_any_spelling():
    assert {data_fetch.plain(n) for n in ("PetImages", "pet_images", "pet-images")} == {"petimages"}
