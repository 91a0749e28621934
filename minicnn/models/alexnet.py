"""AlexNet: five convolutions and three linear layers, the network that began the deep decade.

    alexnet         the notebook course's: BatchNorm after each activation, a pooling after conv3
    alexnet_plain   torchvision's, under its state-dict keys, so that published weights load

Source: Krizhevsky, Sutskever & Hinton 2012, "ImageNet classification with deep convolutional neural
networks", in the one-path form of Krizhevsky 2014, "One weird trick for parallelizing convolutional
neural networks". The paper normalised with LocalResponseNorm where the course has BatchNorm.
"""

from __future__ import annotations

from typing import Any, ClassVar

from minicnn import nn
from minicnn.errors import ArgumentError, ShapeError
from minicnn.kernels.shapes import conv_output_size, pool_output_size
from minicnn.models.preprocessing import Normalize
from minicnn.models.registry import register
from minicnn.tensor import Tensor

# (kernel, stride, padding) of each step that changes the image's size.
_CONV1, _POOL = (11, 4, 2), (3, 2, 0)


class AlexNet(nn.Module):
    """The course's AlexNet: logits (N, num_classes) of images (N, 3, H, W), H and W at least 127.

    Four poolings, one more than the paper's three (it stands after conv3): a side of 224 becomes
    55 → 27 → 13 → 6 → 2, and `avgpool` *enlarges* the 2×2 map to the 6×6 that the head expects,
    by repeating its values. 63 pixels are enough for the plain network, this one needs 127.
    `classes` is the course's word for num_classes.
    """

    minimum_image_size: ClassVar[int] = 127
    poolings: ClassVar[int] = 4

    def __init__(
        self,
        num_classes: int = 2,
        dropout_p: float = 0.5,
        in_channels: int = 3,
        normalize: Any = None,
        *,
        classes: int | None = None,
    ) -> None:
        super().__init__()
        num_classes = num_classes if classes is None else classes
        _require_counts("AlexNet", num_classes=num_classes, in_channels=in_channels)
        self.normalize = nn.Identity() if normalize is None else Normalize(*normalize)
        self.feature_extractor = nn.Sequential(
            nn.Conv2d(in_channels, 64, kernel_size=11, stride=4, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(kernel_size=3, stride=2),
            nn.BatchNorm2d(64),
            nn.Conv2d(64, 192, kernel_size=5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(kernel_size=3, stride=2),
            nn.BatchNorm2d(192),
            nn.Conv2d(192, 384, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(kernel_size=3, stride=2),
            nn.BatchNorm2d(384),
            nn.Conv2d(384, 256, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.BatchNorm2d(256),
            nn.Conv2d(256, 256, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(kernel_size=3, stride=2),
            nn.BatchNorm2d(256),
        )
        self.avgpool = nn.AdaptiveAvgPool2d((6, 6))
        self.head = nn.Sequential(
            nn.Dropout(dropout_p),
            nn.Linear(256 * 6 * 6, 4096),
            nn.ReLU(),
            nn.Dropout(dropout_p),
            nn.Linear(4096, 4096),
            nn.ReLU(),
            nn.Linear(4096, num_classes),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) → logits (N, num_classes)."""
        _require_size(self, x)
        x = self.avgpool(self.feature_extractor(self.normalize(x)))
        return self.head(x.flatten(1))


class PlainAlexNet(nn.Module):
    """torchvision's AlexNet: logits (N, num_classes) of images (N, 3, H, W), H, W at least 63."""

    minimum_image_size: ClassVar[int] = 63
    poolings: ClassVar[int] = 3

    def __init__(
        self,
        num_classes: int = 1000,
        dropout: float = 0.5,
        in_channels: int = 3,
        normalize: Any = None,
    ) -> None:
        super().__init__()
        _require_counts("PlainAlexNet", num_classes=num_classes, in_channels=in_channels)
        self.normalize = nn.Identity() if normalize is None else Normalize(*normalize)
        self.features = nn.Sequential(
            nn.Conv2d(in_channels, 64, kernel_size=11, stride=4, padding=2),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(kernel_size=3, stride=2),
            nn.Conv2d(64, 192, kernel_size=5, padding=2),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(kernel_size=3, stride=2),
            nn.Conv2d(192, 384, kernel_size=3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(384, 256, kernel_size=3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(256, 256, kernel_size=3, padding=1),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(kernel_size=3, stride=2),
        )
        self.avgpool = nn.AdaptiveAvgPool2d((6, 6))
        self.classifier = nn.Sequential(
            nn.Dropout(p=dropout),
            nn.Linear(256 * 6 * 6, 4096),
            nn.ReLU(inplace=True),
            nn.Dropout(p=dropout),
            nn.Linear(4096, 4096),
            nn.ReLU(inplace=True),
            nn.Linear(4096, num_classes),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) → logits (N, num_classes)."""
        _require_size(self, x)
        x = self.avgpool(self.features(self.normalize(x)))
        return self.classifier(x.flatten(1))


@register
def alexnet(
    num_classes: int = 2, dropout_p: float = 0.5, in_channels: int = 3, normalize: Any = None
) -> AlexNet:
    """The course's AlexNet, with BatchNorm: see `AlexNet`. 57,014,338 parameters for two classes.

    Args:
        num_classes: how many logits; `classes` in the course.
        dropout_p: the share of features dropped before the first two linear layers while training.
        in_channels: 3 for colour, 1 for grey images.
        normalize: (mean, std) of the images, numbers or one for each channel, for a first layer
            `Normalize`; None if the images come normalised.
    """
    return AlexNet(num_classes, dropout_p, in_channels, normalize)


@register
def alexnet_plain(
    num_classes: int = 1000, dropout: float = 0.5, in_channels: int = 3, normalize: Any = None
) -> PlainAlexNet:
    """torchvision's AlexNet, whose published weights load: see `PlainAlexNet`.

    61,100,840 parameters for the thousand classes of ImageNet.
    """
    return PlainAlexNet(num_classes, dropout, in_channels, normalize)


def _sides(side: int, poolings: int) -> list[int]:
    """A side's length in the image, after conv1, and after each pooling."""
    sides = [side, conv_output_size(side, *_CONV1)]
    for _ in range(poolings):
        sides.append(pool_output_size(sides[-1], *_POOL) if sides[-1] >= _POOL[0] else 0)
    return sides


def _require_size(model: AlexNet | PlainAlexNet, x: Tensor) -> None:
    """A ShapeError with every step, unless something is left after the last pooling."""
    if x.ndim < 3 or min(x.shape[-2:]) >= model.minimum_image_size:
        return
    H, W = x.shape[-2:]
    name, least = type(model).__name__, model.minimum_image_size
    steps = " → ".join(str(max(side, 0)) for side in _sides(min(H, W), model.poolings))
    raise ShapeError(
        f"{name}: an image of {H}×{W} is too small: its shorter side goes {steps} through conv1 "
        f"and {model.poolings} poolings. Use images of at least {least}×{least}, such as 224×224."
    )


def _require_counts(name: str, **counts: int) -> None:
    for option, value in counts.items():
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise ArgumentError(
                f"{name}: {option} must be an integer of at least 1, got {value!r}. Use {option}=2."
            )
