"""2-D convolution and its gradients as shifted runs over a flat padded image (see `_flat`).

Layers of many channels and filters go to `_product` instead: im2col and BLAS, in parallel.

A layer takes 2*N*K*P*Q*(C/groups)*R*S FLOPs forward and as many for each gradient. Per task, a
block of packed pixels stays in the second-level cache, runs of up to 1,024 in the first, and memory
is touched once for x, y and (per block) the weights: 4 bytes of each against 2*K*R*S FLOPs an input
pixel. So a layer with more than a few filters is bound by the tiles' speed, 80-100 GFLOP/s a core
where OpenBLAS does 100, times the share of useful pixels, P*Q of rows*pitch: 0.97 at 160 x 160,
0.72 at 13 x 13 unpadded, 0.36 at 5 x 5 unpadded.

Every output is summed by one task in the fixed order of its taps: the bits depend on neither the
number of threads nor the batch. The weight gradient adds up a number of partial sums that only
the shapes decide.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from .. import buffers, threads
from ..shapes import Pair, conv2d_output_size
from . import _product
from ._flat import Layout, Plan, Shape4, Tables, pack, plan, splits, unpack
from ._jit import jit, kernel, take, workers
from ._tiles import BLOCK, LANES, add_taps, add_taps_1, dot_taps

_PARTIALS = 1 << 23  # bytes that all partial weight gradients may take
_PARTS = 16  # partial weight gradients, at most
_FLOPS = 16  # multiply-adds that take as long as an element of a simple loop
_PIECE = 1 << 12  # elements of a task of `_add_up`


def conv2d(
    x: np.ndarray,
    w: np.ndarray,
    b: np.ndarray | None,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
    *,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """y[n,k,p,q] = b[k] + sum over c,r,s of w[k,c,r,s] * padded x[n,c,p*stride + r*dilation, ...].

    x (N,C,H,W), w (K,C/groups,R,S), b (K,) or None give y (N,K,P,Q). Filters k of group g see the
    channels of group g only. A NaN or infinity reaches exactly the outputs that its pixel has.
    """
    y_size = conv2d_output_size(x.shape[2:], w.shape[2:], stride, padding, dilation)
    y = buffers.empty((x.shape[0], w.shape[0], *y_size), x.dtype) if out is None else out
    if _product.is_faster(w.shape, groups):
        _product.conv2d(x, w, b, y, (stride, padding, dilation, groups))
    elif y.size:
        geometry = plan(x.shape, w.shape, y_size, stride, padding, dilation, groups, x.itemsize)
        _correlate(x, w, b, y, *geometry)
    return y


def conv2d_input_grad(
    dy: np.ndarray,
    w: np.ndarray,
    input_shape: Shape4,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
    *,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """Return dx (N,C,H,W) = input_shape: each phase of it is a stride-1 convolution of dy."""
    dx = buffers.empty(input_shape, dy.dtype) if out is None else out
    if _product.is_faster(w.shape, groups):
        _product.input_grad(dy, w, dx, (stride, padding, dilation, groups))
    elif dx.size:
        y_size = dy.shape[2:]
        geometry = plan(
            input_shape, w.shape, y_size, stride, padding, dilation, groups, dy.itemsize, True
        )
        _correlate(dy, w, None, dx, *geometry)
    return dx


def conv2d_weight_grad(
    dy: np.ndarray,
    x: np.ndarray,
    weight_shape: Shape4,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
    *,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """Return dw (K,C/groups,R,S) = weight_shape: products of runs of dy and of shifted runs of x.

    The unused pixels between rows are multiplied by zeros of dy, so an infinity in x may make
    further taps of its channel NaN.
    """
    dw = buffers.empty(weight_shape, x.dtype) if out is None else out
    if not x.size:
        dw[...] = 0
        return dw
    if _product.is_faster(weight_shape, groups):
        _product.weight_grad(dy, x, dw, (stride, padding, dilation, groups))
        return dw
    p, layout, t = plan(
        x.shape, weight_shape, dy.shape[2:], stride, padding, dilation, groups, x.itemsize
    )
    units = p.blocks * p.bands
    parts = max(1, min(units, _PARTS, _PARTIALS // dw.nbytes))
    cuts = splits(parts * groups, p.channels)
    grad = layout._replace(step_h=1, step_w=1, base_h=0, base_w=0)
    partial = buffers.empty((parts, dw.size), x.dtype)
    work = dy.size * t.tap_at.size // _FLOPS
    with threads.launching:  # the team must not grow beyond its scratch in between
        scratch = buffers.empty((workers(), p.size + p.channels * layout.plane + 16), x.dtype)
        _sum_products(work, dy, x, partial, p, layout, t, grad, cuts, scratch)
    _add_up(partial.size, partial, dw.reshape(-1))
    return dw


def conv2d_bias_grad(dy: np.ndarray, *, out: np.ndarray | None = None) -> np.ndarray:
    """Return db (K,): dy (N,K,P,Q) summed over images and positions, in float64 on the way."""
    N, K, P, Q = dy.shape
    db = np.empty(K, dy.dtype) if out is None else out
    sums = np.empty((N, K), np.float64)
    _sum_planes(dy.size, dy.reshape(N * K, P * Q), sums.reshape(-1))
    db[:] = sums.sum(axis=0)
    return db


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
        scratch = buffers.empty((workers(), p.size + BLOCK * (p.run + LANES)), y.dtype)
        _add_shifted(work, source, w.reshape(-1), bias, y, p, layout, t, cuts, scratch)


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


@kernel
def _add_up(team, partial, total):
    for _ in prange(team.size):
        first = take(team) * _PIECE
        while first < total.size:
            last = min(first + _PIECE, total.size)
            total[first:last] = partial[0, first:last]
            for part in range(1, partial.shape[0]):
                for i in range(first, last):
                    total[i] += partial[part, i]
            first = take(team) * _PIECE


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


@kernel
def _sum_planes(team, x, sums):
    for _ in prange(team.size):
        i = take(team)
        while i < x.shape[0]:
            sums[i] = _sum(x[i])
            i = take(team)


@jit(flags=frozenset({"contract", "reassoc"}))
def _sum(x):
    total = 0.0
    for i in range(x.size):
        total += np.float64(x[i])
    return total
