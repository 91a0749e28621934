"""Image files, read by Pillow: the one way in for datasets and for the command line.

Whatever is in a folder, an image comes out or a DataError that names the file and what is wrong
with it. Only formats that Pillow decodes by itself are tried, so that nothing else is started on
account of a file's content (PostScript, for one, is handed to Ghostscript).
"""

from __future__ import annotations

import errno
import io
import logging
import os
import re
import stat
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from minicnn.errors import DataError

Path = str | os.PathLike[str]

# In this order; Pillow loads its plugins for all but the first five when one of them is needed.
COMMON = ("JPEG", "PNG", "GIF", "BMP", "PPM")
OTHERS = ("WEBP", "TIFF", "AVIF", "JPEG2000", "MPO", "DIB")

_ORIENTATION = 0x0112  # EXIF's tag for how the camera was held
_NOTES = {"exif", "xmp"}  # where a JPEG may have it
_SHORTAGES = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)


def open_image(path: Path) -> Any:
    """The file as a Pillow image, turned upright by its EXIF tag, transparent parts on white.

    Of several frames it is the first. Its mode is otherwise the file's; see `load_rgb`.

    Raises:
        DataError: missing, a link to nothing, no regular file, empty, unreadable, no image, cut
            short or damaged, or of more pixels than `PIL.Image.MAX_IMAGE_PIXELS`.
        OSError, MemoryError: the system has no more files or memory to give.
    """
    try:
        with _opened(path) as file:
            return _without_transparency(_decode(file, path))
    except (DataError, MemoryError):
        raise
    except Exception as error:  # Pillow's readers raise many kinds on damaged files
        raise _refusal(path, error) from error


def load_rgb(path: Path) -> Any:
    """The file as an upright Pillow image in mode RGB, whatever was in it; errors as `open_image`.

    Grey of 16 bits is scaled to 8, where Pillow's own conversion would clip it.
    """
    image = open_image(path)
    if image.mode == "RGB":
        return image
    try:
        return _as_rgb(image)
    except Exception as error:
        raise _refusal(path, error) from error


def as_array(image: Any, channels: int = 1) -> np.ndarray:
    """A Pillow image as float32 (channels, H, W) in [0, 1]; grey by ITU-R 601 luma.

    Integers of more than 8 bits count from 0 to 65535, floats from 0 to 1 or to their maximum.
    """
    if _is_deep(image):
        grey = _unit_range(image).astype(np.float32)
        return np.repeat(grey[None], channels, axis=0)
    if channels == 3:
        return np.asarray(image.convert("RGB"), np.float32).transpose(2, 0, 1) / np.float32(255)
    return np.repeat(np.asarray(image.convert("L"), np.float32)[None] / 255, channels, axis=0)


@contextmanager
def open_header(path: Path) -> Iterator[Any]:
    """Inside, the file as a Pillow image that is not decoded: its format, mode, size and notes."""
    with _File(path) as file:
        yield _identify(file)


@contextmanager
def quiet() -> Iterator[None]:
    """Inside, Pillow's warnings and log (about metadata, mostly) are not shown.

    For commands: warning filters belong to the whole process, so threads must not switch them.
    """
    log = logging.getLogger("PIL")
    before = log.level
    log.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"PIL\.")
            yield
    finally:
        log.setLevel(before)


def require_content(path: Path) -> None:
    """Raise DataError where the folder's entry alone shows that no image can come of it."""
    try:
        found = os.stat(path)
    except (OSError, ValueError) as error:
        raise _refusal(path, error) from None
    _require_bytes(path, found)


def _require_bytes(path: Path, found: os.stat_result) -> None:
    if stat.S_ISDIR(found.st_mode):
        raise DataError(f"{path} is a folder. Name the image files in it.")
    if not stat.S_ISREG(found.st_mode):
        raise DataError(f"{path} is a pipe or a device, not an image file. Remove it.")
    if found.st_size == 0:
        raise DataError(f"{path} is empty, 0 bytes. Fetch it again, or remove it.")


def is_shortage(error: BaseException) -> bool:
    """Whether the machine is at fault, and not the file: no more memory or open files."""
    return isinstance(error, OSError) and error.errno in _SHORTAGES


# -------------------------------------------------------------------------------------- decoding


FIRST = 1 << 17  # bytes that are asked for before the size is: many a photograph has fewer
SMALL = 1 << 22  # bytes: most photographs; read at once, which takes fewer calls of the system

# Not to wait where a pipe has no writer. What the system lacks of these flags is not needed there.
_TO_READ = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


def _opened(path: Path) -> io.BufferedIOBase:
    """The file, in memory if it is small; either never gives more than it has.

    Each call of the system lets another thread have Python's lock, which a loader's thread then
    waits for: so there are three of them, open, read and close, or five for larger files.
    """
    try:
        file = os.open(path, _TO_READ)
    except OSError:
        require_content(path)  # it knows what is wrong, if it is the folder's entry
        raise
    try:
        content = os.read(file, FIRST)
        if 0 < len(content) < FIRST:  # there is no more
            return io.BytesIO(content)
        found = os.fstat(file)
        _require_bytes(path, found)
        if found.st_size <= SMALL:
            return io.BytesIO(content + os.read(file, found.st_size - len(content)))
    except OSError:  # a folder can be opened, but not read
        require_content(path)
        raise
    finally:
        os.close(file)
    return _File(path)


class _File(io.BufferedReader):
    """A file that is never asked for more than it has.

    A damaged header may promise any number of bytes, for all of which Python would take memory
    before it reads the first.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(io.FileIO(path))
        self._size = os.fstat(self.fileno()).st_size

    def read(self, size: int | None = -1, /) -> bytes:
        """At most `size` bytes, or all that are left."""
        if size is not None and size > 2**16:
            size = min(size, max(0, self._size - self.tell()))
        return super().read(size)


def _identify(file: Any) -> Any:
    from PIL import Image

    try:
        return Image.open(file, formats=COMMON)
    except Image.UnidentifiedImageError:
        Image.init()
        return Image.open(file, formats=[name for name in OTHERS if name in Image.OPEN])


def _jpeg(file: Any) -> Any:
    """A JPEG's image, without the search for the format, an eighth of its Python; else None."""
    from PIL.JpegImagePlugin import JpegImageFile

    start = file.read(3)
    file.seek(0)
    if start != b"\xff\xd8\xff":
        return None
    try:
        return JpegImageFile(file)
    except Exception:  # `_identify` will say what is wrong with it
        file.seek(0)
        return None


def _decode(file: Any, path: Path) -> Any:
    from PIL import Image

    image = _jpeg(file) or _identify(file)
    limit, (width, height) = Image.MAX_IMAGE_PIXELS, image.size
    if limit is not None and width * height > limit:
        raise _too_many(path, f"{width}×{height} = {width * height:,}")
    image.load()
    return _upright(image)


def _upright(image: Any) -> Any:
    from PIL import Image

    turn = Image.Transpose
    # After load(): for TIFF that has turned the pixels already, and then removed the tag.
    method = {
        2: turn.FLIP_LEFT_RIGHT, 3: turn.ROTATE_180, 4: turn.FLIP_TOP_BOTTOM, 5: turn.TRANSPOSE,
        6: turn.ROTATE_270, 7: turn.TRANSVERSE, 8: turn.ROTATE_90,
    }.get(orientation(image))  # fmt: skip
    return image if method is None else image.transpose(method)


def orientation(image: Any) -> int:
    """EXIF's orientation, 1 to 8; 1 (upright) where there is none that can be read."""
    if image.format == "JPEG" and not _NOTES & image.info.keys():
        return 1
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # a picture with damaged notes is still a picture
        return 1


def _without_transparency(image: Any) -> Any:
    from PIL import Image

    by_colour = image.mode in ("1", "L", "P", "RGB") and "transparency" in image.info
    if not by_colour and image.mode[-1:] not in ("A", "a"):
        return image
    image = image.convert("RGBA")
    white = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(white, image).convert("RGB")


def _is_deep(image: Any) -> bool:
    """Whether a pixel is one number of more than 8 bits, which Pillow would clip at 255."""
    return image.mode.startswith(("I", "F"))


def _unit_range(image: Any) -> np.ndarray:
    values = np.nan_to_num(np.asarray(image, dtype=np.float64), posinf=np.inf, neginf=0)
    finite = values[np.isfinite(values)]
    brightest = float(finite.max()) if finite.size else 0.0
    top = 65535.0 if image.mode.startswith("I") else max(brightest, 1.0)
    return np.clip(values / top, 0, 1)


def _as_rgb(image: Any) -> Any:
    from PIL import Image

    if _is_deep(image):
        image = Image.fromarray(np.round(255 * _unit_range(image)).astype(np.uint8))
    return image.convert("RGB")


# ---------------------------------------------------------------------------------------- errors


def _refusal(path: Path, error: Exception) -> Exception:
    """What `error`, met while reading the file, means to whoever owns it."""
    from PIL import Image

    if isinstance(error, OSError) and error.errno is not None:  # the system's, not Pillow's
        return _unreadable(path, error)
    if isinstance(error, Image.UnidentifiedImageError):
        return DataError(
            f"{path} is not an image that can be read. Use PNG, JPEG or another common format."
        )
    why = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning):
        pixels = [int(number) for number in re.findall(r"\d+", why)] or [0]
        return _too_many(path, f"{pixels[0]:,}")
    return DataError(f"{path}: damaged image ({why}). Fetch or save it again.")


def _too_many(path: Path, pixels: str) -> DataError:
    from PIL import Image

    return DataError(
        f"{path}: too many pixels, {pixels} > {Image.MAX_IMAGE_PIXELS:,}. "
        "Scale it down, or raise PIL.Image.MAX_IMAGE_PIXELS."
    )


def _unreadable(path: Path, error: OSError) -> Exception:
    if is_shortage(error):
        return error
    if isinstance(error, FileNotFoundError):
        if os.path.islink(path):
            return DataError(
                f"{path} is a link to {os.readlink(path)}, which is not there. Mend or remove it."
            )
        return DataError(f"{path}: no such file. Check the path.")
    if isinstance(error, PermissionError):
        return DataError(f"{path}: permission denied. Make the file readable.")
    why = (error.strerror or str(error)).lower()
    return DataError(f"{path}: cannot be read ({why}). Check the path and the disk.")
