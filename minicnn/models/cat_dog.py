"""The cats-and-dogs course's three networks: 3x3 convolutions, each followed by ReLU and pooling.

    1.1   conv-pool ×2                          → dropout → logits     56,353 parameters
    1.2   conv-pool ×3                          → dropout → logits     29,761
    1.3   conv-pool ×3 → 64 hidden units, ReLU  → dropout → logits    683,073

A third convolution *shrinks* the network: the last layer's input falls from 32·38·38 to 32·18·18.
Counts are for one logit on 160×160 RGB images. Sizes follow size → size-2 (3x3 convolution
without padding) → floor(size/2) (pooling).
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from minicnn import nn
from minicnn.errors import ArgumentError, ShapeError
from minicnn.kernels.shapes import conv_output_size, pair, pool_output_size
from minicnn.models.preprocessing import Normalize
from minicnn.models.registry import register

FILTERS = 32
HIDDEN = 64
ImageSize = int | tuple[int, int]


@register
def cat_dog_cnn_1_1(
    in_channels: int = 3,
    image_size: ImageSize = 160,
    num_classes: int = 1,
    dropout_p: float = 0.2,
    normalize: tuple[float, float] | None = None,
) -> nn.Sequential:
    """Two convolutions, then the logits (N, num_classes) of images (N, in_channels, H, W).

    Args:
        image_size: H and W, or one number for both; at least 10.
        num_classes: 1 for one logit (BCEWithLogitsLoss), 2 or more for CrossEntropyLoss.
        dropout_p: the share of features dropped before the last layer while training.
        normalize: (mean, std) of the images, for a first layer `Normalize`; None: no such layer.
    """
    options = in_channels, image_size, num_classes, dropout_p, normalize
    return _build("cat_dog_cnn_1_1", 2, None, *options)


@register
def cat_dog_cnn_1_2(
    in_channels: int = 3,
    image_size: ImageSize = 160,
    num_classes: int = 1,
    dropout_p: float = 0.2,
    normalize: tuple[float, float] | None = None,
) -> nn.Sequential:
    """Three convolutions, then the logits; as `cat_dog_cnn_1_1`, but image_size at least 22."""
    options = in_channels, image_size, num_classes, dropout_p, normalize
    return _build("cat_dog_cnn_1_2", 3, None, *options)


@register
def cat_dog_cnn_1_3(
    in_channels: int = 3,
    image_size: ImageSize = 160,
    num_classes: int = 1,
    dropout_p: float = 0.2,
    normalize: tuple[float, float] | None = None,
) -> nn.Sequential:
    """Three convolutions and a hidden layer of 64; arguments as `cat_dog_cnn_1_2`."""
    options = in_channels, image_size, num_classes, dropout_p, normalize
    return _build("cat_dog_cnn_1_3", 3, HIDDEN, *options)


def _build(
    name: str,
    blocks: int,
    hidden: int | None,
    in_channels: int,
    image_size: ImageSize,
    num_classes: int,
    dropout_p: float,
    normalize: tuple[float, float] | None,
) -> nn.Sequential:
    """[normalize] conv1 relu1 pool1 conv2 … flatten [hidden] dropout logits."""
    for option, value in (("in_channels", in_channels), ("num_classes", num_classes)):
        if value < 1:
            raise ArgumentError(
                f"{name}: {option} must be at least 1, got {value}. Correct that option."
            )
    H, W = pair(image_size, "image_size", op=name)
    features = FILTERS * _final_size(name, H, blocks) * _final_size(name, W, blocks)

    layers: dict[str, nn.Module] = {}
    if normalize is not None:
        layers["normalize"] = Normalize(*normalize)
    channels = in_channels
    for i in range(1, blocks + 1):
        layers[f"conv{i}"] = nn.Conv2d(channels, FILTERS, kernel_size=3)
        layers[f"relu{i}"] = nn.ReLU()
        layers[f"pool{i}"] = nn.MaxPool2d(kernel_size=2)
        channels = FILTERS
    layers["flatten"] = nn.Flatten()
    if hidden is not None:
        layers["hidden"] = nn.Linear(features, hidden)
        layers["relu_hidden"] = nn.ReLU()
        features = hidden
    layers["dropout"] = nn.Dropout(dropout_p)
    layers["logits"] = nn.Linear(features, num_classes)
    return nn.Sequential(OrderedDict(layers))


def _final_size(name: str, size: int, blocks: int) -> int:
    """Pixels along one axis after the last pooling, or a ShapeError with every step."""
    steps = _sizes(size, blocks)
    if steps[-1] < 1:
        least = next(n for n in range(1, 1000) if _sizes(n, blocks)[-1] >= 1)
        chain = " → ".join(str(max(step, 0)) for step in steps)
        raise ShapeError(
            f"{name}: image_size {size} is too small: {chain}, where each 3x3 convolution takes 2 "
            f"and each pooling halves, floor((n-2)/2). Use an image_size of at least {least}."
        )
    return steps[-1]


def _sizes(size: Any, blocks: int) -> list[int]:
    """The sizes along one axis: image, conv, pool, conv, pool, …"""
    steps = [size]
    for _ in range(blocks):
        steps.append(conv_output_size(steps[-1], kernel=3))
        steps.append(pool_output_size(steps[-1], kernel=2, stride=2) if steps[-1] > 0 else 0)
    return steps
