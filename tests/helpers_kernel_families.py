"""The families of kernels that the contract test runs, each with its oracle.

A family says how to draw a case (sizes and a seed, never arrays), which cases are hard, how to
make the input arrays, and what minicnn and torch compute from them, under the same names.
Gradients start from a random cotangent: all ones would hide permuted gradients.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from helpers_kernel_oracle import Arrays, leaves, normal, philox_word, with_grads
from helpers_kernels import Case, merged, shapes, window, windows
from hypothesis import strategies as st


class Conv2d:
    """conv2d and its input, weight and bias gradients."""

    cases = merged(
        windows(),
        batch=st.integers(0, 2),
        groups=st.integers(1, 3),
        channels=st.integers(1, 2),  # per group
        filters=st.integers(1, 3),  # per group
        bias=st.booleans(),
    )
    hard: ClassVar[dict[str, Case]] = {
        "1x1": window((7, 9), (1, 1), channels=9, filters=17),
        "first layer": window((9, 11), (3, 3), (1, 1), (1, 1), channels=3, filters=9),
        "wide rows": window((3, 101), (3, 3), (1, 1), (1, 1), filters=5),
        "stride past the kernel": window((11, 10), (2, 1), (3, 4)),
        "padding past the kernel": window((2, 3), (2, 3), (2, 1), (5, 4)),
        "kernel is the image": window((5, 4), (5, 4), channels=4, filters=6),
        "one pixel": window((1, 1), (3, 3), (1, 1), (1, 1), channels=3, filters=4),
        "all different": window((13, 9), (2, 4), (3, 2), (1, 3), (4, 2), filters=3),
        "depthwise": window((8, 7), (3, 3), (2, 2), (1, 1), groups=10, channels=1, filters=1),
        "depthwise, twice": window((5, 6), (3, 2), groups=5, channels=1, filters=2),
        "stem 7x7": window((15, 12), (7, 7), (2, 2), (3, 3), batch=1, channels=3, filters=4),
        "zero batch": window((6, 6), (3, 3), batch=0, groups=2),
    }

    @staticmethod
    def arrays(case: Case, dtype: str) -> Arrays:
        draw, groups = normal(case, dtype), case.get("groups", 1)
        C, K = groups * case.get("channels", 2), groups * case.get("filters", 2)
        x, w = draw(case.get("batch", 2), C, *case["size"]), draw(K, C // groups, *case["kernel"])
        y = F.conv2d(torch.from_numpy(x), torch.from_numpy(w), None, *Conv2d.geometry(case))
        b = draw(K) if case.get("bias", True) else None
        return {"x": x, "w": w, "b": b, "dy": draw(*y.shape)}

    @staticmethod
    def geometry(case: Case) -> tuple:
        return case["stride"], case["padding"], case["dilation"], case.get("groups", 1)

    @staticmethod
    def ours(k: Any, case: Case, x: Any, w: Any, b: Any, dy: Any) -> Arrays:
        how = Conv2d.geometry(case)
        return {
            "y": k.conv2d(x, w, b, *how),
            "dx": k.conv2d_input_grad(dy, w, x.shape, *how),
            "dw": k.conv2d_weight_grad(dy, x, w.shape, *how),
            **({} if b is None else {"db": k.conv2d_bias_grad(dy)}),
        }

    @staticmethod
    def theirs(case: Case, **arrays: Any) -> Arrays:
        x, w, b = leaves(arrays, "x", "w", "b")
        y = F.conv2d(x, w, b, *Conv2d.geometry(case))
        return with_grads(y, arrays["dy"], dx=x, dw=w, db=b)


class Unfold:
    """unfold, with fold as its gradient."""

    cases = merged(windows(), batch=st.integers(0, 2), channels=st.integers(1, 3))
    hard: ClassVar[dict[str, Case]] = {
        "overlap": window((6, 7), (3, 4)),
        "gaps": window((9, 10), (2, 2), (4, 3), (1, 1)),
        "zero batch": window((4, 4), (2, 2), batch=0),
    }

    @staticmethod
    def arrays(case: Case, dtype: str) -> Arrays:
        draw = normal(case, dtype)
        x = draw(case.get("batch", 2), case.get("channels", 2), *case["size"])
        cols = F.unfold(torch.from_numpy(x), *Unfold.geometry(case))
        return {"x": x, "dcols": draw(*cols.shape)}

    @staticmethod
    def geometry(case: Case) -> tuple:
        return case["kernel"], case["dilation"], case["padding"], case["stride"]

    @staticmethod
    def ours(k: Any, case: Case, x: Any, dcols: Any) -> Arrays:
        how = Unfold.geometry(case)
        return {"y": k.unfold(x, *how), "dx": k.fold(dcols, x.shape, *how)}

    @staticmethod
    def theirs(case: Case, **arrays: Any) -> Arrays:
        (x,) = leaves(arrays, "x")
        return with_grads(F.unfold(x, *Unfold.geometry(case)), arrays["dcols"], dx=x)


class Fold(Unfold):
    """fold, with unfold as its gradient."""

    @staticmethod
    def ours(k: Any, case: Case, x: Any, dcols: Any) -> Arrays:
        how = Unfold.geometry(case)
        return {"y": k.fold(dcols, x.shape, *how), "dcols": k.unfold(x, *how)}

    @staticmethod
    def theirs(case: Case, **arrays: Any) -> Arrays:
        (cols,) = leaves(arrays, "dcols")
        y = F.fold(cols, case["size"], *Unfold.geometry(case))
        return with_grads(y, arrays["x"], dcols=cols)


class MaxPool2d:
    """max_pool2d with its indices, and its gradient."""

    cases = merged(
        windows(pooling=True),
        batch=st.integers(0, 2),
        channels=st.integers(1, 3),
        ceil_mode=st.booleans(),
        values=st.sampled_from(("normal", "negative", "ties", "nan", "-inf")),
    )
    hard: ClassVar[dict[str, Case]] = {
        "2x2": window((8, 10), (2, 2), (2, 2)),
        "negative, padded": window((7, 6), (3, 2), (2, 2), (1, 1), values="negative"),
        "negative, ceil": window((6, 9), (2, 3), (2, 2), (1, 1), values="negative", ceil_mode=True),
        "ceil drops a window": window((5, 2), (2, 2), (3, 3), (1, 1), ceil_mode=True),
        "ceil, large kernel": window((5, 5), (6, 6), (2, 2), ceil_mode=True),
        "overlap, ties": window((9, 9), (3, 3), (1, 1), (1, 1), values="ties"),
        "overlap, NaN": window((9, 9), (3, 3), (2, 1), (1, 1), values="nan"),
        "dilated, -inf": window((9, 8), (3, 2), (1, 2), (1, 1), (2, 3), values="-inf"),
        "stride past the kernel": window((11, 10), (2, 1), (3, 4)),
        "large kernel, stride 1": window((12, 11), (9, 8), (1, 1), (4, 4)),
        "zero batch": window((4, 4), (2, 2), (2, 2), batch=0),
    }

    @staticmethod
    def arrays(case: Case, dtype: str) -> Arrays:
        draw, values = normal(case, dtype), case.get("values", "normal")
        x = draw(case.get("batch", 2), case.get("channels", 2), *case["size"])
        if values == "negative":
            x = -1 - abs(x)
        elif values == "ties":
            x = np.round(x)
        elif values != "normal":
            x = np.where(abs(x) < 0.5, np.asarray(float(values), dtype), x)
        y = F.max_pool2d(torch.from_numpy(x), *MaxPool2d.geometry(case))
        return {"x": x, "dy": draw(*y.shape)}

    @staticmethod
    def geometry(case: Case) -> tuple:
        names = ("kernel", "stride", "padding", "dilation")
        return (*(case[name] for name in names), case.get("ceil_mode", False))

    @staticmethod
    def ours(k: Any, case: Case, x: Any, dy: Any) -> Arrays:
        y, indices = k.max_pool2d(x, *MaxPool2d.geometry(case))
        assert indices.dtype == np.int32
        return {"y": y, "indices": indices, "dx": k.max_pool2d_grad(dy, indices, x.shape)}

    @staticmethod
    def theirs(case: Case, **arrays: Any) -> Arrays:
        (x,) = leaves(arrays, "x")
        y, indices = F.max_pool2d(x, *MaxPool2d.geometry(case), return_indices=True)
        return {"indices": indices.numpy(), **with_grads(y, arrays["dy"], dx=x)}


class ReLU:
    """relu and its gradient."""

    cases = merged(shape=shapes(7, 4))
    hard: ClassVar[dict[str, Case]] = {
        "zeros, infinities, NaN": {"shape": (2, 3), "values": [0.0, -0.0, np.inf, -np.inf, np.nan]},
        "long": {"shape": (3, 70001)},
    }

    @staticmethod
    def arrays(case: Case, dtype: str) -> Arrays:
        draw, values = normal(case, dtype), case.get("values", [])
        x, dy = draw(*case["shape"]), draw(*case["shape"])
        x.ravel()[: len(values)] = values
        return {"x": x, "dy": np.where(np.isnan(x), 0, dy)}  # at NaN no gradient to agree on

    @staticmethod
    def ours(k: Any, case: Case, x: Any, dy: Any) -> Arrays:
        y = k.relu(x)
        return {"y": y, "dx": k.relu_grad(dy, y)}

    @staticmethod
    def theirs(case: Case, **arrays: Any) -> Arrays:
        (x,) = leaves(arrays, "x")
        return with_grads(F.relu(x), arrays["dy"], dx=x)


class SoftmaxCrossEntropy:
    """softmax_cross_entropy with its log-probabilities, and its gradient."""

    scales = st.sampled_from((1, 30, 1000))
    cases = merged(batch=st.integers(0, 5), classes=st.integers(1, 12), scale=scales)
    hard: ClassVar[dict[str, Case]] = {
        "one class": {"batch": 3, "classes": 1},
        "many classes": {"batch": 4, "classes": 1000},
        "large batch": {"batch": 700, "classes": 3},
        "impossible classes": {"batch": 4, "classes": 5, "minus_infinity": True},
    }

    @staticmethod
    def arrays(case: Case, dtype: str) -> Arrays:
        draw, N, C = normal(case, dtype), case["batch"], case["classes"]
        logits = draw(N, C) * np.asarray(case.get("scale", 3), dtype)
        logits[:1] = draw(min(N, 1), C)  # undecided: the gradient of a sure row is rounding error
        target: np.ndarray = np.random.default_rng(case["seed"]).integers(0, C, size=(N,))
        if case.get("minus_infinity"):
            logits[0, (target[0] + 1) % C] = logits[1, target[1]] = -np.inf
        return {"logits": logits, "target": target, "dlosses": draw(N)}

    @staticmethod
    def ours(k: Any, case: Case, logits: Any, target: Any, dlosses: Any) -> Arrays:
        losses, log_probs = k.softmax_cross_entropy(logits, target)
        dlogits = k.softmax_cross_entropy_grad(dlosses, log_probs, target)
        return {"y": losses, "log_probs": log_probs, "dlogits": dlogits}

    @staticmethod
    def theirs(case: Case, **arrays: Any) -> Arrays:
        (logits,) = leaves(arrays, "logits")
        losses = F.cross_entropy(logits, torch.from_numpy(arrays["target"]), reduction="none")
        log_probs = F.log_softmax(logits, dim=1).detach().numpy()
        return {"log_probs": log_probs, **with_grads(losses, arrays["dlosses"], dlogits=logits)}


class Linear:
    """linear and its input, weight and bias gradients."""

    sizes = st.integers(1, 9)
    cases = merged(batch=st.integers(0, 6), i=sizes, o=sizes, bias=st.booleans())
    hard: ClassVar[dict[str, Case]] = {"wide": {"batch": 3, "i": 513, "o": 130, "bias": True}}

    @staticmethod
    def arrays(case: Case, dtype: str) -> Arrays:
        draw, batch, i, o = normal(case, dtype), case["batch"], case["i"], case["o"]
        b = draw(o) if case["bias"] else None
        return {"x": draw(batch, i), "w": draw(o, i), "b": b, "dy": draw(batch, o)}

    @staticmethod
    def ours(k: Any, case: Case, x: Any, w: Any, b: Any, dy: Any) -> Arrays:
        return {
            "y": k.linear(x, w, b),
            "dx": k.linear_input_grad(dy, w),
            "dw": k.linear_weight_grad(dy, x),
            **({} if b is None else {"db": k.linear_bias_grad(dy)}),
        }

    @staticmethod
    def theirs(case: Case, **arrays: Any) -> Arrays:
        x, w, b = leaves(arrays, "x", "w", "b")
        return with_grads(F.linear(x, w, b), arrays["dy"], dx=x, dw=w, db=b)


class Dropout:
    """dropout, its gradient (itself) and philox, against Philox in Python's own integers."""

    cases = merged(
        shape=shapes(6, 3),
        p=st.sampled_from((0.0, 0.1, 0.5, 0.9, 1.0)),
        key=st.integers(0, 2**64 - 1),
        offset=st.integers(0, 2**64 - 1),
    )
    hard: ClassVar[dict[str, Case]] = {
        "long": {"shape": (37, 41), "p": 0.3, "key": 2**64 - 1, "offset": 2**32},
        "a word on the threshold": {"shape": (5,), "p": 0x6627E8D5 / 2**32, "key": 0, "offset": 0},
    }

    @staticmethod
    def arrays(case: Case, dtype: str) -> Arrays:
        draw = normal(case, dtype)
        return {"x": draw(*case["shape"]), "dy": draw(*case["shape"])}

    @staticmethod
    def ours(k: Any, case: Case, x: Any, dy: Any) -> Arrays:
        p, seed, offset = case["p"], case["key"], case["offset"]
        words = k.backend.philox(seed, offset, x.size)
        assert words.dtype == np.uint32
        y, dx = k.dropout(x, p, seed, offset), k.dropout(dy, p, seed, offset)
        return {"y": y, "dx": dx, "words": words}

    @staticmethod
    def theirs(case: Case, **arrays: Any) -> Arrays:
        x, dy, p = arrays["x"], arrays["dy"], case["p"]
        words = np.array([philox_word(case["key"], case["offset"], i) for i in range(x.size)])
        keep = np.reshape(words >= round(p * 2**32), x.shape)
        scale = 1 / (1 - p) if p < 1 else 0.0
        return {"y": keep * scale * x, "dx": keep * scale * dy, "words": words}


class Adam:
    """adam_step, three steps, against torch's Adam and AdamW."""

    cases = merged(
        shape=shapes(6, 3),
        lr=st.sampled_from((0.1, 1e-3)),
        betas=st.sampled_from(((0.9, 0.999), (0.5, 0.8))),
        weight_decay=st.sampled_from((0.0, 0.3)),
        decoupled=st.booleans(),
    )
    hard: ClassVar[dict[str, Case]] = {"long": {"shape": (70001,)}}

    @staticmethod
    def arrays(case: Case, dtype: str) -> Arrays:
        draw = normal(case, dtype)
        return {"param": draw(*case["shape"]), "steps": [draw(*case["shape"]) for _ in range(3)]}

    @staticmethod
    def ours(k: Any, case: Case, param: Any, steps: Any) -> Arrays:
        param, m, v = param.copy(), np.zeros_like(param), np.zeros_like(param)
        (beta1, beta2), decoupled = case.get("betas", (0.9, 0.999)), case.get("decoupled", False)
        for step, grad in enumerate(steps, start=1):
            before = grad.copy()
            k.backend.adam_step(
                param, grad, m, v, step=step, lr=case.get("lr", 0.01), beta1=beta1, beta2=beta2,
                eps=1e-8, weight_decay=case.get("weight_decay", 0.1), decoupled=decoupled,
            )  # fmt: skip
            np.testing.assert_array_equal(grad, before)
        return {"param": param, "exp_avg": m, "exp_avg_sq": v}

    @staticmethod
    def theirs(case: Case, **arrays: Any) -> Arrays:
        (param,) = leaves(arrays, "param")
        kind = torch.optim.AdamW if case.get("decoupled", False) else torch.optim.Adam
        lr, decay = case.get("lr", 0.01), case.get("weight_decay", 0.1)
        adam = kind([param], lr, case.get("betas", (0.9, 0.999)), weight_decay=decay)
        for grad in arrays["steps"]:
            param.grad = torch.from_numpy(grad.copy())
            adam.step()
        moments = {name: adam.state[param][name].numpy() for name in ("exp_avg", "exp_avg_sq")}
        return {"param": param.detach().numpy(), **moments}


class SGD(Adam):
    """sgd_step, three steps, against torch's SGD."""

    plain, rolling = (0.0, 0.0, False), (0.9, 0.0, False)
    cases = merged(
        shape=shapes(6, 3),
        lr=st.sampled_from((0.1, 1e-3)),
        momentum=st.sampled_from((plain, rolling, (0.9, 0.0, True), (0.6, 0.4, False))),
        weight_decay=st.sampled_from((0.0, 0.3)),
    )

    @staticmethod
    def ours(k: Any, case: Case, param: Any, steps: Any) -> Arrays:
        momentum, dampening, nesterov = case.get("momentum", SGD.rolling)
        param, buffer = param.copy(), np.full_like(param, np.nan) if momentum else None
        for step, grad in enumerate(steps):
            before = grad.copy()
            k.backend.sgd_step(
                param, grad, buffer, lr=case.get("lr", 0.01), momentum=momentum,
                dampening=dampening, weight_decay=case.get("weight_decay", 0.1),
                nesterov=nesterov, first=step == 0,
            )  # fmt: skip
            np.testing.assert_array_equal(grad, before)
        return {"param": param} if buffer is None else {"param": param, "buffer": buffer}

    @staticmethod
    def theirs(case: Case, **arrays: Any) -> Arrays:
        (param,) = leaves(arrays, "param")
        momentum, dampening, nesterov = case.get("momentum", SGD.rolling)
        lr, decay = case.get("lr", 0.01), case.get("weight_decay", 0.1)
        sgd = torch.optim.SGD([param], lr, momentum, dampening, decay, nesterov)
        for grad in arrays["steps"]:
            param.grad = torch.from_numpy(grad.copy())
            sgd.step()
        buffer = {"buffer": sgd.state[param]["momentum_buffer"].numpy()} if momentum else {}
        return {"param": param.detach().numpy(), **buffer}


FAMILIES: dict[str, Any] = {
    family.__name__: family
    for family in (
        *(Conv2d, Unfold, Fold, MaxPool2d, ReLU),
        *(SoftmaxCrossEntropy, Linear, Dropout, Adam, SGD),
    )
}
