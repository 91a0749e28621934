"""Whole models and optimizers as a user of minicnn runs them, through its public face."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import minicnn.models
from minicnn import nn, optim
from minicnn.bench.ours_kernels import Arguments, Arrays, Prepared
from minicnn.device import device_of, host
from minicnn.grad_mode import no_grad
from minicnn.nn.module import Module
from minicnn.tensor import Tensor

# Gradients are compared of weights alone: those of biases are differences of nearly equal sums in
# front of BatchNorm. And of weights of at most so many numbers: the others would fill the disk.
SMALL = 1 << 20


def model(op: str, pass_: str, arguments: Arguments, a: Arrays) -> Prepared:
    """Inference, or a training step with Adam."""
    net = minicnn.models.create(arguments["model"], **arguments["options"])
    net.to(device_of(a["x"]), dtype=a["x"].dtype)
    x = Tensor(a["x"])
    counters = {name: v for name, v in net.state_dict().items() if name.endswith("tracked")}
    net.load_state_dict({n: Tensor(v) for n, v in a.items() if n not in ("x", "labels")} | counters)
    if pass_ == "inference":
        net.eval()

        def infer() -> Any:
            with no_grad():
                return net(x)

        return Prepared(infer, lambda: {"logits": infer().cpu().numpy()})
    return _training(net, x, Tensor(a["labels"]), arguments["lr"])


def _training(net: Module, x: Tensor, labels: Tensor, lr: float) -> Prepared:
    optimizer, loss_fn = optim.Adam(net.parameters(), lr=lr), nn.CrossEntropyLoss()

    def step() -> None:
        optimizer.zero_grad()
        loss_fn(net(x), labels).backward()
        optimizer.step()

    def outputs() -> Arrays:
        """Of a step without dropout, whose random numbers are each framework's own."""
        drops = [m for m in net.modules() if isinstance(m, nn.Dropout)]
        for drop in drops:
            drop.eval()
        logits = net(x)
        loss = loss_fn(logits, labels)
        loss.backward()
        found = {"logits": logits.detach().cpu().numpy(), "loss": loss.detach().cpu().numpy()}
        for name, parameter in net.named_parameters():
            if parameter.ndim > 1 and parameter.numel() <= SMALL and parameter.grad is not None:
                found[f"gradient of {name}"] = parameter.grad.cpu().numpy()
        for drop in drops:
            drop.train()
        return found

    return Prepared(step, outputs)


def optimizer(op: str, pass_: str, arguments: Arguments, a: Arrays) -> Prepared:
    """Steps of an optimizer; the outputs are how far two of them move each parameter."""
    before = {name: v for name, v in a.items() if name.startswith("parameter")}
    parameters = {name: nn.Parameter(Tensor(v.copy())) for name, v in before.items()}
    for name, parameter in parameters.items():
        parameter.grad = Tensor(a[name.replace("parameter", "grad")])
    make: Callable[..., Any] = {"adam": optim.Adam, "sgd": optim.SGD}[op]
    it = make([*parameters.values()], **arguments)

    def outputs() -> Arrays:
        it.step()
        it.step()
        return {
            f"change of {name}": np.asarray(p.detach().cpu().numpy()) - host(before[name])
            for name, p in parameters.items()
        }

    return Prepared(it.step, outputs)


PREPARE: dict[str, Callable[..., Prepared]] = {
    "model": model,
    "adam": optimizer,
    "sgd": optimizer,
}
