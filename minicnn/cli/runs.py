"""What a run is made of: its settings, how they become a model and data, and where it lies."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from minicnn import data, datasets, io, models, optim
from minicnn.errors import ArgumentError, CheckpointError
from minicnn.training.checkpoints import BEST, LAST
from minicnn.transforms import Compose, RandomHorizontalFlip, ToTensor

RUNS = Path("runs")  # where runs go unless --out says otherwise, from the working folder

DATA: dict[str, Any] = {"cats-vs-dogs": datasets.CatsVsDogs, "animals": datasets.AnimalSilhouettes}
OPTIMIZERS: dict[str, Any] = {"adam": optim.Adam, "adamw": optim.AdamW, "sgd": optim.SGD}
MOMENTUM = {"sgd": {"momentum": 0.9}}

# ------------------------------------------------------------------------------------- recipes
# What `minicnn train` does where no option says otherwise.

DATASET = "cats-vs-dogs"
MODEL = "cat_dog_cnn_1_3"
EPOCHS = 20
BATCH_SIZE = 32
OPTIMIZER = "adam"
LEARNING_RATE = {"adam": 2e-3, "adamw": 2e-3, "sgd": 2e-2}
# Mean and standard deviation of all pixels of the training images, for the model's first layer.
NORMALIZE = {"cats-vs-dogs": (0.284, 0.422), "animals": (0.274, 0.406)}


@dataclass(frozen=True)
class Settings:
    """What decides a run's bits, and is written into its checkpoints."""

    data: str = DATASET
    model: str = MODEL
    epochs: int = EPOCHS
    batch_size: int = BATCH_SIZE
    optimizer: str = OPTIMIZER
    lr: float = LEARNING_RATE[OPTIMIZER]
    seed: int = 0
    train_images: int | None = None  # only the first so many; None: all
    flip: bool = True  # mirror half of the training images, others in each epoch
    backend: str = "numba"

    def as_config(self, classes: list[str], input_size: list[int]) -> dict[str, Any]:
        """The notes that the Trainer keeps in checkpoints and run.json."""
        return {"classes": classes, "input_size": input_size, "settings": asdict(self)}


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


# --------------------------------------------------------------------------- models, data, steps


def dataset(name: str, split: str, transform: Any = None) -> Any:
    """One part of the data called `name` on the command line."""
    if name not in DATA:
        what = f"--data {name!r}"
        if Path(name).exists():
            what += ": files and folders of your own cannot be trained on yet"
        else:
            what += " is not known"
        raise ArgumentError(f"{what}. Use {' or '.join(DATA)}.")
    return DATA[name](split, transform=transform)


def training_part(settings: Settings) -> Any:
    """The images to learn from: all of the split or its first `train_images`, flipped at random."""
    flip = Compose([RandomHorizontalFlip(), ToTensor()]) if settings.flip else None
    whole = dataset(settings.data, "train", transform=flip)
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
    classes: int | None = None,
    normalize: tuple[float, float] | None = None,
) -> Any:
    """The model called `name`, made for images of `input_size` (C, H, W) and so many classes."""
    channels, height, width = input_size
    options: dict[str, Any] = {
        "in_channels": channels,
        "image_size": height if height == width else (height, width),
        "num_classes": classes,
        "normalize": normalize,
    }
    takes = model_options(name)
    return models.create(name, **{k: v for k, v in options.items() if k in takes and v is not None})


def model_options(name: str) -> dict[str, Any]:
    """The options that a model of `models.create` takes, with their defaults."""
    key = name.strip().lower().replace("-", "_").replace(".", "_")
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


def newest_run() -> Path:
    """The folder in `runs` whose checkpoint was written last."""
    found = [path for path in RUNS.glob(f"*/{LAST}") if path.is_file()]
    if not found:
        raise ArgumentError(
            f"no run in the folder {RUNS.absolute()}. Name a run's folder or a checkpoint, "
            "or make one with: minicnn train"
        )
    return max(found, key=lambda path: path.stat().st_mtime).parent


def checkpoint_in(run: Path | None, prefer: str = BEST) -> Path:
    """The checkpoint that the user means: a file, or the best (or last) of a run's folder."""
    place = newest_run() if run is None else run
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

    @property
    def data(self) -> str | None:
        """The data it was trained on, by its name here."""
        return (self.config.get("settings") or {}).get("data")

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
            f"Go on with it: minicnn train --resume {path.parent}"
        )
    model = models.load(path)
    return Trained(path, model, header.get("config") or {}, header.get("epoch"))
