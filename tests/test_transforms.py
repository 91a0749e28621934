"""Transforms on Pillow images and tensors, against NumPy on the pixels."""

import numpy as np
import pytest
from PIL import Image

import minicnn
from minicnn import data, transforms
from minicnn.errors import ArgumentError, DataError


def pixels(*shape):
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 3), (5, 7, 4)])
def test_to_tensor_scales_to_one_and_puts_channels_first(shape):
    array = pixels(*shape)
    got = transforms.ToTensor()(Image.fromarray(array))
    want = array.reshape(5, 7, -1).transpose(2, 0, 1) / np.float32(255)
    assert got.dtype == minicnn.float32
    np.testing.assert_array_equal(got.numpy(), want)
    np.testing.assert_array_equal(transforms.ToTensor()(array).numpy(), want)


def test_to_tensor_takes_black_and_white_and_refuses_what_is_no_image():
    got = transforms.ToTensor()(Image.fromarray(np.eye(3, dtype=bool)))
    np.testing.assert_array_equal(got[0].numpy(), np.eye(3, dtype=np.float32))
    for wrong in (np.zeros((2, 2)), Image.new("I", (2, 2)), np.zeros(3, np.uint8), "cat.png"):
        with pytest.raises(DataError, match="ToTensor: expected an image"):
            transforms.ToTensor()(wrong)


def test_flip_always_never_and_sometimes():
    array = pixels(4, 6, 3)
    image = Image.fromarray(array)
    always, never = transforms.RandomHorizontalFlip(1.0), transforms.RandomHorizontalFlip(0.0)
    np.testing.assert_array_equal(np.asarray(always(image)), array[:, ::-1])
    np.testing.assert_array_equal(np.asarray(never(image)), array)
    x = minicnn.rand(3, 4, 6)
    np.testing.assert_array_equal(always(x).numpy(), x.numpy()[..., ::-1])
    flip = transforms.RandomHorizontalFlip(0.25)
    flipped = sum(not np.array_equal(np.asarray(flip(image)), array) for _ in range(2000))
    assert 420 < flipped < 580  # 500 expected, standard deviation 19
    with pytest.raises(ArgumentError, match="from 0 to 1"):
        transforms.RandomHorizontalFlip(2)
    with pytest.raises(ArgumentError, match="Pillow image or a Tensor"):
        always(array)


class Pictures(data.Dataset):
    """Forty different pictures through a random flip."""

    transform = transforms.Compose([transforms.RandomHorizontalFlip(), transforms.ToTensor()])

    def __len__(self):
        return 40

    def __getitem__(self, index):
        image = Image.fromarray(np.arange(index, index + 6, dtype=np.uint8).reshape(2, 3))
        return self.transform(image)


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_what_is_flipped_depends_on_seed_epoch_and_index_alone(workers):
    def epochs(batch_size, workers):
        loader = data.DataLoader(Pictures(), batch_size, num_workers=workers, seed=5)
        return [np.concatenate([b.numpy() for b in loader]) for _ in range(2)]

    plain = epochs(40, 0)
    assert not np.array_equal(*plain)
    np.testing.assert_array_equal(epochs(7, workers), plain)


def test_compose_says_what_it_does():
    assert repr(Pictures.transform) == (
        "Compose(\n    RandomHorizontalFlip(p=0.5)\n    ToTensor()\n)"
    )
