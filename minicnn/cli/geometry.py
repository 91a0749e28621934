"""The arithmetic of sliding windows in lines of text: formulas with numbers in them, and sketches.

Everything is along one axis. Where an image and a kernel are square, one axis tells it all.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from minicnn import shapes

WIDTH = 79
NAME = 12  # columns of the names before the lines
MOST_ROWS = 8  # of a sketch; of more windows it has the first and the last
MOST_COLUMNS = WIDTH - NAME - len(" never seen")


@dataclass(frozen=True)
class Windows:
    """Windows over one axis: which pixels each output is made of.

    Attributes:
        before, after: the padding on both sides.
        ceil: the outputs are rounded up, as in pooling with ceil_mode.
    """

    size: int
    kernel: int
    stride: int = 1
    before: int = 0
    after: int = 0
    dilation: int = 1
    ceil: bool = False

    @property
    def span(self) -> int:
        """Pixels from a window's first tap to its last."""
        return shapes.span(self.kernel, self.dilation)

    @property
    def room(self) -> int:
        """Pixels by which the first window can be moved."""
        return self.size + self.before + self.after - self.span

    @property
    def outputs(self) -> int:
        """How many windows there are."""
        if self.ceil:
            geometry = (self.size, self.kernel, self.stride, self.before, self.dilation)
            return shapes.pool_output_size(*geometry, ceil_mode=True)
        return self.room // self.stride + 1

    def taps(self, output: int) -> range:
        """The pixels under a window; below 0 and from `size` on lies padding."""
        start = output * self.stride - self.before
        return range(start, start + self.span, self.dilation)

    def unseen(self) -> list[int]:
        """The pixels that no window sees."""
        seen = {pixel for output in range(self.outputs) for pixel in self.taps(output)}
        return [pixel for pixel in range(self.size) if pixel not in seen]


# ----------------------------------------------------------------------------------------- lines


def line(name: str, text: str) -> str:
    """A line with its name in the first column."""
    return f"{name:<{NAME}}{text}"


def output_lines(w: Windows) -> Iterator[str]:
    """The formula of the output size, the numbers put in, and the result."""
    padding = "2·padding" if w.before == w.after else "before + after"
    up = ("⌈", "⌉") if w.ceil else ("⌊", "⌋")
    span = "kernel" if w.dilation == 1 else "span"
    put_in = f"2·{w.before}" if w.before == w.after else f"{w.before} + {w.after}"
    yield from span_lines(w)
    yield line("output", f"= {up[0]}(input + {padding} - {span}) / stride{up[1]} + 1")
    yield line("", f"= {up[0]}({w.size} + {put_in} - {w.span}) / {w.stride}{up[1]} + 1")
    rounded = -(-w.room // w.stride) if w.ceil else w.room // w.stride
    divided = f"{up[0]}{w.room} / {w.stride}{up[1]} + 1 = {rounded} + 1"
    yield line("", f"= {divided} = {rounded + 1}")
    if rounded + 1 != w.outputs:
        start = rounded * w.stride - w.before
        yield line(
            "", f"- 1 = {w.outputs}: the last window would begin at {start}, behind all pixels"
        )


def span_lines(w: Windows) -> Iterator[str]:
    """How long a window is, where its taps lie apart."""
    if w.dilation > 1:
        numbers = f"{w.dilation}·({w.kernel} - 1) + 1 = {w.span}"
        yield line("span", f"= dilation·(kernel - 1) + 1 = {numbers}")


def transpose_lines(size: int, extra: int, w: Windows) -> Iterator[str]:
    """The formula of a transposed convolution's output, in which w's windows lie."""
    span = "kernel" if w.dilation == 1 else "span"
    numbers = f"({size} - 1)·{w.stride} - 2·{w.before} + {w.span} + {extra}"
    yield from span_lines(w)
    yield line("output", f"= (input - 1)·stride - 2·padding + {span} + output_padding")
    yield line("", f"= {numbers} = {w.size}")
    least = w.size - extra
    if w.stride == 1:
        yield line("back", f"a convolution gives {size} from {least}")
    else:
        sizes = f"{least} to {least + w.stride - 1}"
        yield line(
            "back", f"a convolution gives {size} from any of {sizes}: output_padding chooses"
        )


def edge_lines(w: Windows) -> Iterator[str]:
    """What the stride leaves over, and which pixels nothing sees."""
    rest, unseen = w.room % w.stride, w.unseen()
    if rest and not w.ceil:
        lost = min(rest, w.after)
        parts = [f"{lost} of the padding"] * bool(lost)
        parts += [counted(rest - lost, "pixel")] * (rest > lost)
        division = f"{w.room} = {w.room // w.stride}·{w.stride} + {rest}"
        yield line("left over", f"{division}: at the far edge {' and '.join(parts)}")
    over = w.taps(w.outputs - 1)[-1] + 1 - w.size - w.after
    if over > 0:
        yield line("edge", f"the last window hangs {counted(over, 'pixel')} over it")
    if unseen:
        yield line("never seen", f"{counted(len(unseen), 'pixel')}: {ranges(unseen)}")
    else:
        yield line("never seen", "none: every pixel is under some window")


def field_line(w: Windows) -> str:
    """The receptive field of this one layer."""
    size, jump, start = shapes.receptive_field([(w.kernel, w.stride, w.before, w.dilation)])
    where = " (in the padding)" * (start < 0)
    begins = f"output 0 from {start}{where}, output 1 from {start + jump}"
    return line("sees", f"{counted(size, 'pixel')}; {begins}")


def same_lines(w: Windows, name: str) -> Iterator[str]:
    """How "same" padding is found from the size."""
    yield line("padding", f"{name}: as much as ⌈input / stride⌉ outputs need")
    wanted = -(-w.size // w.stride)
    total = (wanted - 1) * w.stride + w.span - w.size
    numbers = f"({wanted} - 1)·{w.stride} + {w.span} - {w.size} = {total}"
    span = "kernel" if w.dilation == 1 else "span"
    yield line("", f"= (output - 1)·stride + {span} - input = {numbers}")
    yield line("", f"{w.before} before and {w.after} after" + ", never less than 0" * (total < 0))


# --------------------------------------------------------------------------------------- sketches


def sketch(w: Windows) -> Iterator[str]:
    """Each window under the axis, if that fits a terminal."""
    rows = [(str(output), w.taps(output)) for output in range(w.outputs)]
    yield from _drawn(rows, range(-w.before, w.size + w.after), w.size, w.unseen())


def sketch_of_transpose(size: int, w: Windows) -> Iterator[str]:
    """To which outputs each of `size` inputs adds; w's windows lie in the output."""
    rows = [(str(i), w.taps(i)) for i in range(size)]
    last = max(w.size, rows[-1][1][-1] + 1)
    yield from _drawn(rows, range(-w.before, last), w.size, [])


def sketch_of_ranges(windows: Sequence[tuple[int, int]], size: int) -> Iterator[str]:
    """Windows given by their ends, as adaptive pooling has them."""
    rows = [(str(i), range(start, end)) for i, (start, end) in enumerate(windows)]
    yield from _drawn(rows, range(size), size, [])


def _drawn(
    rows: Sequence[tuple[str, range]], axis: range, size: int, unseen: Sequence[int]
) -> Iterator[str]:
    """Rows of blocks under a ruler; nothing if they do not fit the width."""
    end = max([axis.stop, *(taps[-1] + 1 for _, taps in rows)])
    axis = range(min([axis.start, *(taps[0] for _, taps in rows)]), end)
    if len(axis) > MOST_COLUMNS:
        return
    yield ""
    if size > 10:
        tens = "".join(str(p // 10) if 0 <= p < size and p % 10 == 0 else " " for p in axis)
        yield line("", tens.rstrip())
    yield line("", "".join(str(p % 10) if 0 <= p < size else "·" for p in axis))
    left_out = range(MOST_ROWS - 3, len(rows) - 2) if len(rows) > MOST_ROWS else range(0)
    for i, (name, taps) in enumerate(rows):
        if i in left_out:
            if i == left_out[0]:
                yield f"{'⋮':>{NAME - 2}}"
            continue
        inside = range(taps[0], taps[-1] + 1)
        row = "".join("█" if p in taps else "─" if p in inside else " " for p in axis)
        yield line(f"{name:>{NAME - 2}}", row.rstrip())
    if unseen:
        row = "".join("×" if p in unseen else " " for p in axis).rstrip()
        yield line("", f"{row} never seen")


# ------------------------------------------------------------------------------------------ words


def counted(n: int, what: str) -> str:
    """1 pixel, 2 pixels."""
    return f"{n:,} {what}" + "s" * (n != 1)


def ranges(numbers: Sequence[int]) -> str:
    """3, 7 to 9: runs of numbers by their ends, and no more than a line of them."""
    runs: list[list[int]] = []
    for n in numbers:
        if runs and runs[-1][-1] == n - 1:
            runs[-1].append(n)
        else:
            runs.append([n])
    texts = [f"{run[0]}" if len(run) == 1 else f"{run[0]} to {run[-1]}" for run in runs]
    if len(texts) > 6:
        return ", ".join(texts[:3]) + ", …, " + texts[-1]
    return ", ".join(texts)


def by(sizes: Sequence[int]) -> str:
    """224×160."""
    return "×".join(map(str, sizes))
