"""Safetensors files and checkpoints that mean harm, and all hostile files where memory is short."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
import zipfile

import helpers_pickles as raw
import pytest
from helpers_fuzz import outcome
from test_hostile_pickles import CALLS, DEEP, MACHINE, nest
from test_hostile_torch_files import NONE, OLD, TENSORS, archive

from minicnn import io, models
from minicnn.io import tensorfile


def safe(header: bytes, tail: bytes = b"", length: int | None = None) -> bytes:
    return struct.pack("<Q", len(header) if length is None else length) + header + tail


def noted(text: str, key: str = "minicnn") -> bytes:
    """A safetensors file without tensors, and a text of ours in its header."""
    return safe(json.dumps({"__metadata__": {key: text}}).encode())


def run_of(**change: object) -> bytes:
    """A checkpoint of nothing, with some of its header replaced."""
    parts = {"kind": "checkpoint", "format": 1, "epoch": 0, "model": None, "optimizer": None,
             "rng": None, "history": {}, "loaders": {}, "callbacks": {}, "config": {}}  # fmt: skip
    return noted(json.dumps(parts | change))


def weight(
    dtype: str = "F32", shape: object = (2,), offsets: object = (0, 8), **more: object
) -> bytes:
    fields = {"dtype": dtype, "shape": shape, "data_offsets": offsets} | more
    return safe(json.dumps({"w": fields}).encode(), bytes(8))


DEEP_JSON = "[" * DEEP + "]" * DEEP
NESTED = "[" * 900 + "]" * 900
SAFE = {
    "length past the end": safe(b"{}", length=2**40),
    "length past all": safe(b"{}", length=2**64 - 1),
    "length of nothing": safe(b"{}", length=0),
    "not JSON": safe(b"{nothing"),
    "not UTF-8": safe(b'{"\xff\xfe": 1}'),
    "deep JSON": safe(b'{"a":' + DEEP_JSON.encode() + b"}"),
    "deep metadata": safe(b'{"__metadata__":' + DEEP_JSON.encode() + b"}"),
    "numbers as metadata": safe(b'{"__metadata__":{"a":1}}'),
    "no offsets": safe(b'{"w":{"dtype":"F32","shape":[2]}}', bytes(8)),
    "odd dtype": weight("F33"),
    "dtype that NumPy lacks": weight("BF16", (4,)),
    "four bits": weight("F4", (16,)),
    "complex": weight("C64", (1,)),
    "huge shape": weight(shape=(2**62, 2**62)),
    "shape past 64 bits": weight(shape=(2**70,)),
    "shape below 0": weight(shape=(-2,)),
    "many dimensions": weight(shape=(1,) * 100 + (2,)),
    "empty and huge": weight(shape=(0, 2**40, 2**40), offsets=(0, 0)),
    "offsets the wrong way": weight(offsets=(8, 0)),
    "offsets past the end": weight(offsets=(0, 2**40)),
    "offsets past 64 bits": weight(offsets=(0, 2**70)),
    "a gap": weight(shape=(1,), offsets=(4, 8)),
    "a checksum of words": noted("x", "crc32"),
    "our header is deep": noted(DEEP_JSON),
    "our header is nested": noted(NESTED),
    "our header is a list": noted("[]"),
    "our header is a long number": noted("9" * 10_000),
    "format of words": run_of(format="new"),
    "format of nothing": run_of(format=None),
    "format to come": run_of(format=1e9),
    "nested history": noted(json.dumps({"kind": "checkpoint", "format": 1})[:-1]
                            + ', "epoch": 0, "model": null, "rng": null, "optimizer": ' + NESTED
                            + "}"),
    "a list as key": run_of(history={"$map": [[[1], 2]]}),
    "a map of numbers": run_of(history={"$map": 1}),
    "an odd pair": run_of(history={"$map": [[1]]}),
    "a tuple of nothing": run_of(history={"$tuple": None}),
    "a float of words": run_of(history={"$float": "x"}),
    "an array that is not there": run_of(history={"$array": "x"}),
    "an array of a list": run_of(history={"$array": [1]}),
    "weights alone": noted("{}"),
}  # fmt: skip


@pytest.mark.parametrize("name", SAFE)
def test_safetensors_that_mean_harm(name, tmp_path):
    path = tmp_path / "x.safetensors"
    said = outcome(io.load_checkpoint, path, SAFE[name])
    assert said
    assert ". " in said  # what to do
    outcome(io.load_weights, path, SAFE[name])
    outcome(tensorfile.read_tensors, path, SAFE[name])


OPTIONS = [1, {"num_classes": "x"}, {"no": 1}, {"num_classes": -1}, {"": 1}]
RECIPES = [
    *(1, "fcnet", {}, {"name": "fcnet"}, {"name": 1}, {"name": ["fcnet"]}, {"name": "os.system"}),
    *({"name": "fcnet", "options": options} for options in OPTIONS),
    {"name": "cat_dog_cnn_1_1", "options": {"num_classes": "x"}},
]


@pytest.mark.parametrize("recipe", RECIPES, ids=map(str, RECIPES))
def test_a_recipe_that_means_harm(recipe, tmp_path):
    assert outcome(models.load, tmp_path / "x.safetensors", run_of(model=recipe))


# ------------------------------------------------------------------------- all, with little memory


def everything() -> dict[str, bytes]:
    """All hostile files, and larger ones of some kinds."""
    packed = zipfile.ZIP_DEFLATED
    return {
        **{f"call of {name}": raw.zipped(body) for name, body in CALLS.items()},
        **{f"machine, {name}": raw.zipped(body) for name, (body, _) in MACHINE.items()},
        **{f"tensor, {name}": raw.zipped(body) for name, (body, _) in TENSORS.items()},
        **{f"older, {name}": content for name, (content, _) in OLD.items()},
        **{f"safetensors, {name}": content for name, content in SAFE.items()},
        "tuples, a million": raw.zipped(nest(b"", b"\x85", 1_000_000)),
        "tuples for a key, a million": raw.zipped(b"}" + nest(b"", b"\x85", 1_000_000) + b"Ns"),
        "lists, a million": raw.zipped(nest(b"](", b"e", 900_000)),
        "instructions, three million": raw.zipped(b"(" + b"}" * 3_000_000),
        "one tensor two hundred thousand times": raw.zipped(
            b"(" + raw.name(raw.V2) + b"q\0(" + raw.storage() + b"K\0))\x89Ntq\1"
            + b"h\0h\1R" * 200_000 + b"t"),
        "bomb of a pickle": archive([("a/data.pkl", b"\x80\2" + b"N" * 2**28)], packed),
        "bomb": archive([("a/data.pkl", NONE), ("a/data/0", bytes(5 * 2**28))], packed),
    }  # fmt: skip


SCRIPT = """
import resource, sys
from pathlib import Path
import minicnn
from minicnn import io
from minicnn.errors import CheckpointError
files = sorted(Path(sys.argv[1]).iterdir())
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 2**30, used + 2**30))
for path in files:
    start = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
    try:
        io.load_weights(path)
    except CheckpointError as error:
        assert "memory is too short" not in str(error), path
    took = sum(resource.getrusage(resource.RUSAGE_SELF)[:2]) - start
    if took > 20:
        sys.exit(f"{path.name} took {took} s")
print(len(files))
"""


@pytest.mark.slow
def test_all_of_them_in_a_gibibyte(tmp_path):
    """In a process of its own, which a crash would end: Python's and others' memory counted."""
    folder = tmp_path / "files"
    folder.mkdir()
    files = everything()
    for name, content in files.items():
        (folder / name.replace("/", "_").replace("\x1b", "")).write_bytes(content)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", SCRIPT, str(folder)],
        capture_output=True, text=True, timeout=550, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout) == len(files)
