"""The IDX format, in which MNIST and its relatives come.

    0, 0, type, rank | rank sizes, uint32 | the numbers, row by row        all big-endian

Source: "The MNIST database of handwritten digits" (LeCun, Cortes, Burges), section "file formats".
"""

from __future__ import annotations

import gzip
import math
import os
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minicnn.datasets.arrays import ImageArrays
from minicnn.errors import DataError

Path = str | os.PathLike[str]

TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
MOST_AXES = 32
# DEFLATE's best: 258 bytes from a quarter of a byte (Deutsch 1996, RFC 1951, section 3.2.5).
MOST_INFLATED = 1032

AGAIN = "Fetch it again."


def read_idx(path: Path) -> np.ndarray:
    """The array in an IDX file, gzipped or not, in this machine's byte order.

    Every number in the header is held against the file's size before memory is taken for it.
    Raises DataError, naming the file, if it is missing, no IDX file, too short or too long.
    """
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            zipped = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            if not zipped:
                return _read(file, path, size, zipped)
            with gzip.GzipFile(fileobj=file) as inside:
                return _read(inside, path, size, zipped)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file. Check the path.") from None
    except (OSError, EOFError, zlib.error) as error:
        why = " ".join(str(error).split())
        raise DataError(f"{path}: cannot be read ({why}). {AGAIN}") from error


def _read(stream: Any, path: Path, size: int, zipped: bool) -> np.ndarray:
    """Read from a stream; `size` is the file's, in bytes."""
    head = stream.read(4)
    if len(head) < 4 or head[:2] != b"\0\0" or head[2] not in TYPES:
        raise DataError(
            f"{path} is no IDX file: it begins with {head.hex(' ') or 'nothing'}, not with 00 00 "
            "and a type from 08 to 0e. Name a file such as train-images-idx3-ubyte.gz."
        )
    dtype, rank = np.dtype(TYPES[head[2]]), head[3]
    if not 1 <= rank <= MOST_AXES:
        raise DataError(f"{path}: {rank} axes, expected 1 to {MOST_AXES}. {AGAIN}")
    sizes = stream.read(4 * rank)
    if len(sizes) < 4 * rank:
        raise DataError(f"{path} ends within its header. {AGAIN}")
    shape = tuple(np.frombuffer(sizes, ">u4").tolist())
    wanted, there = math.prod(shape) * dtype.itemsize, size - 4 - 4 * rank
    if not zipped and there != wanted:
        raise _length(path, shape, dtype, wanted, f"{there:,}")
    if zipped and wanted > MOST_INFLATED * size:
        raise _length(path, shape, dtype, wanted, f"at most {MOST_INFLATED * size:,}")
    content = stream.read(wanted + 1)  # the end of a gzip stream is where its checksum is tested
    if len(content) != wanted:
        more = "more" if len(content) > wanted else f"{len(content):,}"
        raise _length(path, shape, dtype, wanted, more)
    return np.frombuffer(content, dtype).reshape(shape).astype(dtype.newbyteorder("="))


def _length(path: Path, shape: Any, dtype: np.dtype, wanted: int, there: str) -> DataError:
    product = " · ".join(map(str, (*shape, dtype.itemsize)))
    return DataError(
        f"{path}: the header promises {product} = {wanted:,} bytes, but there are {there}. {AGAIN}"
    )


class IDX(ImageArrays):
    """Grey pictures and their labels from two IDX files. Samples are as of `ImageArrays`.

    Args:
        images, labels: paths; uint8 (N, H, W) and integers (N,), from 0 on.
        transform, target_transform: functions of the PIL image and of the label.
        classes: the labels' names; by default their digits.

    Raises DataError, naming the file, if it is damaged or the two do not fit each other.
    """

    def __init__(
        self,
        images: Path,
        labels: Path,
        transform: Callable[[Any], Any] | None = None,
        target_transform: Callable[[int], Any] | None = None,
        classes: Sequence[str] | None = None,
    ) -> None:
        pixels, numbers = read_idx(images), read_idx(labels)
        if pixels.dtype != np.uint8 or pixels.ndim != 3 or not pixels.size:
            raise DataError(
                f"{images}: expected pictures uint8 (N, H, W), found {pixels.dtype} "
                f"{pixels.shape}. Name the file with images, usually ...-images-idx3-ubyte."
            )
        if numbers.dtype.kind not in "iu" or numbers.shape != pixels.shape[:1]:
            raise DataError(
                f"{labels}: expected {len(pixels)} integers, a label for each picture, found "
                f"{numbers.dtype} {numbers.shape}. Take labels and images of the same set."
            )
        low, high = int(numbers.min()), int(numbers.max())
        most = max(256, len(pixels)) if classes is None else len(classes)
        if low < 0 or high >= most:
            raise DataError(
                f"{labels}: labels reach from {low} to {high}, expected 0 to at most {most - 1}. "
                "Name all classes in the argument classes."
            )
        names = [str(k) for k in range(high + 1)] if classes is None else classes
        super().__init__(pixels, numbers, names, transform, target_transform)

    def __repr__(self) -> str:
        H, W = self.data.shape[1:]
        return f"{type(self).__name__}({len(self)} images of {H}x{W}, {len(self.classes)} classes)"


class MNIST(IDX):
    """Handwritten digits, 28×28: 60,000 to learn from and 10,000 for the test, from local files.

    Args:
        root: the folder with the four files, gzipped or not; or one in which they lie as
            torchvision puts them, in `MNIST/raw`.
        train: the 60,000, or else the 10,000.
        transform, target_transform: functions of the PIL image and of the label.
        download: accepted for PyTorch's sake; the files must be there.

    Source: LeCun, Bottou, Bengio, Haffner, "Gradient-based learning applied to document
    recognition" (1998). Raises DataError if a file is missing or damaged.
    """

    def __init__(
        self,
        root: Path,
        train: bool = True,
        transform: Callable[[Any], Any] | None = None,
        target_transform: Callable[[int], Any] | None = None,
        download: bool = False,
    ) -> None:
        self.root, self.train = os.path.expanduser(root), train
        part = "train" if train else "t10k"
        images = _find(self.root, f"{part}-images-idx3-ubyte")
        labels = _find(self.root, f"{part}-labels-idx1-ubyte")
        names = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
        classes = [f"{digit} - {name}" for digit, name in enumerate(names)]
        super().__init__(images, labels, transform, target_transform, classes)


def _find(root: str, name: str) -> str:
    for folder in (root, os.path.join(root, "raw"), os.path.join(root, "MNIST", "raw")):
        for spelling in (name, name.replace("-idx", ".idx")):
            for ending in ("", ".gz"):
                path = os.path.join(folder, spelling + ending)
                if os.path.isfile(path):
                    return path
    raise DataError(
        f"{root}: neither {name} nor {name}.gz is in it, in raw or in MNIST/raw. "
        "Put MNIST's four files there."
    )
