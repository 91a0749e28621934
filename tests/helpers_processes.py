"""Datasets for worker processes, which import this module and no more of the tests."""

from __future__ import annotations

import os
import signal
import time

import numpy as np

import minicnn
from minicnn import data


class Made(data.Dataset):
    """Samples that function(index) makes."""

    def __init__(self, n, function):
        self.n, self.function = n, function

    def __len__(self):
        return self.n

    def __getitem__(self, index):
        return self.function(index)


class OutOfFilm(Exception):
    """An error that pickle cannot bring back: its constructor takes two arguments."""

    def __init__(self, camera, frame):
        super().__init__(f"{camera} has no frame {frame}")


def noisy(index):
    """All kinds of content, with random numbers as an augmenting transform draws them."""
    image = data.sample_rng().random((3, 40, 50), dtype=np.float32)
    wide = minicnn.from_numpy(image.transpose(1, 0, 2).copy()).permute(1, 0, 2)
    return {"image": image, "wide": wide, "name": f"no. {index}", "both": (index, np.zeros(0))}


def growing(index):
    return np.full((index * 50, 30), index, np.float64)


def number_of_process(index):
    return os.getpid()


def drawn_globally(index):
    return minicnn.rand(1).item(), float(np.random.random())  # noqa: NPY002


def broken(index):
    if index == 6:
        raise KeyError("film", index)
    return index


def broken_past_pickling(index):
    raise OutOfFilm("camera", index)


def stops(index):
    raise StopIteration


def asleep(index):
    if index >= 2:
        time.sleep(60)
    return np.full((100, 100), index)


def dies_at_4(index):
    if index == 4:
        os._exit(7)
    return index


def killed_at_4(index):
    if index == 4:
        os.kill(os.getpid(), signal.SIGKILL)
    return index


def unsendable(index):
    return minicnn.rand(2, requires_grad=True) * 2


def as_they_are(samples):
    return samples


def no_start(number):
    raise ValueError(f"worker {number} will not start")


class Numbers(data.IterableDataset):
    def __iter__(self):
        return iter(range(10))
