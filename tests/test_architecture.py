"""The house's rules, read from its sources: imports go down, frameworks stay out, few load."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# The longest prefix counts. A module that finds none fails the test: give it a floor.
FLOORS = {
    "minicnn.kernels": 0,
    "minicnn.errors": 1,
    "minicnn.dtypes": 1,
    "minicnn.device": 1,
    "minicnn.cuda": 1,
    "minicnn.grad_mode": 1,
    "minicnn.autograd": 1,
    "minicnn.ops": 2,
    "minicnn.random": 3,
    "minicnn.printing": 3,
    "minicnn.methods": 3,
    "minicnn.tensor": 3,
    "minicnn.creation": 3,
    "minicnn.functions": 3,
    "minicnn.nn": 4,
    "minicnn.optim": 4,
    "minicnn.io": 4,
    "minicnn.data": 4,
    "minicnn.utils": 4,  # utils.data is data under PyTorch's name
    "minicnn.transforms": 4,
    "minicnn.datasets": 4,
    "minicnn.models": 5,
    "minicnn.training": 6,
    "minicnn.bench": 6,
    "minicnn.plot": 6,
    "minicnn.shapes_only": 6,  # summary's rung
    "minicnn.summary": 6,
    "minicnn.doctor": 6,
    "minicnn.contract": 6,
    "minicnn.shapes": 1,
    "minicnn": 7,  # the public face imports all that it offers
    "minicnn.cli": 8,
    "minicnn.__main__": 8,
}

FRAMEWORKS = {"torch", "torchvision", "tensorflow", "keras", "jax", "jaxlib", "mxnet", "paddle"}
# Where the array libraries that the engine does use may be named.
ALLOWED = {
    "cupy": ("minicnn.kernels.gpu", "minicnn.kernels", "minicnn.device", "minicnn.doctor"),
    "numba": ("minicnn.kernels.cpu", "minicnn.kernels.threads", "minicnn.doctor"),
    "llvmlite": ("minicnn.kernels.cpu", "minicnn.doctor"),
}


def sources() -> Iterator[tuple[str, Path]]:
    """Every module of the package by its dotted name."""
    for folder, package in ((ROOT / "kernels", "minicnn.kernels"), (ROOT / "minicnn", "minicnn")):
        for path in sorted(folder.rglob("*.py")):
            parts = path.relative_to(folder).with_suffix("").parts
            if package == "minicnn" and parts[0] == "kernels":
                continue  # the link to the folder above
            yield ".".join([package, *parts]).removesuffix(".__init__"), path


MODULES = dict(sources())


def imports(module: str, source: str, package: bool) -> Iterator[str]:
    """The dotted names that a module imports anywhere in it, but for type checkers alone."""
    here = module.split(".") if package else module.split(".")[:-1]
    tree, hidden = ast.parse(source), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            hidden |= {id(inner) for statement in node.body for inner in ast.walk(statement)}
    for node in ast.walk(tree):
        if id(node) in hidden:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = here[: len(here) - node.level + 1] if node.level else []
            name = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:
                # `from minicnn import nn` imports the module minicnn.nn
                inner = f"{name}.{alias.name}"
                yield inner if inner in MODULES else name


def floor_of(module: str) -> int:
    parts = module.split(".")
    for end in range(len(parts), 0, -1):
        prefix = ".".join(parts[:end])
        if prefix in FLOORS and (prefix != "minicnn" or module == "minicnn"):
            return FLOORS[prefix]
    raise AssertionError(f"{module} has no floor: add it to FLOORS in {Path(__file__).name}")


def imported_by(module: str) -> list[str]:
    path = MODULES[module]
    return [*imports(module, path.read_text(encoding="utf-8"), path.name == "__init__.py")]


@pytest.mark.parametrize("module", MODULES)
def test_imports_go_down(module):
    mine = floor_of(module)
    upward = {
        f"{name} (floor {floor_of(name)})"
        for name in imported_by(module)
        if name.split(".")[0] == "minicnn" and floor_of(name) > mine
    }
    assert not upward, f"{module} (floor {mine}) imports upward: {', '.join(sorted(upward))}"


def test_kernels_know_no_tensor():
    for module in MODULES:
        if module.startswith("minicnn.kernels"):
            outside = {
                name
                for name in imported_by(module)
                if name.startswith("minicnn") and not name.startswith("minicnn.kernels")
            }
            assert not outside, (module, outside)


@pytest.mark.parametrize("module", MODULES)
def test_frameworks_stay_outside_and_each_array_library_in_its_place(module):
    for name in imported_by(module):
        top = name.split(".")[0]
        assert top not in FRAMEWORKS, f"{module} imports {name}"
        places = ALLOWED.get(top)
        if places is not None:
            at_home = any(
                module == place or (place.count(".") > 1 and module.startswith(place + "."))
                for place in places
            )
            assert at_home, f"{module} imports {name}, which belongs in {places}"


def test_frameworks_are_named_only_in_tests_and_peers():
    for folder in ("minicnn", "kernels", "benchmarks", "tutorials", "scripts"):
        for path in (ROOT / folder).rglob("*.py"):
            if "peers" in path.parts or "kernels" in path.parts[len(ROOT.parts) + 1 :]:
                continue
            tree = ast.parse(path.read_text(encoding="utf-8"))
            for node in ast.walk(tree):
                names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
                names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
                found = {n.split(".")[0] for n in names} & FRAMEWORKS
                assert not found, f"{path.relative_to(ROOT)} imports {found}"


def test_the_reader_of_imports_sees_them_all():
    """The rules above are only as good as this reader: it is shown every form of import."""
    source = """
from __future__ import annotations
import os, minicnn.nn as n
from typing import TYPE_CHECKING
from . import conv
from ..errors import ShapeError
from minicnn import plot, no_grad
if TYPE_CHECKING:
    import torch
def lazily():
    import jax.numpy
    try:
        from minicnn.training import Trainer
    except ImportError:
        pass
"""
    found = {*imports("minicnn.kernels.cpu.pool", source, package=False)}
    assert found == {
        "__future__", "os", "minicnn.nn", "typing", "minicnn.kernels.cpu.conv",
        "minicnn.kernels.errors", "minicnn.plot", "minicnn", "jax.numpy", "minicnn.training",
    }  # fmt: skip
    assert {*imports("minicnn.kernels", "from .errors import X", package=True)} == {
        "minicnn.kernels.errors"
    }
    assert floor_of("minicnn.kernels.cpu.conv") == 0
    assert floor_of("minicnn.nn.functional") == 4
    with pytest.raises(AssertionError, match="no floor"):
        floor_of("minicnn.attic")


# ------------------------------------------------------------------------------ a fresh interpreter


def fresh(code: str) -> str:
    """What `code` prints in an interpreter that has imported nothing."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPROFILEIMPORTTIME"}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        env=environment,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_import_loads_nothing_heavy():
    loaded = fresh("import minicnn, sys; print(*sys.modules)").split()
    tops = {name.split(".")[0] for name in loaded}
    heavy = {"numba", "llvmlite", "matplotlib", "torch", "PIL", "click", "cupy", "scipy", "pandas"}
    assert not tops & heavy
    assert "minicnn.kernels.cpu" not in loaded
    assert not {"zipfile", "urllib.request", "pooch", "csv", "difflib"} & {*loaded}


def test_what_is_imported_when_first_asked_for():
    """The names are there from the start; what they stand for is loaded with them, not before."""
    code = """
import sys, minicnn
names = ["History", "Trainer", "datasets", "io", "load", "models", "save", "training", "transforms"]
modules = ["datasets", "io", "models", "training", "transforms"]
assert {*names} <= {*dir(minicnn)}
assert not any(f"minicnn.{name}" in sys.modules for name in modules)
model = minicnn.models.create("fcnet")
assert "minicnn.datasets" not in sys.modules
assert minicnn.Trainer is minicnn.training.Trainer and minicnn.load is minicnn.io.load_torch
assert minicnn.History is minicnn.training.History and minicnn.save is minicnn.io.save_torch
from minicnn import datasets, transforms
assert minicnn.datasets is datasets and minicnn.transforms is transforms
try:
    minicnn.attic
except AttributeError as error:
    print(error)
"""
    assert fresh(code) == "module 'minicnn' has no attribute 'attic'"


def test_a_network_on_the_numpy_rung_needs_no_numba():
    code = """
import sys, minicnn
with minicnn.use_backend("numpy"):
    layer = minicnn.nn.Conv2d(1, 2, 3)
    layer(minicnn.rand(1, 1, 8, 8)).sum().backward()
print("numba" in sys.modules)
"""
    assert fresh(code) == "False"


def test_import_adds_less_than_three_tenths_of_a_second():
    code = """
import time
start = time.perf_counter()
import numpy
middle = time.perf_counter()
import minicnn
print(time.perf_counter() - middle)
"""
    best = min(float(fresh(code)) for _ in range(5))
    assert best < 0.3, f"import minicnn adds {best:.2f} s to import numpy"


def test_the_link_and_the_package_agree():
    import minicnn.kernels

    found = Path(minicnn.kernels.__file__).resolve().parent
    if found.is_relative_to(ROOT):
        assert found == ROOT / "kernels"


def test_each_family_has_one_file_name_on_every_floor():
    """Who knows where one rung's convolution is knows where the others are."""
    families = {"conv", "pool", "unfold", "activation", "loss", "dropout", "linear"}
    assert families <= {p.stem for p in (ROOT / "kernels" / "reference").glob("*.py")}
    assert families <= {p.stem for p in (ROOT / "minicnn" / "ops").glob("*.py")}
    for rung in ("cpu", "gpu"):
        for path in (ROOT / "kernels" / rung).glob("*.py"):
            if path.stem.startswith("_"):
                continue
            assert (ROOT / "kernels" / "reference" / path.name).exists(), path
