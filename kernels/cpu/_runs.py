"""Convolution and its gradients as shifted runs over a flat padded image (`_flat`, `_shifted`).

Pixels lie in the lanes: a tile is 4 filters times a run of up to 1,024 pixels, for each tap one
shifted run of the image. So it suits few filters, which leave no lane empty here, depthwise
convolutions above all; with many, the register tiles of `_tiled` are faster.

Per task, a block of packed pixels stays in the second-level cache, runs in the first, and memory is
touched once for x, y and (per block) the weights. A run also computes what lies between the rows
of the packed image: the share of useful pixels is P*Q of rows*pitch, 0.97 at 160 x 160, 0.72 at
13 x 13 unpadded, 0.36 at 5 x 5 unpadded.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from .. import buffers, threads
from ..shapes import Geometry
from ._flat import Layout, Plan, Tables, pack, plan, splits, unpack
from ._jit import jit, kernel, take, workers
from ._shifted import BLOCK, LANES, add_taps, add_taps_1, dot_taps
from ._tasks import add_up
from .activation import relu

_PARTIALS = 1 << 23  # bytes that all partial weight gradients may take
_PARTS = 16  # partial weight gradients, at most
_FLOPS = 16  # multiply-adds that take as long as an element of a simple loop


def correlate(
    x: np.ndarray, w: np.ndarray, b: np.ndarray | None, y: np.ndarray, geometry: Geometry,
    clip: bool = False,
) -> None:  # fmt: skip
    """Fill y with the convolution of x; with `clip` max(y, 0), in a pass of its own."""
    _correlate(x, w, b, y, *plan(x.shape, w.shape, y.shape[2:], *geometry, x.itemsize))
    if clip:
        relu(y, out=y)


def input_grad(dy: np.ndarray, w: np.ndarray, dx: np.ndarray, geometry: Geometry) -> None:
    """Fill dx with the gradient for the input: each phase of it is a convolution of dy."""
    numbers = plan(dx.shape, w.shape, dy.shape[2:], *geometry, dy.itemsize, True)
    _correlate(dy, w, None, dx, *numbers)


def _correlate(
    source: np.ndarray,
    w: np.ndarray,
    b: np.ndarray | None,
    y: np.ndarray,
    p: Plan,
    layout: Layout,
    t: Tables,
) -> None:
    """Fill y, the destination of plan p, from the source and the weights."""
    bias = np.zeros(y.shape[1], y.dtype) if b is None else b
    cuts = splits(p.blocks * p.bands * p.groups, p.channels)
    work = y.size * t.tap_at.size // p.phases // _FLOPS
    with threads.launching:  # the team must not grow beyond its scratch in between
        scratch = buffers.scratch("runs", (workers(), p.size + BLOCK * (p.run + LANES)), y.dtype)
        _add_shifted(work, source, w.reshape(-1), bias, y, p, layout, t, cuts, scratch)


def weight_grad(dy: np.ndarray, x: np.ndarray, dw: np.ndarray, geometry: Geometry) -> None:
    """Fill dw from the gradient of the output and the input.

    The unused pixels between rows are multiplied by zeros of dy, so an infinity in x may make
    further taps of its channel NaN.
    """
    p, layout, t = plan(x.shape, dw.shape, dy.shape[2:], *geometry, x.itemsize)
    units = p.blocks * p.bands
    parts = max(1, min(units, _PARTS, _PARTIALS // dw.nbytes))
    cuts = splits(parts * p.groups, p.channels)
    grad = layout._replace(step_h=1, step_w=1, base_h=0, base_w=0)
    partial = buffers.empty((parts, dw.size), x.dtype)
    work = dy.size * t.tap_at.size // _FLOPS
    with threads.launching:  # the team must not grow beyond its scratch in between
        size = p.size + p.channels * layout.plane + 16
        scratch = buffers.scratch("runs", (workers(), size), x.dtype)
        _sum_products(work, dy, x, partial, p, layout, t, grad, cuts, scratch)
    add_up(partial.size, partial, dw.reshape(-1))


@kernel
def _add_shifted(team, x, w, bias, y, p, layout, t, cuts, scratch):
    for member in prange(team.size):
        task = take(team)
        while task < p.blocks * p.bands * p.groups * cuts:
            _add_shifted_task(task, x, w, bias, y, p, layout, t, cuts, scratch[member])
            task = take(team)


@jit
def _add_shifted_task(task, x, w, bias, y, p, layout, t, cuts, scratch):
    """Compute some destination channels of one group, band of rows and block of images."""
    cut, group = task % cuts, task // cuts % p.groups
    band, block = task // (cuts * p.groups) % p.bands, task // (cuts * p.groups * p.bands)
    n0, band_first = block * layout.images, band * p.band
    band_end = min(band_first + p.band, p.grid_h)
    packed, sums = scratch[: p.size], scratch[p.size :].reshape((BLOCK, p.run + LANES))
    c0 = group * p.source_channels
    pack(x, layout, t.source_h, t.source_w, n0, c0, p.source_channels, band_first,
         x.shape[2], packed)  # fmt: skip

    pixels = _pixels(p, layout, band_first, band_end)
    first_channel, last_channel = _share(p.channels, cuts, cut)
    for phase in range(p.phases):
        first_tap, last_tap = t.phase_first[phase], t.phase_first[phase + 1]
        for j in range(0, pixels, p.run):
            n = min(p.run, (pixels - j + LANES - 1) // LANES * LANES)
            for c in range(first_channel, last_channel, BLOCK):
                channels = min(BLOCK, last_channel - c)
                weights = w[group * p.w_group + c * p.w_step :]
                y_channel = group * p.channels + c
                if channels == 1:
                    add_taps_1(packed[j:], t.tap_at, weights, t.tap_w, first_tap, last_tap,
                               bias[y_channel:], sums, n)  # fmt: skip
                else:
                    add_taps(packed[j:], t.tap_at, weights, t.tap_w, p.w_step, channels,
                             first_tap, last_tap, bias[y_channel:], sums, n)  # fmt: skip
                unpack(y, p, layout, t, phase, n0, y_channel, channels, band_first, band_end, j,
                       min(n, pixels - j), sums)  # fmt: skip


@kernel
def _sum_products(team, dy, x, partial, p, layout, t, grad, cuts, scratch):
    for member in prange(team.size):
        task = take(team)
        while task < partial.shape[0] * p.groups * cuts:
            _sum_products_task(task, dy, x, partial, p, layout, t, grad, cuts, scratch[member])
            task = take(team)


@jit
def _sum_products_task(task, dy, x, partial, p, layout, t, grad, cuts, scratch):
    """Sum dw of some filters of one group over one part of the blocks and bands."""
    cut, group, part = task % cuts, task // cuts % p.groups, task // (cuts * p.groups)
    packed, tile = scratch[: p.size], scratch[scratch.size - 16 :]
    packed_dy = scratch[p.size : scratch.size - 16]
    first_filter, last_filter = _share(p.channels, cuts, cut)
    filters, k0 = last_filter - first_filter, group * p.channels + first_filter
    sums = partial[part, k0 * p.w_step : (k0 + filters) * p.w_step]
    sums[:] = 0
    first_unit, last_unit = _share_of(p.blocks * p.bands, partial.shape[0], part)
    for unit in range(first_unit, last_unit):
        n0, band_first = unit // p.bands * layout.images, unit % p.bands * p.band
        band_end = min(band_first + p.band, p.grid_h)
        c0 = group * p.source_channels
        pack(x, layout, t.source_h, t.source_w, n0, c0, p.source_channels, band_first,
             x.shape[2], packed)  # fmt: skip
        pack(dy, grad, t.phase_h, t.phase_w, n0, k0, filters, band_first, band_end, packed_dy)
        pixels = _pixels(p, layout, band_first, band_end)
        for j in range(0, pixels, p.run):
            n = min(p.run, (pixels - j + LANES - 1) // LANES * LANES)
            _add_products(packed[j:], t.tap_at, packed_dy[j:], grad.plane, filters, n, tile, sums)


@jit
def _add_products(x, tap_at, dy, plane, filters, n, tile, sums):
    """sums[k, t] += sum over j < n of dy[k*plane + j] * x[tap_at[t] + j], in 4 x 4 tiles."""
    taps = tap_at.size
    for k in range(0, filters, BLOCK):
        k1, k2, k3 = min(k + 1, filters - 1), min(k + 2, filters - 1), min(k + 3, filters - 1)
        for i in range(0, taps, BLOCK):
            at = (tap_at[i], tap_at[min(i + 1, taps - 1)], tap_at[min(i + 2, taps - 1)],
                  tap_at[min(i + 3, taps - 1)])  # fmt: skip
            dot_taps(x, at, dy, k * plane, k1 * plane, k2 * plane, k3 * plane, n, tile)
            for f in range(min(BLOCK, filters - k)):
                for s in range(min(BLOCK, taps - i)):
                    sums[(k + f) * taps + i + s] += tile[BLOCK * f + s]


@jit
def _pixels(p, layout, band_first, band_end):
    """Return the pixels from a block's first useful one to its last."""
    rows = (layout.images - 1) * layout.rows + band_end - band_first
    return (rows - 1) * layout.pitch + p.grid_w


@jit
def _share(channels, cuts, cut):
    """Return the channels [first, last) of a cut, cut between tiles."""
    first, last = _share_of((channels + BLOCK - 1) // BLOCK, cuts, cut)
    return min(channels, first * BLOCK), min(channels, last * BLOCK)


@jit
def _share_of(items, parts, part):
    """Return the items [first, last) of a part: contiguous, and as equal as can be."""
    return items * part // parts, items * (part + 1) // parts
