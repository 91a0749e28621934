"""Errors in one style: the op, what came, and a remedy. The sources are read, not the messages.

The words themselves are tested where each op is; here only that no message ends with the complaint.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import minicnn
import minicnn.errors
from minicnn import nn, optim
from minicnn.errors import MiniCNNError

ROOT = Path(__file__).resolve().parent.parent
OURS = {
    name
    for name, value in vars(minicnn.errors).items()
    if isinstance(value, type) and issubclass(value, MiniCNNError)
}


def raised(source: str) -> Iterator[tuple[int, str]]:
    """(line, message as source text) of each of our errors that is raised with a message."""
    for node in ast.walk(ast.parse(source)):
        call = node.exc if isinstance(node, ast.Raise) else None
        if isinstance(call, ast.Call) and ast.unparse(call.func).split(".")[-1] in OURS:
            yield node.lineno, ast.unparse(call.args[0])


def lacks_remedy(message: str) -> bool:
    """Whether a literal message is a single sentence; one that is put together elsewhere passes."""
    literal = message.startswith(("'", '"', "f'", 'f"'))
    return literal and not any(part in message for part in (". ", "; ", "{_diagnosis"))


def messages() -> Iterator[tuple[str, str]]:
    """(place, message as source text) of every error of ours in the whole house."""
    for folder in ("minicnn", "kernels"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            if path.is_relative_to(ROOT / "minicnn" / "kernels"):
                continue  # the link to the folder above
            for line, message in raised(path.read_text(encoding="utf-8")):
                yield f"{path.relative_to(ROOT)}:{line}: {message}", message


def test_every_message_says_what_to_do():
    found = [place for place, message in messages() if lacks_remedy(message)]
    assert not found, "\n".join(found)


def test_no_message_has_two_spaces_where_its_parts_meet():
    found = [place for place, message in messages() if "  " in message]
    assert not found, "\n".join(found)


def test_the_reader_of_messages_sees_them():
    source = """
def f(x):
    raise ShapeError(f"op: got {x}")
    raise errors.ArgumentError("op: got a. Use b.")
    raise ValueError("op: got x")
    raise reason
"""
    messages = [message for _, message in raised(source)]
    assert [lacks_remedy(m) for m in messages] == [True, False]


RAW = {
    "load_state_dict of None": lambda: nn.Linear(2, 2).load_state_dict(None),
    "load_state_dict of a list": lambda: nn.Linear(2, 2).load_state_dict([1]),
    "optimizer's load_state_dict of None": lambda: optim.SGD(
        nn.Linear(2, 2).parameters(), lr=0.1
    ).load_state_dict(None),
    "a group without parameters": lambda: optim.Adam([{"p": 1}]),
    "a group of no tensor": lambda: optim.Adam([{"params": 1}]),
    "parameters that are a number": lambda: optim.SGD(3, lr=0.1),
    "summary of a number": lambda: minicnn.summary(3, (1, 28, 28)),
    "summary of an odd size": lambda: minicnn.summary(nn.Linear(2, 2), "large"),
    "matmul of vectors that differ": lambda: minicnn.ones(2) @ minicnn.ones(3),
    "mm of a batch": lambda: minicnn.mm(minicnn.ones(2, 2, 2), minicnn.ones(2, 2, 2)),
    "bmm of matrices": lambda: minicnn.bmm(minicnn.ones(2, 2), minicnn.ones(2, 2)),
    "a layer called with a list": lambda: nn.Linear(2, 2)([1.0, 2.0]),
    "a layer called with nothing": lambda: nn.Linear(2, 2)(),
}


@pytest.mark.parametrize("case", RAW)
def test_what_used_to_be_a_raw_python_error(case):
    with pytest.raises((MiniCNNError, TypeError)) as error:
        RAW[case]()
    text = str(error.value)
    assert "\n" not in text
    if not isinstance(error.value, MiniCNNError):  # Python's own words about a call
        assert "missing 1 required positional argument" in text
    else:
        assert ". " in text
