"""One call of a kernel for each operation and pass: arrays in, arrays out, as ops call it.

The arrays lie where the rung computes: NumPy's, or on a GPU.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from minicnn.device import host
from minicnn.kernels import paths

Arrays = dict[str, np.ndarray]
Arguments = dict[str, Any]
SLOPE = 0.01  # of leaky_relu


@dataclass
class Prepared:
    """What the host asks for: `run()` computes once, `outputs()` gives the results by name.

    `path` is known after `outputs()`: which of the rung's ways a convolution took.
    """

    run: Callable[[], Any]
    outputs: Callable[[], Arrays]
    path: str = ""


def calls(run: Callable[[], Any], *names: str) -> Prepared:
    """A kernel's call; of a tuple of results, the first ones have these names."""

    def outputs() -> Arrays:
        with paths.listening() as taken:
            result = run()
        prepared.path = ", ".join(taken)
        found = result if isinstance(result, tuple) else (result,)
        return dict(zip(names, map(host, found), strict=False))

    prepared = Prepared(run, outputs)
    return prepared


# ------------------------------------------------------------------------------------ layers


def conv2d(k: Any, pass_: str, arguments: Arguments, a: Arrays) -> Prepared:
    stride, padding, groups = operator.itemgetter("stride", "padding", "groups")(arguments)
    geometry = (stride, stride), (padding, padding), (1, 1), groups
    if pass_ == "forward":
        return calls(lambda: k.conv2d(a["x"], a["w"], a["b"], *geometry), "y")
    if pass_ == "input gradient":
        shape = a["x"].shape
        return calls(lambda: k.conv2d_input_grad(a["dy"], a["w"], shape, *geometry), "dx")
    shape = a["w"].shape
    return calls(lambda: k.conv2d_weight_grad(a["dy"], a["x"], shape, *geometry), "dw")


def linear(k: Any, pass_: str, arguments: Arguments, a: Arrays) -> Prepared:
    if pass_ == "forward":
        return calls(lambda: k.linear(a["x"], a["w"], a["b"]), "y")
    if pass_ == "input gradient":
        return calls(lambda: k.linear_input_grad(a["dy"], a["w"]), "dx")
    return calls(lambda: k.linear_weight_grad(a["dy"], a["x"]), "dw")


# ----------------------------------------------------------------------------------- pooling


def max_pool2d(k: Any, pass_: str, arguments: Arguments, a: Arrays) -> Prepared:
    window = (*_window(arguments), (1, 1), False)
    x = a["x"]
    if pass_ == "forward":
        return calls(lambda: k.max_pool2d(x, *window), "y")
    _, indices = k.max_pool2d(x, *window)
    return calls(lambda: k.max_pool2d_grad(a["dy"], indices, x.shape), "dx")


def avg_pool2d(k: Any, pass_: str, arguments: Arguments, a: Arrays) -> Prepared:
    window = (*_window(arguments), False, True, None)
    if pass_ == "forward":
        return calls(lambda: k.avg_pool2d(a["x"], *window), "y")
    return calls(lambda: k.avg_pool2d_grad(a["dy"], a["x"].shape, *window), "dx")


def adaptive_avg_pool2d(k: Any, pass_: str, arguments: Arguments, a: Arrays) -> Prepared:
    size = arguments["output"], arguments["output"]
    if pass_ == "forward":
        return calls(lambda: k.adaptive_avg_pool2d(a["x"], size), "y")
    return calls(lambda: k.adaptive_avg_pool2d_grad(a["dy"], a["x"].shape), "dx")


def _window(arguments: Arguments) -> tuple[tuple[int, int], ...]:
    return tuple((arguments[name],) * 2 for name in ("kernel", "stride", "padding"))


# ------------------------------------------------------------------------------------- norms


def batch_norm(k: Any, pass_: str, arguments: Arguments, a: Arrays) -> Prepared:
    x, weight, bias, eps = _rows(a["x"]), a["weight"], a["bias"], arguments["eps"]

    def forward() -> Any:
        given = pass_ == "inference"
        mean, var = (a["running mean"], a["running var"]) if given else k.batch_moments(x)
        return k.batch_norm(x, mean, var, weight, bias, eps).reshape(a["x"].shape)

    if pass_ in ("forward", "inference"):
        return calls(forward, "y")
    dy, (mean, var) = _rows(a["dy"]), k.batch_moments(x)

    def gradient() -> tuple[Any, ...]:
        dweight, dbias = k.batch_norm_weight_grad(dy, x, mean, var, eps)
        dx = k.batch_norm_input_grad(dy, x, mean, var, weight, dweight, dbias, eps)
        return dx.reshape(a["x"].shape), dweight, dbias

    return calls(gradient, "dx", "dweight", "dbias")


def response_norm(k: Any, pass_: str, arguments: Arguments, a: Arrays) -> Prepared:
    x, shape = _rows(a["x"]), a["x"].shape
    options = operator.itemgetter("size", "alpha", "beta", "k")(arguments)
    if pass_ == "forward":
        return calls(lambda: k.response_norm(x, *options).reshape(shape), "y")
    dy = _rows(a["dy"])
    return calls(lambda: k.response_norm_grad(dy, x, *options).reshape(shape), "dx")


def _rows(x: np.ndarray) -> np.ndarray:
    """(N,C,…) as (N,C,L), in the same memory."""
    return x.reshape(*x.shape[:2], -1)


# ------------------------------------------------------------------------------- activations


def from_output(op: str) -> Callable[..., Prepared]:
    """An activation whose gradient is computed from its output y."""

    def prepare(k: Any, pass_: str, arguments: Arguments, a: Arrays) -> Prepared:
        forward, backward = getattr(k, op), getattr(k, f"{op}_grad")
        x, shape = _rows(a["x"]), a["x"].shape
        if pass_ == "forward":
            return calls(lambda: forward(x).reshape(shape), "y")
        y, dy = forward(x), _rows(a["dy"])
        return calls(lambda: backward(dy, y).reshape(shape), "dx")

    return prepare


def from_input(op: str, *options: Any) -> Callable[..., Prepared]:
    """An activation whose gradient is computed from its input x."""

    def prepare(k: Any, pass_: str, arguments: Arguments, a: Arrays) -> Prepared:
        forward, backward = getattr(k, op), getattr(k, f"{op}_grad")
        if pass_ == "forward":
            return calls(lambda: forward(a["x"], *options), "y")
        return calls(lambda: backward(a["dy"], a["x"], *options), "dx")

    return prepare


CALLS: dict[str, Callable[..., Prepared]] = {
    "conv2d": conv2d,
    "linear": linear,
    "max_pool2d": max_pool2d,
    "avg_pool2d": avg_pool2d,
    "adaptive_avg_pool2d": adaptive_avg_pool2d,
    "batch_norm": batch_norm,
    "response_norm": response_norm,
    **{op: from_output(op) for op in ("relu", "sigmoid", "tanh")},
    "leaky_relu": from_input("leaky_relu", SLOPE),
    "silu": from_input("silu"),
    "gelu": from_input("gelu", "none"),
    "softmax": from_output("softmax"),
    "log_softmax": from_output("log_softmax"),
}
