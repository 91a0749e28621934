"""Pooling, normalisation, activations, optimizer steps: passes over memory with little arithmetic.

Their FLOPs count as 0, and what limits them is copying: see GB/s.
"""

from __future__ import annotations

from typing import Any

from minicnn.bench.cases import FLOAT, Batches, Case, Shape, Shapes, traffic
from minicnn.bench.model_cases import ALEXNET, CAT_DOG, parameter_shapes
from minicnn.kernels.shapes import pool_output_size

BATCH = 32
# channels, side, kernel, stride, padding: after each convolution of AlexNet and of cat/dog 1.3
MAX_POOLS = (
    (64, 55, 3, 2, 0),
    (192, 27, 3, 2, 0),
    (32, 158, 2, 2, 0),
    (32, 77, 2, 2, 0),
    (64, 56, 3, 2, 1),
)
AVERAGE_POOLS = ((32, 158, 2, 2, 0), (64, 56, 3, 2, 1))
ADAPTIVE = ((256, 2, 6), (256, 13, 6), (512, 7, 1))  # channels, side in, side out
NORMS = ((64, 27), (192, 13), (32, 79))  # channels, side
LARGE, SOFT = (32, 79), (1000,)  # what follows N in the inputs of activations, and of softmax
ACTIVATIONS = ("relu", "leaky_relu", "sigmoid", "tanh", "silu", "gelu")


def pooling(batches: Batches) -> list[Case]:
    """Max, average and adaptive pooling, and their gradients."""
    found = []
    for batch in batches or (BATCH,):
        for sizes in MAX_POOLS:
            found += _pool("max_pool2d", "max pool", sizes, batch)
        for sizes in AVERAGE_POOLS:
            found += _pool("avg_pool2d", "average pool", sizes, batch)
        for C, side, P in ADAPTIVE:
            name = f"adaptive average pool {C} {side}²→{P}²"
            x, y = (batch, C, side, side), (batch, C, P, P)
            found += both("pooling", name, "adaptive_avg_pool2d", {"output": P}, x, y)
    return found


def norm(batches: Batches) -> list[Case]:
    """BatchNorm on a batch's statistics and on running ones, and local response normalisation.

    Statistics need all of x before the first result: x is read twice forward, and backward both x
    and dy are.
    """
    found = []
    for batch in batches or (BATCH,):
        for C, side in NORMS:
            x = (batch, C, side, side)
            name = f"batch norm {C} {side}²"
            vectors: Shapes = dict.fromkeys(("weight", "bias"), (C,))
            running: Shapes = dict.fromkeys(("running mean", "running var"), (C,))
            arguments = {"eps": 1e-5}
            parts = (
                ("forward", {"x": x, **vectors}, traffic(x, x, x)),
                ("gradient", {"x": x, **vectors, "dy": x}, traffic(x, x, x, x, x)),
                ("inference", {"x": x, **vectors, **running}, traffic(x, x)),
            )
            for pass_, tensors, moved in parts:
                found.append(
                    Case("norm", name, "batch_norm", pass_, batch, arguments, tensors, 0, moved)
                )
        x = (batch, 64, 27, 27)
        arguments = {"size": 5, "alpha": 1e-4, "beta": 0.75, "k": 2.0}
        found += both("norm", "local response norm 64 27²", "response_norm", arguments, x, x)
    return found


def activations(batches: Batches) -> list[Case]:
    """Elementwise activations on images, and softmax over a thousand classes."""
    found = []
    for batch in batches or (BATCH,):
        C, side = LARGE
        x: Shape = (batch, C, side, side)
        for op in ACTIVATIONS:
            found += both("activations", f"{op} {C} {side}²", op, {}, x, x)
        x = (batch, *SOFT)
        for op in ("softmax", "log_softmax"):
            found += both("activations", f"{op} {SOFT[0]}", op, {}, x, x)
    return found


def optimizers(batches: Batches) -> list[Case]:
    """Steps of Adam, and of SGD with momentum, over all parameters of the two course networks."""
    found = []
    for title in (CAT_DOG, ALEXNET):
        shapes = parameter_shapes(title)
        tensors: Shapes = {}
        for i, shape in enumerate(shapes):
            tensors |= {f"parameter {i}": shape, f"grad {i}": shape}
        numbers = traffic(*shapes)
        for op, moved, arguments in (
            ("adam", 7 * numbers, {"lr": 0.01}),  # reads w, g, m, v; writes w, m, v
            ("sgd", 5 * numbers, {"lr": 0.01, "momentum": 0.9}),  # reads w, g, u; writes w, u
        ):
            name = f"{op} over {title}, {numbers / FLOAT / 1e6:.1f} M"
            found.append(Case("optimizers", name, op, "step", 0, arguments, tensors, 0, moved))
    return found


def _pool(op: str, title: str, sizes: tuple[int, ...], batch: int) -> list[Case]:
    C, side, kernel, stride, padding = sizes
    P = pool_output_size(side, kernel, stride, padding)
    name = f"{title} {C} {side}² k{kernel} s{stride}" + f" p{padding}" * (padding > 0)
    arguments = {"kernel": kernel, "stride": stride, "padding": padding}
    return both("pooling", name, op, arguments, (batch, C, side, side), (batch, C, P, P))


def both(
    suite: str, name: str, op: str, arguments: dict[str, Any], x: Shape, y: Shape
) -> list[Case]:
    """An operation of one array, and its gradient; that reads dy and one more array of x's size."""
    tensors: Shapes = {"x": x, "dy": y}
    return [
        Case(suite, name, op, "forward", x[0], arguments, {"x": x}, 0, traffic(x, y)),
        Case(suite, name, op, "gradient", x[0], arguments, tensors, 0, traffic(x, y, x)),
    ]
