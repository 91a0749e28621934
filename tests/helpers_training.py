"""A small network, data that it can learn, and the whole of a run: for the tests of training."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import minicnn
from minicnn import data, models, nn, optim
from minicnn.training import History, Trainer

SIZE = 12  # of the square images


def images_and_labels(n: int = 70, seed: int = 1):
    """Two classes that a small network can tell apart: a bright spot left or right."""
    rng = np.random.default_rng(seed)
    images = rng.random((n, 1, SIZE, SIZE), dtype=np.float32)
    labels = rng.integers(2, size=n)
    images[np.arange(n), 0, 6, np.where(labels, 8, 3)] += 2
    return minicnn.from_numpy(images), minicnn.from_numpy(labels)


def loaders(n: int = 70):
    train = data.DataLoader(data.TensorDataset(*images_and_labels(n)), batch_size=16, shuffle=True)
    held_out = data.TensorDataset(*images_and_labels(30, seed=2))
    return train, data.DataLoader(held_out, batch_size=16)


def network(classes: int = 2) -> nn.Module:
    return models.create("cat_dog_cnn_1_1", in_channels=1, image_size=SIZE, num_classes=classes)


def make(seed: int = 4, classes: int = 2, lr: float = 5e-3, **options) -> Trainer:
    minicnn.manual_seed(seed)
    model = network(classes)
    loss = nn.CrossEntropyLoss() if classes > 1 else nn.BCEWithLogitsLoss()
    return Trainer(model, optim.Adam(model.parameters(), lr=lr), loss, **options)


def fit(trainer: Trainer, epochs: int, **options) -> History:
    return trainer.fit(*loaders(), epochs=epochs, progress=False, **options)


def weights(model: nn.Module) -> dict[str, np.ndarray]:
    return {k: v.detach().numpy().copy() for k, v in model.state_dict().items()}


def assert_same_bits(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> None:
    assert a.keys() == b.keys()
    for key, value in a.items():
        assert value.tobytes() == b[key].tobytes(), key


def files(folder: Path) -> list[str]:
    return sorted(p.name for p in Path(folder).iterdir())


WHOLE_RUN = ["best.safetensors", "history.csv", "last.safetensors", "run.json"]
