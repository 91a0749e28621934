"""The errors a user can meet, each one line: what was asked, what came, and what to do instead.

They live on floor 0 so that the output-size formulas may raise them; `minicnn.errors` is their
public name. Each is also the built-in error that Python or PyTorch users would catch.
"""


class MiniCNNError(RuntimeError):
    """Base of all errors that the user can mend; the command line prints it without a traceback.

    While a shape or dtype error passes up through modules, `Module.__call__` fills in `where`
    with the failing layer's path, so the message can begin `Conv2d "features.0": ...`.
    """

    where: str = ""

    def __str__(self) -> str:
        text = super().__str__()
        if not self.where:
            return text
        # "Conv2d: conv2d: ..." would say it twice; the op of another's forward stays.
        op, colon, rest = text.partition(": ")
        said = colon and self.where.partition(" ")[0].lower().startswith(
            op.replace("_", "").lower()
        )
        return f"{self.where}: {rest if said else text}"


class ShapeError(MiniCNNError, ValueError):
    """A rank, size or geometry that the operation cannot take."""


class ArgumentError(MiniCNNError, ValueError):
    """An argument outside its allowed range, or one that contradicts another."""


class DtypeError(MiniCNNError, TypeError):
    """A dtype that the operation refuses, or a mixture of dtypes."""


class OutOfRangeError(MiniCNNError, IndexError):
    """An index or class label outside what it points into."""


class AutogradError(MiniCNNError):
    """A misuse of the tape: backward twice, a saved array changed in place, no gradient."""


class GradcheckError(MiniCNNError):
    """A gradient that is not the derivative; `input` and `entry` say where, if one place is."""

    input: int | None = None  # which of the function's inputs
    entry: tuple[int, ...] | None = None  # the index into it
    analytic: float | None = None  # what backward gives there
    numeric: float | None = None  # what finite differences give


class DataError(MiniCNNError, ValueError):
    """A dataset, folder or image that cannot be used; the message names the file."""


class CheckpointError(MiniCNNError, ValueError):
    """A checkpoint or weight file that is missing, cut off, foreign, or does not fit the model."""


class TrainingError(MiniCNNError):
    """Training cannot go on: no finite loss, nothing to train on, no place to write."""
