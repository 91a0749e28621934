"""Networks to train: by class, by function, or by name with `create`."""

from minicnn.models.alexnet import AlexNet, PlainAlexNet, alexnet, alexnet_plain
from minicnn.models.cat_dog import cat_dog_cnn_1_1, cat_dog_cnn_1_2, cat_dog_cnn_1_3
from minicnn.models.fully_connected import FCNet, fcnet
from minicnn.models.preprocessing import Normalize
from minicnn.models.registry import create, list_models, load, register

__all__ = [
    "AlexNet",
    "FCNet",
    "Normalize",
    "PlainAlexNet",
    "alexnet",
    "alexnet_plain",
    "cat_dog_cnn_1_1",
    "cat_dog_cnn_1_2",
    "cat_dog_cnn_1_3",
    "create",
    "fcnet",
    "list_models",
    "load",
    "register",
]
