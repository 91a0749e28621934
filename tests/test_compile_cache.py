"""The compile cache: fast when warm, never stale, harmless where it cannot be written."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numba
import pytest

from minicnn import kernels
from minicnn.kernels.cpu import _jit

UNFOLD = """
import numpy as np
from minicnn.kernels import cpu
x = np.arange(12, dtype=np.float32).reshape(1, 1, 3, 4)
cols = cpu.unfold(x, (2, 2), (1, 1), (0, 0), (1, 1))
stats = cpu.unfold.__globals__["_unfold"].compiled.stats
print(cols[0, 0].tolist(), sum(stats.cache_hits.values()), sum(stats.cache_misses.values()))
"""
STATE = "state = cpu.cache_state(); print(state['folder'], state['functions'], state['problem'])"
RIGHT = "[0.0, 1.0, 2.0, 4.0, 5.0, 6.0]"
COMPILED, LOADED = "0 1", "1 0"  # cache hits and misses


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """A copy of the kernels, as a package of their own, whose sources a test may edit."""
    root = tmp_path_factory.mktemp("copy")
    (root / "minicnn").mkdir()
    (root / "minicnn" / "__init__.py").write_text("")
    source = Path(kernels.__file__).resolve().parent
    ignored = shutil.ignore_patterns("__pycache__", "gpu")
    shutil.copytree(source, root / "minicnn" / "kernels", ignore=ignored)
    return root


def run(package, cache, code=UNFOLD):
    """Run code on the copied package with this cache folder; return the lines it printed."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], cwd=package,  # which is searched first
        env=os.environ | {"MINICNN_CACHE_DIR": str(cache)},
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout.splitlines()


def test_an_edited_inner_function_is_never_served_stale(package, tmp_path):
    """`_unfold` is compiled with `copy`, from another file, inside; only that file is edited."""
    assert run(package, tmp_path) == [f"{RIGHT} {COMPILED}"]
    assert run(package, tmp_path) == [f"{RIGHT} {LOADED}"]
    file = package / "minicnn" / "kernels" / "cpu" / "_flat.py"
    text = file.read_text()
    line = "            y[to + j] = x[at + j]\n"
    assert text.count(line) == 1
    try:
        file.write_text(text.replace(line, line.replace("x[at + j]", "x[at + j] + 100")))
        assert run(package, tmp_path) == ["[100.0, 101.0, 102.0, 104.0, 105.0, 106.0] " + COMPILED]
    finally:
        file.write_text(text)
    assert run(package, tmp_path) == [f"{RIGHT} {LOADED}"]


def test_a_folder_that_cannot_be_written_only_costs_the_compilation(package, tmp_path):
    """A folder below a regular file: not even root can make it."""
    file = tmp_path / "file"
    file.write_text("")
    first, second = run(package, file / "cache", UNFOLD + STATE)
    assert first.startswith(RIGHT)
    assert second.startswith(f"None 0 cannot write {file / 'cache'}")
    assert file.read_text() == ""


def test_damaged_files_only_cost_the_compilation(package, tmp_path):
    run(package, tmp_path)
    damaged = [f for f in tmp_path.rglob("*") if f.suffix in (".nbi", ".nbc")]
    assert len(damaged) >= 2
    for file in damaged:
        file.write_bytes(file.read_bytes()[:20])
    assert run(package, tmp_path)[0].startswith(RIGHT)


def test_a_full_disk_only_costs_the_compilation(package, tmp_path):
    code = """
import numba.core.caching as caching
def full(self, *_):
    raise OSError(28, "No space left on device")
caching.IndexDataCacheFile.save = full
"""
    first, second = run(package, tmp_path, code + UNFOLD + STATE)
    assert first == f"{RIGHT} {COMPILED}"
    assert second.endswith("0 cannot write: [Errno 28] No space left on device")


def test_the_state_tells_what_is_there(package, tmp_path):
    _, state = run(package, tmp_path, UNFOLD + STATE)
    folder, functions, *problem = state.split(" ")
    assert Path(folder).parent == tmp_path
    assert int(functions) >= 1
    assert "".join(problem) == ""


def test_the_users_functions_keep_their_own_cache(package, tmp_path):
    code = """
import numba
before = numba.config.CACHE_DIR
from minicnn.kernels import cpu
print(numba.config.CACHE_DIR == before)
"""
    assert run(package, tmp_path, code) == ["True"]
    assert os.environ.get("NUMBA_CACHE_DIR", "") == numba.config.CACHE_DIR


def test_folders_of_other_versions_go_after_a_month(tmp_path):
    now = time.time()

    def folder(name, days):
        made = tmp_path / name
        made.mkdir()
        (made / "function.nbc").write_text("code")
        os.utime(made, (now - days * 86400,) * 2)
        return made

    old, recent = folder("kernels-" + "0" * 16, 31), folder("kernels-" + "1" * 16, 29)
    mine, foreign = folder("kernels-" + "2" * 16, 400), folder("datasets", 400)
    target = folder("elsewhere", 400)
    link = tmp_path / ("kernels-" + "3" * 16)
    link.symlink_to(target)
    _jit._prune(tmp_path, keep=mine)
    assert not old.exists()
    assert all((kept / "function.nbc").exists() for kept in (recent, mine, foreign, target, link))
    _jit._prune(tmp_path / "missing", keep=mine)  # no folder, no error


def test_opening_a_folder_marks_it_as_used(package, tmp_path):
    run(package, tmp_path)
    (folder,) = tmp_path.iterdir()
    os.utime(folder, (0, 0))
    run(package, tmp_path)
    assert time.time() - folder.stat().st_mtime < 3600
