"""The models: their parameter counts, their sums against torch, and being rebuilt from a file."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from oracle import relative_error

import minicnn
from minicnn import io, models, nn
from minicnn.errors import ArgumentError, CheckpointError, ShapeError

COUNTS = {"cat_dog_cnn_1_1": 56_353, "cat_dog_cnn_1_2": 29_761, "cat_dog_cnn_1_3": 683_073}


def parameters(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def torch_cat_dog(name: str, channels: int, size: int, classes: int) -> torch.nn.Sequential:
    """The same network, written down once more from the course's tables."""
    blocks, hidden = {"1": (2, None), "2": (3, None), "3": (3, 64)}[name[-1]]
    layers: list[torch.nn.Module] = []
    for i in range(blocks):
        layers += [torch.nn.Conv2d(channels if i == 0 else 32, 32, 3), torch.nn.ReLU()]
        layers += [torch.nn.MaxPool2d(2)]
        size = (size - 2) // 2
    layers += [torch.nn.Flatten()]
    features = 32 * size * size
    if hidden:
        layers += [torch.nn.Linear(features, hidden), torch.nn.ReLU()]
        features = hidden
    layers += [torch.nn.Dropout(0.2), torch.nn.Linear(features, classes)]
    return torch.nn.Sequential(*layers)


@pytest.mark.parametrize(("name", "count"), COUNTS.items())
def test_parameter_counts_of_the_course(name, count):
    assert parameters(models.create(name)) == count


@pytest.mark.parametrize("name", COUNTS)
@pytest.mark.parametrize(("channels", "size", "classes"), [(1, 28, 2), (3, 40, 1)])
def test_logits_agree_with_torch(name, channels, size, classes):
    minicnn.manual_seed(0)
    ours = models.create(name, in_channels=channels, image_size=size, num_classes=classes).eval()
    theirs = torch_cat_dog(name, channels, size, classes).eval()
    weights = [torch.from_numpy(p.detach().numpy().copy()) for p in ours.parameters()]
    theirs.load_state_dict(dict(zip(theirs.state_dict(), weights, strict=True)))
    x = np.random.default_rng(1).random((3, channels, size, size), dtype=np.float32)
    with minicnn.no_grad(), torch.no_grad():
        y = ours(minicnn.from_numpy(x))
        assert y.shape == (3, classes)
        assert relative_error(y.numpy(), theirs(torch.from_numpy(x)).numpy()) < 1e-4


@pytest.mark.parametrize(
    ("name", "least"),
    [("cat_dog_cnn_1_1", 10), ("cat_dog_cnn_1_2", 22), ("cat_dog_cnn_1_3", 22)],
)
def test_the_smallest_image_works_and_a_smaller_one_is_refused(name, least):
    model = models.create(name, image_size=(least, least + 5)).eval()
    assert model(minicnn.zeros(1, 3, least, least + 5)).shape == (1, 1)
    with pytest.raises(ShapeError, match=rf"image_size {least - 1} .*at least {least}\.") as error:
        models.create(name, image_size=(40, least - 1))
    assert "floor((n-2)/2)" in str(error.value)
    assert "\n" not in str(error.value)


def test_dropout_and_bad_options():
    model = models.cat_dog_cnn_1_3(dropout_p=0.4)
    assert model.dropout.p == 0.4
    with pytest.raises(ArgumentError, match="num_classes must be at least 1, got 0"):
        models.cat_dog_cnn_1_1(num_classes=0)
    with pytest.raises(ArgumentError, match=r"num_clases.*Its options are in_channels, image_size"):
        models.create("cat_dog_cnn_1_1", num_clases=2)


def test_fcnet_is_the_second_documents_network():
    class FCNet(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc1 = torch.nn.Linear(28 * 28, 64)
            self.fc2 = torch.nn.Linear(64, 64)
            self.fc3 = torch.nn.Linear(64, 64)
            self.fc4 = torch.nn.Linear(64, 10)

        def forward(self, x):
            x = x.view(-1, 28 * 28)
            for layer in (self.fc1, self.fc2, self.fc3):
                x = torch.nn.functional.relu(layer(x))
            return self.fc4(x)

    theirs, ours = FCNet(), models.FCNet()
    state = {k: minicnn.from_numpy(v.numpy()) for k, v in theirs.state_dict().items()}
    ours.load_state_dict(state)
    x = np.random.default_rng(0).random((5, 1, 28, 28), dtype=np.float32)
    expected = theirs(torch.from_numpy(x)).detach().numpy()
    assert relative_error(ours(minicnn.from_numpy(x)).detach().numpy(), expected) < 1e-4


def test_names():
    assert {*COUNTS, "fcnet"} <= set(models.list_models())
    assert models.list_models() == sorted(models.list_models())
    assert parameters(models.create("Cat-Dog-CNN-1.2")) == COUNTS["cat_dog_cnn_1_2"]
    with pytest.raises(ArgumentError, match=r"no model 'fcnets'\. Did you mean 'fcnet'\?"):
        models.create("fcnets")


@pytest.mark.parametrize("name", ["cat_dog_cnn_1_1", "fcnet"])
def test_a_file_rebuilds_its_model(name, tmp_path):
    options = {"image_size": (28, 30), "in_channels": 1} if name != "fcnet" else {}
    minicnn.manual_seed(5)
    model = models.create(name, num_classes=3, **options)
    assert model.recipe["options"]["num_classes"] == 3
    path = io.save_weights(model, tmp_path / "w.safetensors")
    again = models.load(path)
    assert not again.training
    x = minicnn.rand(2, 1, 28, 30) if name != "fcnet" else minicnn.rand(2, 1, 28, 28)
    assert np.array_equal(again(x).detach().numpy(), model.eval()(x).detach().numpy())


def test_every_model_takes_num_classes_and_the_courses_classes(tmp_path):
    """Files that were written while AlexNet said `classes` are read as before."""
    for name in models.list_models():
        model = models.create(name, classes=3)
        assert model.recipe["options"]["num_classes"] == 3
        assert "classes" not in model.recipe["options"]
        assert [*model.parameters()][-1].shape == (3,)
    assert models.AlexNet(classes=3).head[-1].weight.shape == (3, 4096)
    model = models.alexnet(num_classes=3)
    model.recipe = {"name": "alexnet", "options": {"classes": 3, "dropout_p": 0.5}}
    assert models.load(io.save_weights(model, tmp_path / "w")).head[-1].weight.shape == (3, 4096)
    with pytest.raises(ArgumentError, match=r"'classes'.*Its options are num_classes, dropout_p"):
        models.alexnet(num_classes=3, classes=3)


def test_a_file_without_a_known_model_says_so(tmp_path):
    path = io.save_weights(nn.Linear(2, 2), tmp_path / "w.safetensors")
    with pytest.raises(CheckpointError, match=r"w\.safetensors names no model"):
        models.load(path)


def test_own_models_join_the_registry(monkeypatch):
    from minicnn.models import registry

    monkeypatch.setattr(registry, "_builders", dict(registry._builders))

    @models.register
    def tiny(width: int = 3):
        return nn.Linear(2, width)

    assert "tiny" in models.list_models()
    assert tiny(4).recipe == {"name": "tiny", "options": {"width": 4}}
    assert models.create("tiny").weight.shape == (3, 2)


def test_normalize_is_a_first_layer_without_parameters():
    minicnn.manual_seed(0)
    plain = models.cat_dog_cnn_1_3(1, 28, 2)
    minicnn.manual_seed(0)
    scaled = models.cat_dog_cnn_1_3(1, 28, 2, normalize=(0.25, 0.5))
    assert scaled.state_dict().keys() == plain.state_dict().keys()
    x = minicnn.rand(3, 1, 28, 28)
    plain.eval(), scaled.eval()
    by_hand = minicnn.tensor((x.numpy() - np.float32(0.25)) / np.float32(0.5))
    np.testing.assert_array_equal(scaled(x).detach().numpy(), plain(by_hand).detach().numpy())
    assert repr(scaled.normalize) == "Normalize(mean=0.25, std=0.5)"
    with pytest.raises(ArgumentError, match="std must be above 0"):
        models.Normalize(0.5, 0)
