"""A last batch of one image, and the BatchNorm that would stop the training there."""

from __future__ import annotations

from typing import Any

from minicnn import data
from minicnn.errors import TrainingError
from minicnn.nn.norm import BatchNorm
from minicnn.training.modes import evaluating


class _Starved(Exception):
    """The BatchNorm of this name met one value per channel; the rest need not be run."""


def require_variance(model: Any, loader: Any) -> None:
    """A TrainingError if `starved_norm` finds a layer: an epoch later would be late."""
    layer = starved_norm(model, loader)
    if layer is None:
        return
    images, size = len(loader.batch_sampler.sampler), loader.batch_sampler.batch_size
    remedy = "Use a batch_size of at least 2."
    if size > 1:
        remedy = f"Use drop_last=True, or another batch_size than {size}."
    raise TrainingError(
        f"Trainer: {images} images in batches of {size} end with one alone, of which {layer} gets "
        f"one value per channel, too few for a variance. {remedy}"
    )


def starved_norm(model: Any, loader: Any) -> str | None:
    """The BatchNorm that gets one value per channel of an epoch's last batch, if one does.

    Only a batch of one image is so small. The network sees the first image, in eval mode, and is
    left as it was; loaders that do not tell their batches' sizes are believed.
    """
    if not _ends_with_one(loader):
        return None
    first = data.DataLoader(data.Subset(loader.dataset, [0]), collate_fn=loader.collate_fn, seed=0)
    with evaluating(model):
        model.train()  # who freezes a BatchNorm keeps it in eval mode here, too
        named = model.named_modules()
        norms = {name: m for name, m in named if isinstance(m, BatchNorm) and m.training}
        model.eval()
        handles = [
            layer.register_forward_pre_hook(_watch(f'{type(layer).__name__} "{name}"'))
            for name, layer in norms.items()
        ]
        try:
            if norms:
                images = next(iter(first))[0]
                model(images.to(next(model.parameters()).device))
        except _Starved as found:
            return str(found)
        finally:
            for handle in handles:
                handle.remove()
    return None


def _watch(name: str) -> Any:
    def look(layer: Any, arguments: tuple[Any, ...]) -> None:
        if arguments[0].numel() == arguments[0].shape[1]:
            raise _Starved(name)

    return look


def _ends_with_one(loader: Any) -> bool:
    sampler = getattr(loader, "batch_sampler", None)
    if not isinstance(loader, data.DataLoader) or not isinstance(sampler, data.BatchSampler):
        return False
    images: Any = sampler.sampler
    try:
        rest = len(images) % sampler.batch_size
    except TypeError:  # a sampler without a length
        return False
    return sampler.batch_size == 1 or (rest == 1 and not sampler.drop_last)
