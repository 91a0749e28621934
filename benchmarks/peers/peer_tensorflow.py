"""The peer "tf": TensorFlow, channels last, in compiled graphs. Run by bench/host.py.

Layouts are turned before anything is timed. A single operation is called as it is; several (a
product and its bias) and whole models are a tf.function. Gradients are TensorFlow's own gradient
operations where it has them, given what the forward pass has left for them. Adam is its fused one.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
from channels_last import SMALL, Arrays, Weights, images, operands, result

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
import tensorflow as tf

raw = tf.raw_ops
Tensors = dict[str, Any]
Made = tuple[Callable[[], Any], list[str]]  # a call, and the names of its results
ADAM = {"beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8}


def start(count: int, options: dict[str, Any]) -> dict[str, str]:
    tf.config.threading.set_intra_op_parallelism_threads(count)
    tf.config.threading.set_inter_op_parallelism_threads(count)
    return {"tensorflow": tf.__version__, "numpy": np.__version__}


def prepare(case: dict[str, Any], arrays: Arrays) -> Any:
    op, pass_, arguments = case["op"], case["pass_"], case["arguments"]
    if op == "model":
        return model(pass_, arguments, arrays)
    if op in ("adam", "sgd"):
        return optimizer(op, arguments, arrays)
    make = OPERATIONS.get(op)
    if make is None:
        raise NotImplementedError(f"no {op}")
    t = {name: tf.constant(a) for name, a in operands(arrays).items()}
    run, names = make(pass_, arguments, t)

    def outputs() -> Arrays:
        found = run()
        results = found if isinstance(found, tuple | list) else (found,)
        return {n: result(n, r) for n, r in zip(names, results, strict=False)}

    return SimpleNamespace(run=run, outputs=outputs)


def graph(function: Callable[..., Any], *inputs: Any) -> Callable[[], Any]:
    compiled = tf.function(function).get_concrete_function(*inputs)
    return lambda: compiled(*inputs)


# ------------------------------------------------------------------------------------ layers


def edges(padding: int) -> dict[str, Any]:
    if not padding:
        return {"padding": "VALID"}
    around = [0, 0, padding, padding, padding, padding, 0, 0]
    return {"padding": "EXPLICIT", "explicit_paddings": around}


def conv2d(pass_: str, a: dict[str, Any], t: Tensors) -> Made:
    x, w = t["x"], t["w"]
    if a["groups"] > 1:
        return depthwise(pass_, a, t)
    options = {"strides": [1, a["stride"], a["stride"], 1], **edges(a["padding"])}
    if pass_ == "forward":

        def biased(x: Any, w: Any, b: Any) -> Any:
            return tf.nn.bias_add(raw.Conv2D(input=x, filter=w, **options), b)

        return graph(biased, x, w, t["b"]), ["y"]
    dy = t["dy"]
    if pass_ == "input gradient":
        return lambda: raw.Conv2DBackpropInput(
            input_sizes=x.shape, filter=w, out_backprop=dy, **options
        ), ["dx"]
    return lambda: raw.Conv2DBackpropFilter(
        input=x, filter_sizes=w.shape, out_backprop=dy, **options
    ), ["dw"]


def depthwise(pass_: str, a: dict[str, Any], t: Tensors) -> Made:
    """One filter a channel: (R, S, 1, K) is turned to (R, S, C, 1)."""
    x, w = t["x"], tf.transpose(t["w"], (0, 1, 3, 2))
    if x.shape[3] != a["groups"] or w.shape[2] != a["groups"]:
        raise NotImplementedError("no groups of several channels on the CPU")
    options = {"strides": [1, a["stride"], a["stride"], 1], **edges(a["padding"])}
    if pass_ == "forward":
        return lambda: tf.nn.bias_add(  # as a graph it aborts the process (2.21)
            raw.DepthwiseConv2dNative(input=x, filter=w, **options), t["b"]
        ), ["y"]
    dy = t["dy"]
    if pass_ == "input gradient":
        return lambda: raw.DepthwiseConv2dNativeBackpropInput(
            input_sizes=x.shape, filter=w, out_backprop=dy, **options
        ), ["dx"]

    def weights() -> Any:
        found = raw.DepthwiseConv2dNativeBackpropFilter(
            input=x, filter_sizes=w.shape, out_backprop=dy, **options
        )
        return tf.reshape(found, t["w"].shape)  # no copy: the order in memory is the same

    return weights, ["dw"]


def linear(pass_: str, a: dict[str, Any], t: Tensors) -> Made:
    x, w = t["x"], t["w"]
    if pass_ == "forward":
        return graph(
            lambda x, w, b: tf.nn.bias_add(tf.matmul(x, w, transpose_b=True), b), x, w, t["b"]
        ), ["y"]
    if pass_ == "input gradient":
        return lambda: tf.matmul(t["dy"], w), ["dx"]
    return lambda: tf.matmul(t["dy"], x, transpose_a=True), ["dw"]


# ------------------------------------------------------------------------- pooling and norms


def max_pool2d(pass_: str, a: dict[str, Any], t: Tensors) -> Made:
    options = window(a) | edges(a["padding"])
    if pass_ == "forward":
        return lambda: raw.MaxPool(input=t["x"], **options), ["y"]
    y = raw.MaxPool(input=t["x"], **options)
    return lambda: raw.MaxPoolGrad(
        orig_input=t["x"], orig_output=y, grad=t["dy"], **options
    ), ["dx"]  # fmt: skip


def avg_pool2d(pass_: str, a: dict[str, Any], t: Tensors) -> Made:
    if a["padding"]:
        raise NotImplementedError("no average pooling that counts the padding")
    options = window(a) | edges(0)
    if pass_ == "forward":
        return lambda: raw.AvgPool(value=t["x"], **options), ["y"]
    shape = t["x"].shape
    return lambda: raw.AvgPoolGrad(orig_input_shape=shape, grad=t["dy"], **options), ["dx"]


def window(a: dict[str, Any]) -> dict[str, Any]:
    return {
        "ksize": [1, a["kernel"], a["kernel"], 1],
        "strides": [1, a["stride"], a["stride"], 1],
    }


def adaptive(x: Any, P: int) -> Any:
    """Only where one of the sides divides the other: equal windows, or repeated pixels."""
    side = x.shape[1]
    if P % side == 0:
        return tf.repeat(tf.repeat(x, P // side, axis=1), P // side, axis=2)
    if side % P:
        raise NotImplementedError(f"no adaptive pooling of {side}² to {P}²")
    return tf.reduce_mean(tf.reshape(x, (-1, P, side // P, P, side // P, x.shape[3])), (2, 4))


def batch_norm(pass_: str, a: dict[str, Any], t: Tensors) -> Made:
    x, weight, bias, training = t["x"], t["weight"], t["bias"], pass_ != "inference"
    nothing = tf.constant([], tf.float32)
    mean, var = t.get("running mean", nothing), t.get("running var", nothing)

    def forward() -> Any:
        return raw.FusedBatchNormV3(
            x=x, scale=weight, offset=bias, mean=mean, variance=var, epsilon=a["eps"],
            is_training=training,
        )  # fmt: skip

    if pass_ != "gradient":
        return forward, ["y"]
    saved = forward()
    return lambda: raw.FusedBatchNormGradV3(
        y_backprop=t["dy"], x=x, scale=weight, reserve_space_1=saved.reserve_space_1,
        reserve_space_2=saved.reserve_space_2, reserve_space_3=saved.reserve_space_3,
        epsilon=a["eps"], is_training=True,
    ), ["dx", "dweight", "dbias"]  # fmt: skip


def response_norm(pass_: str, a: dict[str, Any], t: Tensors) -> Made:
    options = {
        "depth_radius": a["size"] // 2, "bias": a["k"], "alpha": a["alpha"] / a["size"],
        "beta": a["beta"],
    }  # fmt: skip
    if pass_ == "forward":
        return lambda: raw.LRN(input=t["x"], **options), ["y"]
    y = raw.LRN(input=t["x"], **options)
    return lambda: raw.LRNGrad(
        input_grads=t["dy"], input_image=t["x"], output_image=y, **options
    ), ["dx"]  # fmt: skip


# ------------------------------------------------------------------------------- activations


def by_tape(function: Callable[[Any], Any], ready: Callable[..., Any] | None = None) -> Any:
    """An operation of x; its gradient is `ready(x, y, dy)`, or else a graph made by the tape."""

    def make(pass_: str, a: dict[str, Any], t: Tensors) -> Made:
        x = t["x"]
        if pass_ == "forward":
            return lambda: function(x), ["y"]
        dy, y = t["dy"], function(x)
        if ready is not None:
            return lambda: ready(x, y, dy), ["dx"]

        def gradient(x: Any, dy: Any) -> Any:
            with tf.GradientTape() as tape:
                tape.watch(x)
                y = function(x)
            return tape.gradient(y, x, dy)

        return graph(gradient, x, dy), ["dx"]

    return make


OPERATIONS: dict[str, Callable[..., Made]] = {
    "conv2d": conv2d,
    "linear": linear,
    "max_pool2d": max_pool2d,
    "avg_pool2d": avg_pool2d,
    "adaptive_avg_pool2d": lambda pass_, a, t: by_tape(lambda x: adaptive(x, a["output"]))(
        pass_, a, t
    ),
    "batch_norm": batch_norm,
    "response_norm": response_norm,
    "relu": by_tape(tf.nn.relu, lambda x, y, dy: raw.ReluGrad(gradients=dy, features=y)),
    "leaky_relu": by_tape(
        lambda x: tf.nn.leaky_relu(x, 0.01),
        lambda x, y, dy: raw.LeakyReluGrad(gradients=dy, features=x, alpha=0.01),
    ),
    "sigmoid": by_tape(tf.sigmoid, lambda x, y, dy: raw.SigmoidGrad(y=y, dy=dy)),
    "tanh": by_tape(tf.tanh, lambda x, y, dy: raw.TanhGrad(y=y, dy=dy)),
    "silu": by_tape(tf.nn.silu),
    "gelu": by_tape(lambda x: tf.nn.gelu(x, approximate=False)),
    "softmax": by_tape(tf.nn.softmax),
    "log_softmax": by_tape(tf.nn.log_softmax),
}


# -------------------------------------------------------------------- models and optimizers


def apply(layers: list[dict[str, Any]], p: Tensors, x: Any, training: bool, dropping: bool) -> Any:
    """Logits; in training the running statistics in `p` move."""
    for layer in layers:
        op, name = layer["op"], layer.get("name")
        if op == "conv2d":
            options = {"strides": [1, *[layer["stride"]] * 2, 1], **edges(layer["padding"])}
            y = raw.Conv2D(input=x, filter=p[f"{name}.weight"], **options)
            x = tf.nn.bias_add(y, p[f"{name}.bias"])
        elif op == "linear":
            x = tf.nn.bias_add(tf.matmul(x, p[f"{name}.weight"]), p[f"{name}.bias"])
        elif op == "relu":
            x = tf.nn.relu(x)
        elif op == "max_pool2d":
            x = raw.MaxPool(input=x, **window(layer), padding="VALID")
        elif op == "adaptive_avg_pool2d":
            x = adaptive(x, layer["output"])
        elif op == "flatten":
            x = tf.reshape(x, (x.shape[0], -1))
        elif op == "batch_norm":
            x = normalised(layer, p, x, training)
        elif op == "dropout":
            x = tf.nn.dropout(x, layer["p"]) if dropping else x
        else:
            raise NotImplementedError(f"no {op}")
    return x


def normalised(layer: dict[str, Any], p: Tensors, x: Any, training: bool) -> Any:
    name = layer["name"]
    mean, var = p[f"{name}.running_mean"], p[f"{name}.running_var"]
    nothing = tf.constant([], tf.float32)
    found = raw.FusedBatchNormV3(
        x=x, scale=p[f"{name}.weight"], offset=p[f"{name}.bias"], epsilon=layer["eps"],
        mean=nothing if training else mean, variance=nothing if training else var,
        is_training=training,
    )  # fmt: skip
    if training:
        mean.assign_add(layer["momentum"] * (found.batch_mean - mean))
        var.assign_add(layer["momentum"] * (found.batch_variance - var))
    return found.y


def model(pass_: str, arguments: dict[str, Any], arrays: Arrays) -> Any:
    layers = arguments["layers"]
    weights = Weights(layers)
    p = {name: tf.Variable(a) for name, a in weights.turned(arrays).items()}
    x = tf.constant(images(arrays["x"]))
    if pass_ == "inference":
        run = graph(lambda x: apply(layers, p, x, False, False), x)
        return SimpleNamespace(run=run, outputs=lambda: {"logits": run().numpy()})

    labels = tf.constant(arrays["labels"].astype(np.int32))
    trained = {name: v for name, v in p.items() if "running" not in name}
    adam = Adam([*trained.values()], arguments["lr"])

    def gradients(x: Any, labels: Any, dropping: bool) -> Any:
        with tf.GradientTape() as tape:
            logits = apply(layers, p, x, True, dropping)
            loss = tf.reduce_mean(
                tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
            )
        return logits, loss, tape.gradient(loss, [*trained.values()])

    def step(x: Any, labels: Any) -> Any:
        _, loss, found = gradients(x, labels, True)
        adam.step(found)
        return loss

    def outputs() -> Arrays:
        """Of a step without dropout, whose random numbers are each framework's own."""
        logits, loss, found = tf.function(lambda x, t: gradients(x, t, False))(x, labels)
        arrays = {"logits": logits.numpy(), "loss": loss.numpy()}
        for name, g in zip(trained, found, strict=True):
            if len(g.shape) > 1 and np.prod(g.shape) <= SMALL:
                arrays[f"gradient of {name}"] = weights.gradient(name, g)
        return arrays

    return SimpleNamespace(run=graph(step, x, labels), outputs=outputs)


class Adam:
    """TensorFlow's fused Adam on variables."""

    def __init__(self, variables: list[Any], lr: float) -> None:
        self.variables, self.lr, self.t = variables, lr, tf.Variable(0.0)
        self.m, self.v = (
            [tf.Variable(tf.zeros_like(variable)) for variable in variables] for _ in "mv"
        )

    def step(self, gradients: list[Any]) -> None:
        self.t.assign_add(1.0)
        powers = {name: ADAM[beta] ** self.t for name, beta in POWERS.items()}
        for w, m, v, g in zip(self.variables, self.m, self.v, gradients, strict=True):
            raw.ResourceApplyAdam(
                var=w.handle, m=m.handle, v=v.handle, grad=g, lr=self.lr, **ADAM, **powers
            )


POWERS = {"beta1_power": "beta1", "beta2_power": "beta2"}


def optimizer(op: str, arguments: dict[str, Any], arrays: Arrays) -> Any:
    before = {name: a for name, a in arrays.items() if name.startswith("parameter")}
    variables = [tf.Variable(a) for a in before.values()]
    gradients = [tf.constant(arrays[name.replace("parameter", "grad")]) for name in before]
    if op == "adam":
        adam = Adam(variables, arguments["lr"])
        run = graph(lambda *g: adam.step(list(g)), *gradients)
    else:
        moments = [tf.Variable(tf.zeros_like(v)) for v in variables]

        def step(*gradients: Any) -> None:
            for w, u, g in zip(variables, moments, gradients, strict=True):
                raw.ResourceApplyMomentum(
                    var=w.handle, accum=u.handle, lr=arguments["lr"], grad=g,
                    momentum=arguments["momentum"],
                )  # fmt: skip

        run = graph(step, *gradients)

    def outputs() -> Arrays:
        run()
        run()
        moved = zip(before.items(), variables, strict=True)
        return {f"change of {name}": v.numpy() - a for (name, a), v in moved}

    return SimpleNamespace(run=run, outputs=outputs)
