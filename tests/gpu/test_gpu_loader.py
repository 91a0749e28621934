"""The loader: what reaches the driver, what is refused before it, and what is kept on disk."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from dry_driver import DryDriver

from minicnn.errors import ArgumentError, DtypeError, MiniCNNError
from minicnn.kernels.gpu import _cubins, _cuda, _source, unfold

TEXT = """
#include "common.cuh"
// extern "C" __global__ void not_this(int n) {
extern "C" __global__ void __launch_bounds__(256) scale(
    const REAL *__restrict__ x,  // (n), in a comment
    REAL *__restrict__ y, int n, REAL by, float plain, unsigned long long seed, bool flip) {
    const long long i = thread_number();
    if (i < n) y[i] = flip ? by - x[i] : by * x[i];
}
extern "C" __global__ void many(const REAL *const *xs, const int *sizes, int n) {}
extern "C" __global__ void half_a_number(half x) {}
"""
f32, f64 = np.float32, np.float64


@pytest.fixture
def dry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DryDriver]:
    """A DryDriver in force, an empty cache folder, and TEXT as the source "test"."""
    monkeypatch.setenv("MINICNN_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(_source, "read", lambda stem: _source.parsed(f"{stem}.cu", TEXT))
    with _cuda.use_driver(DryDriver()) as driver:
        yield driver


def scale(*args: object, **more: object) -> None:
    """Launch `scale` with good arguments, but for those given: {place: argument}."""
    x = np.ones(5, f32)
    good = [x, np.zeros(5, f32), 5, 2.0, 0.5, 7, False]
    _cuda.launch("test", "scale", 1, 64, *(args or good), **more)


# ------------------------------------------------------------------------------ what is passed


def test_a_launch_as_the_driver_gets_it(dry: DryDriver) -> None:
    x, y = np.ones(5, f64), np.zeros(5, f64)
    _cuda.launch(
        "test", "scale", (3, 2), (32, 4), x, y, 5, 2, 0.1, 2**64 - 1, True, shared=100, TILE=8
    )
    (launch,) = dry.launches
    assert launch.kernel == "scale"
    assert launch.grid == (3, 2, 1)
    assert launch.block == (32, 4, 1)
    assert launch.shared == 100
    assert launch.args[0] is x
    assert launch.args[1] is y
    want = [np.int32(5), f64(2), f32(0.1), np.uint64(2**64 - 1), np.bool_(True)]
    assert launch.args[2:] == want
    assert [type(a) for a in launch.args[2:]] == [type(a) for a in want]
    ((source, options),) = dry.compiled
    assert source.name == "test.cu"
    assert options == ("-DREAL=double", "-DTILE=8")


def test_the_signature_as_it_is_read() -> None:
    kernels = _source.parsed("test.cu", TEXT).kernels
    assert [*kernels] == ["scale", "many", "half_a_number"]
    assert [str(p) for p in kernels["scale"]] == [
        "const REAL *x", "REAL *y", "int n", "REAL by", "float plain", "unsigned long long seed",
        "bool flip",
    ]  # fmt: skip
    assert [str(p) for p in kernels["many"]] == ["const REAL **xs", "const int *sizes", "int n"]
    assert [*_source.parsed("test.cu", TEXT).headers] == ["common.cuh"]


def test_a_kernel_whose_signature_cannot_be_read() -> None:
    with pytest.raises(MiniCNNError, match="1 __global__ functions, but 0 signatures"):
        _source.parsed("f.cu", "template <int N> __global__ void f(int n) {}")


def test_null_pointers_and_tables_of_arrays(dry: DryDriver) -> None:
    xs = [np.ones(2, f64), np.ones(3, f64)]
    _cuda.launch("test", "many", 1, 1, xs, None, 2)
    assert dry.launches[0].args[0] == xs
    assert dry.launches[0].args[1] is None
    assert dry.compiled[0][1] == ("-DREAL=double",)
    _cuda.launch("test", "many", 1, 1, None, None, 2)
    assert dry.compiled[1][1] == ("-DREAL=float",)
    _cuda.launch("test", "many", 1, 1, [], None, 2, real=f64)
    assert len(dry.compiled) == 2


def test_spread_has_a_thread_for_each_and_launches_nothing_for_none(dry: DryDriver) -> None:
    for count, blocks in ((1, 1), (256, 1), (257, 2), (256 * 2**20, 2**20)):
        _cuda.spread("test", "many", count, [], None, 0)
        assert dry.launches[-1].grid == (blocks, 1, 1)
        assert dry.launches[-1].block == (256, 1, 1)
    before = len(dry.launches)
    _cuda.spread("test", "many", 0, [], None, 0)
    assert len(dry.launches) == before


def test_the_driver_in_force_holds_in_its_thread_only(dry: DryDriver) -> None:
    seen: list[object] = []

    def ask() -> None:
        with pytest.raises(MiniCNNError, match="the GPU rung cannot run here"):
            _cuda.driver()
        seen.append(True)

    with _cuda.use_driver(DryDriver()) as inner:
        assert _cuda.driver() is inner
        thread = threading.Thread(target=ask)
        thread.start()
        thread.join()
    assert _cuda.driver() is dry
    if not unfold_has_gpu():
        assert seen == [True]


def unfold_has_gpu() -> bool:
    from minicnn.kernels.gpu._cupy import why_not

    return not why_not()


# ------------------------------------------------------------------------------ what is refused

x32, y32 = np.ones(5, f32), np.zeros(5, f32)
REFUSED = [
    ((x32, y32, 5), {}, ArgumentError, r"3 arguments for 7 parameters. Pass \(const REAL \*x, "),
    ((x32, y32.astype(f64), 5, 2, 1, 0, 0), {}, DtypeError, r"REAL \*y is float64, not float32"),
    ((x32, y32, 5, 2, 1, 0, 0), {"real": f64}, DtypeError, r"const REAL \*x is float32, not floa"),
    ((y32, [1], 5, 2, 1, 0, 0), {}, ArgumentError, r"REAL \*y is a builtins.list, which does not"),
    ((x32, 5, y32, 2, 1, 0, 0), {}, ArgumentError, r"REAL \*y is a builtins.int, which does not"),
    ((x32, y32, y32, 2, 1, 0, 0), {}, ArgumentError, r"int n is array.* which is no int32"),
    ((x32[::2], y32, 5, 2, 1, 0, 0), {}, ArgumentError, r"const REAL \*x \(3,\) is not contiguous"),
    ((x32, y32, 2**31, 2, 1, 0, 0), {}, ArgumentError, "int n is 2147483648, which is no int32"),
    ((x32, y32, np.int64(2**31), 2, 1, 0, 0), {}, ArgumentError, "int n is .* is no int32"),
    ((x32, y32, 1.5, 2, 1, 0, 0), {}, ArgumentError, "int n is 1.5, which is no int32"),
    ((x32, y32, 5, "2", 1, 0, None), {}, ArgumentError, "bool flip is None, which is no bool"),
    ((x32, y32, 5, 2, 1, -1, 0), {}, ArgumentError, "unsigned long long seed is -1"),
    ((), {"shared": 227 * 1024 + 1}, ArgumentError, "232449 bytes of shared memory, but a block"),
    ((), {"shared": -1}, ArgumentError, "-1 bytes of shared memory"),
]


@pytest.mark.parametrize(("args", "more", "error", "words"), REFUSED)
def test_bad_arguments_never_reach_the_driver(args, more, error, words, dry: DryDriver) -> None:
    with pytest.raises(error, match=words) as caught:
        scale(*args, **more)
    assert str(caught.value).startswith("test.cu, scale: ")
    assert "\n" not in str(caught.value)
    assert not dry.launches


SIZES = [
    (0, 64, "a grid of 0"),
    ((1, 65536), 64, r"a grid of \(1, 65536\)"),
    (2**31, 64, "a grid of 2147483648"),
    (1, 0, "a block of 0"),
    (1, (1, 1, 65), "a block of"),
    (1, (33, 32), "has more than 1024 threads"),
]


@pytest.mark.parametrize(("grid", "block", "words"), SIZES)
def test_sizes_beyond_cuda_s_limits(grid, block, words, dry: DryDriver) -> None:
    with pytest.raises(ArgumentError, match=words):
        _cuda.launch("test", "many", grid, block, [], None, 0)
    assert not dry.launches


def test_the_largest_sizes_pass(dry: DryDriver) -> None:
    _cuda.launch("test", "many", (2**31 - 1, 65535, 65535), (32, 32), [], None, 0)
    _cuda.launch("test", "many", 1, (4, 4, 64), [], None, 0)
    assert len(dry.launches) == 2


def test_what_does_not_exist(dry: DryDriver, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ArgumentError, match=r"test.cu has no kernel 'scael'. Use one of .*scale"):
        _cuda.launch("test", "scael", 1, 1)
    with pytest.raises(ArgumentError, match="half x: no such type here"):
        _cuda.launch("test", "half_a_number", 1, 1, 1.0)
    with pytest.raises(ArgumentError, match=r"const REAL \*\*xs is a ndarray. Pass a list"):
        _cuda.launch("test", "many", 1, 1, x32, None, 0)
    monkeypatch.undo()
    with pytest.raises(ArgumentError, match=r"no kernel source 'foldun' .*unfold"):
        _cuda.launch("foldun", "fold", 1, 1)


# ------------------------------------------------------------------------------ compiled code


def test_compiled_once_for_each_dtype_and_define(dry: DryDriver) -> None:
    for _ in range(2):
        scale()
        scale(x32.astype(f64), y32.astype(f64), 5, 2, 1, 0, 0)
        scale(TILE=4)
        scale(TILE=8)
    assert [options for _, options in dry.compiled] == [
        ("-DREAL=float",),
        ("-DREAL=double",),
        ("-DREAL=float", "-DTILE=4"),
        ("-DREAL=float", "-DTILE=8"),
    ]
    assert len({launch.module for launch in dry.launches}) == 4


def another_process(arch: str = "dry", **more: object) -> DryDriver:
    """Launch with a driver that has nothing loaded yet, and return it."""
    with _cuda.use_driver(DryDriver(arch, **more)) as driver:
        scale()
    return driver


def test_the_next_process_reads_it_from_disk(dry: DryDriver) -> None:
    scale()
    other = another_process()
    assert not other.compiled
    assert other.loaded == dry.loaded == [b"code 1 of test.cu"]


def test_another_architecture_source_or_header_compiles_anew(
    dry: DryDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    scale()
    assert another_process("sm_90").compiled
    edited = _source.parsed("test.cu", TEXT.replace("by * x[i]", "x[i] * by"))
    monkeypatch.setattr(_source, "read", lambda stem: edited)
    assert another_process().compiled
    assert not another_process().compiled
    before = _source.parsed("test.cu", TEXT).digest
    read_text = Path.read_text
    monkeypatch.setattr(Path, "read_text", lambda self, **k: read_text(self, **k) + "\n// edited")
    assert _source.parsed("test.cu", TEXT).digest != before


@pytest.mark.parametrize(
    "damage", [lambda d: d[:-1], lambda d: d[:9], lambda d: b"", lambda d: b"x" + d[1:]]
)
def test_a_damaged_file_is_compiled_again(dry: DryDriver, damage) -> None:
    scale()
    (file,) = _cubins.folder().iterdir()
    good = file.read_bytes()
    file.write_bytes(damage(good))
    assert another_process().loaded == [b"code 1 of test.cu"]
    assert file.read_bytes() == good
    assert not another_process().compiled


def test_a_file_that_the_driver_refuses_is_compiled_again(dry: DryDriver) -> None:
    scale()
    (file,) = _cubins.folder().iterdir()
    _cubins._write(file, b"of an older driver")
    other = another_process(refuse=(b"of an older driver",))
    assert other.loaded == [b"of an older driver", b"code 1 of test.cu"]


def test_a_folder_that_cannot_be_written_costs_a_compilation_only(
    dry: DryDriver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("MINICNN_CACHE_DIR", str(tmp_path / "file"))
    assert len(another_process().launches) == 1
    assert another_process().compiled


def test_no_half_written_file_is_left(dry: DryDriver, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    scale()
    assert len(dry.launches) == 1
    assert not [*_cubins.folder().iterdir()]


def test_what_no_one_used_for_a_month_goes(dry: DryDriver) -> None:
    scale()
    (old,) = _cubins.folder().iterdir()
    month_ago = time.time() - 31 * 24 * 3600
    os.utime(old, (month_ago, month_ago))
    assert not another_process().compiled  # used: the file counts as new again
    scale(TILE=4)
    assert old.exists()
    os.utime(old, (month_ago, month_ago))
    scale(TILE=8)
    assert not old.exists()


def test_the_compiler_s_own_words_reach_the_caller(dry: DryDriver) -> None:
    with (
        _cuda.use_driver(DryDriver("bad", log="line 7: identifier 'blokIdx' is undefined")),
        pytest.raises(MiniCNNError, match=r"test.cu: line 7: identifier 'blokIdx' is undefined"),
    ):
        scale()
    assert not _cubins.folder().exists()


def test_threads_that_start_together_compile_once(dry: DryDriver) -> None:
    start = threading.Barrier(4)

    def go() -> None:
        with _cuda.use_driver(dry):
            start.wait()
            scale()

    threads = [threading.Thread(target=go) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(dry.launches) == 4
    assert len(dry.compiled) == 1


def test_arrays_come_from_the_driver(dry: DryDriver) -> None:
    assert _cuda.empty((2, 3), f64).shape == (2, 3)
    assert _cuda.zeros(4, f32).tolist() == [0, 0, 0, 0]


def test_unfold_asks_for_a_thread_a_place_and_a_row_of_planes() -> None:
    x, out = np.zeros((70000, 1, 20, 30), f32), np.empty((70000, 1, 600), f32)
    with _cuda.use_driver(DryDriver()) as dry:
        unfold(x, (1, 1), (1, 1), (0, 0), (1, 1), out=out)
    (launch,) = dry.launches
    assert launch.grid == (3, 65535, 1)  # 600 places by 256; the kernel loops over further planes
    assert launch.args[2:7] == [70000, 20, 30, 20, 30]
