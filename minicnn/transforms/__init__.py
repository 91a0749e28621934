"""Image transforms, under the names of `torchvision.transforms`.

They work on Pillow images, which do the pixel work. Random ones draw from `data.sample_rng()`: what
happens to an image depends on the loader's seed, the epoch and the image's index alone.
"""

from minicnn.transforms.compose import Compose
from minicnn.transforms.conversion import ToTensor
from minicnn.transforms.geometry import RandomHorizontalFlip

__all__ = ["Compose", "RandomHorizontalFlip", "ToTensor"]
