"""The GPU's kernels on the host once more, under AddressSanitizer, in a process of its own.

It sees what guard pages cannot: an access that leaps from one array right into another one, and
shared memory that is left on either side.
"""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import host_driver
import pytest

HERE = Path(__file__).parent


@cache
def library() -> str:
    """Return the path of g++'s AddressSanitizer, or "" if it has none."""
    if host_driver.usable():
        return ""
    command = [str(host_driver.COMPILER), "-print-file-name=libasan.so"]
    path = subprocess.run(command, capture_output=True, text=True).stdout.strip()
    return str(Path(path).resolve()) if os.path.isabs(path) else ""


pytestmark = pytest.mark.skipif(not library(), reason="g++ with AddressSanitizer is not here")


def under_asan(code: str) -> subprocess.CompletedProcess[str]:
    """Run code in a Python that AddressSanitizer watches; it reports, and the process goes on."""
    environment = os.environ | {
        "LD_PRELOAD": library(),
        "ASAN_OPTIONS": "detect_leaks=0:detect_stack_use_after_return=0:halt_on_error=0",
        "PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parent)]),
    }
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment
    )


FAULTS = {  # body of a kernel: what is reported
    "y[t] = x[t]": "",
    "y[t] = x[t + 1];": "heap-buffer-overflow",
    "y[t] = x[t - 1];": "heap-buffer-overflow",
    "if (t == 0) y[n + 3] = 1;": "heap-buffer-overflow",
    "float *s = shared; s[t + n / 64] = 0; y[t] = s[t];": "global-buffer-overflow",
    "shared[t] = x[t]; __syncthreads(); y[t] = shared[n - 1 - t] + __shfl_xor_sync(~0u, t, 1);": "",
}
ONE_BY_ONE = f"""
import sys
import numpy as np
from host_driver import HostDriver
from minicnn.kernels.gpu import _source
bodies = {[*FAULTS]!r}
source = _source.parsed("f.cu", "".join(
    'extern "C" __global__ void f%d(const float *x, float *y, int n) {{'
    "__shared__ float shared[64]; const int t = threadIdx.x; %s; }}" % (i, body)
    for i, body in enumerate(bodies)
))
driver = HostDriver(asan=True)
module = driver.load(driver.compile(source, ()))
for kernel, parameters in source.kernels.items():
    x, y = np.ones(64, np.float32), np.zeros(64, np.float32)
    driver.launch(module, kernel, parameters, (2, 1, 1), (64, 1, 1), 0, [x, y, np.int32(64)])
    print("end of", kernel, file=sys.stderr, flush=True)
"""


def test_what_is_out_of_range_is_reported() -> None:
    done = under_asan(ONE_BY_ONE)
    assert done.returncode == 0, done.stderr[-3000:]
    *reports, rest = done.stderr.split("end of f")
    assert len(reports) == len(FAULTS), rest
    for body, report in zip(FAULTS, reports, strict=True):
        if FAULTS[body]:
            assert f"AddressSanitizer: {FAULTS[body]}" in report, body
        else:
            assert "AddressSanitizer" not in report, body


WHOLE_RUNG = """
from types import SimpleNamespace

from helpers_kernels import assert_agree
from host_driver import HostDriver
from minicnn.contract.families import FAMILIES
from minicnn.kernels import gpu, kernel_names, reference, use_backend
from minicnn.kernels.gpu import _conv_paths, _cuda


def called(backend):
    kernels = {name: getattr(backend, name) for name in kernel_names()}
    return SimpleNamespace(backend=backend, **kernels)


for name, family in FAMILIES.items():
    case = {"seed": 1, **[*family.examples.values()][-1]}
    arrays = family.arrays(case, "float32")
    with use_backend("numpy") as backend:
        want = family.ours(called(backend), case, **arrays)
    for path in _conv_paths.PATHS if name == "Conv2d" else [None]:
        with _cuda.use_driver(HostDriver(asan=True)), _conv_paths.forced(path):
            with use_backend(gpu) as backend:
                assert_agree(family.ours(called(backend), case, **arrays), want, "numpy")
print("all families:", len(FAMILIES))
"""


def test_every_family_of_kernels_is_clean() -> None:
    done = under_asan(WHOLE_RUNG)
    assert done.stdout.startswith("all families: "), done.stderr[-3000:]
    assert "AddressSanitizer" not in done.stderr, done.stderr[:3000]
