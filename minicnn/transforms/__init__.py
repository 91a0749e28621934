"""Image transforms, under the names of `torchvision.transforms` and with its semantics.

They work on Pillow images, which do the pixel work, up to ToTensor; Normalize works on tensors.
Random ones draw from `data.sample_rng()`: what happens to an image depends on the loader's seed,
the epoch and the image's index alone, whatever thread reads it.
"""

from minicnn.transforms.arguments import InterpolationMode
from minicnn.transforms.color import ColorJitter, Grayscale
from minicnn.transforms.compose import Compose, Lambda, RandomApply
from minicnn.transforms.conversion import Normalize, PILToTensor, ToTensor
from minicnn.transforms.crop import CenterCrop, Pad, RandomCrop
from minicnn.transforms.geometry import RandomHorizontalFlip, RandomRotation, RandomVerticalFlip
from minicnn.transforms.resize import RandomResizedCrop, Resize

__all__ = [
    "CenterCrop",
    "ColorJitter",
    "Compose",
    "Grayscale",
    "InterpolationMode",
    "Lambda",
    "Normalize",
    "PILToTensor",
    "Pad",
    "RandomApply",
    "RandomCrop",
    "RandomHorizontalFlip",
    "RandomResizedCrop",
    "RandomRotation",
    "RandomVerticalFlip",
    "Resize",
    "ToTensor",
]
