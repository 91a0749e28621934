"""The first command of the README, five times: accuracy over seeds, and the seconds it takes.

    python benchmarks/accuracy.py       # writes benchmarks/results/cats_vs_dogs.json and .png

Each seed is a process of its own, `minicnn train --seed S`, with all defaults. The picture is the
first seed's curves above its predictions.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

from minicnn.bench.machine import machine

HERE = Path(__file__).resolve().parent


def run(seed: int, folder: Path) -> dict:
    """Train with one seed; what its run.json says."""
    out = folder / f"seed{seed}"
    command = [sys.executable, "-m", "minicnn", "train", "--seed", str(seed), "--out", str(out)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    said = json.loads((out / "run.json").read_text())
    return {
        "seed": seed,
        "best validation accuracy": said["best"]["value"],
        "epoch of the best": said["best"]["epoch"],
        "epochs": said["epochs"]["finished"],
        "training seconds": said["seconds"],
    }


def stack_pictures(paths: list[Path], out: Path, width: int = 1400) -> None:
    """Put pictures one above the other, all of one width."""
    pictures = [Image.open(path).convert("RGB") for path in paths]
    pictures = [p.resize((width, round(p.height * width / p.width))) for p in pictures]
    page = Image.new("RGB", (width, sum(p.height for p in pictures)), "white")
    top = 0
    for picture in pictures:
        page.paste(picture, (0, top))
        top += picture.height
    page.quantize(64).save(out, optimize=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=HERE / "results" / "cats_vs_dogs.json")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        runs = []
        for seed in range(arguments.seeds):
            runs.append(run(seed, Path(folder)))
            print(runs[-1], flush=True)
        first = Path(folder) / "seed0"
        stack_pictures(
            [first / "curves.png", first / "predictions.png"], arguments.out.with_suffix(".png")
        )
    best = [r["best validation accuracy"] for r in runs]
    result = {
        "command": "python benchmarks/" + " ".join([Path(__file__).name, *sys.argv[1:]]),
        "what": "minicnn train with its defaults, one process per seed",
        "machine": machine(),
        "mean best validation accuracy": statistics.mean(best),
        "standard deviation": statistics.stdev(best),
        "median training seconds": statistics.median(r["training seconds"] for r in runs),
        "runs": runs,
    }
    arguments.out.write_text(json.dumps(result, indent=1) + "\n")
    print("wrote", arguments.out)


if __name__ == "__main__":
    main()
