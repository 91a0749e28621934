"""Torch's files: what torch writes we read, what we write torch reads, and code is never run."""

from __future__ import annotations

import collections
import io
import pickle
import struct
import sys
import zipfile
from pathlib import Path
from typing import Any

import helpers_pickles as raw
import numpy as np
import pytest
import torch

import minicnn
from minicnn import nn
from minicnn.errors import ArgumentError, CheckpointError
from minicnn.io import load_torch, load_weights, save_torch, torchobjects
from minicnn.io.tensorfile import read_tensors

LEGACY = {"zip": False, "legacy": True}
KINDS = pytest.mark.parametrize("kind", LEGACY)


def torch_save(content: Any, path: Path, kind: str, **options: Any) -> Path:
    torch.save(content, path, _use_new_zipfile_serialization=not LEGACY[kind], **options)
    return path


def assert_equal(ours: Any, theirs: Any) -> None:
    """Equal values of corresponding types, containers and all."""
    if isinstance(theirs, torch.Tensor):
        parameter = isinstance(theirs, torch.nn.Parameter)
        assert type(ours) is (nn.Parameter if parameter else minicnn.Tensor)
        assert ours.requires_grad == theirs.requires_grad
        theirs = theirs.detach()
        theirs = theirs.float() if theirs.dtype == torch.bfloat16 else theirs
        assert ours.dtype == theirs.numpy().dtype
        assert tuple(ours.shape) == tuple(theirs.shape)
        assert np.array_equal(ours.detach().numpy(), theirs.numpy())
    elif isinstance(theirs, dict):
        assert type(ours) is type(theirs)
        assert list(ours) == list(theirs)
        for key, value in theirs.items():
            assert_equal(ours[key], value)
    elif isinstance(theirs, torch.Size):
        assert repr(ours) == repr(theirs).replace("torch", "minicnn")
    elif isinstance(theirs, list | tuple):
        assert type(ours) is type(theirs)
        assert len(ours) == len(theirs)
        for a, b in zip(ours, theirs, strict=True):
            assert_equal(a, b)
    elif isinstance(theirs, torch.dtype):
        assert ours == np.dtype(str(theirs).removeprefix("torch."))
    else:
        assert repr(ours) == repr(theirs)  # NaN, -0.0 and types too


def nested() -> dict[Any, Any]:
    generator = torch.Generator().manual_seed(0)
    big = torch.randn(6, 8, generator=generator)
    return {
        "epoch": 7,
        "state_dict": collections.OrderedDict(weight=big, view=big[1::2, 3:], turned=big.T),
        "numbers": [0, -1, 255, 65536, -(2**31), 2**40, -(2**70), 0.1, -0.0, float("nan"), 1e400],
        "truth": (True, False, None, (), [], {}),
        "text": ["", "é\n𝄞", "x" * 300],
        (1, "a"): {0: (1, (2,)), 1.5: "float", None: "none"},
        "milestones": collections.Counter([30, 60, 60]),
        "shape": torch.Size([2, 3]),
        "dtype": [torch.float64, torch.int32],
        "parameter": torch.nn.Parameter(torch.ones(2, 1)),
        "frozen": torch.nn.Parameter(torch.ones(2), requires_grad=False),
        "wants": torch.ones(2, 2, requires_grad=True),
        "empty": torch.empty(0, 3),
        "scalar": torch.tensor(3.5),
        "expanded": torch.arange(3).expand(4, 3),
        "half": torch.tensor([1.5, -2.0]).half(),
        "brief": torch.tensor([1.5, -3e38, float("inf"), 1e-40]).bfloat16(),
    }


# ----------------------------------------------------------------------------------------- reading


@KINDS
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_everything_admitted_is_read_as_torch_reads_it(kind, protocol, tmp_path):
    theirs = nested()
    path = torch_save(theirs, tmp_path / "a.pth", kind, pickle_protocol=protocol)
    if kind == "zip":
        assert zipfile.is_zipfile(path)
    assert_equal(minicnn.load(path), theirs)


@KINDS
@pytest.mark.parametrize("dtype", torchobjects.DTYPES.values())
def test_every_dtype(kind, dtype, tmp_path):
    theirs = (torch.arange(24).reshape(4, 6) % 7 - 3).to(getattr(torch, dtype))
    path = torch_save([theirs, theirs[1:, ::2]], tmp_path / "a.pt", kind)
    assert_equal(load_torch(path), [theirs, theirs[1:, ::2]])


@KINDS
def test_tensors_of_one_storage_share_it(kind, tmp_path):
    base = torch.zeros(4, 4)
    path = torch_save({"all": base, "row": base[2]}, tmp_path / "a.pth", kind)
    ours = load_torch(path)
    ours["row"].fill_(5)
    assert ours["all"].numpy()[2].tolist() == [5, 5, 5, 5]
    assert ours["all"].numpy().flags.writeable


@KINDS
def test_optimizers_and_schedules_of_a_checkpoint(kind, tmp_path):
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, [2, 5])
    model(torch.randn(2, 3, 8, 8)).sum().backward()
    optimizer.step()
    schedule.step()
    value = {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "schedule": schedule.state_dict(),
        "rng": torch.get_rng_state(),
    }
    found = minicnn.load(torch_save(value, tmp_path / "c.pt", kind), map_location="cpu")
    assert_equal(found, value)


@KINDS
def test_open_files_and_paths_of_every_type(kind, tmp_path):
    theirs = {"w": torch.arange(3.0)}
    path = torch_save(theirs, tmp_path / "a.pth", kind)
    buffer = io.BytesIO(path.read_bytes())
    with open(path, "rb") as file:
        for source in (str(path), path, file, buffer):
            assert_equal(load_torch(source, map_location=lambda storage, place: storage), theirs)
    with open(path, encoding="latin-1") as text, pytest.raises(ArgumentError, match="'rb'"):
        load_torch(text)
    with pytest.raises(ArgumentError, match=r'"cuda:99" is not'):
        load_torch(path, map_location="cuda:99")
    with pytest.raises(ArgumentError, match=r"weights_only=False would run code .*state_dict"):
        load_torch(path, weights_only=False)


@pytest.mark.parametrize("order", ["little", "big"])
@pytest.mark.parametrize("dtype", torchobjects.DTYPES.values())
def test_the_byte_order_record_is_honoured(order, dtype, tmp_path):
    theirs = torch.arange(-3, 3).to(getattr(torch, dtype))
    numbers = theirs.view(torch.uint8).numpy()
    if order != sys.byteorder:
        numbers = numbers.reshape(6, -1)[:, ::-1]
    path = rewrite(torch_save({"w": theirs}, tmp_path / "a.pth", "zip"), {
        "byteorder": order.encode(), "data/0": numbers.tobytes(),
    })  # fmt: skip
    assert_equal(load_torch(path), torch.load(path))


def rewrite(
    path: Path, records: dict[str, bytes | None], compression: int = zipfile.ZIP_STORED
) -> Path:
    """The same archive with some records replaced, added or left out."""
    with zipfile.ZipFile(path) as archive:
        old = {name: archive.read(name) for name in archive.namelist()}
    folder = next(iter(old)).partition("/")[0]
    new = {f"{folder}/{name}": data for name, data in records.items()}
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in {**old, **new}.items():
            if data is not None:
                archive.writestr(name, data)
    return path


def test_without_a_byte_order_record_it_is_little(tmp_path):
    path = torch_save({"w": torch.arange(6)}, tmp_path / "a.pth", "zip")
    assert_equal(load_torch(rewrite(path, {"byteorder": None})), torch.load(path))
    with pytest.raises(CheckpointError, match=r"byte order is 'middle', neither .* Use"):
        load_torch(rewrite(path, {"byteorder": b"middle"}))


def test_archives_with_sizes_of_64_bits(tmp_path):
    """As they are where a record has over 4 GiB."""
    path = torch_save(nested(), tmp_path / "a.pth", "zip")
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(tmp_path / "b.pth", "w") as new:
        for name in old.namelist():
            with new.open(name, "w", force_zip64=True) as record:
                record.write(old.read(name))
    assert_equal(load_torch(tmp_path / "b.pth"), nested())


def test_packed_archives_are_read_within_bounds(tmp_path):
    path = torch_save(nested(), tmp_path / "a.pth", "zip")
    assert_equal(load_torch(rewrite(path, {}, zipfile.ZIP_DEFLATED)), nested())
    zeros = torch_save({"w": torch.zeros(2**24 + 2**20)}, tmp_path / "bomb.pth", "zip")
    rewrite(zeros, {}, zipfile.ZIP_DEFLATED)
    with pytest.raises(CheckpointError, match=r"above [\d,]+ bytes in memory.*uncompressed"):
        load_torch(zeros)
    with pytest.raises(CheckpointError, match="packed in a way"):
        load_torch(rewrite(path, {}, zipfile.ZIP_BZIP2))


def test_parameters_as_torch_saved_them_until_2018(tmp_path):
    """The published weights of that time; put together here, as no torch writes them any more."""
    data = raw.tensor(raw.storage("0", 6, raw.FLOATS, None), how="torch._utils _rebuild_tensor")
    kind, hooks = raw.name("torch.nn.parameter Parameter"), raw.call("collections OrderedDict")
    new = kind + raw.value((data,)) + b"\x81" + raw.value((False, False, hooks)) + b"b"
    old = kind + raw.value(()) + b"\x81" + raw.value((data, None, hooks, True, False)) + b"b"
    pairs = b"".join(b"](U\3" + key + item + b"ea" for key, item in ((b"new", new), (b"old", old)))
    body = raw.name("collections OrderedDict") + b"]" + pairs + b"\x85R"  # as Python 2 wrote it
    path = tmp_path / "old.pth"
    path.write_bytes(raw.legacy(body, {"0": np.arange(6, dtype="<f4").tobytes()}))
    ours, theirs = load_torch(path), torch.load(path)
    assert [type(parameter) for parameter in theirs.values()] == [torch.nn.Parameter] * 2
    assert_equal(ours, theirs)
    assert [parameter.requires_grad for parameter in ours.values()] == [False, True]
    assert ours["old"].detach().numpy().tolist() == [[0, 1, 2], [3, 4, 5]]


def test_a_part_of_a_storage_as_torch_saved_it_until_0_4(tmp_path):
    path = tmp_path / "a.pth"
    body = raw.tensor(raw.storage("0", 6, raw.FLOATS, ("v", 1, 4)), 1, (3,), (1,))
    path.write_bytes(raw.legacy(body, {"0": np.arange(6, dtype="<f4").tobytes()}))
    assert_equal(load_torch(path), torch.load(path))
    assert load_torch(path).tolist() == [2, 3, 4]


# ----------------------------------------------------------------------------------------- writing


def test_what_we_write_torch_reads_and_so_do_we(tmp_path):
    value = load_torch(torch_save(nested(), tmp_path / "theirs.pth", "zip"))
    path = tmp_path / "new folder" / "ours.pth"
    minicnn.save(value, path)
    theirs = nested() | {"brief": nested()["brief"].float()}
    assert_equal(load_torch(path), theirs)
    assert_equal(load_torch(path), torch.load(path))
    assert_equal(load_torch(path), torch.load(path, mmap=True))
    again = tmp_path / "again.pth"
    minicnn.save(value, again)
    assert again.read_bytes() == path.read_bytes()
    buffer = io.BytesIO()
    minicnn.save(value, buffer)
    assert buffer.getvalue() == path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None


def test_notebook_code_with_only_the_import_changed(tmp_path):
    path = tmp_path / "model.pt"
    for torch_ in (torch, minicnn):
        model = torch_.nn.Sequential(torch_.nn.Linear(3, 2), torch_.nn.ReLU())
        torch_.save({"epoch": 3, "model_state_dict": model.state_dict()}, path)
        for reader in (torch, minicnn):
            fresh = reader.nn.Sequential(reader.nn.Linear(3, 2), reader.nn.ReLU())
            checkpoint = reader.load(path)
            fresh.load_state_dict(checkpoint["model_state_dict"])
            assert checkpoint["epoch"] == 3
            for a, b in zip(fresh.parameters(), model.parameters(), strict=True):
                assert np.array_equal(a.detach().numpy(), b.detach().numpy())


def test_memory_layouts_and_ties(tmp_path):
    array = np.arange(24.0).reshape(4, 6)
    weight = minicnn.tensor([1.0, 2.0])
    value = {
        "turned": minicnn.from_numpy(array.T),
        "backwards": np.flip(array, 1),
        "one": array[::-1][:1, ::-1][:, :1],
        "big": array.astype(">f4"),
        "big again": array.astype(">f4"),
        "scalar": np.float32(1.5),
        "a": weight,
        "b": weight,
    }
    path = tmp_path / "a.pth"
    save_torch(value, path)
    theirs = torch.load(path)
    for name in ("turned", "backwards", "one", "big", "big again"):
        assert np.array_equal(theirs[name].numpy(), np.asarray(value[name]))
    assert type(theirs["scalar"]) is float
    assert theirs["a"].data_ptr() == theirs["b"].data_ptr()
    assert theirs["big"].data_ptr() != theirs["big again"].data_ptr()


def test_safetensors_of_bfloat16_are_read_as_float32(tmp_path):
    safetensors_torch = pytest.importorskip("safetensors.torch")
    there = {
        "a": torch.randn(3, 5).bfloat16(),
        "b": torch.tensor(2.5).bfloat16(),
        "c": torch.ones(2),
    }
    safetensors_torch.save_file(there, tmp_path / "x.safetensors")
    here = read_tensors(tmp_path / "x.safetensors")
    assert here.keys() == there.keys()
    for name, array in here.items():
        assert array.dtype == np.float32
        np.testing.assert_array_equal(array, there[name].float().numpy())


def test_a_kind_of_number_that_is_not_known_is_named(tmp_path):
    safetensors_torch = pytest.importorskip("safetensors.torch")
    eight = torch.ones(2).to(torch.float8_e4m3fn)
    safetensors_torch.save_file({"a": eight}, tmp_path / "x.safetensors")
    with pytest.raises(CheckpointError, match=r"a has dtype F8_E4M3, unsupported here\."):
        read_tensors(tmp_path / "x.safetensors")


def test_what_cannot_be_saved_is_named_and_nothing_is_left(tmp_path):
    circle: list[Any] = []
    circle.append(circle)
    for value, words in (
        (nn.Linear(2, 2), "the object is a Linear, .*state_dict"),
        ({"x": [0, {1, 2}]}, r"the object\['x'\]\[1\] is a set"),
        ({"x": np.zeros(2, complex)}, r"\['x'\] has dtype complex128. Convert"),
        ({frozenset(): 1}, "a frozenset as a key of the object. Use"),
        (circle, "has no end"),
        (2**3000, "integer of over"),
    ):
        with pytest.raises(CheckpointError, match=words) as error:
            save_torch(value, tmp_path / "x.pth")
        assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == []


# ---------------------------------------------------------------------------------- into a model


@KINDS
@pytest.mark.parametrize("place", ["", "state_dict", "model_state_dict", "model"])
def test_load_weights_takes_torch_files_whatever_they_are_called(kind, place, tmp_path):
    theirs = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.Flatten())
    value = {place: theirs.state_dict(), "epoch": 2} if place else theirs.state_dict()
    path = torch_save(value, tmp_path / "weights.safetensors", kind)
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten())
    loaded = load_weights(path, model)
    assert list(loaded) == ["0.weight", "0.bias"]
    for name, tensor in theirs.state_dict().items():
        assert np.array_equal(model.state_dict()[name].numpy(), tensor.numpy())
    with pytest.raises(CheckpointError, match=r"does not fit Linear: it lacks weight, bias"):
        load_weights(path, nn.Linear(2, 2))
    with pytest.raises(CheckpointError, match=r"names no model.*io\.load_weights"):
        minicnn.models.load(path)
    with pytest.raises(CheckpointError, match="no training run"):
        minicnn.io.load_checkpoint(path)


@KINDS
def test_weights_from_before_batches_were_counted(kind, tmp_path):
    """Published networks of 2017 lack num_batches_tracked, and torch takes them too."""

    def net(lib: Any) -> Any:
        return lib.nn.Sequential(lib.nn.Conv2d(1, 2, 3), lib.nn.BatchNorm2d(2))

    state = {k: v + 1 for k, v in net(torch).state_dict().items() if "batches" not in k}
    path = torch_save(state, tmp_path / "old.pth", kind)
    net(torch).load_state_dict(torch.load(path))
    model = net(minicnn)
    load_weights(path, model)
    assert model[1].running_var.tolist() == [2, 2]
    del state["1.running_var"]
    torch_save(state, path, kind)
    with pytest.raises(CheckpointError, match=r"it lacks 1\.running_var"):
        load_weights(path, model)


@KINDS
def test_files_without_a_state_dict_say_what_they_hold(kind, tmp_path):
    path = tmp_path / "x.pth"
    for value, words in (
        ({"net": {"w": torch.ones(1)}, "a\nb": 1, 2: 2, 3: 3}, r"dict of net, 'a\\nb', 2 and 1"),
        ([torch.ones(1)], "holds a list, not a state dict. Take it apart with minicnn.load"),
    ):
        with pytest.raises(CheckpointError, match=words) as error:
            load_weights(torch_save(value, path, kind))
        assert "\n" not in str(error.value)


# ---------------------------------------------------------------------------------------- refusals


class Net(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(2, 2)


def refusals() -> dict[str, tuple[Any, str]]:
    state_dict = r"In PyTorch, save torch\.save\(model\.state_dict\(\), path\)\."
    return {
        "module": (torch.nn.Linear(2, 2), r"\.linear\.Linear: a whole pickled.*" + state_dict),
        "own module": (Net(), r"test_torch_files\.Net: a whole pickled model.*" + state_dict),
        "function": ({"f": np.sum}, r"names numpy\.sum"),
        "class": ({"c": Path}, r"names pathlib\.Path, but only tensors.*" + state_dict),
        "set": ({"s": {1}}, r"names __builtin__\.set, but only"),
        "numpy": ({"n": np.float64(1)}, r"numpy\S*scalar\. Save plain numbers"),
        "complex": (torch.ones(1, dtype=torch.cfloat), r"ComplexFloatStorage, a kind of .*lacks"),
        "sparse": (torch.eye(2).to_sparse(), r"_rebuild_sparse_tensor, a kind of .*to_dense"),
        "uint16": (torch.ones(1, dtype=torch.uint16), r"_rebuild_tensor_v3, a kind of tensor"),
        "storage": ({"s": torch.ones(1).untyped_storage()}, r"a Storage stands where"),
        "big key": ({2**70: 1}, r"an? int that is no plain key"),
        "dtype": (torch.complex64, r"names torch\.complex64"),
    }  # fmt: skip


@KINDS
@pytest.mark.parametrize("what", refusals())
def test_what_is_not_admitted_is_named_with_a_remedy(kind, what, tmp_path):
    value, words = refusals()[what]
    path = torch_save(value, tmp_path / "a.pth", kind)
    with pytest.raises(CheckpointError, match=words) as error:
        load_torch(path)
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)


@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")
def test_other_files_are_called_by_their_names(tmp_path):
    path = tmp_path / "x.pth"
    torch.jit.script(torch.nn.Linear(2, 2)).save(path)
    contents = {
        path.read_bytes(): "a TorchScript program",
        b"": "is empty",
        b"hello": r"not a file of torch's \(it starts with b'hello'\)\. Name",
        pickle.dumps({"a": 1}): "a pickle, but not torch's.*torch.save",
        pickle.dumps(0x1950A86A20F9469CFC6C, 2) + pickle.dumps(1002, 2): "of another version",
        struct.pack("<Q", 2) + b"{}": "a safetensors file.*load_weights",
        bytes(257) + b"ustar" + bytes(250): "a tar file as torch wrote until 0.1.7",
    }
    for content, words in contents.items():
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match=words) as error:
            load_torch(path)
        assert str(error.value).startswith(f"{path}: ")
    np.savez(tmp_path / "a.npz", w=np.ones(2))
    with pytest.raises(CheckpointError, match=r"with 0 data\.pkl.*torch\.save"):
        load_torch(tmp_path / "a.npz")
    with pytest.raises(CheckpointError, match=r"none\.pth: no such file"):
        load_torch(tmp_path / "none.pth")
    with pytest.raises(CheckpointError, match="is a folder"):
        load_torch(tmp_path)
