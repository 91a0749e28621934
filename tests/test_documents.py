"""Every example in the README, CONTRIBUTING and the tutorials is run, and its numbers compared."""

import doctest
import pathlib

import pytest

import minicnn

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
