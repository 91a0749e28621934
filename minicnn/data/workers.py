"""Threads that read batches ahead of their use, handed out in order.

The consumer draws the jobs and keeps one slot for each in a queue of bounded length; workers fill
slots in any order. Threads know the queue of tasks and the stop flag but not the iterator: when
that is dropped, after a `break` or an error, its finalizer ends them.
"""

from __future__ import annotations

import queue
import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from contextvars import copy_context
from typing import Any, NoReturn

from minicnn.data.reading import END
from minicnn.errors import DataError


class _Task:
    """One job and the slot for its batch, or for the error that came instead."""

    def __init__(self, job: Any) -> None:
        self.job = job
        self._done = threading.Event()
        self._batch: Any = None
        self._error: BaseException | None = None

    def finish(self, batch: Any = None, error: BaseException | None = None) -> None:
        self._batch, self._error = batch, error
        self._done.set()

    def result(self, timeout: float) -> Any:
        """The batch, once it is there; an error is raised with the worker's traceback in it."""
        waited = 0.0
        # In slices, because Windows delivers no Ctrl-C to a thread that waits for ever.
        while not self._done.wait(min(1.0, timeout - waited) if timeout else 1.0):
            waited += 1.0
            if timeout and waited >= timeout:
                raise late(timeout)
        if self._error is None:
            return self._batch
        try:
            raise_from_worker(self._error)
        finally:
            self._error = None  # it holds this frame, which holds it


def raise_from_worker(error: BaseException) -> NoReturn:
    """Raise what a worker met where its batch is due."""
    if isinstance(error, StopIteration):  # would end the epoch in silence
        raise RuntimeError("a loader's worker raised StopIteration") from error
    raise error


def late(timeout: float) -> DataError:
    """The error for a batch that does not come."""
    return DataError(
        f"DataLoader: no batch came within timeout={timeout:g} seconds. "
        "Give it more time, or look at what the dataset waits for."
    )


class Prefetcher:
    """Iterator over `read(job)` for all jobs, computed by threads up to `ahead` jobs in advance.

    Args:
        jobs: drawn one by one in the consumer's thread.
        read: called in a worker; END as its result ends the iteration.
        stop: set when no more batches are wanted, so that a worker can leave its batch unfinished.
        workers: how many threads.
        start: called with the worker's number in each.
        timeout: seconds to wait for a batch; 0 waits for ever.
    """

    def __init__(
        self,
        jobs: Iterator[Any],
        read: Callable[[Any], Any],
        stop: threading.Event,
        *,
        workers: int,
        ahead: int,
        start: Callable[[int], None] | None = None,
        timeout: float = 0,
    ) -> None:
        self._jobs: Iterator[Any] | None = jobs
        self._ahead, self._timeout = ahead, timeout
        self._pending: deque[_Task] = deque()
        self._tasks: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()
        self._finalizer = weakref.finalize(self, _end_workers, stop, self._tasks, workers)
        self._threads = [
            threading.Thread(
                # Each in a copy of the consumer's context: no_grad and use_backend hold there too.
                target=copy_context().run,
                args=(_work, self._tasks, read, stop, start, number),
                name=f"minicnn-loader-{number}",
                daemon=True,
            )
            for number in range(workers)
        ]
        for thread in self._threads:
            thread.start()
        self._fill()

    def __iter__(self) -> Prefetcher:
        return self

    def __next__(self) -> Any:
        if not self._pending:
            self._finish()
        task = self._pending.popleft()
        self._fill()
        try:
            batch = task.result(self._timeout)
        except BaseException:
            self.close()
            raise
        if batch is END:
            self._finish()
        return batch

    def close(self) -> None:
        """Want no more batches: the threads end after the sample that they are reading."""
        self._jobs = None
        self._pending.clear()
        self._finalizer()

    def _finish(self) -> None:
        self.close()
        for thread in self._threads:  # idle by now, so this does not wait
            thread.join()
        raise StopIteration

    def _fill(self) -> None:
        while self._jobs is not None and len(self._pending) < self._ahead:
            task = _Task(None)
            try:
                task.job = next(self._jobs)
            except StopIteration:
                self._jobs = None
                return
            except Exception as error:  # the sampler's: raised when its batch is due
                self._jobs = None
                task.finish(error=error)
            else:
                self._tasks.put(task)
            self._pending.append(task)


def _end_workers(stop: threading.Event, tasks: queue.SimpleQueue[Any], workers: int) -> None:
    stop.set()
    for _ in range(workers):
        tasks.put(None)


def _work(
    tasks: queue.SimpleQueue[_Task | None],
    read: Callable[[Any], Any],
    stop: threading.Event,
    start: Callable[[int], None] | None,
    number: int,
) -> None:
    failure: BaseException | None = None
    try:
        if start is not None:
            start(number)
    except BaseException as error:
        failure = error
    while (task := tasks.get()) is not None and not stop.is_set():
        try:
            if failure is not None:
                raise failure
            task.finish(read(task.job))
        except BaseException as error:
            task.finish(error=error)
        del task  # or the batch would live until the next one comes
