"""Data that comes with the package: animal silhouettes and a photograph. See files/SOURCES.md."""

from minicnn.datasets.silhouettes import AnimalSilhouettes, CatsVsDogs, sample_photo

__all__ = ["AnimalSilhouettes", "CatsVsDogs", "sample_photo"]
