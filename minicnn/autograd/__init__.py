"""Reverse-mode differentiation: a tape of Functions, walked backward in the order of its writing.

    function    what is written: Variable, Function, Node
    engine      how it is walked: backward, grad
    checking    whether a backward is right: gradcheck (with slopes, blame, hints)

Whether anything is written is decided in `minicnn.grad_mode`.
"""

from typing import Any

from minicnn.autograd.engine import backward, grad
from minicnn.autograd.function import Function, Node, Variable
from minicnn.grad_mode import (
    enable_grad,
    inference_mode,
    is_grad_enabled,
    no_grad,
    set_grad_enabled,
)

__all__ = [
    "Function",
    "Node",
    "Variable",
    "backward",
    "enable_grad",
    "grad",
    "gradcheck",
    "inference_mode",
    "is_grad_enabled",
    "no_grad",
    "set_grad_enabled",
]


def __getattr__(name: str) -> Any:
    if name == "gradcheck":  # loaded when first asked for: training does not need it
        from minicnn.autograd.checking import gradcheck

        return gradcheck
    raise AttributeError(f"module 'minicnn.autograd' has no attribute {name!r}")
