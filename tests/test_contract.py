"""The contract as `minicnn check` runs it: its cases against torch, mistakes made on purpose."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from helpers_kernels import Strict, assert_agree
from kernel_families import FAMILIES as TESTED

from minicnn import contract
from minicnn.contract import families
from minicnn.contract.calls import DTYPES, calls, signature
from minicnn.contract.hints import _misreadings
from minicnn.errors import ArgumentError
from minicnn.kernels import kernel_names, reference
from minicnn.kernels.reference import loops

# ------------------------------------------------------------------------------------- the cases


def test_every_kernel_has_cases() -> None:
    """A kernel added to the contract fails here until a family in minicnn/contract calls it."""
    assert not [kernel for kernel in kernel_names() if not calls(kernel)]


def test_every_family_of_the_contract_is_tested_with_torch() -> None:
    bases = {base for tested in TESTED.values() for base in tested.__mro__[1:]}
    assert set(families.FAMILIES.values()) <= bases


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rung", ["loops", "numpy"])
@pytest.mark.parametrize("family", [n for n, f in TESTED.items() if hasattr(f, "examples")])
def test_the_examples_against_torch(family: str, rung: str, dtype: str) -> None:
    tested = TESTED[family]
    for example, case in tested.examples.items():
        arrays = tested.arrays(case, dtype)
        got = tested.ours(Strict(rung), case, **arrays)
        assert_agree(got, tested.theirs(case, **arrays), f"torch on {example!r}")


def test_a_kernel_s_first_case_is_its_smallest() -> None:
    for kernel in filter(calls, kernel_names()):
        sizes = [
            [a.size for a in call.named().values() if isinstance(a, np.ndarray)]
            for call in calls(kernel)
        ]
        assert sum(sizes[0]) == min(sum(size) for size in sizes if all(size)), kernel


def test_sums_of_products_are_of_whole_numbers() -> None:
    """So that they can be checked by hand, and are the same in float32 in any order."""
    for kernel in ("conv2d", "conv2d_weight_grad", "unfold", "fold", "linear"):
        for call in calls(kernel):
            if "fractions" not in call.example:
                arrays = [a for a in call.args if isinstance(a, np.ndarray)]
                assert all((a == np.round(a)).all() and abs(a).max(initial=0) < 10 for a in arrays)


@pytest.mark.parametrize("rung", ["loops", "numpy", "numba"])
def test_the_rungs_keep_the_contract(rung: str) -> None:
    report = contract.check(rung)
    assert report.ok, str(report)
    assert report.name == f"the rung {rung}"
    assert len(report.right) + len(report.missing) == len(kernel_names())
    assert ("relu" in report.missing) == (rung == "loops")


def test_integers_have_the_dtypes_that_the_contract_names() -> None:
    assert {call.dtypes[1] for call in calls("max_pool2d")} == {np.dtype("int32")}
    assert {call.dtypes for call in calls("philox")} == {(np.dtype("uint32"),)}


# --------------------------------------------------------------------------------------- mistakes


def verdict_on(kernel: str, function: Any, **more: Any) -> contract.Verdict:
    """The contract's word on one function."""
    return contract.check(SimpleNamespace(**{kernel: function}), ops=[kernel], **more)[kernel]


def test_float32_sums_in_another_order_are_right() -> None:
    def conv2d(x, w, b, stride, padding, dilation, groups, *, out=None):
        turned = [np.ascontiguousarray(a[:, ::-1, ::-1, ::-1]) for a in (x, w)]
        if groups > 1:  # channels of a group stay together
            return loops.conv2d(x, w, b, stride, padding, dilation, groups, out=out)
        # Turned about, the windows that end at the far edge come first.
        R, S = w.shape[2:]
        sizes = zip(x.shape[2:], (R, S), stride, padding, dilation, strict=True)
        left = [(n + 2 * p - d * (k - 1) - 1) % s for n, k, s, p, d in sizes]
        pads = ((0, 0), (0, 0), *((p - r, p) for p, r in zip(padding, left, strict=True)))
        if min(min(pad) for pad in pads) < 0:
            return loops.conv2d(x, w, b, stride, padding, dilation, groups, out=out)
        y = reference.conv2d(np.pad(turned[0], pads), turned[1], b, stride, (0, 0), dilation, 1)
        y = np.ascontiguousarray(y[:, :, ::-1, ::-1])
        if out is None:
            return y
        out[...] = y
        return out

    verdict = verdict_on("conv2d", conv2d)
    assert verdict.status == "right", verdict.failure


def conv2d_with(**changed: Callable[[Any], Any]) -> Callable[..., Any]:
    """A conv2d that misreads some of its arguments."""

    def conv2d(x, w, b, stride, padding, dilation, groups):
        names = ("x", "w", "b", "stride", "padding", "dilation", "groups")
        given = zip(names, (x, w, b, stride, padding, dilation, groups), strict=True)
        return reference.conv2d(*(changed.get(name, lambda v: v)(v) for name, v in given))

    return conv2d


def conv2d_then(after: Callable[[Any], Any]) -> Callable[..., Any]:
    """A conv2d whose result is changed."""

    def conv2d(x, w, b, stride, padding, dilation, groups):
        return after(reference.conv2d(x, w, b, stride, padding, dilation, groups))

    return conv2d


def flipped(w):
    return np.ascontiguousarray(w[:, :, ::-1, ::-1])


def late_windows(x, w, b, stride, padding, dilation, groups):
    padded = np.pad(x, ((0, 0), (0, 0), (0, 2 * padding[0]), (0, 2 * padding[1])))
    return reference.conv2d(padded, w, b, stride, (0, 0), dilation, groups)


def max_pool2d_with(
    pad: float = -np.inf, wins: Callable[[float, float], bool] = lambda a, b: a > b or a != a
) -> Callable[..., Any]:
    """A max_pool2d in loops with its own padding, and its own idea of what wins."""

    def max_pool2d(x, kernel, stride, padding, dilation, ceil_mode):
        want, _ = reference.max_pool2d(x, kernel, stride, padding, dilation, ceil_mode)
        y, indices = want.copy(), np.zeros(want.shape, np.int32)
        for n, c, p, q in np.ndindex(want.shape):
            best, place = None, -1
            for r, s in np.ndindex(kernel):
                h = p * stride[0] - padding[0] + r * dilation[0]
                v = q * stride[1] - padding[1] + s * dilation[1]
                inside = 0 <= h < x.shape[2] and 0 <= v < x.shape[3]
                over = h >= x.shape[2] + padding[0] or v >= x.shape[3] + padding[1]
                if over or (not inside and pad == -np.inf):
                    continue
                value = x[n, c, h, v] if inside else pad
                if best is None or wins(value, best):
                    best, place = value, h * x.shape[3] + v
            y[n, c, p, q], indices[n, c, p, q] = best, place
        return y, indices

    return max_pool2d


def max_pool2d_then(after: Callable[..., Any], dtype: Any = np.int32) -> Callable[..., Any]:
    """A max_pool2d whose indices are changed."""

    def max_pool2d(x, kernel, stride, padding, dilation, ceil_mode):
        y, indices = reference.max_pool2d(x, kernel, stride, padding, dilation, ceil_mode)
        return y, after(x, padding, indices).astype(dtype)

    return max_pool2d


def overwriting_grad(dy, indices, input_shape):
    dx = np.zeros(input_shape, dy.dtype)
    for n, c, p, q in np.ndindex(dy.shape):
        dx[n, c].flat[indices[n, c, p, q]] = dy[n, c, p, q]
    return dx


def overwriting_fold(cols, output_shape, kernel, dilation, padding, stride):
    places = np.reshape(np.arange(1.0, 1 + np.prod(output_shape)), output_shape)
    dx = np.zeros(1 + places.size, cols.dtype)
    at = reference.unfold(places, kernel, dilation, padding, stride).astype(int)
    for index, value in zip(at.ravel(), cols.ravel(), strict=True):
        dx[index] = value
    return np.reshape(dx[1:], output_shape)


def unfold_taps_first(x, kernel, dilation, padding, stride):
    cols = reference.unfold(x, kernel, dilation, padding, stride)
    taps = np.reshape(cols, (*x.shape[:2], kernel[0] * kernel[1], cols.shape[2]))
    return np.reshape(np.ascontiguousarray(np.swapaxes(taps, 1, 2)), cols.shape)


def uncorrected_adam(param, grad, exp_avg, exp_avg_sq, *, step, **how):
    reference.adam_step(param, grad, exp_avg, exp_avg_sq, step=10**6, **how)


MISTAKES: dict[str, tuple[str, Callable[..., Any], str, str]] = {
    # kernel, function, the smallest case it fails, and a piece of the hint
    "flipped": ("conv2d", conv2d_with(w=flipped), "a row of three", "cross-correlation"),
    "padding forgotten": ("conv2d", conv2d_with(padding=lambda p: (0, 0)), "padding 1", "padding"),
    "off by the padding": ("conv2d", late_windows, "padding 1", "begin at the first pixel"),
    "stride swapped": (
        "conv2d", conv2d_with(stride=lambda s: s[::-1]), "a stride for each axis", "swapped"),
    "one stride for both": (
        "conv2d", conv2d_with(stride=lambda s: (s[0], s[0])), "a stride for each axis", "first"),
    "no dilation": ("conv2d", conv2d_with(dilation=lambda d: (1, 1)), "dilation 2", "dilation (1"),
    "no bias": ("conv2d", conv2d_with(b=lambda b: None), "a bias", "bias b is not added"),
    "channels last": (
        "conv2d", conv2d_then(lambda y: np.ascontiguousarray(y.transpose(0, 2, 3, 1))),
        "a row of three", "axes of y are in the order (0, 2, 3, 1)"),
    "mean, not sum": (
        "conv2d_bias_grad", lambda dy: np.mean(dy, axis=(0, 2, 3)), "two filters", "1/4 of what"),
    "minus": ("conv2d", conv2d_then(lambda y: -y), "one pixel", "sign"),
    "zeros": ("conv2d", conv2d_then(np.zeros_like), "one pixel", "0 everywhere"),
    "single precision": (
        "conv2d", conv2d_then(lambda y: y.astype(np.float32).astype(y.dtype)),
        "fractions", "single precision"),
    "one image only": (
        "conv2d", conv2d_then(lambda y: np.concatenate((y[:1], 0 * y[1:]))),
        "two images", "more than one along axis 0 of x"),
    "padding of zeros": (
        "max_pool2d", max_pool2d_with(pad=0.0), "padding 1", "-inf"),
    "NaN loses": (
        "max_pool2d", max_pool2d_with(wins=lambda a, b: a > b or b != b), "NaN", "NaN in the"),
    "the last maximum": (
        "max_pool2d", max_pool2d_with(wins=lambda a, b: a >= b or a != a),
        "equal numbers", "the first in reading order"),
    "the first NaN": (
        "max_pool2d", max_pool2d_with(wins=lambda a, b: a > b or (a != a and b == b)),
        "NaN", "the last"),
    "padded plane": (
        "max_pool2d",
        max_pool2d_then(lambda x, pad, i: (i // x.shape[3] + pad[0]) * (x.shape[3] + 2 * pad[1])
                        + i % x.shape[3] + pad[1]),
        "padding 1", "padded plane"),
    "columns first": (
        "max_pool2d",
        max_pool2d_then(lambda x, pad, i: i % x.shape[3] * x.shape[2] + i // x.shape[3]),
        "2×2 windows", "columns first"),
    "through all planes": (
        "max_pool2d",
        max_pool2d_then(lambda x, pad, i: i + np.arange(x.shape[0] * x.shape[1]).reshape(
            *x.shape[:2], 1, 1) * x.shape[2] * x.shape[3]),
        "two channels", "each plane's"),
    "winners overwritten": ("max_pool2d_grad", overwriting_grad, "windows overlap", "add up"),
    "overlaps overwritten": ("fold", overwriting_fold, "a row of three", "add up"),
    "taps before channels": ("unfold", unfold_taps_first, "two channels", "(c, r, s)"),
    "no correction": ("adam_step", uncorrected_adam, "one number", "corrected"),
    "NaN to 0": ("relu", lambda x: np.where(x > 0, x, 0).astype(x.dtype), "NaN", "stay NaN"),
    "dy at 0": (
        "relu_grad", lambda dy, y: np.where(y >= 0, dy, 0).astype(dy.dtype),
        "a negative number", "must not"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_found_in_its_smallest_case_and_recognised(mistake: str) -> None:
    kernel, function, example, hint = MISTAKES[mistake]
    verdict = verdict_on(kernel, function)
    assert verdict.status == "wrong"
    failure = verdict.failure
    assert failure is not None
    assert failure.example.startswith(example)
    assert hint in failure.hint


def test_the_first_wrong_entry_is_named_with_both_numbers() -> None:
    def conv2d(x, w, b, stride, padding, dilation, groups):
        y = reference.conv2d(x, w, b, stride, padding, dilation, groups)
        if y.shape == (1, 1, 2, 2):
            y[0, 0, 1, 0] += 1
        return y

    failure = verdict_on("conv2d", conv2d).failure
    assert failure is not None
    assert (failure.number, failure.example) == (4, "a kernel of 2×2 slides over 3×3")
    want, got = failure.pictures["y expected"], failure.pictures["y got"]
    assert got[0, 0, 1, 0] == want[0, 0, 1, 0] + 1
    places = f"y[0, 0, 1, 0] is {got[0, 0, 1, 0]:g}, expected {want[0, 0, 1, 0]:g}."
    assert failure.problem == f"{places} Wrong entries: 1 of 4."
    x, w = failure.pictures["x"], failure.pictures["w"]
    np.testing.assert_array_equal(loops.conv2d(x, w, None, (1, 1), (0, 0), (1, 1), 1), want)


def test_a_strange_mistake_gets_no_hint() -> None:
    def conv2d(x, w, b, stride, padding, dilation, groups):
        y = reference.conv2d(x, w, b, stride, padding, dilation, groups)
        return y + (np.arange(y.size).reshape(y.shape) % 5 == y.size % 3).astype(y.dtype)

    failure = verdict_on("conv2d", conv2d).failure
    assert failure is not None
    assert failure.hint == ""


def test_two_mistakes_at_once_are_told_by_the_first() -> None:
    both = conv2d_with(dilation=lambda d: (1, 1), b=lambda b: None)
    failure = verdict_on("conv2d", both).failure
    assert failure is not None
    assert failure.example == "dilation 2"
    assert "dilation (1, 1)" in failure.hint


def misread(kernel: str, name: str, text: str) -> Callable[..., Any]:
    """The kernel, reading one of its arguments as `_misreadings` describes."""
    declared = signature(kernel)
    bare = [p for p in declared.parameters.values() if p.name != "out"]

    def wrong(*args: Any, **more: Any) -> Any:
        given = declared.bind(*args, **more)
        for said, change in _misreadings(name, given.arguments[name]):
            if said == text:
                given.arguments[name] = change(given.arguments[name])
        return getattr(reference, kernel)(*given.args, **given.kwargs)

    wrong.__signature__ = declared.replace(parameters=bare)  # type: ignore[attr-defined]
    return wrong


# conv2d_bias_grad adds up whole planes: the order of their pixels is all the same.
@pytest.mark.parametrize("kernel", [k for k in kernel_names() if k != "conv2d_bias_grad"])
def test_no_argument_can_be_misread_unnoticed(kernel: str) -> None:
    """There is a case for every argument; and no mistake is taken for another."""
    every = {
        (name, text): None
        for call in calls(kernel)
        for name, value in call.named().items()
        for text, _ in _misreadings(name, value)
    }
    for name, text in every:
        failure = verdict_on(kernel, misread(kernel, name, text)).failure
        assert failure is not None, text
        assert failure.hint in ("", text) or failure.hint.startswith("It is wrong in every"), text


# --------------------------------------------------------------------------------------- promises


def writes(x, w, b, stride, padding, dilation, groups):
    y = reference.conv2d(x, w, b, stride, padding, dilation, groups)
    x[...] = 0
    return y


def aliased(x, *, out=None):
    np.maximum(x, 0, out=x)
    return x


def shared(x, *, out=None):
    return x if (x > 0).all() else np.maximum(x, 0)


_kept: dict[Any, Any] = {}


def kept(x, *, out=None):
    y = _kept.setdefault((x.shape, x.dtype), np.empty_like(x))
    y[...] = np.maximum(x, 0)
    return y


def ignores_out(x, *, out=None):
    return np.maximum(x, 0)


def forgets_out(x, *, out=None):
    return np.maximum(x, 0) if out is None else out


def breaks_on_out(x, *, out=None):
    return np.maximum(x, 0) + out if out is not None else np.maximum(x, 0)


PROMISES: dict[str, tuple[str, Callable[..., Any], str]] = {
    "an input changed": ("conv2d", writes, "It changes its argument x: x[0, 0, 0, 0] was"),
    "the input itself": ("relu", aliased, "It changes its argument x: x[0] was -2, and is 0"),
    "the input's memory": ("relu", shared, "y shares memory with the argument x. Return a new"),
    "the last call's memory": ("relu", kept, "A second call overwrites the first one's result"),
    "out is ignored": ("relu", ignores_out, "With out=, what is returned is not that array"),
    "out stays empty": ("relu", forgets_out, "With out=, the array given is not filled"),
    "float64": ("relu", lambda x: np.maximum(x, 0.0).astype(float), "y is float64, expected"),
    "float32": ("relu", lambda x: np.maximum(x, 0).astype("f4"), "y is float32, expected float64"),
    "long indices": (
        "max_pool2d", max_pool2d_then(lambda x, pad, i: i, np.int64),
        "indices is int64, expected int32."),
    "not in C order": (
        "relu", lambda x: np.asfortranarray(np.maximum(x, 0)), "y is not C-contiguous."),
    "a list": ("relu", lambda x: np.maximum(x, 0).tolist(), "y is of type list, expected an array"),
    "nothing": ("relu", lambda x: None, "It returns nothing, expected y."),
    "one of two": (
        "max_pool2d", lambda *how: reference.max_pool2d(*how)[0],
        "It returns one result, expected (y, indices)."),
    "a number": ("relu", lambda x: np.maximum(x, 0)[0], "y is of type float32, expected an array"),
    "without the batch": (
        "conv2d", conv2d_then(lambda y: y[0]), "y has shape (1, 1, 1), expected (1, 1, 1, 1)."),
    "not in place": (
        "sgd_step", lambda param, grad, momentum_buffer, **how: param - how["lr"] * grad,
        "It has to change param in place."),
}  # fmt: skip


@pytest.mark.parametrize("promise", PROMISES)
def test_a_broken_promise_is_named(promise: str) -> None:
    kernel, function, problem = PROMISES[promise]
    failure = verdict_on(kernel, function).failure
    assert failure is not None
    assert problem in failure.problem


def test_an_exception_is_a_wrong_kernel_with_the_line() -> None:
    def relu(x):
        raise KeyError("my mistake")

    def unfold(x, kernel, dilation, padding, stride):
        raise SystemExit(3)

    report = contract.check(SimpleNamespace(relu=relu, unfold=unfold))
    for kernel, words in (("relu", "KeyError: 'my mistake'"), ("unfold", "exit()")):
        failure = report[kernel].failure
        assert failure is not None
        assert failure.problem.startswith(words) or words in failure.problem


def test_out_that_raises_is_told() -> None:
    failure = verdict_on("relu", breaks_on_out).failure  # NaN, whatever out holds
    assert failure is not None
    assert "With out=" in failure.problem


SIGNATURES: dict[str, tuple[Callable[..., Any], str]] = {
    "too few": (
        lambda x, w, b, stride, padding: None,
        "Its signature lacks dilation, groups. It has to be def conv2d(x, w, b, stride, padding, "
        "dilation, groups, *, out=None)."),
    "too many": (
        lambda x, w, b, stride, padding, dilation, groups, fast: None, "has fast, which nobody"),
    "another order": (
        lambda w, x, b, stride, padding, dilation, groups: None,
        "Its parameters are in another order, (w, x, b, stride, padding, dilation, groups)."),
    "no function": (3, "is 3, not a function."),  # type: ignore[dict-item]
}  # fmt: skip


@pytest.mark.parametrize("which", SIGNATURES)
def test_a_signature_that_cannot_be_called_is_told_without_calling(which: str) -> None:
    function, problem = SIGNATURES[which]
    verdict = verdict_on("conv2d", function)
    assert verdict.status == "wrong"
    assert verdict.failure is not None
    assert problem in verdict.failure.problem
    assert verdict.failure.number == 0


def test_a_keyword_that_is_lacking_is_told() -> None:
    def sgd_step(param, grad, momentum_buffer, *, lr, momentum, weight_decay, nesterov, first):
        pass

    failure = verdict_on("sgd_step", sgd_step).failure
    assert failure is not None
    assert "lacks dampening" in failure.problem


def test_other_names_and_no_out_are_notes_only() -> None:
    def relu(image):
        return np.maximum(image, 0)

    verdict = verdict_on("relu", relu)
    assert verdict.status == "right"
    assert verdict.notes == (
        "no out=; the engine does without",
        "other names of parameters: image for x",
    )


def test_any_arguments_will_do() -> None:
    assert verdict_on("relu", lambda *args, **more: reference.relu(*args, **more)).notes == ()


# ------------------------------------------------------------------------------------- the report


def test_the_report_counts_and_prints() -> None:
    own = SimpleNamespace(
        relu=reference.relu, conv2d=conv2d_with(w=flipped), __name__="own", conv_2d_bias_gard=len
    )
    seen: list[str] = []
    report = contract.check(own, on_verdict=lambda verdict: seen.append(verdict.kernel))
    assert (report.right, report.wrong) == (("relu",), ("conv2d",))
    assert set(report.missing) == set(kernel_names()) - {"relu", "conv2d"}
    assert not report.ok
    assert seen[:2] == ["conv2d", "relu"]  # those that are there come first
    text = str(report)
    assert text.splitlines()[0] == "own"
    assert all(len(line) <= 80 for line in text.splitlines())
    assert "1 right, 1 wrong" in text
    with pytest.raises(KeyError):
        report["conv3d"]


def test_only_some_kernels_and_one_dtype() -> None:
    asked: list[Any] = []

    def relu(x):
        asked.append(x.dtype)
        return np.maximum(x, 0)

    report = contract.check(
        SimpleNamespace(relu=relu, conv2d=None), ops=["relu"], dtypes=["float64"]
    )
    assert [verdict.kernel for verdict in report.verdicts] == ["relu"]
    assert set(asked) == {np.dtype("float64")}


REFUSED: dict[str, tuple[Any, dict[str, Any], str]] = {
    "an unknown op": ("numpy", {"ops": ["conv2"]}, "Did you mean 'conv2d'"),
    "an unknown dtype": ("numpy", {"dtypes": ["float16"]}, "float16"),
    "no op": ("numpy", {"ops": []}, "Use some of"),
    "a module without kernels": (SimpleNamespace(x=1), {}, "minicnn check --example"),
    "a file that is not there": ("nowhere.py", {}, "nowhere.py: no such file"),
    "no time": ("numpy", {"timeout": float("nan")}, "more than 0 s"),
}


@pytest.mark.parametrize("which", REFUSED)
def test_what_cannot_be_checked_is_refused(which: str) -> None:
    kernels, how, piece = REFUSED[which]
    with pytest.raises(ArgumentError) as refused:
        contract.check(kernels, **how)
    assert piece in str(refused.value)
    assert "\n" not in str(refused.value)
