"""Winograd's convolution: 3 x 3 kernels of stride 1 with a quarter of the multiplications.

An output takes 9 multiplications a channel. A tile of 4 x 4 outputs, from 6 x 6 pixels, can do with
36, 2.25 an output (`_winograd_transforms` says how): transform its pixels d and the weights w,
multiply number by number, sum over channels, transform back. Tiles of 3 x 3 outputs take 25, 2.8 an
output, and fit some images better: 6 x 6 outputs are just four of them.

As the sum over channels comes before the way back, the middle is 36 products of matrices, with a
row for each tile of the image and a column for each filter. That is work for `_register_tile`, 8
tiles and 48 filters at a time; the rest has channels or filters in the lanes of vectors:

    pack            rows of an image, turned so that a pixel's channels lie side by side
    transform       for a tile and 16 channels, 36 loads, 36 stores and 168 operations between
    multiply        for 8 tiles and 48 filters, 36 times 24 multiply-adds a channel
    transform back  for a tile and 16 filters, 36 loads, 16 stores and 120 operations
    store           turned again, 8 pixels of 16 filters at a time

Multiplying T tiles takes 36*T * C*K/16 cycles; the transforms were measured at 15 and 12 cycles for
each of the 36, turning included, so at 36*T * (15*C + 12*K)/16: a tenth of it at hundreds of
channels, nearly as much at 32 channels and filters. A task takes so many tiles that they and the
sums of 48 filters fit the second-level cache. The weights, 4 times the bytes they had, come from
the third, once a task: for 32 tiles, 4 bytes of them in 2 cycles.

GFLOP/s of a core of an AMD EPYC of the fourth generation, counting the FLOPs of the definition
(multiply-adds reach 120), batch 32, forward and input gradient:

    channels, filters, side, padding      here          `_tiled`
    192 -> 384   13 x 13   1              223, 218      116, 111
    384 -> 256    6 x 6    1              231, 238      126, 125
    256 -> 256    6 x 6    1              241, 237      125, 125
     32 ->  32   79 x 79   0              179, 179       98,  88
     32 ->  32   38 x 38   0              171, 145      103,  86
    128 -> 128   28 x 28   1              274, 267      105, 106

In a first version tiles of 5 x 5 were 1.1 times as fast on the first layer, and those of 6 x 6 0.7
to 1.15 times as fast on the first five, at 4 to 7 times the error.

The error, largest difference from float64 by largest output, of random numbers around 0 and 100:

    192 -> 384   13 x 13   1          4.6e-6, 4.6e-6      8.3e-7, 1.2e-6
    384 -> 256    6 x 6    1          2.6e-6, 2.3e-6      8.6e-7, 6.4e-7
    256 -> 256    6 x 6    1          2.2e-6, 3.0e-6      7.5e-7, 7.1e-7
     32 ->  32   79 x 79   0          1.6e-6, 1.8e-6      1.1e-6, 1.3e-6
     32 ->  32   38 x 38   0          1.6e-6, 1.9e-6      4.2e-7, 5.2e-7

where `_tiled` has 7e-7 to 3.2e-6. But it is relative to the largest pixels of a tile: where one is
10**6 times the others, outputs that do not see it lose all their digits to it.

A pixel that is not finite would even make NaN of all outputs of its tile, and numbers near the end
of float32's range may too. So on the way back it is noticed when a tile's outputs are not finite,
and images in which that happens are computed again by `_tiled`.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np
from numba import prange

from .. import buffers, threads
from ..shapes import Geometry, Pair
from . import _kept, _tiled
from ._jit import SMALL, jit, kernel, take, workers
from ._paths import Tiling, tiling
from ._register_tile import at_least_zero, outer, turn_in, turn_out
from ._vectors import ROWS, VECTORS, lanes, round_up
from ._winograd_transforms import INPUT, OUTPUT, TAPS, WEIGHTS

_FLOPS = 32  # multiply-adds that take as long as an element of a simple loop
_BYTES = 1 << 20  # of a task's transformed pixels and sums: the usual second-level cache
_TASKS = 8  # at least, if the shapes allow: work for as many threads
_TILES = 16  # of a task, at least: fewer would not make up for fetching the weights
_FEW = 1 << 8  # pixels of the result up to which transformed weights are kept
_PIECE = 16  # channels of a task of transforming weights
_WEIGHTS = TAPS * TAPS

_input_3, _input_4 = INPUT[3], INPUT[4]
_weights_3, _weights_4 = WEIGHTS[3], WEIGHTS[4]
_output_3, _output_4 = OUTPUT[3], OUTPUT[4]


class Plan(NamedTuple):
    """The sizes of one convolution."""

    m: int  # outputs of a tile, down and across
    values: int  # (m + 2)**2 pixels of a tile, and as many numbers that they become
    tiles_h: int  # of an image
    tiles_w: int
    pad_h: int
    pad_w: int
    images: int  # of a task
    band: int  # rows of tiles of a task: all of some images, or a band of a large one
    blocks: int  # of images
    bands: int
    cuts: int  # tasks that share the filters of a block and band
    step: int  # numbers of a vector
    padded: int  # channels and filters, rounded up to whole vectors
    filters: int
    most_rows: int  # of the image that a band of tiles can meet
    u_step: int  # from a number of a transformed tile to the next: in a block of weights of 48
    v_step: int  # filters, in the pixels and in the sums. An odd number of cache lines, since
    s_step: int  # lines whose distance is a power of two take each other's place in the cache


def correlate(
    x: np.ndarray, w: np.ndarray, b: np.ndarray | None, y: np.ndarray, geometry: Geometry,
    clip: bool = False,
) -> None:  # fmt: skip
    """Fill y with the convolution of x; with `clip` max(y, 0), on the way to memory."""
    strange = _correlate_all(x, w, b, y, geometry[1], False, clip)
    if strange.size:
        again = np.empty((strange.size, *y.shape[1:]), y.dtype)
        _tiled.correlate(x[strange], w, b, again, geometry, clip)
        y[strange] = again


def input_grad(dy: np.ndarray, w: np.ndarray, dx: np.ndarray, geometry: Geometry) -> None:
    """Fill dx with the gradient for the input: a convolution of dy with the kernels turned round.

    Output p met pixel p + r - padding, so pixel h meets output h + (2 - r) - (2 - padding).
    """
    (pad_h, pad_w), last = geometry[1], TAPS - 1
    strange = _correlate_all(dy, w, None, dx, (last - pad_h, last - pad_w), True, False)
    if strange.size:
        again = np.empty((strange.size, *dx.shape[1:]), dx.dtype)
        _tiled.input_grad(dy[strange], w, again, geometry)
        dx[strange] = again


def _correlate_all(
    x: np.ndarray, w: np.ndarray, b: np.ndarray | None, y: np.ndarray, padding: Pair, back: bool,
    clip: bool,
) -> np.ndarray:  # fmt: skip
    """Fill y, and return which images hold outputs that are not finite. `back`: y is a gradient."""
    p = _plan(x.shape, y.shape, padding, y.itemsize)
    width, size, Q = VECTORS * p.step, -(-p.filters // (VECTORS * p.step)) * p.u_step, y.shape[3]

    def transform() -> np.ndarray:
        u = buffers.empty(p.values * size, y.dtype)
        with threads.launching:
            team = 1 if u.size < SMALL else workers()
            spread = np.empty((team, (_WEIGHTS + p.step) * width), y.dtype)
            _transform_weights(u.size, w.reshape(-1), u, p, w.shape[:2], back, spread)
        return u

    few = y.size // y.shape[1] <= _FEW
    u = _kept.packed(w, ("winograd", p.m, back), transform) if few else transform()
    bias = np.zeros(p.filters, y.dtype)
    if b is not None:
        bias[: b.size] = b
    strange, channels = np.zeros(x.shape[0], np.int64), np.arange(x.shape[1])
    work = y.size * x.shape[1] * _WEIGHTS // _FLOPS
    with threads.launching:  # the team must not grow beyond its scratch in between
        team = 1 if work < SMALL else workers()
        packed = buffers.scratch(
            "winograd packed", (team, (1 + p.most_rows * x.shape[3]) * p.padded), y.dtype
        )
        v = buffers.scratch("winograd v", (team, p.values * p.v_step), y.dtype)
        sums = buffers.scratch("winograd sums", (team, p.values * p.s_step), y.dtype)
        result = buffers.scratch(
            "winograd result", (team, (p.band * p.m * Q + p.m) * width), y.dtype
        )
        places = np.empty((team, p.values), np.int64)
        _correlate(
            work, x, u, bias, y, p, channels, clip, np.zeros(width, y.dtype), packed, v, sums,
            result, places, strange,
        )  # fmt: skip
    return np.flatnonzero(strange)


@functools.lru_cache(maxsize=512)
def _plan(x_shape: tuple[int, ...], y_shape: tuple[int, ...], padding: Pair, itemsize: int) -> Plan:
    (N, C, H, _), (_, K, P, Q) = x_shape, y_shape
    tiles, step = tiling(P, Q), lanes(itemsize)
    padded, filters, width = round_up(C, step), round_up(K, step), VECTORS * step
    values = (tiles.m + TAPS - 1) ** 2
    room = max(_BYTES, values * C * filters * itemsize // 4)
    most = max(1, room // itemsize // (values * (padded + width)))
    images, band = _block(N, tiles, most)
    blocks, bands = -(-N // images), -(-tiles.down // band)
    cuts = min(-(-filters // width), -(-_TASKS // (blocks * bands)))
    count = round_up(images * band * tiles.across, ROWS)
    return Plan(
        tiles.m, values, tiles.down, tiles.across, *padding, images, band, blocks, bands, cuts,
        step, padded, filters, min(H, band * tiles.m + TAPS - 1),
        C * width + step, count * padded + step, count * width + step,
    )  # fmt: skip


def _block(N: int, tiles: Tiling, most: int) -> Pair:
    """Return how many images and rows of tiles a task takes, at most `most` tiles if possible."""
    each = tiles.down * tiles.across
    if each <= most and (N >= _TASKS or each < 2 * _TILES):
        limit = min(N, most // each, max(N // _TASKS, -(-_TILES // each)))
        return _least_waste(limit, N, each), tiles.down
    limit = max(-(-tiles.down * N // _TASKS), -(-_TILES // tiles.across))
    limit = max(1, min(tiles.down, most // tiles.across, limit))
    return 1, _least_waste(limit, tiles.down, tiles.across)


def _least_waste(limit: int, count: int, each: int) -> int:
    """Return how many of `count` groups of tiles to take at once, up to a limit.

    Tiles are multiplied in whole eights. Of equally good numbers it is the largest.
    """

    def multiplied(n: int) -> int:
        return count // n * round_up(n * each, ROWS) + round_up(count % n * each, ROWS)

    return min(range(limit, 0, -1), key=multiplied)


# ----------------------------------------------------------------------- weights


@kernel
def _transform_weights(team, w, u, p, shape, back, spread):
    """Transform weights into blocks of 48 filters: for each of the values a row for a channel."""
    C, K = (shape[0], shape[1]) if back else (shape[1], shape[0])
    width, pieces = VECTORS * p.step, (C + _PIECE - 1) // _PIECE
    for member in prange(team.size):
        task = take(team)
        while task < (p.filters + width - 1) // width * pieces:
            block, first = task // pieces, task % pieces * _PIECE
            wide = min(width, p.filters - block * width)
            for c in range(first, min(C, first + _PIECE)):
                _spread_filters(w, shape, back, c, block * width, K, wide, p.step, spread[member])
                for k in range(0, wide, p.step):
                    to = u[p.values * p.u_step * block + c * wide + k :]
                    _weights(p.m, back, spread[member, k:], width, to, p.u_step)
            task = take(team)


@jit
def _spread_filters(w, shape, back, c, k0, K, wide, step, spread):
    """spread[tap, k] = weight of that tap, of filter k0 + k and channel c, or 0."""
    of_filter, of_channel = _WEIGHTS, _WEIGHTS
    if back:
        of_channel *= shape[1]
    else:
        of_filter *= shape[1]
    width, read = VECTORS * step, (_WEIGHTS + step - 1) // step * step
    k, filters = 0, min(wide, K - k0)
    while k < filters:
        at = (k0 + k) * of_filter + c * of_channel
        if k + ROWS <= filters and at + (ROWS - 1) * of_filter + read <= w.size:
            turn_in(w[at:], of_filter, spread[k:], width, read)
            k += ROWS
        else:
            for tap in range(_WEIGHTS):
                spread[tap * width + k] = w[at + tap]
            k += 1
    for tap in range(_WEIGHTS):
        spread[tap * width + filters : tap * width + wide] = 0


@jit
def _weights(m, back, spread, width, u, u_step):
    if back:  # the kernel turned round: the last tap first
        spread, width = spread[(_WEIGHTS - 1) * width :], -width
    if m == 3:
        _weights_3(spread, width, u, u_step)
    else:
        _weights_4(spread, width, u, u_step)


# ------------------------------------------------------------------------- tasks


@kernel
def _correlate(
    team, x, u, bias, y, p, channels, clip, nothing, packed, v, sums, result, places, strange
):  # fmt: skip
    for member in prange(team.size):
        task = take(team)
        while task < p.blocks * p.bands * p.cuts:
            _correlate_task(task, x, u, bias, y, p, channels, clip, nothing, packed[member],
                            v[member], sums[member], result[member], places[member],
                            strange)  # fmt: skip
            task = take(team)


@jit
def _correlate_task(task, x, u, bias, y, p, channels, clip, nothing, packed, v, sums, result,
                    places, strange):  # fmt: skip
    """Compute some filters for one band of tiles of a block of images."""
    cut, band, block = task % p.cuts, task // p.cuts % p.bands, task // (p.cuts * p.bands)
    n0, first = block * p.images, band * p.band
    images, rows = min(p.images, x.shape[0] - n0), min(p.band, p.tiles_h - first)
    each = rows * p.tiles_w
    for i in range(images):
        _transform_image(x, n0 + i, p, first, rows, packed, places, v[i * each * p.padded :])
    width = VECTORS * p.step
    blocks = (p.filters + width - 1) // width
    for b in range(blocks * cut // p.cuts, blocks * (cut + 1) // p.cuts):
        wide = min(width, p.filters - b * width)
        _multiply(images * each, v, u[p.values * p.u_step * b :], p, channels, wide, nothing,
                  places, sums)  # fmt: skip
        for i in range(images):
            _transform_back(sums[i * each * wide :], bias[b * width :], p, rows, wide, y, n0 + i,
                            b * width, first, clip, result, strange)  # fmt: skip


@jit
def _multiply(tiles, v, u, p, channels, wide, nothing, rows, sums):
    """For all values sums[tile, k] = sum over c of v[tile, c] * u[c, k]; `rows` is scratch."""
    for f in range(p.values):
        of_tiles, of_filters, to = v[f * p.v_step :], u[f * p.u_step :], sums[f * p.s_step :]
        for tile in range(0, tiles, ROWS):
            for i in range(ROWS):
                rows[i] = min(tile + i, tiles - 1) * p.padded
            outer(wide // p.step, of_tiles, rows, channels, channels.size, of_filters, wide,
                  nothing, 0, to[tile * wide :], wide, wide)  # fmt: skip


# ------------------------------------------------------------------ to the values


@jit
def _transform_image(x, n, p, first, rows, packed, places, v):
    """Transform the tiles of one band of an image."""
    H, W = x.shape[2], x.shape[3]
    top = min(H, max(0, first * p.m - p.pad_h))
    bottom = max(top, min(H, (first + rows) * p.m + TAPS - 1 - p.pad_h))
    _pack(x, n, top, bottom, packed, p)
    for tile in range(rows * p.tiles_w):
        h = (first + tile // p.tiles_w) * p.m - p.pad_h
        _list_places(h, tile % p.tiles_w * p.m - p.pad_w, top, H, W, p, places)
        for c in range(0, p.padded, p.step):
            to = v[tile * p.padded + c :]
            if p.m == 3:
                _input_3(packed[c:], places, to, p.v_step)
            else:
                _input_4(packed[c:], places, to, p.v_step)


@jit
def _pack(x, n, top, bottom, packed, p):
    """packed[1 + pixel, c] = pixel of channel c, for some rows; packed[0] is the padding, zeros."""
    C, plane, W = x.shape[1], x.shape[2] * x.shape[3], x.shape[3]
    pixels, count = x.reshape(-1)[n * C * plane + top * W :], (bottom - top) * W
    whole = C // ROWS * ROWS if count >= p.step else 0
    packed[: p.padded] = 0
    for j in range(0, count if whole else 0, p.step):
        j = min(j, count - p.step)  # the last pixels are taken twice rather than one by one
        for c in range(0, whole, ROWS):
            to = packed[(1 + j) * p.padded + c :]
            turn_in(pixels[c * plane + j :], plane, to, p.padded, p.step)
    for j in range(count if whole < p.padded else 0):
        for c in range(whole, C):
            packed[(1 + j) * p.padded + c] = pixels[c * plane + j]
        packed[(1 + j) * p.padded + C : (2 + j) * p.padded] = 0


@jit
def _list_places(h0, w0, top, H, W, p, places):
    """Where the pixels of the tile at h0, w0 lie in `packed`."""
    size = p.m + TAPS - 1
    for i in range(size):
        for j in range(size):
            h, w = h0 + i, w0 + j
            inside = 0 <= h < H and 0 <= w < W
            places[i * size + j] = (1 + (h - top) * W + w) * p.padded if inside else 0


# ------------------------------------------------------------------ and back again


@jit
def _transform_back(sums, bias, p, rows, wide, y, n, k0, first, clip, result, strange):
    """Turn the sums of an image's tiles into outputs, and store them.

    The outputs lie as y's do, row after row. What a tile has beyond the end of a row falls on the
    beginning of the next; so the last tile of a row goes first, and is written over.
    """
    K, P, Q = y.shape[1:]
    odd = 0
    for r in range(rows):
        for q in range(p.tiles_w - 1, -1, -1):
            tile, pixel = r * p.tiles_w + q, (r * Q + q) * p.m
            for k in range(0, wide, p.step):
                here, to = sums[tile * wide + k :], result[pixel * wide + k :]
                if p.m == 3:
                    odd |= _output_3(here, p.s_step, bias[k:], to, Q * wide, wide)
                else:
                    odd |= _output_4(here, p.s_step, bias[k:], to, Q * wide, wide)
    if odd:
        strange[n] = 1
    at = ((n * K + k0) * P + first * p.m) * Q
    count = min(rows * p.m, P - first * p.m) * Q
    if clip:
        at_least_zero(result[: count * wide])
    _store(y.reshape(-1)[at:], P * Q, count, min(wide, K - k0), result, wide, p.step)


@jit
def _store(y, plane, count, filters, result, wide, step):
    """y[k*plane + j] = result[j, k]."""
    whole = filters // step * step if count >= ROWS else 0
    for j in range(0, count if whole else 0, ROWS):
        j = min(j, count - ROWS)
        turn_out(result[j * wide :], wide, y[j:], plane, whole)
    for k in range(whole, filters):
        for j in range(count):
            y[k * plane + j] = result[j * wide + k]
