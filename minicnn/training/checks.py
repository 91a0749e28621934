"""What a Trainer is given, looked at before the first epoch: half a day later would be late."""

from __future__ import annotations

from typing import Any

from minicnn import data, nn, optim
from minicnn.errors import ArgumentError, TrainingError


def require_parts(model: Any, optimizer: Any, loss: Any) -> None:
    """An ArgumentError unless these can be trained: the optimizer steps this model's weights."""
    for what, value, wanted in (
        ("the model", model, nn.Module),
        ("the optimizer", optimizer, optim.Optimizer),
    ):
        if not isinstance(value, wanted):
            raise ArgumentError(
                f"Trainer: {what} must be of minicnn.{'nn' if wanted is nn.Module else 'optim'}, "
                f"got {type(value).__name__}. "
                "Use Trainer(model, optim.Adam(model.parameters()), nn.CrossEntropyLoss())."
            )
    if not callable(loss):
        raise ArgumentError(
            f"Trainer: the loss must be a function of (logits, labels), got {loss!r}. "
            "Use nn.CrossEntropyLoss()."
        )
    ours = {id(p) for p in model.parameters()}
    stepped = {id(p) for group in optimizer.param_groups for p in group["params"]}
    if not ours & stepped:
        raise ArgumentError(
            "Trainer: the optimizer has none of this model's parameters, so nothing would be "
            "learned. Make it after the model, of model.parameters()."
        )


def require_batches(loader: Any, purpose: str) -> None:
    """Raise if the loader says it has no batches; one without a length is believed."""
    if isinstance(loader, data.Dataset):
        raise ArgumentError(
            f"Trainer: the {purpose} data is a {type(loader).__name__}, which gives single images. "
            "Give batches: DataLoader(dataset, batch_size=32)."
        )
    if not hasattr(loader, "__iter__") and not hasattr(loader, "__getitem__"):
        raise ArgumentError(
            f"Trainer: the {purpose} data must give (images, labels) batches, "
            f"got {type(loader).__name__}. Use a DataLoader."
        )
    if not hasattr(loader, "__len__") or len(loader) > 0:
        return
    images = len(loader.dataset) if hasattr(loader, "dataset") else 0
    remedy = "Check the folder or split that it was made from."
    if images:
        remedy = f"drop_last=True drops all {images} images: use a batch_size of at most {images}."
    raise TrainingError(f"Trainer: the {purpose} data has no batches. {remedy}")
