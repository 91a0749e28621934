"""The recycling pool: a block comes back exactly when the last array on it dies."""

import gc
import threading

import numpy as np
import pytest

from minicnn import errors
from minicnn.kernels import buffers

BIG = (1 << 20,)  # float32: 4 MiB


@pytest.fixture(autouse=True)
def pool(monkeypatch):
    """Give each test a pool of its own, so that arrays alive elsewhere do not matter."""
    fresh = buffers._Pool(cap=64 << 20)
    monkeypatch.setattr(buffers, "_pool", fresh)
    return fresh


def address(array):
    return array.__array_interface__["data"][0]


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32, np.bool_])
@pytest.mark.parametrize("shape", [(3, 1000, 1001), (1 << 21,), 1 << 21, (5,), (0, 7), ()])
def test_empty_is_numpy_empty(shape, dtype):
    array = buffers.empty(shape, dtype)
    wanted = np.empty(shape, dtype)
    assert (array.shape, array.dtype) == (wanted.shape, wanted.dtype)
    assert array.flags.c_contiguous
    assert array.flags.writeable
    array[...] = 1
    assert (array == 1).all()


def test_large_arrays_are_aligned():
    arrays = [buffers.empty((1 << 18) + i, np.float32) for i in range(8)]
    assert [address(a) % buffers.ALIGNMENT for a in arrays] == [0] * 8


def test_a_dead_arrays_memory_is_reused():
    first = buffers.empty(BIG, np.float32)
    place = address(first)
    del first
    second = buffers.empty((1024, 1024), np.float32)
    assert address(second) == place
    assert buffers.stats()["reused"] == 1


def test_live_arrays_never_share_memory():
    arrays = [buffers.empty(BIG, np.float32) for _ in range(6)]
    for i, array in enumerate(arrays):
        array[:] = i
    assert [set(a.tolist()) for a in arrays] == [{float(i)} for i in range(6)]


@pytest.mark.parametrize(
    "view",
    [
        lambda a: a[5:9],
        lambda a: a.reshape(4, -1)[1:].T[::2],
        lambda a: np.broadcast_to(a, (3, *a.shape)),
        lambda a: a.view(np.int32),
        lambda a: memoryview(a),
        lambda a: np.lib.stride_tricks.sliding_window_view(a, 3),
        lambda a: np.asarray(memoryview(a))[::7],
        lambda a: np.from_dlpack(a),
    ],
)
def test_a_view_keeps_the_block(view):
    array = buffers.empty(BIG, np.float32)
    array[:] = 7
    place = address(array)
    held = view(array)
    del array
    gc.collect()
    other = buffers.empty(BIG, np.float32)
    assert address(other) != place
    del held
    gc.collect()
    assert address(buffers.empty(BIG, np.float32)) == place


def test_small_arrays_do_not_come_from_the_pool():
    buffers.empty(100, np.float32)
    assert buffers.stats()["fresh"] == 0


def test_idle_bytes_stay_under_the_cap(pool):
    held = [buffers.empty(BIG, np.float32) for _ in range(40)]  # 160 MiB lent
    assert buffers.stats()["lent_bytes"] >= 160 << 20
    held.clear()
    stats = buffers.stats()
    assert stats["lent_bytes"] == 0
    assert 0 < stats["idle_bytes"] <= 64 << 20
    buffers.set_cap(10 << 20)
    assert buffers.stats()["idle_bytes"] <= 10 << 20
    assert sum(block.nbytes for shelf in pool.shelves.values() for block in shelf) <= 10 << 20
    buffers.set_cap(0)
    assert buffers.stats()["idle_bytes"] == 0


def test_over_the_cap_the_sizes_that_waited_longest_go_first(pool):
    sizes = [(i + 1) << 20 for i in range(4)]
    for size in sizes:
        buffers.empty(size, np.uint8)
    buffers.set_cap(sizes[3] + sizes[2])
    assert list(pool.shelves) == sizes[2:]


def test_clear_gives_idle_blocks_back():
    kept = buffers.empty(BIG, np.float32)
    buffers.empty(BIG, np.float32)
    buffers.clear()
    stats = buffers.stats()
    assert stats["idle_bytes"] == 0
    assert stats["lent_bytes"] == kept.nbytes


def test_a_negative_cap_is_refused():
    with pytest.raises(errors.ArgumentError, match="-1 bytes"):
        buffers.set_cap(-1)


def test_an_array_that_dies_while_the_lock_is_held_does_not_deadlock(pool):
    array = buffers.empty(BIG, np.float32)
    with pool.lock:  # as when the garbage collector runs inside the pool's own code
        del array
    assert buffers.stats()["idle_bytes"] == 4 << 20


def test_arrays_in_a_cycle_come_back():
    cycle = [buffers.empty(BIG, np.float32)]
    cycle.append(cycle)
    del cycle
    gc.collect()
    assert buffers.stats()["idle_bytes"] == 4 << 20


def test_threads_hammering_never_get_the_same_block(pool):
    failures = []

    def work(mark):
        rng = np.random.default_rng(mark)
        for _ in range(300):
            array = buffers.empty(int(rng.integers(1 << 20, 3 << 20)), np.uint8)
            view = array[::4096]
            view[:] = mark
            del array
            if not (view == mark).all():
                failures.append(mark)

    workers = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not failures
    stats = buffers.stats()
    assert stats["lent_bytes"] == 0
    assert stats["reused"] + stats["fresh"] == 8 * 300
    assert not pool.watches


def test_scratch_is_the_same_block_until_more_is_needed():
    first = buffers.scratch("of a test", (3, 1000), np.float32)
    assert first.shape == (3, 1000)
    assert first.dtype == np.float32
    assert first.flags.c_contiguous
    assert address(first) % buffers.ALIGNMENT == 0
    first[...] = 7
    again = buffers.scratch("of a test", (50, 2), np.float64)
    assert address(again) == address(first)
    assert buffers.scratch("another", (3, 1000), np.float32).base is not first.base
    more = buffers.scratch("of a test", (1 << 16,), np.float64)
    more[...] = 1
    assert (first == 7).all()  # the old block still belongs to its array
    assert address(buffers.scratch("of a test", (1,), np.int64)) == address(more)
    assert buffers.scratch("of a test", (0, 5), np.float32).shape == (0, 5)


def test_clear_gives_scratch_back_and_large_scratch_comes_from_the_pool():
    buffers.scratch("of a test", (1 << 18,), np.float32)
    assert "of a test" in buffers._scratch
    buffers.clear()
    assert "of a test" not in buffers._scratch
    large = buffers.scratch("of a test", (buffers.LARGE // 4,), np.float32)
    assert "of a test" not in buffers._scratch
    place = address(large)
    del large
    gc.collect()
    assert address(buffers.empty((buffers.LARGE // 4,), np.float32)) == place
