"""kill -9 at random moments of a run on a folder: at most an epoch is lost, and no bit."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from helpers_photos import encoded, photo

from minicnn import io
from minicnn.training import History

KILLS = 20
EPOCHS = 12
SIZE = 24  # of the square pictures

CHILD = f"""
import os, sys
import minicnn
from minicnn import data, datasets, models, nn, optim, training, transforms

pictures, out = sys.argv[1:]

class Tell(training.Callback):
    def on_epoch_begin(self, epoch):
        print(epoch, flush=True)

steps = transforms.Compose([transforms.RandomHorizontalFlip(), transforms.ToTensor()])
folder = datasets.ImageFolder(pictures, transform=steps)
resume = out if os.path.exists(os.path.join(out, "last.safetensors")) else None
minicnn.manual_seed(3 if resume is None else 99)  # a resumed run takes nothing from its own seed
train, held_out = data.random_split(folder, [0.75, 0.25], generator=0)
model = models.create("cat_dog_cnn_1_1", in_channels=3, image_size={SIZE}, num_classes=2)
trainer = training.Trainer(
    model, optim.Adam(model.parameters(), lr=2e-3), nn.CrossEntropyLoss(), callbacks=[Tell()]
)
trainer.fit(
    data.DataLoader(train, batch_size=8, shuffle=True, num_workers=2),
    data.DataLoader(held_out, batch_size=8, num_workers=2),
    epochs={EPOCHS}, out=out, resume=resume, progress=False,
)
"""


def start(pictures: Path, out: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-W", "error", "-c", CHILD, str(pictures), str(out)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def finished_epochs(out: Path) -> int:
    last = out / "last.safetensors"
    return io.load_checkpoint(last).epoch if last.exists() else 0


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("pictures")
    for label, name in enumerate(("Cat", "Dog")):
        (root / name).mkdir()
        for k in range(48):
            image = photo(label * 992 + k, (SIZE, SIZE))
            (root / name / f"{k}.jpg").write_bytes(encoded(image, quality=90))
    return root


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL on this system")
def test_killed_at_twenty_random_moments_it_loses_one_epoch_at_most_and_no_bit(pictures, tmp_path):
    whole = tmp_path / "whole"
    child = start(pictures, whole)
    with child:
        begins = [time.monotonic() for _ in child.stdout]
    assert (child.returncode, len(begins)) == (0, EPOCHS)
    first_s, epoch_s = begins[1] - begins[0], float(np.median(np.diff(begins)))

    rng = np.random.default_rng(0)
    kills: list[int] = []  # the epoch under way at each
    runs = 0
    while len(kills) < KILLS:
        out = tmp_path / f"run {runs}"
        while True:
            with start(pictures, out) as child:
                more = int(rng.integers(3))  # epochs that it may finish before
                for _ in range(1 + more):
                    begun = int(child.stdout.readline() or EPOCHS)
                time.sleep((epoch_s if more else first_s) * rng.random())
                if len(kills) < KILLS:
                    child.kill()
                begun = max([begun, *map(int, child.stdout)])  # the last that it announced
            done = finished_epochs(out)
            if child.returncode == 0:
                break
            assert child.returncode == -signal.SIGKILL
            kills.append(begun)
            assert done in (begun, begun + 1)  # all epochs before the one under way are kept
        runs += 1
        assert_same_run(whole, out)
    assert len(set(kills)) > EPOCHS // 2  # they fell all over the run
    print(f"killed {len(kills)} times in {runs} runs, in epochs {kills}")


def assert_same_run(whole: Path, out: Path) -> None:
    for name in ("last.safetensors", "best.safetensors", "history.csv"):
        assert (out / name).read_bytes() == (whole / name).read_bytes(), name
    assert sorted(p.name for p in out.iterdir()) == sorted(p.name for p in whole.iterdir())
    assert len(History.from_csv(out / "history.csv")) == EPOCHS
