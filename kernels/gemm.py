"""The matrix product on BLAS, with the same bits at any number of threads.

BLAS splits a product among its threads by their number, and the pieces meet different edge
kernels, so the count shows in the last bits: of thousands of random products (sizes 1 to 512,
plain and transposed) OpenBLAS 0.3.31 gave other bits on two threads than on one in 3 to 10 % of
the float64 ones and in 0.3 % of the float32 ones, long reductions above all. So BLAS runs
single-threaded here, on fixed blocks of the result that depend on its shape alone, and the blocks
go to a few threads. They take blocks as they become free: on a core shared with others this is
also much faster than BLAS's own threads, which wait for each other, and which spin for 0.1 s
after every product.

A product of M x K by K x N takes 2*M*N*K FLOPs and reads each operand at least once: 100 GFLOP/s
a core if both fit in cache, 20 GB/s of memory if not (a layer of 9,216 x 4,096 weights: 7.5 ms).
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from . import threads

_SPLIT_FROM = 1 << 23  # multiply-adds, 0.2 ms: below, handing out blocks costs what it gains
_BLOCKS = 16  # at most: more than most machines' cores, so that a free thread finds one
_WIDTH = 128  # a block's rows or columns are a multiple: BLAS packs the other operand per block

_pool: ThreadPoolExecutor | None = None
_pool_size = 0


def matmul(a: np.ndarray, b: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """Return a @ b, (M,K) @ (K,N) -> (M,N), of one floating dtype; `out` receives it if given.

    Transposed views cost no copy. The longer side of the result is cut into blocks.
    """
    (M, K), N = a.shape, b.shape[1]
    if out is None:
        out = np.empty((M, N), a.dtype)
    side = max(M, N)
    blocks = min(_BLOCKS, side // _WIDTH) if M * N * K >= _SPLIT_FROM else 1
    width = -(-side // max(blocks, 1))
    width = -(-width // _WIDTH) * _WIDTH if blocks > 1 else width

    def block(start: int) -> None:
        piece = slice(start, start + width)
        with np.errstate(all="ignore"):  # inf and NaN pass through silently, as in every kernel
            if M >= N:
                np.matmul(a[piece], b, out=out[piece])
            else:
                np.matmul(a, b[:, piece], out=out[:, piece])

    with threads.single_threaded_blas():
        share_out(range(0, side, max(width, 1)), block)
    return out


def share_out(starts: range, block: Callable[[int], None]) -> None:
    """Call block(start) for every start, on up to `get_num_threads()` threads, ours included."""
    workers = min(threads.get_num_threads(), len(starts)) - 1
    take = itertools.count()  # next() on it is atomic: a thread takes a block when it is free

    def work() -> None:
        while (i := next(take)) < len(starts):
            block(starts[i])

    helpers = [_threads_of(workers).submit(work) for _ in range(workers)]
    try:
        work()
    finally:
        for helper in helpers:
            helper.result()


def _threads_of(size: int) -> ThreadPoolExecutor:
    global _pool, _pool_size
    if _pool is None or _pool_size < size:
        if _pool is not None:
            _pool.shutdown(wait=False)
        _pool = ThreadPoolExecutor(size, thread_name_prefix="minicnn-gemm")
        _pool_size = size
    return _pool


def _forget_pool() -> None:
    """A forked child has the pool but not its threads: waiting for them would never end."""
    global _pool
    _pool = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_pool)
