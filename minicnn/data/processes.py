"""Worker processes, for samples whose making holds Python's lock: made elsewhere, handed out here.

Of W workers number w makes batches w, w + W, w + 2W, …, so each pipe gives them in order. A pipe
carries jobs one way and the structure of batches the other; their arrays come in shared memory, in
segments that a worker fills in turn: when a batch has been taken out, its segment may be filled
again, and the next job says so. The consumer can name every segment there may be, so it removes
them whatever became of the workers.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import pickle
import queue
import secrets
import signal
import threading
import traceback
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from multiprocessing import connection, resource_tracker
from multiprocessing.shared_memory import SharedMemory
from typing import Any

import numpy as np

from minicnn import dtypes, grad_mode, random
from minicnn.data.reading import END, Reader
from minicnn.data.streams import Run
from minicnn.data.workers import late, raise_from_worker
from minicnn.errors import DataError
from minicnn.kernels import buffers

ALIGNMENT = 64  # bytes
PATIENCE = 5.0  # seconds that a process gets to end by itself

Start = Callable[[int], None] | None


class ProcessPrefetcher:
    """Iterator over the batches of all jobs, made by `workers`, in order.

    Args:
        workers: idle; this iterator's until it ends.
        jobs: drawn one by one in the consumer.
        run: the pass over the data that the jobs belong to.
        timeout: seconds to wait for a batch; 0 waits for ever.
        done: takes the workers when they are idle again. After an error or an early end they are
            ended instead.
    """

    def __init__(
        self,
        workers: Workers,
        jobs: Iterator[Any],
        run: Run,
        timeout: float,
        done: Callable[[Workers], None],
    ) -> None:
        self._workers: Workers | None = workers
        self._jobs: Iterator[Any] | None = jobs
        self._epoch = run.seed, run.epoch, next(_passes)
        self._timeout, self._done = timeout, done
        self._turns = itertools.count()
        self._pending: deque[int | Exception] = deque()
        for _ in range(workers.ahead):
            self._send(workers)

    def __iter__(self) -> ProcessPrefetcher:
        return self

    def __next__(self) -> Any:
        workers = self._workers
        if workers is None:
            raise StopIteration
        try:
            batch = self._receive(workers)
            if batch is not END:
                self._send(workers)  # into the segment that has just been emptied
                return batch
            while self._pending:
                self._receive(workers)
        except BaseException:
            self._workers = None
            workers.kill()
            raise
        self._workers = None
        self._done(workers)
        raise StopIteration

    def _receive(self, workers: Workers) -> Any:
        turn = self._pending.popleft() if self._pending else None
        if turn is None:
            return END
        if isinstance(turn, Exception):
            raise turn
        return workers.receive(turn, self._timeout)

    def _send(self, workers: Workers) -> None:
        if self._jobs is None:
            return
        try:
            job = next(self._jobs)
        except StopIteration:
            self._jobs = None
        except Exception as error:  # the sampler's: raised when its batch is due
            self._jobs = None
            self._pending.append(error)
        else:
            turn = next(self._turns)
            workers.send(turn, (self._epoch, job))
            self._pending.append(turn)


_passes = itertools.count()  # tells passes apart that have the same seed and epoch


class Workers:
    """`count` processes that each may be `factor` batches ahead.

    Args:
        context: of `multiprocessing`; says how processes are started.
        reader, start: what makes the batches, and what is called with its number in each process.

    Raises DataError where they cannot be sent to another process.
    """

    def __init__(self, context: Any, count: int, factor: int, reader: Reader, start: Start) -> None:
        self.count, self.factor, self.ahead = count, factor, count * factor
        work = _portable_work(context, reader, start)
        if os.name == "posix":
            resource_tracker.ensure_running()  # one for all, or each fork would start its own
        token = f"mcnn{secrets.token_hex(4)}"
        self._processes: list[Any] = []
        self._pipes: list[connection.Connection] = []
        self._segments = [
            _Segment(f"{token}w{turn % count}s{turn // count}") for turn in range(self.ahead)
        ]
        everything = self._processes, self._pipes, self._segments
        self._finalizer = weakref.finalize(self, _end, *everything, os.getpid())
        settings = dtypes.get_default_dtype(), grad_mode.is_grad_enabled()
        for number in range(count):
            names = [segment.name for segment in self._segments[number::count]]
            ours, theirs = context.Pipe()
            self._pipes.append(ours)
            copied = list(self._pipes) if context.get_start_method() == "fork" else []
            process = context.Process(
                target=_main, args=(work, theirs, copied, number, names, settings),
                name=f"minicnn-loader-{number}", daemon=True,
            )  # fmt: skip
            process.start()
            theirs.close()  # or its end would not be seen
            self._processes.append(process)

    def send(self, turn: int, job: Any) -> None:
        """Ask for the batch of this turn: of worker turn % count, in the next of its segments."""
        with contextlib.suppress(OSError):  # it has died, as receive() will find
            self._pipes[turn % self.count].send((turn // self.count % self.factor, job))

    def receive(self, turn: int, timeout: float) -> Any:
        """The batch of this turn. Turns must come as they were sent."""
        kind, content, *more = self._message(turn % self.count, timeout)
        if kind == "error":
            raise_from_worker(content)
        if kind == "end":
            return END
        return self._segments[turn % self.ahead].load(content, *more)

    def close(self) -> None:
        """End idle workers."""
        for pipe in self._pipes:
            with contextlib.suppress(OSError):
                pipe.send(None)
        for process in self._processes:
            process.join(PATIENCE)
        self._finalizer()

    def kill(self) -> None:
        """End workers whatever they are doing."""
        self._finalizer()

    def _message(self, number: int, timeout: float) -> Any:
        pipe = self._pipes[number]
        sentinels = [process.sentinel for process in self._processes]
        waited = 0.0
        # In slices, because Windows delivers no Ctrl-C to a thread that waits for ever.
        while not (ready := connection.wait([pipe, *sentinels], _slice(timeout, waited))):
            waited += _slice(timeout, waited)
            if timeout and waited >= timeout:
                raise late(timeout)
        for dead, sentinel in enumerate(sentinels):
            if sentinel in ready:
                raise self._death(dead)
        try:
            return pipe.recv()
        except (EOFError, OSError):
            raise self._death(number) from None

    def _death(self, number: int) -> DataError:
        process = self._processes[number]
        process.join(PATIENCE)
        code = process.exitcode
        how, remedy = (
            f"exit code {code}",
            (
                "What it printed tells more; a script that starts processes needs its main part "
                "under if __name__ == '__main__'."
            ),
        )
        if code is not None and code < 0:
            names = {int(known): known.name for known in signal.Signals}
            how, remedy = names.get(-code, f"signal {-code}"), _REMEDIES.get(-code, _CRASH)
        return DataError(
            f"DataLoader: worker process {number} (pid {process.pid}) died with {how}. {remedy}"
        )


_CRASH = "A library crashed in it: use num_workers=0 to see at which sample."
_REMEDIES = {
    9: "Memory may have run out: use fewer workers, smaller batches, or threads.",
    7: "Shared memory may be full: use smaller batches, or threads.",
    15: "Somebody ended it: start again.",
}


def _slice(timeout: float, waited: float) -> float:
    return min(1.0, timeout - waited) if timeout else 1.0


def _end(processes: list[Any], pipes: list[Any], segments: list[_Segment], owner: int) -> None:
    if os.getpid() != owner:  # in a forked copy of the consumer
        return
    for process in processes:
        process.terminate()
    for process in processes:
        process.join(PATIENCE)
        if process.exitcode is None:
            process.kill()
            process.join()
    for pipe in pipes:
        pipe.close()
    for segment in segments:
        segment.remove()


def _portable_work(context: Any, reader: Reader, start: Start) -> Any:
    """(reader, start) for `_main`: pickled, unless processes are started as copies of this one."""
    if context.get_start_method() == "fork":
        return reader, start
    try:
        return pickle.dumps((reader, start), protocol=5)
    except Exception as error:
        parts = {"dataset": reader.dataset, "collate_fn": reader.collate_fn}
        name = next((n for n, part in parts.items() if not _picklable(part)), "worker_init_fn")
        raise DataError(
            f"DataLoader: {name} cannot be sent to a worker process "
            f"({' '.join(str(error).split())}). Define its functions and classes at a module's "
            "top level, or leave multiprocessing_context out to use threads."
        ) from error


def _picklable(part: Any) -> bool:
    try:
        pickle.dumps(part, protocol=5)
    except Exception:
        return False
    return True


# --------------------------------------------------------------------------------- shared memory


class _Segment:
    """Shared memory that grows: a worker stores a batch in it, and the consumer loads it.

    Each time it grows it gets a new name, as Windows keeps the old one while anybody uses it.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._generation = 0
        self._memory: SharedMemory | None = None

    def store(self, batch: Any) -> tuple[bytes, list[tuple[int, int]], int]:
        """Keep the batch's arrays here; return the rest pickled, their places, the generation."""
        arrays: list[pickle.PickleBuffer] = []
        structure = pickle.dumps(batch, protocol=5, buffer_callback=arrays.append)
        sizes = [array.raw().nbytes for array in arrays]
        ends = list(itertools.accumulate(-(-size // ALIGNMENT) * ALIGNMENT for size in sizes))
        places = list(zip([0, *ends], sizes, strict=False))
        if ends and (self._memory is None or self._memory.size < ends[-1]):
            self._forget(unlink=True)
            self._generation += 1
            self._memory = SharedMemory(self._full_name(), create=True, size=max(1, ends[-1]))
        for (start, size), array in zip(places, arrays, strict=True):
            self._bytes(start, size)[...] = np.frombuffer(array.raw(), np.uint8)
        return structure, places, self._generation

    def load(self, structure: bytes, places: list[tuple[int, int]], generation: int) -> Any:
        """The batch that was stored, in memory of its own."""
        if places and generation != self._generation:
            self._forget()
            self._generation = generation
            self._memory = SharedMemory(self._full_name())
        arrays = []
        for start, size in places:
            array = buffers.empty(size, np.uint8)
            array[...] = self._bytes(start, size)
            arrays.append(array)
        return pickle.loads(structure, buffers=arrays)

    def remove(self) -> None:
        """For the consumer, after the worker's end: remove what there is, seen or not."""
        self._forget(unlink=True)
        self._generation += 1  # the worker may have begun it, and died before it said so
        with contextlib.suppress(OSError):
            self._memory = SharedMemory(self._full_name())
            self._forget(unlink=True)

    def _bytes(self, start: int, size: int) -> np.ndarray:
        assert self._memory is not None
        return np.ndarray(size, np.uint8, self._memory.buf, start)

    def _full_name(self) -> str:
        return f"{self.name}g{self._generation}"

    def _forget(self, unlink: bool = False) -> None:
        if self._memory is not None:
            self._memory.close()
            if unlink:
                with contextlib.suppress(FileNotFoundError):
                    self._memory.unlink()
        self._memory = None


# -------------------------------------------------------------------------------- in the process


def _main(
    work: Any, pipe: Any, copied: list[Any], number: int, names: list[str], settings: Any
) -> None:
    """What a worker process does: answer jobs until it is told to end."""
    for consumers in copied:  # a pipe is closed, as _listen sees, when nobody holds its other end
        consumers.close()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the consumer's, who ends this
    stop = threading.Event()
    jobs: queue.SimpleQueue[Any] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(pipe, jobs), daemon=True).start()
    dtypes.set_default_dtype(settings[0])
    grad_mode.set_grad_enabled(settings[1])
    segments = [_Segment(name) for name in names]
    answer: Callable[[Any], Any] | None = None
    now: Any = None
    while (message := jobs.get()) is not None:
        slot, (epoch, job) = message
        try:
            if answer is None or epoch != now:
                run = Run(epoch[0], epoch[1], stop)
                _seed_all(run, number)
                reader, start = pickle.loads(work) if isinstance(work, bytes) else work
                if now is None and start is not None:
                    start(number)
                answer, now, work = reader.epoch(run), epoch, (reader, start)
            batch = answer(job)
            reply = ("end", None) if batch is END else ("batch", *_stored(segments[slot], batch))
        except BaseException as error:
            reply = "error", _portable(error, number)
        pipe.send(reply)


def _listen(pipe: Any, jobs: queue.SimpleQueue[Any]) -> None:
    """Take jobs off the pipe at once: a consumer that sends must never wait for one that works."""
    try:
        while (message := pipe.recv()) is not None:
            jobs.put(message)
        jobs.put(None)
    except (EOFError, OSError):  # the consumer is dead
        os._exit(1)


def _seed_all(run: Run, number: int) -> None:
    """Global generators that differ between workers and epochs, for who draws from them."""
    import random as python_random

    numbers = run.worker_stream(number).integers(2**32, size=3)
    python_random.seed(int(numbers[0]))
    np.random.seed(int(numbers[1]))  # noqa: NPY002  # what users' old code draws from
    random.manual_seed(int(numbers[2]))


def _stored(segment: _Segment, batch: Any) -> Any:
    try:
        return segment.store(batch)
    except (pickle.PicklingError, TypeError, AttributeError) as error:
        raise DataError(
            f"DataLoader: a batch cannot be sent from a worker process ({error}). Make it of "
            "tensors without gradients, arrays, numbers and texts, or leave "
            "multiprocessing_context out to use threads."
        ) from error


def _portable(error: BaseException, number: int) -> BaseException:
    """The error with its traceback as a note, or one that says the same if it cannot be sent."""
    trace = "".join(traceback.format_exception(error))
    try:
        sent = pickle.loads(pickle.dumps(error))
    except Exception:
        sent = DataError(
            f"DataLoader: {type(error).__name__} in a worker process: "
            f"{' '.join(str(error).split())}. Its traceback is below."
        )
        sent.__notes__ = list(getattr(error, "__notes__", []))
    sent.add_note(f"in worker process {number}:\n{trace}")
    return sent
