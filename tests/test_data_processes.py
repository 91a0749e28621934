"""Worker processes give the batches of threads, say why they died, and leave nothing behind."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import subprocess
import sys
import time
import traceback
from pathlib import Path

import helpers_processes as made
import numpy as np
import pytest

import minicnn
from minicnn import data
from minicnn.errors import ArgumentError, DataError

METHODS = multiprocessing.get_all_start_methods()
QUICK = "forkserver" if "forkserver" in METHODS else "spawn"
SHARED = Path("/dev/shm")

pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded")


def segments():
    return sorted(p.name for p in SHARED.glob("mcnn*")) if SHARED.exists() else []


@pytest.fixture(autouse=True)
def nothing_is_left():
    before = segments()
    yield
    gc.collect()
    assert multiprocessing.active_children() == []
    assert segments() == before


def loader(function, n=10, batch_size=2, method=QUICK, workers=2, **options):
    return data.DataLoader(
        made.Made(n, function), batch_size,
        num_workers=workers, multiprocessing_context=method, **options,
    )  # fmt: skip


def flat(batch):
    """Every array and text of a batch, to its bits."""
    if isinstance(batch, dict):
        return [item for value in batch.values() for item in flat(value)]
    if isinstance(batch, list | tuple):
        return [item for value in batch for item in flat(value)]
    if isinstance(batch, minicnn.Tensor):
        return [(tuple(batch.shape), str(batch.dtype), batch.numpy().tobytes())]
    return [batch]


@pytest.mark.parametrize("method", METHODS)
def test_batches_are_those_of_threads_to_the_bit_epoch_after_epoch(method):
    options = {"shuffle": True, "seed": 5, "batch_size": 4, "n": 30}
    threads = loader(made.noisy, method=None, **options)
    processes = loader(made.noisy, method=method, **options)
    for _ in range(2):
        kept = list(processes)  # all at once: none is written over by a later one
        assert [flat(b) for b in kept] == [flat(b) for b in threads]
    kept[0]["image"].add_(1)  # its memory is its own


def test_batches_grow_and_may_be_anything_that_can_be_pickled():
    batches = list(loader(made.growing, n=40, batch_size=1, collate_fn=made.as_they_are))
    for i, (array,) in enumerate(batches):
        assert array.shape == (50 * i, 30)
        assert (array == i).all()


def test_batch_after_batch_the_work_is_shared_by_processes_of_their_own():
    pids = np.concatenate([b.numpy() for b in loader(made.number_of_process, batch_size=1)])
    assert len(set(pids)) == 2
    assert os.getpid() not in pids
    np.testing.assert_array_equal(pids[:-2], pids[2:])


@pytest.mark.parametrize("persistent", [True, False])
def test_workers_stay_for_the_next_epoch_if_asked(persistent):
    batches = loader(made.number_of_process, persistent_workers=persistent)
    first, second = ({*np.concatenate([b.numpy() for b in batches])} for _ in range(2))
    assert (first == second) == persistent
    assert len(multiprocessing.active_children()) == 2 * persistent


def test_an_iterable_dataset_is_read_by_one_process_anew_in_each_epoch():
    batches = data.DataLoader(
        made.Numbers(), 4, num_workers=1, multiprocessing_context=QUICK, persistent_workers=True
    )
    for _ in range(2):
        assert [b.tolist() for b in batches] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


def test_global_random_numbers_differ_between_workers_and_come_again():
    def draws():
        return [flat(b) for b in loader(made.drawn_globally, n=4, batch_size=1, seed=3)]

    first = draws()
    assert draws() == first
    assert len({str(batch) for batch in first}) == 4


# -------------------------------------------------------------------------------------- errors


def test_an_error_comes_with_its_type_sample_and_traceback():
    batches = iter(loader(made.broken))
    assert [next(batches).tolist() for _ in range(3)] == [[0, 1], [2, 3], [4, 5]]
    with pytest.raises(KeyError) as caught:
        next(batches)
    text = "".join(traceback.format_exception(caught.value))
    assert "in broken" in text
    assert 'raise KeyError("film", index)' in text
    assert "while reading sample 6 of Made" in text
    assert "in worker process 1" in text
    assert next(batches, "over") == "over"


def test_an_error_that_cannot_be_sent_is_told():
    with pytest.raises(DataError, match=r"OutOfFilm in a worker process: camera has no frame 0"):
        list(loader(made.broken_past_pickling))


def test_stop_iteration_cannot_end_an_epoch_in_silence():
    with pytest.raises(DataError, match="sample 0 raised StopIteration"):
        list(loader(made.stops))


def test_a_worker_s_start_may_fail():
    with pytest.raises(ValueError, match="worker 0 will not start"):
        list(loader(abs, worker_init_fn=made.no_start))


def test_a_batch_that_cannot_be_sent_is_refused():
    with pytest.raises(DataError, match=r"a batch cannot be sent .* use threads"):
        list(loader(made.unsendable))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.skipif(os.name != "posix", reason="no signals on this system")
def test_a_worker_that_dies_ends_the_epoch_at_once(method):
    start = time.monotonic()
    with pytest.raises(DataError, match=r"worker process 0 \(pid \d+\) died with exit code 7\. "):
        list(loader(made.dies_at_4, method=method))
    with pytest.raises(DataError, match=r"worker process 0 .* SIGKILL\. Memory may have run out"):
        list(loader(made.killed_at_4, method=method))
    assert time.monotonic() - start < 30


def test_a_worker_that_is_killed_while_another_is_waited_for_ends_the_epoch():
    batches = iter(loader(made.asleep, batch_size=1))
    assert [next(batches)[0, 0, 0].item() for _ in range(2)] == [0, 1]  # both have started
    last = max(multiprocessing.active_children(), key=lambda process: process.name)
    os.kill(last.pid, signal.SIGTERM)
    start = time.monotonic()
    with pytest.raises(DataError, match=r"worker process 1 .* SIGTERM"):
        next(batches)
    assert time.monotonic() - start < 10


def test_a_batch_that_never_comes_is_reported_and_an_early_end_ends_workers():
    batches = iter(loader(made.asleep, batch_size=1, n=5))
    next(batches)
    del batches  # the workers sleep: nobody waits for them
    late = loader(made.asleep, batch_size=1, timeout=0.01)
    with pytest.raises(DataError, match=r"no batch came within timeout=0\.01 seconds"):
        list(late)


def test_what_cannot_be_pickled_is_named():
    for batches, name in (
        (loader(lambda index: index, method="spawn"), "dataset"),
        (loader(abs, method="spawn", collate_fn=lambda samples: 1), "collate_fn"),
        (loader(abs, method="spawn", worker_init_fn=lambda number: None), "worker_init_fn"),
    ):
        with pytest.raises(DataError, match=f"{name} cannot be sent .* use threads") as caught:
            next(iter(batches))
        assert "\n" not in str(caught.value)


@pytest.mark.skipif("fork" not in METHODS, reason="no fork on this system")
def test_forked_workers_need_no_pickling():
    batches = loader(lambda index: index * 2, method="fork")
    assert [b.tolist() for b in batches] == [[0, 2], [4, 6], [8, 10], [12, 14], [16, 18]]


def test_contexts_that_are_none_are_refused():
    with pytest.raises(ArgumentError, match=r"must be one of .*spawn.* or a context, got 'thread'"):
        loader(abs, method="thread")
    with pytest.raises(ArgumentError, match="num_workers is 0"):
        loader(abs, workers=0)
    assert len(list(loader(abs, method=multiprocessing.get_context(QUICK)))) == 5


# ------------------------------------------------------------------------------------- Ctrl-C

SCRIPT = """
import sys, time
sys.path.insert(0, {tests!r})
import helpers_processes as made
from minicnn import data

if __name__ == "__main__":
    loader = data.DataLoader(made.Made(9, made.asleep), num_workers=2,
                             multiprocessing_context={method!r})
    import multiprocessing
    for batch in loader:
        print(*(p.pid for p in multiprocessing.active_children()), flush=True)
"""


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kill", [signal.SIGINT, getattr(signal, "SIGKILL", None)])
@pytest.mark.skipif(os.name != "posix", reason="no process groups on this system")
def test_the_end_of_the_program_is_the_end_of_its_workers(method, kill, tmp_path):
    """By Ctrl-C, which goes to all processes of the terminal, or by kill -9 of the program."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(tests=str(Path(__file__).parent), method=method))
    before = segments()
    program = subprocess.Popen(
        [sys.executable, str(script)], start_new_session=True, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    with program:
        workers = [*map(int, program.stdout.readline().split())]
        program.stdout.readline()
        start = time.monotonic()
        if kill == signal.SIGINT:
            os.killpg(program.pid, kill)
        else:
            program.kill()
        _, errors = program.communicate(timeout=30)
    assert time.monotonic() - start < 15
    assert len(workers) == 2
    assert not any(Path(f"/proc/{pid}/cmdline").exists() and _alive(pid) for pid in workers)
    assert segments() == before
    if kill == signal.SIGINT:
        assert errors.splitlines()[-1] == "KeyboardInterrupt"
        assert errors.count("Traceback") == 1, errors


def _alive(pid):
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")")[-1].split()[0] != "Z"
