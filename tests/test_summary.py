"""The layer table against hand values and against the network when it really runs."""

from __future__ import annotations

import numpy as np
import pytest

import minicnn
from minicnn import models, nn
from minicnn.errors import ArgumentError, ShapeError
from minicnn.kernels import reference
from minicnn.nn import functional as F
from minicnn.summary import _bytes, summary


def test_model_1_3_by_hand():
    table = summary(models.cat_dog_cnn_1_3(), (3, 160, 160))
    rows = {row.path: row for row in table.rows}
    assert table.total_parameters == table.trainable_parameters == 683_073
    assert table.parameter_bytes == 4 * 683_073
    assert rows["conv1"].parameters == 32 * (3 * 9 + 1) == 896
    assert rows["conv1"].output_shape == (1, 32, 158, 158)
    assert rows["pool3"].output_shape == (1, 32, 18, 18)
    assert rows["conv2"].macs == 32 * 77 * 77 * 32 * 9
    assert rows["hidden"].macs == 10_368 * 64
    assert rows["relu1"].macs == rows["flatten"].parameters == 0
    macs = [3 * 158**2, 32 * 77**2, 32 * 36**2]  # per filter and tap
    assert table.total_macs == sum(m * 32 * 9 for m in macs) + 10_368 * 64 + 64
    assert rows["conv2"].im2col_bytes == 4 * 32 * 9 * 77 * 77 == table.largest_im2col_bytes
    # 3, then +1 (pool), +2*2 (conv at step 2), +2 (pool), +2*4 (conv at step 4), +4 (pool)
    names = ("conv1", "pool1", "conv2", "pool2", "conv3", "pool3")
    fields = [rows[name].receptive_field for name in names]
    assert fields == [(n, n) for n in (3, 4, 8, 10, 18, 22)]
    assert rows["logits"].receptive_field == (160, 160)


def test_batch_scales_work_not_parameters():
    model = models.cat_dog_cnn_1_1(in_channels=1, image_size=28)
    one, many = summary(model, (1, 28, 28)), summary(model, (1, 28, 28), batch_size=6)
    assert many.total_macs == 6 * one.total_macs
    assert many.largest_im2col_bytes == 6 * one.largest_im2col_bytes
    assert many.activation_bytes == 6 * one.activation_bytes
    assert many.total_parameters == one.total_parameters
    assert many.rows[0].output_shape[0] == 6


class Branches(nn.Module):
    """Functional convolution, a layer used twice, a residual sum, a layer never used."""

    def __init__(self) -> None:
        super().__init__()
        self.kernel = nn.Parameter(minicnn.randn(4, 2, 3, 3))
        self.twice = nn.Conv2d(4, 4, 3, padding=1, groups=2)
        self.spare = nn.Linear(3, 3)
        pool = nn.MaxPool2d(3, stride=2, padding=1, ceil_mode=True)
        self.head = nn.Sequential(pool, nn.Flatten())

    def forward(self, x):
        x = F.conv2d(x, self.kernel, stride=2, dilation=(1, 2))
        y = self.twice(x)
        y = self.twice(y) + x
        return self.head(F.relu(y))


def test_custom_forward_shapes_are_those_of_a_real_run():
    model = Branches()
    seen = {}
    handles = [
        module.register_forward_hook(
            lambda m, args, out, path=path: seen.setdefault(path, []).append(tuple(out.shape))
        )
        for path, module in model.named_modules()
    ]
    model(minicnn.rand(2, 2, 17, 20))
    for handle in handles:
        handle.remove()
    table = summary(model, (2, 17, 20), batch_size=2)
    told: dict[str, list] = {}
    for row in table.rows:
        told.setdefault(row.path, []).append(row.output_shape)
    assert told == {path: shapes for path, shapes in seen.items() if path != "head"}
    rows = {row.path: row for row in table.rows}
    P, Q = 8, 8  # (17-3)//2+1, (20-5)//2+1
    assert rows[""].macs == 2 * 4 * 2 * 9 * P * Q
    assert rows[""].parameters == 4 * 2 * 9
    assert rows["twice"].macs == 2 * 4 * 2 * 9 * P * Q  # two groups: 2 of 4 channels each
    assert [row.repeated for row in table.rows if row.path == "twice"] == [False, True]
    assert table.unused == ("spare",)
    assert table.total_parameters == sum(p.numel() for p in model.parameters())
    assert "never called  spare" in str(table)


def test_im2col_bytes_are_those_of_unfold():
    layer = nn.Conv2d(3, 5, (3, 2), stride=(2, 1), padding=(1, 0), dilation=(1, 2))
    (row,) = summary(layer, (3, 11, 12), batch_size=2).rows
    columns = F.unfold(minicnn.rand(2, 3, 11, 12), (3, 2), (1, 2), (1, 0), (2, 1))
    assert row.im2col_bytes == columns.numpy().nbytes


def test_receptive_field_is_where_gradients_arrive():
    """The oracle is autograd: with positive weights, a pixel matters iff its gradient is not 0."""
    model = nn.Sequential(
        nn.Conv2d(1, 2, (3, 2), stride=(2, 1)),
        nn.MaxPool2d(2, stride=1),
        nn.Conv2d(2, 1, 3, dilation=(1, 2)),
    )
    for p in model.parameters():
        p.data = minicnn.ones(*p.shape)
    H, W = summary(model, (1, 41, 40)).rows[-1].receptive_field
    # average the pool's choices out: a maximum passes the gradient to one pixel only
    reached = np.zeros((41, 40), bool)
    for seed in range(60):
        minicnn.manual_seed(seed)
        x = minicnn.rand(1, 1, 41, 40, requires_grad=True)
        y = model(x)
        y[0, 0, 5, 12].backward()
        reached |= x.grad.numpy()[0, 0] != 0
    rows, columns = np.nonzero(reached)
    assert (np.ptp(rows) + 1, np.ptp(columns) + 1) == (H, W)


def test_nothing_is_computed(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("a kernel ran")

    for name in reference.__all__:
        monkeypatch.setattr(reference, name, refuse)
    with minicnn.use_backend("numpy"):
        table = summary(models.cat_dog_cnn_1_3(image_size=1000), (3, 1000, 1000), batch_size=4)
        assert table.rows[0].output_shape == (4, 32, 998, 998)
        with pytest.raises(ArgumentError, match=r"is more than this machine could hold\. Use a"):
            summary(models.cat_dog_cnn_1_3(image_size=1000), (3, 1000, 1000), batch_size=10**9)


class Counting(nn.Module):
    """A layer with a buffer that counts calls, as BatchNorm does, and that draws random numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", minicnn.zeros(1))
        self.register_buffer("rebound", minicnn.zeros(1))

    def forward(self, x):
        self.calls += 1
        self.rebound = self.rebound + 1
        return x + minicnn.rand(1)


def test_the_model_is_left_as_found():
    model = nn.Sequential(nn.Conv2d(1, 2, 3), Counting(), nn.Dropout())
    model.train()
    model[0].eval()
    calls = []
    model[2].register_forward_hook(lambda *args: calls.append(1))
    hooks = [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()]
    weights = [p.detach().numpy().copy() for p in model.parameters()]
    before = minicnn.get_rng_state()
    summary(model, (1, 8, 8))
    assert minicnn.get_rng_state() == before
    assert [m.training for m in model.modules()] == [True, False, True, True]
    assert hooks == [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()]
    assert model[1].calls.item() == model[1].rebound.item() == 0
    for p, w in zip(model.parameters(), weights, strict=True):
        assert p.grad is None
        assert np.array_equal(p.detach().numpy(), w)


def test_a_size_that_does_not_fit_names_the_layer_and_leaves_no_hook():
    model = models.cat_dog_cnn_1_1()
    with pytest.raises(ShapeError, match='Linear "logits"'):
        summary(model, (3, 100, 100))
    assert all(not m._forward_hooks and not m._forward_pre_hooks for m in model.modules())
    assert model.training


@pytest.mark.parametrize("size", [160, (), (3, 0, 160), (3, 16.0, 16), "3"])
def test_input_size_must_be_a_tuple_of_positive_integers(size):
    model = models.cat_dog_cnn_1_1() if size != 160 else nn.Conv2d(3, 3, 3)
    with pytest.raises((ArgumentError, ShapeError)):
        summary(model, size)


def test_frozen_parameters_and_the_printed_table():
    model = models.cat_dog_cnn_1_3()
    model.conv1.weight.requires_grad = False
    for p in model.conv2.parameters():
        p.requires_grad = False
    table = summary(model, (3, 160, 160))
    assert table.trainable_parameters == 683_073 - 864 - 9_248
    text = str(table)
    assert "673" not in text.split("parameters    ")[0]  # 32 of 896 trained: only the bias
    lines = {line.split()[0]: line.split() for line in text.splitlines() if line.split()}
    assert " ".join(lines["conv1"][1:9]) == "Conv2d (1, 32, 158, 158) 896 32 21,568,896"
    assert "no" in lines["conv2"]
    assert "yes" in lines["conv3"]
    assert "683,073 (672,961 trained, 10,112 frozen), 2.6 MiB" in text
    assert max(map(len, text.splitlines())) <= 100
    assert repr(table) == text
    assert table.to_dicts()[0]["macs"] == 21_568_896


def test_float64_models_are_asked_in_float64():
    table = summary(nn.Conv2d(1, 1, 3).double(), (1, 5, 5))
    assert table.dtype == "float64"
    assert table.rows[0].im2col_bytes == 8 * 9 * 9


def test_only_an_adaptive_pooling_that_enlarges_is_noted_whatever_its_name():
    class Named(nn.AdaptiveMaxPool2d):
        """A student's own name for it."""

    class AdaptiveTwin(nn.Upsample):
        """A name that begins like theirs."""

    def notes(layer):
        return summary(nn.Sequential(nn.Conv2d(1, 1, 3), layer), (1, 6, 6)).notes

    assert notes(Named(7)) == ("1 enlarges its input of 4×4 to 7×7: values repeat",)
    assert notes(Named(2)) == ()
    assert notes(AdaptiveTwin(scale_factor=2)) == ()


def test_a_narrow_table_says_the_same_in_fewer_columns():
    model = models.alexnet()
    table = summary(model, (3, 224, 224))
    wide, narrow = table.table(1000).splitlines(), table.table(80).splitlines()
    assert str(table).splitlines() == wide  # of 100 columns
    assert max(map(len, narrow)) <= 80
    body = wide[4 : 4 + len(table.rows)]
    paths, heading, read = [], "", []
    for line in narrow[4 : narrow.index(narrow[1], 4)]:
        if len(line.split()) == 1:
            heading = line
            continue
        path, kind, shape, params, macs, sees, *im2col = line.split()
        paths.append(f"{heading}.{path}" if line.startswith("  ") else path)
        shape = f"(1, {shape.replace('×', ', ')})"
        read.append([paths[-1], kind, *shape.split(), params, macs, f"{sees}×{sees}", *im2col])
    assert paths == [row.path for row in table.rows]
    assert read == [line.split() for line in body]
    assert narrow[-5:] == wide[-5:]


@pytest.mark.parametrize("shape", [(1, 5, 9), (3, 7, 7)])
def test_a_narrow_table_keeps_what_is_not_square_or_not_by_image(shape):
    class Rows(nn.Module):
        def forward(self, x):
            return x.reshape(-1, x.shape[-1])

    model = nn.Sequential(nn.Conv2d(shape[0], 4, (1, 3)), nn.Linear(shape[2] - 2, 3), Rows())
    lines = {
        line.split()[0]: line for line in summary(model, shape, batch_size=2).table(1).splitlines()
    }
    assert "1×3" in lines["0"]
    assert f"(2, 4, {shape[1]}, 3)" in lines["1"]  # Rows mixes the batch: no shape per image
    assert f"({2 * 4 * shape[1]}, 3)" in lines["2"]


@pytest.mark.parametrize(
    ("n", "text"),
    [(1000, "1000 B"), (1536, "1.5 KiB"), (153_600, "150 KiB"), (1023 * 2**20, "1023 MiB")],
)
def test_bytes_in_words(n, text):
    assert _bytes(n) == text
