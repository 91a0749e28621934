"""Convolution along the rows of the image (`_row_tile`): the path of first layers.

A first layer has few channels, so few taps, and large images. Its results outweigh all else: of
3 -> 32 at 160 x 160, 27 multiply-adds each, 102 MB go to memory for 10 MB of pixels. So pixels lie
in the lanes here, and results are stored as they come, a row of 8 filters at a time. The weight
gradient reads dy as it lies, once, and while it sums up some filters, it fetches the next ones.

A row of outputs takes whole vectors, and perhaps half a one: 158 columns are 10 of 16 float32, 1.3
percent too much, and 55 are three and a half. The image is read where it lies, unless there is
padding or a stride along the row. Then what a task needs of it is copied first, with zeros around
it and pixels of the same remainder by the stride side by side: little work where channels are few,
and the copy stays in a near cache.

24 multiply-adds of vectors for each of 27 taps take 648 cycles, and the tile's 24 stores 48: 0.93
of the peak, if memory keeps up.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np
from numba import prange

from .. import buffers, threads
from ..shapes import Geometry, Pair, Shape4
from ._flat import Layout, pack
from ._jit import U, jit, kernel, take, workers
from ._paths import Rows
from ._row_tile import FILTERS, TAPS, lines_ahead, sum_pixels, sum_taps
from ._tasks import FLOPS, add_up
from ._vectors import ROWS, round_up

_TASKS = 32  # at least, if the shapes allow: for many threads, and a short wait for the last one
_SOURCE = 1 << 18  # bytes of the source of a task: it should stay in the second-level cache
_PARTS = 64  # partial weight gradients, at most
_PARTIALS = 1 << 23  # bytes that all of them may take


class Plan(NamedTuple):
    """The sizes of one convolution, forward or transposed, from a source to a destination."""

    depth: int  # channels of the source a group
    filters: int  # channels of the destination a group
    band: int  # rows of the destination of a task
    bands: int
    stride_h: int
    packed: bool  # whether rows are copied, by `_flat.pack`
    row_step: int  # from the source of a row of outputs to the next


class Tables(NamedTuple):
    """int64 arrays."""

    tap_at: np.ndarray  # (taps,) where a tap lies in the source, by channel, r and s
    phase_h: np.ndarray  # (phases,) the first row and column of each phase that is copied
    phase_w: np.ndarray


def work(w_shape: Shape4, geometry: Geometry, size: Pair, grad_of: str) -> Rows | None:
    """Return what there is to do here for a layer, or for its gradient; None: not on this path.

    `size` is that of the images of outputs; for the gradient of the "input", of dx.
    """
    stride, padding, dilation, groups = geometry
    K, C, R, S = w_shape
    filters, depth = K // groups, C
    if grad_of == "input":
        if stride != (1, 1):
            return None
        filters, depth, padding = C, K // groups, _back(padding, dilation, (R, S))
    copied = depth * stride[0] * stride[1] / filters if _copies(stride, padding) else 0
    return Rows(*size, copied)


def _copies(stride: Pair, padding: Pair) -> bool:
    return stride[1] != 1 or padding != (0, 0)


def _back(padding: Pair, dilation: Pair, kernel: Pair) -> Pair:
    """Return the padding of the convolution, of dy, that is the gradient for the input."""
    across = dilation[1] * (kernel[1] - 1) - padding[1]
    return dilation[0] * (kernel[0] - 1) - padding[0], across


def correlate(
    x: np.ndarray, w: np.ndarray, b: np.ndarray | None, y: np.ndarray, geometry: Geometry,
    clip: bool = False,
) -> None:  # fmt: skip
    """Fill y with the convolution of x; with `clip` max(y, 0), on the way to memory."""
    (K, C, R, S), groups = w.shape, geometry[3]
    weights = w.reshape(groups, K // groups, C * R * S)
    _correlate(x, weights, b, y, (R, S), *geometry[:3], clip)


def input_grad(dy: np.ndarray, w: np.ndarray, dx: np.ndarray, geometry: Geometry) -> None:
    """Fill dx with the gradient for the input, of stride 1: a convolution of dy.

    Output p met pixel p + r*dilation - padding, so pixel h meets, with its kernel turned round,
    output h + r*dilation - (dilation*(R-1) - padding).
    """
    stride, padding, dilation, groups = geometry
    K, C, R, S = w.shape
    turned = w.reshape(groups, K // groups, C, R * S)[..., ::-1].swapaxes(1, 2)
    back = _back(padding, dilation, (R, S))
    weights = turned.reshape(groups, C, K // groups * R * S)
    _correlate(dy, weights, None, dx, (R, S), stride, back, dilation, False)


def _correlate(
    x: np.ndarray, w: np.ndarray, b: np.ndarray | None, y: np.ndarray, kernel: Pair, stride: Pair,
    padding: Pair, dilation: Pair, clip: bool,
) -> None:  # fmt: skip
    """Fill y with the convolution of x with the weights w (groups, filters, taps)."""
    groups, filters, taps = w.shape
    N, (P, Q) = y.shape[0], y.shape[2:]
    depth = x.shape[1] // groups
    band = _band((P, Q), N * groups, _TASKS, depth * stride[0] * stride[1] * y.itemsize)
    p, layout, t = _plan(
        depth, filters, x.shape[2:], (P, Q), kernel, stride, padding, dilation, band
    )  # fmt: skip
    bias = np.zeros((groups, filters), y.dtype) if b is None else b.reshape(groups, filters)
    whole = round_up(filters, ROWS)
    if whole > filters:  # the last one fills a tile
        tiled = np.minimum(np.arange(whole), filters - 1)
        w, bias = w[:, tiled], bias[:, tiled]
    weights = w.reshape(groups, whole // ROWS, ROWS, taps).swapaxes(2, 3)
    with threads.launching:  # the team must not grow beyond its scratch in between
        scratch = _scratch(p, layout, t, y.dtype)
        _sum_taps(y.size * taps // FLOPS, x, weights.ravel(), np.ravel(bias), y, p, layout,
                  t, lines_ahead(taps, P * Q, y.itemsize), clip, scratch)  # fmt: skip


def weight_grad(dy: np.ndarray, x: np.ndarray, dw: np.ndarray, geometry: Geometry) -> None:
    """Fill dw from the gradient of the output and the input."""
    stride, padding, dilation, groups = geometry
    K, C, R, S = dw.shape
    N, (P, Q) = dy.shape[0], dy.shape[2:]
    band = _band((P, Q), N, _PARTS, C * stride[0] * stride[1] * x.itemsize)
    p, layout, t = _plan(
        C, K // groups, x.shape[2:], (P, Q), (R, S), stride, padding, dilation, band
    )
    taps = t.tap_at.size
    at = np.concatenate((t.tap_at, np.full(round_up(taps, TAPS) - taps, t.tap_at[-1])))
    blocks, units = -(-p.filters // FILTERS), N * p.bands
    parts = min(units, _PARTS, max(1, _PARTIALS // dw.nbytes))
    parts = -(-units // -(-units // parts))  # of equal size, if possible
    cut = -(-blocks // min(blocks, -(-_TASKS // (parts * groups))))  # blocks of filters of a task
    with threads.launching:
        partial = buffers.scratch("parts", (parts, groups, blocks * FILTERS, at.size), x.dtype)
        total = buffers.scratch("weights", partial.shape[1:], x.dtype)
        scratch = _scratch(p, layout, t, x.dtype)
        _sum_pixels(dy.size * taps // FLOPS, dy, x, partial, p, layout, t._replace(tap_at=at), cut,
                    scratch)  # fmt: skip
        add_up(partial.size, partial.reshape(parts, -1), total.reshape(-1))
        dw.reshape(groups, p.filters, taps)[:] = total[:, : p.filters, :taps]


def _band(outputs: Pair, images: int, tasks: int, source: int) -> int:
    """Return the rows of a task, for so many tasks if possible; an output has `source` bytes."""
    P, Q = outputs
    bands = max(-(-tasks // images), -(-P * Q * source // _SOURCE))
    return -(-P // min(P, bands))


@functools.lru_cache(maxsize=512, typed=True)
def _plan(
    depth: int, filters: int, source: Pair, outputs: Pair, kernel: Pair, stride: Pair,
    padding: Pair, dilation: Pair, band: int,
) -> tuple[Plan, Layout, Tables]:  # fmt: skip
    (H, W), (P, Q), (R, S) = source, outputs, kernel
    down, across = np.arange(R) * dilation[0], np.arange(S) * dilation[1] - padding[1]
    packed = _copies(stride, padding)
    phases, number = np.unique(across % stride[1], return_inverse=True)
    shift, lines = across // stride[1], (band - 1) * stride[0] + int(down[-1]) + 1
    before = max(0, -int(shift.min()))  # zeros before a row of pixels
    pitch = before + max(-(-W // stride[1]), Q + max(0, int(shift.max())))
    if packed:
        line, plane = pitch, phases.size * lines * pitch
        columns = number * lines * pitch + shift + before
    else:
        line, plane, columns = W, H * W, across
    at = np.arange(depth)[:, None, None] * plane + down[:, None] * line + columns
    layout = Layout(1, stride[1], -padding[0], -before, 1, lines, pitch, lines * pitch)
    numbers = Plan(depth, filters, band, -(-P // band), stride[0], packed, stride[0] * line)
    tables = (at.reshape(-1), np.zeros(phases.size), phases)
    return numbers, layout, Tables(*(table.astype(np.int64) for table in tables))


def _scratch(p: Plan, layout: Layout, t: Tables, dtype: np.dtype) -> np.ndarray:
    """Return a row for each thread, to copy the rows of a task into."""
    size = p.packed * p.depth * t.phase_w.size * layout.plane
    return buffers.scratch("rows", (workers(), size), dtype)


@kernel
def _sum_taps(team, x, w, bias, y, p, layout, t, ahead, clip, scratch):
    for member in prange(team.size):
        task = take(team)
        while task < y.shape[0] * (y.shape[1] // p.filters) * p.bands:
            _sum_band(task, x, w, bias, y, p, layout, t, ahead, clip, scratch[member])
            task = take(team)


@jit
def _sum_band(task, x, w, bias, y, p, layout, t, ahead, clip, packed):
    """Compute a band of rows of one image and group."""
    (_, channels, P, Q), taps = y.shape, t.tap_at.size
    groups, flat = channels // p.filters, y.reshape(-1)
    band, group, n = task % p.bands, task // p.bands % groups, task // (p.bands * groups)
    first, rows = band * p.band, min(p.band, P - band * p.band)
    start = _fetch(x, n, group, first, p, layout, t, packed)
    here = packed[start:] if p.packed else x.reshape(-1)[start:]
    for k in range(0, p.filters, ROWS):  # their planes are written to the end of the band
        at = group * (bias.size // groups) + k
        to = ((n * channels + group * p.filters + k) * P + first) * Q
        sum_taps(here, p.row_step, t.tap_at, w[at * taps :], bias[at:], flat[to:], Q, P * Q, ahead,
                 min(ROWS, p.filters - k), rows, Q, clip)  # fmt: skip


@jit
def _fetch(x, n, group, first, p, layout, t, packed):
    """Return where the pixels begin that the row `first`, of a band, meets of one image and group.

    That is a place in x, or in `packed`, if they have to be copied: then they are.
    """
    if not p.packed:
        return (n * x.shape[1] + group * p.depth) * x.shape[2] * x.shape[3] + first * p.row_step
    pack(x, layout, t.phase_h, t.phase_w, n, group * p.depth, p.depth, first * p.stride_h,
         x.shape[2], packed)  # fmt: skip
    return 0


@kernel
def _sum_pixels(team, dy, x, partial, p, layout, t, cut, scratch):
    """partial[part, group, k, t] = what some images and rows contribute to the weights."""
    parts, groups, filters, _ = partial.shape
    cuts = (filters // FILTERS + cut - 1) // cut
    for member in prange(team.size):
        task = take(team)
        while task < parts * groups * cuts:
            _sum_part(task, team.size, dy, x, partial, p, layout, t, cut, scratch[member])
            task = take(team)


@jit
def _sum_part(task, members, dy, x, partial, p, layout, t, cut, packed):
    """Compute one part for some filters of one group."""
    (parts, groups, whole, taps), (N, _, P, Q), flat = partial.shape, dy.shape, dy.reshape(-1)
    cuts, plane = (whole // FILTERS + cut - 1) // cut, P * Q
    part, group, begin = task // (groups * cuts), task // cuts % groups, task % cuts * cut * FILTERS
    end, sums = min(whole, begin + cut * FILTERS), partial[part, group].reshape(-1)
    for i in range(U(begin * taps), U(end * taps)):
        sums[i] = 0
    units = N * p.bands
    last = units * (part + 1) // parts - 1
    for unit in range(units * part // parts, last + 1):
        first = unit % p.bands * p.band
        rows = min(p.band, P - first)
        start = _fetch(x, unit // p.bands, group, first, p, layout, t, packed)
        here = packed[start:] if p.packed else x.reshape(-1)[start:]
        at = _place(unit, group, begin, p, dy.shape)
        following = task + members  # probably this member's next task
        if unit < last:
            next_at = _place(unit + 1, group, begin, p, dy.shape)
        else:
            next_at = _place(
                units * (following // (groups * cuts)) // parts,
                following // cuts % groups, following % cuts * cut * FILTERS, p, dy.shape,
            )  # fmt: skip
        for k in range(begin, end, FILTERS):
            later = at + FILTERS * plane if k + FILTERS < end else next_at
            for i in range(taps // TAPS):
                ahead = min(later + i * plane, flat.size) if i < FILTERS else at
                sum_pixels(here, p.row_step, t.tap_at[i * TAPS :], flat[at:], Q, plane,
                           min(FILTERS, p.filters - k), rows, Q, sums[k * taps + i * TAPS :],
                           taps, flat[ahead:])  # fmt: skip
            at += FILTERS * plane


@jit
def _place(unit, group, filters, p, shape):
    """Return where a unit's numbers of dy begin, of a group's filters from a certain one on."""
    return ((unit // p.bands * shape[1] + group * p.filters + filters) * shape[2]
            + unit % p.bands * p.band) * shape[3]  # fmt: skip
