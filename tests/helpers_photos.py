"""A small folder in PetImages' shape, made from the shipped pictures, and all that can be wrong."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
from PIL import Image

from minicnn.datasets import CatsVsDogs, sample_photo

SIZES = [(200, 150), (150, 200), (96, 128), (160, 160)]  # width, height


def encoded(image: Image.Image, kind: str = "JPEG", **more) -> bytes:
    """The image as a file's content."""
    file = io.BytesIO()
    image.save(file, kind, **more)
    return file.getvalue()


def photo(index: int = 0, size: tuple[int, int] | None = None) -> Image.Image:
    """The photograph in a silhouette's shape, on a ground of its own colour: no two are alike."""
    size = size or SIZES[index % len(SIZES)]
    shape = Image.fromarray(CatsVsDogs().data.numpy()[index]).resize(size)
    with Image.open(sample_photo()) as fur:
        ground = tuple(np.random.default_rng(index).integers(0, 256, 3).tolist())
        return Image.composite(fur.resize(size), Image.new("RGB", size, ground), shape)


def pet_images(root: Path, each: int = 6) -> Path:
    """root/Cat/0.jpg, … and root/Dog/0.jpg, …: sound photographs."""
    for label, name in enumerate(("Cat", "Dog")):
        (root / name).mkdir(parents=True)
        for k in range(each):
            (root / name / f"{k}.jpg").write_bytes(encoded(photo(label * 992 + k), quality=85))
    return root


def exif(orientation: int) -> Image.Exif:
    """EXIF data with nothing in it but how the camera was held."""
    data = Image.Exif()
    data[0x0112] = orientation
    return data


def bitmap_header(width: int, height: int) -> bytes:
    """A BMP that promises so many pixels, and has four."""
    head = struct.pack("<2sIHHI", b"BM", 54 + 12, 0, 0, 54)
    sizes = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, 12, 0, 0, 0, 0)
    return head + sizes + bytes(12)


def odd_pictures() -> dict[str, bytes]:
    """What can be decoded all the same, by a file's name."""
    picture = photo(3, (60, 40))
    grey = picture.convert("L")
    deep = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    alpha = picture.convert("RGBA")
    alpha.putalpha(grey)
    return {
        "cmyk.jpg": encoded(picture.convert("CMYK")),
        "palette.png": encoded(picture.convert("P"), "PNG"),
        "deep.png": encoded(deep, "PNG"),
        "deep.tif": encoded(deep, "TIFF"),
        "grey.jpg": encoded(grey),
        "black and white.png": encoded(picture.convert("1"), "PNG"),
        "alpha.png": encoded(alpha, "PNG"),
        "grey alpha.png": encoded(alpha.convert("LA"), "PNG"),
        "turned.jpg": encoded(picture, exif=exif(6)),
        "extra.jpg": encoded(picture) + b"\0" * 40 + b"<html>",
        "extra.png": encoded(picture, "PNG") + b"more",
        "really a gif.jpg": encoded(picture, "GIF"),
        "really a bitmap.jpg": encoded(picture, "BMP"),
        "frames.webp": encoded(picture, "WEBP", save_all=True, append_images=[photo(4, (60, 40))]),
        "кот и 猫.jpg": encoded(picture),
        "SHOUTING.JPG": encoded(picture),
    }


def broken_pictures() -> dict[str, tuple[bytes, str]]:
    """What cannot: (content, what the error says of it), by a file's name."""
    whole, png = encoded(photo(5, (90, 60))), encoded(photo(5, (90, 60)), "PNG")
    hit = bytearray(png)
    hit[len(png) // 2 : len(png) // 2 + 50] = bytes(50)
    return {
        "666.jpg": (b"", "empty"),
        "cut.jpg": (whole[: len(whole) // 2], "truncated"),
        "beginning.jpg": (whole[:2], "not an image"),
        "cut.png": (png[: len(png) // 2], "damaged"),
        "hit.png": (bytes(hit), "damaged"),
        "page.jpg": (b"<!DOCTYPE html><title>404</title>", "not an image"),
        "zeros.jpg": (bytes(5000), "not an image"),
        "bomb.bmp": (bitmap_header(20_000, 20_000), "too many pixels"),
    }
