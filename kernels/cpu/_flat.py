"""Convolution without im2col: over a padded image laid out flat, a tap is an offset.

Lay the padded image out in one run, rows of `pitch` pixels after each other. Then output pixel
(p, q), which we also give a place j = p*pitch + q, needs for tap (r, s) the pixel j + r*pitch + s.
So the sum over taps is a sum of shifted runs, which vector code does well (`_shifted`), and nothing
is copied R*S times. The price: the places q >= Q of each row are computed and thrown away.

- Neighbouring rows, and images, share their zeros: the pitch is W + padding, not W + 2*padding.
- Stride s: pixel p*s + r belongs to phase r mod s, and is number p + r//s of it. So the image is
  laid out as s*s planes, one per phase, and a tap is again one offset, into its phase's plane.
- The gradient for the input is the transpose: pixel h = p*s + r - padding gets terms from tap r
  only if the phases match, so each phase of dx is a stride-1 convolution of dy with its taps.
  The same loops run; the phases are the destination's instead of the source's.
- Small images are taken several at a time, to make longer runs, and large ones in bands of rows,
  so that the padded copy stays in the second-level cache.

A `Plan` holds these numbers; `pack` makes the padded flat copy, `unpack` stores results.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np

from ..shapes import Pair, Shape4
from ._jit import U, jit
from ._shifted import LANES
from ._strided import gather
from ._vectors import round_up

_BAND_BYTES = 1 << 19  # that a band's packed block may take: half of the usual second-level cache
_IMAGES_BYTES = 1 << 20  # and several images': longer runs are worth more than that cache
_RUN_BYTES = 4096  # in one run of pixels: 4 runs of sums and the taps' pixels stay in L1
_TASKS = 8  # at least, if the shapes allow: work for as many threads


class Layout(NamedTuple):
    """How `pack` lays some images of an array out flat, in planes."""

    step_h: int  # source pixels from one pixel of a phase to the next
    step_w: int
    base_h: int  # the phase's row that lies first in a block, counted from the band's first row
    base_w: int
    images: int  # per block
    rows: int  # per image, its zeros included
    pitch: int  # pixels per row
    plane: int  # pixels per plane: images * rows * pitch, rounded up


class Plan(NamedTuple):
    """The sizes of one convolution, forward or transposed, from a source to a destination."""

    source_channels: int  # per group
    size: int  # of a packed block: its planes, and zeros that the last runs may read
    channels: int  # of the destination, per group
    step_h: int  # destination pixels from one pixel of a phase to the next
    step_w: int
    phases: int
    grid_h: int  # rows and columns of one destination phase, at most
    grid_w: int
    blocks: int  # of images
    band: int  # destination rows per band
    bands: int
    groups: int
    run: int  # pixels that a tile takes at once
    w_step: int  # in the weights, from one destination channel to the next
    w_group: int  # and from one group to the next


class Tables(NamedTuple):
    """What varies along taps and phases: int64 arrays."""

    tap_at: np.ndarray  # (taps,) offset of a tap in the packed block
    tap_w: np.ndarray  # (taps,) offset of its weight, for a group's first destination channel
    phase_first: np.ndarray  # (phases + 1,) the first tap of each destination phase
    phase_h: np.ndarray  # (phases,) the first row and column of each destination phase
    phase_w: np.ndarray
    source_h: np.ndarray  # (source phases,) the same for the source
    source_w: np.ndarray


class _Axis(NamedTuple):
    """One axis of a plan: where each tap points, and how far they reach beyond the source."""

    phase: np.ndarray  # of each tap
    shift: np.ndarray  # source position minus destination position, counted within the phases
    source_step: int
    step: int
    length: int  # source positions in a phase, at most
    grid: int  # destination positions in a phase, at most
    before: int  # zeros needed before the first source position
    after: int  # and after the last

    def shared(self) -> int:
        """Return the positions per row, when each row ends in the zeros that the next needs."""
        return max(self.length + max(self.before, self.after), self.grid)


def _axis(
    size: int, output: int, kernel: int, stride: int, padding: int, dilation: int, transposed: bool
) -> _Axis:
    place = np.arange(kernel) * dilation - padding  # of each tap, for output 0
    phase, shift = place % stride, place // stride
    whole = -(-size // stride)
    if transposed:
        shift, source_step, step, length, grid = -shift, 1, stride, output, whole
    else:
        source_step, step, length, grid = stride, 1, whole, output
    before, after = max(0, -int(shift.min())), max(0, grid - length + int(shift.max()))
    return _Axis(phase, shift, source_step, step, length, grid, before, after)


@functools.lru_cache(maxsize=512, typed=True)
def plan(
    x_shape: Shape4,
    w_shape: Shape4,
    y_size: Pair,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
    itemsize: int,
    transposed: bool = False,
) -> tuple[Plan, Layout, Tables]:
    """Return the plan of y = conv2d(x, w), from x to y, or with `transposed` of dx, from dy to dx.

    The layout is the source's.
    """
    (N, _, H, W), (K, C_group, R, S), (P, Q) = x_shape, w_shape, y_size
    v = _axis(H, P, R, stride[0], padding[0], dilation[0], transposed)
    u = _axis(W, Q, S, stride[1], padding[1], dilation[1], transposed)
    source, channels = (K // groups, C_group) if transposed else (C_group, K // groups)
    source_phases = 1 if transposed else len(set(v.phase)) * len(set(u.phase))

    pitch, rows, base_h = u.shared(), v.shared(), -v.before
    band, images = _block(N, v.grid, pitch, rows, source * source_phases, itemsize)
    if band < v.grid:  # a band's first and last rows also read their neighbours' rows
        base_h = int(v.shift.min())
        rows = band + int(v.shift.max()) - base_h
    pixels = (images - 1) * rows * pitch + (band - 1) * pitch + u.grid
    run = round_up(-(-pixels // -(-pixels // (_RUN_BYTES // itemsize))), LANES)
    plane = round_up(images * rows * pitch, LANES)

    tables = _tables(v, u, base_h, pitch, plane, source, w_shape, transposed)
    end = int(tables.tap_at.max()) + round_up(pixels, LANES)
    layout = Layout(v.source_step, u.source_step, base_h, -u.before, images, rows, pitch, plane)
    numbers = Plan(
        source, max(end, source * tables.source_h.size * plane), channels,
        v.step, u.step, v.step * u.step, v.grid, u.grid,
        blocks=-(-N // images), band=band, bands=-(-v.grid // band), groups=groups, run=run,
        w_step=R * S if transposed else C_group * R * S, w_group=K // groups * C_group * R * S,
    )  # fmt: skip
    return numbers, layout, tables


def _tables(
    v: _Axis, u: _Axis, base_h: int, pitch: int, plane: int, source: int, w_shape: Shape4,
    transposed: bool,
) -> Tables:  # fmt: skip
    """Return where each tap's pixels and weights lie; taps run over source channel, r and s."""
    _, C_group, R, S = w_shape
    own, all_taps = [(0, 0)], np.ones((R, S), bool)
    tap_phases = sorted({(int(a), int(b)) for a in v.phase for b in u.phase})
    taps_of = {
        (a, b): (v.phase == a)[:, None] & (u.phase == b)
        for a in range(max(v.step, v.source_step)) for b in range(max(u.step, u.source_step))
    }  # fmt: skip
    source_phases = own if transposed else tap_phases
    number = sum(i * taps_of[phase] for i, phase in enumerate(source_phases)) * all_taps
    at = number * plane + (v.shift - base_h)[:, None] * pitch + (u.shift + u.before)

    channel = np.arange(source)[:, None]
    weights = C_group * R * S if transposed else R * S  # from one source channel to the next
    tap_at, tap_w = [], []
    for taps in taps_of.values() if transposed else [all_taps]:
        tap_at.append((channel * len(source_phases) * plane + at[taps]).ravel())
        tap_w.append((channel * weights + np.flatnonzero(taps)).ravel())
    phase_first = np.cumsum([0, *(taps.size for taps in tap_w)])
    columns = (
        np.concatenate(tap_at), np.concatenate(tap_w), phase_first,
        *np.array(list(taps_of) if transposed else own).T, *np.array(source_phases).T,
    )  # fmt: skip
    return Tables(*(np.ascontiguousarray(column, np.int64) for column in columns))


def _block(N: int, grid: int, pitch: int, rows: int, depth: int, itemsize: int) -> Pair:
    """Return (rows of a band, images of a block): bands of a large image, or some small images."""
    row_bytes, run = depth * pitch * itemsize, _RUN_BYTES // itemsize
    to_fit, to_share = -(-row_bytes * rows // _BAND_BYTES), -(-_TASKS // N)
    bands = min(max(to_fit, to_share), 2 * grid * pitch // run, grid)
    if bands > 1:
        return -(-grid // bands), 1
    images = min(-(-run // (rows * pitch)), N // _TASKS, _IMAGES_BYTES // (row_bytes * rows))
    return grid, max(1, images)


def splits(tasks: int, channels: int) -> int:
    """Return in how many parts to cut the channels where `tasks` blocks are too few to share."""
    return max(1, min(-(-_TASKS // tasks), -(-channels // 8)))


@jit
def pack(x, layout, phase_h, phase_w, n0, c0, channels, band_first, band_end, out):
    """Lay channels [c0, c0 + channels) of a block of images out in `out`, zeros all around.

    The block starts at image n0 and, in each plane, at row band_first + layout.base_h. Rows from
    `band_end` on count as zeros.
    """
    pixels, (N, C, H, W), phases = x.reshape(-1), x.shape, phase_h.size
    first_row, before = band_first + layout.base_h, -layout.base_w
    for plane in range(channels * phases):
        c, phase, to = plane // phases, plane % phases, plane * layout.plane
        top, left = phase_h[phase], phase_w[phase]
        rows = min(band_end, (H - top + layout.step_h - 1) // layout.step_h)
        columns = (W - left + layout.step_w - 1) // layout.step_w
        low = min(max(0, first_row), first_row + layout.rows)
        above = (low - first_row) * layout.pitch  # zeros
        count = max(0, min(rows, first_row + layout.rows) - low)
        for n in range(n0, min(N, n0 + layout.images)):
            _clear(out, to, above)
            to += above
            at = ((n * C + c0 + c) * H + low * layout.step_h + top) * W + left
            gather(pixels, at, layout.step_h * W, layout.step_w, out, to + before, layout.pitch,
                   count, columns)  # fmt: skip
            for _ in range(count):
                _clear(out, to, before)
                _clear(out, to + before + columns, layout.pitch - before - columns)
                to += layout.pitch
            rest = layout.rows - (low - first_row) - count
            _clear(out, to, rest * layout.pitch)
            to += rest * layout.pitch
        _clear(out, to, (plane + 1) * layout.plane - to)
    end = channels * phases * layout.plane
    _clear(out, end, out.size - end)


@jit
def _clear(y, at, count):
    at = U(at)
    for j in range(U(max(count, 0))):
        y[at + j] = 0


@jit
def unpack(y, p, layout, t, phase, n0, c, channels, band_first, band_end, first, n, sums):
    """Store the run of n pixels from `first` on, of some channels, where they belong in y.

    Row f of `sums` holds channel c + f of y.
    """
    pixels, (N, C, H, W) = y.reshape(-1), y.shape
    left = t.phase_w[phase]
    columns = min(p.grid_w, (W - left + p.step_w - 1) // p.step_w)
    for row in range(first // layout.pitch, (first + n - 1) // layout.pitch + 1):
        image, i = n0 + row // layout.rows, band_first + row % layout.rows
        h = i * p.step_h + t.phase_h[phase]
        if image >= N or i >= band_end or h >= H:
            continue
        start = row * layout.pitch
        low, high = max(start, first), min(start + columns, first + n)
        for f in range(channels):
            place = ((image * C + c + f) * H + h) * W + (low - start) * p.step_w + left
            copy(pixels, place, p.step_w, sums[f], low - first, 1, high - low)


@jit
def copy(y, to, to_step, x, at, at_step, count):
    """y[to + j*to_step] = x[at + j*at_step] for all j < count."""
    to, to_step, at, at_step = U(to), U(to_step), U(at), U(at_step)
    count = U(max(count, 0))
    if to_step == 1 and at_step == 1:
        for j in range(count):
            y[to + j] = x[at + j]
    else:
        for j in range(count):
            y[to + j * to_step] = x[at + j * at_step]
