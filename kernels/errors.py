"""The errors a user can meet, each one line: what was asked, what came, and what to do instead.

They live on floor 0 so that the output-size formulas may raise them; `minicnn.errors` is their
public name. Each is also the built-in error that Python or PyTorch users would catch.
"""

import re


class MiniCNNError(RuntimeError):
    """Base of all errors that the user can mend; the command line prints it without a traceback.

    While a shape or dtype error passes up through modules, `Module.__call__` fills in `where`
    with the failing layer's path, so the message can begin `Conv2d "features.0": ...`.
    """

    where: str = ""

    def __str__(self) -> str:
        text = super().__str__()
        # The layer's path says more than the name of its op, which it replaces.
        return f"{self.where}: {re.sub(r'^[a-z_0-9]+: ', '', text)}" if self.where else text


class ShapeError(MiniCNNError, ValueError):
    """A rank, size or geometry that the operation cannot take."""


class ArgumentError(MiniCNNError, ValueError):
    """An argument outside its allowed range, or one that contradicts another."""


class DtypeError(MiniCNNError, TypeError):
    """A dtype that the operation refuses, or a mixture of dtypes."""


class OutOfRangeError(MiniCNNError, IndexError):
    """An index or class label outside what it points into."""


class AutogradError(MiniCNNError):
    """A misuse of the tape: backward twice, an in-place change of a saved array, a missing gradient."""


class DataError(MiniCNNError, ValueError):
    """A dataset, folder or image that cannot be used; the message names the file."""


class CheckpointError(MiniCNNError, ValueError):
    """A checkpoint or weight file that is missing, truncated, foreign, or does not fit the model."""


class TrainingError(MiniCNNError):
    """Training cannot go on: a loss that is not finite, nothing to train on, an output that cannot be written."""
