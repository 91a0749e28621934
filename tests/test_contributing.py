"""CONTRIBUTING's worked example, followed to the letter in a copy of the project."""

import pathlib
import re
import shutil
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent

# Where the page says that each of its blocks goes, in the order of the blocks.
PLACES = [
    "kernels/reference/activation.py",
    "kernels/cpu/activation.py",
    "minicnn/ops/activation.py",
    "minicnn/nn/activations.py",
    "tests/test_ops.py",
    "minicnn/contract/families/activation.py",
    "tests/kernel_families/activation.py",
    "tests/gradients/gradient_cases.py",
]


@pytest.mark.slow
def test_adding_softsign_as_the_page_says_works(tmp_path):
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    worked = page[page.index("## Adding an operation") : page.index("## Dependencies")]
    blocks = re.findall(r"```(?:python|text)\n(.*?)```", worked, re.DOTALL)
    assert len(blocks) == len(PLACES)
    positions = [worked.index(block) for block in blocks]
    for place, block, position in zip(PLACES, blocks, positions, strict=True):
        assert place in worked[:position], f"{place} is not named before its block: {block[:60]}"

    copy = tmp_path / "project"
    for folder in ("minicnn", "tests"):
        shutil.copytree(
            ROOT / folder, copy / folder, ignore=shutil.ignore_patterns("kernels", "__pycache__")
        )
    shutil.copytree(
        ROOT / "kernels", copy / "kernels", ignore=shutil.ignore_patterns("__pycache__")
    )
    (copy / "minicnn" / "kernels").symlink_to("../kernels")
    shutil.copy(ROOT / "pyproject.toml", copy)

    def edit(path, change):
        file = copy / path
        before = file.read_text(encoding="utf-8")
        after = change(before)
        assert after != before, path
        file.write_text(after, encoding="utf-8")

    def joins(path, after, names):
        edit(path, lambda text: text.replace(after, after + names, 1))

    joins(PLACES[-1], '    op("silu", "", X(4, 5)),\n', blocks[-1])
    for place, block in zip(PLACES[:-1], blocks[:-1], strict=True):
        edit(place, lambda text, block=block: f"{text}\n\n{block}")
    for rung in ("reference", "cpu"):
        init = f"kernels/{rung}/__init__.py"
        joins(init, "from .activation import (", "softsign, softsign_grad,")
        joins(init, "__all__ = [", '"softsign", "softsign_grad",')
    joins(
        "minicnn/ops/activation.py",
        "from typing import Any\n",
        "from minicnn.ops.elementwise import require_float\n",
    )
    joins("minicnn/nn/functional.py", "from minicnn.ops.activation import (", "softsign,")
    joins("minicnn/nn/functional.py", "__all__ = [", '"softsign",')
    joins("minicnn/nn/__init__.py", "from minicnn.nn.activations import (", "Softsign,")
    tests = ["tests/test_ops.py", "tests/test_kernel_contract.py", "tests/test_contract.py"]
    tests += ["tests/gradients/test_gradients.py", "tests/test_error_style.py"]
    environment = {"PYTHONPATH": str(copy), "HOME": str(tmp_path)}
    which = "oftsign or family or signature or has_cases or in_the_table or message"
    run = subprocess.run(
        [sys.executable, "-m", "pytest", *tests, "-vv", "-k", which],
        cwd=copy,
        env=environment | {"MINICNN_CACHE_DIR": str(tmp_path / "cache")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-4000:] + run.stderr[-2000:]
    for test in (
        "test_softsign[numba-float32]",
        "test_generated_case[Softsign-numpy-float64]",
        "test_generated_case[Softsign-numba-float32]",
        "test_every_kernel_is_in_a_family",
        "test_every_kernel_has_cases",
        "test_every_function_of_nn_functional_is_in_the_table",
        "test_every_function_of_the_tape_is_in_the_table",
        "test_every_layer_is_in_the_table",
    ):
        assert re.search(re.escape(test) + r".* PASSED|PASSED.*" + re.escape(test), run.stdout), (
            test
        )
