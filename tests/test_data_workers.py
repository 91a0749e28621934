"""The loader's threads: order, bounds, errors, and that they end."""

from __future__ import annotations

import _thread
import gc
import subprocess
import sys
import threading
import time
import traceback

import numpy as np
import pytest

import minicnn
from minicnn import data
from minicnn.errors import DataError

WAIT = 20  # seconds after which a test has failed; it takes milliseconds


class OutOfFilm(Exception):
    """An error of the user's own, whose constructor takes two arguments."""

    def __init__(self, camera, frame):
        super().__init__(f"{camera} has no frame {frame}")


class Broken:
    """Ten samples, of which number 6 cannot be read."""

    def __len__(self):
        return 10

    def __getitem__(self, index):
        return self.develop_film(index)

    def develop_film(self, index):
        if index == 6:
            raise OutOfFilm("camera", index)
        return index


class Function:
    """A dataset of n samples f(index)."""

    def __init__(self, n, f):
        self.n, self.f = n, f

    def __len__(self):
        return self.n

    def __getitem__(self, index):
        return self.f(index)


def loader_threads():
    return [t for t in threading.enumerate() if t.name.startswith("minicnn-loader")]


def wait_until(condition):
    deadline = time.monotonic() + WAIT
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.002)


@pytest.fixture(autouse=True)
def no_thread_is_left():
    yield
    gc.collect()
    wait_until(lambda: not loader_threads())


@pytest.mark.parametrize("workers", [1, 3])
def test_batches_come_in_order_whoever_is_faster(workers):
    delays = np.random.default_rng(0).random(24) * 0.004

    def slowly(index):
        time.sleep(delays[index])
        return index

    loader = data.DataLoader(Function(24, slowly), 2, num_workers=workers)
    assert [batch.tolist() for batch in loader] == [[i, i + 1] for i in range(0, 24, 2)]


def test_workers_read_at_the_same_time():
    meeting = threading.Barrier(3)  # passed only when three samples are being read at once

    def meet(index):
        meeting.wait(WAIT)
        return threading.current_thread().name

    names = [name for batch in data.DataLoader(Function(9, meet), num_workers=3) for name in batch]
    assert set(names) == {f"minicnn-loader-{i}" for i in range(3)}


def test_reading_ahead_is_bounded():
    begun = []
    loader = data.DataLoader(
        Function(50, lambda i: begun.append(i) or i), 1, num_workers=2, prefetch_factor=3
    )
    batches = iter(loader)
    for taken in range(1, 5):
        next(batches)
        wait_until(lambda: len(begun) == taken + 6)  # noqa: B023
        time.sleep(0.01)
        assert len(begun) == taken + 6


def test_without_workers_nothing_is_read_ahead():
    begun = []
    batches = iter(data.DataLoader(Function(9, lambda i: begun.append(i) or i), 2))
    assert begun == []
    next(batches)
    assert begun == [0, 1]


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_an_error_comes_with_its_own_type_traceback_and_sample(workers):
    batches = iter(data.DataLoader(Broken(), 2, num_workers=workers))
    assert [next(batches).tolist() for _ in range(3)] == [[0, 1], [2, 3], [4, 5]]
    with pytest.raises(OutOfFilm, match="camera has no frame 6") as caught:
        next(batches)
    text = "".join(traceback.format_exception(caught.value))
    assert "develop_film" in text
    assert "while reading sample 6 of Broken" in text
    assert next(batches, "over") == "over"


@pytest.mark.parametrize("workers", [0, 2])
def test_an_error_under_a_subset_names_the_sample_beneath(workers):
    subset = data.Subset(Broken(), [1, 6])
    with pytest.raises(OutOfFilm) as caught:
        list(data.DataLoader(subset, 2, num_workers=workers))
    assert caught.value.__notes__ == ["while reading sample 6 of Broken"]


@pytest.mark.parametrize("workers", [0, 2])
def test_an_error_of_the_collate_function_names_its_samples(workers):
    def refuse(samples):
        raise ValueError("no")

    with pytest.raises(ValueError, match="no") as caught:
        list(data.DataLoader(Function(4, int), 2, collate_fn=refuse, num_workers=workers))
    assert caught.value.__notes__ == ["while collating samples [0, 1] of Function"]


@pytest.mark.parametrize("workers", [0, 2])
def test_an_error_of_the_sampler_comes_when_its_batch_is_due(workers):
    def order():
        yield 0
        yield 1
        raise OutOfFilm("sampler", 2)

    batches = iter(data.DataLoader(Function(9, int), 1, sampler=order(), num_workers=workers))
    assert [next(batches).item(), next(batches).item()] == [0, 1]
    with pytest.raises(OutOfFilm):
        next(batches)


@pytest.mark.parametrize("workers", [0, 2])
def test_stop_iteration_cannot_end_an_epoch_in_silence(workers):
    with pytest.raises(DataError, match=r"sample 0 raised StopIteration"):
        list(data.DataLoader(Function(3, lambda i: next(iter([]))), num_workers=workers))

    def collate(samples):
        return next(iter([]))

    with pytest.raises(RuntimeError, match="StopIteration"):
        list(data.DataLoader(Function(3, int), collate_fn=collate, num_workers=workers))


def test_a_worker_s_start_is_told_its_number_and_may_fail():
    started = []

    def start(number):
        started.append((number, threading.current_thread().name))

    list(data.DataLoader(Function(9, int), num_workers=3, worker_init_fn=start))
    assert sorted(started) == [(i, f"minicnn-loader-{i}") for i in range(3)]

    def fail(number):
        raise OutOfFilm("worker", number)

    with pytest.raises(OutOfFilm):
        list(data.DataLoader(Function(9, int), num_workers=2, worker_init_fn=fail))


def test_workers_see_the_consumer_s_context():
    def grad(index):
        return minicnn.is_grad_enabled()

    loader = data.DataLoader(Function(4, grad), 4, num_workers=1)
    with minicnn.no_grad():
        assert next(iter(loader)).tolist() == [False] * 4
    assert next(iter(loader)).tolist() == [True] * 4


def test_iterators_of_one_loader_do_not_mix():
    loader = data.DataLoader(Function(4, int), 2, num_workers=2)
    seen = [(outer.tolist(), [inner.tolist() for inner in loader]) for outer in loader]
    assert seen == [([0, 1], [[0, 1], [2, 3]]), ([2, 3], [[0, 1], [2, 3]])]


# ------------------------------------------------------------------------------ that they end


def test_threads_are_gone_as_soon_as_an_epoch_ends():
    list(data.DataLoader(Function(9, int), num_workers=3))
    assert loader_threads() == []


def test_a_break_ends_the_threads():
    for _batch in data.DataLoader(Function(1000, int), num_workers=3):
        break
    gc.collect()
    wait_until(lambda: not loader_threads())


def test_dropping_an_iterator_that_was_never_used_ends_the_threads():
    batches = iter(data.DataLoader(Function(1000, int), num_workers=3))
    assert len(loader_threads()) == 3
    del batches
    gc.collect()
    wait_until(lambda: not loader_threads())


def test_a_batch_that_nobody_wants_is_left_unfinished():
    begun = []
    gate = threading.Event()

    def read(index):
        begun.append(index)
        gate.wait(WAIT)
        return index

    batches = iter(data.DataLoader(Function(1000, read), 1000, num_workers=1))
    wait_until(lambda: begun)
    del batches
    gc.collect()
    gate.set()
    wait_until(lambda: not loader_threads())
    assert begun == [0]


def test_ctrl_c_while_waiting_for_a_batch_ends_the_threads():
    gate = threading.Event()

    def read(index):
        if index == 3:
            _thread.interrupt_main()
        if index >= 3:
            gate.wait(WAIT)
        return index

    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        list(data.DataLoader(Function(9, read), num_workers=2))
    assert time.monotonic() - start < WAIT / 2
    gate.set()


def test_a_batch_that_never_comes_is_reported():
    gate = threading.Event()
    loader = data.DataLoader(Function(2, lambda i: gate.wait(WAIT)), num_workers=1, timeout=0.05)
    with pytest.raises(DataError, match=r"no batch came within timeout=0\.05 seconds"):
        next(iter(loader))
    gate.set()


def test_the_interpreter_does_not_wait_for_workers():
    code = (
        "import time; from minicnn import data\n"
        "class Slow(data.Dataset):\n"
        "    def __len__(self): return 9\n"
        "    def __getitem__(self, i): time.sleep(60 if i else 0); return i\n"
        "batches = iter(data.DataLoader(Slow(), num_workers=2))\n"
        "print(next(batches).tolist())\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True, text=True, timeout=40, check=True,
    )  # fmt: skip
    assert done.stdout == "[0]\n"
    assert done.stderr == ""
