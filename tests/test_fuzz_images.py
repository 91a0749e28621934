"""Pictures and IDX files that were harmed: an image or a DataError, in bounded time and memory.

A quick share runs always. The rest: pytest tests/test_fuzz_images.py -m slow
"""

from __future__ import annotations

import faulthandler
import gzip
import random
import resource
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from helpers_fuzz import NUMBERS, mutated, watched
from helpers_photos import encoded, exif, photo
from PIL import Image, features

from minicnn.datasets import read_idx
from minicnn.datasets.inspection import inspect
from minicnn.errors import DataError
from minicnn.io import image
from minicnn.io.image import load_rgb, quiet

QUICK, LONG = 60, 4_000  # mutated files of each kind
PIXELS = 300_000  # the most that an image may have here: its header may promise anything


def corpus() -> dict[str, bytes]:
    """A sound file of each kind that is read."""
    picture = photo(2, (48, 40))
    grey = picture.convert("L")
    deep = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    alpha = picture.convert("RGBA")
    alpha.putalpha(grey)
    kinds = {
        "jpg": encoded(picture, exif=exif(6)),
        "progressive.jpg": encoded(picture, progressive=True, comment=b"words"),
        "cmyk.jpg": encoded(picture.convert("CMYK")),
        "png": encoded(alpha, "PNG"),
        "deep.png": encoded(deep, "PNG"),
        "palette.png": encoded(picture.convert("P"), "PNG", transparency=3),
        "gif": encoded(picture, "GIF", save_all=True, append_images=[photo(3, (48, 40))]),
        "bmp": encoded(picture, "BMP"),
        "ppm": encoded(picture, "PPM"),
        "tif": encoded(picture, "TIFF", exif=exif(3)),
        "deep.tif": encoded(deep, "TIFF"),
        "lzw.tif": encoded(alpha, "TIFF", compression="tiff_lzw"),
        "jpeg.tif": encoded(picture, "TIFF", compression="jpeg"),
        "webp": encoded(alpha, "WEBP"),
        "idx": bytes([0, 0, 0x0C, 2, 0, 0, 0, 9, 0, 0, 0, 7]) + bytes(9 * 7 * 4),
    }
    Image.init()
    kinds["idx.gz"] = gzip.compress(kinds["idx"], mtime=0)
    if "AVIF" in Image.SAVE:
        kinds["avif"] = encoded(picture, "AVIF")
    if features.check("jpg_2000"):
        kinds["jp2"] = encoded(picture, "JPEG2000")
    return kinds


KINDS = corpus()


@pytest.fixture(autouse=True)
def few_pixels_and_no_imports(monkeypatch, tmp_path):
    """Pillow's plugins are imported when first used, which must not look like a file's work."""
    Image.init()
    for kind, content in KINDS.items():
        assert outcome(kind, tmp_path, content) == ""
    assert "not an image" in outcome("jpg", tmp_path, b"text")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", PIXELS)
    faulthandler.dump_traceback_later(600, exit=True)  # a loop within C hears no other alarm
    yield
    faulthandler.cancel_dump_traceback_later()


def outcome(kind: str, folder: Any, content: bytes) -> str:
    """The error's message, or "" if the file is taken and every pixel can be read."""
    path = folder / f"fuzzed.{kind.split('.')[-1]}"
    path.write_bytes(content)
    read: Callable[[Any], Any] = read_idx if kind.startswith("idx") else load_rgb
    with watched(2**25 + 24 * len(content)):
        try:
            value = read(path)
        except DataError as error:
            message = str(error)
            assert "\n" not in message
            assert message.startswith(str(path))
            assert len(message) < 1000
        else:
            message = ""
            assert np.asarray(value).size >= 0
            if read is load_rgb:
                assert value.mode == "RGB"
                assert value.width * value.height <= PIXELS
    if read is load_rgb:  # `data check` says the same of it
        assert (inspect(str(path), "taken.jpg", "").problem is None) == (message == "")
    return message.removeprefix(str(path))


def fuzz(kind: str, seeds: range, folder: Any) -> set[str]:
    messages = set()
    for seed in seeds:
        content = mutated(KINDS[kind], random.Random(f"{kind}{seed}"))
        try:
            with quiet():
                messages.add(outcome(kind, folder, content))
        except BaseException as reason:
            reason.add_note(f"seed {seed} of {kind}")
            raise
    return messages


@pytest.mark.parametrize("kind", KINDS)
def test_a_few_mutated_files(kind, tmp_path):
    assert len(fuzz(kind, range(QUICK), tmp_path)) > 1


@pytest.fixture
def large(monkeypatch):
    """Every picture is read from disk, piece by piece, as those that are large are."""
    opened = []
    real = image._File

    def noted(path):
        opened.append(path)
        return real(path)

    monkeypatch.setattr(image, "FIRST", 0)
    monkeypatch.setattr(image, "SMALL", -1)
    monkeypatch.setattr(image, "_File", noted)
    return opened


PICTURES = [kind for kind in KINDS if not kind.startswith("idx")]


@pytest.mark.parametrize("kind", PICTURES)
def test_a_few_mutated_files_read_as_large_ones_are(kind, tmp_path, large, monkeypatch):
    """With the words and pixels of files that are read at once."""
    taken = 0
    for seed in range(QUICK):
        content = mutated(KINDS[kind], random.Random(f"{kind}{seed}"))
        found = []
        for first, size in ((0, -1), (100, 2**22), (2**17, 2**22)):
            monkeypatch.setattr(image, "FIRST", first)
            monkeypatch.setattr(image, "SMALL", size)
            with quiet():
                message = outcome(kind, tmp_path, content)
                path, before = tmp_path / f"fuzzed.{kind.split('.')[-1]}", len(large)
                pixels = None if message else load_rgb(path).tobytes()
            assert pixels is None or len(large) - before == (size < 0)
            found.append((message, pixels))
        assert found[0] == found[1] == found[2], f"seed {seed} of {kind}"
        taken += not message
    assert 0 < taken < QUICK


@pytest.mark.parametrize("length", [0, 1, 100, 2**16 + 1, 3 * 2**16])
def test_a_file_is_asked_for_what_headers_promise_and_gives_what_it_has(length, tmp_path):
    """As memory that holds the same bytes does, and without taking what is promised."""
    rng, path = random.Random(length), tmp_path / "file"
    content = rng.randbytes(length)
    path.write_bytes(content)
    promises = [n for n in NUMBERS if n < 2**63] + [-1, None, length, length // 2, length + 1]
    with watched(2**20 + 4 * length), image._File(path) as file:
        for _ in range(300):
            place, size = rng.choice((0, length // 3, length, length + 5)), rng.choice(promises)
            file.seek(place)
            expected = content[place:] if size in (-1, None) else content[place : place + size]
            assert file.read(size) == expected, (place, size)
            assert file.tell() == place + len(expected)
            assert file.read(4) == content[place + len(expected) :][:4]


@pytest.mark.slow
@pytest.mark.parametrize("kind", PICTURES)
def test_many_mutated_files_read_as_large_ones_are(kind, tmp_path, large):
    assert len(fuzz(kind, range(QUICK, QUICK + LONG), tmp_path)) > 3
    assert len(large) >= LONG  # an empty file is opened by nobody, and most are opened twice


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_many_mutated_files(kind, tmp_path):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert len(fuzz(kind, range(QUICK, QUICK + LONG), tmp_path)) > 3
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 200_000, f"{grown:,} KiB"  # memory that is not Python's shows here


@pytest.mark.slow
def test_files_of_noise(tmp_path):
    for seed in range(LONG):
        rng = random.Random(seed)
        kind = rng.choice([*KINDS])
        head = KINDS[kind][: rng.choice((0, 2, 4, 8, 16, 40))]
        with quiet():
            outcome(kind, tmp_path, head + rng.randbytes(rng.choice((1, 20, 300, 4000))))
