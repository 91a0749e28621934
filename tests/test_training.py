"""The Trainer: the plain loop's bits, honest numbers, and a refusal for every bad situation."""

from __future__ import annotations

import io as streams
import json
import os

import numpy as np
import pytest
from helpers_training import (
    SIZE,
    WHOLE_RUN,
    assert_same_bits,
    files,
    fit,
    images_and_labels,
    loaders,
    make,
    network,
    weights,
)

import minicnn
from minicnn import data, io, nn, optim
from minicnn.errors import ArgumentError, CheckpointError, DataError, TrainingError
from minicnn.training import (
    Callback,
    CSVLogger,
    EarlyStopping,
    History,
    LearningRate,
    ModelCheckpoint,
    ProgressBar,
    Trainer,
    evaluating,
    predicted_classes,
    probabilities,
)

# ----------------------------------------------------------------------------------- the plain loop


@pytest.mark.parametrize("classes", [1, 2])
def test_the_same_bits_as_the_plain_loop(classes, tmp_path):
    minicnn.manual_seed(4)
    model = network(classes)
    optimizer = optim.Adam(model.parameters(), lr=5e-3)
    loss_fn = nn.CrossEntropyLoss() if classes == 2 else nn.BCEWithLogitsLoss()
    loader, _ = loaders()
    for _ in range(3):
        for images, labels in loader:
            optimizer.zero_grad()
            target = labels if classes == 2 else labels.float().unsqueeze(1)
            loss = loss_fn(model(images), target)
            loss.backward()
            optimizer.step()

    bare = make(classes=classes)
    bare.fit(loaders()[0], epochs=3, progress=False)
    assert_same_bits(weights(model), weights(bare.model))

    everything = make(classes=classes, callbacks=[EarlyStopping(patience=9)])
    everything.fit(*loaders(), epochs=3, out=tmp_path / "run", progress=False)
    assert_same_bits(weights(model), weights(everything.model))


def test_it_learns_and_history_tells():
    trainer = make()
    history = fit(trainer, 12)
    assert history.epoch == list(range(12))
    assert set(history.history) == {"loss", "accuracy", "val_loss", "val_accuracy"}
    assert history.history["val_accuracy"][-1] > 0.9
    assert history.history["loss"][-1] < history.history["loss"][0] / 2
    assert not history.interrupted
    assert trainer.history is history
    assert "12 epochs" in repr(history)


def test_history_is_what_a_hand_count_gives():
    """With a learning rate of 0 the weights stay, so that every number can be recomputed."""
    trainer = make(lr=0.0)
    trainer.model.dropout.p = 0.0
    train, validation = loaders(n=50)
    history = trainer.fit(train, validation, epochs=1, progress=False)
    for name, (images, labels) in (
        ("", train.dataset.tensors),
        ("val_", validation.dataset.tensors),
    ):
        with minicnn.no_grad():
            logits = trainer.model(images).numpy().astype(np.float64)
        truth = labels.numpy()
        shifted = logits - logits.max(axis=1, keepdims=True)
        log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        loss = -log_p[np.arange(len(truth)), truth].mean()
        assert history.history[f"{name}loss"][0] == pytest.approx(loss, rel=1e-5)
        hits = int((logits.argmax(axis=1) == truth).sum())
        assert history.history[f"{name}accuracy"][0] == hits / len(truth)  # exact, not nearly


def test_metrics_by_name_and_by_function():
    def doubt(logits, labels):
        return 1 - probabilities(logits).max(axis=1)

    def batch_size(logits, labels):
        return len(labels)

    trainer = make(lr=0.0, metrics=["accuracy", doubt, batch_size])
    found = trainer.evaluate(loaders()[1])  # 30 images: batches of 16 and 14
    assert list(found) == ["loss", "accuracy", "doubt", "batch_size"]
    assert found["batch_size"] == (16 * 16 + 14 * 14) / 30
    logits = trainer.predict(loaders()[1])
    assert found["doubt"] == pytest.approx(doubt(logits, None).mean())
    with pytest.raises(ArgumentError, match=r"no metric 'acuracy'\. Use accuracy, or give"):
        make(metrics=["acuracy"])


# ----------------------------------------------------------------------------- evaluate and predict


@pytest.mark.parametrize("classes", [1, 2])
def test_predict_gives_logits_in_order_and_probabilities(classes):
    trainer = make(classes=classes)
    images, _ = images_and_labels(37)
    with minicnn.no_grad():
        expected = trainer.model.eval()(images).numpy()
    trainer.model.train()
    logits = trainer.predict(images, batch_size=10)
    assert isinstance(logits, np.ndarray)
    assert logits.shape == (37, classes)
    assert np.allclose(logits, expected, rtol=1e-5, atol=1e-6)
    assert np.array_equal(trainer.predict(images.numpy(), batch_size=10), logits)
    loader = data.DataLoader(data.TensorDataset(*images_and_labels(37)), batch_size=10)
    assert np.array_equal(trainer.predict(loader), logits)
    sure = trainer.predict(images, probabilities=True)
    e = np.exp(expected.astype(np.float64))
    truth = e / (1 + e) if classes == 1 else e / e.sum(axis=1, keepdims=True)
    assert np.allclose(sure, truth, rtol=1e-5)
    assert np.array_equal(predicted_classes(logits), (sure > 0.5)[:, -1])


def test_probabilities_of_extreme_logits():
    with np.errstate(over="raise", invalid="raise"):
        assert probabilities(np.array([[1000.0], [-1000.0], [0.0]])).ravel().tolist() == [1, 0, 0.5]
        assert probabilities(np.array([[1e4, -1e4], [5.0, 5.0]])).tolist() == [[1, 0], [0.5, 0.5]]


def test_evaluating_restores_each_layers_mode_even_after_an_error():
    trainer = make()
    model = trainer.model.train()
    model.dropout.eval()
    modes = [m.training for m in model.modules()]
    seen = []
    model.conv1.register_forward_hook(
        lambda *args: seen.append((model.training, minicnn.is_grad_enabled()))
    )
    trainer.evaluate(loaders()[1])
    trainer.predict(images_and_labels()[0])
    assert set(seen) == {(False, False)}
    assert [m.training for m in model.modules()] == modes
    with pytest.raises(ZeroDivisionError), evaluating(model):
        1 / 0  # noqa: B018
    assert [m.training for m in model.modules()] == modes
    assert minicnn.is_grad_enabled()


def test_evaluating_twice_gives_the_same_and_leaves_dropouts_counter():
    trainer = make()
    before = minicnn.get_rng_state()["offset"]
    assert trainer.evaluate(loaders()[1]) == trainer.evaluate(loaders()[1])
    assert minicnn.get_rng_state()["offset"] == before


# ----------------------------------------------------------------------------------- bad situations


def test_a_loss_that_is_not_finite_stops_before_the_step(tmp_path):
    fit(make(), 1, out=tmp_path)
    kept = (tmp_path / "last.safetensors").read_bytes()

    class Explode(Callback):
        def on_train_batch_end(self, batch, logs):
            if batch == 1:
                self.trainer.model.logits.weight.data.fill_(float("nan"))

    with pytest.raises(TrainingError) as error:
        fit(make(callbacks=[Explode()]), 3, resume=tmp_path)
    text = str(error.value)
    assert "the loss is nan in epoch 2, batch 3." in text
    assert "Lower the learning rate (now 0.005), or scale the images to [0, 1]." in text
    assert "\n" not in text
    assert (tmp_path / "last.safetensors").read_bytes() == kept
    assert files(tmp_path) == WHOLE_RUN


def test_a_diverging_training_says_so():
    pattern = r"the loss is (inf|nan) in epoch \d, batch \d+\. Lower"
    with np.errstate(all="ignore"), pytest.raises(TrainingError, match=pattern):
        fit(make(lr=1e30), 3)


def test_nan_in_an_image_is_told_apart():
    images, labels = images_and_labels(20)
    images.array[13, 0, 2, 2] = np.nan
    trainer = make()
    with pytest.raises(TrainingError, match=r"batch 2\. Images of this batch hold NaN"):
        trainer.fit([(images[:10], labels[:10]), (images[10:], labels[10:])], progress=False)


def test_nan_in_validation_is_no_success():
    images, labels = images_and_labels(20)
    images.array[13, 0, 2, 2] = np.nan
    with pytest.raises(TrainingError, match=r"evaluate: the loss is nan .* image 10\. Images of"):
        make().fit(
            loaders()[0], [(images[:10], labels[:10]), (images[10:], labels[10:])], progress=False
        )
    trainer = make()
    trainer.model.logits.weight.data.fill_(float("nan"))
    with pytest.raises(TrainingError, match=r"evaluate: the loss is nan .* look at both"):
        trainer.evaluate(loaders()[1])


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ({"model": len}, r"the model must be of minicnn\.nn, got builtin"),
        ({"optimizer": None}, r"the optimizer must be of minicnn\.optim, got NoneType"),
        ({"loss": "cross_entropy"}, r"the loss must be a function .* got 'cross_entropy'"),
        (
            {"optimizer": optim.SGD([nn.Parameter(minicnn.zeros(2))], lr=0.1)},
            r"none of this model's parameters",
        ),
    ],
)
def test_parts_that_cannot_be_trained_are_refused(parts, words):
    trainer = make()
    given = {"model": trainer.model, "optimizer": trainer.optimizer, "loss": trainer.loss} | parts
    with pytest.raises(ArgumentError, match=words):
        fit(Trainer(**given), 1)


def test_data_that_is_not_in_batches_is_refused():
    dataset = data.TensorDataset(*images_and_labels(20))
    with pytest.raises(ArgumentError, match=r"data is a TensorDataset.*DataLoader\(dataset"):
        make().fit(dataset, progress=False)
    with pytest.raises(ArgumentError, match=r"validation data must give .* got int"):
        make().fit(loaders()[0], 3, progress=False)


def test_nothing_to_train_on():
    trainer = make()
    for empty in ([], data_without_batches()):
        with pytest.raises((TrainingError, DataError), match=r"no batches\. ") as error:
            trainer.fit(empty, progress=False)
        assert "\n" not in str(error.value)
    with pytest.raises(TrainingError, match="the validation data has no batches"):
        trainer.fit(loaders()[0], [], progress=False)
    with pytest.raises(TrainingError, match=r"Trainer\.predict: no images"):
        trainer.predict(np.zeros((0, 1, SIZE, SIZE), np.float32))
    with pytest.raises(TrainingError, match="evaluate: the loader gave no images"):
        trainer.evaluate(iter([]))


def data_without_batches():
    return data.DataLoader(data.TensorDataset(*images_and_labels(5)), batch_size=16, drop_last=True)


def test_drop_last_of_everything_names_the_batch_size():
    with pytest.raises(TrainingError, match=r"drop_last=True drops all 5 images: .* at most 5"):
        make().fit(data_without_batches(), progress=False)


def test_a_generator_is_used_up_after_an_epoch():
    images, labels = images_and_labels(20)
    batches = ((images[i : i + 10], labels[i : i + 10]) for i in (0, 10))
    with pytest.raises(TrainingError, match=r"epoch 2 got no images .*A generator"):
        make().fit(batches, epochs=2, progress=False)


def test_one_logit_and_cross_entropy_do_not_go_together():
    trainer = make(classes=1)
    trainer.loss = nn.CrossEntropyLoss()
    with pytest.raises(ArgumentError, match=r"single logit is always 0\. Use BCEWithLogitsLoss"):
        fit(trainer, 1)


@pytest.mark.parametrize("epochs", [-1, 1.5, "3"])
def test_epochs_must_be_a_count(epochs):
    with pytest.raises(ArgumentError, match="epochs must be an integer ≥ 0"):
        fit(make(), epochs)


def test_an_unwritable_folder_is_refused_before_training(tmp_path):
    (tmp_path / "file").write_text("x")
    trainer = make()
    before = weights(trainer.model)
    with pytest.raises(TrainingError, match=r"cannot write in the folder .*file/run"):
        fit(trainer, 1, out=tmp_path / "file" / "run")
    with pytest.raises(TrainingError, match=r"cannot write in the folder .*file"):
        fit(make(callbacks=[CSVLogger(tmp_path / "file" / "h.csv")]), 1)
    assert_same_bits(before, weights(trainer.model))


def test_a_disk_that_fills_up_keeps_the_last_whole_epoch(tmp_path, monkeypatch):
    replace = os.replace

    def full(source, target):
        if trainer.finished_epochs == 3:
            raise OSError(28, "No space left on device")
        replace(source, target)

    monkeypatch.setattr(os, "replace", full)
    trainer = make()
    with pytest.raises((TrainingError, CheckpointError)) as error:
        fit(trainer, 5, out=tmp_path)
    assert "no space left on device" in str(error.value)
    assert str(tmp_path) in str(error.value)
    assert "\n" not in str(error.value)
    assert io.load_checkpoint(tmp_path / "last.safetensors").epoch == 2
    assert files(tmp_path) == WHOLE_RUN


# ------------------------------------------------------------------------------- history, callbacks


def test_history_csv_keeps_every_bit(tmp_path):
    history = History()
    history.append(0, {"loss": 0.1 + 0.2, "val_loss": float("nan")})
    history.append(1, {"loss": 1e-310, "val_loss": float("inf")})
    path = history.to_csv(tmp_path / "h.csv")
    assert path.read_text().splitlines()[0] == "epoch,loss,val_loss"
    assert path.read_text().splitlines()[2].startswith("2,")  # people count from 1
    again = History.from_csv(path)
    assert again.epoch == [0, 1]
    assert repr(again.history) == repr(history.history)


@pytest.mark.parametrize("text", ["", "a,b\n1,2\n", "epoch,loss\n1\n", "epoch,loss\n1,high\n"])
def test_a_csv_of_something_else_is_refused(text, tmp_path):
    path = tmp_path / "h.csv"
    path.write_text(text)
    with pytest.raises(TrainingError, match=r"h\.csv is not a history"):
        History.from_csv(path)
    with pytest.raises(TrainingError, match=r"none\.csv: no such file"):
        History.from_csv(tmp_path / "none.csv")


def test_early_stopping_counts_on_after_a_resume(tmp_path):
    def stopping(**options):
        return make(lr=0.0, callbacks=[EarlyStopping("val_loss", patience=3)], **options)

    assert len(fit(stopping(), 20)) == 4  # the first, and three that are no better
    fit(stopping(), 3, out=tmp_path)
    assert len(fit(stopping(seed=8), 20, resume=tmp_path)) == 4


def test_monitoring_something_unknown():
    with pytest.raises(ArgumentError, match=r"nothing is called 'val_f1'\. Use one of loss, acc"):
        fit(make(callbacks=[EarlyStopping("val_f1")]), 1)
    with pytest.raises(ArgumentError, match="patience must be at least 1"):
        EarlyStopping(patience=0)


def test_checkpoints_can_watch_the_loss(tmp_path):
    trainer = make(callbacks=[ModelCheckpoint(tmp_path, monitor="val_loss")])
    history = fit(trainer, 4)
    losses = history.history["val_loss"]
    assert io.read_header(tmp_path / "best.safetensors")["epoch"] == losses.index(min(losses)) + 1


def test_the_run_page_is_strict_json_for_people(tmp_path):
    fit(make(config={"classes": ["left", "right"], "seed": 4}), 2, out=tmp_path)

    def refuse(constant):
        raise AssertionError(constant)

    page = json.loads((tmp_path / "run.json").read_text(), parse_constant=refuse)
    assert page["model"]["name"] == "cat_dog_cnn_1_1"
    assert page["optimizer"]["type"] == "Adam"
    assert page["optimizer"]["groups"][0]["lr"] == 5e-3
    assert page["epochs"] == {"finished": 2, "asked": 2}
    assert page["config"] == {"classes": ["left", "right"], "seed": 4}
    assert page["seconds"] > 0
    assert page["parameters"] == sum(p.numel() for p in network().parameters())


class Terminal(streams.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_bar_shows_loss_accuracy_and_speed():
    screen = Terminal()
    trainer = make(callbacks=[ProgressBar(screen)])
    history = trainer.fit(*loaders(), epochs=2)
    last = screen.getvalue().replace("\r", "\n").rstrip("\n").splitlines()[-1]
    assert last.startswith("epoch 2/2 100%")
    assert "70/70" in last
    for name in ("loss", "accuracy", "val_loss", "val_accuracy"):
        assert f"{name} {history.history[name][-1]:.4f}" in last
    assert "images/s" in last


def test_a_log_file_gets_one_line_an_epoch():
    log = streams.StringIO()
    make(callbacks=[ProgressBar(log)]).fit(*loaders(), epochs=2)
    lines = log.getvalue().splitlines()
    assert [line[:10] for line in lines] == ["epoch 1/2:", "epoch 2/2:"]


def test_the_bar_takes_loaders_that_do_not_know_their_length():
    images, labels = images_and_labels(20)

    class Stream:
        def __iter__(self):
            yield images, labels

    screen = Terminal()
    make(callbacks=[ProgressBar(screen)]).fit(Stream(), epochs=2)
    assert "20/?" in screen.getvalue()


def test_every_callback_hears_everything_in_order():
    heard = []

    class Ear(Callback):
        def __getattribute__(self, name):
            if name.startswith("on_") or name == "close":
                heard.append(name)
            return object.__getattribute__(self, name)

    images, labels = images_and_labels(20)
    make(callbacks=[Ear()]).fit([(images, labels)] * 2, epochs=2, progress=False)
    epoch = ["on_epoch_begin", *["on_train_batch_end"] * 2, "on_epoch_end"]
    assert heard == ["on_train_begin", *epoch, *epoch, "on_train_end", "close"]


def test_a_callback_can_stop_the_training():
    class Stop(Callback):
        def on_epoch_end(self, epoch, logs):
            self.trainer.stop_training = epoch == 1

    trainer = make(callbacks=[Stop()])
    assert len(fit(trainer, 9)) == 2
    assert not trainer.history.interrupted


# -------------------------------------------------------------------------- learning rate schedules


def rates_of(callback, scheduler, epochs=4, **options):
    """The rate in force at the start of each epoch, and the run's trainer."""
    seen = []

    class Look(Callback):
        def on_epoch_begin(self, epoch):
            seen.append(self.trainer.optimizer.param_groups[0]["lr"])

    trainer = make(lr=0.01, **options)
    trainer.callbacks = [Look(), callback(scheduler(trainer.optimizer))]
    fit(trainer, epochs)
    return seen, trainer


def test_a_schedule_steps_once_an_epoch():
    seen, _ = rates_of(LearningRate, lambda o: optim.lr_scheduler.StepLR(o, 2, gamma=0.5))
    assert seen == pytest.approx([0.01, 0.01, 0.005, 0.005], rel=1e-12)


def test_a_schedule_steps_with_every_batch():
    batches = len(loaders()[0])
    seen, trainer = rates_of(
        lambda scheduler: LearningRate(scheduler, every="batch"),
        lambda o: optim.lr_scheduler.LinearLR(o, 1.0, 0.2, total_iters=4 * batches),
    )
    assert seen == pytest.approx([0.01, 0.008, 0.006, 0.004], rel=1e-9)
    assert trainer.optimizer.param_groups[0]["lr"] == pytest.approx(0.002, rel=1e-9)


def test_a_plateau_is_watched_in_the_validation_loss():
    class Flat(Callback):
        order = -1

        def on_epoch_end(self, epoch, logs):
            assert "val_loss" in logs
            logs["val_loss"] = 1.0

    trainer = make(lr=0.01)
    scheduler = optim.lr_scheduler.ReduceLROnPlateau(trainer.optimizer, factor=0.5, patience=1)
    trainer.callbacks = [Flat(), LearningRate(scheduler)]
    fit(trainer, 3)
    assert scheduler.best == 1.0
    assert trainer.optimizer.param_groups[0]["lr"] == 0.005  # epochs 2 and 3 were no better


def test_a_resumed_run_goes_on_with_the_same_rates(tmp_path):
    def trainer(epochs, **options):
        made = make(lr=0.01)
        made.callbacks = [
            LearningRate(optim.lr_scheduler.CosineAnnealingLR(made.optimizer, T_max=5))
        ]
        fit(made, epochs, **options)
        return made

    whole = trainer(4, out=tmp_path / "whole")
    trainer(2, out=tmp_path / "parts")
    parts = trainer(4, resume=tmp_path / "parts")
    assert_same_bits(weights(whole.model), weights(parts.model))
    assert parts.optimizer.param_groups[0]["lr"] == whole.optimizer.param_groups[0]["lr"] < 0.005


@pytest.mark.parametrize(
    ("make_callback", "words"),
    [
        (lambda o: LearningRate(0.1), "expected a scheduler, got float"),
        (lambda o: LearningRate(optim.lr_scheduler.StepLR(o, 1), every="step"), "got 'step'"),
        (
            lambda o: LearningRate(optim.lr_scheduler.ReduceLROnPlateau(o), every="batch"),
            "compares epochs",
        ),
    ],
)
def test_schedules_that_cannot_be_are_refused(make_callback, words):
    with pytest.raises(ArgumentError, match=words):
        make_callback(make().optimizer)


def test_a_schedule_of_another_optimizer_is_refused():
    other = optim.lr_scheduler.StepLR(make().optimizer, 1)
    with pytest.raises(ArgumentError, match="belongs to another optimizer"):
        fit(make(callbacks=[LearningRate(other)]), 1)
    trainer = make()
    plateau = optim.lr_scheduler.ReduceLROnPlateau(trainer.optimizer)
    trainer.callbacks = [LearningRate(plateau, monitor="f1")]
    with pytest.raises(ArgumentError, match=r"nothing is called 'f1'\. Use one of loss, accuracy"):
        fit(trainer, 1)


# ------------------------------------------------------------------------------------- the lock


def test_two_trainings_in_one_folder_are_refused(tmp_path):
    class Second(Callback):
        def on_epoch_end(self, epoch, logs):
            before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
            with pytest.raises(TrainingError, match="another training is writing into") as error:
                fit(make(), 1, out=tmp_path, overwrite=True)
            assert "\n" not in str(error.value)
            assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before

    fit(make(callbacks=[Second()]), 1, out=tmp_path)
    fit(make(), 2, resume=tmp_path)  # the lock is gone with the run
    assert files(tmp_path) == WHOLE_RUN


def test_resuming_without_the_best_epoch_says_so_and_goes_on(tmp_path):
    fit(make(), 3, out=tmp_path)
    (tmp_path / "best.safetensors").unlink()
    with pytest.warns(UserWarning, match=r"best\.safetensors is gone"):
        history = fit(make(), 3, resume=tmp_path)
    assert len(history) == 3
    assert io.read_header(tmp_path / "best.safetensors")["epoch"] == 3
