"""What the commands learn from: parts of parts, pictures in memory, data by its name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers_photos import pet_images

from minicnn.cli import sources
from minicnn.cli.job import Job
from minicnn.cli.runs import Settings
from minicnn.data import Subset
from minicnn.datasets import CatsVsDogs, ImageFolder


@pytest.mark.parametrize("build", [lambda: CatsVsDogs("test"), lambda: ImageFolder("pets")])
def test_parts_of_parts_have_the_labels_of_their_samples(build):
    pet_images(Path("pets"), 4)
    whole = build()
    part = Subset(Subset(whole, [7, 1, 5, 0, 6]), range(1, 4))
    expected = [whole[i][1] for i in (1, 5, 0)]
    assert sources.labels_of(part).tolist() == expected == [label for _, label in part]
    assert sources.labels_of(Subset(part, [])).tolist() == []
    assert sources.classes_of(part) == list(whole.classes)
    assert sources.labels_of(whole).tolist() == np.asarray(whole.targets).tolist()


@pytest.mark.parametrize(
    ("how", "asked", "workers"),
    [
        ({}, None, 0),
        ({}, 3, 0),
        ({"image_size": 32}, 3, 3),
        ({"data": "pets"}, 3, 3),
        ({"data": "pets"}, 0, 0),
        ({"data": "pets"}, None, 2),
    ],
)
def test_threads_read_what_does_not_lie_in_memory(monkeypatch, how, asked, workers):
    pet_images(Path("pets"), 2)
    monkeypatch.setattr("minicnn.cli.job.threads.get_num_threads", lambda: 2)
    settings = Settings(model="cat_dog_cnn_1_1", **how)
    job = Job(settings, asked)
    assert (job.workers, job.train_loader.num_workers) == (workers, workers)
