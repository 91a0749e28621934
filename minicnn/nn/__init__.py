"""Layers and networks, under the names of `torch.nn`."""

from minicnn.nn import functional, init
from minicnn.nn.containers import Sequential
from minicnn.nn.layers import Conv2d, Dropout, Flatten, Linear, MaxPool2d, ReLU
from minicnn.nn.losses import BCEWithLogitsLoss, CrossEntropyLoss
from minicnn.nn.module import Module, Parameter

__all__ = [
    "BCEWithLogitsLoss",
    "Conv2d",
    "CrossEntropyLoss",
    "Dropout",
    "Flatten",
    "Linear",
    "MaxPool2d",
    "Module",
    "Parameter",
    "ReLU",
    "Sequential",
    "functional",
    "init",
]
