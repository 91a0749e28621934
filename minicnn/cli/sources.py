"""What a network on the command line learns from: data by name, or a folder of photographs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np

from minicnn import data, datasets, random, transforms
from minicnn.cli.options import quoted
from minicnn.cli.progress import facts
from minicnn.data import Subset
from minicnn.datasets.disk import megabytes
from minicnn.datasets.published import PUBLISHED, data_folder, published_as
from minicnn.errors import ArgumentError, DataError
from minicnn.io.image import load_rgb

SPLITS = ("train", "validation", "test")
BUILT_IN: dict[str, Any] = {
    "cats-vs-dogs": datasets.CatsVsDogs,
    "animals": datasets.AnimalSilhouettes,
}
# Mean and standard deviation of the training images, for a model's first layer; of photographs
# those of ImageNet's, by channel.
NORMALIZE: dict[str, Any] = {"cats-vs-dogs": (0.284, 0.422), "animals": (0.274, 0.406)}
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
PHOTO_SIZE = 160  # pixels, where neither an option nor the model's recipe says otherwise
HELD_OUT = 0.1  # the share of an undivided folder that is for validation
FOLDERS = {"train": ("train",), "validation": ("validation", "val", "valid"), "test": ("test",)}


@dataclass(frozen=True)
class Source:
    """Where images come from, and how they are made ready.

    Args:
        name: one of `BUILT_IN`, or a folder with a subfolder for each class; or with such folders
            in train/ and validation/ (and test/); or published data that was fetched.
        image_size: the side that images are scaled to; None leaves built-in ones as they are.
        seed: decides which tenth of an undivided folder is for validation.
        skip_broken: go on without pictures that cannot be decoded (`datasets.ImageFolder`).
    """

    name: str
    image_size: int | None = None
    seed: int = 0
    skip_broken: bool = False

    @property
    def is_folder(self) -> bool:
        """Whether this is a folder of photographs."""
        return self.name not in BUILT_IN

    @property
    def normalize(self) -> Any:
        """(mean, standard deviation) of the images."""
        return NORMALIZE.get(self.name, IMAGENET)

    def part(self, split: str, *, flip: bool = False) -> Any:
        """A part of the data, or None if there is no such part; `flip` mirrors half at random."""
        if not self.is_folder:
            steps = self._steps(flip)
            return BUILT_IN[self.name](
                split, transform=transforms.Compose(steps) if len(steps) > 1 else None
            )
        folder = self._folder()
        divided = _divided(folder)
        if divided:
            return self._photographs(divided[split], flip) if split in divided else None
        if split == "test":
            return None
        whole = self._photographs(folder, flip)
        return Subset(whole, held_out(len(whole), self.seed)[SPLITS.index(split)])

    def _steps(self, flip: bool) -> list[Any]:
        side = PHOTO_SIZE if self.is_folder and self.image_size is None else self.image_size
        steps: list[Any] = [] if side is None else [transforms.Resize((side, side))]
        flips = [transforms.RandomHorizontalFlip()] if flip else []
        return [*steps, *flips, transforms.ToTensor()]

    def _photographs(self, folder: Path, flip: bool) -> Any:
        steps = transforms.Compose(self._steps(flip))
        how: dict[str, Any] = {"on_error": "skip"}
        if not self.skip_broken:
            how = {"loader": Strict(look_over(self.name))}
        found = datasets.ImageFolder(folder, transform=steps, allow_empty=True, **how)
        there = set(found.targets)
        empty = [name for label, name in enumerate(found.classes) if label not in there]
        if empty:
            raise DataError(
                f"{folder}: no picture that can be used in {', '.join(empty)}. Fill or remove what "
                f"is no class; to see what is in there: {look_over(self.name)}"
            )
        return found

    def read(self, path: str, channels: int) -> np.ndarray:
        """An image file as the network saw those it was validated on: float32 (channels, H, W)."""
        image = load_rgb(path).convert("RGB" if channels == 3 else "L")
        return transforms.Compose(self._steps(False))(image).numpy()

    def _folder(self) -> Path:
        folder = Path(self.name)
        if folder.is_dir():
            return folder
        if name := published_as(self.name):
            return fetched(name)
        if folder.exists():
            raise ArgumentError(
                f"--data {self.name} is a file. Name the folder with a subfolder for each class."
            )
        raise ArgumentError(
            f"--data {self.name!r} is not known, and no folder. Use "
            f"{', '.join([*BUILT_IN, *PUBLISHED])}, or a folder with a subfolder of images for "
            "each class."
        )


@dataclass(frozen=True)
class Strict:
    """Reads pictures; of one that cannot be decoded the error says what a command can do."""

    look_over: str

    def __call__(self, path: str) -> Any:
        try:
            return load_rgb(path)
        except DataError as error:
            what = str(error).rsplit(". ", 1)[0]
            raise DataError(
                f"{what}. Go on without such pictures: --skip-broken; to see which they are: "
                f"{self.look_over}"
            ) from error


def look_over(name: str) -> str:
    """The command that lists what cannot be decoded in the folder or published data."""
    return f"minicnn data check {quoted(name)}"


def is_there(name: str) -> bool:
    """Whether there is such data: built in, published (fetched or not), or a folder."""
    return name in BUILT_IN or published_as(name) is not None or Path(name).is_dir()


def fetched(name: str) -> Path:
    """The folder of published data; an ArgumentError if it was not fetched and unpacked."""
    published, root = PUBLISHED[name], data_folder()
    if published.ready(root):
        return root / published.folder
    raise ArgumentError(
        f"{name} is not in {root}. Fetch it, {megabytes(published.archive.size)}, with: "
        f"minicnn data fetch {name}"
    )


def settled_name(name: str) -> str:
    """The name under which a run remembers its data: published data's own, in whatever spelling."""
    if not name:
        raise ArgumentError("--data is empty. Name data or a folder, or leave --data out.")
    return name if Path(name).is_dir() else published_as(name) or name


def has_damaged(name: str) -> bool:
    """Whether this is published data of which some pictures are known to be damaged."""
    return name in PUBLISHED and not Path(name).is_dir() and PUBLISHED[name].damaged > 0


def held_out(count: int, seed: int) -> tuple[list[int], list[int]]:
    """Indices to train and to validate on: a seeded tenth is held out."""
    if count < 2:
        raise DataError(
            f"{count} image{'s' * (count != 1)} cannot be divided into training and validation. "
            "Add images."
        )
    order = random.generator(seed).permutation(count).tolist()
    cut = min(max(int((1 - HELD_OUT) * count), 1), count - 1)
    return order[:cut], order[cut:]


def _divided(folder: Path) -> dict[str, Path]:
    """The folders of the parts, if the data comes divided; else {}."""
    found = {
        split: path
        for split, names in FOLDERS.items()
        for name in names[::-1]
        if (path := folder / name).is_dir()
    }
    return found if {"train", "validation"} <= found.keys() else {}


# --------------------------------------------------------------------------------- of any dataset


def chosen(dataset: Any) -> tuple[Any, np.ndarray]:
    """The dataset beneath all Subsets, and the indices of the samples that they choose of it."""
    if not isinstance(dataset, Subset):
        return dataset, np.arange(len(dataset))
    whole, indices = chosen(dataset.dataset)
    return whole, indices[list(dataset.indices)]


def skipped(*parts: Any) -> dict[str, str]:
    """The files of these parts that were left out or replaced, and why; None is no part."""
    found: dict[str, str] = {}
    for part in parts:
        if part is not None:
            found |= getattr(chosen(part)[0], "skipped", {})
    return found


def say_skipped(lost: Mapping[str, str], name: str) -> None:
    """How many pictures of the data were left out, one of them, and how to see them all."""
    if lost:
        one = len(lost) == 1
        count = f"{len(lost):,} picture{'s' * (not one)} that cannot be decoded"
        facts(skipped=f"{count}{':' if one else ', such as'} {min(lost)}")
        click.echo(f"{'':<10}which, and why: {look_over(name)}")


def classes_of(dataset: Any) -> list[str]:
    """The names of its classes, by label."""
    return list(chosen(dataset)[0].classes)


def labels_of(dataset: Any) -> np.ndarray:
    """The labels of all its samples, without reading an image."""
    whole, indices = chosen(dataset)
    targets = whole.targets
    labels = targets.numpy() if hasattr(targets, "numpy") else np.asarray(targets)
    return labels[indices]


def replaced(dataset: Any) -> dict[str, str]:
    """Its files that other pictures stand in for, and why."""
    whole, indices = chosen(dataset)
    lost = skipped(dataset)
    paths = [whole.samples[i][0] for i in indices] if lost else []
    return {path: lost[path] for path in paths if path in lost}


def own_pictures(dataset: Any) -> np.ndarray:
    """Which samples are their own pictures, not stand-ins for files that cannot be decoded: bool.

    Which those files are is known when all samples were read.
    """
    whole, indices = chosen(dataset)
    lost = skipped(dataset)
    return np.array([not lost or whole.samples[i][0] not in lost for i in indices], bool)


def first_images(dataset: Any, count: int) -> Any:
    """The first so many images as one tensor, read as a loader reads them."""
    loader = data.DataLoader(Subset(dataset, range(min(count, len(dataset)))), batch_size=count)
    images, _ = next(iter(loader))
    return images


def sizes(parts: Sequence[Any]) -> str:
    """ "1,491 to train, 249 to validate, 249 to test", without the parts that are not there."""
    purposes = zip(("train", "validate", "test"), parts, strict=True)
    return ", ".join(f"{len(part):,} to {word}" for word, part in purposes if part is not None)
