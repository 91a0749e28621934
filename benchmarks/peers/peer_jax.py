"""The peer "jax": everything compiled by XLA, channels last. Run by bench/host.py.

Layouts are turned before anything is timed. A gradient is the compiled pullback alone: what it
needs of the forward pass is computed once. JAX has no setting for the number of threads, so the
process is kept on as many cores. Adam is written out, in the same compiled step as the gradients.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
from channels_last import SMALL, Arrays, Weights, images, operands, result

WANTED = {
    "input gradient": {"x": "dx"},
    "weight gradient": {"w": "dw"},
    "gradient": {"x": "dx", "weight": "dweight", "bias": "dbias"},
}
BETA1, BETA2, EPS = 0.9, 0.999, 1e-8

jax: Any = None
jnp: Any = None
lax: Any = None


def start(count: int, options: dict[str, Any]) -> dict[str, str]:
    """Put the process on its cores, and only then import JAX, which counts them."""
    global jax, jnp, lax
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:count])
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    import jax as jax_
    import jax.numpy as jnp_
    from jax import lax as lax_

    jax, jnp, lax = jax_, jnp_, lax_
    return {"jax": jax.__version__, "numpy": np.__version__}


def prepare(case: dict[str, Any], arrays: Arrays) -> Any:
    op, pass_, arguments = case["op"], case["pass_"], case["arguments"]
    if op == "model":
        return model(pass_, arguments, arrays)
    if op in ("adam", "sgd"):
        return optimizer(op, arguments, arrays)
    if op not in FORWARD:
        raise NotImplementedError(f"no {op}")
    t = {name: jnp.asarray(a) for name, a in operands(arrays).items()}
    wanted = {tensor: name for tensor, name in WANTED.get(pass_, {}).items() if tensor in t}
    if not wanted:
        run = waiting(jax.jit(lambda t: FORWARD[op](arguments, t)), t)
        return SimpleNamespace(run=run, outputs=lambda: {"y": result("y", run())})

    def forward(*leaves: Any) -> Any:
        return FORWARD[op](arguments, t | dict(zip(wanted, leaves, strict=True)))

    _, pullback = jax.jit(lambda *leaves: jax.vjp(forward, *leaves))(*(t[n] for n in wanted))
    run = waiting(jax.jit(lambda pullback, dy: pullback(dy)), pullback, t["dy"])

    def outputs() -> Arrays:
        return {n: result(n, g) for n, g in zip(wanted.values(), run(), strict=True)}

    return SimpleNamespace(run=run, outputs=outputs)


def waiting(function: Any, *inputs: Any) -> Callable[[], Any]:
    """A call that returns when the result is there; compiled now."""
    compiled = function.lower(*inputs).compile()
    return lambda: jax.block_until_ready(compiled(*inputs))


# -------------------------------------------------------------------------------- operations


def convolve(x: Any, w: Any, stride: int, padding: int, groups: int = 1) -> Any:
    return lax.conv_general_dilated(
        x, w, (stride, stride), [(padding, padding)] * 2,
        dimension_numbers=("NHWC", "HWIO", "NHWC"), feature_group_count=groups,
    )  # fmt: skip


def conv2d(a: dict[str, Any], t: dict[str, Any]) -> Any:
    y = convolve(t["x"], t["w"], a["stride"], a["padding"], a["groups"])
    return y + t["b"] if "b" in t else y


def linear(a: dict[str, Any], t: dict[str, Any]) -> Any:
    y = t["x"] @ t["w"].T
    return y + t["b"] if "b" in t else y


def windows(x: Any, first: Any, combine: Any, kernel: int, stride: int, padding: int) -> Any:
    edges = [(0, 0), (padding, padding), (padding, padding), (0, 0)]
    return lax.reduce_window(
        x, first, combine, (1, kernel, kernel, 1), (1, stride, stride, 1), edges
    )


def max_pool2d(a: dict[str, Any], t: dict[str, Any]) -> Any:
    return windows(t["x"], -jnp.inf, lax.max, a["kernel"], a["stride"], a["padding"])


def avg_pool2d(a: dict[str, Any], t: dict[str, Any]) -> Any:
    sums = windows(t["x"], 0.0, lax.add, a["kernel"], a["stride"], a["padding"])
    return sums / a["kernel"] ** 2


def adaptive(x: Any, P: int) -> Any:
    """Only where one of the sides divides the other: equal windows, or repeated pixels."""
    N, side, _, C = x.shape
    if P % side == 0:
        return jnp.repeat(jnp.repeat(x, P // side, axis=1), P // side, axis=2)
    if side % P:
        raise NotImplementedError(f"no adaptive pooling of {side}² to {P}²")
    return x.reshape(N, P, side // P, P, side // P, C).mean((2, 4))


def normalised(x: Any, mean: Any, var: Any, weight: Any, bias: Any, eps: float) -> Any:
    return (x - mean) * (weight * lax.rsqrt(var + eps)) + bias


def batch_norm(a: dict[str, Any], t: dict[str, Any]) -> Any:
    if "running mean" in t:
        mean, var = t["running mean"], t["running var"]
    else:
        mean, var = t["x"].mean((0, 1, 2)), t["x"].var((0, 1, 2))
    return normalised(t["x"], mean, var, t["weight"], t["bias"], a["eps"])


def response_norm(a: dict[str, Any], t: dict[str, Any]) -> Any:
    size, x = a["size"], t["x"]
    edges = [(0, 0)] * 3 + [(size // 2, (size - 1) // 2)]
    sums = lax.reduce_window(x * x, 0.0, lax.add, (1, 1, 1, size), (1, 1, 1, 1), edges)
    return x / (a["k"] + a["alpha"] / size * sums) ** a["beta"]


FORWARD: dict[str, Callable[[dict[str, Any], dict[str, Any]], Any]] = {
    "conv2d": conv2d,
    "linear": linear,
    "max_pool2d": max_pool2d,
    "avg_pool2d": avg_pool2d,
    "adaptive_avg_pool2d": lambda a, t: adaptive(t["x"], a["output"]),
    "batch_norm": batch_norm,
    "response_norm": response_norm,
    "relu": lambda a, t: jax.nn.relu(t["x"]),
    "leaky_relu": lambda a, t: jax.nn.leaky_relu(t["x"], 0.01),
    "sigmoid": lambda a, t: jax.nn.sigmoid(t["x"]),
    "tanh": lambda a, t: jnp.tanh(t["x"]),
    "silu": lambda a, t: jax.nn.silu(t["x"]),
    "gelu": lambda a, t: jax.nn.gelu(t["x"], approximate=False),
    "softmax": lambda a, t: jax.nn.softmax(t["x"], 1),
    "log_softmax": lambda a, t: jax.nn.log_softmax(t["x"], 1),
}


# -------------------------------------------------------------------- models and optimizers


def apply(layers: list[dict[str, Any]], p: Any, moving: Any, x: Any, mode: Any) -> tuple[Any, Any]:
    """Logits, and the moved statistics. `mode`: None infers, "plain" trains without dropout,
    a random key trains."""
    moved = dict(moving)
    for i, layer in enumerate(layers):
        op, name = layer["op"], layer.get("name")
        if op == "conv2d":
            w, b = p[f"{name}.weight"], p[f"{name}.bias"]
            x = convolve(x, w, layer["stride"], layer["padding"]) + b
        elif op == "linear":
            x = x @ p[f"{name}.weight"] + p[f"{name}.bias"]
        elif op == "relu":
            x = jax.nn.relu(x)
        elif op == "max_pool2d":
            x = windows(x, -jnp.inf, lax.max, layer["kernel"], layer["stride"], 0)
        elif op == "adaptive_avg_pool2d":
            x = adaptive(x, layer["output"])
        elif op == "flatten":
            x = x.reshape(len(x), -1)
        elif op == "batch_norm":
            mean, var = moving[f"{name}.running_mean"], moving[f"{name}.running_var"]
            if mode is not None:
                M, step = x.size // x.shape[-1], layer["momentum"]
                old, (mean, var) = (mean, var), (x.mean((0, 1, 2)), x.var((0, 1, 2)))
                moved[f"{name}.running_mean"] = (1 - step) * old[0] + step * mean
                moved[f"{name}.running_var"] = (1 - step) * old[1] + step * var * (M / (M - 1))
            x = normalised(x, mean, var, p[f"{name}.weight"], p[f"{name}.bias"], layer["eps"])
        elif op == "dropout" and mode is not None and not isinstance(mode, str):
            kept = 1 - layer["p"]
            x = x * jax.random.bernoulli(jax.random.fold_in(mode, i), kept, x.shape) / kept
        elif op != "dropout":
            raise NotImplementedError(f"no {op}")
    return x, moved


def model(pass_: str, arguments: dict[str, Any], arrays: Arrays) -> Any:
    layers = arguments["layers"]
    weights = Weights(layers)
    turned = {name: jnp.asarray(a) for name, a in weights.turned(arrays).items()}
    moving = {name: a for name, a in turned.items() if "running" in name}
    parameters = {name: a for name, a in turned.items() if name not in moving}
    x = jnp.asarray(images(arrays["x"]))
    if pass_ == "inference":
        infer = jax.jit(lambda p, moving, x: apply(layers, p, moving, x, None)[0])
        run = waiting(infer, parameters, moving, x)
        return SimpleNamespace(run=run, outputs=lambda: {"logits": np.asarray(run())})

    labels = jnp.asarray(arrays["labels"].astype(np.int32))

    def loss_of(p: Any, moving: Any, x: Any, labels: Any, mode: Any) -> Any:
        logits, moved = apply(layers, p, moving, x, mode)
        picked = jnp.take_along_axis(jax.nn.log_softmax(logits, 1), labels[:, None], 1)
        return -picked.mean(), (moved, logits)

    def step(state: Any, x: Any, labels: Any) -> Any:
        p, moving, moments, t, key = state
        key, now = jax.random.split(key)
        (_, (moving, _)), g = jax.value_and_grad(loss_of, has_aux=True)(p, moving, x, labels, now)
        p, moments = adam(p, g, moments, t + 1, arguments["lr"])
        return p, moving, moments, t + 1, key

    def outputs() -> Arrays:
        plain = jax.jit(jax.value_and_grad(loss_of, has_aux=True), static_argnums=4)
        (loss, (_, logits)), g = plain(parameters, moving, x, labels, "plain")
        found = {"logits": np.asarray(logits), "loss": np.asarray(loss)}
        small = {n: v for n, v in g.items() if v.ndim > 1 and v.size <= SMALL}
        return found | {f"gradient of {n}": weights.gradient(n, v) for n, v in small.items()}

    return SimpleNamespace(run=stepping(step, parameters, moving, x, labels), outputs=outputs)


def stepping(step: Any, p: Any, moving: Any, x: Any, labels: Any) -> Callable[[], None]:
    """Training steps, one a call; the old state's memory is given to the new one."""
    state: list[Any] = []
    compiled: list[Any] = []

    def run() -> None:
        if not state:
            zeros = jax.tree.map(jnp.zeros_like, (p, p))
            own = jax.tree.map(jnp.copy, (p, moving))
            state.append((*own, zeros, jnp.zeros((), jnp.float32), jax.random.key(0)))
            compiled.append(jax.jit(step, donate_argnums=0))
        state[0] = jax.block_until_ready(compiled[0](state[0], x, labels))

    return run


def adam(p: Any, g: Any, moments: Any, t: Any, lr: float) -> tuple[Any, Any]:
    m = jax.tree.map(lambda m, g: BETA1 * m + (1 - BETA1) * g, moments[0], g)
    v = jax.tree.map(lambda v, g: BETA2 * v + (1 - BETA2) * g * g, moments[1], g)
    c1, c2 = 1 - BETA1**t, 1 - BETA2**t

    def moved(p: Any, m: Any, v: Any) -> Any:
        return p - lr * (m / c1) / (jnp.sqrt(v / c2) + EPS)

    return jax.tree.map(moved, p, m, v), (m, v)


def optimizer(op: str, arguments: dict[str, Any], arrays: Arrays) -> Any:
    before = {name: jnp.asarray(a) for name, a in arrays.items() if name.startswith("parameter")}
    g = {name: jnp.asarray(arrays[name.replace("parameter", "grad")]) for name in before}

    def step(state: Any, g: Any) -> Any:
        p, moments, t = state
        if op == "adam":
            p, moments = adam(p, g, moments, t + 1, arguments["lr"])
        else:
            u = jax.tree.map(lambda u, g: arguments["momentum"] * u + g, moments, g)
            p, moments = jax.tree.map(lambda p, u: p - arguments["lr"] * u, p, u), u
        return p, moments, t + 1

    zeros = jax.tree.map(jnp.zeros_like, before)
    own = jax.tree.map(jnp.copy, before)
    state = [(own, (zeros, jax.tree.map(jnp.zeros_like, before)) if op == "adam" else zeros,
              jnp.zeros((), jnp.float32))]  # fmt: skip
    compiled = jax.jit(step, donate_argnums=0)

    def run() -> None:
        state[0] = jax.block_until_ready(compiled(state[0], g))

    def outputs() -> Arrays:
        run()
        run()
        return {f"change of {n}": np.asarray(p - before[n]) for n, p in state[0][0].items()}

    return SimpleNamespace(run=run, outputs=outputs)
