"""The families of kernels that belong together, as a forward kernel and its gradients do.

A family is a class of a module here that says, for `check` and for the tests alike,

    examples    its cases by what each adds, from the smallest: sizes, never arrays
    arrays      the input arrays of a case
    ours        the kernels called with them, each gradient after its forward kernel

and perhaps `mistakes`: results of what is often done wrong, to be recognised. A new family is
found by its `examples` and `ours`; there is no list to keep. `tests/kernel_families` adds generated
cases and what PyTorch computes.
"""

import importlib
import pkgutil
from typing import Any

FAMILIES: dict[str, Any] = {
    name: family
    for found in pkgutil.iter_modules(__path__, f"{__name__}.")
    for name, family in vars(importlib.import_module(found.name)).items()
    if isinstance(family, type) and hasattr(family, "examples") and hasattr(family, "ours")
}
