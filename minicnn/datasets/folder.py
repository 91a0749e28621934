"""Folders of pictures, one folder for each class: `root/cat/1.jpg`, `root/dog/a/2.png`."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

from minicnn.data import Dataset
from minicnn.datasets.listing import class_folders, files_under
from minicnn.errors import ArgumentError, DataError
from minicnn.io.image import is_shortage, load_rgb, require_content

IMG_EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")

Path = str | os.PathLike[str]


def default_loader(path: Path) -> Any:
    """The picture as an upright Pillow image in mode RGB; see `minicnn.io.image.load_rgb`."""
    return load_rgb(path)


class DatasetFolder(Dataset[tuple[Any, Any]]):
    """Files in a folder for each class. A sample is (what the loader makes of the file, label).

    Classes are the folders directly in `root`, sorted by name; in each, files are taken from all
    folders below, links followed, sorted by folder and name.

    Args:
        root: the folder with the classes' folders.
        loader: makes a sample of a path. It says that a file cannot be used by a DataError,
            OSError or ValueError.
        extensions: endings of the files that are taken, in small letters; or else
        is_valid_file: tells whether to take a path.
        transform, target_transform: functions of the sample and of the label. They may draw from
            `minicnn.data.sample_rng()`.
        allow_empty: classes without a file are no error.
        on_error: "raise", or "skip" for files that cannot be used:

            * Empty files, links to nothing, pipes and devices are left out when the folder is read.
            * A file that proves damaged when it is loaded is replaced, whenever it is asked for,
              by the next file of its class (after the last comes the first) that can be loaded.

            So the number of samples, `targets`, batches and splits stay what they were, and which
            file stands for which depends on the folder's content alone, not on workers or order.
            A class of which nothing can be loaded, or a system that is out of memory or of open
            files, is an error in any case.

    Attributes:
        classes, class_to_idx: names by label, and labels by name.
        samples: a list of (path, label). targets: a list of the labels.
        skipped: {path: why} of the files left out or found damaged so far (by this process).

    Source: `torchvision.datasets.DatasetFolder`. Raises DataError for a folder that cannot be used,
    ArgumentError for arguments that contradict each other.
    """

    fresh_samples = True  # no array that is handed out is kept: see `minicnn.data.slots`

    def __init__(
        self,
        root: Path,
        loader: Callable[[str], Any],
        extensions: Sequence[str] | str | None = None,
        transform: Callable[[Any], Any] | None = None,
        target_transform: Callable[[Any], Any] | None = None,
        is_valid_file: Callable[[str], bool] | None = None,
        allow_empty: bool = False,
        *,
        on_error: str = "raise",
    ) -> None:
        if on_error not in ("raise", "skip"):
            raise ArgumentError(
                f"{type(self).__name__}: on_error must be 'raise' or 'skip', got {on_error!r}. "
                "Use on_error='skip' to go on without damaged files."
            )
        self.root = os.path.expanduser(root) if isinstance(root, str) else root
        self.loader, self.extensions = loader, extensions
        self.transform, self.target_transform = transform, target_transform
        self.on_error = on_error
        self.skipped: dict[str, str] = {}
        self.classes, self.class_to_idx = self.find_classes(self.root)
        self.samples = self.make_dataset(
            self.root, self.class_to_idx, extensions, is_valid_file, allow_empty
        )
        if on_error == "skip":
            self._leave_out(allow_empty)
        self.targets = [label for _, label in self.samples]

    def find_classes(self, directory: Path) -> tuple[list[str], dict[str, int]]:
        """The names of the classes in order, and the label of each. May be overridden."""
        names = class_folders(directory)
        return names, {name: label for label, name in enumerate(names)}

    @staticmethod
    def make_dataset(
        directory: Path,
        class_to_idx: dict[str, int],
        extensions: Sequence[str] | str | None = None,
        is_valid_file: Callable[[str], bool] | None = None,
        allow_empty: bool = False,
    ) -> list[tuple[str, int]]:
        """(path, label) of all files that are taken, sorted. May be overridden."""
        if (extensions is None) == (is_valid_file is None):
            raise ArgumentError(
                "DatasetFolder: give either extensions or is_valid_file, not both and not "
                "neither. Use extensions=('.png',), for one."
            )
        if is_valid_file is None:
            assert extensions is not None
            endings = extensions if isinstance(extensions, str) else tuple(extensions)

            def is_valid_file(path: str) -> bool:
                return path.lower().endswith(endings)

        samples = [
            (path, class_to_idx[name])
            for name in sorted(class_to_idx)
            for path in files_under(os.path.join(directory, name))
            if is_valid_file(path)
        ]
        if not allow_empty:
            _require_every_class(directory, class_to_idx, samples, extensions)
        return samples

    def _leave_out(self, allow_empty: bool) -> None:
        """Leave out what the folder's entries alone show to be of no use."""
        usable = []
        for path, label in self.samples:
            try:
                require_content(path)
                usable.append((path, label))
            except DataError as error:
                self.skipped[path] = str(error)
        self.samples = usable
        if not allow_empty:
            _require_every_class(self.root, self.class_to_idx, usable, self.extensions)

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: Any) -> tuple[Any, Any]:
        path, label = self.samples[index]
        sample = self._load(path) if self.on_error == "raise" else self._load_or_next(index, label)
        if self.transform is not None:
            sample = self.transform(sample)
        return sample, label if self.target_transform is None else self.target_transform(label)

    def _load(self, path: str) -> Any:
        try:
            return self.loader(path)
        except Exception as error:
            if not isinstance(error, DataError):  # one of ours names the file already
                error.add_note(f"while loading {path}")
            raise

    def _load_or_next(self, index: int, label: int) -> Any:
        """The sample at the index, or else the next of its class."""
        n = len(self.samples)
        for place in range(index % n, index % n + n):
            path, same = self.samples[place % n]
            if same != label or path in self.skipped:
                continue
            try:
                return self._load(path)
            except (DataError, OSError, ValueError) as error:
                if is_shortage(error):
                    raise
                self.skipped[path] = " ".join(str(error).split()) or type(error).__name__
        names = {label: name for name, label in self.class_to_idx.items()}
        reason = next(self.skipped[p] for p, same in self.samples if same == label)
        raise DataError(
            f"{self.root}: no file of class {names.get(label, label)} can be loaded; mend them, "
            f"or leave the class out. The first: {reason}"
        )

    def __repr__(self) -> str:
        lines = [f"Number of datapoints: {len(self)}", f"Root location: {self.root}"]
        if self.on_error == "skip":
            lines.append(f"Skipped so far: {len(self.skipped)}")
        if self.transform is not None or self.target_transform is not None:
            lines.append("StandardTransform")
        for name, function in (
            ("Transform: ", self.transform),
            ("Target transform: ", self.target_transform),
        ):
            if function is not None:
                first, *more = repr(function).splitlines()
                lines += [name + first, *(" " * len(name) + line for line in more)]
        return "\n    ".join([f"Dataset {type(self).__name__}", *lines])


class ImageFolder(DatasetFolder):
    """Pictures in a folder for each class. A sample is (image, label).

        dataset = ImageFolder("PetImages", transform=Compose([Resize((224, 224)), ToTensor()]))

    Args:
        root: the folder with the classes' folders.
        transform: a function of the PIL image; without one, the image itself is the sample's.
        target_transform: a function of the label.
        loader: by default, every picture as upright RGB on white; DataError for what is none.
        is_valid_file: tells whether to take a path, instead of its ending: .jpg, .jpeg, .png, .ppm,
            .bmp, .pgm, .tif, .tiff or .webp in letters of any size.
        allow_empty, on_error: as for `DatasetFolder`; "skip" goes on without damaged files.

    Attributes:
        classes, class_to_idx, samples, targets, skipped: as of `DatasetFolder`. imgs: samples.

    Source: `torchvision.datasets.ImageFolder`. Beyond it, pictures are turned upright by their
    EXIF tag, transparent parts are white, grey of 16 bits is scaled to 8 instead of clipped.
    """

    def __init__(
        self,
        root: Path,
        transform: Callable[[Any], Any] | None = None,
        target_transform: Callable[[Any], Any] | None = None,
        loader: Callable[[str], Any] = default_loader,
        is_valid_file: Callable[[str], bool] | None = None,
        allow_empty: bool = False,
        *,
        on_error: str = "raise",
    ) -> None:
        super().__init__(
            root,
            loader,
            IMG_EXTENSIONS if is_valid_file is None else None,
            transform,
            target_transform,
            is_valid_file,
            allow_empty,
            on_error=on_error,
        )
        self.imgs = self.samples


def _require_every_class(
    directory: Path,
    class_to_idx: dict[str, int],
    samples: list[tuple[str, int]],
    extensions: Sequence[str] | str | None,
) -> None:
    there = {label for _, label in samples}
    empty = sorted(name for name, label in class_to_idx.items() if label not in there)
    if not empty:
        return
    wanted = "that is_valid_file takes"
    if extensions is not None:
        endings = [extensions] if isinstance(extensions, str) else extensions
        wanted = f"ending in {', '.join(endings)}"
    raise DataError(
        f"{directory}: no file {wanted} in the classes {', '.join(empty)}. "
        "Remove these folders, or pass allow_empty=True."
    )
