"""Torch files whose numbers are not where they say: tensors, storages, archives, older files."""

from __future__ import annotations

import pickle
import struct
import zipfile
from io import BytesIO

import helpers_pickles as raw
import numpy as np
import pytest
from helpers_fuzz import outcome
from test_hostile_pickles import CALLS, nest

from minicnn import io
from minicnn.errors import CheckpointError
from minicnn.io import torchfile

# --------------------------------------------------------------------------- tensors and storages


def parts(**change: object) -> bytes:
    """A tensor with some of its parts replaced."""
    wanted = {
        "offset": 0,
        "shape": (2, 3),
        "strides": (3, 1),
        "grad": False,
        "hooks": None,
    } | change
    at = wanted.pop("at", None)
    return raw.tensor(at, *wanted.values())  # type: ignore[arg-type]


HUGE = 2**47
TENSORS: dict[str, tuple[bytes, str]] = {
    "too long": (parts(shape=(7,), strides=(1,)), "needs a storage of 7 numbers, its own has 6"),
    "beyond the end": (parts(offset=1), "offset 1 needs a storage of 7 numbers"),
    "far beyond the end": (parts(offset=HUGE), "needs a storage of 140,737,488,355,334 numbers"),
    "wide strides": (parts(strides=(HUGE, HUGE)), "numbers, its own has 6"),
    "huge": (parts(shape=(HUGE, HUGE), strides=(HUGE, 1)), "numbers, its own has 6"),
    "past 64 bits": (parts(shape=(2**62,), strides=(4,)), "no number from 0 on"),
    "past all bits": (parts(shape=(2**2000,), strides=(1,)), "no number from 0 on"),
    "below 0": (parts(shape=(-1,), strides=(1,)), "no number from 0 on"),
    "backwards": (parts(offset=5, shape=(6,), strides=(-1,)), "no number from 0 on"),
    "offset below 0": (parts(offset=-1), "no number from 0 on"),
    "a truth value": (parts(shape=(True,), strides=(1,)), "no number from 0 on"),
    "a float": (parts(shape=(2.0,), strides=(1,)), "no number from 0 on"),
    "a text": (parts(shape="ab", strides=(1, 1)), "no tuple of at most 64"),
    "no strides": (parts(strides=None), "no tuple of at most 64"),
    "few strides": (parts(strides=(1,)), "the shape (2, 3) and strides (1,)"),
    "65 dimensions": (parts(shape=(1,) * 65, strides=(1,) * 65), "no tuple of at most 64"),
    "one number, 64 GiB": (parts(shape=(2**34,), strides=(0,)), "bytes in memory, 64 MiB + 16"),
    "one number, often": (
        b"(" + parts(shape=(2**22,), strides=(0,)) * 5 + b"t", "bytes in memory, 64 MiB + 16"),
    "empty but huge": (parts(shape=(0, HUGE, HUGE), strides=(1, 1, 1)), "an empty tensor in it"),
    "no storage": (parts(at=b"N"), "has no storage"),
    "a tensor for a storage": (parts(at=raw.tensor()), "has no storage"),
    "a storage class for a storage": (parts(at=raw.name(raw.FLOATS)), "has no storage"),
    "gradient of a text": (parts(grad="yes"), "asks for a gradient"),
    "gradient of integers": (
        parts(at=raw.storage("0", 3, "torch LongStorage"), shape=(3,), strides=(1,), grad=True),
        "of int64 asks for a gradient",
    ),
    "conjugated": (parts(more={"conj": True}), "is stored conjugated"),
    "a parameter of nothing": (
        raw.call("torch._utils _rebuild_parameter", None, True, None), "a parameter in it has no"),
    "a parameter's odd state": (
        raw.name("torch.nn.parameter Parameter") + b")\x81(NNtb", "attributes of a Parameter"),
    "a parameter's number": (
        raw.name("torch.nn.parameter Parameter") + b")\x81(NNNNNtb", "a parameter in it has no"),
    "storage too long": (raw.tensor(raw.storage("0", 7)), "has 24 bytes, not 28"),
    "storage too short": (raw.tensor(raw.storage("0", 5)), "has 24 bytes, not 20"),
    "storage of other type": (raw.tensor(raw.storage("0", 6, "torch LongStorage")), "not 48"),
    "storage twice": (
        b"(" + raw.tensor() + raw.storage("0", 3, "torch LongStorage") + b"t",
        "has two types or sizes"),
    "storage below 0": (raw.tensor(raw.storage("0", -6)), "no number from 0 on"),
    "storage of a truth value": (raw.tensor(raw.storage("0", True)), "no number from 0 on"),
    "storage missing": (raw.tensor(raw.storage("1")), "has no record data/1"),
    "storage up the path": (raw.tensor(raw.storage("../data.pkl")), "has no number"),
    "storage at the root": (raw.tensor(raw.storage("/etc/passwd")), "has no number"),
    "storage of odd digits": (raw.tensor(raw.storage("٠")), "has no number"),
    "storage of a number": (raw.tensor(raw.storage(0)), "without type or name"),
    "storage of no type": (raw.value(("storage", "FloatStorage", "0", "cpu", 6)) + b"Q", "without"),
    "part of a storage": (
        raw.tensor(raw.storage("0", 6, raw.FLOATS, ("v", 0, 6))), "has no number"),
    "a module": (raw.value(("module", None, None, None)) + b"Q", "something that is no storage"),
    "a text as persistent id": (raw.value("storage") + b"Q", "something that is no storage"),
}  # fmt: skip


@pytest.mark.parametrize("name", TENSORS)
def test_tensors_stay_within_their_storages(name, tmp_path):
    body, words = TENSORS[name]
    assert words in outcome(torchfile.load_torch, tmp_path / "x.pth", raw.zipped(body))


def test_truth_values_are_0_or_1_whatever_the_bytes(tmp_path):
    (tmp_path / "x.pth").write_bytes(
        raw.zipped(parts(at=raw.storage("0", 6, "torch BoolStorage")), {"0": b"\0\1\2\xff\0\7"})
    )
    found = torchfile.load_torch(tmp_path / "x.pth").array
    assert found.view(np.uint8).tolist() == [[0, 1, 1], [1, 0, 1]]


# ---------------------------------------------------------------------------------- zip archives


def archive(records: list[tuple[str, bytes]], compression: int = zipfile.ZIP_STORED) -> bytes:
    file = BytesIO()
    with zipfile.ZipFile(file, "w", compression) as out:
        for name, data in records:
            out.writestr(name, data)
    return file.getvalue()


def changed(data: bytes, old: bytes, new: bytes, count: int = -1) -> bytes:
    assert old in data
    return data.replace(old, new, count)


SOUND = raw.zipped(raw.tensor())
NONE = b"\x80\2N."
CENTRAL = SOUND.index(b"PK\1\2")
FLAG = CENTRAL + 8


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_archives_that_are_not_what_they_say(tmp_path):
    bomb = archive([("a/data.pkl", NONE), ("a/data/0", bytes(2**26 + 2**22))], zipfile.ZIP_DEFLATED)
    encrypted = SOUND[:FLAG] + b"\1" + SOUND[FLAG + 1 :]
    end = SOUND.index(b"PK\5\6")
    (offset,) = struct.unpack("<I", SOUND[end + 16 : end + 20])
    entry = SOUND[CENTRAL : CENTRAL + 46 + len("a/data.pkl")]
    # the same record under a thousand names: a small file that would be large in memory
    many = b"".join(entry[:46] + b"a/data%04d" % i for i in range(1000))
    overlap = SOUND[:CENTRAL] + many + entry + struct.pack(
        "<4s4H2IH", b"PK\5\6", 0, 0, 1001, 1001, len(many + entry), offset, 0)  # fmt: skip
    cases = {
        "bomb": (bomb, "bytes in memory, 64 MiB + 16"),
        "encrypted": (encrypted, "'a/data.pkl' is encrypted or packed"),
        "overlapping": (overlap, "records overlap, or two have one name|zip archive"),
        "one name twice": (
            archive([("a/data.pkl", NONE), ("a/data.pkl", NONE)]), "two have one name"),
        "two pickles": (
            archive([("a/data.pkl", NONE), ("b/data.pkl", NONE)]), "with 2 data.pkl"),
        "no folder": (archive([("data.pkl", NONE)]), "with 0 data.pkl"),
        "no dot": (archive([("a/data_pkl", NONE)]), "with 0 data.pkl"),
        "deep folder": (archive([("a/b/data.pkl", NONE)]), "with 0 data.pkl"),
        "wrong checksum": (
            changed(SOUND, b"FloatStorage", b"FloetStorage"), "Bad CRC-32"),
        "wrong checksum of a storage": (
            raw.zipped(raw.tensor(), {"0": b"A" * 24}).replace(b"A" * 24, b"A" * 23 + b"B"),
            "Bad CRC-32 for file 'a/data/0'"),
        "record beyond the end": (
            changed(SOUND, struct.pack("<I", offset), struct.pack("<I", 2**31)), "zip archive"),
        "empty archive": (archive([]), "with 0 data.pkl"),
    }  # fmt: skip
    for name, (content, words) in cases.items():
        said = outcome(torchfile.load_torch, tmp_path / "x.pth", content)
        assert any(word in said for word in words.split("|")), (name, said)


def test_sizes_that_the_directory_lies_about(tmp_path):
    """Each size field of each record, in the directory and at the record, made a little wrong."""
    refused = 0
    for signature, places in ((b"PK\1\2", (20, 24)), (b"PK\3\4", (18, 22))):
        at = SOUND.find(signature)
        while at >= 0:
            for place, wrong in ((p, w) for p in places for w in (-1, 1, 2**31, 2**32 - 1)):
                (right,) = struct.unpack("<I", SOUND[at + place : at + place + 4])
                number = struct.pack("<I", (right + wrong) % 2**32)
                data = SOUND[: at + place] + number + SOUND[at + place + 4 :]
                refused += outcome(torchfile.load_torch, tmp_path / "x.pth", data) != ""
            at = SOUND.find(signature, at + 1)
    assert refused >= 2 * 4 * 2  # the directory's, of the pickle and the storage


# -------------------------------------------------------------------------------- the older format


def old(body: bytes | None = None, keys: object = ("0",), tail: bytes | None = None) -> bytes:
    """A legacy file with another list of storages behind it, or other bytes for them."""
    body = raw.tensor(raw.storage("0", 6, raw.FLOATS, None)) if body is None else body
    names = keys if isinstance(keys, bytes) else pickle.dumps([*keys], 2)  # type: ignore[misc]
    numbers = struct.pack("<q", 6) + bytes(24) if tail is None else tail
    return raw.MAGIC + raw.START + body + raw.STOP + names + numbers


def part(*view: object) -> bytes:
    return raw.tensor(raw.storage("0", 6, raw.FLOATS, view), 0, (1,), (1,))


OLD: dict[str, tuple[bytes, str]] = {
    "no names": (old(keys=()), "other storages than it has"),
    "another name": (old(keys=("1",)), "other storages than it has"),
    "a name twice": (old(keys=("0", "0")), "other storages than it has"),
    "a name too many": (old(keys=("0", "1")), "other storages than it has"),
    "names in a dict": (old(keys=pickle.dumps({"0": 1}, 2)), "other storages than it has"),
    "a number for a name": (old(keys=(0,)), "other storages than it has"),
    "a deep name": (old(keys=b"\x80\2" + nest(b"](", b"e", 20_000) + b"."), "other storages"),
    "names by a call": (old(keys=b"\x80\2" + CALLS["os.system"] + b"."), "where only numbers"),
    "a header by a call": (b"\x80\2" + CALLS["os.system"] + b".", "where only numbers belong"),
    "few numbers": (old(tail=struct.pack("<q", 5) + bytes(24)), "has 5 numbers, not as many"),
    "many numbers": (old(tail=struct.pack("<q", 2**62) + bytes(24)), "numbers, not as many"),
    "fewer than none": (old(tail=struct.pack("<q", -1) + bytes(24)), "numbers, not as many"),
    "cut off": (old(tail=struct.pack("<q", 6) + bytes(23)), "ends where 24 more bytes"),
    "huge storage": (
        old(raw.tensor(raw.storage("0", HUGE, raw.FLOATS, None))), "would be longer than the file"),
    "many storages": (
        old(b"(" + b"".join(raw.tensor(raw.storage(str(i), 6, raw.FLOATS, None))
                            for i in range(9)) + b"t"), "other storages than it has|longer"),
    "part past the end": (old(part("v", 3, 4)), "3+4, goes beyond its end"),
    "part before the start": (old(part("v", -1, 4)), "has no offset or length"),
    "part of odd numbers": (old(part("v", 1.0, 2)), "has no offset or length"),
    "part of a part": (old(part("v", 1)), "has no offset or length"),
}  # fmt: skip


@pytest.mark.parametrize("name", OLD)
def test_older_files_are_held_to_their_size(name, tmp_path):
    content, words = OLD[name]
    said = outcome(torchfile.load_torch, tmp_path / "x.pth", content)
    assert any(word in said for word in words.split("|")), said


def test_every_truncation(tmp_path):
    sound = {
        "zip": raw.zipped(raw.tensor()),
        "packed": raw.zipped(raw.tensor(), compression=zipfile.ZIP_DEFLATED),
        "older": old(),
    }
    path = tmp_path / "x.pth"
    for content in sound.values():
        path.write_bytes(content)
        assert torchfile.load_torch(path).shape == (2, 3)
        for length in range(len(content)):
            path.write_bytes(content[:length])
            read = torchfile.load_torch if length % 8 else io.load_weights
            with pytest.raises(CheckpointError, match=r"x\.pth: [^\n]*$"):
                read(path)
