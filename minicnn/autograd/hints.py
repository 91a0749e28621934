"""What a wrong gradient looks like, in words: a sign, a factor, a transpose, a forgotten input."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

NO_COTANGENT = "backward does not grow with the gradient that it is given: multiply by it."
_CLOSE = 1e-3  # relative: how near a pattern must be met


def hint(found: Any, right: Any, wrong: Any, shape: tuple[int, ...] | None) -> str:
    """One sentence about how `found` differs from `right`.

    Args:
        found, right, wrong: per entry looked at, what backward gave, what it should be, and
            whether they disagree.
        shape: the gradient's shape if these are all its entries, else None.
    """
    if not wrong.all() and wrong.sum() == 1:
        return "The others agree: look for a special case at this place, such as a border."
    if not np.isfinite(found[wrong]).all():
        return "Look for a division by 0 or an overflow in backward."
    if not found.any():
        return "backward gives 0 for the whole input: is its gradient forgotten?"
    ratio = _common_ratio(found[wrong], right[wrong])
    if ratio is not None:
        return _about_ratio(ratio, everywhere=bool(wrong.all()))
    if shape is not None and found.size > 1 and _close(np.sort(found), np.sort(right)):
        return _about_places(found.reshape(shape), right.reshape(shape))
    return "Derive this input's formula in backward again from forward's, term by term."


def _close(a: Any, b: Any) -> bool:
    return a.shape == b.shape and bool(np.all(np.abs(a - b) <= _CLOSE * np.max(np.abs(b))))


def _common_ratio(found: Any, right: Any) -> float | None:
    large = np.abs(right) > _CLOSE * np.max(np.abs(right), initial=0.0)
    if large.sum() < min(2, right.size) or not large.any():
        return None
    ratio = float(np.median(found[large] / right[large]))
    return ratio if _close(found, ratio * right) else None


def _about_ratio(ratio: float, everywhere: bool) -> str:
    which = "Every entry" if everywhere else "Each of these entries"
    if abs(ratio) < _CLOSE:
        return f"{which} should not be 0: is a term, or a special case, forgotten?"
    if abs(ratio + 1) < _CLOSE:
        return f"{which} has the wrong sign."
    return f"{which} is {ratio:.4g} times what it should be: a factor too many, or one missing."


def _about_places(found: Any, right: Any) -> str:
    """The right numbers in the wrong places: which way were they moved?"""
    axes = range(found.ndim)
    for order in itertools.islice(itertools.permutations(axes), 1, 120):
        if right.transpose(order).shape == found.shape and _close(found, right.transpose(order)):
            return "The right numbers, transposed: swap the axes back."
    for count in range(1, found.ndim + 1):
        for flipped in itertools.combinations(axes, count):
            if _close(found, np.flip(right, flipped)):
                dims = ", ".join(map(str, flipped))
                return f"The right numbers, mirrored along dim {dims}: flip them back."
    return "The right numbers in the wrong places: is an index, a reshape or an order wrong?"
