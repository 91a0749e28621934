"""Every differentiable operation, one line each: what `pytest -m gradients` goes through.

A case is a function of a library (minicnn, or torch: the names are the same) and of tensors:

    op("conv2d", "strided", X(2, 3, 9, 8), W(4, 3, 3, 2), stride=2)          nn.functional.conv2d
    layer("Conv2d", "", X(2, 3, 9, 8), W(4, 3, 3, 2), W(4), args=(3, 4, (3, 2)))    nn.Conv2d
    call("a @ b", "in batches", lambda lib, a, b: a @ b, X(2, 3, 4), W(2, 4, 5))    anything else

Letters draw the tensors: see `gradient_letters`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from gradient_letters import D, Draw, I, L, M, P, U, V, W, X, const

import minicnn


class Case(NamedTuple):
    """One line of the table."""

    name: str
    function: Callable[..., Any]  # (lib, *tensors) -> a tensor or a tuple of tensors
    draws: tuple[Draw, ...]

    def arrays(self, times: int = 1) -> list[np.ndarray]:
        """What the tensors hold: equal in every run."""
        rng = np.random.default_rng(0)
        return [draw.array(rng, times) for draw in self.draws]


# --------------------------------------------------------------------------------- kinds of cases


def call(name: str, what: str, function: Callable[..., Any], *draws: Draw) -> Case:
    """Any function of (lib, *tensors)."""
    return Case(f"{name} {what}".rstrip(), function, draws)


def op(name: str, what: str, *draws: Draw, **options: Any) -> Case:
    """A function of nn.functional."""
    return call(
        name, what, lambda lib, *xs: getattr(lib.nn.functional, name)(*xs, **options), *draws
    )


def layer(name: str, what: str, x: Draw, *parameters: Draw, args: Any = (), **options: Any) -> Case:
    """A layer of nn; the first of its tensors is the input, the others become its parameters."""

    def function(lib: Any, x: Any, *values: Any) -> Any:
        made = getattr(lib.nn, name)(*args, **options).double().to(x.device)
        names = [name for name, _ in made.named_parameters()]
        for name_, value in zip(names, values, strict=True):
            delattr(made, name_)  # torch takes no tensor in place of a Parameter
            setattr(made, name_, value)
        return made(x)

    return call(f"nn.{name}", what, function, x, *parameters)


def conv_then_relu(lib: Any, x: Any, w: Any, b: Any) -> Any:
    """A Sequential, which computes both as one."""
    conv = lib.nn.Conv2d(w.shape[1], w.shape[0], w.shape[2:]).double().to(x.device)
    del conv.weight, conv.bias
    conv.weight, conv.bias = w, b
    return lib.nn.Sequential(conv, lib.nn.ReLU())(x)


def loss(name: str, *draws: Draw) -> Case:
    """A loss of nn."""
    return call(f"nn.{name}", "", lambda lib, *xs: getattr(lib.nn, name)()(*xs), *draws)


def either(ours: Callable[..., Any], theirs: Callable[..., Any]) -> Callable[..., Any]:
    """For what torch has no name for, or draws by another generator."""
    return lambda lib, *xs: (ours if lib.__name__ == "minicnn" else theirs)(lib, *xs)


def masked(name: str, p: float) -> Callable[..., Any]:
    """Dropout with one mask, which torch gets as a factor."""

    def drop(lib: Any, x: Any) -> Any:
        minicnn.manual_seed(3)
        if name[0].isupper():
            return getattr(lib.nn, name)(p)(x)
        return getattr(lib.nn.functional, name)(x, p)

    def multiply(lib: Any, x: Any) -> Any:
        ones = minicnn.ones(*x.shape, dtype=minicnn.float64)
        return x * lib.from_numpy(drop(minicnn, ones).numpy())

    return either(drop, multiply)


# ------------------------------------------------------------------------------------- the table

CASES: dict[str, list[Case]] = {}

CASES["convolution"] = [
    op("conv2d", "", X(2, 3, 6, 5), W(4, 3, 3, 2), W(4)),
    op("conv2d", "without bias", X(2, 3, 6, 5), W(4, 3, 3, 2)),
    op("conv2d", "of one image", W(3, 6, 5), W(4, 3, 3, 2), W(4)),
    op("conv2d", "strided", X(2, 3, 9, 8), W(4, 3, 3, 2), W(4), stride=(2, 3)),
    op("conv2d", "padded", X(2, 3, 5, 4), W(4, 3, 3, 2), W(4), padding=(2, 1)),
    op("conv2d", "dilated", X(2, 3, 9, 8), W(4, 3, 3, 2), W(4), dilation=(2, 3)),
    op("conv2d", "in groups", X(2, 4, 6, 5), W(6, 2, 3, 2), W(6), groups=2),
    op("conv2d", "depthwise", X(2, 4, 6, 5), W(4, 1, 3, 3), W(4), groups=4, padding=1),
    op("conv2d", "1x1", X(2, 4, 6, 5), W(3, 4, 1, 1), W(3)),
    op("conv2d", "same", X(2, 3, 6, 5), W(4, 3, 3, 3), W(4), padding="same"),
    op("conv2d", "with every option", X(2, 4, 9, 8), W(6, 2, 3, 2), W(6),
       stride=(2, 1), padding=(1, 2), dilation=(1, 2), groups=2),
    call("Conv2d, ReLU", "as one", conv_then_relu, X(2, 3, 6, 5), W(4, 3, 3, 2), W(4)),
    op("conv1d", "", X(2, 3, 9), W(4, 3, 3), W(4), stride=2, padding=1),
    op("conv3d", "", X(2, 2, 4, 5, 4), W(3, 2, 2, 3, 2), W(3), stride=(1, 2, 1), padding=1),
    op("conv_transpose1d", "", X(2, 3, 5), W(3, 4, 3), W(4), stride=2, output_padding=1),
    op("conv_transpose2d", "", X(2, 3, 4, 3), W(3, 2, 3, 2), W(2), stride=2, padding=1),
    op("conv_transpose2d", "dilated, groups", X(2, 4, 4, 3), W(4, 2, 2, 3), W(4),
       groups=2, dilation=2),
    op("unfold", "", X(2, 3, 6, 5), kernel_size=(3, 2), stride=(2, 1), padding=(1, 0)),
    op("fold", "", X(2, 12, 20), output_size=(5, 6), kernel_size=(2, 2), dilation=1),
]  # fmt: skip

CASES["pooling"] = [
    op("max_pool2d", "", D(2, 3, 6, 7), kernel_size=2),
    op("max_pool2d", "overlapping, padded", D(2, 3, 6, 5), kernel_size=(3, 2), stride=1, padding=1),
    op("max_pool2d", "dilated, ceil_mode", D(2, 2, 8, 7), kernel_size=3, stride=2, dilation=2,
       ceil_mode=True),
    call("max_pool2d", "with indices",
         lambda lib, x: lib.nn.functional.max_pool2d(x, 2, return_indices=True), D(2, 3, 6, 7)),
    op("max_pool1d", "", D(2, 3, 9), kernel_size=3, stride=2, padding=1),
    op("avg_pool2d", "", X(2, 3, 6, 7), kernel_size=2),
    op("avg_pool2d", "padded, ceil_mode", X(2, 3, 6, 7), kernel_size=(3, 2), stride=2, padding=1,
       ceil_mode=True, count_include_pad=False),
    op("avg_pool2d", "divisor_override", X(2, 3, 6, 7), kernel_size=3, divisor_override=5),
    op("avg_pool1d", "", X(2, 3, 9), kernel_size=3, stride=2, padding=1),
    op("adaptive_avg_pool2d", "", X(2, 3, 7, 5), output_size=(3, 4)),
    op("adaptive_avg_pool1d", "", X(2, 3, 7), output_size=3),
    op("adaptive_max_pool2d", "", D(2, 3, 7, 5), output_size=(3, 4)),
    op("adaptive_max_pool1d", "", D(2, 3, 7), output_size=3),
    call("global_avg_pool2d", "", either(
         lambda lib, x: lib.nn.functional.global_avg_pool2d(x),
         lambda lib, x: x.mean((2, 3), keepdim=True)), X(2, 3, 7, 5)),
    call("global_max_pool2d", "", either(
         lambda lib, x: lib.nn.functional.global_max_pool2d(x),
         lambda lib, x: x.amax((2, 3), keepdim=True)), D(2, 3, 7, 5)),
]  # fmt: skip

CASES["padding and resizing"] = [
    op("pad", "constant", X(2, 3, 4, 5), pad=(1, 2, 0, 3), value=2.0),
    op("pad", "cropping", X(2, 3, 4, 5), pad=(-1, 2, 1, -1)),
    op("pad", "reflect", X(2, 3, 4, 5), pad=(2, 1, 3, 0), mode="reflect"),
    op("pad", "replicate", X(2, 3, 4, 5), pad=(2, 1, 3, 0), mode="replicate"),
    op("pad", "circular", X(2, 3, 4, 5), pad=(2, 1, 3, 0), mode="circular"),
    op("interpolate", "nearest", X(2, 3, 4, 5), size=(7, 3)),
    op("interpolate", "nearest-exact", X(2, 3, 4, 5), scale_factor=1.7, mode="nearest-exact"),
    op("interpolate", "bilinear", X(2, 3, 4, 5), size=(7, 3), mode="bilinear"),
    op("interpolate", "bilinear, corners", X(2, 3, 4, 5), scale_factor=2.0, mode="bilinear",
       align_corners=True),
    op("interpolate", "area", X(2, 3, 4, 5), size=(3, 2), mode="area"),
]  # fmt: skip

CASES["normalisation"] = [
    call("batch_norm", "of the batch", lambda lib, x, w, b:
         lib.nn.functional.batch_norm(x, None, None, w, b, training=True),
         X(4, 3, 5, 2), W(3), W(3)),
    call("batch_norm", "plain, of vectors", lambda lib, x:
         lib.nn.functional.batch_norm(x, None, None, training=True, eps=0.1), X(6, 4)),
    op("batch_norm", "of running statistics", X(4, 3, 5), const(W(3)), const(V(3)), W(3), W(3)),
    op("local_response_norm", "", X(2, 7, 3, 4), size=3, alpha=0.5, beta=0.75, k=2.0),
    op("local_response_norm", "even size", X(2, 7, 5), size=4, alpha=2.0, beta=0.5),
]  # fmt: skip

CASES["activations"] = [
    op("relu", "", D(4, 5)),
    op("relu6", "", D(4, 5)),
    op("hardtanh", "", D(4, 5), min_val=-0.5, max_val=0.7),
    op("leaky_relu", "", D(4, 5), negative_slope=0.2),
    op("elu", "", D(4, 5), alpha=1.5),
    op("silu", "", X(4, 5)),
    op("gelu", "", X(4, 5)),
    op("gelu", "approximate=tanh", X(4, 5), approximate="tanh"),
    op("sigmoid", "", X(4, 5)),
    op("tanh", "", X(4, 5)),
    op("softmax", "", X(3, 4, 5), dim=1),
    op("log_softmax", "", X(3, 4, 5), dim=-1),
]

CASES["linear algebra"] = [
    op("linear", "", X(3, 64), W(96, 64), W(96)),
    op("linear", "in batches, without bias", X(2, 3, 5), W(4, 5)),
    call("a @ b", "", lambda lib, a, b: a @ b, X(3, 4), W(4, 5)),
    call("a @ b", "in batches that broadcast", lambda lib, a, b: a @ b, W(2, 1, 3, 4), W(3, 4, 5)),
    call("a @ b", "matrix by vector", lambda lib, a, b: a @ b, X(3, 4), W(4)),
    call("a @ b", "of two vectors", lambda lib, a, b: a @ b, W(4), W(4)),
    call("bmm", "", lambda lib, a, b: lib.bmm(a, b), X(2, 3, 4), X(2, 4, 5)),
]

CASES["losses"] = [
    op("cross_entropy", "", X(6, 4), L(4, 6)),
    op("cross_entropy", "of pixels, summed", X(2, 4, 3), L(4, 2, 3), reduction="sum"),
    call("cross_entropy", "with every option",
         lambda lib, x, y, w: lib.nn.functional.cross_entropy(
             x, y, w, ignore_index=1, label_smoothing=0.1), X(6, 4), L(4, 6), const(W(4))),
    op("cross_entropy", "of probabilities", X(5, 4), U(5, 4)),
    op("nll_loss", "reduction=none", X(6, 4), L(4, 6), reduction="none"),
    op("binary_cross_entropy", "", U(6, 4), const(U(6, 4))),
    call("bce_with_logits", "", lambda lib, x, y:
         lib.nn.functional.binary_cross_entropy_with_logits(x, y), X(6, 4), const(U(6, 4))),
    call("bce_with_logits", "pos_weight",
         lambda lib, x, y, w: lib.nn.functional.binary_cross_entropy_with_logits(
             x, y, pos_weight=w), X(6, 4), const(U(6, 4)), const(W(4))),
    op("mse_loss", "", X(5, 4), X(5, 4)),
    op("l1_loss", "reduction=sum", D(5, 4), X(5, 4), reduction="sum"),
    op("huber_loss", "", X(5, 4), X(5, 4), delta=0.7),
    op("smooth_l1_loss", "", X(5, 4), X(5, 4), beta=0.7),
]  # fmt: skip

CASES["dropout"] = [
    call("dropout", "with a fixed mask", masked("dropout", 0.4), X(4, 5)),
    call("dropout2d", "with a fixed mask", masked("dropout2d", 0.4), X(3, 4, 2, 3)),
]

CASES["arithmetic"] = [
    call("a + b", "broadcast", lambda lib, a, b: a + b, X(3, 1, 4), W(5, 1)),
    call("a - b", "broadcast", lambda lib, a, b: a - b, X(3, 4), W(4)),
    call("a * b", "broadcast", lambda lib, a, b: a * b, X(3, 1, 4), W(5, 1)),
    call("a / b", "broadcast", lambda lib, a, b: a / b, X(3, 4), P(3, 1)),
    call("a ** b", "", lambda lib, a, b: a**b, P(3, 4), X(3, 4)),
    call("x ** 3", "", lambda lib, x: x**3, X(3, 4)),
    call("2 ** x", "", lambda lib, x: 2**x, X(3, 4)),
    call("1 / x - 2 * x + 3", "", lambda lib, x: 1 / x - 2 * x + 3, P(3, 4)),
    call("a % b", "", lambda lib, a, b: a % b, X(3, 4), P(3, 4)),
    call("maximum", "", lambda lib, a, b: lib.maximum(a, b), D(3, 4), X(3, 4)),
    call("minimum", "", lambda lib, a, b: lib.minimum(a, b), D(3, 4), X(3, 4)),
    call("-x", "", lambda lib, x: -x, X(3, 4)),
    call("abs", "", lambda lib, x: x.abs(), D(3, 4)),
    call("exp", "", lambda lib, x: x.exp(), X(3, 4)),
    call("log", "", lambda lib, x: x.log(), P(3, 4)),
    call("log1p", "", lambda lib, x: x.log1p(), P(3, 4)),
    call("sqrt", "", lambda lib, x: x.sqrt(), P(3, 4)),
    call("square", "", lambda lib, x: x.square(), X(3, 4)),
    call("sin", "", lambda lib, x: x.sin(), X(3, 4)),
    call("cos", "", lambda lib, x: x.cos(), X(3, 4)),
    call("clamp", "", lambda lib, x: x.clamp(-0.7, 0.6), D(3, 4)),
    call("where", "broadcast", lambda lib, c, a, b: lib.where(c, a, b),
         M([[True, False, True, False]]), X(3, 4), X(3, 1)),
    call("masked_fill", "", lambda lib, x, m: x.masked_fill(m, 7.0), X(3, 4),
         M([True, False, True, False])),
]  # fmt: skip

CASES["reductions"] = [
    call("sum", "", lambda lib, x: x.sum(), X(3, 4)),
    call("sum", "over dims", lambda lib, x: x.sum((0, 2), keepdim=True), X(3, 4, 2)),
    call("mean", "over a dim", lambda lib, x: x.mean(1), X(3, 4)),
    call("var", "", lambda lib, x: x.var(1), X(3, 4)),
    call("std", "uncorrected", lambda lib, x: x.std(0, correction=0), X(3, 4)),
    call("cumsum", "", lambda lib, x: x.cumsum(1), X(3, 4)),
    call("prod", "", lambda lib, x: x.prod(1), X(3, 4)),
    call("norm", "", lambda lib, x: x.norm(dim=1), X(3, 4)),
    call("norm", "p=3", lambda lib, x: x.norm(3), X(3, 4)),
    call("max", "", lambda lib, x: x.max(), D(3, 4)),
    call("max", "along a dim", lambda lib, x: tuple(x.max(1)), D(3, 4)),
    call("min", "along a dim", lambda lib, x: tuple(x.min(0, keepdim=True)), D(3, 4)),
    call("amax", "over dims", lambda lib, x: x.amax((0, 2)), D(3, 4, 2)),
    call("amin", "", lambda lib, x: x.amin(1), D(3, 4)),
]

CASES["shapes and indices"] = [
    call("reshape", "", lambda lib, x: x.reshape(2, -1), W(3, 4)),
    call("reshape", "of a transposed", lambda lib, x: x.t().reshape(2, -1), W(3, 4)),
    call("view, flatten, unsqueeze, squeeze", "",
         lambda lib, x: x.view(2, 6).unsqueeze(1).squeeze(1).flatten(), W(3, 4)),
    call("permute", "", lambda lib, x: x.permute(2, 0, 1), X(3, 4, 2)),
    call("transpose, contiguous", "", lambda lib, x: x.transpose(0, 1).contiguous(), X(3, 4)),
    call("expand", "", lambda lib, x: x.expand(3, 4, 2), W(4, 1)),
    call("repeat", "", lambda lib, x: x.repeat(2, 3), X(3, 4)),
    call("flip", "", lambda lib, x: x.flip(0, 1), X(3, 4)),
    call("cat", "", lambda lib, a, b: lib.cat([a, b, a], 1), X(3, 4), X(3, 2)),
    call("stack", "", lambda lib, a, b: lib.stack([a, b], 1), X(3, 4), X(3, 4)),
    call("split, chunk, unbind", "",
         lambda lib, x: (*x.split([1, 3], 1), *x.chunk(2, 1), *x.unbind(1)), X(3, 4)),
    call("clone", "", lambda lib, x: x.clone(), X(3, 4)),
    call("x[1:, ::2]", "", lambda lib, x: x[1:, ::2], X(3, 4)),
    call("x[..., None, -1]", "", lambda lib, x: x[..., None, -1], X(3, 4)),
    call("x[indices]", "repeated", lambda lib, x, i: x[i], W(3, 4), I([[0, 2], [2, 2]])),
    call("x[:, indices, 1]", "", lambda lib, x, i: x[:, i, 1], X(3, 4, 2), I([3, 0, 3])),
    call("x[mask]", "", lambda lib, x, m: x[m], W(3, 4), M([[1, 0, 1, 0]] * 3)),
    call("gather", "", lambda lib, x, i: x.gather(1, i), W(2, 4), I([[0, 3, 3], [1, 1, 2]])),
    call("index_select", "", lambda lib, x, i: x.index_select(1, i), X(3, 4), I([3, 0, 3])),
]  # fmt: skip


def _assign(lib: Any, x: Any, value: Any) -> Any:
    y = x * 1
    y[1:, 0] = value
    y[0] = x[1] * 2
    return y


def _in_place(lib: Any, x: Any, other: Any) -> Any:
    y = x * 1
    y.add_(other).mul_(other).sub_(1).div_(other)
    return y.clamp_(-1, 1)


CASES["in place"] = [
    call("x[1:, 0] = value", "", _assign, X(3, 4), W(1)),
    call("add_ mul_ sub_ div_ clamp_", "", _in_place, D(3, 4), P(3, 4)),
]


def _network(lib: Any, x: Any, w1: Any, b1: Any, w2: Any, b2: Any, w3: Any, labels: Any) -> Any:
    """conv → ReLU → pool, twice, and a linear layer: what `minicnn train` learns with."""
    f = lib.nn.functional
    y = f.max_pool2d(f.relu(f.conv2d(x, w1, b1, padding=1)), 2)
    y = f.max_pool2d(f.relu(f.conv2d(y, w2, b2, padding=1)), 2)
    return f.cross_entropy(f.linear(y.flatten(1) * 0.1, w3), labels)


def _residual(lib: Any, x: Any, w: Any) -> Any:
    """A tensor used three times, and a gradient that arrives in parts."""
    y = lib.nn.functional.conv2d(x, w, padding=1)
    return (x + y.tanh()) * y + x.mean()


CASES["networks"] = [
    call("conv-pool network", "", _network, X(2, 1, 8, 8), W(2, 1, 3, 3), W(2), W(3, 2, 3, 3), W(3),
         W(2, 12), L(2, 2)),
    call("residual block", "", _residual, X(2, 3, 5, 4), W(3, 3, 3, 3)),
]  # fmt: skip

CASES["layers"] = [
    layer("Conv1d", "reflect", X(2, 3, 9), W(4, 3, 3), W(4), args=(3, 4, 3), padding=2,
          padding_mode="reflect"),
    layer("Conv2d", "", X(2, 3, 6, 5), W(4, 3, 3, 3), W(4), args=(3, 4, 3), padding=1),
    layer("Conv2d", "circular", X(2, 3, 6, 5), W(4, 3, 3, 2), W(4), args=(3, 4, (3, 2)),
          padding=(2, 1), padding_mode="circular"),
    layer("Conv3d", "", X(2, 2, 4, 5, 4), W(3, 2, 2, 2, 2), W(3), args=(2, 3, 2), padding=1),
    layer("ConvTranspose1d", "", X(2, 3, 5), W(3, 4, 3), W(4), args=(3, 4, 3), stride=2),
    layer("ConvTranspose2d", "", X(2, 3, 4, 3), W(3, 4, 3, 3), W(4), args=(3, 4, 3), stride=2),
    layer("Linear", "", X(3, 5), W(4, 5), W(4), args=(5, 4)),
    layer("Flatten", "", X(3, 4, 2)),
    layer("Identity", "", X(3, 4)),
    layer("MaxPool1d", "", D(2, 3, 8), args=(2,)),
    layer("MaxPool2d", "", D(2, 3, 6, 5), args=(2,)),
    layer("AvgPool1d", "", X(2, 3, 8), args=(3, 2, 1)),
    layer("AvgPool2d", "", X(2, 3, 6, 5), args=(3, 2, 1), count_include_pad=False),
    layer("AdaptiveAvgPool1d", "", X(2, 3, 8), args=(3,)),
    layer("AdaptiveAvgPool2d", "", X(2, 3, 6, 5), args=((4, None),)),
    layer("AdaptiveMaxPool1d", "", D(2, 3, 8), args=(3,)),
    layer("AdaptiveMaxPool2d", "", D(2, 3, 6, 5), args=((4, 2),)),
    *(layer(f"{kind}Pad{n}d", "", X(2, 3, *(4, 5)[2 - n:]), args=args)
      for kind, args in [("Zero", (2,)), ("Constant", (2, 0.5)), ("Reflection", (2,)),
                         ("Replication", (2,)), ("Circular", (2,))] for n in (1, 2)),
    call("nn.GlobalAvgPool2d", "", either(
         lambda lib, x: lib.nn.GlobalAvgPool2d()(x),
         lambda lib, x: x.mean((2, 3), keepdim=True)), X(2, 3, 7, 5)),
    call("nn.GlobalMaxPool2d", "", either(
         lambda lib, x: lib.nn.GlobalMaxPool2d()(x),
         lambda lib, x: x.amax((2, 3), keepdim=True)), D(2, 3, 7, 5)),
    layer("BatchNorm1d", "", X(6, 4), W(4), W(4), args=(4,)),
    layer("BatchNorm2d", "", X(4, 3, 5, 2), W(3), W(3), args=(3,), momentum=None),
    layer("BatchNorm3d", "", X(3, 2, 2, 3, 2), args=(2,), affine=False),
    layer("LocalResponseNorm", "", X(2, 7, 3, 4), args=(5,)),
    layer("Upsample", "", X(2, 3, 4, 5), scale_factor=2, mode="bilinear"),
    layer("UpsamplingBilinear2d", "", X(2, 3, 4, 5), scale_factor=2),
    layer("UpsamplingNearest2d", "", X(2, 3, 4, 5), scale_factor=2),
    *(layer(name, "", D(3, 4)) for name in ("ReLU", "ReLU6", "Hardtanh", "LeakyReLU", "ELU")),
    *(layer(name, "", X(3, 4)) for name in ("Sigmoid", "Tanh", "SiLU", "GELU")),
    *(layer(name, "", X(3, 4), dim=1) for name in ("Softmax", "LogSoftmax")),
    call("nn.Dropout", "", masked("Dropout", 0.4), X(4, 5)),
    call("nn.Dropout2d", "", masked("Dropout2d", 0.4), X(3, 4, 2, 3)),
    loss("CrossEntropyLoss", X(6, 4), L(4, 6)),
    loss("NLLLoss", X(6, 4), L(4, 6)),
    loss("BCELoss", U(6, 4), const(U(6, 4))),
    loss("BCEWithLogitsLoss", X(6, 4), const(U(6, 4))),
    *(loss(name, X(5, 4), X(5, 4)) for name in ("MSELoss", "L1Loss", "HuberLoss", "SmoothL1Loss")),
]  # fmt: skip
