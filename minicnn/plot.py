"""Pictures of a training: its curves, what it gets wrong, its filters, what its layers see.

Every function returns a matplotlib Figure and, with `path`, also saves it (the ending decides the
format). No pyplot and no global state: nothing pops up, and threads do not share a figure.
Colours are those of Okabe & Ito, which stay apart under all common kinds of colour blindness;
wherever colour says something, a shape or a word says it too.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from minicnn import autograd
from minicnn.creation import from_numpy
from minicnn.errors import ArgumentError, ShapeError
from minicnn.io import atomic_write
from minicnn.tensor import Tensor

BLUE, ORANGE, GREY, PALE, INK = "#0072B2", "#D55E00", "#7A7A7A", "#BDBDBD", "#262626"
DPI = 150


def curves(
    history: Any,
    path: str | os.PathLike[str] | None = None,
    *,
    baseline: float | None = None,
    title: str | None = None,
) -> Any:
    """Loss and accuracy by epoch, for training and validation; the best epoch is marked.

    Args:
        history: a History, or a dict of lists like its `history`.
        baseline: the accuracy of always guessing the most frequent class, drawn as a line.
    """
    values = history if isinstance(history, Mapping) else history.history
    first = 1 if isinstance(history, Mapping) or not history.epoch else history.epoch[0] + 1
    names = [name for name in values if not name.startswith("val_")]
    if not names:
        raise ArgumentError("plot.curves: the history is empty. Train for an epoch first.")
    figure = _figure(5.2 * len(names), 3.8, title)
    for axes, name in zip(np.atleast_1d(figure.subplots(1, len(names))), names, strict=True):
        share = name == "accuracy"
        for series, label, colour in (
            (name, "training", GREY),
            (f"val_{name}", "validation", BLUE),
        ):
            if series in values:
                _line(axes, first, values[series], label, colour, share)
        if f"val_{name}" in values:
            _mark_best(axes, first, values[f"val_{name}"], share)
        _dress(axes, name, share)
        if share and baseline is not None:
            low, high = axes.get_ylim()  # room for the line, and for the words above it
            axes.set_ylim(min(low, baseline - 0.04), max(high, baseline + 0.1))
            axes.axhline(baseline, color=ORANGE, linewidth=1.2, linestyle=(0, (5, 3)), zorder=1)
            axes.annotate(
                f"always the most frequent class: {baseline:.1%}",
                (0.02, baseline), xycoords=axes.get_yaxis_transform(), xytext=(0, 4),
                textcoords="offset points", color=ORANGE, fontsize=9,
            )  # fmt: skip
        axes.legend(  # above the curves, where it can hide none of them
            loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2, frameon=False, fontsize=9,
            borderaxespad=0.1, columnspacing=1.4, handlelength=2.2,
        )  # fmt: skip
    return save(figure, path)


def predictions(
    images: Any,
    labels: Any,
    logits: Any,
    class_names: Sequence[str] | None = None,
    path: str | os.PathLike[str] | None = None,
    *,
    columns: int = 8,
    limit: int = 32,
    mistakes_first: bool = True,
    title: str | None = None,
) -> Any:
    """Images with the class predicted for each; mistakes stand in a thick frame with a cross.

    Args:
        images: (N, C, H, W) or (N, H, W), grey or RGB.
        labels: the true classes, (N,).
        logits: what the network said, (N, num_classes) or (N, 1).
        limit: how many images to show; the title counts all of them.
        mistakes_first: give mistakes up to half the places, before the others; else in order.
    """
    from minicnn.training.metrics import predicted_classes, probabilities

    pictures, truth, scores = _array(images), _array(labels).reshape(-1), _array(logits)
    if not len(pictures) == len(truth) == len(scores) or not len(truth):
        raise ShapeError(
            f"plot.predictions: {len(pictures)} images, {len(truth)} labels, {len(scores)} rows of "
            "logits. Give one label and one row for each image, and one image at least."
        )
    guessed, sure = predicted_classes(scores), probabilities(scores)
    if sure.ndim == 1 or sure.shape[1] == 1:
        sure = np.stack([1 - sure.reshape(-1), sure.reshape(-1)], axis=1)
    names = list(class_names or map(str, range(sure.shape[1])))
    wrong = np.flatnonzero(guessed != truth)
    heading = f"{title or 'Predictions'}: {len(wrong)} of {len(truth)} wrong"
    order = np.arange(len(truth))
    if mistakes_first and len(wrong) and limit < len(truth):
        first = wrong[: (limit + 1) // 2]
        order = np.concatenate([first, np.setdiff1d(order, wrong), wrong[len(first) :]])
        heading += ", shown first" if len(first) == len(wrong) else f", {len(first)} shown first"
    order = order[:limit]
    grid = _grid(len(order), columns, 1.35, 1.62, heading)
    for i, axes in zip(order, grid.axes, strict=False):
        _show(axes, pictures[i])
        mistake = guessed[i] != truth[i]
        text = f"{names[guessed[i]]} {sure[i, guessed[i]]:.0%}"
        if mistake:
            text = f"✗ {text}\nis {names[truth[i]]}"
        axes.set_xlabel(
            text, fontsize=8.5, labelpad=3, color=ORANGE if mistake else INK,
            fontweight="bold" if mistake else "normal",
        )  # fmt: skip
        _frame(axes, ORANGE if mistake else PALE, 3.0 if mistake else 0.6)
    return save(grid.figure, path)


def filters(
    layer: Any,
    path: str | os.PathLike[str] | None = None,
    *,
    limit: int = 64,
    title: str | None = None,
) -> Any:
    """The kernels of a convolution as pictures.

    RGB kernels are shown in colour, grey being zero. Otherwise orange is positive, purple
    negative, white zero; with several input channels a row is a filter, a column a channel.

    Args:
        layer: a Conv2d, or its weights (K, C, R, S).
        limit: how many filters at most (with several channels: the first 16 of 16 channels).
    """
    weights = _array(getattr(layer, "weight", layer))
    if weights.ndim != 4:
        raise ShapeError(
            f"plot.filters: weights {weights.shape} are not (K, C, R, S). Give a Conv2d layer."
        )
    K, C, R, S = weights.shape
    size = f"{K} filters of {C}×{R}×{S}"
    heading = f"{title}: {size}" if title else size
    if C in (1, 3):
        tiles, columns = weights[:limit], 8
        extreme = float(np.abs(tiles).max()) or 1.0
        tiles = (tiles / extreme / 2 + 0.5).transpose(0, 2, 3, 1) if C == 3 else tiles[:, 0]
    else:
        columns = min(C, 16)
        tiles = weights[:16, :columns].reshape(-1, R, S)
        extreme = float(np.abs(tiles).max()) or 1.0
        if K > 16 or C > 16:
            heading += f" (the first {min(K, 16)}×{columns})"
    tile = 0.9 if columns <= 8 else 0.5
    grid = _grid(len(tiles), columns, tile, tile, heading)
    for axes, values in zip(grid.axes, tiles, strict=False):
        drawn = axes.imshow(values, cmap="PuOr_r", vmin=-extreme, vmax=extreme)
        _frame(axes, PALE, 0.5)
    if C != 3:
        _colour_bar(grid.figure, drawn, list(grid.axes))
    return save(grid.figure, path)


def feature_maps(
    model: Any,
    image: Any,
    layer: str,
    path: str | os.PathLike[str] | None = None,
    *,
    limit: int = 64,
    title: str | None = None,
) -> Any:
    """What each channel of one layer answers to an image, beside the image, on one scale.

    A layer that gives no negative values is drawn from dark (0) to bright, any other in orange
    (positive) and purple (negative). "silent" is a channel without any answer to this image.

    Args:
        model: run once in eval mode, and left as it was.
        image: (C, H, W) or (1, C, H, W).
        layer: its path in the model, as `summary` prints it, such as "conv2".
        limit: how many channels to show.
    """
    x = image if isinstance(image, Tensor) else from_numpy(np.ascontiguousarray(image))
    x = x if x.ndim == 4 else x[None]
    maps = _record(model, x[:1], layer)
    if maps.ndim != 4:
        raise ShapeError(
            f"plot.feature_maps: layer {layer!r} gives {maps.shape}, which is no picture. "
            "Choose a layer before the flattening."
        )
    K, P, Q = maps.shape[1:]
    shown = min(K, limit)
    count = f"{shown} of {K} maps" if shown < K else f"{K} maps"
    columns = min(8, shown)
    rows = math.ceil(shown / columns)
    figure = _figure((columns + 2) * 1.1 + 0.6, max(rows, 2) * 1.25 + 0.45, None)
    figure.suptitle(f"{title or layer}: {count} of {P}×{Q}", color=INK, fontsize=12)
    places = figure.add_gridspec(max(rows, 2), columns + 2)
    picture = _bare(figure.add_subplot(places[:2, :2]))
    _show(picture, _array(x)[0])
    _frame(picture, INK, 1.0)
    picture.set_xlabel("input", fontsize=9, labelpad=3, color=INK)
    signed = float(maps.min()) < 0
    top = float(np.abs(maps[0, :shown]).max()) or 1.0
    colours = "PuOr_r" if signed else "viridis"
    tiles = []
    for i, values in enumerate(maps[0, :shown]):
        axes = _bare(figure.add_subplot(places[i // columns, 2 + i % columns]))
        drawn = axes.imshow(values, cmap=colours, vmin=-top if signed else 0, vmax=top)
        name = str(i) if values.any() else f"{i} silent"
        axes.set_xlabel(name, fontsize=8, labelpad=2, color=GREY)
        _frame(axes, PALE, 0.5)
        tiles.append(axes)
    _colour_bar(figure, drawn, tiles)
    return save(figure, path)


# ------------------------------------------------------------------------------------- drawing


class _grid:
    """A figure with `n` small square pictures in rows of `columns`; spare places stay empty."""

    def __init__(
        self, n: int, columns: int, width: float, height: float, title: str | None
    ) -> None:
        columns = max(1, min(columns, n))
        rows = math.ceil(n / columns)
        self.figure = _figure(max(columns * width + 0.2, 3.2), rows * height + 0.45, title)
        self.axes = self.figure.subplots(rows, columns, squeeze=False).ravel()
        for axes in self.axes:
            _bare(axes)
        for axes in self.axes[n:]:
            axes.set_visible(False)


def _figure(width: float, height: float, title: str | None) -> Any:
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    layout = ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.08)  # inches
    figure = Figure(figsize=(width, height), layout=layout, facecolor="white")
    if title:
        figure.suptitle(title, color=INK, fontsize=12)
    return figure


def _line(
    axes: Any, first: int, values: Sequence[float], label: str, colour: str, share: bool
) -> None:
    epochs = range(first, first + len(values))
    dashed = label == "training"
    end = f" {values[-1]:.1%}" if share else f" {values[-1]:.3f}"
    axes.plot(
        epochs, values, color=colour, linewidth=1.6 if dashed else 2,
        marker=None if dashed and len(values) > 1 else "o",  # one point makes no line
        markersize=3.5 if 1 < len(values) < 40 else 6 if len(values) == 1 else 0,
        linestyle=(0, (4, 1.5)) if dashed else "-", label=label + end,
    )  # fmt: skip


def _mark_best(axes: Any, first: int, values: Sequence[float], share: bool) -> None:
    """A ring around the best epoch, and its value."""
    usable = np.asarray(values, dtype=float)
    if not np.isfinite(usable).any():
        return
    at = int(np.nanargmax(usable) if share else np.nanargmin(usable))
    text = f"{usable[at]:.1%}" if share else f"{usable[at]:.3f}"
    axes.plot(
        [first + at], [usable[at]], marker="o", markersize=10, markerfacecolor="none",
        markeredgecolor=BLUE, markeredgewidth=1.6,
    )  # fmt: skip
    axes.annotate(
        f"best {text}, epoch {first + at}", (first + at, usable[at]),
        xytext=(0, 10 if share else -18), textcoords="offset points",
        ha="center" if 0.2 < at / max(len(usable) - 1, 1) < 0.8 else "right" if at else "left",
        color=BLUE, fontsize=9,
    )  # fmt: skip


def _dress(axes: Any, name: str, share: bool) -> None:
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    axes.set_title(name, loc="left", color=INK, fontsize=11)
    axes.set_xlabel("epoch", color=INK)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.grid(axis="y", color="#E6E6E6", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.margins(x=0.03, y=0.12)
    axes.set_xlim(left=max(axes.get_xlim()[0], 0.5))  # there is no epoch 0
    axes.tick_params(colors=INK, length=0)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(PALE)
    if share:
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        axes.set_ylim(top=max(1.02, axes.get_ylim()[1]) if axes.get_ylim()[1] > 0.9 else None)
    else:
        axes.set_ylim(bottom=0)


def _show(axes: Any, image: np.ndarray) -> None:
    """One image, (C, H, W) or (H, W), grey or RGB, of any range."""
    picture = image[0] if image.ndim == 3 and image.shape[0] == 1 else image
    if picture.ndim == 3 and picture.shape[0] == 3:
        picture = picture.transpose(1, 2, 0)
    elif picture.ndim != 2:
        raise ShapeError(
            f"plot: an image of shape {image.shape} is neither grey nor RGB. "
            "Give (1, H, W), (3, H, W) or (H, W)."
        )
    if picture.dtype != np.uint8:
        low, high = float(picture.min()), float(picture.max())
        if low < 0 or high > 1:  # normalised images: stretch them back to [0, 1]
            picture = (picture - low) / ((high - low) or 1.0)
    axes.imshow(picture, cmap="gray", vmin=0, vmax=255 if picture.dtype == np.uint8 else 1)


def _bare(axes: Any) -> Any:
    """Axes without ticks: a picture needs none."""
    axes.set_xticks([])
    axes.set_yticks([])
    return axes


def _colour_bar(figure: Any, drawn: Any, beside: list[Any]) -> None:
    """What the colours of `drawn` mean, at the right of the axes it counts for."""
    bar = figure.colorbar(drawn, ax=beside, shrink=0.8, aspect=25, pad=0.015)
    bar.ax.tick_params(labelsize=8, length=0)
    bar.outline.set_visible(False)


def _frame(axes: Any, colour: str, width: float) -> None:
    for spine in axes.spines.values():
        spine.set_color(colour)
        spine.set_linewidth(width)


def save(figure: Any, path: str | os.PathLike[str] | None) -> Any:
    """Save a figure if a path was given: drawn in memory first, then written in one step."""
    if path is None:
        return figure
    form = Path(path).suffix.lstrip(".").lower() or "png"
    known = figure.canvas.get_supported_filetypes()
    if form not in known:
        raise ArgumentError(
            f"plot: {path}: no picture format {form!r}. Use {', '.join(sorted(known))}."
        )
    content = BytesIO()
    figure.savefig(content, format=form, dpi=DPI)
    atomic_write(path, lambda file: file.write(content.getbuffer()))
    return figure


# ----------------------------------------------------------------------------------------- data


def _array(value: Any) -> np.ndarray:
    """A tensor, array or list as a NumPy array."""
    return value.detach().cpu().numpy() if hasattr(value, "detach") else np.asarray(value)


def _record(model: Any, x: Tensor, layer: str) -> np.ndarray:
    """The output of one layer while the model runs on `x`."""
    from minicnn.training.modes import evaluating

    modules = dict(model.named_modules())
    if layer not in modules:
        known = ", ".join(name for name in modules if name)
        raise ArgumentError(f"plot.feature_maps: no layer {layer!r}. There are {known}.")
    found: list[np.ndarray] = []
    handle = modules[layer].register_forward_hook(
        lambda module, args, output: found.append(np.array(_array(output)))
    )
    try:
        with evaluating(model), autograd.no_grad():
            model(x.to(next((p.device for p in model.parameters()), x.device)))
    finally:
        handle.remove()
    if not found:
        raise ArgumentError(
            f"plot.feature_maps: forward never calls the layer {layer!r}."
            " Name one that it calls; model.named_modules() lists them."
        )
    return found[0]
