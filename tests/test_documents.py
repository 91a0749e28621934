"""Every example in the README, CONTRIBUTING and the tutorials is run, and its numbers compared."""

import doctest
import importlib.util
import json
import pathlib
import re

import numpy as np
import pytest

import minicnn
from minicnn import data, datasets, models, nn, optim

ROOT = pathlib.Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "tutorials").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_examples_on_the_page_print_what_it_says(page):
    minicnn.manual_seed(0)
    # Each block ends before its closing fence, which would otherwise count as expected output.
    text = page.read_text(encoding="utf-8").replace("```", "")
    test = doctest.DocTestParser().get_doctest(text, {}, page.name, str(page), 0)
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    report: list[str] = []
    runner.run(test, out=report.append)
    assert runner.failures == 0, "".join(report)


def test_pages_with_examples_have_some():
    tutorials = [page for page in PAGES if page.name[0].isdigit()]
    assert tutorials
    for page in tutorials:
        assert page.read_text(encoding="utf-8").count(">>>") >= 5, page


def test_the_readmes_plain_loop_and_the_trainer_give_the_same_bits():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (loop,) = re.findall(r"```python\n(import .*?)```", readme, re.DOTALL)
    assert "range(20)" in loop
    names: dict = {}
    exec(loop.replace("range(20)", "range(1)"), names)

    minicnn.manual_seed(0)
    model = models.cat_dog_cnn_1_3(in_channels=1, image_size=28, num_classes=2)
    loader = data.DataLoader(datasets.CatsVsDogs("train"), batch_size=32, shuffle=True)
    optimizer = optim.Adam(model.parameters(), lr=2e-3)
    minicnn.Trainer(model, optimizer, nn.CrossEntropyLoss()).fit(loader, progress=False)

    plain, trained = names["model"].state_dict(), model.state_dict()
    assert plain.keys() == trained.keys()
    for name in plain:
        np.testing.assert_array_equal(plain[name].numpy(), trained[name].numpy(), name)


def test_the_readme_has_the_two_commands_on_one_line_each():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    commands = re.findall(r"```bash\n(python3 -m venv [^\n]*)\n```", readme)
    assert len(commands) == 2
    assert commands[0].endswith("&& minicnn train")
    assert commands[1].endswith("&& pytest")


def test_the_readmes_figures_are_those_of_the_result_files():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    results = ROOT / "benchmarks" / "results"
    accuracy = json.loads((results / "cats_vs_dogs.json").read_text(encoding="utf-8"))
    best = [run["best validation accuracy"] for run in accuracy["runs"]]
    said = re.search(
        r"accuracy of ([\d.]+) % with the default seed, ([\d.]+) % on average over (\d+) seeds, "
        r"in (\d+) s of training",
        " ".join(readme.split()),
    )
    assert said is not None
    assert said.groups() == (
        f"{100 * best[0]:.1f}",
        f"{100 * sum(best) / len(best):.1f}",
        f"{len(best)}",
        f"{accuracy['median training seconds']:.0f}",
    )

    ladder = script("ladder")
    measured = json.loads((results / "ladder.json").read_text(encoding="utf-8"))
    assert ladder.table(measured) in readme
    step = measured["training step"]
    numba, numpy, ratio = (step[k][1] for k in ("numba ms", "numpy ms", "numba over numpy"))
    assert f"takes {numba:.1f} ms on numba, {numpy:.1f} ms on numpy: {ratio:.1f}×" in readme


def test_the_figures_against_pytorch_are_those_of_the_result_file():
    against = script("against")
    measured = against.load(ROOT / "benchmarks" / "results" / "seeds.json")
    page = (ROOT / "benchmarks" / "README.md").read_text(encoding="utf-8")
    assert against.table(measured, "numba") in page
    mean, worst = against.summary(measured, "numba")
    assert f"Geometric mean {mean:.2f}×" in " ".join(page.split())
    readme = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    assert (
        f"numba is {mean:.2f} times as fast in the geometric mean, {worst:.2f} times in the worst"
        in readme
    )


def script(name):
    """A file of the folder benchmarks, as a module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "benchmarks" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
