"""Data: what comes with the package (see files/SOURCES.md), what it fetches, files of your own.

AnimalSilhouettes, CatsVsDogs, sample_photo     shipped
CatsAndDogsFiltered, PetImages                  photographs, fetched from their publishers
ImageFolder, DatasetFolder                      a folder for each class
MNIST, IDX, read_idx                            the format of MNIST and its relatives
"""

from minicnn.datasets.folder import DatasetFolder, ImageFolder
from minicnn.datasets.idx import IDX, MNIST, read_idx
from minicnn.datasets.photographs import CatsAndDogsFiltered, PetImages
from minicnn.datasets.silhouettes import AnimalSilhouettes, CatsVsDogs, sample_photo

__all__ = [
    "IDX",
    "MNIST",
    "AnimalSilhouettes",
    "CatsAndDogsFiltered",
    "CatsVsDogs",
    "DatasetFolder",
    "ImageFolder",
    "PetImages",
    "read_idx",
    "sample_photo",
]
