"""Which path computes a convolution: the one that should be fastest by arithmetic, or the caller's.

A path takes the longest of two times: its FLOPs at the share of the units' peak that it can hope
for, and the bytes that it moves at the speed of memory. The figures are an A100's from NVIDIA's
data sheet, and the shares those derived at the top of each .cu file; none of this was measured.
What decides is mostly the *fill*: how much of its tiles a product fills, 3 filters in tiles of 32
rows a tenth; and how much of the GPU the tiles fill, for each of 108 multiprocessors wants one.

    path      TFLOP/s  fill
    direct      2.4    threads of the 221,184 that the GPU holds
    tiled       10     filters in eights, positions in tiles of 8 x 32; a fifth for one filter
    unfold      17     cuBLAS, whose tiles we take to be like ours; and the columns' way to and fro
    implicit    14     filters in 32, 64 or 128, columns in 128, steps in 16
    tensor    26, 78   the same; as good as float32 or, where `tf32` allows it, in TF32

MINICNN_CUDA_CONV=direct, tiled, unfold, implicit or tensor, or `forced` around the calls, take that
path wherever it can compute the layer. MINICNN_CUDA_TF32=1, or `tf32` around the calls, allow
products of numbers rounded to 11 bits, for results good to some 1e-3; they are off unless asked
for, as in torch's matmul. The choice depends on the shapes only, and on what the GPU has.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from math import gcd
from typing import NamedTuple

from ..errors import ArgumentError
from ..paths import took
from ..shapes import Pair, Shape4, conv2d_output_size
from . import _cuda

PATHS = ("direct", "tiled", "unfold", "implicit", "tensor")

TILE_N, TILE_K = 128, 16  # columns of a tile of an implicit GEMM, and the steps of a round
TILE_P, TILE_Q = 8, 32  # positions of a tile of the path "tiled"
THREADS = TILE_P * TILE_Q
MOST = 2**30  # numbers in an array whose indices are int: no sum of two indices passes 2^31

_RATES = {"direct": 2.4e12, "tiled": 10e12, "unfold": 17e12, "implicit": 14e12, "tensor": 26e12}
_TF32_RATE = 78e12
_MEMORY = 1.5e12  # bytes a second
_PROCESSORS, _RESIDENT = 108, 108 * 2048  # multiprocessors, and the threads that they hold
_DEEPEST = 65535  # blocks along z, and along y

_forced: ContextVar[str | None] = ContextVar("minicnn_cuda_conv", default=None)
_tf32: ContextVar[bool | None] = ContextVar("minicnn_cuda_tf32", default=None)


@contextmanager
def forced(path: str | None) -> Iterator[None]:
    """Take this path inside, wherever it can compute the layer; None: the fastest by arithmetic."""
    token = _forced.set(None if path is None else _checked(path, "conv path"))
    try:
        yield
    finally:
        _forced.reset(token)


@contextmanager
def tf32(allowed: bool = True) -> Iterator[None]:
    """Allow inside, or forbid, products of float32 numbers rounded to TF32."""
    token = _tf32.set(allowed)
    try:
        yield
    finally:
        _tf32.reset(token)


def allows_tf32() -> bool:
    """Return whether `tf32` or MINICNN_CUDA_TF32=1 allow products of numbers rounded to TF32."""
    allowed = _tf32.get()
    if allowed is not None:
        return allowed
    variable = os.environ.get("MINICNN_CUDA_TF32", "").strip() or "0"
    if variable not in ("0", "1"):
        raise ArgumentError(f"MINICNN_CUDA_TF32={variable!r} says neither yes nor no. Use 0 or 1.")
    return variable == "1"


def wanted_path() -> str | None:
    """Return the path that the caller or MINICNN_CUDA_CONV forces, if any."""
    variable = os.environ.get("MINICNN_CUDA_CONV", "").strip().lower()
    return _forced.get() or (_checked(variable, "MINICNN_CUDA_CONV") if variable else None)


def _checked(path: str, what: str) -> str:
    if path not in PATHS:
        raise ArgumentError(f"{what} {path!r}: no such path. Use one of {', '.join(PATHS)}.")
    return path


class Layer(NamedTuple):
    """A convolution's sizes."""

    x: Shape4
    w: Shape4
    stride: Pair
    padding: Pair
    dilation: Pair
    groups: int

    @property
    def outputs(self) -> Pair:
        """(P, Q)."""
        return conv2d_output_size(self.x[2:], self.w[2:], *self[2:5])

    @property
    def is_product(self) -> bool:
        """Whether the image is its own im2col matrix, as it lies."""
        return self.w[2:] == self.stride == (1, 1) and self.padding == (0, 0)

    def numbers(self) -> tuple[int, ...]:
        """Return what every kernel takes behind its arrays: N, C, H, W, K, R, S, P, Q, stride, …"""
        K, _, R, S = self.w
        return (
            *self.x, K, R, S, *self.outputs,
            *self.stride, *self.padding, *self.dilation, self.groups,
        )  # fmt: skip

    def with_batch(self, N: int) -> Layer:
        """Return the layer for another number of images."""
        return self._replace(x=(N, *self.x[1:]))


class Product(NamedTuple):
    """A layer, or a gradient of it: `repeats` products (filters, steps) x (steps, columns).

    `repeats` is groups times phases (conv.cuh); `image` is what a filter's numbers of one image and
    phase are as (rows, columns).
    """

    filters: int
    steps: int
    columns: int
    repeats: int
    image: Pair

    @property
    def share(self) -> int:
        """Filters that a thread of the path "tiled" computes."""
        return 1 if self.filters == 1 else 8


class Tiling(NamedTuple):
    """How an implicit GEMM is cut into tiles of m x TILE_N, and the threads of one."""

    m: int
    along_columns: int
    along_filters: int
    threads: int


def tiling(path: str, product: Product) -> Tiling:
    """Return the tiles of the path "implicit" or "tensor": the lowest that hold all filters."""
    three = path == "tensor" and not allows_tf32()  # products: for them, tiles have half the height
    heights = (32, 64) if three else (32, 64, 128)
    m = next((m for m in heights if product.filters <= m), heights[-1])
    down, across = -(-product.filters // m), -(-product.columns // TILE_N)
    return Tiling(m, across, down, 256 if m == heights[-1] else 128)


def product_of(layer: Layer, grad_of: str = "") -> Product:
    """Return the product of the layer, or of its gradient of the "input" or "weight"."""
    (N, C, H, W), (K, C_group, R, S), groups = layer.x, layer.w, layer.groups
    P, Q = layer.outputs
    if grad_of == "weight":
        return Product(K // groups, N * P * Q, C_group * R * S, groups, (P, Q))
    if grad_of == "":
        return Product(K // groups, C_group * R * S, N * P * Q, groups, (P, Q))
    down, across = layer.stride
    rows, columns = -(-H // down), -(-W // across)
    steps = -(-(K // groups * R * S) // (down * across))
    return Product(C // groups, steps, N * rows * columns, groups * down * across, (rows, columns))


def choose(layer: Layer, itemsize: int, grad_of: str = "") -> str:
    """Return the path that computes the layer, or its gradient of the "input" or "weight"."""
    wanted = wanted_path()
    if wanted is not None and can(wanted, layer, itemsize, grad_of):
        return took(wanted)
    machine = _cuda.driver()
    has = machine.arch(), machine.shared_limit(), allows_tf32()
    return took(_fastest(layer, itemsize, grad_of, *has))


@lru_cache(maxsize=4096)
def _fastest(layer: Layer, itemsize: int, grad_of: str, *has: object) -> str:
    """Of the paths that can, the fastest; `has` is all that this depends on beside the layer."""
    usable = [path for path in PATHS if can(path, layer, itemsize, grad_of)]
    return min(usable, key=lambda path: predicted(path, layer, itemsize, grad_of))


def can(path: str, layer: Layer, itemsize: int, grad_of: str = "") -> bool:
    """Return whether the path can compute this at all, on this GPU."""
    if path == "direct":
        return True
    product = product_of(layer, grad_of)
    high = -(-product.filters // 8)  # blocks, in the lowest tiles there are
    if max(product.repeats, high) > _DEEPEST or largest_image(layer) > MOST:
        return False
    if 0 in product[:4]:  # nothing to sum up, or nobody to do it for
        return False
    if path == "tiled":
        taps, channels = layer.w[2] * layer.w[3], layer.w[1]
        if grad_of == "weight" and (taps > THREADS or channels > _DEEPEST):
            return False
        return shared_bytes(layer, itemsize, grad_of) <= _cuda.driver().shared_limit()
    return path != "tensor" or (itemsize == 4 and _has_tensor_cores())


def _has_tensor_cores() -> bool:
    """Whether mma.sync takes TF32: from sm_80 on. What is no GPU runs its stand-in (mma.cuh)."""
    kind, _, number = _cuda.driver().arch().partition("_")
    return kind not in ("sm", "compute") or int(number) >= 80


def largest_image(layer: Layer) -> int:
    """Return the numbers of the largest thing that int indices run over for one image."""
    (_, C, H, W), (K, C_group, R, S), (top, left) = layer.x, layer.w, layer.padding
    P, Q = layer.outputs
    return max(C * (H + 2 * top) * (W + 2 * left), K * P * Q, K * C_group * R * S)


def shared_bytes(layer: Layer, itemsize: int, grad_of: str = "") -> int:
    """Return the bytes that a block of the path "tiled" shares: the patch and the factors."""
    product, (R, S) = product_of(layer, grad_of), layer.w[2:]
    patch = 1
    for outputs, kernel, stride, dilation in zip(
        (TILE_P, TILE_Q), (R, S), layer.stride, layer.dilation, strict=True
    ):
        if grad_of == "input":  # of a phase: see input_grad_axis in conv.cuh
            common = gcd(stride, dilation)
            kernel, stride, dilation = -(-kernel // (stride // common)), 1, dilation // common
        patch *= (outputs - 1) * stride + (kernel - 1) * dilation + 1
    factors = THREADS if grad_of == "weight" else R * S
    return (patch + product.share * factors) * itemsize


# ------------------------------------------------------------------------------ the arithmetic


def predicted(path: str, layer: Layer, itemsize: int, grad_of: str = "") -> float:
    """Return the seconds that the path should take on an A100."""
    product = product_of(layer, grad_of)
    rate = _TF32_RATE if path == "tensor" and allows_tf32() else _RATES[path]
    flops = 2 * product.filters * product.steps * product.columns * product.repeats
    moved = _sizes(layer)
    if path == "unfold" and not layer.is_product:
        C_group, R, S = layer.w[1:]
        P, Q = layer.outputs
        moved += 2 * layer.x[0] * layer.groups * C_group * R * S * P * Q
    compute = flops / (rate * 4 / itemsize * _fill(path, layer, product, grad_of)) if flops else 0.0
    return max(compute, moved * itemsize / _MEMORY)


def _sizes(layer: Layer) -> int:
    (N, C, H, W), (K, C_group, R, S), (P, Q) = layer.x, layer.w, layer.outputs
    return N * C * H * W + K * C_group * R * S + N * K * P * Q


def _fill(path: str, layer: Layer, product: Product, grad_of: str) -> float:
    filters, steps, columns, repeats, (rows, across) = product
    if path == "direct":
        return min(1.0, filters * columns * repeats / _RESIDENT)
    if path == "tiled":
        tiles = layer.x[0] * -(-filters // product.share) * repeats
        tiles *= layer.w[1] if grad_of == "weight" else -(-rows // TILE_P) * -(-across // TILE_Q)
        of_tiles = _of_tiles(rows, TILE_P) * _of_tiles(across, TILE_Q)
        reads = 1 if product.share == 8 else 3 / 16  # 8 products for 3 reads, or 1 for 2
        return reads * of_tiles * _of_tiles(filters, product.share) * _of_gpu(tiles)
    tile = tiling(path, product)
    tiles = tile.along_columns * tile.along_filters * repeats
    if grad_of == "weight":
        tiles *= -(-steps // LENGTH)
    of_tile = _of_tiles(filters, tile.m) * _of_tiles(columns, TILE_N)
    return of_tile * _of_tiles(steps, TILE_K) * _of_gpu(tiles)


def _of_gpu(tiles: int) -> float:
    return min(1.0, tiles / _PROCESSORS)


def _of_tiles(n: int, tile: int) -> float:
    return n / (-(-n // tile) * tile)


# ------------------------------------------------------------------------------ weight gradients

LENGTH = 1024  # positions, at least, that one block of a weight gradient sums up
_BLOCKS = 512  # enough for two on each multiprocessor of the largest GPU


def ranges(items: int, blocks: int, groups: int, least: int, step: int = 1) -> Pair:
    """Return (ranges, length): how a sum over `items` is split so that the GPU is full.

    `blocks` of each group work on a range, which is `least` items or more, a multiple of `step`.
    """
    wanted = min(-(-_BLOCKS // (blocks * groups)), max(items // least, 1), _DEEPEST // groups)
    length = -(-items // wanted)
    length = -(-length // step) * step
    return -(-items // length), length
