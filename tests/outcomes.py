"""Whether minicnn takes and refuses what torch does: one call at a time, tables of calls at once.

    table(
        {"padding": [0, 1, "same"], "stride": [1, 2]},
        lambda lib, x, padding, stride: lib.nn.functional.max_pool2d(x, 2, stride, padding),
        x,
    )

runs the call for every combination. Where torch accepts, minicnn must accept, with the same values
and gradients; where torch refuses, minicnn must raise one of its own errors, in one readable line.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from oracle import _run, _torch_tensor, check

import minicnn
from minicnn.errors import MiniCNNError


def same_outcome(
    function: Callable[..., Any], *arrays: Any, rung: str = "numba", tolerance: float | None = None
) -> str:
    """ "" if minicnn and torch agree on this call, else what each of them did, in one line."""
    import torch

    arrays = tuple(np.asarray(a) if isinstance(a, np.generic) else a for a in arrays)
    stored, layouts = [*arrays], ["contiguous"] * len(arrays)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            _run(torch, _torch_tensor, function, arrays, stored, layouts, 0)
            refused = None
        except Exception as error:
            refused = error
        try:
            if refused is None:
                check(function, *arrays, rung=rung, tolerance=tolerance)
                return ""
            with minicnn.use_backend(rung):
                given = [a.copy() if isinstance(a, np.ndarray) else a for a in arrays]
                _run(minicnn, minicnn.from_numpy, function, arrays, given, layouts, 0)
        except AssertionError as error:
            return f"torch accepts; {error}"
        except Exception as error:
            if refused is None:
                return f"torch accepts, minicnn raises {type(error).__name__}: {error}"
            return _unreadable(error)
    return f"torch refuses ({str(refused).splitlines()[0]:.90}), minicnn accepts"


def _unreadable(error: Exception) -> str:
    """ "" for one of our errors in one line with a remedy, or Python's own about a call's form."""
    text = str(error)
    if isinstance(error, TypeError) and "argument" in text:
        return ""  # f() got an unexpected keyword argument: Python's words, as in torch
    if not isinstance(error, MiniCNNError):
        return f"torch refuses; minicnn raises a bare {type(error).__name__}: {text}"
    if "\n" in text or ": " not in text or ". " not in text:
        return f"torch refuses; minicnn's message is no line of op, problem and remedy: {text!r}"
    return ""


def combinations(options: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """Every choice of one value for each option."""
    return [
        dict(zip(options, chosen, strict=True)) for chosen in itertools.product(*options.values())
    ]


def table(
    options: Mapping[str, Sequence[Any]],
    function: Callable[..., Any],
    *arrays: Any,
    rung: str = "numba",
    tolerance: float | None = None,
    but: Callable[..., bool] | None = None,
) -> int:
    """Compare `function(lib, *tensors, **chosen)` for every combination of the options.

    `but(**chosen)` is True for the combinations that are meant to differ; say why where it is
    written. Returns how many were compared; raises AssertionError with all that differ.
    """
    wrong, compared = [], 0
    for chosen in combinations(options):
        if but is not None and but(**chosen):
            continue
        compared += 1
        verdict = same_outcome(
            lambda lib, *tensors, chosen=chosen: function(lib, *tensors, **chosen),
            *arrays,
            rung=rung,
            tolerance=tolerance,
        )
        if verdict:
            wrong.append(f"{chosen}: {verdict}")
    assert compared, "nothing was compared"
    assert not wrong, f"{len(wrong)} of {compared} calls differ:\n" + "\n".join(wrong[:40])
    return compared
