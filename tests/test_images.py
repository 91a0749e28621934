"""Reading image files: every kind of picture as RGB, everything else an error that names the file.

Expected pixels are computed by hand from the pixels that were saved.
"""

from __future__ import annotations

import io
import logging
import os
import struct
import sys
import tracemalloc
import warnings

import numpy as np
import pytest
from PIL import Image, ImageOps

from minicnn.datasets import sample_photo
from minicnn.errors import DataError
from minicnn.io.image import as_array, load_rgb, open_image, quiet
from minicnn.io.pixels import rgb_words

HALF = np.zeros((6, 8), np.uint8)
HALF[:, 4:] = 255
RAMP = np.arange(48, dtype=np.uint8).reshape(6, 8) * 5


def rgb(path):
    image = load_rgb(path)
    assert image.mode == "RGB"
    return np.asarray(image)


def grey(array):
    return np.repeat(array[..., None], 3, axis=2)


# ------------------------------------------------------------------------------- kinds of pictures


def test_colour_is_left_as_it_is(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    np.testing.assert_array_equal(rgb(tmp_path / "a.png"), pixels)
    with Image.open(sample_photo()) as photo:
        np.testing.assert_array_equal(rgb(sample_photo()), np.asarray(photo))


@pytest.mark.parametrize("ending", ["png", "gif", "bmp", "ppm", "tif", "webp", "jp2", "dib"])
def test_formats(tmp_path, ending):
    path = tmp_path / f"a.{ending}"
    lossless = {"webp": {"lossless": True}}.get(ending, {})
    Image.fromarray(grey(HALF)).save(path, **lossless)
    np.testing.assert_array_equal(rgb(path), grey(HALF))


def test_a_picture_is_known_by_its_content_not_by_its_name(tmp_path):
    Image.fromarray(RAMP).save(tmp_path / "a.jpg", format="PNG")
    np.testing.assert_array_equal(rgb(tmp_path / "a.jpg"), grey(RAMP))


@pytest.mark.parametrize("mode", ["L", "1", "P", "LA", "RGBA", "CMYK"])
def test_modes(tmp_path, mode):
    made = Image.fromarray(grey(HALF)).convert(mode)
    made.save(tmp_path / "a.tif")
    np.testing.assert_array_equal(rgb(tmp_path / "a.tif"), grey(HALF))


def test_cmyk_photographs(tmp_path):
    """JPEG holds ink, inverted as Adobe writes it: cyan alone must come out as (0, 255, 255)."""
    Image.new("CMYK", (16, 16), (255, 0, 0, 0)).save(tmp_path / "a.jpg", quality=100)
    np.testing.assert_allclose(rgb(tmp_path / "a.jpg")[8, 8], (0, 255, 255), atol=3)


@pytest.mark.parametrize("dtype", [np.uint16, np.int32])
def test_sixteen_bits_are_scaled_not_clipped(tmp_path, dtype):
    Image.fromarray(RAMP.astype(dtype) * 257).save(tmp_path / "a.tif")
    np.testing.assert_array_equal(rgb(tmp_path / "a.tif"), grey(RAMP))
    if dtype == np.uint16:
        Image.fromarray(RAMP.astype(dtype) * 257).save(tmp_path / "a.png")
        np.testing.assert_array_equal(rgb(tmp_path / "a.png"), grey(RAMP))


def test_floats_count_to_one_or_to_their_maximum(tmp_path):
    Image.fromarray((RAMP / 255).astype(np.float32)).save(tmp_path / "unit.tif")
    np.testing.assert_array_equal(rgb(tmp_path / "unit.tif"), grey(RAMP))
    strange = np.array([[-1, np.nan, 2, np.inf, 4, -np.inf]], np.float32)
    Image.fromarray(strange).save(tmp_path / "strange.tif")
    want = np.array([[0, 0, 128, 255, 255, 0]], np.uint8)
    np.testing.assert_array_equal(rgb(tmp_path / "strange.tif"), grey(want))


def test_transparent_parts_are_white(tmp_path):
    black_shape = np.zeros((6, 8, 4), np.uint8)
    black_shape[..., 3] = HALF
    Image.fromarray(black_shape).save(tmp_path / "rgba.png")
    Image.merge("LA", [Image.new("L", (8, 6)), Image.fromarray(HALF)]).save(tmp_path / "la.png")
    palette = Image.fromarray(HALF // 255)
    palette = palette.convert("P")
    palette.putpalette([9, 9, 9, 0, 0, 0])
    palette.save(tmp_path / "p.png", transparency=0)
    Image.fromarray(HALF ^ 255).save(tmp_path / "l.png", transparency=255)
    for name in ("rgba", "la", "p", "l"):
        np.testing.assert_array_equal(rgb(tmp_path / f"{name}.png"), grey(255 - HALF), name)


def test_sixteen_bits_with_a_transparent_shade_are_read(tmp_path):
    Image.fromarray(RAMP.astype(np.uint16) * 257).save(tmp_path / "a.png", transparency=0)
    np.testing.assert_array_equal(rgb(tmp_path / "a.png"), grey(RAMP))


@pytest.mark.parametrize("ending", ["jpg", "png", "tif", "webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_are_turned_upright(tmp_path, orientation, ending):
    exif = Image.Exif()
    exif[0x0112] = orientation
    corner = np.zeros((32, 48), np.uint8)
    corner[:16, :16] = 255
    path = tmp_path / f"a.{ending}"
    more = {"jpg": {"quality": 100}, "webp": {"lossless": True}}.get(ending, {})
    Image.fromarray(corner).save(path, exif=exif, **more)
    lit = {  # where the white corner is to be seen
        1: (0, 0), 2: (0, -1), 3: (-1, -1), 4: (-1, 0), 5: (0, 0), 6: (0, -1), 7: (-1, -1),
        8: (-1, 0),
    }[orientation]  # fmt: skip
    got = rgb(path)[..., 0] > 128
    assert got.shape == ((32, 48) if orientation <= 4 else (48, 32))
    assert [c for c in ((0, 0), (0, -1), (-1, 0), (-1, -1)) if got[c]] == [lit]
    # From memory: opened by its path, Pillow 13 gives a turned TIFF the sides of the unturned one.
    opened = ImageOps.exif_transpose(Image.open(io.BytesIO(path.read_bytes())))
    np.testing.assert_array_equal(got, np.asarray(opened.convert("L")) > 128)


def test_damaged_notes_do_not_cost_the_picture(tmp_path):
    photo = Image.fromarray(grey(RAMP))
    photo.save(tmp_path / "a.jpg", exif=b"Exif\0\0II*\0\xff\xff\xff\x7f" + bytes(20))
    photo.save(tmp_path / "b.jpg")
    with quiet():
        np.testing.assert_array_equal(rgb(tmp_path / "a.jpg"), rgb(tmp_path / "b.jpg"))


def test_the_first_of_several_frames(tmp_path):
    first, second = (Image.fromarray(a) for a in (HALF, 255 - HALF))
    first.save(tmp_path / "a.gif", save_all=True, append_images=[second])
    np.testing.assert_array_equal(rgb(tmp_path / "a.gif"), grey(HALF))


def test_extra_bytes_after_the_end_do_no_harm(tmp_path):
    for ending in ("jpg", "png", "gif", "bmp"):
        path = tmp_path / f"a.{ending}"
        Image.fromarray(grey(RAMP)).save(path)
        want = rgb(path)
        path.write_bytes(path.read_bytes() + b"\0<html>" * 50)
        np.testing.assert_array_equal(rgb(path), want)


def test_open_image_keeps_the_mode_and_as_array_the_precision(tmp_path):
    Image.fromarray(RAMP.astype(np.uint16) * 257 + 1).save(tmp_path / "a.png")
    image = open_image(tmp_path / "a.png")
    assert image.mode == "I;16"
    got = as_array(image, channels=3)
    assert (got.dtype, got.shape) == ("float32", (3, 6, 8))
    want = (RAMP.astype(np.float64) * 257 + 1) / 65535
    np.testing.assert_array_equal(got[2], want.astype(np.float32))


@pytest.mark.skipif(sys.platform == "win32", reason="no such names there")
def test_names_of_any_letters(tmp_path):
    for name in ("кошка.png", "猫 cat\n.png", os.fsdecode(b"\xff\xfe.png")):
        Image.fromarray(RAMP).save(tmp_path / name)
        np.testing.assert_array_equal(rgb(tmp_path / name), grey(RAMP))


# ----------------------------------------------------------------------------------- no pictures


def refused(path, *pieces):
    """The error is one line that names the file, says these things, and what to do."""
    for read in (open_image, load_rgb):
        with pytest.raises(DataError) as error:
            read(path)
    text = str(error.value)
    assert str(path) in text
    assert "\n" not in text
    assert ". " in text.replace(str(path), "")
    for piece in pieces:
        assert piece in text, text


def test_what_is_no_picture_is_named(tmp_path):
    refused(tmp_path / "none.jpg", "no such file")
    refused(tmp_path, "is a folder")
    (tmp_path / "666.jpg").touch()
    refused(tmp_path / "666.jpg", "empty, 0 bytes")
    (tmp_path / "page.jpg").write_text("<!DOCTYPE html><html>404</html>")
    refused(tmp_path / "page.jpg", "not an image")
    (tmp_path / "a.jpg").symlink_to("nowhere.jpg")
    refused(tmp_path / "a.jpg", "link to nowhere.jpg", "not there")
    (tmp_path / "round.jpg").symlink_to("round.jpg")
    refused(tmp_path / "round.jpg", "cannot be read")
    refused("a\0b.jpg", "damaged")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes there")
def test_a_pipe_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    refused(tmp_path / "pipe.jpg", "pipe")
    (tmp_path / "zero.jpg").symlink_to("/dev/zero")
    refused(tmp_path / "zero.jpg", "device")


@pytest.mark.parametrize("kept", [10, 300, 5_000, 38_000])
def test_a_truncated_photograph(tmp_path, kept):
    (tmp_path / "cut.jpg").write_bytes(sample_photo().read_bytes()[:kept])
    refused(tmp_path / "cut.jpg")


def test_damage_in_the_middle_of_a_png(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.png")
    content = bytearray((tmp_path / "a.png").read_bytes())
    content[1000:1100] = bytes(100)
    (tmp_path / "a.png").write_bytes(content)
    refused(tmp_path / "a.png", "damaged")


def bmp(width, height):
    """A bitmap's header that promises so many pixels, and four of them."""
    head = struct.pack("<2sIHHI", b"BM", 54 + 12, 0, 0, 54)
    return (
        head + struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, 12, 0, 0, 0, 0) + bytes(12)
    )


def test_a_length_that_lies_takes_no_memory(tmp_path):
    """A header of 4 GB in a file of 100 bytes: Python takes memory before it reads."""
    box = struct.pack(">I4sI4sI", 12, b"jP  ", 0x0D0A870A, b"", 0)[:12]
    box += struct.pack(">I4s4sI4s", 20, b"ftyp", b"jp2 ", 0, b"jp2 ")
    box += struct.pack(">I4s", 0xF0000000, b"jp2h") + bytes(60)
    (tmp_path / "lies.jp2").write_bytes(box)
    Image.init()
    tracemalloc.start()
    refused(tmp_path / "lies.jp2", "damaged")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2_000_000


@pytest.mark.parametrize("size", [(10_000, 10_000), (65_000, 65_000)])
def test_too_many_pixels_are_refused_before_they_are_made(tmp_path, size):
    """Pillow warns of the first and refuses the second; here both are refused, warned of or not."""
    (tmp_path / "bomb.bmp").write_bytes(bmp(*size))
    refused(tmp_path / "bomb.bmp", "too many pixels")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        refused(tmp_path / "bomb.bmp", "too many pixels")


def test_who_raises_pillows_limit_has_raised_it_here(tmp_path, monkeypatch):
    Image.fromarray(RAMP).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 47)
    refused(tmp_path / "a.png", "too many pixels")
    for limit in (48, None):
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        np.testing.assert_array_equal(rgb(tmp_path / "a.png"), grey(RAMP))


def test_postscript_is_not_run(tmp_path):
    Image.fromarray(RAMP).save(tmp_path / "a.jpg", format="EPS")
    refused(tmp_path / "a.jpg", "not an image")


def test_an_unreadable_file(tmp_path, monkeypatch):
    Image.fromarray(RAMP).save(tmp_path / "a.png")

    def failing(error):
        def fail(*args, **kwargs):
            raise error

        monkeypatch.setattr("os.open", fail)

    failing(PermissionError(13, "Permission denied"))
    refused(tmp_path / "a.png", "permission denied")
    failing(OSError(5, "Input/output error"))
    refused(tmp_path / "a.png", "input/output error")
    failing(OSError(24, "Too many open files"))  # not the file's fault: nobody may skip it
    with pytest.raises(OSError, match="Too many open files") as error:
        load_rgb(tmp_path / "a.png")
    assert not isinstance(error.value, DataError)


def test_no_file_stays_open(tmp_path):
    """Warnings are errors here: an unclosed file would be one."""
    (tmp_path / "cut.png").write_bytes(sample_photo().read_bytes()[:300])
    before = len(os.listdir("/proc/self/fd")) if os.path.exists("/proc/self/fd") else None
    for _ in range(20):
        load_rgb(sample_photo())
        with pytest.raises(DataError):
            load_rgb(tmp_path / "cut.png")
    if before is not None:
        assert len(os.listdir("/proc/self/fd")) == before


def test_quiet_hides_pillows_warnings_alone():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with quiet():
            assert not logging.getLogger("PIL.TiffImagePlugin").isEnabledFor(logging.ERROR)
            warnings.warn_explicit("metadata", UserWarning, "x.py", 1, module="PIL.TiffImagePlugin")
            with pytest.raises(UserWarning):
                warnings.warn_explicit("mine", UserWarning, "x.py", 1, module="mine")
    assert logging.getLogger("PIL.TiffImagePlugin").isEnabledFor(logging.ERROR)


# ---------------------------------------------------------------------------------- memory shown


def colourful(height, width):
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (height, width, 3), np.uint8)


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (150, 200), (2100, 2100)])
def test_words_of_an_image_are_its_colours(size):
    colours = colourful(*size)  # the last one's 17.6 MB are in several pieces
    words = rgb_words(Image.fromarray(colours))
    assert (words.shape, words.dtype) == ((*size, 4), np.uint8)
    np.testing.assert_array_equal(words[..., :3], colours)
    with pytest.raises(ValueError, match="read-only"):
        words[0, 0, 0] = 1


def test_words_are_no_copy_and_outlive_the_image():
    image = Image.new("RGB", (40, 30), (1, 2, 3))
    words = rgb_words(image)
    image.putpixel((7, 4), (50, 60, 70))
    assert words[4, 7, :3].tolist() == [50, 60, 70]
    del image
    others = [Image.new("RGB", (40, 30), (9, 9, 9)) for _ in range(50)]
    assert words[0, 0, :3].tolist() == [1, 2, 3]
    assert len(others) == 50


def test_words_where_pillow_lends_no_memory(monkeypatch):
    class Old:
        """An image of a Pillow without the Arrow interface."""

        def __init__(self, image):
            self.height, self.width = image.height, image.width
            self.load, self.tobytes, self.im = image.load, image.tobytes, None

    colours = colourful(6, 4)
    words = rgb_words(Old(Image.fromarray(colours)))
    np.testing.assert_array_equal(words[..., :3], colours)


def test_a_picture_turned_by_its_xmp_notes_alone(tmp_path):
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><tiff:Orientation>6</tiff:Orientation></x:xmpmeta>'
    Image.fromarray(colourful(20, 30)).save(tmp_path / "a.jpg", xmp=xmp)
    assert load_rgb(tmp_path / "a.jpg").size == (20, 30)
