"""What this machine can do at most, as a contender: arithmetic in registers, and copying.

    fma     fused multiply-adds on registers alone, on all threads (kernels/cpu/_peak.py)
    copy    a copy of arrays far larger than the caches, on all threads; bytes read and written

They are measured in every round, in turn with the rest, so they know the same slow minutes.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from types import SimpleNamespace
from typing import Any

import numpy as np

from minicnn.bench.cases import Case
from minicnn.kernels import threads

COPIED = 1 << 28  # bytes: beyond the largest caches
PIECES = 16  # so that a thread that is held up leaves its share to the others
FMAS = 1 << 30  # 10 ms on two fast cores: to start and end them takes less than a hundredth

_threads = 1


def ceilings() -> list[Case]:
    """The two cases."""
    names = {"fma": (2 * FMAS, 0), "copy": (0, 2 * COPIED)}
    return [
        Case("ceilings", op, op, "peak", 1, {}, {}, flops, moved)
        for op, (flops, moved) in names.items()
    ]


def start(count: int, options: dict[str, Any]) -> dict[str, str]:
    global _threads
    threads.set_num_threads(count)
    _threads = threads.get_num_threads()
    return {"minicnn": metadata.version("minicnn-engine")}


def prepare(case: dict[str, Any], arrays: dict[str, np.ndarray]) -> Any:
    run = fma if case["op"] == "fma" else copying()
    return SimpleNamespace(run=run, outputs=dict)


def fma() -> None:
    from minicnn.kernels.cpu._peak import multiply_add

    multiply_add(FMAS)


def copying() -> Any:
    """A function that copies COPIED bytes; its pages are all there before it is called."""
    source, target = (np.full(COPIED // 8, i, np.int64) for i in (1, 2))
    pairs = list(zip(np.split(target, PIECES), np.split(source, PIECES), strict=True))
    pool = ThreadPoolExecutor(_threads)

    def copy(pair: tuple[np.ndarray, np.ndarray]) -> None:
        np.copyto(*pair)

    return lambda: [None for _ in pool.map(copy, pairs)]
