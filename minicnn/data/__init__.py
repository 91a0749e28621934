"""Datasets and loaders under the names of `torch.utils.data` (also as `minicnn.utils.data`).

    loader = data.DataLoader(datasets.CatsVsDogs("train"), batch_size=32, shuffle=True, seed=0)
    for images, labels in loader:       # images (32, 1, 28, 28), labels (32,)

Two things go beyond PyTorch: what a loader gives depends on its seed and epoch alone (not on its
workers), and a transform draws from `sample_rng()`, a generator of this sample in this epoch.
"""

from minicnn.data.collate import default_collate, default_convert
from minicnn.data.dataset import (
    ConcatDataset,
    Dataset,
    IterableDataset,
    Subset,
    TensorDataset,
    random_split,
)
from minicnn.data.fetch import Columns, fetch, fetch_each
from minicnn.data.loader import DataLoader
from minicnn.data.sampler import BatchSampler, RandomSampler, Sampler, SequentialSampler
from minicnn.data.streams import order_rng, sample_rng

__all__ = [
    "BatchSampler",
    "Columns",
    "ConcatDataset",
    "DataLoader",
    "Dataset",
    "IterableDataset",
    "RandomSampler",
    "Sampler",
    "SequentialSampler",
    "Subset",
    "TensorDataset",
    "default_collate",
    "default_convert",
    "fetch",
    "fetch_each",
    "order_rng",
    "random_split",
    "sample_rng",
]
