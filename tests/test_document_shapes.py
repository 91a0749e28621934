"""The shapes that the course prints for its first convolutions, and how a shape prints here."""

from __future__ import annotations

import pytest

import minicnn
import minicnn.nn as nn


@pytest.mark.parametrize(
    ("title", "options", "shape"),
    [
        ("Baseline", {"out_channels": 3, "kernel_size": 3}, (3, 126, 126)),
        ("Larger Kernel", {"out_channels": 3, "kernel_size": 7}, (3, 122, 122)),
        ("Larger Stride", {"out_channels": 3, "kernel_size": 3, "stride": 3}, (3, 42, 42)),
        ("Larger Padding", {"out_channels": 3, "kernel_size": 3, "padding": 2}, (3, 130, 130)),
        ("More Output Channels", {"out_channels": 64, "kernel_size": 3}, (64, 126, 126)),
    ],
)
@pytest.mark.parametrize("backend", ["numpy", "numba"])  # loops would take minutes
def test_convolutions_of_a_128_pixel_image(backend, title, options, shape):
    image = minicnn.rand(3, 128, 128)
    with minicnn.use_backend(backend):
        output = nn.Conv2d(in_channels=3, **options)(image)
    assert output.shape == shape, title
    assert str(output.shape) == f"minicnn.Size({[*shape]})"


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_stacked_convolutions(backend):
    image = minicnn.rand(3, 128, 128)
    conv1 = nn.Conv2d(in_channels=3, out_channels=32, kernel_size=7, stride=2, padding=1)
    conv2 = nn.Conv2d(in_channels=32, out_channels=64, kernel_size=3, stride=1, padding=0)
    with minicnn.use_backend(backend):
        output = conv2(conv1(image))
    assert output.shape == (64, 60, 60)
    assert f"{output.shape}" == "minicnn.Size([64, 60, 60])"


def test_pooling():
    image = minicnn.rand(3, 128, 128)
    assert nn.MaxPool2d(kernel_size=3)(image).shape == (3, 42, 42)
    assert nn.MaxPool2d(kernel_size=3, stride=2)(image).shape == (3, 63, 63)


def test_average_and_adaptive_pooling():
    image = minicnn.rand(3, 128, 128)
    assert nn.AvgPool2d(kernel_size=3)(image).shape == (3, 42, 42)
    assert nn.AvgPool2d(kernel_size=3, stride=2)(image).shape == (3, 63, 63)
    for size in ((64, 64), (1, 1), (32, 64)):
        assert nn.AdaptiveAvgPool2d(size)(image).shape == (3, *size)


def test_the_fully_connected_network():
    """784 -> 64 -> 64 -> 64 -> 10 on a batch of 28x28 images, with `x.view(-1, 28*28)` inside."""
    net = minicnn.models.FCNet()
    assert net(minicnn.rand(5, 1, 28, 28)).shape == (5, 10)
    names = [name for name, _ in net.named_parameters()]
    assert names == [f"fc{i}.{part}" for i in (1, 2, 3, 4) for part in ("weight", "bias")]
    assert sum(p.numel() for p in net.parameters()) == 59_210


def test_a_size_is_a_tuple_that_prints():
    size = minicnn.Size([3, 126, 126])
    assert repr(size) == "minicnn.Size([3, 126, 126])"
    assert size == (3, 126, 126)
    assert nn.Conv2d(3, 3, 3)(minicnn.rand(3, 128, 128)).shape == (3, 126, 126)


@pytest.fixture
def photographs(tmp_path):
    """Crops of the shipped photograph, in a folder for each of two classes."""
    from PIL import Image

    photo = Image.open(minicnn.datasets.sample_photo()).convert("RGB")
    for label in ("Cat", "Dog"):
        (tmp_path / label).mkdir()
        for k in range(6):
            corner = (20 * k, 10 * k) if label == "Cat" else (200 - 20 * k, 90 - 10 * k)
            box = (*corner, corner[0] + 140, corner[1] + 130)
            photo.crop(box).save(tmp_path / label / f"{k}.jpg")
    return tmp_path


def test_a_loop_in_the_courses_style_trains_on_a_folder(photographs):
    """Under the names that a notebook for torch uses, with `minicnn` imported as `torch`."""
    torch = minicnn
    transforms, optim = minicnn.transforms, minicnn.optim
    device = "cuda" if torch.cuda.is_available() else "cpu"
    steps = transforms.Compose(
        [
            transforms.Resize((127, 127)),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225]),
        ]
    )
    dataset = torch.datasets.ImageFolder(photographs, transform=steps)
    assert dataset.classes == ["Cat", "Dog"]
    count = int(0.75 * len(dataset))
    torch.manual_seed(0)
    parts = torch.utils.data.random_split(dataset, lengths=[count, len(dataset) - count])
    loaders = [torch.utils.data.DataLoader(p, batch_size=5, num_workers=2) for p in parts]

    small = nn.Sequential(
        nn.Conv2d(in_channels=3, out_channels=8, kernel_size=11, stride=4, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(kernel_size=3, stride=2),
        nn.BatchNorm2d(num_features=8),
        nn.AdaptiveAvgPool2d((6, 6)),
        nn.Flatten(),
        nn.Dropout(0.5),
        nn.Linear(8 * 6 * 6, 2),
    )
    model = small.to(device)
    optimizer, loss_fn = optim.Adam(params=model.parameters(), lr=1e-3), nn.CrossEntropyLoss()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    seen = 0
    for image, label in loaders[0]:
        image, label = image.to(device), label.to(device)
        optimizer.zero_grad()
        out = model.forward(image)
        loss = loss_fn(out, label)
        predictions = torch.argmax(out, axis=1)
        accuracy = (predictions == label).sum() / len(predictions)
        right = sum(int(p) == int(t) for p, t in zip(predictions, label, strict=True))
        assert accuracy.item() == pytest.approx(right / len(label))
        loss.backward()
        optimizer.step()
        seen += len(label)
    assert seen == count
    changed = [n for n, v in model.state_dict().items() if not torch.equal(v, before[n])]
    assert changed == list(before)  # weights, and BatchNorm's running statistics
    model.eval()
    for image, label in loaders[1]:
        with torch.no_grad():
            assert model(image).reshape(label.shape[0], -1).shape == (len(label), 2)
