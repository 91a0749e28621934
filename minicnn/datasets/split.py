"""Which silhouette is for training, which for validation and which for the test: a committed list.

    write_split()       # writes files/animal_silhouettes_split.json again

Of each class, an eighth (rounded) is for validation and as many for the test. Images are drawn in
the order of SHA-256("seed:index"), which no release of NumPy can change. The list is read, never
made, when a dataset is opened; each part lies in that same mixed order.
"""

from __future__ import annotations

import hashlib
import json
import os
import textwrap
from pathlib import Path

import numpy as np

from minicnn.errors import DataError

FILES = Path(__file__).parent / "files"
ARCHIVE = FILES / "animal_silhouettes.npz"
SPLIT_LIST = FILES / "animal_silhouettes_split.json"
SPLITS = ("train", "validation", "test")
SEED = 0


def stratified_split(labels: np.ndarray, seed: int = SEED) -> dict[str, list[int]]:
    """The indices of each part: of a class with n images, round(n/8), round(n/8) and the rest."""

    def draw(index: int) -> bytes:
        return hashlib.sha256(f"{seed}:{index}".encode()).digest()

    parts: dict[str, list[int]] = {name: [] for name in SPLITS}
    for label in np.unique(labels):
        members = sorted(np.flatnonzero(labels == label).tolist(), key=draw)
        eighth = round(len(members) / 8)
        parts["validation"] += members[:eighth]
        parts["test"] += members[eighth : 2 * eighth]
        parts["train"] += members[2 * eighth :]
    return {name: sorted(members, key=draw) for name, members in parts.items()}


def split_text(archive: Path, labels: np.ndarray, seed: int = SEED) -> str:
    """The list's file as text: JSON with the archive's name and SHA-256, the seed and the parts."""
    head = {
        "archive": archive.name,
        "sha256": hashlib.sha256(archive.read_bytes()).hexdigest(),
        "seed": seed,
    }
    lines = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in head.items()]
    for name, members in stratified_split(labels, seed).items():
        numbers = textwrap.fill(", ".join(map(str, members)), 99)
        lines.append(f'"{name}": [\n{numbers}\n]')
    return "{\n" + ",\n".join(lines) + "\n}\n"


def read_split(path: str | os.PathLike[str]) -> dict[str, list[int]]:
    """The indices of each part, from such a file; DataError, naming it, if it is damaged."""
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
        return {name: [int(index) for index in content[name]] for name in SPLITS}
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise DataError(
            f"{path}: not a split list, or a damaged one ({type(error).__name__}: {error}). "
            "Install the package again."
        ) from error


def write_split() -> None:
    """Make the committed list again."""
    with np.load(ARCHIVE) as archive:
        SPLIT_LIST.write_text(split_text(ARCHIVE, archive["labels"]), encoding="utf-8")
