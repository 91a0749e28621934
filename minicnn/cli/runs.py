"""What a run is made of: its settings, how they become a model and data, and where it lies."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from minicnn import data, io, models, optim
from minicnn.cli.options import quoted
from minicnn.cli.sources import Source, has_damaged, is_there
from minicnn.errors import ArgumentError, CheckpointError, DataError
from minicnn.training.checkpoints import BEST, LAST

RUNS = Path("runs")  # where runs go unless --out says otherwise, from the working folder

OPTIMIZERS: dict[str, Any] = {"adam": optim.Adam, "adamw": optim.AdamW, "sgd": optim.SGD}
MOMENTUM = {"sgd": {"momentum": 0.9}}

# ------------------------------------------------------------------------------------- recipes
# What `minicnn train` does where no option says otherwise.

DATASET = "cats-vs-dogs"
MODEL = "cat_dog_cnn_1_3"
OPTIMIZER = "adam"
LEARNING_RATE = {"adam": 2e-3, "adamw": 2e-3, "sgd": 2e-2}


@dataclass(frozen=True)
class Recipe:
    """How a model is trained unless options say otherwise."""

    epochs: int = 20
    batch_size: int = 32
    lr: float | None = None  # None: by optimizer
    image_size: int | None = None  # None: as the data comes


STANDARD = Recipe()
# AlexNet's are the notebook course's; its images have ImageNet's usual size.
RECIPES = {
    "alexnet": Recipe(epochs=5, batch_size=128, lr=1e-4, image_size=224),
    "alexnet_plain": Recipe(epochs=5, batch_size=128, lr=1e-4, image_size=224),
}


@dataclass(frozen=True)
class Settings:
    """What decides a run's bits, and is written into its checkpoints."""

    data: str = DATASET
    model: str = MODEL
    epochs: int = STANDARD.epochs
    batch_size: int = STANDARD.batch_size
    optimizer: str = OPTIMIZER
    lr: float = LEARNING_RATE[OPTIMIZER]
    seed: int = 0
    train_images: int | None = None  # only the first so many; None: all
    image_size: int | None = None  # the side that images are scaled to; None: as they come
    skip_broken: bool = False  # go on without pictures that cannot be decoded
    flip: bool = True  # mirror half of the training images, others in each epoch
    backend: str = "numba"

    @property
    def source(self) -> Source:
        """The data, made ready as these settings say."""
        return Source(self.data, self.image_size, self.seed, self.skip_broken)

    def as_config(self, **found: Any) -> dict[str, Any]:
        """The notes that the Trainer keeps in checkpoints and run.json: these, and what was found.

        classes: their names; images: how many to train and to validate on; input_size: (C, H, W).
        """
        return {**found, "settings": asdict(self)}


def recipe_of(model: str) -> Recipe:
    """How the model called `model` is trained unless options say otherwise."""
    return RECIPES.get(model_key(model), STANDARD)


def settings_of(path: Path, config: Mapping[str, Any]) -> Settings:
    """The settings in a checkpoint's config; CheckpointError if it is of another program."""
    known = {field.name for field in fields(Settings)}
    stored = config.get("settings")
    if not isinstance(stored, Mapping) or set(stored) != known:
        raise CheckpointError(
            f"{path} was not written by this version's minicnn train. "
            "Continue it where it was started, with Trainer.fit(resume=...)."
        )
    return Settings(**stored)


def require_data(path: Path, settings: Mapping[str, Any]) -> None:
    """An ArgumentError if the data that the run in `path` learned from is not where it was."""
    name = settings.get("data")
    if name is not None and not is_there(name):
        seen_from = "" if Path(name).is_absolute() else f" in {Path.cwd()}"
        raise ArgumentError(
            f"{path} was trained on the folder {name}, which is not there{seen_from}. "
            "Say where it is now: --data FOLDER"
        )


def require_same_data(path: Path, was: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """A DataError if the data of two configs differs: pictures may have changed their parts."""
    for name, between in (("classes", ", "), ("images", " + ")):
        then, here = (between.join(map(str, config.get(name) or [])) for config in (was, now))
        if then and then != here:
            raise DataError(
                f"{now['settings']['data']} is not what {path} was trained on: the {name} were "
                f"{then}, and are {here}. Put the pictures back, or start a new run."
            )


# --------------------------------------------------------------------------- models, data, steps


def training_part(settings: Settings) -> Any:
    """The images to learn from: all of the split or its first `train_images`, flipped at random."""
    whole = settings.source.part("train", flip=settings.flip)
    wanted = settings.train_images
    if wanted is None:
        return whole
    if wanted > len(whole):
        raise ArgumentError(
            f"--train-images {wanted}: {settings.data} has {len(whole)} for training. "
            f"Ask for at most {len(whole)}."
        )
    return data.Subset(whole, range(wanted))  # the split lies in mixed order


def build_model(
    name: str,
    *,
    input_size: tuple[int, ...],
    num_classes: int | None = None,
    normalize: Any = None,
) -> Any:
    """The model called `name`, made for images of `input_size` (C, H, W) and so many classes."""
    channels, height, width = input_size
    options: dict[str, Any] = {
        "in_channels": channels,
        "image_size": height if height == width else (height, width),
        "num_classes": num_classes,
        "normalize": normalize,
    }
    takes = model_options(name)
    return models.create(name, **{k: v for k, v in options.items() if k in takes and v is not None})


def model_key(name: str) -> str:
    """The name as `models` knows it."""
    return name.strip().lower().replace("-", "_").replace(".", "_")


def model_options(name: str) -> dict[str, Any]:
    """The options that a model of `models.create` takes, with their defaults."""
    key = model_key(name)
    builder = getattr(models, key, None) if key in models.list_models() else None
    if builder is None:
        models.create(name)  # raises, naming the models that there are
        return {}
    return {k: p.default for k, p in inspect.signature(builder).parameters.items()}


def build_optimizer(settings: Settings, model: Any) -> Any:
    """The optimizer of `model`'s parameters."""
    more = MOMENTUM.get(settings.optimizer, {})
    return OPTIMIZERS[settings.optimizer](model.parameters(), lr=settings.lr, **more)


# -------------------------------------------------------------------------------------- folders


def claim_folder(name: str) -> Path:
    """Make and return a folder that no run has: runs/NAME, or runs/NAME-2, runs/NAME-3, …"""
    io.check_writable(RUNS)
    for n in itertools.count(1):
        folder = RUNS / (name if n == 1 else f"{name}-{n}")
        try:
            folder.mkdir()
            return folder
        except FileExistsError:
            continue
    raise AssertionError


def newest_run(prefer: str) -> Path:
    """The folder in `runs` whose checkpoint was written last, of those with the file `prefer`."""
    found = [path for path in RUNS.glob(f"*/{LAST}") if path.is_file()]
    found = [path for path in found if path.with_name(prefer).is_file()] or found
    if not found:
        raise ArgumentError(
            f"no run in the folder {RUNS.absolute()}. Name a run's folder or a checkpoint, "
            "or make one with: minicnn train"
        )
    return max(found, key=lambda path: path.stat().st_mtime).parent


def checkpoint_in(run: Path | None, prefer: str = BEST) -> Path:
    """The checkpoint that the user means: a file, or the best (or last) of a run's folder."""
    place = newest_run(prefer) if run is None else run
    if not place.is_dir():
        return place  # if it is missing, reading it says so
    for name in (prefer, LAST, BEST):
        if (place / name).is_file():
            return place / name
    raise CheckpointError(
        f"{place} is no run: neither {BEST} nor {LAST} is in it. "
        "Name a folder that minicnn train wrote, or a checkpoint."
    )


@dataclass(frozen=True)
class Trained:
    """A model out of a checkpoint, with what was noted beside it."""

    path: Path
    model: Any
    config: Mapping[str, Any]
    epoch: int | None

    def source(self, name: str | None, skip_broken: bool | None = None) -> Source:
        """The data it was trained on, or other data, made ready in the same way."""
        settings = self.config.get("settings") or {}
        name = name or settings.get("data")
        if name is None:
            raise ArgumentError(
                f"{self.path} does not say what it was trained on. Name it: --data cats-vs-dogs, "
                "--data animals, or --data FOLDER."
            )
        size, seed = settings.get("image_size"), settings.get("seed") or 0
        if skip_broken is None:
            skip_broken = bool(settings.get("skip_broken")) or has_damaged(name)
        return Source(name, size, seed, skip_broken)

    @property
    def known_source(self) -> Source | None:
        """The data it was trained on, if its file says so."""
        return self.source(None) if (self.config.get("settings") or {}).get("data") else None

    @property
    def input_size(self) -> tuple[int, int, int]:
        """(C, H, W) of the images it takes."""
        size = self.config.get("input_size")
        if size is None:
            options = self.model.recipe["options"]
            sides = options.get("image_size", 28)
            sides = [sides, sides] if isinstance(sides, int) else list(sides)
            size = [options.get("in_channels", 1), *sides]
        return size[0], size[1], size[2]

    def class_names(self, count: int) -> list[str]:
        """A name for each of the model's `count` classes."""
        names = list(self.config.get("classes") or [])
        return names if len(names) == count else [f"class {k}" for k in range(count)]


def load_trained(run: Path | None) -> Trained:
    """The model of a run's best epoch, or of the checkpoint named."""
    path = checkpoint_in(run)
    header = io.read_header(path)
    if header.get("epoch") == 0:
        raise CheckpointError(
            f"{path} is the start of a run without a finished epoch: its weights are untrained. "
            f"Go on with it: minicnn train --resume {quoted(path.parent)}"
        )
    model = models.load(path)
    return Trained(path, model, header.get("config") or {}, header.get("epoch"))
