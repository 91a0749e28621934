"""AlexNet trained by minicnn and by its twin in PyTorch: do both end at the same accuracy?

    python benchmarks/alexnet_twin.py       # writes benchmarks/results/alexnet_twin.json

For each seed `minicnn train --model alexnet` on the shipped cats and dogs, enlarged to 128×128,
and peers/torch_alexnet.py: the same first weights, batches, dropout masks and epochs. In float32
the two drift apart like any two runs whose last bits differ; the accuracy after the last epoch must
not. It is taken on the validation and test images together, 498, none of them trained on.
"""

from __future__ import annotations

import argparse
import csv
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from minicnn import Trainer, models, nn
from minicnn.bench.machine import machine
from minicnn.cli.job import Job
from minicnn.cli.runs import Settings

HERE = Path(__file__).resolve().parent
TWIN = HERE / "peers" / "torch_alexnet.py"


def ours(seed: int, options: argparse.Namespace, folder: Path) -> dict:
    """Train with the command line, and evaluate the last epoch's weights."""
    command = [
        sys.executable, "-m", "minicnn", "train", "--model", "alexnet", "--data", "cats-vs-dogs",
        "--image-size", str(options.image_size), "--epochs", str(options.epochs),
        "--seed", str(seed), "--out", str(folder), "--no-pictures",
    ]  # fmt: skip
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    with open(folder / "history.csv", newline="") as file:
        validation = [float(row["val_accuracy"]) for row in csv.DictReader(file)]
    job = Job(Settings(model="alexnet", seed=seed, image_size=options.image_size))
    trainer = Trainer(models.load(folder / "last.safetensors"), None, nn.CrossEntropyLoss())
    test = trainer.evaluate(job.reading(job.test))["accuracy"]
    return {"validation": validation, "test": test}


def theirs(seed: int, options: argparse.Namespace) -> dict:
    command = [
        sys.executable, str(TWIN), "--seed", str(seed),
        "--epochs", str(options.epochs), "--image-size", str(options.image_size),
    ]  # fmt: skip
    said = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    validation = [epoch["val_accuracy"] for epoch in said["epochs"]]
    return {"torch": said["torch"], "validation": validation, "test": said["test"][1]}


def final(run: dict) -> float:
    """Accuracy after the last epoch; the two halves have 249 images each."""
    return (run["validation"][-1] + run["test"]) / 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--image-size", type=int, default=128)
    parser.add_argument("--out", type=Path, default=HERE / "results" / "alexnet_twin.json")
    options = parser.parse_args()
    runs = []
    for seed in range(options.seeds):
        with tempfile.TemporaryDirectory() as folder:
            row = {"seed": seed, "minicnn": ours(seed, options, Path(folder) / "run")}
        row["torch"] = theirs(seed, options)
        runs.append(row)
        print(seed, f"minicnn {final(row['minicnn']):.4f} torch {final(row['torch']):.4f}")
        means = {
            name: statistics.mean(final(r[name]) for r in runs) for name in ("minicnn", "torch")
        }
        result = {
            "command": "python benchmarks/" + " ".join([Path(__file__).name, *sys.argv[1:]]),
            "what": f"minicnn train --model alexnet --data cats-vs-dogs --image-size "
            f"{options.image_size} --epochs {options.epochs}, and the same in torch; "
            "accuracy after the last epoch on validation and test images",
            "machine": machine(),
            "mean accuracy": means,
            "minicnn minus torch, points": round(100 * (means["minicnn"] - means["torch"]), 2),
            "runs": runs,
        }
        options.out.write_text(json.dumps(result, indent=1) + "\n")
    print("wrote", options.out)


if __name__ == "__main__":
    main()
