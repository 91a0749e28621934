"""Tensors on "cuda", with `fake_cupy` in the GPU's place.

What this shows: no operation mixes up the two memories, asks CuPy for what it lacks, or leaves the
GPU unasked. What it cannot show is CuPy itself: the stand-in computes with NumPy, so the results
have to be the CPU's, bit for bit where the same rung computes.
"""

from __future__ import annotations

import copy
import types

import fake_cupy
import numpy as np
import pytest
import torch
from gradient_cases import CASES
from helpers_devices import numbers, run, same

import minicnn
from minicnn import device, nn
from minicnn.errors import ArgumentError, DtypeError, OutOfRangeError

F = nn.functional

pytestmark = pytest.mark.usefixtures("gpus")


# ------------------------------------------------------------------------------ every operation


@pytest.mark.parametrize("where", ["cuda:0", "cuda:1"])
@pytest.mark.parametrize("group", CASES)
def test_every_operation_stays_where_its_tensors_are(group, where):
    for case in CASES[group]:
        try:
            on_gpu = run(case, where)
            with minicnn.use_backend("numpy"):
                on_cpu = run(case, "cpu")
            for a, b in zip(on_gpu, on_cpu, strict=True):
                np.testing.assert_array_equal(a, b)
        except Exception as error:
            error.add_note(f"in the case {case.name!r}")
            raise


def test_the_rung_follows_the_array():
    x, w = numbers(1, 2, 4, 4, device="cuda"), numbers(3, 2, 3, 3, device="cuda")
    w.requires_grad_()
    for chosen, expected in (("numba", "cupy"), ("loops", "cupy"), ("numpy", "numpy")):
        with minicnn.use_backend(chosen):
            y = F.conv2d(x, w)
        assert y.grad_fn.backend.name == expected
        y.sum().backward()  # outside the block: on the rung that forward ran on
    own = types.SimpleNamespace(relu=lambda x, *, out=None: x + 100)
    with minicnn.use_backend(own):
        assert F.relu(minicnn.tensor([1.0], device="cuda")).item() == 101
    assert F.conv2d(x.cpu(), w.cpu()).grad_fn.backend.name == "numba"


# ------------------------------------------------------------------------------ devices and moves


def test_devices_are_named_as_in_torch():
    for name in ("cpu", "cuda", "cuda:1"):
        assert repr(device(name)) == repr(torch.device(name))
    assert device(1) == device("cuda:1") == device("cuda", 1) != device("cuda")
    assert str(device(device("cuda:1"))) == "cuda:1"
    for wrong in ("tpu", "cuda:x", "cuda:-1", "cuda:1:2", "", None, True):
        with pytest.raises(ArgumentError, match=r'is not a device\. Use "cpu" or "cuda"'):
            device(wrong)
    with pytest.raises(ArgumentError, match="has a number already"):
        device("cuda:1", 0)


def test_moving_there_and_back():
    x = numbers(3, 2)
    there = x.to("cuda")
    assert there.device == device("cuda:0")
    assert there.is_cuda
    assert there.get_device() == 0
    assert x.get_device() == -1
    assert there.to("cuda") is there.cuda() is there.to(there.device) is there.to("cuda:0") is there
    assert x.cpu() is x.to("cpu") is x
    assert there.to("cuda", copy=True) is not there
    second = there.cuda(1)
    assert second.device == device("cuda:1")
    assert second.to(there).device == there.device
    both = x.to("cuda:1", minicnn.float64)
    assert (both.dtype, both.device) == (minicnn.float64, device("cuda:1"))
    same(there.to("cuda:1").cpu(), x)
    with minicnn.cuda.device(1):
        assert x.cuda().device == device("cuda:1")
        assert minicnn.cuda.current_device() == 1
    with pytest.raises(ArgumentError, match=r'"cuda:7" is not there: the driver lists 2.*"cuda:1"'):
        x.to("cuda:7")


def test_a_copy_between_gpus_waits_for_both(monkeypatch):
    """Each GPU has a queue of its own, and a copy is in one of them only."""
    done = []
    wait, clone = fake_cupy.Device.synchronize, fake_cupy.ndarray.copy
    monkeypatch.setattr(
        fake_cupy.Device, "synchronize", lambda self: (done.append(self.id), wait(self))
    )
    monkeypatch.setattr(
        fake_cupy.ndarray, "copy", lambda self: (done.append("copy"), clone(self))[1]
    )
    there = numbers(3).to("cuda:0")
    assert done == []
    there.to("cuda:1")
    assert done == [0, "copy", 1]


def test_gradients_cross_between_devices():
    x = numbers(4).requires_grad_()
    y = (x.cuda() * 3).to("cuda:1") ** 2
    y.cpu().sum().backward()
    assert x.grad.device == device("cpu")
    np.testing.assert_allclose(x.grad.numpy(), 18 * x.detach().numpy(), rtol=1e-6)


def test_factories_make_tensors_on_a_device():
    for make in (
        lambda **more: minicnn.zeros(2, 3, **more),
        lambda **more: minicnn.ones(2, **more),
        lambda **more: minicnn.full((2,), 7, **more),
        lambda **more: minicnn.arange(5, **more),
        lambda **more: minicnn.linspace(0, 1, 5, **more),
        lambda **more: minicnn.eye(3, **more),
        lambda **more: minicnn.tensor([[1, 2]], **more),
        lambda **more: minicnn.as_tensor(np.ones(2), **more),
        lambda **more: minicnn.rand(3, **more),
        lambda **more: minicnn.randn(3, **more),
        lambda **more: minicnn.randint(9, (3,), **more),
        lambda **more: minicnn.randperm(6, **more),
    ):
        minicnn.manual_seed(5)
        here = make()
        minicnn.manual_seed(5)
        there = make(device="cuda:1")
        assert there.device == device("cuda:1")
        assert there.dtype == here.dtype
        same(there, here)
    leaf = minicnn.zeros(2, device="cuda", requires_grad=True)
    assert leaf.is_leaf
    assert leaf.requires_grad


def test_what_is_like_a_tensor_is_where_it_is():
    x = minicnn.zeros(2, device="cuda:1", dtype=minicnn.float64)
    for like in (
        minicnn.zeros_like(x), minicnn.ones_like(x), minicnn.empty_like(x), minicnn.rand_like(x),
        minicnn.randn_like(x), minicnn.full_like(x, 3), minicnn.tensor(x), x.clone(), x.detach(),
        copy.deepcopy(x), x.data,
    ):  # fmt: skip
        assert (like.device, like.dtype, like.shape) == (x.device, x.dtype, x.shape)
    assert minicnn.zeros_like(x, device="cpu").device == device("cpu")
    assert minicnn.tensor([x.sum(), 1.0]).device == device("cpu")


def test_dlpack_shares_a_gpu_s_memory():
    x = minicnn.ones(3, device="cuda")
    assert x.__dlpack_device__() == (2, 0)
    y = minicnn.from_dlpack(x.array)
    y.fill_(5)
    assert x.tolist() == [5, 5, 5]


# ------------------------------------------------------------------------------ values


def test_values_leave_the_gpu_when_asked():
    x = minicnn.tensor([[1.5, -2.0]], device="cuda")
    assert x.tolist() == [[1.5, -2.0]]
    assert x[0, 0].item() == float(x[0, 0]) == 1.5
    assert f"{x[0, 1]:.2f}" == "-2.00"
    assert int(minicnn.tensor(3, device="cuda")) == 3
    assert [10, 20, 30][minicnn.tensor(1, device="cuda")] == 20
    assert bool(x.any())
    assert -2.0 in x
    assert [row.tolist() for row in x] == [[1.5, -2.0]]
    assert minicnn.equal(x, x.clone())
    assert minicnn.allclose(x, x + 1e-9)


def test_numpy_refuses_and_says_what_to_do():
    x = minicnn.ones(2, device="cuda:1")
    for ask in (x.numpy, lambda: np.asarray(x), lambda: np.array(x, float)):
        with pytest.raises(DtypeError, match=r"on cuda:1.* Use tensor\.cpu\(\)\.numpy\(\)\.$"):
            ask()
    with pytest.raises(TypeError):  # torch's error is one, too
        x.numpy()


def test_printing_names_the_device():
    x = minicnn.tensor([1.0, 2.0], device="cuda")
    assert repr(x) == "tensor([1., 2.], device='cuda:0')"
    assert repr(x.to("cuda:1").double().requires_grad_()) == (
        "tensor([1., 2.], device='cuda:1', dtype=minicnn.float64, requires_grad=True)"
    )
    many = minicnn.arange(5000, device="cuda").reshape(50, 100)
    assert repr(many).replace(", device='cuda:0'", "") == repr(many.cpu())
    assert "device='cuda:0'" in repr(nn.Linear(1, 1).cuda().weight)


# ------------------------------------------------------------------------------ in place, indices


def test_changes_in_place():
    x = numbers(3, 4).cuda()
    before = x.array
    x.copy_(numbers(3, 4, seed=1))  # across devices, as in torch
    x[0] = numbers(4, seed=2)
    x[1, [0, 2]] = 7
    x[x > 6.5] = minicnn.tensor(-1.0)
    x += 1
    x.clamp_(max=2)
    assert x.array is before
    y = numbers(3, 4, seed=1)
    y[0] = numbers(4, seed=2)
    y[1, [0, 2]] = 7
    y[y > 6.5] = -1
    same(x, (y + 1).clamp(max=2))
    back = minicnn.zeros(3, 4)
    back.copy_(x)
    same(back, x)


@pytest.mark.parametrize("name", ["uniform_", "normal_"])
def test_draws_are_the_cpu_s_everywhere(name):
    here, there = minicnn.zeros(3, 4), minicnn.zeros(3, 4, device="cuda")
    for x in (here, there):
        minicnn.manual_seed(1)
        getattr(x, name)()
    same(here, there)
    assert there.is_cuda


def test_init_fills_weights_on_the_gpu():
    for fill in (nn.init.kaiming_normal_, nn.init.orthogonal_, nn.init.trunc_normal_, nn.init.eye_):
        here, there = minicnn.zeros(3, 4), minicnn.zeros(3, 4, device="cuda")
        for x in (here, there):
            minicnn.manual_seed(1)
            fill(x)
        same(here, there)


def test_expanded_memory_is_read_only():
    x = minicnn.ones(1, 3, device="cuda").expand(4, 3)
    with pytest.raises(ArgumentError, match=r"read-only.*\.clone\(\)"):
        x += 1
    minicnn.ones(1, 3, device="cuda").expand(1, 3).add_(1)


def test_views_are_refused_where_strides_forbid_them():
    x = numbers(4, 6).cuda()
    assert x.t().reshape(24).shape == (24,)
    assert x[:, :3].view(2, 2, 3).array._memory.base is not None
    with pytest.raises(ValueError, match=r"cannot be seen as \(24,\)"):
        x.t().view(24)


def test_indices_may_stay_on_the_cpu_but_not_the_other_way_round():
    x, index = numbers(5, 3), minicnn.tensor([4, 0, -1])
    same(x.cuda()[index], x[index])
    same(x.cuda()[index.cuda()], x[index])
    same(x.cuda()[x > 0], x[x > 0])
    same(x.cuda().gather(0, index.abs()[None].cuda()), x.gather(0, index.abs()[None]))
    with pytest.raises(ArgumentError, match="tensor is on cpu, index is on cuda:0"):
        x[index.cuda()]


def test_indices_out_of_range_are_errors_on_the_gpu_too():
    x = numbers(5, 3).cuda()
    for wrong in ([5], [-6], [0, 5]):
        with pytest.raises(OutOfRangeError, match=r"index -?\d is out of bounds for axis 0"):
            x[minicnn.tensor(wrong)]
        with pytest.raises(OutOfRangeError, match="is out of bounds"):
            x[minicnn.tensor(wrong)] = 0.0
    with pytest.raises(OutOfRangeError):
        x[:, minicnn.tensor([3])]
    with pytest.raises(OutOfRangeError):
        x[7]
    with pytest.raises(OutOfRangeError, match=r"gather: indices 0\.\.5"):
        x.gather(0, minicnn.tensor([[0, 5]], device="cuda"))
    with pytest.raises(OutOfRangeError, match="label 3"):
        F.cross_entropy(x, minicnn.tensor([0, 1, 2, 3, 0], device="cuda"))


# ------------------------------------------------------------------------------ mixtures

MIXTURES = {
    "add": lambda a, b: a + b,
    "sub ": lambda a, b: b - a,
    "mul broadcast": lambda a, b: a * b[:1],
    "equal": lambda a, b: a == b,
    "where": lambda a, b: minicnn.where(a > 0, b, b),
    "maximum": minicnn.maximum,
    "allclose": minicnn.allclose,
    "cat": lambda a, b: minicnn.cat([a, b]),
    "matmul": lambda a, b: a @ b,
    "linear": F.linear,
    "linear's bias": lambda a, b: F.linear(a, a, b[0]),
    "conv2d": lambda a, b: F.conv2d(a[None, None], b[None, None]),
    "mse_loss": F.mse_loss,
    "bce pos_weight": lambda a, b: F.binary_cross_entropy_with_logits(a, a, pos_weight=b),
    "cross_entropy": lambda a, b: F.cross_entropy(a, b[0].long().abs() * 0),
    "cross_entropy's weight": lambda a, b: F.cross_entropy(
        a, minicnn.zeros(3, dtype=minicnn.int64, device=a.device), b[0]
    ),
    "batch_norm": lambda a, b: F.batch_norm(a, b[0], b[0].abs()),
    "gather": lambda a, b: a.gather(0, b.long() * 0),
    "add_": lambda a, b: a.add_(b),
    "backward": lambda a, b: (a * 1).requires_grad_().clone().backward(b),
}


@pytest.mark.parametrize("places", [("cpu", "cuda:0"), ("cuda:0", "cpu"), ("cuda:0", "cuda:1")])
@pytest.mark.parametrize("mixture", MIXTURES)
def test_mixtures_are_errors_that_name_both_devices(mixture, places):
    a, b = (numbers(3, 3, seed=i, device=where) for i, where in enumerate(places))
    with pytest.raises(ArgumentError, match="expected all tensors on one device") as caught:
        MIXTURES[mixture](a, b)
    message = str(caught.value)
    assert all(place in message for place in places)
    assert 'Move them with .to("cuda:' in message


def test_a_cpu_tensor_without_dimensions_goes_along_as_in_torch():
    x, c = numbers(3).cuda().requires_grad_(), minicnn.tensor(2.0, requires_grad=True)
    for y in (x * c, c * x, c + x, x / c):
        assert y.is_cuda
    (x * c).sum().backward()
    assert (x.grad.device, c.grad.device) == (device("cuda:0"), device("cpu"))
    assert c.grad.item() == pytest.approx(x.sum().item())
    assert (x > c).is_cuda
    with pytest.raises(ArgumentError, match="one device"):
        c.detach().cpu().add_(x.sum())
