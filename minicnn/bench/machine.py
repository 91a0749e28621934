"""What figures depend on: processor, cores, system, versions."""

from __future__ import annotations

from minicnn import doctor
from minicnn.kernels import threads

KEPT = ("python", "system", "minicnn", "numpy", "numba", "BLAS", "name", "cores", "threads", "SIMD")


def machine() -> dict[str, str]:
    """The facts of `minicnn doctor` that a figure needs beside it, without paths."""
    found: dict[str, object] = {**doctor.versions(), **doctor.processor()}
    found["threads"] = threads.get_num_threads()
    return {name: str(found[name]).split(", in ")[0] for name in KEPT}
