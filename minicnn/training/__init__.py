"""Training: one visible loop, and callbacks for everything around it."""

from minicnn.training.callbacks import (
    Callback,
    CSVLogger,
    EarlyStopping,
    LearningRate,
    Monitor,
    ProgressBar,
)
from minicnn.training.checkpoints import ModelCheckpoint
from minicnn.training.history import History
from minicnn.training.metrics import METRICS, accuracy, predicted_classes, probabilities
from minicnn.training.modes import evaluating
from minicnn.training.trainer import Trainer

__all__ = [
    "METRICS",
    "CSVLogger",
    "Callback",
    "EarlyStopping",
    "History",
    "LearningRate",
    "ModelCheckpoint",
    "Monitor",
    "ProgressBar",
    "Trainer",
    "accuracy",
    "evaluating",
    "predicted_classes",
    "probabilities",
]
