"""AlexNet trained in PyTorch on what `minicnn train` with the same options trains on.

    python benchmarks/peers/torch_alexnet.py --seed 0 --epochs 5 --image-size 128

From minicnn come the first weights, the batches and the dropout masks; the layers, their gradients,
the loss and Adam are torch's. Prints JSON: loss and accuracy of each epoch, as in history.csv.
"""

from __future__ import annotations

import argparse
import json
import sys

import numpy as np
import torch
from torch import nn

import minicnn
from minicnn.cli.job import Job
from minicnn.cli.runs import Settings


class SameDropout(nn.Module):
    """Dropout with the mask that minicnn's next dropout draws."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.training:
            return x
        mask = minicnn.nn.functional.dropout(minicnn.ones(*x.shape), self.p)
        return x * torch.from_numpy(mask.numpy())


def block(channels: int, filters: int, kernel: int, stride: int, padding: int, pool: bool) -> list:
    pooling = [nn.MaxPool2d(3, 2)] if pool else []
    convolution = nn.Conv2d(channels, filters, kernel, stride, padding)
    return [convolution, nn.ReLU(), *pooling, nn.BatchNorm2d(filters)]


class AlexNet(nn.Module):
    """The course's network, after a normalisation of the images."""

    def __init__(
        self, channels: int, classes: int, dropout: float, mean: torch.Tensor, std: torch.Tensor
    ) -> None:
        super().__init__()
        self.mean, self.std = mean, std
        self.feature_extractor = nn.Sequential(
            *block(channels, 64, 11, 4, 2, True),
            *block(64, 192, 5, 1, 2, True),
            *block(192, 384, 3, 1, 1, True),
            *block(384, 256, 3, 1, 1, False),
            *block(256, 256, 3, 1, 1, True),
        )
        self.avgpool = nn.AdaptiveAvgPool2d((6, 6))
        self.head = nn.Sequential(
            SameDropout(dropout), nn.Linear(9216, 4096), nn.ReLU(),
            SameDropout(dropout), nn.Linear(4096, 4096), nn.ReLU(), nn.Linear(4096, classes),
        )  # fmt: skip

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = (x - self.mean) / self.std
        return self.head(torch.flatten(self.avgpool(self.feature_extractor(x)), 1))


def twin_of(model: minicnn.nn.Module, channels: int, normalize: tuple) -> AlexNet:
    """The network with minicnn's weights; `normalize` is (mean, std)."""
    state = {name: torch.from_numpy(np.array(t.numpy())) for name, t in model.state_dict().items()}
    rates = {m.p for m in model.modules() if isinstance(m, minicnn.nn.Dropout)}
    mean, std = (torch.tensor(numbers).reshape(-1, 1, 1) for numbers in normalize)
    twin = AlexNet(channels, state["head.6.weight"].shape[0], *rates, mean, std)
    twin.load_state_dict(state)
    return twin


def evaluate(twin: AlexNet, loader: minicnn.data.DataLoader) -> tuple[float, float]:
    """(loss, accuracy) over all images of a loader."""
    twin.eval()
    total, right, count = 0.0, 0, 0
    with torch.no_grad():
        for images, labels in loader:
            target = torch.from_numpy(labels.numpy())
            logits = twin(torch.from_numpy(images.numpy()))
            total += nn.functional.cross_entropy(logits, target, reduction="sum").item()
            right += int((logits.argmax(1) == target).sum())
            count += len(target)
    return total / count, right / count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--data", default="cats-vs-dogs")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--image-size", type=int, default=128)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--lr", type=float, default=1e-4)
    parser.add_argument("--threads", type=int, default=minicnn.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    settings = Settings(
        data=options.data, model="alexnet", epochs=options.epochs, batch_size=options.batch_size,
        lr=options.lr, seed=options.seed, image_size=options.image_size,
    )  # fmt: skip
    job = Job(settings)
    twin = twin_of(job.trainer.model, job.size[0], settings.source.normalize)
    optimizer = torch.optim.Adam(twin.parameters(), lr=options.lr)
    epochs = []
    for epoch in range(options.epochs):
        twin.train()
        for images, labels in job.train_loader:
            optimizer.zero_grad()
            logits = twin(torch.from_numpy(images.numpy()))
            nn.functional.cross_entropy(logits, torch.from_numpy(labels.numpy())).backward()
            optimizer.step()
        loss, accuracy = evaluate(twin, job.validation_loader)
        epochs.append({"val_loss": loss, "val_accuracy": accuracy})
        print(f"seed {options.seed}, epoch {epoch + 1}:", epochs[-1], file=sys.stderr, flush=True)
    test = evaluate(twin, job.reading(job.test)) if job.test is not None else None
    print(json.dumps({"torch": torch.__version__, "epochs": epochs, "test": test}))


if __name__ == "__main__":
    main()
