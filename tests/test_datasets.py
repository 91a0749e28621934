"""The shipped silhouettes: what torchvision's users expect, the committed split, damaged files."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

import minicnn
from minicnn import data, datasets
from minicnn.datasets import silhouettes, split
from minicnn.errors import ArgumentError, DataError

NAMES = ["bear", "bird", "cat", "cow", "dog", "elephant", "giraffe", "horse", "sheep", "zebra"]
COUNTS = [937, 812, 992, 996, 997, 1000, 1000, 997, 985, 1000]


def test_ten_classes():
    animals = datasets.AnimalSilhouettes()
    assert animals.classes == NAMES
    assert animals.class_to_idx == {name: i for i, name in enumerate(NAMES)}
    assert len(animals) == 9716
    assert np.bincount(animals.targets.numpy()).tolist() == COUNTS
    assert (animals.data.shape, str(animals.data.dtype)) == ((9716, 28, 28), "uint8")
    assert (animals.targets.shape, str(animals.targets.dtype)) == ((9716,), "int64")


@pytest.mark.parametrize(
    ("part", "cats", "dogs"), [("train", 744, 747), ("validation", 124, 125), ("test", 124, 125)]
)
def test_cats_are_0_and_dogs_1_in_equal_shares(part, cats, dogs):
    pets = datasets.CatsVsDogs(part)
    assert pets.classes == ["cat", "dog"]
    assert np.bincount(pets.targets.numpy()).tolist() == [cats, dogs]
    animals = datasets.AnimalSilhouettes()
    assert set(animals.targets[pets.indices[pets.targets.numpy() == 0]].tolist()) == {2}
    assert set(animals.targets[pets.indices[pets.targets.numpy() == 1]].tolist()) == {4}
    assert np.array_equal(pets.data.numpy(), animals.data.numpy()[pets.indices])


def test_splits_share_no_image_and_leave_none_out():
    for make in (datasets.CatsVsDogs, datasets.AnimalSilhouettes):
        parts = [make(name).indices for name in ("train", "validation", "test")]
        assert np.sort(np.concatenate(parts)).tolist() == make().indices.tolist()
    whole = datasets.AnimalSilhouettes("train")
    assert set(datasets.CatsVsDogs("train").indices) <= set(whole.indices)


def test_no_two_images_of_the_archive_are_equal():
    images = datasets.AnimalSilhouettes().data.numpy()
    assert len({image.tobytes() for image in images}) == len(images)


def test_cats_and_dogs_are_mixed_in_each_split():
    for name in ("train", "validation", "test"):
        labels = datasets.CatsVsDogs(name).targets.numpy()
        assert 0.35 < (labels[1:] != labels[:-1]).mean() < 0.65


def test_the_committed_split_is_what_the_function_makes():
    archive = silhouettes.ARCHIVE
    labels = silhouettes.read_archive(archive)[1]
    assert split.split_text(archive, labels) == split.SPLIT_LIST.read_text(encoding="utf-8")
    assert split.stratified_split(labels, seed=1) != split.stratified_split(labels, seed=0)


def test_the_split_list_is_of_the_shipped_archive():
    digest = hashlib.sha256(split.ARCHIVE.read_bytes()).hexdigest()
    assert json.loads(split.SPLIT_LIST.read_text())["sha256"] == digest


def test_classes_are_chosen_and_numbered_as_named():
    some = datasets.AnimalSilhouettes("test", classes=["zebra", "bear"])
    assert some.class_to_idx == {"zebra": 0, "bear": 1}
    animals = datasets.AnimalSilhouettes()
    assert animals.targets[some.indices[some.targets.numpy() == 0]].tolist() == [9] * 125
    assert len(some) == 125 + round(937 / 8)


# ------------------------------------------------------------------------------------- samples


def test_a_sample_is_what_totensor_makes_of_the_picture():
    pets = datasets.CatsVsDogs("train")
    image, label = pets[7]
    expected = torch.from_numpy(pets.data.numpy()[7])[None].to(torch.float32).div(255)
    assert (image.shape, str(image.dtype)) == ((1, 28, 28), "float32")
    assert np.array_equal(image.numpy(), expected.numpy())
    assert type(label) is int
    assert label == pets.targets[7].item()
    assert pets[-1][1] == pets.targets[-1].item()


def test_a_transform_gets_the_picture():
    seen = []

    def transform(picture):
        seen.append(picture)
        return minicnn.tensor(np.asarray(picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)))

    plain = datasets.CatsVsDogs("test")
    pets = datasets.CatsVsDogs("test", transform=transform, target_transform=lambda y: 10 + y)
    image, label = pets[3]
    assert (seen[0].mode, seen[0].size) == ("L", (28, 28))
    assert np.array_equal(image.numpy(), plain.data.numpy()[3, :, ::-1])
    assert label == plain[3][1] + 10


def test_iterating_ends():
    assert sum(1 for _ in datasets.CatsVsDogs("test")) == 249


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_equal_single_samples(workers):
    pets = datasets.CatsVsDogs("validation")
    one_by_one = datasets.CatsVsDogs("validation", target_transform=int)  # takes the slow path
    fast = list(data.DataLoader(pets, 100, num_workers=workers))
    slow = list(data.DataLoader(one_by_one, 100, num_workers=workers))
    images, labels = pets.as_tensors()
    for i, ((x, y), (u, v)) in enumerate(zip(fast, slow, strict=True)):
        assert (x.dtype, y.dtype) == (u.dtype, v.dtype) == ("float32", "int64")
        assert np.array_equal(x.numpy(), u.numpy())
        assert np.array_equal(y.numpy(), v.numpy())
        assert np.array_equal(x.numpy(), images.numpy()[i * 100 : i * 100 + 100])
        assert np.array_equal(y.numpy(), labels.numpy()[i * 100 : i * 100 + 100])
    assert sum(len(y) for _, y in fast) == 249


def test_a_custom_collate_function_sees_single_samples():
    pets = datasets.CatsVsDogs("test")
    samples = next(iter(data.DataLoader(pets, 3, collate_fn=list)))
    for i, (image, label) in enumerate(samples):
        assert np.array_equal(image.numpy(), pets[i][0].numpy())
        assert type(label) is int
        assert label == pets[i][1]


def test_random_transforms_do_not_depend_on_workers():
    def shift(picture):
        return np.roll(np.asarray(picture), data.sample_rng().integers(-2, 3, 2), (0, 1))

    def epoch(workers):
        pets = datasets.CatsVsDogs("validation", transform=shift)
        loader = data.DataLoader(pets, 32, shuffle=True, num_workers=workers, seed=0)
        return [images.numpy() for images, _ in loader]

    expected = epoch(0)
    for workers in (1, 3):
        for a, b in zip(epoch(workers), expected, strict=True):
            assert np.array_equal(a, b)
    plain = data.DataLoader(datasets.CatsVsDogs("validation"), 32, shuffle=True, seed=0)
    assert not np.array_equal(next(iter(plain))[0].numpy()[:, 0] * 255, expected[0])


def test_what_one_dataset_does_to_its_pixels_is_its_own_affair():
    first = datasets.CatsVsDogs("test")
    before = first.data.numpy().copy()
    first.data[...] = 0
    _, labels = first.as_tensors()
    labels[...] = 7
    assert first.targets.numpy().max() == 1
    assert np.array_equal(datasets.CatsVsDogs("test").data.numpy(), before)


def test_a_dataset_describes_itself():
    assert repr(datasets.CatsVsDogs("train")) == "CatsVsDogs(train: 1491 images of 28x28, cat, dog)"


def test_the_photograph_is_a_colour_picture():
    with Image.open(datasets.sample_photo()) as photo:
        assert (photo.format, photo.mode, photo.size) == ("JPEG", "RGB", (451, 300))
        photo.load()


def test_licences_lie_beside_the_data():
    files = split.FILES
    assert "Copyright (c) 2025 SinaSR-6" in (files / "animal_silhouettes.LICENSE").read_text()
    assert "CC0" in (files / "chelsea.LICENSE").read_text()
    described = (files / "SOURCES.md").read_text()
    for path in files.iterdir():
        assert path.name in described or path.name == "SOURCES.md"


def test_importing_reads_no_data_and_no_pillow():
    code = (
        "import sys, minicnn.datasets as d; "
        "print('PIL' in sys.modules, d.silhouettes._shipped_archive.cache_info().currsize)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "False 0\n"


# ------------------------------------------------------------------------------------- misuse


def test_an_unknown_split_is_refused():
    with pytest.raises(ArgumentError, match="'val' is none of train, validation, test"):
        datasets.CatsVsDogs("val")


@pytest.mark.parametrize("classes", [["cat", "mouse"], [], ["cat", "cat"], "mouse"])
def test_unknown_classes_are_refused(classes):
    with pytest.raises(ArgumentError, match=r"must be different ones of bear, bird, cat"):
        datasets.AnimalSilhouettes(classes=classes)


@pytest.mark.parametrize("index", [249, -250])
def test_an_index_outside_is_an_index_error(index):
    with pytest.raises(IndexError):
        datasets.CatsVsDogs("test")[index]


def whole_archive():
    with np.load(silhouettes.ARCHIVE) as archive:
        return {**archive}


def write(path, **changes):
    np.savez(path, **{k: v for k, v in {**whole_archive(), **changes}.items() if v is not None})


@pytest.mark.parametrize("kept", [0, 1, 100, 100_000, 2_620_000])
def test_a_truncated_archive_is_refused(tmp_path, kept):
    path = tmp_path / "short.npz"
    path.write_bytes(silhouettes.ARCHIVE.read_bytes()[:kept])
    with pytest.raises(DataError, match=r"short\.npz: not a silhouette archive") as caught:
        silhouettes.read_archive(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("position", [1_000, 1_000_000, 2_600_000])
def test_an_overwritten_archive_is_refused(tmp_path, position):
    path = tmp_path / "hit.npz"
    content = bytearray(silhouettes.ARCHIVE.read_bytes())
    content[position : position + 64] = bytes(64)
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"hit\.npz: not a silhouette archive"):
        silhouettes.read_archive(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images": np.zeros((5, 28, 27), np.uint8)}, r"expected images uint8 \(N, 28, 28\)"),
        ({"images": np.zeros((9716, 28, 28))}, "found images float64"),
        ({"labels": np.zeros(5, np.uint8)}, "one integer label for each image"),
        ({"labels": np.zeros(9716)}, "found images uint8 .*, labels float64"),
        ({"class_names": np.array(["cat"])}, "labels reach from 0 to 9, but there are 1"),
        ({"labels": None}, "labels"),
        ({"labels": np.array([None] * 9716)}, "not a silhouette archive"),
    ],
)
def test_a_foreign_archive_is_refused(tmp_path, changes, message):
    path = tmp_path / "foreign.npz"
    write(path, **changes)
    with pytest.raises(DataError, match=rf"foreign\.npz: .*{message}"):
        silhouettes.read_archive(path)


def test_a_file_that_is_no_archive_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"chelsea\.jpg: not a silhouette archive"):
        silhouettes.read_archive(datasets.sample_photo())
    np.save(tmp_path / "array.npy", np.zeros(3))
    with pytest.raises(DataError, match=r"array\.npy: not a silhouette archive"):
        silhouettes.read_archive(tmp_path / "array.npy")
    with pytest.raises(DataError, match="no such file"):
        silhouettes.read_archive(tmp_path / "missing.npz")
    with pytest.raises(DataError, match="not a silhouette archive"):
        silhouettes.read_archive(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"train": []}', '{"train": ["x"]}'])
def test_a_damaged_split_list_is_refused(tmp_path, text):
    path = tmp_path / "list.json"
    path.write_text(text)
    with pytest.raises(DataError, match=r"list\.json: not a split list"):
        split.read_split(path)


def test_a_split_list_of_other_images_is_refused(monkeypatch):
    short = {name: np.arange(3) for name in ("train", "validation", "test")}
    monkeypatch.setattr(silhouettes, "_split_list", lambda: short)
    with pytest.raises(DataError, match="each of the archive's 9716 images once"):
        datasets.CatsVsDogs("train")
