"""The errors a user can meet; each message is one line that names the op or file and a remedy."""

from minicnn.kernels.errors import (
    ArgumentError,
    AutogradError,
    CheckpointError,
    DataError,
    DtypeError,
    GradcheckError,
    MiniCNNError,
    OutOfRangeError,
    ShapeError,
    TrainingError,
)

__all__ = [
    "ArgumentError",
    "AutogradError",
    "CheckpointError",
    "DataError",
    "DtypeError",
    "GradcheckError",
    "MiniCNNError",
    "OutOfRangeError",
    "ShapeError",
    "TrainingError",
]
