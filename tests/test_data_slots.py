"""Samples written straight into their batch: the same numbers, no copies, nobody else's memory."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

import minicnn
from minicnn import data, transforms
from minicnn.errors import DataError

RNG = np.random.default_rng(0)
PICTURES = [Image.fromarray(RNG.integers(0, 256, (9, 7, 3), np.uint8)) for _ in range(10)]
STEPS = transforms.Compose(
    [transforms.ToTensor(), transforms.Normalize([0.5, 0.4, 0.3], [0.2, 0.3, 0.4])]
)


class Pictures(data.Dataset):
    """Ten pictures and their numbers; `seen` keeps what was handed out, for the tests."""

    def __init__(self, transform=STEPS, fresh=True, pictures=PICTURES):
        self.transform, self.fresh_samples, self.pictures = transform, fresh, pictures
        self.seen = {}

    def __len__(self):
        return len(self.pictures)

    def __getitem__(self, index):
        self.seen[index] = self.transform(self.pictures[index])
        return self.seen[index], index


def stacked(transform=STEPS):
    return np.stack([transform(picture).numpy() for picture in PICTURES])


@pytest.mark.parametrize("workers", [0, 1, 3])
@pytest.mark.parametrize("fresh", [True, False])
def test_batches_are_the_stacked_samples(workers, fresh):
    loader = data.DataLoader(Pictures(fresh=fresh), batch_size=4, num_workers=workers)
    batches = [images for images, _ in loader]
    np.testing.assert_array_equal(np.concatenate([b.numpy() for b in batches]), stacked())
    assert [len(b) for b in batches] == [4, 4, 2]
    assert all(b.array.flags.c_contiguous for b in batches)


def test_samples_lie_in_the_batch_only_if_the_dataset_keeps_none():
    for fresh in (True, False):
        dataset = data.Subset(Pictures(fresh=fresh), range(10))
        batch, _ = next(iter(data.DataLoader(dataset, batch_size=5)))
        rows = [dataset.dataset.seen[i].array for i in range(5)]
        assert all(np.shares_memory(row, batch.array) for row in rows) == fresh
        assert any(np.shares_memory(row, batch.array) for row in rows) == fresh


def test_a_batch_of_ones_own_making_gets_arrays_of_their_own():
    dataset = Pictures()
    loader = data.DataLoader(dataset, batch_size=2, collate_fn=lambda samples: samples)
    (first, _), (second, _) = next(iter(loader))
    assert not np.shares_memory(first.array, second.array)
    assert first.array.base is None


def test_samples_that_differ_in_size_are_named_as_ever():
    pictures = [*PICTURES[:2], PICTURES[2].resize((5, 5))]
    with pytest.raises(DataError, match=r"shapes differ: \(3, 9, 7\) in sample 0.*sample 2"):
        next(iter(data.DataLoader(Pictures(pictures=pictures), batch_size=3)))


def test_a_step_after_the_last_transform_is_stacked():
    def flip(tensor):
        return minicnn.flip(tensor, [2])

    steps = transforms.Compose([transforms.ToTensor(), flip])
    batch, _ = next(iter(data.DataLoader(Pictures(steps), batch_size=10)))
    np.testing.assert_array_equal(batch.numpy(), stacked(steps))


def test_some_samples_that_skip_a_step_are_stacked():
    def odd(picture):
        tensor = transforms.ToTensor()(picture)
        return tensor if picture is PICTURES[1] else transforms.Normalize(0.5, 0.5)(tensor)

    batch, _ = next(iter(data.DataLoader(Pictures(odd), batch_size=10)))
    np.testing.assert_array_equal(batch.numpy(), stacked(odd))


def test_two_arrays_of_a_sample_get_buffers_of_their_own():
    class Twice(Pictures):
        def __getitem__(self, index):
            picture = self.pictures[index]
            return transforms.ToTensor()(picture), transforms.ToTensor()(picture.convert("L"))

    colour, grey = next(iter(data.DataLoader(Twice(), batch_size=10)))
    np.testing.assert_array_equal(colour.numpy(), stacked(transforms.ToTensor()))
    assert grey.shape == (10, 1, 9, 7)
    assert not np.shares_memory(colour.array, grey.array)


def test_a_batch_that_is_kept_is_not_written_again():
    """Large enough to be recycled: 10 pictures of 240 kB each."""
    large = [picture.resize((200, 100)) for picture in PICTURES]
    loader = data.DataLoader(Pictures(pictures=large), batch_size=5)
    kept = [images for images, _ in loader]
    before = [images.numpy().copy() for images in kept]
    for _ in range(2):
        for images, _ in loader:
            images.numpy()
    for images, values in zip(kept, before, strict=True):
        np.testing.assert_array_equal(images.numpy(), values)
