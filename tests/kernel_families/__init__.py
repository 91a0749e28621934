"""The families of kernels that the contract test runs, each with its oracle.

A family is a class of a module here. It says how to draw a case (sizes and a seed, never arrays),
which cases are hard, how to make the input arrays, and what minicnn and torch compute from them,
under the same names. Gradients start from a random cotangent: all ones would hide permuted
gradients. A new family is found by its `theirs`; there is no list to keep.
"""

import importlib
import pkgutil
from typing import Any

FAMILIES: dict[str, Any] = {
    name: family
    for found in pkgutil.iter_modules(__path__, f"{__name__}.")
    for name, family in vars(importlib.import_module(found.name)).items()
    if isinstance(family, type) and hasattr(family, "theirs")
}
