"""The whole of "cuda" at once: tensors on `fake_cupy`, computed by the GPU rung's own kernels.

The kernel contract's tests run these kernels on NumPy arrays. Here they get arrays that are not
NumPy's, as on a GPU: a wrapper that hands a kernel an array of the CPU's, or mixes the two, shows.
"""

from __future__ import annotations

import helpers_training
import host_driver
import numpy as np
import pytest
from gradient_cases import CASES
from helpers_devices import numbers, run

import minicnn
from minicnn import nn, optim
from minicnn.kernels import paths as ways
from minicnn.kernels.gpu import _conv_paths as paths

pytestmark = pytest.mark.skipif(bool(host_driver.usable()), reason=host_driver.usable() or "usable")


@pytest.mark.parametrize("group", CASES)
def test_every_operation_by_the_gpu_s_kernels(kernels_run, group):
    for case in CASES[group]:
        try:
            on_gpu, on_cpu = run(case, "cuda:0"), run(case, "cpu")
        except Exception as error:
            error.add_note(f"in the case {case.name!r}")
            raise
        for a, b in zip(on_gpu, on_cpu, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-10, err_msg=case.name)


@pytest.mark.parametrize("path", paths.PATHS)
def test_every_path_of_a_convolution_takes_the_gpu_s_arrays(kernels_run, path):
    found = []
    for place in ("cpu", "cuda"):
        x, w, b = (
            numbers(*shape, seed=seed, device=place).requires_grad_()
            for seed, shape in enumerate([(2, 4, 7, 6), (6, 2, 3, 2), (6,)])
        )
        with paths.forced(path), ways.listening() as taken:
            y = nn.functional.conv2d(x, w, b, (2, 1), (1, 2), (1, 2), 2)
            (y * numbers(*y.shape, seed=9, device=place)).sum().backward()
        found.append([y.detach(), x.grad, w.grad, b.grad])
    assert taken == [path] * 3
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(b.cpu(), a, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("options", [{}, {"maximize": True}, {"weight_decay": 0.1}])
@pytest.mark.parametrize("make", [
    lambda p, **o: optim.SGD(p, 0.1, **o), lambda p, **o: optim.SGD(p, 0.1, momentum=0.9, **o),
    lambda p, **o: optim.Adam(p, 0.1, **o), lambda p, **o: optim.AdamW(p, 0.1, **o),
])  # fmt: skip
def test_all_parameters_of_a_group_step_in_one_launch(kernels_run, make, options):
    found = []
    for place in ("cpu", "cuda"):
        minicnn.manual_seed(0)
        model = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2)).to(place)
        optimizer = make(model.parameters(), **options)
        for step in range(3):
            optimizer.zero_grad()
            (model(numbers(5, 4, seed=step, device=place)) ** 2).mean().backward()
            kernels_run.launches.clear()
            optimizer.step()
        found.append(model)
    assert [name.split("_")[1] for name, _ in kernels_run.launches] == ["many"]
    for a, b in zip(*(model.parameters() for model in found), strict=True):
        np.testing.assert_allclose(b.detach().cpu(), a.detach(), rtol=1e-4, atol=1e-6)


def test_the_cpu_s_arrays_do_not_go_to_the_gpu_s_rung(kernels_run):
    """Under --backend cupy photographs are still decoded, and batches collated, on the CPU."""
    x = numbers(1, 2, 5, 5)
    with minicnn.use_backend("cupy"):
        assert nn.functional.relu(x.clone().requires_grad_()).grad_fn.backend.name == "numba"
        picture = minicnn.transforms.ToTensor()(np.full((4, 5, 3), 255, np.uint8))
        assert (picture.shape, picture.max().item()) == ((3, 4, 5), 1)
        assert not kernels_run.launches
        y = nn.functional.max_pool2d(x.cuda(), 5)
    assert kernels_run.launches
    np.testing.assert_array_equal(y.cpu().reshape(2), x.numpy().max((0, 2, 3)))


def test_a_parameter_that_joins_later_steps_alone(kernels_run):
    found = []
    for place in ("cpu", "cuda"):
        minicnn.manual_seed(0)
        model = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2)).to(place)
        model[0].requires_grad_(False)
        optimizer = optim.Adam(model.parameters(), 0.1)
        for step in range(3):
            model[0].requires_grad_(step > 0)
            optimizer.zero_grad()
            (model(numbers(5, 4, seed=step, device=place)) ** 2).mean().backward()
            optimizer.step()
        found.append(model)
    for a, b in zip(*(model.parameters() for model in found), strict=True):
        np.testing.assert_allclose(b.detach().cpu(), a.detach(), rtol=1e-4, atol=1e-6)


def test_an_epoch_of_training_by_the_gpu_s_kernels(kernels_run):
    losses = []
    for place in ("cpu", "cuda"):
        trainer = helpers_training.make(device=place)
        minicnn.manual_seed(1)
        history = helpers_training.fit(trainer, 1).history
        losses.append((history["loss"], history["val_loss"]))
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-4)
    launched = {kernel for kernel, _ in kernels_run.launches}
    assert len(launched) > 8, launched
