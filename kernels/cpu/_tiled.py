"""Convolution and its gradients as sums of outer products in registers (`_simd.outer`).

The image is packed, padded and flat, as for shifted runs (`_flat`): a tap and a pixel are offsets,
and the number that pixel j needs for tap t is x[at_j + at_t]. With filters in the lanes,

    forward           y[j, k]  = b[k] + sum over t of x[at_j + at_t] * w[t, k]
    input gradient    the same from dy to dx, a phase of dx at a time
    weight gradient   dw[t, k] = sum over j of x[at_t + at_j] * dy[j, k]

A tile is 8 pixels (or taps) times up to 48 filters. Pixels and taps only change places: both are
tables, so no image is too small, no stride a special case, and no pixel between the rows of the
packed image is computed in vain, as runs have to. Filters are rounded up to a multiple of 16.

Per step of 24 multiply-adds of vectors a tile reads 3 vectors of weights, 192 bytes, one after the
other: 8 bytes a cycle, of which a second-level cache gives 32. The 8 pixels mostly lie in one line
of the first-level cache. A block of weights, 48 filters of all taps, is used for all pixels of a
task before the next comes: 332 KB for 192 channels of 3 x 3, beside the image in that cache.

What remains is packing the weights (each once a call), packing the images, and turning the tiles
round to store them: 1.3 cycles for 16 numbers that took 1 cycle a tap.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from .. import buffers, threads
from . import _kept
from ._flat import Layout, Plan, Tables, pack, splits
from ._jit import SMALL, jit, kernel, take, workers
from ._simd import ROWS, VECTORS, lanes, outer, turn_in, turn_out

_FLOPS = 32  # multiply-adds that take as long as an element of a simple loop
_MANY = 1 << 12  # pixels of the result from which packing the weights hardly counts
_PIECE = 128  # taps of a task of packing weights, or of adding up their gradients
_PARTS = 16  # partial weight gradients, at most
_PARTIALS = 1 << 23  # bytes that all of them may take
_TASKS = 16  # of a weight gradient at least, if the shapes allow


def correlate(
    source: np.ndarray,
    w: np.ndarray,
    b: np.ndarray | None,
    y: np.ndarray,
    p: Plan,
    layout: Layout,
    t: Tables,
) -> None:
    """Fill y, the destination of plan p, from the source and the weights."""
    step = lanes(y.itemsize)
    padded, taps = _round_up(p.channels, step), t.tap_at.size

    def pack_weights() -> np.ndarray:
        packed = np.empty(p.groups * taps * padded, y.dtype)
        _pack_weights(packed.size, w.reshape(-1), packed, p, t, padded, step)
        return packed

    is_forward = p.w_step == w[0].size
    if y.size // y.shape[1] < _MANY:
        packed = _kept.packed(w, (p.groups, p.phases, is_forward), pack_weights)
    else:
        packed = pack_weights()
    bias = np.zeros((p.groups, padded), y.dtype)
    if b is not None:
        bias[:, : p.channels] = b.reshape(p.groups, p.channels)
    blocks = -(-padded // (VECTORS * step))
    cuts = min(blocks, splits(p.blocks * p.bands * p.groups, p.channels))
    most = layout.images * p.band * p.grid_w + ROWS
    work = y.size * taps // p.phases // _FLOPS
    with threads.launching:  # the team must not grow beyond its scratch in between
        team = 1 if work < SMALL else workers()
        scratch = buffers.empty((team, p.size + ROWS * VECTORS * step), y.dtype)
        places = np.empty((team, 2, most), np.int64)
        _correlate(
            work, source, packed, bias.reshape(-1), y, p, layout, t, (cuts, padded, step),
            scratch, places,
        )  # fmt: skip


def weight_grad(
    dy: np.ndarray, x: np.ndarray, dw: np.ndarray, p: Plan, layout: Layout, t: Tables
) -> None:
    """Fill dw from the gradient of the output and the input; the plan is the forward one."""
    step = lanes(x.itemsize)
    padded, taps = _round_up(p.channels, step), t.tap_at.size
    rows = _round_up(taps, ROWS)
    at = np.concatenate((t.tap_at, np.full(rows - taps, t.tap_at[-1])))
    units, size = p.blocks * p.bands, p.groups * rows * padded
    parts = max(1, min(units, _PARTS, _PARTIALS // (size * x.itemsize)))
    channels = _round_up(-(-p.source_channels // -(-_TASKS // (parts * p.groups))), ROWS)
    cuts = -(-p.source_channels // channels)
    most = layout.images * p.band * p.grid_w + ROWS
    work = dy.size * taps // _FLOPS
    partial = buffers.empty((parts, p.groups, rows, padded), x.dtype)
    with threads.launching:
        team = 1 if work < SMALL else workers()
        scratch = buffers.empty((team, p.size + most * padded), x.dtype)
        places = np.empty((team, 2, most), np.int64)
        _sum_products(
            work, dy, x, partial, p, layout, t, at, (cuts, channels, padded, step), scratch, places
        )
        _add_up(partial.size, partial, dw.reshape(p.groups, p.channels, taps))


def _round_up(count: int, step: int) -> int:
    return -(-count // step) * step


# ------------------------------------------------------------------------------- forward


@kernel
def _pack_weights(team, w, packed, p, t, padded, step):
    """Weights by groups, blocks of filters, taps and filters: the order in which tiles read them.

    A block is VECTORS vectors wide, the last one as wide as is left.
    """
    taps, width = t.tap_w.size, VECTORS * step
    blocks, pieces = (padded + width - 1) // width, (taps + _PIECE - 1) // _PIECE
    for _ in prange(team.size):
        task = take(team)
        while task < p.groups * blocks * pieces:
            piece, block, group = (
                task % pieces,
                task // pieces % blocks,
                task // (pieces * blocks),
            )
            first, wide = block * width, min(width, padded - block * width)
            filters = min(wide, p.channels - first)
            to, base = taps * (group * padded + first), group * p.w_group + first * p.w_step
            end = min(taps, (piece + 1) * _PIECE)
            _pack_piece(w, base, p.w_step, t.tap_w, piece * _PIECE, end, packed[to:], filters,
                        wide, step)  # fmt: skip
            task = take(team)


@jit
def _pack_piece(w, base, w_step, tap_w, first, last, packed, filters, wide, step):
    """packed[tap*wide + k] = w[base + tap_w[tap] + k*w_step], zeros beyond the filters."""
    i, whole = first, filters // ROWS * ROWS
    while i < last:
        count = 1
        if i + step <= last and tap_w[i + step - 1] - tap_w[i] == step - 1:  # taps side by side
            count = step
            for k in range(0, whole, ROWS):
                turn_in(w[base + tap_w[i] + k * w_step :], w_step, packed[i * wide + k :], wide,
                        step)  # fmt: skip
        for tap in range(i, i + count):
            for k in range(whole if count == step else 0, filters):
                packed[tap * wide + k] = w[base + tap_w[tap] + k * w_step]
            packed[tap * wide + filters : (tap + 1) * wide] = 0
        i += count


@kernel
def _correlate(team, x, w, bias, y, p, layout, t, numbers, scratch, places):
    for member in prange(team.size):
        task = take(team)
        while task < p.blocks * p.bands * p.groups * numbers[0]:
            _correlate_task(task, x, w, bias, y, p, layout, t, numbers, scratch[member],
                            places[member])  # fmt: skip
            task = take(team)


@jit
def _correlate_task(task, x, w, bias, y, p, layout, t, numbers, scratch, places):
    """Compute some filters of one group, for one band of rows and block of images."""
    cuts, padded, step = numbers
    cut, group = task % cuts, task // cuts % p.groups
    band, block = task // (cuts * p.groups) % p.bands, task // (cuts * p.groups * p.bands)
    n0, band_first = block * layout.images, band * p.band
    band_end = min(band_first + p.band, p.grid_h)
    packed, sums = scratch[: p.size], scratch[p.size :]
    pack(x, layout, t.source_h, t.source_w, n0, group * p.source_channels, p.source_channels,
         band_first, x.shape[2], packed)  # fmt: skip

    width, taps, plane = VECTORS * step, t.tap_w.size, y.shape[2] * y.shape[3]
    blocks, flat = (padded + width - 1) // width, y.reshape(-1)
    for phase in range(p.phases):
        first_tap, last_tap = t.phase_first[phase], t.phase_first[phase + 1]
        pixels = _list_pixels(y, p, layout, t, phase, n0, band_first, band_end, places)
        for b in range(blocks * cut // cuts, blocks * (cut + 1) // cuts):
            wide = min(width, padded - b * width)
            filters = min(wide, p.channels - b * width)
            start = bias[group * padded + b * width :]
            weights = w[taps * (group * padded + b * width) + first_tap * wide :]
            channel = (group * p.channels + b * width) * plane
            for j in range(0, pixels, ROWS):
                outer(wide // step, packed, places[0, j:], t.tap_at[first_tap:],
                      last_tap - first_tap, weights, wide, start, 0, sums, wide, wide)  # fmt: skip
                _store(flat, channel, plane, places[1, j:], min(ROWS, pixels - j), sums, wide,
                       filters, step)  # fmt: skip


@jit
def _list_pixels(y, p, layout, t, phase, n0, band_first, band_end, places):
    """List where the pixels of a phase lie in the packed image and in y; return how many.

    The last one is repeated, so that the last tile is whole.
    """
    N, C, H, W = y.shape
    left, top, count = t.phase_w[phase], t.phase_h[phase], 0
    columns = min(p.grid_w, (W - left + p.step_w - 1) // p.step_w)
    for image in range(min(layout.images, N - n0)):
        for i in range(band_first, band_end):
            h = i * p.step_h + top
            if h < H:
                at = (image * layout.rows + i - band_first) * layout.pitch
                to = ((n0 + image) * C * H + h) * W + left
                for q in range(columns):
                    places[0, count], places[1, count] = at + q, to + q * p.step_w
                    count += 1
    for i in range(count, min(places.shape[1], (count + ROWS - 1) // ROWS * ROWS)):
        places[0, i], places[1, i] = places[0, count - 1], places[1, count - 1]
    return count


@jit
def _store(y, channel, plane, to, pixels, sums, wide, filters, step):
    """Store a tile: numbers of one filter lie side by side in y, in the tile those of one pixel."""
    done, first = 0, to[0] + channel
    if pixels == ROWS and to[ROWS - 1] - to[0] == ROWS - 1:
        done = filters // step * step
        turn_out(sums, wide, y[first:], plane, done)
    for k in range(done, filters):
        for i in range(pixels):
            y[to[i] + channel + k * plane] = sums[i * wide + k]


# ------------------------------------------------------------------------ weight gradient


@kernel
def _sum_products(team, dy, x, partial, p, layout, t, at, numbers, scratch, places):
    for member in prange(team.size):
        task = take(team)
        while task < partial.shape[0] * p.groups * numbers[0]:
            _sum_products_task(task, dy, x, partial, p, layout, t, at, numbers, scratch[member],
                               places[member])  # fmt: skip
            task = take(team)


@jit
def _sum_products_task(task, dy, x, partial, p, layout, t, at, numbers, scratch, places):
    """Sum dw of some channels of one group over one part of the blocks and bands."""
    cuts, channels, padded, step = numbers
    cut, group, part = task % cuts, task // cuts % p.groups, task // (cuts * p.groups)
    packed, turned = scratch[: p.size], scratch[p.size :]
    first = cut * channels
    channels = min(channels, p.source_channels - first)
    per_channel = t.tap_at.size // p.source_channels
    taps, width = channels * per_channel, VECTORS * step
    last = (first * per_channel + taps + ROWS - 1) // ROWS * ROWS
    sums = partial[part, group, first * per_channel : last].reshape(-1)
    sums[:] = 0
    units, parts = p.blocks * p.bands, partial.shape[0]
    for unit in range(units * part // parts, units * (part + 1) // parts):
        n0, band_first = unit // p.bands * layout.images, unit % p.bands * p.band
        band_end = min(band_first + p.band, p.grid_h)
        pack(x, layout, t.source_h, t.source_w, n0, group * p.source_channels + first, channels,
             band_first, x.shape[2], packed)  # fmt: skip
        pixels = _list_pixels(dy, p, layout, t, 0, n0, band_first, band_end, places)
        _turn_pixels(dy, group * p.channels, p.channels, places[1], pixels, turned, padded, step)
        for k in range(0, padded, width):
            wide = min(width, padded - k)
            for i in range(0, taps, ROWS):
                here = sums[i * padded + k :]
                outer(wide // step, packed, at[i:], places[0], pixels, turned[k:], padded,
                      here, padded, here, padded, wide)  # fmt: skip


@jit
def _turn_pixels(dy, k0, filters, to, pixels, turned, padded, step):
    """turned[j, k] = dy of pixel j and filter k0 + k, zeros beyond the filters."""
    flat, plane = dy.reshape(-1), dy.shape[2] * dy.shape[3]
    whole = filters // ROWS * ROWS
    j = 0
    while j < pixels:
        count = 1
        if j + step <= pixels and to[j + step - 1] - to[j] == step - 1:
            count = step
            for k in range(0, whole, ROWS):
                turn_in(flat[to[j] + (k0 + k) * plane :], plane, turned[j * padded + k :], padded,
                     step)  # fmt: skip
        for i in range(j, j + count):
            for k in range(whole if count == step else 0, filters):
                turned[i * padded + k] = flat[to[i] + (k0 + k) * plane]
            turned[i * padded + filters : (i + 1) * padded] = 0
        j += count


@kernel
def _add_up(team, partial, dw):
    """dw[group, k, tap] = sum over parts of partial[part, group, tap, k], in that order."""
    groups, filters, taps = dw.shape
    pieces = (taps + _PIECE - 1) // _PIECE
    for _ in prange(team.size):
        task = take(team)
        while task < groups * pieces:
            group, first = task // pieces, task % pieces * _PIECE
            for i in range(first, min(taps, first + _PIECE)):
                for k in range(filters):
                    total = partial[0, group, i, k]
                    for part in range(1, partial.shape[0]):
                        total += partial[part, group, i, k]
                    dw[group, k, i] = total
            task = take(team)
