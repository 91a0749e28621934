"""The one place that knows how Numba compiles, caches and launches.

    @jit        a function that other compiled functions call
    @kernel     a function that Python calls, and that runs on several threads
    @serial     a function that Python calls, and that runs on the calling thread alone
    take        how a thread gets its next task

A compiled function is machine code for the argument types it met, kept on disk so that the next
process starts at once. Numba's own cache looks only at the file of the function itself: it would
go on serving a kernel into which an older version of an inner function from another file is built.
So the folder is named by a hash over all sources of this package: any edit starts a new one.

Of Numba's fastmath flags, `contract` lets a*b + c be one fused instruction, `reassoc` lets a
sum run in vector lanes. Nothing here may assume that NaN does not occur: a NaN must reach the user.
"""

from __future__ import annotations

import functools
import hashlib
import logging
import os
import re
import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import numpy as np
import platformdirs
from numba.core.caching import FunctionCache
from numba.extending import intrinsic

from .. import threads

SMALL = 1 << 14  # elements: below, waking another thread costs more than it gives
PIECE = 1 << 14  # elements of one task of an elementwise kernel; a multiple of 4
U = np.uint64  # for indices: signed ones get a check from Numba that keeps vector code away
_WAITING = {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"}  # how OpenMP's threads wait
_SPINS = 3000  # about 0.15 ms
_UNUSED_DAYS = 30
_FOLDER = re.compile(r"kernels-[0-9a-f]{16}")
_CONTRACT = frozenset({"contract"})
SUM = frozenset({"contract", "reassoc"})  # flags of a sum in any order: over vector lanes

_log = logging.getLogger("minicnn.kernels")
_problem: str = ""  # why the cache is off, if it is
_known: set[tuple[str, int, str]] = set()  # file, line and name of all compiled functions


# ------------------------------------------------------------------------------ decorators


def jit(function: Callable[..., Any] | None = None, *, flags: frozenset[str] = _CONTRACT) -> Any:
    """Compile a function that other compiled functions call. `flags` are Numba's fastmath flags.

    It counts no references to arrays, which took longer than a short row's arithmetic: it may make
    views, but no arrays, and return none but its arguments.
    """
    if function is None:
        return functools.partial(jit, flags=flags)
    return _compiled(function, parallel=False, flags=flags, nrt=False)


def kernel(function: Callable[..., Any]) -> Callable[..., None]:
    """Compile function(team, *arguments), and return launch(work, *arguments), which runs it.

    The function says `for member in prange(team.size)`, and each member takes tasks with `take`
    until none is left. `work`, about the number of elements, decides whether one member does it
    all: below `SMALL`, waking another thread costs more than it gives. Read-only arrays are
    copied, since Numba would compile a further version for them.
    """
    compiled = _compiled(function, parallel=True, flags=_CONTRACT)

    @functools.wraps(function)
    def launch(work: int, *arguments: Any) -> None:
        plain = [_writeable(a) if isinstance(a, np.ndarray) else a for a in arguments]
        with threads.launching:
            size = 1 if work < SMALL else workers()
            before = _threads_of_numba()
            if size != before:  # Numba's own number: the user's functions want it back
                numba.set_num_threads(size)
            try:
                compiled(np.zeros(size, np.int64), *plain)
            finally:
                if size != before:
                    numba.set_num_threads(before)

    launch.compiled = compiled  # type: ignore[attr-defined]
    return launch


def serial(function: Callable[..., Any]) -> Callable[..., None]:
    """Compile a function that runs on the thread that calls it, beside other Python threads.

    Any number of threads may call it at once: it launches none, so it needs no lock. A read-only
    array is another type than a writeable one, for which Numba compiles a further version.
    """
    return _compiled(function, parallel=False, flags=_CONTRACT, nogil=True)


@intrinsic
def take(typing_context: Any, team: Any) -> Any:
    """Return 0, 1, 2, ...: the next task that no member of the team has taken yet.

    team[0] counts them, atomically. Tasks are taken rather than dealt out, so a thread that the
    system holds up, or a core that others use too, delays one task and not half of them.
    """
    return numba.int64(team), _count("monotonic")


@intrinsic
def arrive(typing_context: Any, arrived: Any) -> Any:
    """Return how many members of a team have come here before, counted in arrived[0].

    What those had written until then, this member sees: so the last one may use all their results.
    """
    return numba.int64(arrived), _count("acq_rel")


def _count(order: str) -> Callable[..., Any]:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        return builder.atomic_rmw("add", array.data, context.get_constant(numba.int64, 1), order)

    return generate


def workers() -> int:
    """Return how many threads a launch gets: as set, at most as many as Numba has started."""
    return min(threads.get_num_threads(), numba.config.NUMBA_NUM_THREADS)


@functools.cache
def _start_threads() -> None:
    """Start Numba's threads, as ones that soon sleep while they wait.

    By default GNU's OpenMP threads spin for milliseconds, on the very core that the thread they
    wait for may need: with another busy program, each launch took 6 ms. But to wake one that sleeps
    takes 0.07 ms, so they spin for about 0.15 ms: the next launch of a network often comes by then.
    The runtime reads the variables when it is loaded, so they are set only meanwhile; a choice of
    the user's stands.
    """
    mine = {} if _WAITING & os.environ.keys() else {
        "OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": str(_SPINS),
    }  # fmt: skip
    os.environ.update(mine)
    try:
        numba.get_num_threads()
    finally:
        for name in mine:
            del os.environ[name]


def _threads_of_numba() -> int:
    _start_threads()
    return numba.get_num_threads()


def _compiled(
    function: Callable[..., Any],
    parallel: bool,
    flags: frozenset[str],
    nogil: bool = False,
    nrt: bool = True,
) -> Any:
    dispatcher = numba.njit(
        parallel=parallel,
        fastmath=set(flags),
        error_model="numpy",
        boundscheck=False,
        nogil=nogil,
        _nrt=nrt,
    )(function)
    code = function.__code__
    identity = code.co_filename, code.co_firstlineno, function.__qualname__
    assert identity not in _known, f"{identity} is compiled twice: the cache would mix the two up"
    _known.add(identity)
    folder = cache_dir()
    if folder is not None:
        with _numba_cache_at(folder):
            dispatcher._cache = _QuietCache(function)
    return dispatcher


def _writeable(array: np.ndarray) -> np.ndarray:
    return array if array.flags.writeable else array.copy()


# ------------------------------------------------------------------------------ compile cache


class _QuietCache(FunctionCache):
    """Numba's disk cache, except that a full disk or a damaged file only costs a compilation."""

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        try:
            return super().load_overload(sig, target_context)
        except Exception as error:
            _log.debug("compile cache: cannot read %s: %s", self.cache_path, error)
            return None

    def _index_key(self, sig: Any, codegen: Any) -> tuple[Any, ...]:
        """Return what the names of folder and file leave open.

        Numba's own key also has a hash of what a closure holds; of a compiled function that would
        be another one in every process.
        """
        return sig, codegen.magic_tuple()

    def save_overload(self, sig: Any, data: Any) -> None:
        try:
            super().save_overload(sig, data)
        except Exception as error:
            global _problem
            _problem = f"cannot write: {error}"
            _log.debug("compile cache: cannot write %s: %s", self.cache_path, error)


class _numba_cache_at:
    """Numba reads the folder from its global configuration while a cache is made, and only then."""

    _lock = threading.Lock()

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __enter__(self) -> None:
        self._lock.acquire()
        self.before = numba.config.CACHE_DIR
        numba.config.CACHE_DIR = str(self.folder)

    def __exit__(self, *_: object) -> None:
        numba.config.CACHE_DIR = self.before
        self._lock.release()


@functools.cache
def cache_dir() -> Path | None:
    """Return this version's compile-cache folder, or None where it cannot be written.

    It lies in MINICNN_CACHE_DIR, or else in the user's cache folder. `cache_state` says more.
    """
    global _problem
    root = Path(
        os.environ.get("MINICNN_CACHE_DIR") or platformdirs.user_cache_dir("minicnn", False)
    ).absolute()
    folder = root / f"kernels-{_source_hash()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
        os.utime(folder)  # the mark by which `_prune` sees that it is in use
    except (OSError, ValueError) as error:
        _problem = f"cannot write {folder}: {error}"
        _log.debug("compile cache: %s", _problem)
        return None
    _prune(root, keep=folder)
    return folder


def cache_state() -> dict[str, Any]:
    """Return the folder, its compiled functions and bytes, and what is wrong with it, if anything.

    Keys: "folder" (str or None), "functions" (int), "bytes" (int), "problem" (str, mostly "").
    """
    folder = cache_dir()
    files = [] if folder is None else [f for f in folder.rglob("*.nbc") if f.is_file()]
    return {
        "folder": None if folder is None else str(folder),
        "functions": len(files),
        "bytes": sum(f.stat().st_size for f in files),
        "problem": _problem,
    }


def _source_hash() -> str:
    simd = os.environ.get("MINICNN_SIMD", "")  # which tiles are built into the code, see `_vectors`
    digest = hashlib.sha256(f"{numba.__version__} {simd}".encode())
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def _prune(root: Path, keep: Path) -> None:
    """Delete the folders of other versions that no process has opened for a month."""
    oldest = time.time() - _UNUSED_DAYS * 24 * 3600
    try:
        for folder in root.iterdir():
            mine = _FOLDER.fullmatch(folder.name) and folder.is_dir() and not folder.is_symlink()
            if mine and folder != keep and folder.stat().st_mtime < oldest:
                shutil.rmtree(folder, ignore_errors=True)
    except OSError as error:
        _log.debug("compile cache: cannot tidy %s: %s", root, error)
