"""PyTorch's promotion, over its whole table, and where each dtype comes from."""

from __future__ import annotations

import itertools
import operator
import warnings

import numpy as np
import pytest
import torch

import minicnn
from minicnn.errors import ArgumentError, DtypeError, ShapeError

NAMES = ("bool", "uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64")
FLOATS = ("float16", "float32", "float64")
ARITHMETIC = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "//": operator.floordiv,
    "%": operator.mod,
    "**": operator.pow,
}
COMPARISONS = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def name_of(dtype: object) -> str:
    return str(dtype).removeprefix("torch.").removeprefix("minicnn.")


def operand(lib, kind: str, name: str):
    """1 as a tensor with dimensions, a tensor without, a Python scalar or a NumPy scalar."""
    if kind == "python":
        return {"bool": True, "int64": 1, "float32": 1.0}[name]
    if kind == "numpy":
        value = np.dtype(name).type(1)
        # torch knows no NumPy scalars but those that are Python's: they count as Python's here.
        return value if lib is minicnn else value.item()
    data = [1, 1] if kind == "dims" else 1
    return lib.tensor(data, dtype=getattr(lib, name))


KINDS = {"dims": NAMES, "no dims": NAMES, "python": ("bool", "int64", "float32"), "numpy": NAMES}
PAIRS = [pair for pair in itertools.product(KINDS, repeat=2) if "dims" in pair or "no dims" in pair]


def outcome(function, a, b) -> str:
    try:
        return name_of(function(a, b).dtype)
    except (RuntimeError, NotImplementedError, TypeError):
        return "refused"


@pytest.mark.parametrize(("left", "right"), PAIRS, ids=[f"{a}-{b}" for a, b in PAIRS])
@pytest.mark.parametrize("symbol", [*ARITHMETIC, *COMPARISONS])
def test_promotion(symbol, left, right):
    function = {**ARITHMETIC, **COMPARISONS}[symbol]
    wrong = {}
    for a, b in itertools.product(KINDS[left], KINDS[right]):
        want = outcome(function, operand(torch, left, a), operand(torch, right, b))
        got = outcome(function, operand(minicnn, left, a), operand(minicnn, right, b))
        if want == "refused" and symbol == "-" and "bool" in (a, b):
            continue  # torch refuses bool - 1, which is an integer here
        if symbol == "**" and a == b == "bool":
            continue  # torch refuses all but tensor ** True
        if got != want:
            wrong[a, b] = (got, want)
    assert not wrong, f"{{(left, right): (minicnn, torch)}} = {wrong}"


def test_functions_of_two_tensors_promote_alike():
    condition = [True, False]
    for a, b in itertools.product(NAMES, NAMES):
        ours = [minicnn.tensor([1, 1], dtype=n) for n in (a, b)]
        theirs = [torch.tensor([1, 1], dtype=getattr(torch, n)) for n in (a, b)]
        for function in ("maximum", "minimum"):
            want = name_of(getattr(torch, function)(*theirs).dtype)
            assert name_of(getattr(minicnn, function)(*ours).dtype) == want
        want = name_of(torch.where(torch.tensor(condition), *theirs).dtype)
        assert name_of(minicnn.where(minicnn.tensor(condition), *ours).dtype) == want


def test_values_survive_promotion():
    assert (minicnn.tensor([True, False]) + minicnn.tensor([2, 3])).tolist() == [3, 3]
    assert (minicnn.tensor([7, -7]) / 2).tolist() == [3.5, -3.5]
    assert (minicnn.tensor([7, -7]) // 2).tolist() == [3, -4]
    assert (minicnn.tensor([7, -7]) % 3).tolist() == [1, 2]
    assert (minicnn.tensor([2, 3]) ** 2).tolist() == [4, 9]
    assert (2 ** minicnn.tensor([2, 3])).tolist() == [4, 8]
    assert (minicnn.tensor([1, 2]) * 1.5).tolist() == [1.5, 3.0]
    assert (minicnn.tensor([True, True]) * minicnn.tensor([True, False])).tolist() == [True, False]


def test_narrow_integers_wrap_around_as_in_torch():
    for number in (300, -1, 256):
        for function in (operator.add, operator.sub, operator.mul):
            ours = function(minicnn.tensor([200, 10], dtype=minicnn.uint8), number)
            theirs = function(torch.tensor([200, 10], dtype=torch.uint8), number)
            assert ours.tolist() == theirs.tolist()
            assert ours.dtype == minicnn.uint8
    # A comparison means what it says; torch wraps the number here.
    assert (minicnn.tensor([200, 10], dtype=minicnn.uint8) < 300).tolist() == [True, True]
    assert (minicnn.tensor([200, 10], dtype=minicnn.uint8) > -1).tolist() == [True, True]


def test_an_image_times_a_float64_number_stays_float32():
    image = minicnn.ones(2, 2)
    for factor in (np.float64(0.5), minicnn.tensor(0.5, dtype=minicnn.float64), 0.5):
        assert (image * factor).dtype == minicnn.float32
        assert (factor * image).dtype == minicnn.float32
    assert (image * minicnn.ones(2, dtype=minicnn.float64)).dtype == minicnn.float64


def test_no_numpy_warning_reaches_the_user():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        minicnn.tensor([1e30]) * 1e30
        minicnn.tensor(200, dtype=minicnn.uint8) + minicnn.tensor(100, dtype=minicnn.uint8)
        minicnn.tensor([float("nan")]).long()
        minicnn.tensor([1e300], dtype=minicnn.float64).float()


# ---------------------------------------------------------------------------------- where from


def test_dtypes_of_factories():
    makers = {
        "zeros": lambda lib: lib.zeros(2),
        "ones": lambda lib: lib.ones(2, 3),
        "empty": lambda lib: lib.empty((2, 3)),
        "eye": lambda lib: lib.eye(3),
        "rand": lambda lib: lib.rand(2),
        "randn": lambda lib: lib.randn(2),
        "randint": lambda lib: lib.randint(5, (2,)),
        "randint from": lambda lib: lib.randint(2, 5, (2,)),
        "randperm": lambda lib: lib.randperm(4),
        "arange": lambda lib: lib.arange(4),
        "arange of floats": lambda lib: lib.arange(0, 1, 0.25),
        "arange of one float": lambda lib: lib.arange(3.0),
        "arange of a NumPy integer": lambda lib: lib.arange(np.int64(3)),
        "arange downwards": lambda lib: lib.arange(5, 0, -2),
        "linspace": lambda lib: lib.linspace(0, 1, 5),
        "full of float": lambda lib: lib.full((2,), 3.0),
        "full of int": lambda lib: lib.full((2,), 3),
        "full of bool": lambda lib: lib.full((2,), True),
        "full of a NumPy integer": lambda lib: lib.full((2,), np.int64(3)),
        "zeros_like": lambda lib: lib.zeros_like(lib.tensor([1, 2])),
        "ones_like in another": lambda lib: lib.ones_like(lib.tensor([1, 2]), dtype=lib.float64),
        "full_like": lambda lib: lib.full_like(lib.tensor([1, 2]), 7),
        "empty_like": lambda lib: lib.empty_like(lib.tensor([1.0])),
        "rand_like": lambda lib: lib.rand_like(lib.zeros(3, dtype=lib.float64)),
        "randn_like": lambda lib: lib.randn_like(lib.zeros(3)),
        "in float64": lambda lib: lib.zeros(2, dtype=lib.float64),
        "in bool": lambda lib: lib.ones(2, dtype=lib.bool),
    }
    same_values = {"zeros", "ones", "eye", "linspace", "zeros_like", "full_like", "in bool"}
    for name, make in makers.items():
        ours, theirs = make(minicnn), make(torch)
        assert name_of(ours.dtype) == name_of(theirs.dtype), name
        assert ours.shape == tuple(theirs.shape), name
        if name in same_values or "full" in name or "arange" in name:
            assert ours.tolist() == theirs.tolist(), name


@pytest.mark.parametrize(
    "data",
    [
        1, 1.5, True, [1, 2], [1.0, 2], [True, False], [True, 2], [[1, 2], [3, 4]], [], [[], []],
        (1, 2.5), np.float64(2.5), np.float32(2.5), np.int32(7), [np.float64(1.0), np.float64(2.0)],
        np.array([1, 2], np.uint8), np.array(3.0), np.array([[True]]), np.zeros((0, 3), np.float32),
        2**40, -(2**40),
    ],
    ids=repr,
)  # fmt: skip
def test_dtypes_of_data(data):
    ours, theirs = minicnn.tensor(data), torch.tensor(data)
    assert name_of(ours.dtype) == name_of(theirs.dtype)
    assert ours.shape == tuple(theirs.shape)
    assert ours.tolist() == theirs.tolist()


def test_data_with_tensors_in_it():
    inner = minicnn.tensor([1.0, 2.0])
    assert minicnn.tensor([inner[0], inner[1]]).dtype == minicnn.float32
    assert minicnn.tensor([[inner[0], 3.0]]).tolist() == [[1, 3]]
    copy = minicnn.tensor(inner)
    copy[0] = 9.0
    assert inner.tolist() == [1, 2]


def test_data_that_is_no_tensor_is_named():
    with pytest.raises(ShapeError, match=r"^tensor: .*different lengths"):
        minicnn.tensor([[1, 2], [3]])
    for data in ("text", [1, "a"], None, 1j, np.array(["a"]), 2**70, np.zeros(2, "complex64")):
        with pytest.raises(DtypeError, match=r"^tensor: expected numbers") as caught:
            minicnn.tensor(data)
        assert "\n" not in str(caught.value)
    for array in (np.zeros(2, np.uint16), np.zeros(2, ">f4"), np.zeros(2, "complex64")):
        with pytest.raises(DtypeError, match=r"^from_numpy: .*not a supported dtype.*float32"):
            minicnn.from_numpy(array)
    with pytest.raises(DtypeError, match=r"^from_numpy: .*list"):
        minicnn.from_numpy([1, 2])


def test_sizes_that_are_none():
    with pytest.raises(ShapeError, match=r"^zeros: .*\(2, -1\)"):
        minicnn.zeros(2, -1)
    with pytest.raises(ArgumentError, match=r"^rand: .*integers.*2\.5"):
        minicnn.rand(2.5)
    with pytest.raises(ArgumentError, match=r"^arange: .*step 1 .*5 to 1"):
        minicnn.arange(5, 1)
    with pytest.raises(ArgumentError, match=r"^arange: .*step 0"):
        minicnn.arange(0, 5, 0)
    assert minicnn.zeros(2, 3).shape == minicnn.zeros((2, 3)).shape == minicnn.zeros([2, 3]).shape
    assert minicnn.zeros(minicnn.Size([2])).shape == (2,)
    assert minicnn.zeros(()).shape == minicnn.zeros([]).shape == ()
    assert minicnn.arange(0).shape == (0,)


def test_casts():
    x = minicnn.tensor([0.0, 1.7, -2.3])
    y = torch.tensor([0.0, 1.7, -2.3])
    for name in ("float", "double", "half", "long", "int", "bool"):
        ours, theirs = getattr(x, name)(), getattr(y, name)()
        assert name_of(ours.dtype) == name_of(theirs.dtype)
        assert ours.tolist() == theirs.tolist()
    assert minicnn.tensor([3]).byte().dtype == minicnn.uint8
    for how in (minicnn.float64, "float64", np.float64, float):
        assert x.to(how).dtype == minicnn.float64
    assert x.to("cpu", minicnn.float64).dtype == minicnn.float64
    assert x.to(dtype=minicnn.int32).dtype == minicnn.int32
    assert x.to(minicnn.tensor([1])).dtype == minicnn.int64
    assert x.type_as(minicnn.tensor([True])).dtype == minicnn.bool
    assert x.type() == "minicnn.float32"
    assert x.type(minicnn.float64).dtype == minicnn.float64
    assert x.to(minicnn.float32, copy=True) is not x
    with pytest.raises(DtypeError, match=r"complex64.*not a supported dtype"):
        x.to("complex64")
    with pytest.raises(DtypeError, match=r"nonsense"):
        x.to("nonsense")


def test_gradients_flow_through_floating_casts_only():
    x = minicnn.ones(2, requires_grad=True)
    x.double().sum().backward()
    assert x.grad.dtype == minicnn.float32
    assert not x.long().requires_grad
    with pytest.raises(DtypeError, match=r"^requires_grad_: .*int64.*\.float\(\)"):
        minicnn.tensor([1, 2], requires_grad=True)


def test_default_dtype():
    assert minicnn.get_default_dtype() == minicnn.float32
    minicnn.set_default_dtype(minicnn.float64)
    torch.set_default_dtype(torch.float64)
    try:
        for make in (
            lambda lib: lib.zeros(2),
            lambda lib: lib.tensor([1.0]),
            lambda lib: lib.rand(2),
            lambda lib: lib.tensor([1, 2]) / 2,
            lambda lib: lib.tensor([1, 2]) * 0.5,
            lambda lib: lib.exp(lib.tensor([1, 2])),
            lambda lib: lib.arange(0.0, 3.0),
            lambda lib: lib.full((1,), 2.0),
            lambda lib: lib.ones(2, dtype=lib.float32) * 2.0,
            lambda lib: lib.nn.Linear(2, 2).weight,
        ):
            assert name_of(make(minicnn).dtype) == name_of(make(torch).dtype)
    finally:
        minicnn.set_default_dtype(minicnn.float32)
        torch.set_default_dtype(torch.float32)
    for wrong in (minicnn.int64, minicnn.float16):
        with pytest.raises(DtypeError, match=r"^set_default_dtype: "):
            minicnn.set_default_dtype(wrong)


def test_names_are_numpys_dtypes():
    for name in NAMES:
        assert getattr(minicnn, name) == np.dtype(name)
        assert minicnn.zeros(1, dtype=name).is_floating_point() == (name in FLOATS)
