"""How much of Pillow's speed is left when photographs come through the loader.

    python benchmarks/loader.py                  # 20,000 JPEGs; writes results/loader.json
    python benchmarks/loader.py --count 3000     # quicker, rougher

JPEGs of 200×150, cut from the shipped photograph, are decoded and resized to 224×224, all of them
in each turn: by bare Pillow in a ThreadPoolExecutor (open, convert to RGB, resize; the result is
thrown away), then by the loader (ImageFolder, batches of 128) with as many threads, twice: the
pixels as they are (Resize, PILToTensor), and as float32 between 0 and 1 (Resize, ToTensor). The
loader does more, as it makes batches. The figures are medians of the turns' ratios; memory is what
the process holds after each turn.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from minicnn import data, datasets, transforms
from minicnn.bench.figures import quartiles
from minicnn.bench.machine import machine

HERE = Path(__file__).resolve().parent
SIDE, BATCH = 224, 128
LAST = {"pixels": transforms.PILToTensor(), "float32": transforms.ToTensor()}
GROUP = 32  # files that a thread of the pool takes at once, so that handing them out costs nothing


def make_pictures(root: Path, count: int) -> None:
    """root/cat/….jpg and root/dog/….jpg: parts of the photograph, no two of them alike."""
    rng = np.random.default_rng(0)
    with Image.open(datasets.sample_photo()) as photo:
        fur = photo.convert("RGB")
    for name in ("cat", "dog"):
        (root / name).mkdir()
    for i in range(count):
        width = int(rng.integers(200, 401))
        height = width * 3 // 4
        left, top = rng.integers(fur.width - width + 1), rng.integers(fur.height - height + 1)
        part = fur.crop((left, top, left + width, top + height)).resize((200, 150))
        part.save(root / ("cat", "dog")[i % 2] / f"{i:05}.jpg", quality=85)


def bare(paths: list[str], threads: int) -> None:
    def read(group: list[str]) -> None:
        for path in group:
            with Image.open(path) as image:
                image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BILINEAR)

    groups = [paths[start : start + GROUP] for start in range(0, len(paths), GROUP)]
    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(read, groups):
            pass


def through_loader(folder: datasets.ImageFolder, threads: int) -> None:
    for images, _ in data.DataLoader(folder, batch_size=BATCH, num_workers=threads):
        assert images.shape[1:] == (3, SIDE, SIDE)


def seconds(function, *arguments) -> float:
    start = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - start


def megabytes() -> float | None:
    """What the process holds now; None where the system does not say."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return None
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def measure(root: str, turns: int, threads: int) -> dict:
    folders = {
        name: datasets.ImageFolder(
            root, transform=transforms.Compose([transforms.Resize((SIDE, SIDE)), last])
        )
        for name, last in LAST.items()
    }
    paths = [path for path, _ in folders["pixels"].samples]
    rows: list[dict[str, float]] = []
    held: list[float | None] = []
    for turn in range(-1, turns):  # the first warms up
        row = {"bare": seconds(bare, paths, threads)}
        row |= {name: seconds(through_loader, f, threads) for name, f in folders.items()}
        if turn >= 0:
            rows.append(row)
            held.append(megabytes())
            print(*(f"{name} {s:.2f} s," for name, s in row.items()), held[-1], "MB", flush=True)
    times = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    return {
        "files/s": {
            name: [round(q) for q in quartiles(len(paths) / s)] for name, s in times.items()
        },
        "loader over bare Pillow": {
            name: [round(q, 3) for q in quartiles(times["bare"] / times[name])] for name in LAST
        },
        "turns": len(rows),
        "resident MB after each turn": [mb and round(mb) for mb in held],
        "peak resident MB": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--count", type=int, default=20_000, help="how many JPEGs")
    parser.add_argument("--turns", type=int, default=7, help="of each")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=HERE / "results" / "loader.json")
    arguments = parser.parse_args()

    with tempfile.TemporaryDirectory() as root:
        make_pictures(Path(root), arguments.count)
        load_before = os.getloadavg()
        found = measure(root, arguments.turns, arguments.threads)
    result = {
        "command": "python benchmarks/" + " ".join([Path(__file__).name, *sys.argv[1:]]),
        "what": f"{arguments.count} JPEGs of 200×150 to {SIDE}×{SIDE}, {arguments.threads} threads "
        "each, in turn; [lower quartile, median, upper]",
        "machine": machine(),
        "load before and after": [round(load_before[0], 1), round(os.getloadavg()[0], 1)],
        **found,
    }
    arguments.out.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
    print(json.dumps(found, indent=1))
    print("wrote", arguments.out)


if __name__ == "__main__":
    main()
