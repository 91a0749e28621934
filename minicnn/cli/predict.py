"""`minicnn predict`: image files in, a class and a probability for each out."""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np

from minicnn import from_numpy, no_grad
from minicnn.cli import runs
from minicnn.cli.app import say_error
from minicnn.cli.options import Page, compute_with, computing, device_for, on_device, option
from minicnn.errors import DataError
from minicnn.io.image import as_array, open_image, quiet
from minicnn.training import probabilities


@click.command("predict", cls=Page)
@click.argument("images", nargs=-1, required=True, metavar="IMAGE...")
@option(
    "--run",
    type=click.Path(path_type=Path),
    metavar="RUN",
    section="Which network",
    help="A run's folder (its best epoch) or a checkpoint.",
    unless="the newest in runs/",
)
@option(
    "--invert/--no-invert",
    default=None,
    section="How images are read",
    help="Swap light and dark.",
    unless="where the border is lighter than the middle",
)
@computing
@on_device
@click.pass_context
def command(
    ctx: click.Context,
    images: tuple[str, ...],
    run: Path | None,
    invert: bool | None,
    backend: str | None,
    threads: int | None,
    device: str,
) -> None:
    """Which class is in each image, and how sure the network is.

    Any image file will do. A network that learned from silhouettes, WHITE shapes
    on BLACK, gets it in grey, padded to a square in the colour of its border and
    scaled; one with a light border is inverted first, and the line says so. Of
    photographs such a network knows nothing. One that learned from a folder of
    photographs gets it as it got those: in colour, scaled to its size.

    \b
    minicnn predict cat.png dog.png
    minicnn predict --run runs/cats-vs-dogs --no-invert *.png
    """
    compute_with(backend, threads)
    where = device_for(device, backend)
    trained = runs.load_trained(run)
    trained.model.to(where)
    width = min(max(map(len, images)), 44)
    failed = 0
    for path in images:
        try:
            with quiet():
                pixels, inverted = read_as_trained(trained, path, invert)
        except DataError as error:
            say_error(error)
            failed += 1
            continue
        with no_grad():
            logits = trained.model(from_numpy(pixels[None]).to(where)).cpu().numpy()
        name, sure = answer(logits, trained)
        note = "   (inverted)" if inverted else ""
        click.echo(f"{path:<{width}}  {name:<8} {sure:>6.1%}{note}")
    ctx.exit(1 if failed else 0)


def answer(logits: np.ndarray, trained: runs.Trained) -> tuple[str, float]:
    """The name of the most probable class of logits (1, classes) or (1, 1), and its probability."""
    sure = probabilities(logits).reshape(-1)
    if len(sure) == 1:
        sure = np.array([1 - sure[0], sure[0]])
    best = int(sure.argmax())
    return trained.class_names(len(sure))[best], float(sure[best])


# --------------------------------------------------------------------------------- reading files


def read_as_trained(
    trained: runs.Trained, path: str, invert: bool | None
) -> tuple[np.ndarray, bool]:
    """An image file as this network wants it, and whether light and dark were swapped."""
    source = trained.known_source
    if source is None or not source.is_folder:
        return read(path, trained.input_size, invert)
    pixels = source.read(path, trained.input_size[0])
    return (1 - pixels, True) if invert else (pixels, False)


def read(
    path: str | Path, input_size: tuple[int, int, int], invert: bool | None
) -> tuple[np.ndarray, bool]:
    """An image file as float32 (C, H, W), and whether light and dark were swapped."""
    channels, height, width = input_size
    pixels = as_array(open_image(path), channels)
    border = border_of(pixels)
    if invert is None:
        invert = float(border.mean()) > float(pixels.mean())
    if invert:
        pixels, border = 1 - pixels, 1 - border
    return fit(pixels, border, height, width), invert


def border_of(pixels: np.ndarray) -> np.ndarray:
    """The median of the outermost pixels, for each channel: (C,)."""
    edges = (pixels[:, 0], pixels[:, -1], pixels[:, :, 0], pixels[:, :, -1])
    return np.median(np.concatenate(edges, axis=1), axis=1)


def fit(pixels: np.ndarray, border: np.ndarray, height: int, width: int) -> np.ndarray:
    """`pixels` (C, H, W) scaled to height×width; its shape is kept by padding with `border`."""
    from PIL import Image

    C, H, W = pixels.shape
    scale = min(height / H, width / W)
    size = max(1, round(W * scale)), max(1, round(H * scale))
    top, left = (height - size[1]) // 2, (width - size[0]) // 2
    result = np.empty((C, height, width), np.float32)
    for c in range(C):
        plane = Image.fromarray(np.ascontiguousarray(pixels[c], dtype=np.float32))
        result[c] = border[c]
        scaled = plane.resize(size, Image.Resampling.BILINEAR)  # averages where it shrinks
        result[c, top : top + size[1], left : left + size[0]] = np.asarray(scaled)
    return result
