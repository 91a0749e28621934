"""Shape operations, indexing, joining and splitting against torch: values, gradients, sharing."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from oracle import LAYOUTS, check

import minicnn
from minicnn.errors import DtypeError, OutOfRangeError, ShapeError

shapes = st.lists(st.integers(0, 4), max_size=4).map(tuple)
layouts = st.sampled_from([*LAYOUTS])


def counted(shape: tuple) -> np.ndarray:
    """0, 1, 2, … in `shape`: every element is different, so none can be taken for another."""
    return np.arange(float(math.prod(shape))).reshape(shape)


# --------------------------------------------------------------------- the same in both libraries

CASES: list[tuple[str, tuple, Any]] = [
    ("reshape", (2, 3, 4), lambda lib, x: x.reshape(4, -1)),
    ("reshape from a sequence", (2, 3), lambda lib, x: lib.reshape(x, (3, 2))),
    ("reshape nothing", (0, 3), lambda lib, x: x.reshape(3, 0)),
    ("reshape to a scalar", (1, 1), lambda lib, x: x.reshape(())),
    ("view", (2, 6), lambda lib, x: x.view(3, 4)),
    ("view_as", (2, 6), lambda lib, x: x.view_as(lib.zeros(3, 4))),
    ("flatten", (2, 3, 4), lambda lib, x: x.flatten()),
    ("flatten from 1", (2, 3, 4, 5), lambda lib, x: lib.flatten(x, 1)),
    ("flatten the middle", (2, 3, 4, 5), lambda lib, x: x.flatten(1, -2)),
    ("flatten a scalar", (), lambda lib, x: x.flatten()),
    ("permute", (2, 3, 4), lambda lib, x: x.permute(2, 0, 1)),
    ("permute from the back", (2, 3, 4), lambda lib, x: lib.permute(x, (-1, 0, -2))),
    ("transpose", (2, 3, 4), lambda lib, x: x.transpose(0, -1)),
    ("swapaxes", (2, 3, 4), lambda lib, x: x.swapaxes(1, 2)),
    ("t", (2, 3), lambda lib, x: x.t()),
    ("t of a vector", (3,), lambda lib, x: x.t()),
    ("T", (2, 3), lambda lib, x: x.T),
    ("mT", (4, 2, 3), lambda lib, x: x.mT),
    ("squeeze", (1, 2, 1, 3), lambda lib, x: x.squeeze()),
    ("squeeze one", (1, 2, 1, 3), lambda lib, x: x.squeeze(-2)),
    ("squeeze one that is not 1", (1, 2), lambda lib, x: x.squeeze(1)),
    ("squeeze two", (1, 2, 1), lambda lib, x: x.squeeze((0, 2))),
    ("unsqueeze", (2, 3), lambda lib, x: x.unsqueeze(1)),
    ("unsqueeze at the end", (2, 3), lambda lib, x: lib.unsqueeze(x, -1)),
    ("unsqueeze a scalar", (), lambda lib, x: x.unsqueeze(0)),
    ("expand", (1, 3), lambda lib, x: x.expand(4, 3)),
    ("expand with -1 and a new axis", (2, 1), lambda lib, x: x.expand(5, -1, 3)),
    ("expand a scalar", (), lambda lib, x: x.expand(2, 3)),
    ("expand to nothing", (1, 3), lambda lib, x: x.expand(0, 3)),
    ("expand_as", (1, 3), lambda lib, x: x.expand_as(lib.zeros(2, 3))),
    ("repeat", (2, 3), lambda lib, x: x.repeat(2, 1)),
    ("repeat with a new axis", (2, 3), lambda lib, x: x.repeat(4, 1, 2)),
    ("repeat zero times", (2, 3), lambda lib, x: x.repeat(0, 1)),
    ("flip", (2, 3, 4), lambda lib, x: x.flip(0, 2)),
    ("flip from a sequence", (2, 3), lambda lib, x: lib.flip(x, (-1,))),
    ("contiguous", (2, 3), lambda lib, x: x.t().contiguous()),
    ("clone", (2, 3), lambda lib, x: x.clone()),
    ("split", (5, 2), lambda lib, x: x.split(2)),
    ("split by sizes", (2, 6), lambda lib, x: lib.split(x, [1, 3, 2], 1)),
    ("split nothing", (0, 2), lambda lib, x: x.split(2)),
    ("chunk", (7, 2), lambda lib, x: x.chunk(3)),
    ("chunk more than there is", (2, 3), lambda lib, x: lib.chunk(x, 5, dim=1)),
    ("unbind", (3, 2), lambda lib, x: x.unbind()),
    ("unbind the last", (3, 2), lambda lib, x: lib.unbind(x, -1)),
    ("narrow", (5, 4), lambda lib, x: x.narrow(1, 1, 2)),
    ("cat", (2, 3), lambda lib, x: lib.cat([x, x * 2, x[:1]])),
    ("cat along the last", (2, 3), lambda lib, x: lib.cat((x, x[:, :1]), dim=-1)),
    ("concat", (2, 3), lambda lib, x: lib.concat([x, x], 1)),
    ("stack", (2, 3), lambda lib, x: lib.stack([x, x + 1], 1)),
    ("stack at the end", (2, 3), lambda lib, x: lib.stack([x, x + 1, x], dim=-1)),
    ("stack scalars", (), lambda lib, x: lib.stack([x, x * 2])),
    ("iteration", (3, 2), lambda lib, x: tuple(x)),
]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("shape", "function"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_shape_operations(shape, function, layout):
    if layout != "contiguous" and function.__code__.co_names[:1] in (("view",), ("view_as",)):
        return  # refused where the strides forbid it: tested below
    check(function, counted(shape), layout=layout)


@pytest.mark.parametrize(
    ("first", "second", "result"),
    [
        ("float32", "float64", "float64"),
        ("int64", "float32", "float32"),
        ("uint8", "int8", "int16"),
    ],
)
def test_cat_promotes(first, second, result):
    pieces = [np.ones((2, 2), dtype) for dtype in (first, second)]
    check(lambda lib, a, b: lib.cat([a, b]), *pieces)
    check(lambda lib, a, b: lib.stack([a, b]), *pieces)
    assert minicnn.cat([minicnn.from_numpy(p) for p in pieces]).dtype == result


# ------------------------------------------------------------------------------ views and memory


@given(data=st.data(), shape=st.lists(st.integers(1, 4), min_size=1, max_size=4).map(tuple))
def test_view_is_refused_exactly_where_torch_refuses(data, shape):
    base = counted(shape)
    order = data.draw(st.permutations(range(len(shape))))
    starts = [data.draw(st.slices(n)) for n in shape]
    cut = tuple(slice(s.start, s.stop, abs(s.step or 1)) for s in starts)
    ours, theirs = (
        minicnn.tensor(base)[cut].permute(*order),
        torch.tensor(base)[cut].permute(*order),
    )
    size = theirs.numel()
    wanted = data.draw(
        st.sampled_from(
            [(size,), (1, size), tuple(theirs.shape), tuple(reversed(theirs.shape)), (-1, 1)]
            + [(d, size // d) for d in range(1, size + 1) if size % d == 0]
        )
    )
    assert ours.shape == tuple(theirs.shape)
    try:
        want = theirs.view(wanted)
    except RuntimeError:
        with pytest.raises(ShapeError, match=r"^view: "):
            ours.view(wanted)
    else:
        got = ours.view(wanted)
        np.testing.assert_array_equal(got.numpy(), want.numpy())
        assert not size or got.data_ptr() == ours.data_ptr()
    np.testing.assert_array_equal(
        minicnn.reshape(ours, wanted).numpy(), torch.reshape(theirs, wanted).numpy()
    )


VIEWS = {
    "view": lambda x: x.view(-1),
    "reshape": lambda x: x.reshape(3, 2),
    "flatten": lambda x: x.flatten(),
    "permute": lambda x: x.permute(1, 0),
    "transpose": lambda x: x.transpose(0, 1),
    "t": lambda x: x.t(),
    "squeeze": lambda x: x.unsqueeze(0).squeeze(0),
    "expand": lambda x: x.unsqueeze(0).expand(4, 2, 3),
    "row": lambda x: x[1],
    "slice": lambda x: x[:, ::2],
    "element": lambda x: x[1, 2],
    "none": lambda x: x[None, ..., None],
    "split": lambda x: x.split(1)[1],
    "unbind": lambda x: x.unbind(1)[2],
    "narrow": lambda x: x.narrow(1, 1, 2),
    "detach": lambda x: x.detach(),
    "data": lambda x: x.data,
}
COPIES = {
    "clone": lambda x: x.clone(),
    "reshape of a transpose": lambda x: x.t().reshape(6),
    "contiguous of a transpose": lambda x: x.t().contiguous(),
    "index": lambda x: x[[0, 1]],
    "mask": lambda x: x[x > 1],
    "flip": lambda x: x.flip(0),
    "repeat": lambda x: x.repeat(1, 1),
    "cat": lambda x: minicnn.cat([x]),
    "addition": lambda x: x + 0,
    "negative": lambda x: -x,
    "positive part": lambda x: x.relu(),
}


@pytest.mark.parametrize("name", VIEWS)
def test_views_share_memory(name):
    x = minicnn.tensor(counted((2, 3)))
    view = VIEWS[name](x)
    assert np.shares_memory(x.array, view.array)
    x.fill_(-7)
    assert (view == -7).all()


@pytest.mark.parametrize("name", COPIES)
def test_copies_do_not_share_memory(name):
    x = minicnn.tensor(counted((2, 3)))
    assert not np.shares_memory(x.array, COPIES[name](x).array)


def test_what_returns_itself():
    x = minicnn.zeros(2, 3)
    assert x.contiguous() is x
    assert x.to(minicnn.float32) is x
    assert x.to("cpu") is x
    assert x.cpu() is x
    assert +x is x
    assert x.t().t().data_ptr() == x.data_ptr()


@given(shape=shapes)
def test_strides_and_contiguity(shape):
    base = counted(shape)
    ours, theirs = minicnn.tensor(base), torch.tensor(base)
    if base.size:  # strides of nothing have no meaning
        assert ours.stride() == theirs.stride()
    order = tuple(reversed(range(len(shape))))
    assert ours.permute(order).is_contiguous() == theirs.permute(order).is_contiguous()
    assert ours.numel() == theirs.numel() == ours.nelement()
    assert ours.size() == tuple(theirs.size())


# --------------------------------------------------------------------------------------- indexing

INDICES: dict[str, Any] = {
    "integer": 1,
    "negative": -1,
    "tuple": (0, 2),
    "slice": slice(1, None),
    "step": (slice(None), slice(0, 3, 2)),
    "empty slice": slice(2, 1),
    "ellipsis": (..., 1),
    "ellipsis between": (0, ..., slice(None, 2)),
    "none": (None, 0, None),
    "numpy integer": np.int64(1),
    "list": [1, 0, 1],
    "array": np.array([[0, 1], [1, 1]]),
    "two lists": ([0, 1], [2, 0]),
    "broadcast lists": ([[0], [1]], [0, 2]),
    "list and slice": ([1, 0], slice(1, 3)),
    "slice and list": (slice(None), [2, 2, 0]),
    "lists apart": ([0, 1], slice(None), [3, 0]),
    "lists together in the back": (slice(None), [0, 1], [3, 0]),
    "integer and list": (0, slice(None), [0, 1]),
    "integer beside list": (slice(None), 1, [0, 3]),
    "list and integer": ([1, 0], slice(None), 2),
    "integer, ellipsis, list": (1, ..., [0, 1, 1]),
    "list and none": ([1, 0], None, slice(None), [1, 1]),
    "empty list": [],
    "true": True,
    "all": ...,
    "nothing": (),
}


@pytest.mark.parametrize("layout", ["contiguous", "permuted", "strided"])
@pytest.mark.parametrize("name", INDICES)
def test_indexing(name, layout):
    index = INDICES[name]
    check(lambda lib, x: x[index], counted((2, 3, 4)), layout=layout)


@pytest.mark.parametrize("name", INDICES)
def test_assignment_to_an_index(name):
    index = INDICES[name]

    def assign(lib, x, y):
        z = x * 1
        z[index] = 5.0
        z[index] = y[index] * 2
        return z

    check(assign, counted((2, 3, 4)), counted((2, 3, 4)) + 100)


def test_assignment_broadcasts_the_value():
    x = counted((2, 3))
    for index, shape in ((0, (1, 3)), (0, (3,)), (slice(None), (3,)), ([1, 0], (1,)), ((1, 2), ())):

        def assign(lib, x, v, index=index):
            z = x * 1
            z[index] = v
            return z

        check(assign, x, counted(shape) + 50)


def test_indexing_with_tensors_and_masks():
    x = counted((3, 4))
    index = np.array([2, 0, 2])
    check(lambda lib, x, i: x[i], x, index)
    check(lambda lib, x, i: x[:, i], x, index)
    check(lambda lib, x, i: x[i, i], x, index)
    check(lambda lib, x, i: x[i.int()], x, index)
    check(lambda lib, x, i: x[i[0]], x, index)  # a 0-dim tensor counts as an integer
    check(lambda lib, x, i: x[i[1], :, None], x, index)
    check(lambda lib, x, m: x[m], x, x % 2 == 0)
    check(lambda lib, x, m: x[m], x, np.array([True, False, True]))
    check(lambda lib, x, m: x[:, m], x, np.array([True, False, True, False]))
    check(lambda lib, x, m: x[m, 1], x, np.array([True, False, True]))
    check(lambda lib, x, m: x[m], x, np.zeros((3, 4), bool))


def test_an_element_taken_twice_gets_both_gradients():
    x = minicnn.tensor([1.0, 2.0, 3.0], requires_grad=True)
    x[[0, 0, 2]].backward(minicnn.tensor([1.0, 10.0, 100.0]))
    assert x.grad.tolist() == [11, 0, 100]


def test_a_changed_index_does_not_change_the_gradient():
    x = minicnn.tensor([1.0, 2.0, 3.0], requires_grad=True)
    index = minicnn.tensor([0, 1])
    y = x[index]
    index.fill_(2)
    y.sum().backward()
    assert x.grad.tolist() == [1, 1, 0]


def test_gather_and_index_select():
    x = counted((3, 4))
    rows = np.array([[0, 2, 1, 0], [2, 2, 2, 2]])
    columns = np.array([[3], [0], [1]])
    check(lambda lib, x, i: x.gather(0, i), x, rows)
    check(lambda lib, x, i: lib.gather(x, 1, i), x, columns)
    check(lambda lib, x, i: x.gather(-1, i), x, columns)
    check(lambda lib, x, i: lib.index_select(x, 1, i), x, np.array([3, 3, 0]))
    check(lambda lib, x, i: x.index_select(0, i), x, np.array([2]))
    t = minicnn.tensor(x)
    with pytest.raises(OutOfRangeError, match=r"^gather: .*\.\.3.*0\.\.2.*dim 0"):
        t.gather(0, minicnn.tensor([[3, 0, 0, 0]]))
    with pytest.raises(DtypeError, match=r"^gather: .*int64.*int32"):
        t.gather(0, minicnn.tensor(rows).int())
    with pytest.raises(ShapeError, match=r"^gather: .*rank"):
        t.gather(0, minicnn.tensor([0]))


def test_indices_out_of_range_are_named():
    x = minicnn.zeros(2, 3)
    for index in (2, (0, 3), [0, 5], (slice(None), [7]), (0, 0, 0)):
        with pytest.raises(OutOfRangeError, match=r"^index: .*\(2, 3\)") as caught:
            x[index]
        assert "\n" not in str(caught.value)
        with pytest.raises(OutOfRangeError, match=r"^index: "):
            x[index] = 1.0
    with pytest.raises(IndexError):
        x[2]
    with pytest.raises(DtypeError, match=r"^index: .*float32"):
        x[minicnn.tensor([0.0])]
    with pytest.raises(ShapeError, match=r"^index: "):
        x[0] = minicnn.zeros(4)


def test_shapes_that_do_not_fit_are_named():
    x = minicnn.zeros(2, 3)
    for pattern, function in {
        r"^reshape: .*\(2, 3\).*6.*\(4, 2\).*8": lambda: x.reshape(4, 2),
        r"^reshape: cannot fill \(4, -1\).*\(2, 3\)": lambda: x.reshape(4, -1),
        r"^view: .*one -1": lambda: x.view(-1, -1),
        r"^permute: \(0, 0\).*2 dimensions": lambda: x.permute(0, 0),
        r"^transpose: dim 2 .*-2 to 1": lambda: x.transpose(0, 2),
        r"^squeeze: dim 5": lambda: x.squeeze(5),
        r"^unsqueeze: dim 4 .*-3 to 2": lambda: x.unsqueeze(4),
        r"^expand: .*\(2, 3\).*\(4, 3\)": lambda: x.expand(4, 3),
        r"^repeat: \(2,\)": lambda: x.repeat(2),
        r"^cat: .*\(2, 3\), \(2,\)": lambda: minicnn.cat([x, minicnn.zeros(2)]),
        r"^cat: .*dimensions but 0": lambda: minicnn.cat([x, minicnn.zeros(2, 4)]),
        r"^cat: .*at least one": lambda: minicnn.cat([]),
        r"^cat: .*Use stack": lambda: minicnn.cat([minicnn.tensor(1.0)]),
        r"^stack: .*\(2, 3\), \(3, 2\)": lambda: minicnn.stack([x, x.t()]),
        r"^split: .*add up to 2": lambda: x.split([1, 2]),
        r"^split: .*at least 1, got 0": lambda: x.split(0),
        r"^flatten: .*1.*0": lambda: x.flatten(1, 0),
        r"^t: .*\(1, 2, 3\)": lambda: x[None].t(),
    }.items():
        with pytest.raises(ShapeError, match=pattern) as caught:
            function()
        assert "\n" not in str(caught.value)
    with pytest.raises(DtypeError, match=r"^cat: .*ndarray"):
        minicnn.cat([x, x.numpy()])
