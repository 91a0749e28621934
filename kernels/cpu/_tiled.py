"""Convolution and its gradients as sums of outer products in registers (`_register_tile.outer`).

A tap and a pixel are offsets into the image (`_places`): the number that pixel j needs for tap t is
x[at_j + at_t]. With filters in the lanes,

    forward           y[j, k]  = b[k] + sum over t of x[at_j + at_t] * w[t, k]
    input gradient    the same from dy to dx
    weight gradient   dw[t, k] = sum over j of x[at_t + at_j] * dy[j, k], in `_tiled_weight_grad`

A tile is 8 pixels (there: taps) times up to 48 filters. Pixels and taps only change places: both
are tables, so no image is too small, and no stride a special case. The image is read where it lies,
without im2col, padding or any other copy: the 8 pixels of a tile are of one class, which meets the
same taps, and taps that would meet padding are left out.

Per step of 24 multiply-adds of vectors a tile reads 3 vectors of weights, 192 bytes, one after the
other: 8 bytes a cycle, of which a second-level cache gives 32. The 8 pixels mostly lie in one line
of the first-level cache. A block of weights, 48 filters of all taps, is used for all pixels of a
task before the next comes: 332 KB for 192 channels of 3 x 3, beside the images in that cache.

What remains is packing the weights (each once a call), listing the pixels, and turning the tiles
round to store them: 1.3 cycles for 16 numbers that took 1 cycle a tap.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from .. import buffers, threads
from ..shapes import Geometry
from . import _kept
from ._jit import SMALL, jit, kernel, take, workers
from ._places import Places, places
from ._register_tile import at_least_zero, outer, turn_in, turn_out
from ._tasks import ENOUGH, FLOPS, block, lanes_of, list_pixels
from ._tiled_weight_grad import weight_grad as weight_grad
from ._vectors import ROWS, VECTORS, lanes, round_up

_TASKS = 64  # at least, if the shapes allow: for many threads, and a short wait for the last one
_SLICE = 16  # channels of a task of packing weights
_MANY = 1 << 12  # pixels of the result from which packing the weights hardly counts


def correlate(
    x: np.ndarray, w: np.ndarray, b: np.ndarray | None, y: np.ndarray, geometry: Geometry,
    clip: bool = False,
) -> None:  # fmt: skip
    """Fill y with the convolution of x; with `clip` max(y, 0), on the way to memory."""
    t = places(x.shape[2:], w.shape, y.shape[2:], *geometry)
    _correlate_all(x, w, b, y, t, geometry[3], w[0].size, w.shape[2] * w.shape[3], clip)


def input_grad(dy: np.ndarray, w: np.ndarray, dx: np.ndarray, geometry: Geometry) -> None:
    """Fill dx with the gradient for the input: a convolution of dy, filters as its channels."""
    t = places(dx.shape[2:], w.shape, dy.shape[2:], *geometry, True)
    _correlate_all(dy, w, None, dx, t, geometry[3], w.shape[2] * w.shape[3], w[0].size, False)


def _correlate_all(
    x: np.ndarray, w: np.ndarray, b: np.ndarray | None, y: np.ndarray, t: Places, groups: int,
    w_step: int, tap_step: int, clip: bool,
) -> None:  # fmt: skip
    """Fill y; from a filter to the next the weights lie w_step apart, from a channel tap_step."""
    step, filters, taps = lanes(y.itemsize), y.shape[1] // groups, t.tap_at.size
    padded = round_up(filters, step)
    sizes = filters, padded, step, w.size // groups, w_step, tap_step

    def pack() -> np.ndarray:
        packed = buffers.empty(groups * taps * padded, y.dtype)
        _pack_weights(packed.size, w.reshape(-1), packed, t, groups, sizes)
        return packed

    few = y.size // y.shape[1] < _MANY
    packed = _kept.packed(w, (groups, w_step), pack) if few else pack()
    bias = np.zeros((groups, padded), y.dtype)
    if b is not None:
        bias[:, :filters] = b.reshape(groups, filters)

    N, (P, Q) = y.shape[0], y.shape[2:]
    images, band = block(N, P, Q)
    tasks = -(-N // images) * -(-P // band) * groups
    cuts = min(-(-padded // (VECTORS * step)), -(-_TASKS // tasks))
    bands = min(-(-_TASKS // (tasks * cuts)), images * band * Q // ENOUGH)
    band = -(-band // max(1, bands))
    classes = t.rows_of.size - 1
    work = y.size * taps // FLOPS
    with threads.launching:  # the team must not grow beyond its scratch in between
        team = 1 if work < SMALL else workers()
        sums = np.empty((team, ROWS * VECTORS * step), y.dtype)
        size = team, 2, images * band * Q + ROWS * classes
        pixels = buffers.scratch("pixels", size, np.int64)
        counts = np.empty((team, 2, classes), np.int64)
        _correlate(
            work, x, packed, bias.reshape(-1), y, t, (images, band, groups, cuts), sizes, clip,
            sums, pixels, counts,
        )  # fmt: skip


# --------------------------------------------------------------------------------- weights


@kernel
def _pack_weights(team, w, packed, t, groups, sizes):
    """Weights by groups, blocks of filters, taps and filters: the order in which tiles read them.

    A block is at most VECTORS vectors wide.
    """
    filters, padded, step, group_step, w_step, tap_step = sizes
    taps, spots, width = t.tap_w.size, t.meets.shape[1], VECTORS * step
    depth, blocks = taps // spots, (padded + width - 1) // width
    pieces = (depth + _SLICE - 1) // _SLICE
    for _ in prange(team.size):
        rows = np.empty(width * step, w.dtype)
        task = take(team)
        while task < groups * blocks * pieces:
            piece, block, group = task % pieces, task // pieces % blocks, task // (pieces * blocks)
            first, wide = lanes_of(block, blocks, padded, step)
            base = group * group_step + first * w_step
            channels = (piece * _SLICE, min(depth, (piece + 1) * _SLICE))
            _pack_piece(w[base:], w_step, tap_step, channels, depth, spots,
                        packed[taps * (group * padded + first) :], min(wide, filters - first), wide,
                        rows, step)  # fmt: skip
            task = take(team)


@jit
def _pack_piece(w, w_step, tap_step, channels, depth, spots, packed, filters, wide, rows, step):
    """packed[(spot*depth + c)*wide + k] = w[k*w_step + c*tap_step + spot], zeros beyond filters.

    A spot is a tap (r, s). Where the weights of several taps lie side by side, a square of them is
    turned round at a time.
    """
    whole = filters // ROWS * ROWS
    side_by_side = spots * (channels[1] - channels[0]) if tap_step == spots else spots
    for c in range(channels[0], channels[1], side_by_side // spots):
        for i in range(0, side_by_side, step):
            count, at = min(step, side_by_side - i), c * tap_step + i
            turned = 0
            while turned < whole and at + (turned + ROWS - 1) * w_step + step <= w.size:
                turn_in(w[at + turned * w_step :], w_step, rows[turned:], wide, step)
                turned += ROWS
            for j in range(count):
                to = ((i + j) % spots * depth + c + (i + j) // spots) * wide
                for k in range(turned):
                    packed[to + k] = rows[j * wide + k]
                for k in range(turned, filters):
                    packed[to + k] = w[at + j + k * w_step]
                packed[to + filters : to + wide] = 0


# --------------------------------------------------------------------------------- forward


@kernel
def _correlate(team, x, w, bias, y, t, blocks, sizes, clip, sums, pixels, counts):
    images, band, groups, cuts = blocks
    bands = (y.shape[2] + band - 1) // band
    tasks = (y.shape[0] + images - 1) // images * bands * groups * cuts
    for member in prange(team.size):
        task = take(team)
        while task < tasks:
            cut, group = task % cuts, task // cuts % groups
            part, block = task // (cuts * groups) % bands, task // (cuts * groups * bands)
            n = (block * images, min(y.shape[0], (block + 1) * images))
            rows = (part * band, (part + 1) * band)
            _correlate_task(x, w, bias, y, t, n, rows, group, (cut, cuts), sizes, clip,
                            sums[member], pixels[member], counts[member])  # fmt: skip
            task = take(team)


@jit
def _correlate_task(x, w, bias, y, t, n, rows, group, cut, sizes, clip, sums, pixels, counts):
    """Compute some filters of one group, for some rows of some images."""
    filters, padded, step = sizes[0], sizes[1], sizes[2]
    plane, taps, width = y.shape[2] * y.shape[3], t.tap_w.size, VECTORS * step
    depth = taps // t.meets.shape[1]
    image = x.shape[1] * x.shape[2] * x.shape[3]
    list_pixels(t, n, rows, image, y.shape[1] * plane, ROWS, pixels, counts)
    source = x.reshape(-1)[group * depth * x.shape[2] * x.shape[3] :]
    flat, blocks = y.reshape(-1), (padded + width - 1) // width
    for b in range(blocks * cut[0] // cut[1], blocks * (cut[0] + 1) // cut[1]):
        lane, wide = lanes_of(b, blocks, padded, step)
        start, block = bias[group * padded + lane :], w[taps * (group * padded + lane) :]
        channel, real = (group * filters + lane) * plane, min(wide, filters - lane)
        for k in range(counts.shape[1]):
            first, last = t.runs_of[k], t.runs_of[k + 1]
            _sum_class(source, pixels[:, counts[0, k] :], counts[1, k], t.tap_at,
                       t.run_first[first:last], t.run_count[first:last], block, wide, start,
                       flat, channel, plane, real, clip, sums, step)  # fmt: skip


@jit
def _sum_class(x, pixels, count, tap_at, run_first, run_count, w, wide, start, y, channel, plane,
               filters, clip, sums, step):  # fmt: skip
    """Sum the taps that a class meets, in runs, for its pixels, and store them in y."""
    at, to, vectors = pixels[0], pixels[1], wide // step
    tap, taps = (run_first[0], run_count[0]) if run_first.size else (0, 0)
    first_taps, first_w, whole = tap_at[tap:], w[tap * wide :], filters // step * step
    for j in range(0, count, ROWS):
        here = at[j:]
        outer(vectors, x, here, first_taps, taps, first_w, wide, start, 0, sums, wide, wide)
        for i in range(1, run_first.size):
            tap = run_first[i]
            outer(vectors, x, here, tap_at[tap:], run_count[i], w[tap * wide :], wide, sums, wide,
                  sums, wide, wide)  # fmt: skip
        if clip:
            at_least_zero(sums[: ROWS * wide])
        done = 0
        if j + ROWS <= count and to[j + ROWS - 1] - to[j] == ROWS - 1:
            turn_out(sums, wide, y[to[j] + channel :], plane, whole)
            done = whole
        for k in range(done, filters):
            for i in range(min(ROWS, count - j)):
                y[to[j + i] + channel + k * plane] = sums[i * wide + k]
