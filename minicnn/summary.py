"""The layer table: shapes, parameters, arithmetic and memory of a network, before it computes.

The model's own `forward` runs, on a rung whose kernels know shapes only (`shapes_only`), so any
Python in it is followed, and AlexNet takes milliseconds.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from minicnn import autograd, random
from minicnn.errors import ArgumentError
from minicnn.kernels import use_backend
from minicnn.nn.module import Module
from minicnn.nn.pool import AdaptivePool
from minicnn.shapes_only import Field, ShapesBackend

# ------------------------------------------------------------------------------- the public face


@dataclass(frozen=True)
class Row:
    """One call of one layer.

    Attributes:
        path: the layer's name in the model, as in the state dict ("" for the model itself).
        output_shape: with the batch; of the first output if there are several.
        parameters, trainable: numbers in this layer alone, and how many of them are trained.
        macs: multiply-accumulates of its convolutions and linear maps, for the whole batch.
        receptive_field: how many input pixels, along each axis, one output value depends on, the
            padding counted in; None if the input is not an image.
        im2col_bytes: what the unfolded input of its convolution would take, for the whole batch.
        repeated: the layer was called before; its parameters are counted there.
    """

    path: str
    type: str
    output_shape: tuple[int, ...]
    parameters: int
    trainable: int
    macs: int
    receptive_field: tuple[int, ...] | None
    im2col_bytes: int
    repeated: bool = False


@dataclass(frozen=True)
class Summary:
    """What `summary` returns: print it, or read `rows` and the totals."""

    name: str
    input_shape: tuple[int, ...]
    dtype: str
    rows: tuple[Row, ...]
    total_parameters: int
    trainable_parameters: int
    parameter_bytes: int
    activation_bytes: int
    unused: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()  # what a reader of the rows would miss

    @property
    def total_macs(self) -> int:
        """Multiply-accumulates of one forward pass; one is two FLOP."""
        return sum(row.macs for row in self.rows)

    @property
    def largest_im2col_bytes(self) -> int:
        """The most that an im2col convolution would need at one time."""
        return max((row.im2col_bytes for row in self.rows), default=0)

    def to_dicts(self) -> list[dict[str, Any]]:
        """The rows as plain dicts, for a CSV or a data frame."""
        return [asdict(row) for row in self.rows]

    def table(self, width: int = 100) -> str:
        """The rows and totals as text, in at most `width` columns if they can be said in them.

        What is too wide gets headings for the paths, then 11 for 11×11, then shapes without N.
        """
        return _table(self, width)

    def __str__(self) -> str:
        return self.table()

    __repr__ = __str__


def summary(model: Any, input_size: Sequence[int], batch_size: int = 1) -> Summary:
    """The table of `model`'s layers for an input of `input_size`, without computing anything.

    Args:
        model: any Module; it runs once in eval mode and is left as it was found.
        input_size: of one sample, without the batch, as (3, 160, 160).
        batch_size: N; MACs and bytes are for the whole batch.

    Raises:
        ArgumentError: an input_size that is not a tuple of positive integers.
        ShapeError: a size that some layer cannot take; the message names the layer.
    """
    if not isinstance(model, Module):
        raise ArgumentError(
            f"summary: expected a Module, got {type(model).__name__}. Give the network first."
        )
    size = tuple(input_size) if isinstance(input_size, Sequence) else (input_size,)
    if not size or not all(isinstance(n, int | np.integer) and n > 0 for n in (*size, batch_size)):
        raise ArgumentError(
            f"summary: input_size {input_size!r} with batch_size {batch_size!r} is not a tuple of "
            "positive integers. Give the size of one sample, such as (3, 160, 160)."
        )
    parameters = list(model.parameters())
    dtype = next((p.dtype for p in parameters if p.dtype.kind == "f"), np.dtype("float32"))
    shape = (batch_size, *map(int, size))
    recorder = _Recorder(model)
    backend = ShapesBackend(recorder)
    with _left_as_found(model), recorder.listening(), autograd.no_grad(), use_backend(backend):
        model(autograd.Variable.result_class(backend.image(shape, dtype)))
    return Summary(
        name=(getattr(model, "recipe", None) or {}).get("name") or type(model).__name__,
        input_shape=shape,
        dtype=str(dtype),
        rows=tuple(recorder.rows),
        total_parameters=sum(p.numel() for p in parameters),
        trainable_parameters=sum(p.numel() for p in parameters if p.requires_grad),
        parameter_bytes=sum(p.numel() * p.dtype.itemsize for p in parameters),
        activation_bytes=sum(math.prod(r.output_shape) for r in recorder.rows) * dtype.itemsize,
        unused=tuple(recorder.unused()),
        notes=tuple(recorder.notes),
    )


# ------------------------------------------------------------------- listening to the forward pass


@dataclass
class _Call:
    """A layer that is running: what its own kernels did, those of its children not included."""

    path: str
    module: Any
    macs: int = 0
    im2col_bytes: int = 0


@dataclass
class _Recorder:
    """Hooks on every module, which turn each finished call into a row."""

    model: Any
    rows: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    _running: list[_Call] = field(default_factory=list)
    _called: set[int] = field(default_factory=set)
    _latest: Field | None = None

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Hooks on all modules inside the block, and none of them after it."""
        handles = []
        try:
            for path, module in self.model.named_modules():
                handles.append(module.register_forward_pre_hook(self._enter(path)))
                handles.append(module.register_forward_hook(self._leave))
            yield
        finally:
            for handle in handles:
                handle.remove()

    def __post_init__(self) -> None:
        least = getattr(self.model, "minimum_image_size", None)
        if least is not None:
            self.notes.append(f"images of {least}×{least} are the smallest that it takes")

    def count(self, macs: int, im2col_bytes: int) -> None:
        """A kernel's work, on the account of the innermost running layer."""
        if self._running:
            self._running[-1].macs += macs
            self._running[-1].im2col_bytes += im2col_bytes

    def saw(self, seen: Field | None) -> None:
        """The receptive field of the latest result."""
        self._latest = seen

    def unused(self) -> Iterator[str]:
        """Layers with parameters that forward never called."""
        for path, module in self.model.named_modules():
            if _own(module) and id(module) not in self._called:
                yield path

    def _enter(self, path: str) -> Any:
        def hook(module: Any, args: Any) -> None:
            self._running.append(_Call(path, module))

        return hook

    def _leave(self, module: Any, args: Any, output: Any) -> None:
        call = self._running.pop()
        self._note_enlargement(call.path, module, args, output)
        own = _own(module)
        if own or call.macs or not any(True for _ in module.children()):
            self.rows.append(
                Row(
                    path=call.path,
                    type=type(module).__name__,
                    output_shape=_first_shape(output),
                    parameters=sum(p.numel() for p in own),
                    trainable=sum(p.numel() for p in own if p.requires_grad),
                    macs=call.macs,
                    receptive_field=None if self._latest is None else self._latest.size,
                    im2col_bytes=call.im2col_bytes,
                    repeated=id(module) in self._called,
                )
            )
        self._called.add(id(module))

    def _note_enlargement(self, path: str, module: Any, args: Any, output: Any) -> None:
        """An adaptive pooling may also grow the map, which its name does not tell."""
        before, after = _first_shape(args)[2:], _first_shape(output)[2:]
        adaptive = isinstance(module, AdaptivePool) and before
        if adaptive and before != after and all(map(operator.le, before, after)):
            small, large = ("×".join(map(str, size)) for size in (before, after))
            self.notes.append(f"{path} enlarges its input of {small} to {large}: values repeat")


def _own(module: Any) -> list[Any]:
    """The parameters of a module itself, not of its children."""
    return [p for _, p in module.named_parameters(recurse=False)]


def _first_shape(output: Any) -> tuple[int, ...]:
    """The shape of a tensor, or of the first one in what a layer returned."""
    while isinstance(output, list | tuple | dict) and output:
        output = next(iter(output.values() if isinstance(output, dict) else output))
    return tuple(getattr(output, "shape", ()))


@contextmanager
def _left_as_found(model: Any) -> Iterator[None]:
    """The model in eval mode; afterwards its flags, buffers and the random state as before.

    A model on a GPU has arrays of the same shapes on the CPU meanwhile, which nobody writes.
    """
    flags = [(module, module.training) for module in model.modules()]
    elsewhere = [
        (tensor, tensor.array)
        for tensor in (*model.parameters(), *model.buffers())
        if tensor.is_cuda
    ]
    for tensor, array in elsewhere:
        tensor.array = np.zeros(array.shape, array.dtype)
    buffers = [
        (module, name, buffer, buffer.array.copy())
        for module in model.modules()
        for name, buffer in module.named_buffers(recurse=False)
    ]
    rng = random.get_rng_state()
    model.eval()
    try:
        with np.errstate(all="ignore"):  # a division of zeros by zeros is nobody's mistake here
            yield
    finally:
        for module, training in flags:
            module.training = training
        for module, name, buffer, values in buffers:
            module._buffers[name] = buffer
            buffer.array[...] = values
        for tensor, array in elsewhere:
            tensor.array = array
        random.set_rng_state(rng)


# ---------------------------------------------------------------------------------------- printing


# Ways to say the same in fewer columns, taken in this order until a table is narrow enough.
_SHORTER = ("paths below headings", "squares as one number", "shapes per image")


def _table(s: Summary, width: int) -> str:
    """The rows in aligned columns, the totals below."""
    for shorter in range(len(_SHORTER) + 1):
        table = list(_lines(s, _SHORTER[:shorter]))
        columns = zip(*(cells for cells in table if len(cells) > 1), strict=True)
        widths = [max(map(len, column)) for column in columns]
        rule = "─" * (sum(widths) + 2 * (len(widths) - 1))
        if len(rule) <= width:
            break

    def line(cells: Sequence[str]) -> str:
        sides = [str.ljust] * 3 + [str.rjust] * (len(cells) - 3)
        padded = [side(c, w) for side, c, w in zip(sides, cells, widths, strict=False)]
        return "  ".join(padded).rstrip()

    header, *body = map(line, table)
    title = f"{s.name}: input {s.input_shape}, {s.dtype}"
    return "\n".join([title, rule, header, rule, *body, rule, *_totals(s)])


def _totals(s: Summary) -> list[str]:
    frozen = s.total_parameters - s.trainable_parameters
    totals = [
        f"parameters    {s.total_parameters:,} ({s.trainable_parameters:,} trained, "
        f"{frozen:,} frozen), {_bytes(s.parameter_bytes)}",
        f"one forward   {s.total_macs:,} MACs = {_short(2 * s.total_macs)}FLOP",
        f"memory        activations {_bytes(s.activation_bytes)}, "
        f"largest im2col {_bytes(s.largest_im2col_bytes)}",
    ]
    if s.unused:
        totals.append(f"never called  {', '.join(s.unused)}")
    return totals + [f"note          {note}" for note in s.notes]


def _lines(s: Summary, shorter: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """The cells of each line, the names of the columns first; a heading is one cell."""
    headings, squares, per_image = (way in shorter for way in _SHORTER)
    per_image &= all(row.output_shape[:1] == s.input_shape[:1] for row in s.rows)
    some_frozen = s.trainable_parameters < s.total_parameters
    shape, trained = "per image" if per_image else "output shape", ("trained",) * some_frozen
    yield "layer", "type", shape, "params", *trained, "MACs", "sees", "im2col"
    heading = ""
    for row in s.rows:
        above, heading = heading, row.path.rpartition(".")[0] if headings else ""
        if heading not in ("", above):
            yield (heading,)
        path = f"  {row.path.removeprefix(heading)[1:]}" if heading else row.path or "(model)"
        shape = _times(row.output_shape[1:]) if per_image else str(tuple(row.output_shape))
        trained = (_trained(row),) * some_frozen
        macs = f"{row.macs:,}" if row.macs else "-"
        sees = _times(row.receptive_field or (), squares)
        im2col = _bytes(row.im2col_bytes) if row.im2col_bytes else "-"
        yield path, row.type, shape, _parameters(row), *trained, macs, sees, im2col


def _parameters(row: Row) -> str:
    if not row.parameters:
        return "-"
    return "again" if row.repeated else f"{row.parameters:,}"


def _trained(row: Row) -> str:
    """Whether a layer's parameters are trained, or how many of them."""
    if not row.parameters:
        return "-"
    return {row.parameters: "yes", 0: "no"}.get(row.trainable, f"{row.trainable:,}")


def _times(sizes: tuple[int, ...], squares: bool = False) -> str:
    """(3, 3) as "3×3", or of `squares` as "3"."""
    return "×".join(map(str, sizes[:1] if squares and len({*sizes}) == 1 else sizes)) or "-"


def _bytes(n: int) -> str:
    """1536 as "1.5 KiB", 153600 as "150 KiB"."""
    value, units = float(n), ["B", "KiB", "MiB", "GiB", "TiB"]
    while value >= 1024 and len(units) > 1:
        value /= 1024
        units.pop(0)
    digits = 1 if value < 100 and units[0] != "B" else 0
    return f"{value:.{digits}f} {units[0]}"


def _short(n: int) -> str:
    """1_500_000 as "1.5 M"."""
    value, units = float(n), ["", "k", "M", "G", "T"]
    while value >= 1000 and len(units) > 1:
        value /= 1000
        units.pop(0)
    return f"{value:.3g} {units[0]}"
