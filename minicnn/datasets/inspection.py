"""Every picture of a folder opened and decoded: what is there, what is damaged, what is odd."""

from __future__ import annotations

import hashlib
import os
import re
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from statistics import median_low
from typing import Any

from minicnn.datasets.folder import IMG_EXTENSIONS
from minicnn.datasets.listing import files_in, files_under, folders_in
from minicnn.errors import DataError
from minicnn.io.image import load_rgb, open_header, orientation, require_content

ENDINGS = {
    "JPEG": (".jpg", ".jpeg"), "MPO": (".jpg", ".jpeg"), "PNG": (".png",), "BMP": (".bmp",),
    "DIB": (".bmp",), "PPM": (".ppm", ".pgm"), "TIFF": (".tif", ".tiff"), "WEBP": (".webp",),
}  # fmt: skip
IN_ANOTHER_CLASS = "the same file in another class"
LARGEST_READ = 64 * 2**20  # bytes; a larger file is decoded, but not searched or compared


@dataclass(frozen=True)
class Picture:
    """What was found in one file.

    Attributes:
        name: its path from the folder on. group: its class, "" outside of them.
        problem: why it cannot be decoded; None where it can.
        remarks: what is odd about it, though it can be decoded.
        taken: whether ImageFolder takes it by its ending.
    """

    path: str
    name: str
    group: str
    taken: bool = True
    problem: str | None = None
    remarks: tuple[str, ...] = ()
    format: str | None = None
    mode: str | None = None
    size: tuple[int, int] | None = None  # width, height, before it is turned upright
    turned: bool = False
    digest: bytes | None = None


@dataclass
class Report:
    """What was found in a folder.

    Attributes:
        root: the folder. groups: its classes, those without pictures included.
        pictures: the files that ImageFolder takes. others: the rest.
    """

    root: str
    groups: list[str]
    pictures: list[Picture] = field(default_factory=list)
    others: list[Picture] = field(default_factory=list)

    @property
    def broken(self) -> list[Picture]:
        """What cannot be decoded."""
        return [picture for picture in self.pictures if picture.problem is not None]

    @property
    def sound(self) -> list[Picture]:
        """What can."""
        return [picture for picture in self.pictures if picture.problem is None]

    @property
    def odd(self) -> list[Picture]:
        """What can, but is worth a look."""
        return [picture for picture in self.sound if picture.remarks]

    def count(self, attribute: str) -> list[tuple[str, int]]:
        """How many sound pictures have each value of "format" or "mode", the most first."""
        found = Counter(getattr(picture, attribute) for picture in self.sound)
        return sorted(found.items(), key=lambda item: (-item[1], item[0]))

    def spread(self, axis: int) -> tuple[int, int, int]:
        """Smallest, (lower) median and largest width (axis 0) or height (1) of sound pictures."""
        sides = [picture.size[axis] for picture in self.sound if picture.size]
        return min(sides), median_low(sides), max(sides)


def inspect_folder(
    root: str | os.PathLike[str],
    workers: int = 1,
    on_start: Callable[[int], None] | None = None,
    on_picture: Callable[[Picture], None] | None = None,
) -> Report:
    """Decode every picture below `root`, with so many threads; nothing is changed.

    A class is a folder directly in `root`; or one below, where those in `root` hold only folders,
    as train/ and validation/ do. Pictures directly in `root` are of the class "".

    Args:
        on_start, on_picture: called with the number of files, and with each that is done, in order.

    Raises DataError for a folder that cannot be listed or has no files.
    """
    root = os.fspath(root)
    groups = _groups(root)
    paths = files_under(root)
    if not paths:
        raise DataError(f"{root}: no files in it. Name the folder with the pictures.")
    if on_start is not None:
        on_start(len(paths))
    report, first = Report(root, groups), dict[bytes, Picture]()
    chosen = sorted(groups, key=len, reverse=True)

    def inspected(path: str) -> Picture:
        name = os.path.relpath(path, root)
        group = next((g for g in chosen if name.startswith(os.path.join(g, ""))), "")
        return inspect(path, name, group)

    for picture in _in_threads(inspected, paths, workers):
        picture = _compared(picture, first)
        (report.pictures if picture.taken else report.others).append(picture)
        if on_picture is not None:
            on_picture(picture)
    return report


def _groups(root: str) -> list[str]:
    """The classes' folders, from the root on."""
    tops = folders_in(root)
    inner = {top: folders_in(os.path.join(root, top)) for top in tops}
    divided = tops and all(
        below and not any(map(_is_picture, files_in(os.path.join(root, top))))
        for top, below in inner.items()
    )
    if not divided:
        return tops
    return [os.path.join(top, name) for top, below in inner.items() for name in below]


def _is_picture(name: str) -> bool:
    return name.lower().endswith(IMG_EXTENSIONS)


def _in_threads(
    function: Callable[[str], Picture], paths: Iterable[str], workers: int
) -> Iterator[Picture]:
    """function(path) for all paths, in order; a bounded number of them ahead of the consumer."""
    ahead: deque[Future[Picture]] = deque()
    executor = ThreadPoolExecutor(workers, thread_name_prefix="minicnn-check")
    try:
        for path in paths:
            ahead.append(executor.submit(function, path))
            if len(ahead) >= 32 * workers:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
    finally:  # after Ctrl-C too: what has not begun never will
        executor.shutdown(wait=False, cancel_futures=True)


def _compared(picture: Picture, first: dict[bytes, Picture]) -> Picture:
    """The picture, with a remark if the same bytes were seen before."""
    if picture.digest is None or not picture.taken:
        return picture
    same = first.setdefault(picture.digest, picture)
    if same is picture:
        return picture
    where = "the same file again"
    if same.group != picture.group:
        one_class = os.path.basename(same.group) == os.path.basename(picture.group)
        where = "the same file in another part" if one_class else IN_ANOTHER_CLASS
    return replace(picture, remarks=(f"{where}: {same.name}", *picture.remarks))


# ------------------------------------------------------------------------------------- one file


def inspect(path: str, name: str, group: str) -> Picture:
    """What is in the file."""
    found = Picture(path, name, group, taken=_is_picture(name))
    if not found.taken:
        return replace(found, remarks=_by_content(path))
    try:
        image = load_rgb(path)
        with open_header(path) as header:
            frames = _frames(header)
            found = replace(
                found,
                format=header.format,
                mode=header.mode,
                size=header.size,
                turned=orientation(header) in range(2, 9),
            )
        content = _content(path)
    except DataError as error:
        return replace(found, problem=_reason(path, error))
    remarks = []
    if not name.lower().endswith(ENDINGS.get(found.format or "", ())):
        remarks.append(f"a {found.format}, though it ends in {os.path.splitext(name)[1]}")
    if frames > 1 and found.format != "MPO":
        remarks.append(f"{frames} frames, of which the first is used")
    if all(low == high for low, high in image.getextrema()):
        remarks.append("all pixels have the same colour")
    extra = 0 if content is None else bytes_after_the_end(content, found.format)
    if extra:
        remarks.append(f"{extra:,} bytes after the picture's end")
    digest = None if content is None else hashlib.blake2b(content, digest_size=16).digest()
    return replace(found, remarks=tuple(remarks), digest=digest)


def _by_content(path: str) -> tuple[str, ...]:
    """A remark, if a file is a picture that ImageFolder does not take for one."""
    try:
        require_content(path)
        with open_header(path) as header:
            return (f"a {header.format} that ImageFolder does not take by its ending",)
    except Exception:  # then it is no picture, as its name says
        return ()


def _frames(header: Any) -> int:
    try:
        return getattr(header, "n_frames", 1)
    except Exception:  # the first can be decoded, whatever comes after it
        return 1


def _content(path: str) -> bytes | None:
    with open(path, "rb") as file:
        return file.read() if os.fstat(file.fileno()).st_size <= LARGEST_READ else None


def _reason(path: str, error: DataError) -> str:
    """The error's words without the path in front and the remedy at the end."""
    return str(error).removeprefix(path).lstrip(": ").rsplit(". ", 1)[0]


def bytes_after_the_end(content: bytes, format: str | None) -> int:
    """How many bytes follow the end of a JPEG or PNG; 0 for others, or where no end is found."""
    find: dict[Any, Callable[[bytes], int | None]] = {"JPEG": _jpeg_end, "PNG": _png_end}
    end = find[format](content) if format in find else None
    return 0 if end is None else len(content) - end


_NEXT_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")


def _jpeg_end(content: bytes) -> int | None:
    """Where the marker "end of image" ends. Source: ITU-T T.81, annex B.

    Segments say how long they are (an EXIF one may hold another whole JPEG); what follows a "start
    of scan" does not, but there FF stands only before 00 or a restart marker.
    """
    place = 2
    while (found := _NEXT_MARKER.search(content, place)) is not None:
        marker, place = found[0][1], found.end()
        if marker == 0xD9:
            return place
        if marker != 0x01:
            place += int.from_bytes(content[place : place + 2], "big")
    return None


def _png_end(content: bytes) -> int | None:
    """Where the chunk IEND ends. Source: PNG specification, section 5."""
    place = 8
    while place + 12 <= len(content):
        kind = content[place + 4 : place + 8]
        place += 12 + int.from_bytes(content[place : place + 4], "big")
        if kind == b"IEND":
            return place
    return None
