"""Files that mean harm, and files that were harmed: only named errors, whatever is in them.

A quick share runs always. The rest: pytest tests/test_fuzz_files.py -m slow
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import resource
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import helpers_fuzz
import numpy as np
import pytest
import torch
from helpers_fuzz import mutated, outcome

import minicnn
from minicnn import io, nn, optim
from minicnn.io.torchobjects import DTYPES

QUICK, LONG = 120, 20_000  # mutated files of each kind


@pytest.fixture(scope="module", autouse=True)
def everything_is_imported(tmp_path_factory):
    """Modules that are loaded on first use would look like the work of a file."""
    folder = tmp_path_factory.mktemp("warm")
    for kind, (read, content) in corpus(folder).items():
        (folder / "warm").write_bytes(content)
        read(folder / "warm")
        assert outcome(read, folder / "warm", content) == "", kind


def test_the_watch_sees_what_data_may_not_do(tmp_path, monkeypatch):
    kept: list[Any] = []
    path = tmp_path / "x"

    def load(_: Path) -> None:
        with contextlib.suppress(ImportError):
            __import__("there_is_none")

    def hang(_: Path) -> None:
        while True:
            pass

    for read, words in (
        (lambda _: eval("1"), "compile"),
        (lambda _: os.system("true"), r"os\.system"),
        (lambda _: open(tmp_path / "new", "w").close(), "open"),
        (load, "import"),
        (lambda _: kept.append(np.ones(2**28, np.uint8)), "[0-9,]+ bytes"),
    ):
        with pytest.raises(AssertionError, match=words):
            outcome(read, path, b"content")
    with pytest.raises(KeyError):
        outcome(lambda _: {}["x"], path, b"content")
    monkeypatch.setattr(helpers_fuzz, "SECONDS", 0.1)
    with pytest.raises(helpers_fuzz.TookTooLong):
        outcome(hang, path, b"content")


Read = Callable[[Path], Any]


def corpus(folder: Path) -> dict[str, tuple[Read, bytes]]:
    """A sound file of each kind, and its reader."""
    dtypes = [*DTYPES.values()]
    content = {
        "epoch": 3,
        "state_dict": OrderedDict((d, torch.ones(6, dtype=getattr(torch, d))) for d in dtypes),
        "views": [torch.arange(12.0).reshape(3, 4)[1:, ::2], torch.zeros(2).expand(3, 2)],
        "parameter": torch.nn.Parameter(torch.ones(2, 1)),
        "rest": (None, True, 1.5, 2**70, "text", torch.Size([1]), torch.float32),
        "empty": torch.zeros(0, 2),
    }  # fmt: skip
    files: dict[str, tuple[Read, bytes]] = {}
    for kind, zipped in (("zip", True), ("legacy", False)):
        buffer = BytesIO()
        torch.save(content, buffer, _use_new_zipfile_serialization=zipped)
        files[kind] = io.load_torch, buffer.getvalue()
    minicnn.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
    optimizer = optim.Adam(model.parameters())
    model(minicnn.rand(2, 2)).sum().backward()
    optimizer.step()
    weights = io.save_weights(model, folder / "weights").read_bytes()
    checkpoint = io.save_checkpoint(folder / "run", model, optimizer, history={"a": [1, (2,)]})
    files["safetensors"] = io.load_weights, weights
    files["checkpoint"] = (lambda path: vars(io.load_checkpoint(path))), checkpoint.read_bytes()
    return files


# ------------------------------------------------------------------------------ mutated at random


def repacked(content: bytes, change: Callable[[bytes], bytes], compression: int = 0) -> bytes:
    """The zip with its pickle changed and its checksums right."""
    new = BytesIO()
    with zipfile.ZipFile(BytesIO(content)) as old, zipfile.ZipFile(new, "w", compression) as out:
        for name in old.namelist():
            data = old.read(name)
            out.writestr(name, change(data) if name.endswith("data.pkl") else data)
    return new.getvalue()


def reheaded(content: bytes, change: Callable[[bytes], bytes]) -> bytes:
    """The safetensors file with its header changed and the header's length right."""
    (length,) = struct.unpack("<Q", content[:8])
    header = change(content[8 : 8 + length])
    header += b" " * (-len(header) % 8)
    return struct.pack("<Q", len(header)) + header + content[8 + length :]


def retold(content: bytes, change: Callable[[bytes], bytes]) -> bytes:
    """The checkpoint with what minicnn keeps in the header changed, in a header that is sound."""

    def inner(header: bytes) -> bytes:
        whole = json.loads(header)
        text = change(whole["__metadata__"]["minicnn"].encode())
        whole["__metadata__"]["minicnn"] = text.decode("utf-8", "replace")
        return json.dumps(whole).encode()

    return reheaded(content, inner)


Change = Callable[[bytes], bytes]
KINDS: dict[str, tuple[str, Callable[[bytes, Change], bytes]]] = {
    "zip": ("zip", lambda content, change: change(content)),
    "zip, packed": (
        "zip",
        lambda content, change: change(repacked(content, bytes, zipfile.ZIP_DEFLATED)),
    ),
    "zip's pickle": ("zip", repacked),
    "legacy": ("legacy", lambda content, change: change(content)),
    "safetensors": ("safetensors", lambda content, change: change(content)),
    "safetensors header": ("safetensors", reheaded),
    "checkpoint": ("checkpoint", lambda content, change: change(content)),
    "checkpoint header": ("checkpoint", retold),
}


def fuzz(kind: str, seeds: range, folder: Path) -> list[str]:
    """The messages for files that are mutated by these seeds; those that were taken count as ""."""
    name, damage = KINDS[kind]
    files = corpus(folder)
    read, content = files[name]
    other = files["legacy"][1]
    messages = []
    for seed in seeds:
        rng = random.Random(f"{kind} {seed}")
        data = damage(content, lambda part, rng=rng: mutated(part, rng, other))
        try:
            messages.append(outcome(read, folder / "fuzzed", data))
        except BaseException as reason:
            reason.add_note(f"seed {seed} of {kind}; the file is {folder / 'fuzzed'}")
            raise
    return messages


@pytest.mark.parametrize("kind", KINDS)
def test_a_few_mutated_files(kind, tmp_path):
    messages = fuzz(kind, range(QUICK), tmp_path)
    assert len({*messages}) > 10  # they reach many places, not one guard at the door


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_many_mutated_files(kind, tmp_path):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    messages = fuzz(kind, range(QUICK, QUICK + LONG), tmp_path)
    assert len({*messages}) > 30
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 300_000, f"{grown:,} KiB"  # memory that is not Python's shows here
