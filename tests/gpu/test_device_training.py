"""Modules, optimizers, training and files on "cuda", with `fake_cupy` in the GPU's place.

The same rung computes here and there, so the results have to be the CPU's, bit for bit.
"""

from __future__ import annotations

import fake_cupy
import helpers_training
import numpy as np
import pytest
import torch
from helpers_devices import numbers, same

import minicnn
from minicnn import device, io, nn, optim
from minicnn.autograd import gradcheck
from minicnn.errors import ArgumentError
from minicnn.training import Trainer

F = nn.functional

pytestmark = pytest.mark.usefixtures("gpus")


# ------------------------------------------------------------------------------ modules


def test_modules_move_with_all_they_have():
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(8, 2))
    before = list(model.parameters())
    model(numbers(2, 1, 4, 4)).sum().backward()
    assert model.to("cuda:1") is model
    assert all(a is b for a, b in zip(before, model.parameters(), strict=True))
    tensors = [*model.state_dict().values(), *(p.grad for p in model.parameters())]
    assert {str(t.device) for t in tensors} == {"cuda:1"}
    assert model.state_dict()["1.num_batches_tracked"].dtype == minicnn.int64
    model.cuda(0).double()
    assert {(str(p.device), str(p.dtype)) for p in model.parameters()} == {("cuda:0", "float64")}
    model.to(numbers(1, device="cuda:1"))
    assert {(str(p.device), str(p.dtype)) for p in model.parameters()} == {("cuda:1", "float32")}
    model.cpu()
    assert {str(t.device) for t in model.state_dict().values()} == {"cpu"}


def test_layers_are_made_on_a_device():
    for layer in (
        nn.Linear(2, 3, device="cuda:1"),
        nn.Conv2d(1, 2, 3, device="cuda:1"),
        nn.BatchNorm2d(2, device="cuda:1"),
    ):
        assert {str(t.device) for t in layer.state_dict().values()} == {"cuda:1"}


def test_state_dicts_pass_between_devices():
    model, other = nn.BatchNorm1d(3).cuda(), nn.BatchNorm1d(3)
    model(numbers(4, 3, device="cuda"))
    other.load_state_dict(model.state_dict())
    assert {str(t.device) for t in other.state_dict().values()} == {"cpu"}
    other.running_mean.fill_(7)
    model.load_state_dict(other.state_dict())
    assert model.running_mean.is_cuda
    assert model.running_mean.tolist() == [7, 7, 7]
    assert model.state_dict()["running_mean"].data_ptr() == model.running_mean.data_ptr()


def test_the_layer_table_of_a_model_on_the_gpu():
    model = helpers_training.network()
    expected = str(minicnn.summary(model, (1, 12, 12)))
    before = [p.array for p in model.cuda().parameters()]
    assert str(minicnn.summary(model, (1, 12, 12))) == expected
    assert all(a is p.array for a, p in zip(before, model.parameters(), strict=True))


def test_gradients_are_checked_on_the_gpu():
    x = numbers(2, 2, 4, 4, device="cuda").double().requires_grad_()
    w = numbers(3, 2, 3, 3, device="cuda").double().requires_grad_()
    assert gradcheck(lambda x, w: F.conv2d(x, w).tanh(), (x, w))


def test_gradients_are_clipped_on_the_gpu():
    here, there = nn.Linear(4, 3), nn.Linear(4, 3).cuda()
    there.load_state_dict(here.state_dict())
    for model in (here, there):
        model(numbers(5, 4).to(model.weight.device)).sum().backward()
    norms = [nn.utils.clip_grad_norm_(m.parameters(), 0.1) for m in (here, there)]
    assert norms[1].is_cuda
    assert norms[0].item() == norms[1].item()
    same(here.weight.grad, there.weight.grad)
    nn.utils.clip_grad_value_(there.parameters(), 0.01)
    assert there.weight.grad.abs().max().item() == pytest.approx(0.01)


@pytest.mark.parametrize("make", [
    lambda p: optim.SGD(p, 0.1, momentum=0.9), lambda p: optim.Adam(p, 0.1),
    lambda p: optim.Adam(p, 0.1, amsgrad=True), lambda p: optim.AdamW(p, 0.1),
])  # fmt: skip
def test_optimizers_step_where_the_parameters_are(make):
    models = []
    for place in ("cpu", "cuda:1"):
        minicnn.manual_seed(0)
        model = nn.Linear(4, 3).to(place)
        optimizer = make(model.parameters())
        with minicnn.use_backend("numpy"):
            for step in range(3):
                optimizer.zero_grad()
                (model(numbers(5, 4, seed=step, device=place)) ** 2).sum().backward()
                optimizer.step()
                if step == 1:  # state passes through a dict, and the model moves on the way
                    state = optimizer.state_dict()
                    optimizer = make(model.parameters())
                    optimizer.load_state_dict(state)
        models.append(model)
    same(models[0].weight, models[1].weight)
    states = [t for s in optimizer.state.values() for k, t in s.items() if k != "step"]
    assert {str(t.device) for t in states} == {"cuda:1"}


def test_a_model_may_move_between_steps():
    results = []
    for places in (("cpu", "cpu"), ("cpu", "cuda"), ("cuda", "cpu")):
        minicnn.manual_seed(0)
        model = nn.Linear(4, 3)
        optimizer = optim.Adam(model.parameters(), 0.1)
        for place in places:
            model.to(place)
            optimizer.zero_grad()
            with minicnn.use_backend("numpy"):
                (model(numbers(5, 4, device=place)) ** 2).sum().backward()
                optimizer.step()
        results.append(model.weight)
    same(results[0], results[1])
    same(results[0], results[2])


# ------------------------------------------------------------------------------ training, files


def test_training_on_the_gpu_is_training(tmp_path):
    here, there = helpers_training.make(), helpers_training.make(device="cuda")
    assert there.device == device("cuda:0")
    with minicnn.use_backend("numpy"):
        for trainer in (here, there):
            minicnn.manual_seed(1)
            helpers_training.fit(trainer, 2)
        assert here.history.history == there.history.history
        for name, tensor in there.model.state_dict().items():
            assert tensor.is_cuda
            same(tensor, here.model.state_dict()[name])
        _, validation = helpers_training.loaders()
        assert here.evaluate(validation) == there.evaluate(validation)
        images, _ = helpers_training.images_and_labels(5)
        for data in (images, images.cuda(), images.numpy(), validation):
            answers = there.predict(data, probabilities=True)
            assert isinstance(answers, np.ndarray)
            np.testing.assert_array_equal(answers, here.predict(
                data.cpu() if hasattr(data, "cpu") else data, probabilities=True))  # fmt: skip


def test_a_trainer_goes_where_it_is_told(monkeypatch):
    model = helpers_training.network()
    parts = (optim.SGD(model.parameters(), 0.1), nn.CrossEntropyLoss())
    assert Trainer(model, *parts).device == device("cpu")
    assert Trainer(model, *parts, device="auto").device == device("cuda:0")
    assert Trainer(model, *parts).device == device("cuda:0")  # where the model is
    assert Trainer(model, *parts, device="cpu").device == device("cpu")
    fake_cupy._state.devices = 0
    assert Trainer(model, *parts, device="auto").device == device("cpu")
    with pytest.raises(ArgumentError, match=r'"cuda" is not available: the NVIDIA driver lists no'):
        Trainer(model, *parts, device="cuda")


def test_a_run_goes_on_where_another_device_left_off(tmp_path):
    with minicnn.use_backend("numpy"):
        whole = helpers_training.make()
        helpers_training.fit(whole, 3)
        helpers_training.fit(helpers_training.make(device="cuda"), 2, out=tmp_path / "run")
        rest = helpers_training.make(seed=9, device="cuda:1")
        helpers_training.fit(rest, 3, resume=tmp_path / "run")
    assert rest.history.history == whole.history.history
    assert '"device": "cuda:1"' in (tmp_path / "run" / "run.json").read_text()
    states = [t for s in rest.optimizer.state.values() for k, t in s.items() if k != "step"]
    assert {str(t.device) for t in states} == {"cuda:1"}


def test_files_of_a_gpu_s_model_open_anywhere(tmp_path):
    model, other = nn.Linear(3, 2).cuda(), nn.Linear(3, 2)
    minicnn.save(model.state_dict(), tmp_path / "a.pt")
    found = torch.load(tmp_path / "a.pt")
    np.testing.assert_array_equal(found["weight"].numpy(), model.weight.detach().cpu().numpy())
    assert {str(t.device) for t in minicnn.load(tmp_path / "a.pt").values()} == {"cpu"}
    nested = {"state": [model.state_dict()], "epoch": 3}
    minicnn.save(nested, tmp_path / "b.pt")
    loaded = minicnn.load(tmp_path / "b.pt", map_location="cuda:1")
    assert str(loaded["state"][0]["bias"].device) == "cuda:1"
    same(loaded["state"][0]["bias"], model.bias)
    io.save_weights(model, tmp_path / "c.safetensors")
    io.load_weights(tmp_path / "c.safetensors", other)
    same(other.weight, model.weight)
    io.load_weights(tmp_path / "c.safetensors", model)
    assert model.weight.is_cuda


def test_pictures_of_a_model_on_the_gpu(tmp_path):
    from minicnn import plot

    model = helpers_training.network().cuda()
    images, _ = helpers_training.images_and_labels(2)
    plot.filters(model.get_submodule("conv1"), tmp_path / "filters.png")
    plot.feature_maps(model, images[0], "conv1", tmp_path / "maps.png")
    assert (tmp_path / "maps.png").exists()


# ------------------------------------------------------------------------------ minicnn.cuda


def test_what_torch_code_asks_of_cuda():
    cuda = minicnn.cuda
    assert cuda.is_available()
    assert cuda.why_not() == ""
    assert cuda.device_count() == 2
    assert cuda.get_device_name() == "Fake GPU"
    assert cuda.get_device_capability("cuda:1") == (9, 0)
    cuda.set_device(1)
    assert cuda.current_device() == 1
    assert minicnn.zeros(1).cuda().device == device("cuda:1")
    assert cuda.mem_get_info() == (3 << 30, 4 << 30)
    assert (cuda.memory_allocated(), cuda.memory_reserved()) == (512, 1024)
    cuda.synchronize()
    cuda.empty_cache()
    minicnn.manual_seed(3)
    first = minicnn.rand(2)
    minicnn.manual_seed(3)
    cuda.manual_seed_all(8)
    same(minicnn.rand(2), first)
    with pytest.raises(ArgumentError, match=r'"cpu" is no GPU'):
        cuda.synchronize("cpu")


def test_without_a_gpu_all_of_it_says_why(monkeypatch):
    fake_cupy._state.devices = 0
    cuda = minicnn.cuda
    assert not cuda.is_available()
    assert cuda.device_count() == 0
    cuda.empty_cache()
    reason = cuda.why_not()
    assert "CUDA_VISIBLE_DEVICES" in reason
    for ask in (
        cuda.current_device, cuda.get_device_name, cuda.synchronize,
        lambda: minicnn.zeros(2, device="cuda"), lambda: nn.Linear(1, 1).cuda(),
        lambda: minicnn.zeros(2).cuda(),
    ):  # fmt: skip
        with pytest.raises(ArgumentError) as caught:
            ask()
        assert reason in str(caught.value)
        assert 'Or use device="cpu".' in str(caught.value)
