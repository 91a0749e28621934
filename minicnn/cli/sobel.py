"""`minicnn sobel`: filters that nobody trained. Two 3×3 kernels in a Conv2d draw a photo's edges.

    Gx = [1 0 -1]      Gy = [ 1  2  1]
         [2 0 -2]           [ 0  0  0]      magnitude = √(Gx² + Gy²)
         [1 0 -1]           [-1 -2 -1]

Gx subtracts the right neighbours from the left ones, weighted 1 2 1: it answers to vertical edges,
Gy to horizontal ones. A CNN's first layer learns filters like these by itself.
Source: Sobel & Feldman, "A 3x3 isotropic gradient operator for image processing" (1968).
"""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np

from minicnn import from_numpy, nn, no_grad, tensor
from minicnn.cli.options import Page, compute_with, computing, option
from minicnn.cli.progress import facts
from minicnn.errors import ArgumentError, DataError
from minicnn.io.image import as_array, open_image, quiet
from minicnn.kernels import current_backend

GX = ((1, 0, -1), (2, 0, -2), (1, 0, -1))
GY = ((1, 2, 1), (0, 0, 0), (-1, -2, -1))


@click.command("sobel", cls=Page)
@click.argument("image", required=False)
@option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    default=Path("edges.png"),
    metavar="FILE",
    section="What is written",
    help="The picture; its ending is its format.",
    unless="edges.png",
)
@computing
def command(image: str | None, out: Path, backend: str | None, threads: int | None) -> None:
    """The edges of a picture, by a Conv2d whose weights are Sobel's two kernels.

    \b
         [1 0 -1]        [ 1  2  1]
    Gx = [2 0 -2]   Gy = [ 0  0  0]   magnitude = √(Gx² + Gy²)
         [1 0 -1]        [-1 -2 -1]

    Gx answers to vertical edges, Gy to horizontal ones. Without IMAGE, a
    photograph that comes with the package is taken.

    \b
    minicnn sobel
    minicnn sobel photo.jpg -o edges.pdf
    """
    compute_with(backend, threads)
    if image is None:
        from minicnn.datasets import sample_photo

        image = str(sample_photo())
    refuse_to_overwrite(image, out)
    with quiet():
        grey = as_array(open_image(image))
    gx, gy, magnitude = edges(grey, image)
    draw(grey[0], gx, gy, magnitude, out)
    H, W = magnitude.shape
    facts(
        image=f"{image}, {grey.shape[2]}×{grey.shape[1]} pixels",
        edges=f"{W}×{H} (a 3×3 kernel without padding takes 2)",
        backend=current_backend().name,
        file=out,
    )


def refuse_to_overwrite(image: str, out: Path) -> None:
    """An ArgumentError if the picture would replace the image that it is of, or a folder."""
    if out.is_dir() or not out.name:
        raise ArgumentError(f"--out {out}: a folder. Name a file in it, such as {out}/edges.png.")
    if Path(image).exists() and out.exists() and out.samefile(image):
        raise ArgumentError(
            f"--out {out} is the image itself, which would be lost. Choose another name."
        )


def sobel_layer() -> nn.Conv2d:
    """A Conv2d(1, 2, 3) without bias whose two filters are Gx and Gy."""
    layer = nn.Conv2d(1, 2, kernel_size=3, bias=False)
    with no_grad():
        layer.weight.copy_(tensor([[GX], [GY]]))
    return layer


def edges(grey: np.ndarray, name: str = "image") -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Gx, Gy and √(Gx² + Gy²), each (H-2, W-2), of a grey image (1, H, W)."""
    if min(grey.shape[1:]) < 3:
        raise DataError(
            f"{name} is {grey.shape[2]}×{grey.shape[1]} pixels, smaller than the 3×3 kernel. "
            "Take a larger image."
        )
    with no_grad():
        answer = sobel_layer()(from_numpy(grey)).numpy()
    gx, gy = answer
    return gx, gy, np.hypot(gx, gy)


def draw(
    grey: np.ndarray, gx: np.ndarray, gy: np.ndarray, magnitude: np.ndarray, path: Path
) -> None:
    """The image, |Gx|, |Gy| and the magnitude side by side, the last three on one scale."""
    from matplotlib.figure import Figure

    from minicnn import plot

    H, W = grey.shape
    width = 3.6 * min(max(W / H, 0.5), 2.0)  # inches of one panel, 3.6 high
    figure = Figure(figsize=(4 * width + 0.4, 3.6 + 1.35), layout="constrained")
    panels = (
        (grey, "input, in grey", f"{W}×{H} pixels"),
        (np.abs(gx), "|Gx|: vertical edges", _matrix(GX)),
        (np.abs(gy), "|Gy|: horizontal edges", _matrix(GY)),
        (magnitude, "√(Gx² + Gy²): all edges", "both filters together"),
    )
    # A few sparkling pixels would make everything else black: a two-hundredth may be all white.
    white = float(np.quantile(magnitude, 0.995)) or float(magnitude.max()) or 1.0
    for axes, (values, title, below) in zip(figure.subplots(1, 4), panels, strict=True):
        axes.imshow(values, cmap="gray", vmin=0, vmax=1 if values is grey else white)
        axes.set_title(title, fontsize=15, color=plot.INK)
        kernel = "\n" in below
        axes.set_xlabel(
            below, fontsize=12, color=plot.INK, family="monospace" if kernel else None, labelpad=8
        )
        axes.set(xticks=[], yticks=[])
        for spine in axes.spines.values():
            spine.set_visible(False)
    plot.save(figure, path)


def _matrix(kernel: tuple[tuple[int, ...], ...]) -> str:
    return "\n".join(" ".join(f"{n:>2}" for n in row) for row in kernel).replace("-", "−")
