"""IDX files: every type and rank, every header that lies, and MNIST's four files."""

from __future__ import annotations

import gzip
import struct
import tracemalloc

import numpy as np
import pytest

from minicnn import data, datasets
from minicnn import transforms as T
from minicnn.errors import DataError

TYPES = {"u1": 8, "i1": 9, ">i2": 11, ">i4": 12, ">f4": 13, ">f8": 14}


def idx(values, stored="u1"):
    """The file's content, by the format's description."""
    values = np.asarray(values)
    head = bytes([0, 0, TYPES[stored], values.ndim]) + struct.pack(
        f">{values.ndim}I", *values.shape
    )
    return head + values.astype(stored).tobytes()


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("stored", TYPES)
@pytest.mark.parametrize("shape", [(3,), (2, 3), (2, 3, 4), (1, 2, 1, 3), (0,), (2, 0, 3)])
def test_every_type_and_shape(tmp_path, shape, stored, zipped):
    values = np.random.default_rng(0).integers(-100, 100, shape)
    if stored == "u1":
        values += 100
    if stored.startswith(">f"):
        values = values / 8
    content = idx(values, stored)
    path = tmp_path / "file"  # its name does not matter
    path.write_bytes(gzip.compress(content) if zipped else content)
    got = datasets.read_idx(path)
    assert got.dtype == np.dtype(stored).newbyteorder("=")
    assert got.dtype.isnative
    assert got.flags.writeable
    np.testing.assert_array_equal(got, values)


WHOLE = idx(np.arange(60).reshape(3, 4, 5))


def damaged(position, *new):
    content = bytearray(WHOLE)
    content[position : position + len(new)] = new
    return bytes(content)


BAD = {
    "nothing": (b"", "no IDX file: it begins with nothing"),
    "three bytes": (WHOLE[:3], "no IDX file"),
    "text": (b"hello, this is a text", "begins with 68 65 6c 6c"),
    "no zeros in front": (damaged(1, 1), "no IDX file"),
    "unknown type": (damaged(2, 10), "no IDX file"),
    "no axes": (damaged(3, 0), "0 axes, expected 1 to 32"),
    "too many axes": (damaged(3, 255), "255 axes"),
    "one axis more": (damaged(3, 4), "promises 3 · 4 · 5 · 66051 · 1"),
    "one axis fewer": (damaged(3, 2), "promises 3 · 4 · 1 = 12 bytes, but there are 64"),
    "ends in the header": (WHOLE[:10], "ends within its header"),
    "one byte short": (WHOLE[:-1], "3 · 4 · 5 · 1 = 60 bytes, but there are 59"),
    "one byte long": (WHOLE + b"x", "= 60 bytes, but there are 61"),
    "a wider type": (damaged(2, 14), "3 · 4 · 5 · 8 = 480 bytes"),
    "a huge axis": (damaged(4, 255, 255, 255, 255), "4294967295 · 4 · 5"),
    "a product that wraps": (damaged(4, *[128, 0, 0, 0] * 3), "2147483648 · 2147483648"),
}


@pytest.mark.parametrize("case", BAD)
@pytest.mark.parametrize("zipped", [False, True])
def test_headers_that_lie(tmp_path, case, zipped):
    content, message = BAD[case]
    path = tmp_path / "bad-idx3-ubyte"
    path.write_bytes(gzip.compress(content) if zipped else content)
    tracemalloc.start()
    with pytest.raises(DataError) as error:
        datasets.read_idx(path)
    assert tracemalloc.get_traced_memory()[1] < 1_000_000
    tracemalloc.stop()
    text = str(error.value)
    if zipped:
        message = message.split(", but there are")[0]
    assert message in text
    assert str(path) in text
    assert "\n" not in text


def test_a_small_file_that_inflates_without_end_takes_no_memory(tmp_path):
    """The header promises what is there, but more than DEFLATE can have packed into the file."""
    head = bytes([0, 0, 8, 1]) + struct.pack(">I", 50_000_000)
    path = tmp_path / "bomb.gz"
    path.write_bytes(gzip.compress(head + bytes(50_000_000)))
    assert datasets.read_idx(path).shape == (50_000_000,)  # it is all there
    path.write_bytes(gzip.compress(head + bytes(1_000_000)))
    tracemalloc.start()
    with pytest.raises(DataError, match="50000000 · 1 = 50,000,000 bytes"):
        datasets.read_idx(path)
    assert tracemalloc.get_traced_memory()[1] < 1_000_000
    tracemalloc.stop()


@pytest.mark.parametrize("kept", [2, 11, 30, -4])
def test_a_gzip_file_cut_short(tmp_path, kept):
    noise = np.random.default_rng(0).integers(0, 256, (10, 20))
    path = tmp_path / "cut.gz"
    path.write_bytes(gzip.compress(idx(noise))[:kept])
    with pytest.raises(DataError, match=r"cut\.gz"):
        datasets.read_idx(path)


def test_a_gzip_file_with_a_wrong_byte(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (10, 20))
    content = bytearray(gzip.compress(idx(noise)))
    content[-6] ^= 1  # of the checksum
    (tmp_path / "hit.gz").write_bytes(content)
    with pytest.raises(DataError, match="CRC"):
        datasets.read_idx(tmp_path / "hit.gz")


def test_files_that_are_not_there(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        datasets.read_idx(tmp_path / "none")
    with pytest.raises(DataError, match="cannot be read"):
        datasets.read_idx(tmp_path)


# ------------------------------------------------------------------------------------ IDX, MNIST

IMAGES = np.random.default_rng(1).integers(0, 256, (12, 28, 28), np.uint8)
LABELS = np.arange(12) % 10


def digits(root, zipped=True, dotted=False):
    """MNIST's four files, with twelve and five digits."""
    root.mkdir(parents=True, exist_ok=True)
    for part, n in (("train", 12), ("t10k", 5)):
        for kind, content in (("images-idx3", IMAGES[:n]), ("labels-idx1", LABELS[:n])):
            name = f"{part}-{kind}-ubyte"
            if dotted:
                name = name.replace("-idx", ".idx")
            raw = idx(content)
            path = root / (name + ".gz" * zipped)
            path.write_bytes(gzip.compress(raw) if zipped else raw)
    return root


@pytest.mark.parametrize("where", [".", "raw", "MNIST/raw"])
@pytest.mark.parametrize("more", [{}, {"zipped": False}, {"zipped": False, "dotted": True}])
def test_mnist_from_local_files(tmp_path, where, more):
    digits(tmp_path / where, **more)
    train, test = datasets.MNIST(tmp_path), datasets.MNIST(str(tmp_path), train=False)
    assert (len(train), len(test)) == (12, 5)
    np.testing.assert_array_equal(train.data.numpy(), IMAGES)
    np.testing.assert_array_equal(train.targets.numpy(), LABELS)
    assert train.classes[3] == "3 - three"
    assert train.class_to_idx["9 - nine"] == 9
    assert repr(test) == "MNIST(5 images of 28x28, 10 classes)"


def test_samples_and_batches(tmp_path):
    digits(tmp_path)
    plain = datasets.MNIST(tmp_path, download=True)
    image, label = plain[7]
    assert (image.shape, str(image.dtype), label, type(label)) == ((1, 28, 28), "float32", 7, int)
    np.testing.assert_array_equal(image.numpy(), IMAGES[7:8] / np.float32(255))
    seen = datasets.MNIST(tmp_path, transform=lambda picture: picture, target_transform=str)[7]
    assert (seen[0].mode, seen[0].size, seen[1]) == ("L", (28, 28), "7")
    turned = datasets.MNIST(tmp_path, transform=T.ToTensor())
    for a, b in zip(data.DataLoader(plain, 5), data.DataLoader(turned, 5), strict=True):
        np.testing.assert_array_equal(a[0].numpy(), b[0].numpy())
        np.testing.assert_array_equal(a[1].numpy(), b[1].numpy())
    images, labels = plain.as_tensors()
    assert (images.shape, labels.shape) == ((12, 1, 28, 28), (12,))


def test_missing_files_are_named_with_where_to_put_them(tmp_path):
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte nor .*\.gz is in it.* Put MNIST"):
        datasets.MNIST(tmp_path)
    digits(tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(DataError, match="t10k-labels-idx1-ubyte"):
        datasets.MNIST(tmp_path, train=False, download=True)


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (idx(IMAGES), idx(LABELS[:11]), "labels: expected 12 integers, .* found uint8 \\(11,\\)"),
        (idx(IMAGES), idx(IMAGES), "labels: expected 12 integers"),
        (idx(IMAGES), idx(LABELS, ">f4"), "found float32"),
        (idx(LABELS), idx(LABELS), "images: expected pictures uint8"),
        (idx(IMAGES, ">i4"), idx(LABELS), "found int32"),
        (idx(IMAGES[:0]), idx(LABELS[:0]), r"found uint8 \(0, 28, 28\)"),
        (idx(IMAGES), idx(LABELS - 1, ">i4"), "labels reach from -1 to 8"),
        (idx(IMAGES), idx(LABELS + 2**30, ">i4"), "labels reach from 1073741824"),
    ],
)
def test_files_that_do_not_fit_each_other(tmp_path, images, labels, message):
    (tmp_path / "images").write_bytes(images)
    (tmp_path / "labels").write_bytes(labels)
    with pytest.raises(DataError, match=message):
        datasets.IDX(tmp_path / "images", tmp_path / "labels")


def test_idx_names_its_classes(tmp_path):
    (tmp_path / "images").write_bytes(idx(IMAGES[:3, :5]))
    (tmp_path / "labels").write_bytes(idx([0, 2, 1]))
    paths = tmp_path / "images", tmp_path / "labels"
    assert datasets.IDX(*paths).classes == ["0", "1", "2"]
    named = datasets.IDX(*paths, classes=["a", "b", "c", "d"])
    assert named.class_to_idx == {"a": 0, "b": 1, "c": 2, "d": 3}
    assert named[1][0].shape == (1, 5, 28)
    with pytest.raises(DataError, match="labels reach from 0 to 2, expected 0 to at most 1"):
        datasets.IDX(*paths, classes=["a", "b"])
