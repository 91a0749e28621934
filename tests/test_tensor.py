"""Tensor itself: what it prints, what it converts to, what it shares, how it meets NumPy."""

from __future__ import annotations

import copy
import math
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import minicnn
from minicnn.errors import ArgumentError, AutogradError, DtypeError, ShapeError

# ---------------------------------------------------------------------------------------- Size


def test_size_is_a_tuple_that_prints():
    size = minicnn.Size([3, 126, 126])
    assert repr(size) == str(size) == "minicnn.Size([3, 126, 126])"
    assert size == (3, 126, 126)
    assert size.__eq__((3, 126, 126))
    assert hash(size) == hash((3, 126, 126))
    assert isinstance(size, tuple)
    assert size.numel() == 47628
    assert repr(minicnn.Size([])) == "minicnn.Size([])"
    assert minicnn.zeros(2, 0).shape.numel() == 0
    n, c, h = size
    assert (n, c, h) == (3, 126, 126)


def test_size_stays_a_size():
    size = minicnn.Size([2, 3, 4])
    for result in (size[1:], size + (5,), (5,) + size, size + size, size * 2, 2 * size):  # noqa: RUF005
        assert type(result) is minicnn.Size
    assert size[1:] == (3, 4)
    assert size[-1] == 4
    assert (1, *size) == (1, 2, 3, 4)
    assert type(minicnn.zeros(2, 3).size()) is minicnn.Size
    assert minicnn.zeros(2, 3).size(-1) == 3
    with pytest.raises(ShapeError, match=r"^size: dim 2"):
        minicnn.zeros(2, 3).size(2)


# -------------------------------------------------------------------------------------- printing

PRINTED = {
    "scalar": 3.0,
    "fraction": 0.1234567,
    "integer": 7,
    "truth": True,
    "vector": [1.0, 2.0, 3.0],
    "fractions": [0.5, -1.25, 3.14159265],
    "mixed sizes": [1.5, 100.25, -20.125],
    "integers": [1, -20, 300],
    "truths": [True, False],
    "matrix": [[1.0, 2.0], [3.0, 4.5]],
    "matrix of integers": [[1, 200], [-3, 4]],
    "cube": np.arange(12.0).reshape(2, 3, 2),
    "four axes": np.arange(16).reshape(2, 2, 2, 2),
    "empty": [],
    "empty matrix": np.zeros((0, 3), np.float32),
    "empty integers": np.zeros((2, 0), np.int64),
    "small": [1e-5, 2e-5],
    "smallest": [1e-10, 1.0],
    "large": [1e8, 1.0],
    "large range": [1e-3, 1e4],
    "wide range": [1e-6, 1e6],
    "whole and large": [123456.0, 7.0],
    "whole and larger": [1e9, 7.0],
    "infinite": [math.inf, 1.0],
    "minus infinity": [-math.inf, 0.5],
    "nan": [math.nan, 1.5],
    "only nan": [math.nan],
    "whole with nan": [math.nan, 2.0],
    "float64": np.array([1.5, 2.5]),
    "float16": np.array([1.5, 2.5], np.float16),
    "int32": np.array([1, 2], np.int32),
    "uint8": np.array([[1, 2], [250, 4]], np.uint8),
    "long vector": np.arange(30.0, dtype=np.float32),
    "long integers": np.arange(100),
    "thousand and one": np.arange(1001),
    "many": np.arange(2000.0).reshape(40, 50),
    "many in three axes": np.arange(8000).reshape(20, 20, 20),
    "wide": np.arange(60.0, dtype=np.float32).reshape(2, 30) / 7,
    "negative zero": [-0.0, 1.0],
    "negative whole": [-1.0, -10.0],
}


def texts(data, **keywords):
    array = np.asarray(data)
    ours = minicnn.tensor(data, **keywords)
    theirs = torch.tensor(array if array.dtype.kind == "U" else data, **keywords)
    return repr(ours), repr(theirs).replace("torch.", "minicnn.")


@pytest.mark.parametrize("name", PRINTED)
def test_repr_is_torchs(name):
    ours, theirs = texts(PRINTED[name])
    assert ours == theirs


@given(
    values=st.lists(
        st.floats(-1e6, 1e6, width=32) | st.integers(-1000, 1000).map(float), min_size=1, max_size=8
    )
)
def test_repr_of_generated_vectors_is_torchs(values):
    ours, theirs = texts(values)
    assert ours == theirs


def test_repr_tells_about_gradients():
    x = minicnn.tensor([1.0], requires_grad=True)
    assert repr(x) == "tensor([1.], requires_grad=True)"
    assert repr(x * 2) == "tensor([2.], grad_fn=<MulBackward>)"
    assert repr(minicnn.nn.Parameter(minicnn.zeros(2))) == (
        "Parameter containing:\ntensor([0., 0.], requires_grad=True)"
    )
    assert str(x) == repr(x)
    double = minicnn.tensor([1.0], dtype=minicnn.float64, requires_grad=True)
    assert repr(double) == "tensor([1.], dtype=minicnn.float64, requires_grad=True)"


def test_print_options():
    x, y = minicnn.tensor([math.pi]), torch.tensor([math.pi])
    minicnn.set_printoptions(precision=2)
    torch.set_printoptions(precision=2)
    try:
        assert repr(x) == repr(y) == "tensor([3.14])"
    finally:
        minicnn.set_printoptions(precision=4)
        torch.set_printoptions(precision=4)
    assert repr(x) == "tensor([3.1416])"


def test_print_options_hold_in_every_thread():
    import threading

    minicnn.set_printoptions(precision=1)
    found = []
    try:
        thread = threading.Thread(target=lambda: found.append(repr(minicnn.tensor([math.pi]))))
        thread.start()
        thread.join()
    finally:
        minicnn.set_printoptions(precision=4)
    assert found == ["tensor([3.1])"]


def test_format():
    loss = minicnn.tensor(0.123456)
    assert f"{loss:.3f}" == "0.123"
    assert f"{minicnn.tensor(7)}" == "7"
    assert f"{minicnn.tensor([1.0])}" == "tensor([1.])"


# ------------------------------------------------------------------------------------ conversions


def test_to_python():
    assert minicnn.tensor(2.5).item() == 2.5
    assert type(minicnn.tensor([[3]]).item()) is int
    assert minicnn.tensor([[1, 2]]).tolist() == [[1, 2]]
    assert minicnn.tensor(True).tolist() is True
    assert float(minicnn.tensor([1.5])) == 1.5
    assert int(minicnn.tensor(3.9)) == 3
    assert [10, 20, 30][minicnn.tensor(1)] == 20
    assert list(range(minicnn.tensor(3))) == [0, 1, 2]
    assert len(minicnn.zeros(4, 2)) == 4
    assert math.sqrt(minicnn.tensor(4.0)) == 2
    with pytest.raises(ShapeError, match=r"^item: .*\(2,\)"):
        minicnn.zeros(2).item()
    with pytest.raises(TypeError, match=r"integer tensor.*float32"):
        [1, 2][minicnn.tensor(1.0)]
    for wrong in (len, list):
        with pytest.raises(TypeError, match=r"without dimensions"):
            wrong(minicnn.tensor(1.0))


def test_truth():
    assert minicnn.tensor(1.0)
    assert not minicnn.tensor([0])
    with pytest.raises(ShapeError, match=r"^bool: .*\(2,\).*any\(\).*all\(\)"):
        bool(minicnn.zeros(2))
    assert 3 in minicnn.tensor([1, 2, 3])
    assert 4 not in minicnn.tensor([1, 2, 3])


def test_equality_with_none_and_identity():
    x = minicnn.tensor([1.0])
    assert (x == None) is False  # noqa: E711 - that is the question
    assert (x != None) is True  # noqa: E711
    assert (x == "text") is False
    assert x in [x]
    assert {x: 1}[x] == 1
    assert len({x, minicnn.tensor([1.0])}) == 2


def test_attributes():
    x = minicnn.zeros(2, 3, dtype=minicnn.float64)
    assert x.shape == (2, 3)
    assert x.ndim == x.dim() == 2
    assert x.dtype == minicnn.float64
    assert (x.nbytes, x.element_size(), x.numel()) == (48, 8, 6)
    assert x.stride() == (3, 1)
    assert x.stride(0) == 3
    assert x.device == minicnn.device("cpu")
    assert not x.is_cuda
    assert x.is_leaf
    assert x.grad is None
    assert x.grad_fn is None
    assert isinstance(x.array, np.ndarray)
    assert minicnn.is_tensor(x)
    assert not minicnn.is_tensor(x.array)
    with pytest.raises(AttributeError):
        x.typo = 1


def test_devices():
    assert minicnn.device("cpu") == minicnn.device(minicnn.device("cpu"))
    assert (
        repr(minicnn.device("cuda:1"))
        == "device(type='cuda', index=1)"
        == repr(torch.device("cuda:1"))
    )
    assert str(minicnn.device("cuda", 1)) == "cuda:1"
    assert minicnn.device("cuda") != minicnn.device("cpu")
    assert len({minicnn.device("cpu"), minicnn.device("cpu")}) == 1
    with pytest.raises(ArgumentError, match=r'^device: "tpu".*"cpu"'):
        minicnn.device("tpu")
    if not minicnn.cuda.is_available():
        assert minicnn.cuda.device_count() == 0
        for make in (
            lambda: minicnn.zeros(2, device="cuda"),
            lambda: minicnn.zeros(2).to("cuda"),
            lambda: minicnn.zeros(2).cuda(),
        ):
            with pytest.raises(ArgumentError, match=r'^device: "cuda".*device="cpu"'):
                make()


# ---------------------------------------------------------------------------------- meeting NumPy


def test_from_numpy_and_numpy_share_memory():
    array = np.arange(6.0).reshape(2, 3)
    x = minicnn.from_numpy(array)
    assert x.numpy() is array
    array[0, 0] = 99
    assert x[0, 0].item() == 99
    x[1, 1] = -1.0
    assert array[1, 1] == -1
    assert minicnn.as_tensor(array).numpy() is array
    assert minicnn.tensor(array).numpy() is not array
    assert minicnn.as_tensor(x) is x
    assert minicnn.as_tensor([1, 2]).tolist() == [1, 2]
    assert minicnn.as_tensor(array, dtype=minicnn.float32).dtype == minicnn.float32


def test_numpy_refuses_what_is_tracked():
    x = minicnn.ones(2, requires_grad=True)
    for use in (lambda: x.numpy(), lambda: np.asarray(x), lambda: np.array(x * 2)):
        with pytest.raises(AutogradError, match=r"^numpy: .*detach\(\)\.numpy\(\)"):
            use()
    assert x.detach().numpy() is x.array


def test_np_array_of_a_tensor():
    x = minicnn.tensor([[1.0, 2.0]])
    assert np.array(x).dtype == np.float32
    assert np.asarray(x) is x.array or np.shares_memory(np.asarray(x), x.array)
    assert not np.shares_memory(np.array(x), x.array)
    assert np.array(x, dtype=np.float64).dtype == np.float64
    assert np.array([minicnn.tensor(1.0), minicnn.tensor(2.0)], dtype=np.float32).tolist() == [1, 2]
    assert np.array(x, copy=False) is x.array
    with pytest.raises(ValueError, match="copy"):
        np.array(x, dtype=np.float64, copy=False)
    np.testing.assert_array_equal(np.stack([x, x]), [[[1, 2]], [[1, 2]]])


def test_arrays_in_arithmetic_are_refused_clearly():
    x, array = minicnn.ones(2), np.ones(2)
    for use in (
        lambda: array + x,
        lambda: x + array,
        lambda: array * x,
        lambda: x / array,
        lambda: array == x,
        lambda: x == array,
        lambda: x < array,
        lambda: array - x,
        lambda: x + [1, 2],  # noqa: RUF005 - a tensor, not a list
    ):
        with pytest.raises(DtypeError, match=r"expected a Tensor or a number.*minicnn\.tensor"):
            use()
    with pytest.raises(TypeError):
        np.exp(x)
    array = np.ones(2)
    with pytest.raises(TypeError):
        array += x
    # NumPy's scalars are numbers.
    assert (np.float64(2) * x).tolist() == [2, 2]
    assert (x - np.int64(1)).tolist() == [0, 0]
    assert isinstance(np.float32(2) * x, minicnn.Tensor)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "int32", "uint8", "bool"])
def test_dlpack_both_ways(dtype):
    array = np.array([[1, 0, 1], [0, 1, 1]]).astype(dtype)
    ours = minicnn.tensor(array)
    theirs = torch.from_dlpack(ours)
    assert theirs.tolist() == array.tolist()
    assert theirs.data_ptr() == ours.data_ptr()
    back = minicnn.from_dlpack(theirs)
    assert back.data_ptr() == ours.data_ptr()
    assert back.dtype == dtype
    assert np.from_dlpack(ours).tolist() == array.tolist()
    assert minicnn.from_dlpack(array).tolist() == array.tolist()
    source = torch.tensor(array)
    shown = minicnn.from_dlpack(source)
    source[0, 1] = 1
    assert shown[0, 1].item() == 1
    assert ours.__dlpack_device__() == (1, 0)


def test_dlpack_of_views_and_of_what_is_tracked():
    x = minicnn.tensor(np.arange(6.0).reshape(2, 3)).t()[:, ::1]
    assert torch.from_dlpack(x).tolist() == x.tolist()
    with pytest.raises((AutogradError, BufferError)):
        torch.from_dlpack(minicnn.ones(2, requires_grad=True))


# --------------------------------------------------------------------------------------- copying


def test_detach_data_and_clone():
    x = minicnn.tensor([1.0, 2.0], requires_grad=True)
    assert x.detach().requires_grad is False
    assert x.data.data_ptr() == x.data_ptr()
    copy_ = x.clone()
    assert copy_.requires_grad
    assert copy_.data_ptr() != x.data_ptr()
    x.data = minicnn.tensor([5.0, 6.0])
    assert x.tolist() == [5, 6]
    assert x.requires_grad


def test_deepcopy_and_pickle():
    x = minicnn.tensor([1.0, 2.0], requires_grad=True)
    (x * 3).sum().backward()
    twin = copy.deepcopy([x, x])
    assert twin[0] is twin[1]
    assert twin[0].tolist() == [1, 2]
    assert twin[0].grad.tolist() == [3, 3]
    assert twin[0].requires_grad
    with minicnn.no_grad():
        twin[0].add_(1)
    assert x.tolist() == [1, 2]
    with pytest.raises(AutogradError, match=r"^deepcopy: .*detach"):
        copy.deepcopy(x * 2)
    loaded = pickle.loads(pickle.dumps(minicnn.tensor([1.0, 2.0])))
    assert loaded.tolist() == [1, 2]
    loaded.add_(1)


def test_requires_grad_can_be_set_on_leaves():
    x = minicnn.zeros(2)
    assert x.requires_grad_() is x
    assert x.requires_grad
    x.requires_grad = False
    assert not x.requires_grad
    y = minicnn.ones(2, requires_grad=True) * 2
    with pytest.raises(AutogradError, match=r"^requires_grad_: .*detach"):
        y.requires_grad_(False)
    assert minicnn.rand(2, requires_grad=True).requires_grad
    assert minicnn.tensor([1.0], requires_grad=True).is_leaf


def test_comparing_whole_tensors():
    a, b = minicnn.tensor([1.0, 2.0]), minicnn.tensor([1.0, 2.0 + 1e-7])
    assert minicnn.allclose(a, b)
    assert not minicnn.allclose(a, b + 1)
    assert minicnn.equal(a, a.clone())
    assert not minicnn.equal(a, a[:1])
    assert not minicnn.equal(a, a + 1)


def test_the_public_face_has_torchs_names():
    for name in minicnn.__dict__:
        if name.startswith("_"):
            continue
        value = getattr(minicnn, name)
        assert value is not None, name
    missing = [
        name
        for name in (  # noqa: SIM905 - a table, not a list
            "tensor zeros ones rand randn arange cat stack argmax no_grad manual_seed cuda Tensor "
            "Size float32 float64 int64 bool nn optim from_numpy as_tensor full eye linspace "
            "randint randperm zeros_like ones_like matmul softmax relu sigmoid tanh exp log sqrt "
            "abs sum mean max min where clamp flatten reshape permute transpose squeeze unsqueeze "
            "allclose equal device inference_mode enable_grad is_grad_enabled set_grad_enabled "
            "Generator initial_seed seed from_dlpack is_tensor set_printoptions float16 uint8"
        ).split()
        if not (hasattr(minicnn, name) and hasattr(torch, name))
    ]
    assert missing == []
