"""ImageFolder: torchvision's rules, PetImages' troubles, and what replaces what is damaged."""

from __future__ import annotations

import os
import pickle
import sys

import numpy as np
import pytest
from helpers_photos import broken_pictures, odd_pictures, pet_images, photo
from PIL import Image

from minicnn import data, datasets
from minicnn import transforms as T
from minicnn.datasets.folder import default_loader
from minicnn.errors import ArgumentError, DataError
from minicnn.io.image import quiet


def tree(root, *names):
    """Small pictures under these names."""
    for k, name in enumerate(names):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (2, 2), k).save(path, format="PNG")
    return root


def names(dataset):
    return [(os.path.relpath(path, dataset.root), label) for path, label in dataset.samples]


# ---------------------------------------------------------------------------- torchvision's rules


def test_classes_are_folders_and_samples_are_sorted(tmp_path):
    tree(tmp_path, "dog/10.png", "dog/9.png", "cat/b.jpg", "cat/a/z.JPG", "cat/a b/y.bmp")
    (tmp_path / "readme.png").touch()  # not in a class
    for junk in ("cat/Thumbs.db", "cat/a/notes.txt", "dog/clip.gif", "dog/noending"):
        (tmp_path / junk).write_bytes(b"junk")
    found = datasets.ImageFolder(tmp_path)
    assert found.classes == ["cat", "dog"]
    assert found.class_to_idx == {"cat": 0, "dog": 1}
    assert names(found) == [
        ("cat/b.jpg", 0),
        ("cat/a/z.JPG", 0),
        ("cat/a b/y.bmp", 0),
        ("dog/10.png", 1),
        ("dog/9.png", 1),
    ]
    assert found.targets == [0, 0, 0, 1, 1]
    assert found.imgs is found.samples
    assert len(found) == 5


def test_the_order_is_that_of_walking_and_sorting(tmp_path):
    """The definition: sorted(os.walk(class)), then the sorted names in each folder."""
    places = [f"{c}/{deeper}" for c in "ab" for deeper in ("", "x/", "x y/", "x/z/", "X/")]
    tree(tmp_path, *(f"{place}{n}.png" for place in places for n in "21"))
    expected = [
        (os.path.join(place, name), label)
        for label, c in enumerate("ab")
        for place, _, files in sorted(os.walk(tmp_path / c))
        for name in sorted(files)
    ]
    assert datasets.ImageFolder(tmp_path).samples == expected


def test_a_sample_is_a_colour_image_and_its_label(tmp_path):
    root = pet_images(tmp_path / "PetImages", 3)
    found = datasets.ImageFolder(str(root))
    image, label = found[4]
    assert (image.mode, label, type(label)) == ("RGB", 1, int)
    with Image.open(root / "Dog" / "1.jpg") as direct:
        np.testing.assert_array_equal(np.asarray(image), np.asarray(direct))
    assert np.array_equal(np.asarray(found[-2][0]), np.asarray(image))
    assert sum(1 for _ in found) == 6
    with pytest.raises(IndexError):
        found[6]


def test_transforms_of_image_and_label(tmp_path):
    root = pet_images(tmp_path / "PetImages", 2)
    found = datasets.ImageFolder(
        root, T.Compose([T.Resize((32, 32)), T.ToTensor()]), target_transform=lambda y: y + 10
    )
    images, labels = next(iter(data.DataLoader(found, 4)))
    assert images.shape == (4, 3, 32, 32)
    assert labels.tolist() == [10, 10, 11, 11]


def test_a_loader_of_ones_own_and_a_choice_of_files(tmp_path):
    tree(tmp_path, "a/1.png", "a/2.png", "b/1.png", "b/x.dat")
    found = datasets.ImageFolder(
        tmp_path, loader=os.path.basename, is_valid_file=lambda path: not path.endswith("1.png")
    )
    assert [found[i] for i in range(len(found))] == [("2.png", 0), ("x.dat", 1)]


def test_dataset_folder_takes_any_files(tmp_path):
    for k, name in enumerate(("a/1.npy", "b/2.NPY", "b/3.txt")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        with open(tmp_path / name, "wb") as file:
            np.save(file, np.full(2, k))
    found = datasets.DatasetFolder(tmp_path, np.load, extensions=(".npy",))
    assert [(x.tolist(), y) for x, y in found] == [([0, 0], 0), ([1, 1], 1)]
    assert len(datasets.DatasetFolder(tmp_path, np.load, ".txt", allow_empty=True)) == 1
    for both in ({}, {"extensions": (".npy",), "is_valid_file": bool}):
        with pytest.raises(ArgumentError, match="either extensions or is_valid_file"):
            datasets.DatasetFolder(tmp_path, np.load, **both)


def test_find_classes_may_be_overridden(tmp_path):
    class Reversed(datasets.ImageFolder):
        def find_classes(self, directory):
            return ["b", "a"], {"b": 0, "a": 1}

    tree(tmp_path, "a/1.png", "b/1.png", "c/1.png")
    assert names(Reversed(tmp_path)) == [("a/1.png", 1), ("b/1.png", 0)]


def test_an_empty_class_is_refused_unless_allowed(tmp_path):
    tree(tmp_path, "a/1.png")
    (tmp_path / "b").mkdir()
    (tmp_path / ".ipynb_checkpoints").mkdir()
    with pytest.raises(
        DataError, match=r"no file ending in \.jpg, .* classes \.ipynb_checkpoints, b\. R"
    ):
        datasets.ImageFolder(tmp_path)
    found = datasets.ImageFolder(tmp_path, allow_empty=True)
    assert found.classes == [".ipynb_checkpoints", "a", "b"]
    assert found.targets == [1]
    with pytest.raises(DataError, match="that is_valid_file takes"):
        datasets.ImageFolder(tmp_path, is_valid_file=lambda path: False)


def test_folders_that_cannot_be_used(tmp_path):
    with pytest.raises(DataError, match=r"none: no such folder\. Check the path"):
        datasets.ImageFolder(tmp_path / "none")
    with pytest.raises(DataError, match=r"no class folders in it\. Make a folder for each class"):
        datasets.ImageFolder(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"file is a file\. Name the folder"):
        datasets.ImageFolder(tmp_path / "file")
    with pytest.raises(ArgumentError, match="on_error must be 'raise' or 'skip', got 'ignore'"):
        datasets.ImageFolder(tmp_path, on_error="ignore")


def test_a_folder_that_may_not_be_read_is_named(tmp_path, monkeypatch):
    tree(tmp_path, "a/1.png", "a/deep/2.png")
    listing = os.scandir

    def scandir(path):
        if os.fspath(path).endswith("deep"):
            raise PermissionError(13, "Permission denied", path)
        return listing(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(DataError, match=r"deep: cannot be listed \(permission denied\)"):
        datasets.ImageFolder(tmp_path)


def test_links_are_followed_but_not_in_circles(tmp_path):
    tree(tmp_path, "root/a/1.png", "elsewhere/2.png", "root/b/3.png")
    (tmp_path / "root/a/more").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "root/a/back").symlink_to(tmp_path / "root")
    (tmp_path / "root/b/self").symlink_to(tmp_path / "root/b")
    found = datasets.ImageFolder(tmp_path / "root")
    assert names(found) == [
        ("a/1.png", 0), ("a/back/b/3.png", 0), ("a/more/2.png", 0), ("b/3.png", 1),
    ]  # fmt: skip


def test_a_home_folder_is_understood(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    tree(tmp_path / "pets", "a/1.png")
    assert len(datasets.ImageFolder("~/pets")) == 1


def test_reprs_are_torchvisions(tmp_path):
    tree(tmp_path, "a/1.png")
    head = f"Dataset ImageFolder\n    Number of datapoints: 1\n    Root location: {tmp_path}"
    assert repr(datasets.ImageFolder(tmp_path)) == head
    steps = T.Compose([T.ToTensor()])
    assert repr(datasets.ImageFolder(tmp_path, steps, abs)) == (
        f"{head}\n    StandardTransform\n    Transform: Compose(\n"
        "                   ToTensor()\n               )\n"
        "    Target transform: <built-in function abs>"
    )


# --------------------------------------------------------------------------- PetImages' troubles


@pytest.mark.parametrize("name", odd_pictures())
def test_odd_pictures_are_pictures(tmp_path, name):
    (tmp_path / "a").mkdir()
    path = tmp_path / "a" / name
    path.write_bytes(odd_pictures()[name])
    with quiet():
        image, _ = datasets.ImageFolder(tmp_path)[0]
    assert image.mode == "RGB"
    assert image.size == ((40, 60) if name == "turned.jpg" else (60, 40))
    if name == "turned.jpg":
        image = image.transpose(Image.Transpose.ROTATE_90)
    truth = np.asarray(photo(3, (60, 40)), float)
    if name.startswith(("deep", "grey", "black")):
        truth = np.asarray(photo(3, (60, 40)).convert("L").convert("RGB"), float)
    if "alpha" in name:  # as opaque as it is light, on white
        cover = np.asarray(photo(3, (60, 40)).convert("L"), float)[..., None] / 255
        truth = truth * cover + 255 * (1 - cover)
    limit = {"black and white.png": 130, "palette.png": 30, "really a gif.jpg": 30}.get(name, 8)
    assert np.abs(np.asarray(image, float) - truth).mean() < limit


@pytest.mark.parametrize("name", broken_pictures())
def test_broken_pictures_are_named(tmp_path, name):
    root = pet_images(tmp_path / "PetImages", 2)
    content, why = broken_pictures()[name]
    (root / "Cat" / name).write_bytes(content)
    found = datasets.ImageFolder(root)
    index = [path for path, _ in found.samples].index(str(root / "Cat" / name))
    with pytest.raises(DataError, match=why) as error:
        found[index]
    assert str(root / "Cat" / name) in str(error.value)
    assert "\n" not in str(error.value)
    with pytest.raises(DataError, match=why):
        list(data.DataLoader(found, 2, num_workers=2, collate_fn=list))


def test_a_loader_that_fails_says_on_which_file(tmp_path):
    tree(tmp_path, "a/1.png")

    def fail(path):
        raise KeyError("wrong")

    with pytest.raises(KeyError) as error:
        datasets.ImageFolder(tmp_path, loader=fail)[0]
    assert str(tmp_path / "a/1.png") in error.value.__notes__[0]


# ---------------------------------------------------------------------------------- on_error="skip"


def damaged_pets(root):
    """Six cats and six dogs; of the cats 0, 3, 4 and 5 and of the dogs 2 are damaged in ways that
    only decoding shows, and there are files that are none at a glance."""
    pet_images(root)
    broken = broken_pictures()
    for where, what in (
        ("Cat/0", "cut.jpg"), ("Cat/3", "hit.png"), ("Cat/4", "page.jpg"), ("Cat/5", "cut.png"),
        ("Dog/2", "bomb.bmp"), ("Cat/666", "666.jpg"), ("Dog/11702", "666.jpg"),
    ):  # fmt: skip
        (root / f"{where}.jpg").write_bytes(broken[what][0])
    (root / "Dog" / "link.jpg").symlink_to("nowhere")
    if hasattr(os, "mkfifo"):
        os.mkfifo(root / "Dog" / "pipe.jpg")
    return root


SMALL = T.Compose([T.RandomResizedCrop(16), T.RandomHorizontalFlip(), T.ToTensor()])


def test_what_is_nothing_at_a_glance_is_left_out_at_once(tmp_path):
    found = datasets.ImageFolder(damaged_pets(tmp_path / "p"), on_error="skip")
    assert len(found) == 12
    assert found.targets == [0] * 6 + [1] * 6
    assert found.imgs is found.samples
    out = {os.path.basename(path): why for path, why in found.skipped.items()}
    assert out.keys() == {"666.jpg", "11702.jpg", "link.jpg", "pipe.jpg"}
    assert "empty" in out["666.jpg"]
    assert "link to nowhere" in out["link.jpg"]
    assert "Skipped so far: 4" in repr(found)


def test_a_link_that_leads_round_in_a_circle_is_a_broken_one(tmp_path):
    pet_images(tmp_path / "p")
    (tmp_path / "p" / "Dog" / "loop.jpg").symlink_to("loop.jpg")
    found = datasets.ImageFolder(tmp_path / "p", on_error="skip")
    assert any(path.endswith("loop.jpg") for path in found.skipped)
    with pytest.raises(DataError, match=r"loop\.jpg"):
        for _ in datasets.ImageFolder(tmp_path / "p"):
            pass


def test_a_damaged_file_is_replaced_by_the_next_of_its_class(tmp_path):
    root = damaged_pets(tmp_path / "p")
    found = datasets.ImageFolder(root, on_error="skip")
    stand_ins = [1, 1, 2, 1, 1, 1, 0, 1, 3, 3, 4, 5]  # after the last cat comes the first
    for index, number in enumerate(stand_ins):
        image, label = found[index]
        assert label == found.targets[index] == index // 6
        truth = default_loader(root / ("Cat", "Dog")[label] / f"{number}.jpg")
        np.testing.assert_array_equal(np.asarray(image), np.asarray(truth))
    assert np.array_equal(np.asarray(found[-7][0]), np.asarray(found[1][0]))
    decoded = {os.path.relpath(p, root) for p in found.skipped} - {"Cat/666.jpg"}
    assert {"Cat/0.jpg", "Cat/3.jpg", "Cat/4.jpg", "Cat/5.jpg", "Dog/2.jpg"} < decoded
    assert len(found.skipped) == 9
    assert all("\n" not in why for why in found.skipped.values())


@pytest.mark.parametrize("workers", [1, 3])
def test_batches_are_the_same_bits_whoever_finds_the_damage(tmp_path, workers):
    root = damaged_pets(tmp_path / "p")

    def epochs(batch_size, workers):
        found = datasets.ImageFolder(root, SMALL, on_error="skip")
        loader = data.DataLoader(found, batch_size, shuffle=True, num_workers=workers, seed=3)
        seen = []
        for _ in range(2):
            batches = list(loader)
            assert [len(y) for _, y in batches] == [batch_size] * (12 // batch_size)
            seen.append([np.concatenate([b[k].numpy() for b in batches]) for k in (0, 1)])
        return seen, found.skipped

    plain, reasons = epochs(12, 0)
    threaded, same_reasons = epochs(4, workers)
    for (x, y), (u, v) in zip(plain, threaded, strict=True):
        np.testing.assert_array_equal(x, u)
        np.testing.assert_array_equal(y, v)
        assert sorted(y) == [0] * 6 + [1] * 6
    assert reasons == same_reasons


def test_each_damaged_file_is_tried_once(tmp_path):
    tried = []

    def loader(path):
        tried.append(os.path.basename(path))
        if "bad" in path:
            raise OSError("broken data")
        return path

    tree(tmp_path, "a/1 bad.png", "a/2.png")
    found = datasets.ImageFolder(tmp_path, loader=loader, on_error="skip")
    for _ in range(3):
        assert found[0][0].endswith("2.png")
    assert tried == ["1 bad.png", "2.png", "2.png", "2.png"]
    assert [*found.skipped.values()] == ["broken data"]


def test_a_class_without_a_sound_file_is_an_error(tmp_path):
    root = pet_images(tmp_path / "p", 2)
    for k in range(2):
        (root / "Dog" / f"{k}.jpg").write_bytes(b"not a picture")
    found = datasets.ImageFolder(root, on_error="skip")
    assert found[0][1] == 0
    for _ in range(2):
        with pytest.raises(DataError, match=r"no file of class Dog can be loaded; .*0\.jpg is not"):
            found[3]
    for k in range(2):
        (root / "Dog" / f"{k}.jpg").write_bytes(b"")
    with pytest.raises(DataError, match="in the classes Dog"):
        datasets.ImageFolder(root, on_error="skip")
    assert datasets.ImageFolder(root, allow_empty=True, on_error="skip").targets == [0, 0]


@pytest.mark.parametrize(
    "error", [OSError(24, "Too many open files"), MemoryError(), KeyError("x")]
)
def test_the_machines_troubles_and_bugs_are_not_skipped(tmp_path, error):
    """Otherwise what is learned from would depend on how busy the machine is."""
    tree(tmp_path, "a/1.png")

    def fail(path):
        raise error

    found = datasets.ImageFolder(tmp_path, loader=fail, on_error="skip")
    with pytest.raises(type(error)):
        found[0]
    assert found.skipped == {}


def test_errors_of_a_transform_are_not_skipped(tmp_path):
    tree(tmp_path, "a/1.png")
    found = datasets.ImageFolder(tmp_path, T.RandomCrop(50), on_error="skip")
    with pytest.raises(ValueError, match="RandomCrop"):
        found[0]


def test_datasets_may_be_pickled(tmp_path):
    root = damaged_pets(tmp_path / "p")
    found = pickle.loads(pickle.dumps(datasets.ImageFolder(root, SMALL, on_error="skip")))
    assert found[0][1] == 0


@pytest.mark.skipif(sys.platform == "win32", reason="no such names there")
def test_names_that_are_no_text(tmp_path):
    tree(tmp_path, "a/1.png")
    os.rename(tmp_path / "a/1.png", os.fsencode(tmp_path / "a") + b"/\xff.png")
    assert datasets.ImageFolder(tmp_path)[0][1] == 0
