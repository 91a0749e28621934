"""Files: nothing lost on the way there and back, nothing half-written, bad ones named in a line."""

from __future__ import annotations

import json
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st

import minicnn
from minicnn import io, models, nn, optim
from minicnn.errors import CheckpointError
from minicnn.io import tensorfile, tree


def model_and_adam(seed: int = 0, steps: int = 2):
    minicnn.manual_seed(seed)
    model = models.fcnet(num_classes=3)
    optimizer = optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(steps):
        optimizer.zero_grad()
        model(minicnn.rand(4, 784)).sum().backward()
        optimizer.step()
    return model, optimizer


def arrays_of(module: nn.Module) -> dict[str, np.ndarray]:
    return {k: v.detach().numpy().copy() for k, v in module.state_dict().items()}


def assert_same(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> None:
    assert set(a) == set(b)
    for key, value in a.items():
        assert np.array_equal(value, b[key]), key


def one_line(error: pytest.ExceptionInfo, *words: object) -> None:
    text = str(error.value)
    assert "\n" not in text
    for word in words:
        assert str(word) in text, text


# --------------------------------------------------------------------------------------- the format


@pytest.mark.parametrize("dtype", tensorfile._CODES)
def test_the_library_reads_what_we_write(dtype, tmp_path):
    rng = np.random.default_rng(0)
    arrays = {
        "matrix": (rng.random((3, 5)) * 9).astype(dtype),
        "scalar": np.array(1, dtype),
        "empty": np.zeros((0, 4), dtype),
        "strided": (rng.random((4, 6)) * 9).astype(dtype)[::2, ::3],
        "big-endian": np.arange(3).astype(np.dtype(dtype).newbyteorder(">")),
        "odd bytes": np.ones(3, np.uint8),
    }
    path = tensorfile.write_tensors(tmp_path / "t.safetensors", arrays, {"note": "é\n"})
    for found in (safetensors.numpy.load_file(path), tensorfile.read_tensors(path)):
        assert set(found) == set(arrays)
        for name, array in arrays.items():
            assert np.array_equal(found[name], array)
            assert found[name].dtype == array.dtype.newbyteorder("<")
    assert tensorfile.read_metadata(path) == {"note": "é\n"}
    length = struct.unpack("<Q", path.read_bytes()[:8])[0]
    assert length % 8 == 0


def test_a_flipped_bit_in_the_numbers_is_found(tmp_path):
    arrays = {"weight": np.arange(12.0).reshape(3, 4), "empty": np.zeros((0, 2), np.float32)}
    path = tensorfile.write_tensors(tmp_path / "t.safetensors", arrays, {})
    whole = path.read_bytes()
    assert f'"crc32":"{zlib.crc32(arrays["weight"].tobytes()):08x}"'.encode() in whole
    for place in (-1, -50, -96):
        damaged = bytearray(whole)
        damaged[place] ^= 4
        path.write_bytes(damaged)
        with pytest.raises(CheckpointError, match=r"t\.safetensors: damaged: .* Use") as error:
            tensorfile.read_tensors(path)
        assert "\n" not in str(error.value)
    safetensors.numpy.save_file({"weight": arrays["weight"]}, path)  # another writer: no checksum
    assert np.array_equal(tensorfile.read_tensors(path)["weight"], arrays["weight"])


def test_equal_content_gives_equal_files(tmp_path):
    model, optimizer = model_and_adam()
    a = io.save_checkpoint(tmp_path / "a", model, optimizer, epoch=2, config={"x": 1, "y": [2.5]})
    b = io.save_checkpoint(tmp_path / "b", model, optimizer, epoch=2, config={"x": 1, "y": [2.5]})
    assert a.read_bytes() == b.read_bytes()


def test_what_cannot_be_stored_is_named(tmp_path):
    with pytest.raises(CheckpointError) as error:
        tensorfile.write_tensors(tmp_path / "t", {"z": np.zeros(2, complex)}, {})
    one_line(error, "z has dtype complex128")
    with pytest.raises(CheckpointError) as error:
        io.save_checkpoint(tmp_path / "t", nn.Linear(1, 1), config={"path": Path("x")})
    one_line(error, "config.path", "PosixPath")
    assert list(tmp_path.iterdir()) == []


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text() | st.just("$tuple"), inner, max_size=3)
        | st.dictionaries(st.integers(), inner, max_size=3)
    ),
    max_leaves=10,
)


@given(values)
def test_nested_state_comes_back_as_it_was(value):
    text = json.dumps(tree.pack(value, "v", {}), allow_nan=False)
    back = tree.unpack(json.loads(text), {})
    assert back == value
    assert repr(back) == repr(value)  # types too: 1 == 1.0 == True, and lists are not tuples


def test_arrays_nan_and_numpy_numbers_in_nested_state():
    arrays: dict[str, np.ndarray] = {}
    value = {0: {"a": np.arange(3), "t": minicnn.tensor([1.5])}, 1: (float("nan"), np.float32(0.5))}
    text = json.dumps(tree.pack(value, "s", arrays), allow_nan=False)
    back = tree.unpack(json.loads(text), arrays)
    assert set(arrays) == {"s.0.a", "s.0.t"}
    assert isinstance(back[0]["a"], np.ndarray)
    assert isinstance(back[0]["t"], minicnn.Tensor)
    assert back[0]["a"].tolist() == [0, 1, 2]
    assert back[0]["t"].tolist() == [1.5]
    assert np.isnan(back[1][0])
    assert back[1][1] == 0.5


# ------------------------------------------------------------------------------------------ weights


def test_weights_there_and_back(tmp_path):
    model, _ = model_and_adam()
    path = io.save_weights(model, tmp_path / "new folder" / "w.safetensors", config={"c": ["a"]})
    other, _ = model_and_adam(seed=1)
    loaded = io.load_weights(path, other)
    assert_same(arrays_of(model), arrays_of(other))
    assert_same(arrays_of(model), {k: v.numpy() for k, v in loaded.items()})
    assert io.read_header(path)["config"] == {"c": ["a"]}
    assert {p.name for p in path.parent.iterdir()} == {"w.safetensors"}


def test_weights_come_out_of_a_checkpoint_and_of_foreign_files(tmp_path):
    model, optimizer = model_and_adam()
    checkpoint = io.save_checkpoint(tmp_path / "c.safetensors", model, optimizer)
    other, _ = model_and_adam(seed=1)
    io.load_weights(checkpoint, other)
    assert_same(arrays_of(model), arrays_of(other))
    safetensors.numpy.save_file(arrays_of(model), tmp_path / "foreign.safetensors")
    third, _ = model_and_adam(seed=2)
    io.load_weights(tmp_path / "foreign.safetensors", third)
    assert_same(arrays_of(model), arrays_of(third))


def test_weights_of_another_model_change_nothing(tmp_path):
    path = io.save_weights(models.fcnet(num_classes=3), tmp_path / "w.safetensors")
    other = models.fcnet(num_classes=10)
    before = arrays_of(other)
    for strict in (True, False):
        with pytest.raises(CheckpointError) as error:
            io.load_weights(path, other, strict=strict)
        one_line(error, path, "does not fit fcnet")
        one_line(error, "fc4.weight is (3, 64) in the file and (10, 64) in the model")
        one_line(error, "models.create('fcnet', num_classes=3)")
    assert_same(before, arrays_of(other))
    with pytest.raises(CheckpointError) as error:
        io.load_weights(path, nn.Linear(784, 64))
    one_line(error, "lacks weight, bias;", "has fc1.bias, fc1.weight, fc2.bias and 5 more")


def test_not_strict_takes_the_names_that_both_have(tmp_path):
    small = nn.Sequential(nn.Linear(2, 3))
    path = io.save_weights(small, tmp_path / "w.safetensors")
    large = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    io.load_weights(path, large, strict=False)
    assert np.array_equal(large[0].weight.detach().numpy(), small[0].weight.detach().numpy())


# -------------------------------------------------------------------------------------- checkpoints


@pytest.mark.parametrize(
    "make",
    [
        lambda p: optim.Adam(p, lr=1e-2, betas=(0.8, 0.99)),
        lambda p: optim.AdamW(p, lr=1e-2),
        lambda p: optim.SGD(p, lr=1e-2, momentum=0.9, nesterov=True),
        lambda p: optim.SGD(p, lr=1e-2),
    ],
    ids=["adam", "adamw", "sgd-momentum", "sgd"],
)
def test_the_next_steps_are_the_same_bits_after_a_checkpoint(make, tmp_path):
    def step(model, optimizer):
        optimizer.zero_grad()
        x = minicnn.rand(4, 6)
        nn.functional.dropout(model(x), 0.5).square().sum().backward()
        optimizer.step()

    def build():
        model = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3))
        return model, make([{"params": model[0].parameters(), "lr": 0.1}, *_group(model[2])])

    def _group(layer):
        return [{"params": list(layer.parameters())}]

    minicnn.manual_seed(3)
    model, optimizer = build()
    for _ in range(3):
        step(model, optimizer)
    path = io.save_checkpoint(tmp_path / "c.safetensors", model, optimizer, epoch=3)
    for _ in range(3):
        step(model, optimizer)

    minicnn.manual_seed(77)
    again, restored = build()
    found = io.load_checkpoint(path)
    assert found.epoch == 3
    found.restore(again, restored)
    for _ in range(3):
        step(again, restored)
    assert_same(arrays_of(model), arrays_of(again))
    assert restored.state_dict()["param_groups"] == optimizer.state_dict()["param_groups"]


def test_everything_given_comes_back(tmp_path):
    model, optimizer = model_and_adam()
    parts = {
        "history": {"epoch": [0, 1], "history": {"loss": [1.5, float("inf")]}},
        "loaders": {"train": {"seed": 2**63, "epoch": 2}},
        "callbacks": {"Best": {"best": 0.1 + 0.2, "shape": (1, 2)}},
        "config": {"classes": ["cat", "dog"], "none": None},
    }
    path = io.save_checkpoint(tmp_path / "c", model, optimizer, epoch=2, **parts)
    found = io.load_checkpoint(path)
    assert {name: getattr(found, name) for name in parts} == parts
    assert found.recipe == {"name": "fcnet", "options": {"num_classes": 3}}
    assert found.optimizer["type"] == "Adam"


def test_a_checkpoint_of_another_optimizer_changes_nothing(tmp_path):
    model, optimizer = model_and_adam()
    path = io.save_checkpoint(tmp_path / "c.safetensors", model, optimizer)
    bare = io.save_checkpoint(tmp_path / "bare.safetensors", model)
    other, _ = model_and_adam(seed=9)
    before, rng = arrays_of(other), minicnn.get_rng_state()
    grouped = optim.Adam([{"params": [p]} for p in other.parameters()])
    for source, wrong, words in (
        (path, optim.SGD(other.parameters(), lr=1.0), ["with Adam, not SGD", "optim.Adam"]),
        (path, grouped, ["[8] parameters by group", "[1, 1, 1, 1, 1, 1, 1, 1]"]),
        (bare, grouped, ["holds no optimizer state"]),
    ):
        with pytest.raises(CheckpointError) as error:
            io.load_checkpoint(source).restore(other, wrong)
        one_line(error, source, *words)
    assert_same(before, arrays_of(other))
    assert minicnn.get_rng_state() == rng


def test_weights_are_no_checkpoint_and_the_future_is_refused(tmp_path):
    model, _ = model_and_adam()
    path = io.save_weights(model, tmp_path / "w.safetensors")
    with pytest.raises(CheckpointError) as error:
        io.load_checkpoint(path)
    one_line(error, path, "no training run to continue")
    header = json.dumps({"kind": "checkpoint", "format": 99})
    tensorfile.write_tensors(path, {}, {"minicnn": header})
    with pytest.raises(CheckpointError) as error:
        io.load_checkpoint(path)
    one_line(error, path, "format 99", "Install a newer minicnn")


# ---------------------------------------------------------------------------------------- bad files


def _spoil(good: bytes) -> dict[str, bytes]:
    length = struct.unpack("<Q", good[:8])[0]
    return {
        "empty": b"",
        "five bytes": good[:5],
        "half a header": good[: 8 + length // 2],
        "header alone": good[: 8 + length],
        "last byte missing": good[:-1],
        "one byte more": good + b"\0",
        "png": b"\x89PNG\r\n\x1a\n" + bytes(100),
        "zip": b"PK\x03\x04" + bytes(200),
        "text": b"loss,accuracy\n1,2\n" * 20,
        "header of nonsense": struct.pack("<Q", 16) + b'{"a": 1, "b":  }',
        "header is a number": struct.pack("<Q", 8) + b"{       ",
    }


def test_bad_files_are_refused_in_one_line(tmp_path):
    model, optimizer = model_and_adam()
    good = io.save_checkpoint(tmp_path / "good.safetensors", model, optimizer).read_bytes()
    path = tmp_path / "bad.safetensors"
    for what, content in _spoil(good).items():
        path.write_bytes(content)
        for read in (io.load_checkpoint, io.load_weights, io.read_header, models.load):
            if what == "zip" and read is io.read_header:
                continue  # torch's files are zips, in which it looks for no header
            with pytest.raises(CheckpointError) as error:
                read(path)
            one_line(error, "bad.safetensors")
            if what in ("half a header", "header alone", "last byte missing"):
                one_line(error, "truncated", f"{len(good):,}" if "half" not in what else "")
            if what in ("png", "text"):
                one_line(error, "not a safetensors file")


def test_every_truncation_is_refused(tmp_path):
    path = io.save_weights(nn.Linear(2, 2), tmp_path / "w.safetensors")
    good = path.read_bytes()
    for n in range(len(good)):
        path.write_bytes(good[:n])
        with pytest.raises(CheckpointError, match=r"w\.safetensors"):
            io.load_weights(path)


def test_missing_files_and_folders(tmp_path):
    with pytest.raises(CheckpointError) as error:
        io.load_checkpoint(tmp_path / "none.safetensors")
    one_line(error, "none.safetensors: no such file")
    with pytest.raises(CheckpointError) as error:
        io.load_weights(tmp_path)
    one_line(error, f"{tmp_path} is a folder")


def test_a_header_that_lacks_its_parts(tmp_path):
    path = tmp_path / "c.safetensors"
    for header in ('{"kind": "checkpoint", "format": 1}', "[1]", "not JSON"):
        tensorfile.write_tensors(path, {"model.w": np.zeros(2)}, {"minicnn": header})
        with pytest.raises(CheckpointError, match=r"c\.safetensors: its .*header is"):
            io.load_checkpoint(path)


def test_dtypes_that_are_not_known_are_refused(tmp_path):
    header = b'{"w":{"dtype":"F8_E4M3","shape":[4],"data_offsets":[0,4]}}'
    header += b" " * (-len(header) % 8)
    path = tmp_path / "f8.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(4))
    with pytest.raises(CheckpointError) as error:
        io.load_weights(path)
    one_line(error, path, "unsupported")


def test_arguments_in_the_other_order(tmp_path):
    model = nn.Linear(2, 3)
    with pytest.raises(CheckpointError, match="The model comes first, then the path"):
        io.save_weights(tmp_path / "a.safetensors", model)
    with pytest.raises(CheckpointError, match="The path comes first, then the model"):
        io.load_weights(model, tmp_path / "a.safetensors")
