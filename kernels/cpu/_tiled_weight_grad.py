"""The weight gradient of `_tiled`: the same tiles, with taps and pixels exchanged.

    dw[t, k] = sum over j of x[at_t + at_j] * dy[j, k]

A tile is 8 taps times up to 48 filters, and what passes by are the pixels. So dy, which lies by
filters, is turned round first, a block of filters at a time: what a task needs of it, 0.5 MB, stays
in the second-level cache while all taps use it, and meanwhile the next block's numbers are fetched.

Each task sums up some images into a part of its own. In the end the parts are added in order and
turned round to dw's own layout, by squares too: if they are small, by the thread that ends last,
sooner than another launch would. But where there are many weights, or few pixels,
parts would be large beside the work. There tasks have some channels of all images, which need all
of dy: it is turned round once for all of them, and each task finishes its own weights.

Pixels are turned as the classes list them, where rows are long; short ones, of a 6 x 6 plane say,
would leave squares of 16 pixels half empty, so these are turned as they lie in memory, and then
brought into the order of the classes, row by row.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np
from numba import prange

from .. import buffers, threads
from ..shapes import Geometry, Pair, Shape4
from ._jit import SMALL, U, arrive, jit, kernel, take, workers
from ._places import Places, places
from ._register_tile import fetch_run, outer, turn_in, turn_out
from ._tasks import FLOPS, block, lanes_of, list_pixels
from ._vectors import ROWS, VECTORS, lanes, round_up

_TURNED = 1 << 19  # bytes that a task's pixels of dy may take, for one block of filters
_PARTS = 32  # partial weight gradients, at most
_SUMS = 8  # tasks of a weight gradient, at least: each turns its pixels round anew
_SHARES = 16  # tasks, where they need not
_PARTIALS = 1 << 23  # bytes that all of them may take
_LITTLE = 1 << 20  # numbers of all parts that one thread adds up, sooner than another launch would
_SMALL = 1 << 22  # bytes of a small dy
_FEW = 3  # pixels side by side that are not worth a square


class _Plan(NamedTuple):
    """What the shapes of a layer decide, for so many images and numbers of so many bytes."""

    t: Places  # its taps filled up to whole tiles with the last one
    blocks: tuple[int, int, int, int, int]  # images, rows; groups; cuts of channels, and their size
    sizes: tuple[int, int, int, int]  # filters, these filled up; numbers a vector; channels
    parts: int
    taps: int  # those of `t`
    most: int  # pixels of a unit of work: some images, or some rows of one
    ready: int  # turned blocks, if dy is turned round once for all tasks, or 0
    spots: int  # (r, s) of the kernel


@functools.lru_cache(maxsize=512, typed=True)
def _plan(
    N: int, x_size: Pair, w_shape: Shape4, y_size: Pair, geometry: Geometry, itemsize: int
) -> _Plan:
    t, groups = places(x_size, w_shape, y_size, *geometry), geometry[3]
    (K, C, R, S), (P, Q) = w_shape, y_size
    step, filters = lanes(itemsize), K // groups
    padded, rows = round_up(filters, step), round_up(t.tap_at.size, ROWS)
    images, band = block(N, P, Q, _TURNED // (VECTORS * step * itemsize))
    units, size = -(-N // images) * -(-P // band), groups * rows * padded
    whole = C % ROWS == 0  # then tiles of 8 channels of one tap, which can be shared out
    # where dy is small, or the weights are many, dy is turned round once, for all tasks
    small = N * K * P * Q * itemsize <= max(_SMALL, 4 * K * C * R * S * itemsize)
    once = whole and C // ROWS * groups >= _SUMS and small
    parts = 1 if once else max(1, min(units, _PARTS, _PARTIALS // (size * itemsize)))
    parts = -(-units // -(-units // parts))  # of equal size, if possible
    tasks = -(-(_SHARES if once else _SUMS) // (parts * groups))
    channels = round_up(-(-C // tasks), ROWS) if whole else C
    at = np.concatenate((t.tap_at, np.full(rows - t.tap_at.size, t.tap_at[-1])))
    return _Plan(
        t._replace(tap_at=at), (images, band, groups, -(-C // channels), channels),
        (filters, padded, step, C), parts, rows, images * band * Q,
        once * units * groups * -(-padded // (VECTORS * step)), R * S,
    )  # fmt: skip


def weight_grad(dy: np.ndarray, x: np.ndarray, dw: np.ndarray, geometry: Geometry) -> None:
    """Fill dw from the gradient of the output and the input."""
    p = _plan(dy.shape[0], x.shape[2:], dw.shape, dy.shape[2:], geometry, x.itemsize)
    (filters, padded, step, C), groups = p.sizes, geometry[3]
    work = dy.size * p.taps // FLOPS
    by_tap = dw.reshape(groups, filters, C, p.spots)
    with threads.launching:
        partial = buffers.scratch("weights", (p.parts, groups, p.taps, padded), x.dtype)
        at_once = partial.size <= _LITTLE
        team = 1 if work < SMALL else workers()
        turned = buffers.scratch("turned", (team, 2, (p.most + step) * VECTORS * step), x.dtype)
        tile = np.empty((team, ROWS * VECTORS * step), x.dtype)
        pixels = buffers.scratch("pixels", (team, 2, p.most), np.int64)
        counts = np.empty((team, 2, p.t.rows_of.size - 1), np.int64)
        few = np.empty((team, ROWS), np.int64)
        lines = buffers.scratch("lines", (team, ROWS * p.spots, padded), x.dtype)
        ready = buffers.scratch("ready", (p.ready, turned.shape[2]), x.dtype)
        if p.ready:
            _turn_all(work, dy, x, p.t, p.blocks, p.sizes, ready, turned, pixels, counts)
        _sum_products(
            work, dy, x, partial, p.t, p.blocks, p.sizes, at_once, by_tap, lines,
            np.zeros(1, np.int64), ready, turned, tile, few, pixels, counts,
        )  # fmt: skip
        if p.parts > 1 and not at_once:
            _add_up(work, partial, by_tap, lines, step)


@kernel
def _sum_products(
    team, dy, x, partial, t, blocks, sizes, at_once, dw, lines, arrived, ready, turned, tile, few,
    pixels, counts,
):  # fmt: skip
    """Fill partial; and dw, if there is one part, or `at_once`: the last member to end adds up."""
    images, band, groups, cuts, channels = blocks
    parts, depth = partial.shape[0], sizes[3]
    bands = (dy.shape[2] + band - 1) // band
    units = (dy.shape[0] + images - 1) // images * bands
    channel_blocks, each = (depth + ROWS - 1) // ROWS, ready.shape[0] // units
    for member in prange(team.size):
        task = take(team)
        while task < parts * groups * cuts:
            cut, group, part = task % cuts, task // cuts % groups, task // (cuts * groups)
            cut_channels = (cut * channels, min(depth, (cut + 1) * channels))
            sums = partial[part, group]
            _clear(sums, cut_channels, depth)
            last = units * (part + 1) // parts - 1
            for unit in range(units * part // parts, last + 1):
                n, rows = _unit(unit, images, band, bands, dy.shape[0])
                following = task + team.size  # probably this member's next task
                later, later_group = unit + 1, group
                if unit == last:
                    later = units * (following // (cuts * groups)) // parts
                    later_group = following // cuts % groups
                ahead = _unit(later, images, band, bands, dy.shape[0]), later_group
                _sum_task(dy, x, sums.reshape(-1), t, n, rows, group, cut_channels, sizes, ahead,
                          ready[unit * each :], turned[member], tile[member], few[member],
                          pixels[member], counts[member])  # fmt: skip
            if parts == 1:
                for block in range(cut_channels[0] // ROWS, (cut_channels[1] + ROWS - 1) // ROWS):
                    _add_block(group * channel_blocks + block, partial, dw, lines[member], sizes[2])
            task = take(team)
        if at_once and parts > 1 and arrive(arrived) == team.size - 1:
            for part in range(1, parts):
                _add(partial[part].reshape(-1), partial[0].reshape(-1))
            for block in range(groups * channel_blocks):
                _add_block(block, partial[:1], dw, lines[member], sizes[2])


@jit
def _add(x, sums):
    """sums += x, in the order of memory: much of it lies in other cores' caches."""
    for i in range(U(sums.size)):
        sums[i] += x[i]


@jit
def _unit(unit, images, band, bands, N):
    """Return the images and rows of a unit of work; beyond the last one, no images."""
    first = min(N, unit // bands * images)
    return (first, min(N, first + images)), (unit % bands * band, (unit % bands + 1) * band)


@jit
def _clear(sums, channels, depth):
    for i in range(sums.shape[0]):
        if channels[0] <= i % depth < channels[1]:
            sums[i] = 0


@jit
def _sum_task(
    dy, x, sums, t, n, rows, group, channels, sizes, ahead, ready, turned, tile, few, pixels, counts
):  # fmt: skip
    """Add to sums, dw of a group by (tap, filter), what some rows of some images contribute.

    dy is turned round in `ready`, or else is now, a block of filters at a time. Meanwhile what
    comes next of it to be turned is fetched: another block, or `ahead`.
    """
    _, padded, step, depth = sizes
    count, by_list = _list(dy, x, t, n, rows, step, pixels, counts)
    source = x.reshape(-1)[group * depth * x.shape[2] * x.shape[3] :]
    blocks = (padded + VECTORS * step - 1) // (VECTORS * step)
    for b in range(blocks):
        k, wide = lanes_of(b, blocks, padded, step)
        listed = turned[1]
        if ready.shape[0] > 0:
            listed = ready[group * blocks + b]
        else:
            _turn_block(dy, n, rows, group, b, blocks, sizes, by_list, pixels[1], count,
                        counts.shape[1], turned[0], listed)  # fmt: skip
        if ready.shape[0] > 0:
            later = _runs_of(dy, (0, 0), rows, group, b, blocks, sizes)  # nothing
        elif b + 1 < blocks:
            later = _runs_of(dy, n, rows, group, b + 1, blocks, sizes)
        else:
            later = _runs_of(dy, ahead[0][0], ahead[0][1], ahead[1], 0, blocks, sizes)
        if depth % ROWS == 0:
            _sum_by_spots(source, t, pixels[0], counts, channels, depth, listed, wide, sums[k:],
                          padded, dy.reshape(-1), later, step)  # fmt: skip
        else:
            _sum_by_runs(source, t, pixels[0], counts, listed, wide, sums[k:], padded, tile, few,
                         dy.reshape(-1), later, step)  # fmt: skip


@kernel
def _turn_all(team, dy, x, t, blocks, sizes, ready, turned, pixels, counts):
    """Turn dy round, for all tasks: ready[(unit, group, block), (pixel, filter)]."""
    images, band, groups, _, _ = blocks
    _, padded, step, _ = sizes
    bands = (dy.shape[2] + band - 1) // band
    blocks_of_filters = (padded + VECTORS * step - 1) // (VECTORS * step)
    for member in prange(team.size):
        task = take(team)
        while task < ready.shape[0]:
            b, group = task % blocks_of_filters, task // blocks_of_filters % groups
            unit = task // (blocks_of_filters * groups)
            n, rows = _unit(unit, images, band, bands, dy.shape[0])
            count, by_list = _list(dy, x, t, n, rows, step, pixels[member], counts[member])
            _turn_block(dy, n, rows, group, b, blocks_of_filters, sizes, by_list, pixels[member, 1],
                        count, counts.shape[2], turned[member, 0], ready[task])  # fmt: skip
            task = take(team)


@jit
def _list(dy, x, t, n, rows, step, pixels, counts):
    """List a unit's pixels; return how many, and whether dy is turned round as they are listed."""
    by_list = counts.shape[1] > 1 and dy.shape[3] > step  # shorter rows would not fill squares
    image, plane = x.shape[1] * x.shape[2] * x.shape[3], dy.shape[2] * dy.shape[3]
    apart = dy.shape[1] * plane if by_list else plane
    return list_pixels(t, n, rows, image, apart, 1, pixels, counts), by_list


@jit
def _turn_block(
    dy, n, rows, group, block, blocks, sizes, by_list, pixels, count, classes, scratch, turned
):  # fmt: skip
    """Turn a block of filters round: turned[j, k] = dy of the j-th pixel and filter k."""
    filters, padded, step, _ = sizes
    k, wide = lanes_of(block, blocks, padded, step)
    plane, above = dy.shape[2] * dy.shape[3], rows[0] * dy.shape[3]
    first, real = (group * filters + k) * plane, min(wide, filters - k)
    if by_list:
        _turn_listed(dy.reshape(-1), pixels, count, first, real, plane, turned, wide, step)
        return
    to, span = turned if classes == 1 else scratch, min(rows[1] * dy.shape[3], plane) - above
    _turn_images(dy.reshape(-1), n, span, dy.shape[1] * plane, first + above, real, plane, to, wide,
                 step)  # fmt: skip
    if classes > 1:
        _by_class(scratch, pixels, count, n[0] * plane + above, wide, turned)


@jit
def _runs_of(dy, n, rows, group, block, blocks, sizes):
    """Return where the runs of pixels lie that a block of filters needs of some images' rows.

    Numbers: where the first one lies, how many there are, how many an image, how long they are,
    and how far it is to the next one, and to the next image's.
    """
    filters, padded, step, _ = sizes
    plane, above = dy.shape[2] * dy.shape[3], rows[0] * dy.shape[3]
    k, wide = lanes_of(block, blocks, padded, step)
    real, image = min(wide, filters - k), dy.shape[1] * plane
    span = min(rows[1] * dy.shape[3], plane) - above
    first = n[0] * image + (group * filters + k) * plane + above
    return first, (n[1] - n[0]) * real, real, span, plane, image


@jit
def _fetch(dy, runs, part, parts):
    """Have a part of the runs fetched into the second-level cache."""
    first, number, each, span, plane, image = runs
    for i in range(number * part // parts, number * (part + 1) // parts):
        fetch_run(dy[first + i // each * image + i % each * plane :], span)


@jit
def _sum_by_spots(
    x, t, at, counts, channels, depth, dy, wide, sums, padded, all_dy, later, step
):  # fmt: skip
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
            tiles = (channels[1] - channels[0]) // ROWS
            for i in range(tiles):
                tap = spot * depth + channels[0] + i * ROWS
                _fetch(all_dy, later, spot * tiles + i, t.meets.shape[1] * tiles)
                to = sums[tap * padded :]
                outer(wide // step, x, t.tap_at[tap:], at[first:], last - first, dy[first * wide :],
                      wide, to, padded, to, padded, wide)  # fmt: skip


@jit
def _sum_by_runs(
    x, t, at, counts, dy, wide, sums, padded, tile, few, all_dy, later, step
):  # fmt: skip
    """Tiles of 8 taps of a run, whatever their channels and (r, s), and of a class's pixels."""
    most = counts[1].sum()
    for k in range(counts.shape[1]):
        first, count = counts[0, k], counts[1, k]
        for run in range(t.runs_of[k], t.runs_of[k + 1]):
            end = t.run_first[run] + t.run_count[run]
            for tap in range(t.run_first[run], end, ROWS):
                if 2 * count > most:  # the middle of the images
                    _fetch(all_dy, later, tap // ROWS, (t.tap_at.size + ROWS - 1) // ROWS)
                _add_tile(x, t.tap_at[tap:], at[first:], count, dy[first * wide :],
                          sums[tap * padded :], padded, min(ROWS, end - tap), wide, tile, few,
                          step)  # fmt: skip


@jit
def _add_tile(x, taps, pixels, count, dy, sums, padded, rows, wide, tile, few, step):
    """Add to `rows` rows of sums; where these are fewer than a tile has, by way of `tile`."""
    vectors = wide // step
    if rows == ROWS:
        outer(vectors, x, taps, pixels, count, dy, wide, sums, padded, sums, padded, wide)
        return
    tile[:] = 0
    for i in range(ROWS):
        few[i] = taps[min(i, rows - 1)]  # the last tap again and again, to fill a tile
    outer(vectors, x, few, pixels, count, dy, wide, tile, wide, tile, wide, wide)
    for i in range(rows):
        for k in range(wide):
            sums[i * padded + k] += tile[i * wide + k]


@jit
def _turn_listed(dy, to, pixels, first, filters, plane, turned, wide, step):
    """turned[j, k] = dy of the j-th pixel of the list and filter k, zeros beyond the filters."""
    j = 0
    while j < pixels:
        count = 1
        while count < step and j + count < pixels and to[j + count] - to[j] == count:
            count += 1
        _turn(dy, to[j] + first, count, filters, plane, turned[j * wide :], wide, step)
        j += count


@jit
def _turn_images(dy, n, span, image, first, filters, plane, turned, wide, step):
    """turned[j, k] = dy of pixel j, as they lie in memory, and filter k; zeros beyond the filters.

    An image's last square is as wide as the others; what it writes too much, the next writes again.
    """
    for i in range(n[0], n[1]):
        at = (i - n[0]) * span
        for j in range(0, span, step):
            _turn(dy, i * image + first + j, min(step, span - j), filters, plane,
                  turned[(at + j) * wide :], wide, step)  # fmt: skip


@jit
def _turn(dy, here, count, filters, plane, turned, wide, step):
    """turned[j, k] = dy[here + j + k*plane] for some pixels side by side, zeros beyond the filters.

    Unless they are few, squares of 8 filters and as many pixels as a vector has are turned round at
    once; the rows of such a square beyond `count` are written again later.
    """
    done, whole = 0, filters // ROWS * ROWS if count > _FEW else 0
    while done < whole and here + (done + ROWS - 1) * plane + step <= dy.size:
        turn_in(dy[here + done * plane :], plane, turned[done:], wide, step)
        done += ROWS
    for j in range(count):
        for k in range(done, filters):
            turned[j * wide + k] = dy[here + j + k * plane]
        turned[j * wide + filters : (j + 1) * wide] = 0


@jit
def _by_class(turned, to, count, shift, wide, listed):
    """Bring the rows of `turned` into the order of the pixels' list."""
    for j in range(count):
        row = (to[j] - shift) * wide
        for k in range(U(wide)):
            listed[j * wide + k] = turned[row + k]


@kernel
def _add_up(team, partial, dw, lines, step):
    """dw[group, k, c, spot] = sum over parts of partial[part, group, (spot, c), k], in order."""
    groups, _, depth, _ = dw.shape
    for member in prange(team.size):
        block = take(team)
        while block < groups * ((depth + ROWS - 1) // ROWS):
            _add_block(block, partial, dw, lines[member], step)
            block = take(team)


@jit
def _add_block(block, partial, dw, sums, step):
    """Add up some channels by (channel, spot) and filter, and turn these lines round."""
    filters, depth, spots = dw.shape[1:]
    blocks, whole = (depth + ROWS - 1) // ROWS, filters // step * step
    group, first = block // blocks, block % blocks * ROWS
    count = min(ROWS, depth - first) * spots
    for i in range(count):
        _add_parts(partial, group, i % spots * depth + first + i // spots, sums[i])
    to = dw.reshape(-1)[(group * filters * depth + first) * spots :]
    turned = count // ROWS * ROWS
    for i in range(0, turned, ROWS):
        turn_out(sums[i:].reshape(-1), sums.shape[1], to[i:], depth * spots, whole)
    for k in range(filters):
        for i in range(turned if k < whole else 0, count):
            to[k * depth * spots + i] = sums[i, k]


@jit
def _add_parts(partial, group, row, sums):
    for k in range(U(sums.size)):
        sums[k] = partial[0, group, row, k]
    for part in range(1, partial.shape[0]):
        for k in range(U(sums.size)):
            sums[k] += partial[part, group, row, k]
