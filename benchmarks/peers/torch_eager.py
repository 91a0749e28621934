"""The peer "torch": PyTorch as its users run it, eager; run by minicnn's bench/host.py."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

Arrays = dict[str, np.ndarray]
WANTED = {"input gradient": ("x",), "weight gradient": ("w",)}


def start(count: int, options: dict[str, Any]) -> dict[str, str]:
    torch.set_num_threads(count)
    return {"torch": torch.__version__, "numpy": np.__version__}


def prepare(case: dict[str, Any], arrays: Arrays) -> Any:
    if case["op"] not in FORWARD:
        raise NotImplementedError(f"no {case['op']}")
    tensors = {name: torch.from_numpy(a) for name, a in arrays.items()}
    forward = FORWARD[case["op"]](case["arguments"], tensors)
    if case["pass_"] == "forward":
        run = without_gradient(forward)
    else:
        run = gradient(forward, tensors, WANTED[case["pass_"]])
    return SimpleNamespace(run=run, outputs=lambda: named(run()))


def without_gradient(forward: Callable[[], Any]) -> Callable[[], Any]:
    return torch.no_grad()(forward)


def gradient(
    forward: Callable[[], Any], tensors: dict[str, Any], wanted: tuple[str, ...]
) -> Callable[[], Any]:
    """Backward through a graph that is kept: the forward pass is not computed again."""
    for name in wanted:
        tensors[name].requires_grad_()
    y, leaves = forward(), [tensors[name] for name in wanted]
    return lambda: torch.autograd.grad(y, leaves, tensors["dy"], retain_graph=True)


def named(result: Any) -> Arrays:
    tensors = result if isinstance(result, tuple) else (result,)
    return {f"output {i}" if i else "output": t.detach().numpy() for i, t in enumerate(tensors)}


def conv2d(arguments: dict[str, Any], t: dict[str, Any]) -> Callable[[], Any]:
    s, p, g = arguments["stride"], arguments["padding"], arguments["groups"]
    return lambda: F.conv2d(t["x"], t["w"], t.get("b"), stride=s, padding=p, groups=g)


def linear(arguments: dict[str, Any], t: dict[str, Any]) -> Callable[[], Any]:
    return lambda: F.linear(t["x"], t["w"], t.get("b"))


FORWARD = {"conv2d": conv2d, "linear": linear}
