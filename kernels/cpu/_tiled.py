"""Convolution and its gradients as sums of outer products in registers (`_register_tile.outer`).

A tap and a pixel are offsets into the image (`_places`): the number that pixel j needs for tap t is
x[at_j + at_t]. With filters in the lanes,

    forward           y[j, k]  = b[k] + sum over t of x[at_j + at_t] * w[t, k]
    input gradient    the same from dy to dx
    weight gradient   dw[t, k] = sum over j of x[at_t + at_j] * dy[j, k]

A tile is 8 pixels (or taps) times up to 48 filters. Pixels and taps only change places: both are
tables, so no image is too small, and no stride a special case. The image is read where it lies,
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
from ..shapes import Geometry, Pair
from . import _kept
from ._jit import SMALL, U, jit, kernel, take, workers
from ._places import Places, places
from ._register_tile import at_least_zero, outer, turn_in, turn_out
from ._vectors import ROWS, VECTORS, lanes, round_up

_FLOPS = 32  # multiply-adds that take as long as an element of a simple loop
_TASKS = 16  # at least, if the shapes allow: work for as many threads
_ENOUGH = 512  # pixels of a task: fewer would not make up for fetching the weights
_PIXELS = 1 << 13  # of a task at most: their table should leave room in the second-level cache
_TURNED = 1 << 19  # bytes that a task's pixels of dy may take, for one block of filters
_SLICE = 16  # channels of a task of packing weights
_MANY = 1 << 12  # pixels of the result from which packing the weights hardly counts
_PARTS = 16  # partial weight gradients, at most
_SUMS = 8  # tasks of a weight gradient, at least: each turns its pixels round anew
_PARTIALS = 1 << 23  # bytes that all of them may take


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
    images, band = _block(N, P, Q)
    tasks = -(-N // images) * -(-P // band) * groups
    cuts = min(-(-padded // (VECTORS * step)), -(-_TASKS // tasks))
    classes = t.rows_of.size - 1
    work = y.size * taps // _FLOPS
    with threads.launching:  # the team must not grow beyond its scratch in between
        team = 1 if work < SMALL else workers()
        sums = np.empty((team, ROWS * VECTORS * step), y.dtype)
        pixels = np.empty((team, 2, images * band * Q + ROWS * classes), np.int64)
        counts = np.empty((team, 2, classes), np.int64)
        _correlate(
            work, x, packed, bias.reshape(-1), y, t, (images, band, groups, cuts), sizes, clip,
            sums, pixels, counts,
        )  # fmt: skip


def weight_grad(dy: np.ndarray, x: np.ndarray, dw: np.ndarray, geometry: Geometry) -> None:
    """Fill dw from the gradient of the output and the input."""
    t, groups = places(x.shape[2:], dw.shape, dy.shape[2:], *geometry), geometry[3]
    N, (P, Q) = dy.shape[0], dy.shape[2:]
    K, C, R, S = dw.shape
    step, filters = lanes(x.itemsize), K // groups
    padded, rows = round_up(filters, step), round_up(t.tap_at.size, ROWS)
    images, band = _block(N, P, Q, _TURNED // (VECTORS * step * x.itemsize))
    units, size = -(-N // images) * -(-P // band), groups * rows * padded
    parts = max(1, min(units, _PARTS, _PARTIALS // (size * x.itemsize)))
    parts = -(-units // -(-units // parts))  # of equal size, if possible
    whole = C % ROWS == 0  # then tiles of 8 channels of one tap, which can be shared out
    channels = round_up(-(-C // -(-_SUMS // (parts * groups))), ROWS) if whole else C
    cuts, most = -(-C // channels), images * band * Q
    at = np.concatenate((t.tap_at, np.full(rows - t.tap_at.size, t.tap_at[-1])))
    work = dy.size * t.tap_at.size // _FLOPS
    partial = buffers.empty((parts, groups, rows, padded), x.dtype)
    with threads.launching:
        team = 1 if work < SMALL else workers()
        turned = buffers.empty((team, 2, (most + step) * VECTORS * step), x.dtype)
        tile = np.empty((team, ROWS * VECTORS * step), x.dtype)
        pixels = np.empty((team, 2, most), np.int64)
        counts = np.empty((team, 2, t.rows_of.size - 1), np.int64)
        _sum_products(
            work, dy, x, partial, t._replace(tap_at=at), (images, band, groups, cuts, channels),
            (filters, padded, step, C), turned, tile, pixels, counts,
        )  # fmt: skip
        lines = buffers.empty((team, ROWS * R * S, padded), x.dtype)
        _add_up(work, partial, dw.reshape(groups, filters, C, R * S), lines, step)


def _block(N: int, P: int, Q: int, most: int = _PIXELS) -> Pair:
    """Return how many images, and rows of outputs, a task takes.

    Some 512 pixels or more, so that it is worth while to fetch a block of weights; `most` at most.
    Of small images a multiple of 8, so that even the corners, one pixel an image, fill tiles.
    """
    if most < P * Q * ROWS:
        images = max(1, most // (P * Q))
        return min(N, images), -(-P // -(-P // max(1, most // Q)))
    return min(N, round_up(-(-_ENOUGH // (P * Q)), ROWS)), P


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
            first, wide = _lanes_of(block, blocks, padded, step)
            base = group * group_step + first * w_step
            channels = (piece * _SLICE, min(depth, (piece + 1) * _SLICE))
            _pack_piece(w[base:], w_step, tap_step, channels, depth, spots,
                        packed[taps * (group * padded + first) :], min(wide, filters - first), wide,
                        rows, step)  # fmt: skip
            task = take(team)


@jit
def _lanes_of(block, blocks, padded, step):
    """Return the first lane of a block, and how many it has: whole vectors, and about as many each.

    64 filters are blocks of 32 and 32 rather than 48 and 16: no block is larger than need be.
    """
    vectors = padded // step
    first = block * vectors // blocks
    return first * step, ((block + 1) * vectors // blocks - first) * step


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
                packed[to : to + turned] = rows[j * wide : j * wide + turned]
                for k in range(turned, filters):
                    packed[to + k] = w[at + j + k * w_step]
                packed[to + filters : to + wide] = 0


# ---------------------------------------------------------------------------------- pixels


@jit
def _list_pixels(t, images, rows, source, destination, step, pixels, counts):
    """List where the pixels of some images and rows lie, class by class; return how many.

    pixels[0] is their place in the source, an array of images that lie `source` apart, and
    pixels[1] that in the destination; counts[0] is where each class begins, counts[1] how many it
    has. Each class is filled up to a multiple of `step` with its last pixel.
    """
    at = 0
    for k in range(counts.shape[1]):
        counts[0, k] = at
        columns, first = t.columns_of[k + 1] - t.columns_of[k], t.columns_of[k]
        for n in range(images[0], images[1]):
            for i in range(t.rows_of[k], t.rows_of[k + 1]):
                if rows[0] <= t.row[i] < rows[1]:
                    _shifted(pixels[0], at, t.column_at, first, columns, n * source + t.row_at[i])
                    _shifted(pixels[1], at, t.column_to, first, columns,
                             n * destination + t.row_to[i])  # fmt: skip
                    at += columns
        counts[1, k] = at - counts[0, k]
        while counts[1, k] and at % step != counts[0, k] % step:
            pixels[0, at], pixels[1, at] = pixels[0, at - 1], pixels[1, at - 1]
            at += 1
    return at


@jit
def _shifted(y, to, x, at, count, shift):
    """y[to + i] = x[at + i] + shift for all i < count."""
    to, at = U(to), U(at)
    for i in range(U(count)):
        y[to + i] = x[at + i] + shift


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
    _list_pixels(t, n, rows, image, y.shape[1] * plane, ROWS, pixels, counts)
    source = x.reshape(-1)[group * depth * x.shape[2] * x.shape[3] :]
    flat, blocks = y.reshape(-1), (padded + width - 1) // width
    for b in range(blocks * cut[0] // cut[1], blocks * (cut[0] + 1) // cut[1]):
        lane, wide = _lanes_of(b, blocks, padded, step)
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


# ------------------------------------------------------------------------- weight gradient


@kernel
def _sum_products(team, dy, x, partial, t, blocks, sizes, turned, tile, pixels, counts):
    images, band, groups, cuts, channels = blocks
    parts, depth = partial.shape[0], sizes[3]
    bands = (dy.shape[2] + band - 1) // band
    units = (dy.shape[0] + images - 1) // images * bands
    for member in prange(team.size):
        task = take(team)
        while task < parts * groups * cuts:
            cut, group, part = task % cuts, task // cuts % groups, task // (cuts * groups)
            cut_channels = (cut * channels, min(depth, (cut + 1) * channels))
            sums = partial[part, group]
            _clear(sums, cut_channels, depth)
            for unit in range(units * part // parts, units * (part + 1) // parts):
                n = (unit // bands * images, min(dy.shape[0], (unit // bands + 1) * images))
                rows = (unit % bands * band, (unit % bands + 1) * band)
                _sum_task(dy, x, sums.reshape(-1), t, n, rows, group, cut_channels, sizes,
                          turned[member], tile[member], pixels[member], counts[member])  # fmt: skip
            task = take(team)


@jit
def _clear(sums, channels, depth):
    for i in range(sums.shape[0]):
        if channels[0] <= i % depth < channels[1]:
            sums[i] = 0


@jit
def _sum_task(dy, x, sums, t, n, rows, group, channels, sizes, turned, tile, pixels, counts):
    """Add to sums, dw of a group by (tap, filter), what some rows of some images contribute."""
    filters, padded, step, depth = sizes
    image, plane = x.shape[1] * x.shape[2] * x.shape[3], dy.shape[2] * dy.shape[3]
    by_list = counts.shape[1] > 1 and dy.shape[3] > step  # shorter rows would not fill squares
    apart = dy.shape[1] * plane
    count = _list_pixels(t, n, rows, image, apart if by_list else plane, 1, pixels, counts)
    source = x.reshape(-1)[group * depth * x.shape[2] * x.shape[3] :]
    blocks = (padded + VECTORS * step - 1) // (VECTORS * step)
    for b in range(blocks):
        k, wide = _lanes_of(b, blocks, padded, step)
        first, real = (group * filters + k) * plane, min(wide, filters - k)
        listed = turned[0]
        if by_list:
            _turn_listed(dy.reshape(-1), pixels[1], count, first, real, plane, listed, wide, step)
        else:
            above = rows[0] * dy.shape[3]
            span = min(rows[1] * dy.shape[3], plane) - above
            _turn_images(dy.reshape(-1), n, span, apart, first + above, real, plane, turned[0],
                         wide, step)  # fmt: skip
            if counts.shape[1] > 1:
                _by_class(turned[0], pixels[1], count, n[0] * plane + above, wide, turned[1])
                listed = turned[1]
        if depth % ROWS == 0:
            _sum_by_spots(source, t, pixels[0], counts, channels, depth, listed, wide, sums[k:],
                          padded, step)  # fmt: skip
        else:
            _sum_by_runs(source, t, pixels[0], counts, listed, wide, sums[k:], padded, tile, step)


@jit
def _sum_by_spots(x, t, at, counts, channels, depth, dy, wide, sums, padded, step):
    """Tiles of 8 channels of one (r, s), and of the pixels of all classes that meet it."""
    for spot in range(t.meets.shape[1]):
        k = 0
        while k < counts.shape[1]:
            first = last = counts[0, k]
            while k < counts.shape[1] and t.meets[k, spot]:  # classes side by side
                last = counts[0, k] + counts[1, k]
                k += 1
            k += 1
            if last == first:
                continue
            for tap in range(spot * depth + channels[0], spot * depth + channels[1], ROWS):
                to = sums[tap * padded :]
                outer(wide // step, x, t.tap_at[tap:], at[first:], last - first, dy[first * wide :],
                      wide, to, padded, to, padded, wide)  # fmt: skip


@jit
def _sum_by_runs(x, t, at, counts, dy, wide, sums, padded, tile, step):
    """Tiles of 8 taps of a run, whatever their channels and (r, s), and of a class's pixels."""
    for k in range(counts.shape[1]):
        first, count = counts[0, k], counts[1, k]
        for run in range(t.runs_of[k], t.runs_of[k + 1]):
            end = t.run_first[run] + t.run_count[run]
            for tap in range(t.run_first[run], end, ROWS):
                _add_tile(x, t.tap_at[tap:], at[first:], count, dy[first * wide :],
                          sums[tap * padded :], padded, min(ROWS, end - tap), wide, tile,
                          step)  # fmt: skip


@jit
def _add_tile(x, taps, pixels, count, dy, sums, padded, rows, wide, tile, step):
    """Add to `rows` rows of sums; where these are fewer than a tile has, by way of `tile`."""
    vectors = wide // step
    if rows == ROWS:
        outer(vectors, x, taps, pixels, count, dy, wide, sums, padded, sums, padded, wide)
        return
    tile[:] = 0
    outer(vectors, x, _first(taps, rows), pixels, count, dy, wide, tile, wide, tile, wide, wide)
    for i in range(rows):
        for k in range(wide):
            sums[i * padded + k] += tile[i * wide + k]


@jit
def _first(taps, count):
    """The first taps, the last of them repeated to fill a tile."""
    filled = np.empty(ROWS, np.int64)
    for i in range(ROWS):
        filled[i] = taps[min(i, count - 1)]
    return filled


@jit
def _turn_listed(dy, to, pixels, first, filters, plane, turned, wide, step):
    """turned[j, k] = dy of the j-th pixel of the list and filter k, zeros beyond the filters.

    Squares of 8 filters and as many pixels as a vector has are turned round at once, where a few
    pixels lie side by side; the rows of such a square beyond those are written again later.
    """
    whole, j = filters // ROWS * ROWS, 0
    while j < pixels:
        count, here = 1, to[j] + first
        while count < step and j + count < pixels and to[j + count] - to[j] == count:
            count += 1
        done = 0
        if count > 3:
            while done < whole and here + (done + ROWS - 1) * plane + step <= dy.size:
                turn_in(dy[here + done * plane :], plane, turned[j * wide + done :], wide, step)
                done += ROWS
        for i in range(j, j + count):
            for k in range(done, filters):
                turned[i * wide + k] = dy[to[i] + first + k * plane]
            turned[i * wide + filters : (i + 1) * wide] = 0
        j += count


@jit
def _turn_images(dy, n, span, image, first, filters, plane, turned, wide, step):
    """turned[j, k] = dy of pixel j, as they lie in memory, and filter k; zeros beyond the filters.

    Squares of 8 filters and as many pixels as a vector has are turned round at once; the rows of a
    square beyond an image are written again by the next.
    """
    whole, at = filters // ROWS * ROWS, 0
    for i in range(n[0], n[1]):
        here = i * image + first
        for j in range(0, span, step):
            done, count = 0, min(step, span - j)
            while done < whole and here + j + (done + ROWS - 1) * plane + step <= dy.size:
                turn_in(dy[here + j + done * plane :], plane, turned[(at + j) * wide + done :],
                        wide, step)  # fmt: skip
                done += ROWS
            for p in range(j, j + count):
                for k in range(done, filters):
                    turned[(at + p) * wide + k] = dy[here + p + k * plane]
                turned[(at + p) * wide + filters : (at + p + 1) * wide] = 0
        at += span


@jit
def _by_class(turned, to, count, shift, wide, listed):
    """Bring the rows of `turned` into the order of the pixels' list."""
    for j in range(count):
        row = (to[j] - shift) * wide
        for k in range(U(wide)):
            listed[j * wide + k] = turned[row + k]


@kernel
def _add_up(team, partial, dw, lines, step):
    """dw[group, k, c, spot] = sum over parts of partial[part, group, (spot, c), k], in order.

    A task adds up some channels by (channel, spot) and filter, and turns these lines round.
    """
    groups, filters, depth, spots = dw.shape
    flat, blocks, whole = dw.reshape(-1), (depth + ROWS - 1) // ROWS, filters // step * step
    for member in prange(team.size):
        task, sums = take(team), lines[member]
        while task < groups * blocks:
            group, first = task // blocks, task % blocks * ROWS
            count = min(ROWS, depth - first) * spots
            for i in range(count):
                _add_parts(partial, group, i % spots * depth + first + i // spots, sums[i])
            to = flat[(group * filters * depth + first) * spots :]
            turned = count // ROWS * ROWS
            for i in range(0, turned, ROWS):
                turn_out(sums[i:].reshape(-1), sums.shape[1], to[i:], depth * spots, whole)
            for k in range(filters):
                for i in range(turned if k < whole else 0, count):
                    to[k * depth * spots + i] = sums[i, k]
            task = take(team)


@jit
def _add_parts(partial, group, row, sums):
    for k in range(U(sums.size)):
        sums[k] = partial[0, group, row, k]
    for part in range(1, partial.shape[0]):
        for k in range(U(sums.size)):
            sums[k] += partial[part, group, row, k]
