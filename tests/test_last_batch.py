"""A last batch of one image, where a BatchNorm may get one value per channel: said beforehand."""

from __future__ import annotations

import pytest
from helpers_training import SIZE, assert_same_bits, images_and_labels, weights

import minicnn
from minicnn import data, nn, optim
from minicnn.errors import ShapeError, TrainingError
from minicnn.random import get_rng_state
from minicnn.training import Callback, Trainer


class Frozen(nn.BatchNorm1d):
    """A BatchNorm that is not to be trained."""

    def train(self, mode: bool = True):
        return super().train(False)


def behind_linear(norm: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(SIZE * SIZE, 4), norm, nn.Linear(4, 2))


NETWORKS = {
    "no BatchNorm": lambda: behind_linear(nn.ReLU()),
    "one value": lambda: behind_linear(nn.BatchNorm1d(4)),
    "one value, no statistics": lambda: behind_linear(
        nn.BatchNorm1d(4, track_running_stats=False)
    ),
    "frozen": lambda: behind_linear(Frozen(4)),
    "maps of 12×12": lambda: nn.Sequential(nn.BatchNorm2d(1), behind_linear(nn.ReLU())),
    "a map of 1×1": lambda: nn.Sequential(
        nn.Conv2d(1, 2, SIZE), nn.BatchNorm2d(2), nn.Flatten()
    ),
}  # fmt: skip


def some(images: int, **how) -> data.DataLoader:
    return data.DataLoader(data.TensorDataset(*images_and_labels(images)), shuffle=True, **how)


def trainer_of(model: nn.Module, *callbacks: Callback) -> Trainer:
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    return Trainer(model, optimizer, nn.CrossEntropyLoss(), callbacks=callbacks)


def stops_a_plain_loop(model: nn.Module, loader: data.DataLoader) -> bool:
    model.train()
    try:
        for images, _ in loader:
            model(images)
    except ShapeError as error:
        return "one value per channel" in str(error)
    return False


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize(
    ("images", "how"),
    [
        (9, {"batch_size": 4}),
        (9, {"batch_size": 4, "drop_last": True}),
        (9, {"batch_size": 3}),
        (10, {"batch_size": 4}),
        (4, {"batch_size": 1}),
        (1, {"batch_size": 8}),
    ],
)
def test_it_is_said_before_the_first_epoch_if_and_only_if_it_would_happen(network, images, how):
    class Begins(Callback):
        def on_train_begin(self) -> None:
            raise KeyError("the training begins")

    stops = stops_a_plain_loop(NETWORKS[network](), some(images, **how))
    trainer = trainer_of(NETWORKS[network](), Begins())
    with pytest.raises(TrainingError if stops else KeyError) as said:
        trainer.fit(some(images, **how), progress=False)
    if stops:
        layer = 'BatchNorm2d "1"' if "map" in network else 'BatchNorm1d "2"'
        assert layer in str(said.value)
        assert f"{images} images in batches of {how['batch_size']}" in str(said.value)


def test_what_the_error_says_helps():
    model = NETWORKS["one value"]()
    with pytest.raises(TrainingError, match=r"Use drop_last=True, or another batch_size than 4\."):
        trainer_of(model).fit(some(9, batch_size=4), progress=False)
    trainer_of(model).fit(some(9, batch_size=4, drop_last=True), progress=False)
    trainer_of(model).fit(some(9, batch_size=5), progress=False)
    with pytest.raises(TrainingError, match=r"batch_size of at least 2\."):
        trainer_of(model).fit(some(9, batch_size=1), progress=False)


def test_looking_leaves_no_trace():
    """Neither in the network nor in what chance gives next."""
    minicnn.manual_seed(3)
    model = nn.Sequential(nn.BatchNorm2d(1), nn.Dropout(0.5), behind_linear(nn.ReLU()))
    model[1].eval()
    kept, modes = weights(model), [m.training for m in model.modules()]
    loader = some(9, batch_size=4, generator=7)
    chance, order = get_rng_state(), loader.state_dict()
    trainer_of(model).fit(loader, epochs=0, progress=False)
    assert_same_bits(kept, weights(model))
    assert [m.training for m in model.modules()] == modes
    assert (get_rng_state(), loader.state_dict()) == (chance, order)


@pytest.mark.parametrize("loader", [[images_and_labels(1)], iter([images_and_labels(1)])])
def test_batches_that_tell_no_size_are_believed(loader):
    with pytest.raises(ShapeError, match="one value per channel"):
        trainer_of(NETWORKS["one value"]()).fit(loader, progress=False)
