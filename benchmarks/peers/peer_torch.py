"""The peers "torch" and "torch_compiled": PyTorch as its users run it. Run by bench/host.py.

Eager PyTorch takes its gradients through a graph that is kept, so that only the backward pass is
timed. The compiled one compiles forward functions and whole training steps, with the optimizer's;
single backward passes and optimizers are the same library calls either way, and are not offered.
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

Arrays = dict[str, np.ndarray]
Tensors = dict[str, Any]
WANTED = {
    "input gradient": {"x": "dx"},
    "weight gradient": {"w": "dw"},
    "gradient": {"x": "dx", "weight": "dweight", "bias": "dbias"},
}
SMALL = 1 << 20  # numbers: gradients of larger weights are not compared

_compiled = False


def start(count: int, options: dict[str, Any]) -> dict[str, str]:
    global _compiled
    _compiled = options.get("compiled", False)
    torch.set_num_threads(count)
    return {"torch": torch.__version__, "numpy": np.__version__}


def prepare(case: dict[str, Any], arrays: Arrays) -> Any:
    op, pass_, arguments = case["op"], case["pass_"], case["arguments"]
    if _compiled and op != "model" and pass_ not in ("forward", "inference"):
        raise NotImplementedError("the same call as torch's")
    tensors = {name: torch.from_numpy(a) for name, a in arrays.items()}
    if op == "model":
        return model(pass_, arguments, tensors)
    if op in ("adam", "sgd"):
        return optimizer(op, arguments, tensors)
    if op not in FORWARD:
        raise NotImplementedError(f"no {op}")
    function = FORWARD[op]

    def forward() -> Any:
        return function(arguments, tensors)

    if pass_ in WANTED:
        return gradient(forward, tensors, WANTED[pass_])
    run = torch.no_grad()(compiled(forward))
    return SimpleNamespace(run=run, outputs=lambda: {"y": run().numpy()})


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    return torch.compile(function) if _compiled else function


def gradient(forward: Callable[[], Any], tensors: Tensors, wanted: dict[str, str]) -> Any:
    leaves = {name: tensors[tensor] for tensor, name in wanted.items() if tensor in tensors}
    for leaf in leaves.values():
        leaf.requires_grad_()
    y = forward()

    def run() -> Any:
        return torch.autograd.grad(y, [*leaves.values()], tensors["dy"], retain_graph=True)

    def outputs() -> Arrays:
        return {name: g.numpy() for name, g in zip(leaves, run(), strict=True)}

    return SimpleNamespace(run=run, outputs=outputs)


# -------------------------------------------------------------------------------- operations


def conv2d(a: dict[str, Any], t: Tensors) -> Any:
    return F.conv2d(t["x"], t["w"], t.get("b"), a["stride"], a["padding"], 1, a["groups"])


def max_pool2d(a: dict[str, Any], t: Tensors) -> Any:
    return F.max_pool2d(t["x"], a["kernel"], a["stride"], a["padding"])


def avg_pool2d(a: dict[str, Any], t: Tensors) -> Any:
    return F.avg_pool2d(t["x"], a["kernel"], a["stride"], a["padding"])


def batch_norm(a: dict[str, Any], t: Tensors) -> Any:
    mean, var = t.get("running mean"), t.get("running var")
    return F.batch_norm(t["x"], mean, var, t["weight"], t["bias"], mean is None, 0.0, a["eps"])


def response_norm(a: dict[str, Any], t: Tensors) -> Any:
    return F.local_response_norm(t["x"], a["size"], a["alpha"], a["beta"], a["k"])


FORWARD: dict[str, Callable[[dict[str, Any], Tensors], Any]] = {
    "conv2d": conv2d,
    "linear": lambda a, t: F.linear(t["x"], t["w"], t.get("b")),
    "max_pool2d": max_pool2d,
    "avg_pool2d": avg_pool2d,
    "adaptive_avg_pool2d": lambda a, t: F.adaptive_avg_pool2d(t["x"], a["output"]),
    "batch_norm": batch_norm,
    "response_norm": response_norm,
    "relu": lambda a, t: F.relu(t["x"]),
    "leaky_relu": lambda a, t: F.leaky_relu(t["x"], 0.01),
    "sigmoid": lambda a, t: torch.sigmoid(t["x"]),
    "tanh": lambda a, t: torch.tanh(t["x"]),
    "silu": lambda a, t: F.silu(t["x"]),
    "gelu": lambda a, t: F.gelu(t["x"]),
    "softmax": lambda a, t: F.softmax(t["x"], 1),
    "log_softmax": lambda a, t: F.log_softmax(t["x"], 1),
}


# -------------------------------------------------------------------- models and optimizers


def layer(described: dict[str, Any], t: Tensors) -> nn.Module:
    """A layer of the described kind; the sizes come from its weights."""
    op, name = described["op"], described.get("name", "")
    shape = t[f"{name}.weight"].shape if f"{name}.weight" in t else ()
    if op == "conv2d":
        return nn.Conv2d(shape[1], shape[0], shape[2], described["stride"], described["padding"])
    if op == "linear":
        return nn.Linear(shape[1], shape[0])
    if op == "batch_norm":
        return nn.BatchNorm2d(shape[0], described["eps"], described["momentum"])
    return {
        "max_pool2d": lambda: nn.MaxPool2d(described["kernel"], described["stride"]),
        "adaptive_avg_pool2d": lambda: nn.AdaptiveAvgPool2d(described["output"]),
        "relu": nn.ReLU,
        "dropout": lambda: nn.Dropout(described["p"]),
        "flatten": nn.Flatten,
    }[op]()


def build(layers: list[dict[str, Any]], t: Tensors) -> nn.Sequential:
    net = nn.Sequential(*(layer(described, t) for described in layers))
    with torch.no_grad():
        for described, module in zip(layers, net, strict=True):
            own = dict(module.named_parameters()) | dict(module.named_buffers())
            for name, tensor in own.items():
                if name != "num_batches_tracked":
                    tensor.copy_(t[f"{described['name']}.{name}"])
    return net


def model(pass_: str, arguments: dict[str, Any], t: Tensors) -> Any:
    layers, x = arguments["layers"], t["x"]
    net = build(layers, t)
    if pass_ == "inference":
        infer = torch.no_grad()(compiled(net.eval()))
        return SimpleNamespace(run=lambda: infer(x), outputs=lambda: {"logits": infer(x).numpy()})
    loss_fn, adam = nn.CrossEntropyLoss(), torch.optim.Adam(net.parameters(), arguments["lr"])

    def step() -> None:
        adam.zero_grad()
        loss_fn(net(x), t["labels"]).backward()
        adam.step()

    def outputs() -> Arrays:
        """Of a step without dropout, whose random numbers are each framework's own."""
        for module in net:
            if isinstance(module, nn.Dropout):
                module.eval()
        logits = net(x)
        loss = loss_fn(logits, t["labels"])
        loss.backward()
        found = {"logits": logits.detach().numpy(), "loss": loss.detach().numpy()}
        for described, module in zip(layers, net, strict=True):
            for name, p in module.named_parameters():
                if p.ndim > 1 and p.numel() <= SMALL:
                    found[f"gradient of {described['name']}.{name}"] = p.grad.numpy()
        net.train()
        return found

    return SimpleNamespace(run=compiled(step), outputs=outputs)


def optimizer(op: str, arguments: dict[str, Any], t: Tensors) -> Any:
    before = {name: v for name, v in t.items() if name.startswith("parameter")}
    parameters = {name: nn.Parameter(v.clone()) for name, v in before.items()}
    for name, parameter in parameters.items():
        parameter.grad = t[name.replace("parameter", "grad")]
    make: Any = {"adam": torch.optim.Adam, "sgd": torch.optim.SGD}[op]
    it = make([*parameters.values()], **arguments)

    def outputs() -> Arrays:
        it.step()
        it.step()
        return {f"change of {n}": (p.detach() - before[n]).numpy() for n, p in parameters.items()}

    return SimpleNamespace(run=it.step, outputs=outputs)
