"""The host that stands in for a GPU: what it computes, and every fault that it has to see."""

from __future__ import annotations

from functools import cache
from typing import Any

import host_driver
import numpy as np
import pytest
from host_driver import HostDriver, KernelFault

from minicnn.errors import MiniCNNError
from minicnn.kernels.gpu import _cuda, _source

pytestmark = pytest.mark.skipif(bool(host_driver.usable()), reason=host_driver.usable())

THREADS = 64  # of one block, over x and y of 64 floats; t is the thread, n is 64

RIGHT = {  # body: y for x = 0, 1, ..., 63
    "y[t] = x[n - 1 - t];": lambda x: x[::-1],
    # shared memory, of a size known when compiled and of one known at the launch
    "__shared__ float s[64]; s[t] = x[t]; __syncthreads(); y[t] = s[63 - t];": lambda x: x[::-1],
    "extern __shared__ float s[]; s[t] = x[t]; __syncthreads(); y[t] = s[63 - t];": (
        lambda x: x[::-1]
    ),
    "all[t] = x[t]; __syncthreads(); float *s = all; y[t] = *(all + 63 - t) + s[0];": (
        lambda x: x[::-1]
    ),
    "__shared__ float s[2]; if (t < 2) s[t] = t + 5; __syncthreads(); y[t] = s[t % 2];": (
        lambda x: 5 + x % 2
    ),
    # a tree of barriers in a loop
    "__shared__ float s[64]; s[t] = x[t];\n"
    "for (int d = 32; d; d /= 2) { __syncthreads(); if (t < d) s[t] += s[t + d]; }\n"
    "__syncthreads(); y[t] = s[0];": lambda x: 0 * x + x.sum(),
    # shuffles: 32 lanes, parts of a warp, the edges keep their own
    "float v = x[t]; for (int d = 16; d; d /= 2) v += __shfl_xor_sync(~0u, v, d); y[t] = v;": (
        lambda x: np.repeat(x.reshape(2, 32).sum(1), 32)
    ),
    "y[t] = __shfl_down_sync(~0u, x[t], 3);": (
        lambda x: np.where(x % 32 < 29, x + 3, x)  # the last three lanes keep what they have
    ),
    "y[t] = __shfl_up_sync(~0u, x[t], 2, 8);": lambda x: np.where(x % 8 < 2, x, x - 2),
    "y[t] = __shfl_sync(~0u, x[t], 3, 16);": lambda x: x // 16 * 16 + 3,
    "if (t % 32 < 8) y[t] = __shfl_xor_sync(0xffu, x[t], 1); else y[t] = 0;": (
        lambda x: np.where(x % 32 < 8, x + 1 - 2 * (x % 2), 0)
    ),
    "y[t] = __popc(__ballot_sync(~0u, t % 3 == 0));": lambda x: np.where(x < 32, 11, 11),
    "float a[32]; host_warp_gather(a, x[t]); y[t] = a[5] + a[31];": (
        lambda x: np.where(x < 32, 36, 100)
    ),
    # numbers
    "y[t] = max(min(t, 40), 3) + rsqrtf(4.0f) + __int_as_float(0x3f800000);": (
        lambda x: np.clip(x, 3, 40) + 1.5
    ),
    "const float4 v = *(const float4 *)(x + t / 4 * 4); y[t] = v.w;": lambda x: x // 4 * 4 + 3,
    "y[t] = __umulhi(0x80000000u, 2u * t);": lambda x: x,
}

FAULTS = {  # body: what the message says
    "y[t] = x[t + 1];": "x of 256 bytes: out of range, touched at byte 256",
    "y[t + 1] = x[t];": "y of 256 bytes: out of range, touched at byte 256",
    "y[t - 1] = x[t];": "wrote in front of y or just behind it",
    "y[t] = x[1LL << 43];": "an access to memory that is no array's",
    "const_cast<float *>(x)[t] = 1;": "wrote into x, which is const",
    "__shared__ float s[8][8]; s[t / 8][t % 8 + 1] = 0; __syncthreads();": (
        ": an index beyond an array's bounds"
    ),
    "extern __shared__ float s[]; s[t + 1] = 0;": "dynamic shared memory: out of range, touched at",
    "const float4 v = *(const float4 *)(x + t / 2); y[t] = v.x;": "a misaligned vector",
    "y[t] = n * n * n * n * n * t;": ": a product beyond its type",
    "y[t] = t / (n - 64);": "division by zero",
    "if (t < 40) __syncthreads();": "of 64, 40 wait at __syncthreads, 0 in a warp operation, 24",
    "if (t < 40) __syncthreads(); else\n __syncthreads();": "threads of a block wait at both",
    "if (t > 2) y[t] = __shfl_xor_sync(~0u, x[t], 1);": "waits for lane 0, which has ended",
    "y[t] = __shfl_xor_sync(0xffffu, x[t], 1);": "lacks the lane that calls it",
    "if (t < 9) y[t] = __shfl_sync(0x1ffu, x[t], 9);": "a shuffle reads lane 9, not in its mask",
    "if (t < 32) __syncthreads(); else __syncwarp();\n if (t > 31) __syncwarp(1u << t % 31);": (
        "lacks the lane"
    ),
}

UNWRITTEN = (  # reads what nobody wrote: NaN
    "y[t] = x[t - 1];",
    "__shared__ float s[64]; if (t) s[t] = x[t]; __syncthreads(); y[t] = s[t];",
    "extern __shared__ float s[]; if (t) s[t] = x[t]; __syncthreads(); y[t] = s[t];",
)

# Without its barrier, each gives another result in some order of the threads.
RACES = (
    "__shared__ float s[64]; s[t] = x[t]; y[t] = s[63 - t];",
    "__shared__ float s[64]; s[t] = x[t]; __syncthreads(); y[t] = s[(t + 1) % 64]; s[t] = 0;",
    "__shared__ float s; s = x[t]; __syncthreads(); y[t] = s;",  # who was the last to write?
    # a warp that is a shuffle ahead of the other
    "__shared__ float s; if (t == 0) s = 5; __syncthreads(); float v = __shfl_sync(~0u, s, 3);\n"
    "v = __shfl_sync(~0u, v, 4); if (t == 0) s = 7; y[t] = v;",
)


@cache
def bodies() -> _source.Source:
    """All bodies as kernels k0, k1, ... of one source: the compiler is started once."""
    texts = [*RIGHT, *FAULTS, *UNWRITTEN, *RACES]
    kernels = (
        f'extern "C" __global__ void k{i}(const float *x, float *y, int n) {{\n'
        f"const int t = threadIdx.x;\n{body}\n}}\n"
        for i, body in enumerate(texts)
    )
    return _source.parsed("shim.cu", "extern __shared__ float all[];\n" + "".join(kernels))


def run(body: str, seed: int = 0, shared: int = 4 * THREADS) -> np.ndarray:
    """Run one body on one block of 64 threads, with x = 0, 1, ..., 63; return y."""
    index = [*RIGHT, *FAULTS, *UNWRITTEN, *RACES].index(body)
    source, driver = bodies(), HostDriver(seed)
    x, y = np.arange(THREADS, dtype=np.float32), driver.empty((THREADS,), np.float32)
    launch(driver, source, f"k{index}", (1, 1, 1), (THREADS, 1, 1), shared, x, y, THREADS)
    return y


@cache
def loaded(arch: str, source_digest: str) -> Any:
    source = bodies()
    assert source.digest == source_digest
    return HostDriver().load(HostDriver().compile(source, ()))


def launch(driver, source, kernel, grid, block, shared, *args) -> None:
    numbers = [np.int32(a) if isinstance(a, int) else a for a in args]
    module = loaded(driver.arch(), source.digest)
    driver.launch(module, kernel, source.kernels[kernel], grid, block, shared, numbers)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("body", RIGHT)
def test_what_a_gpu_computes(body: str, seed: int) -> None:
    x = np.arange(THREADS, dtype=np.float32)
    np.testing.assert_array_equal(run(body, seed), RIGHT[body](x).astype(np.float32))


@pytest.mark.parametrize("body", FAULTS)
def test_a_fault_is_seen_and_named(body: str) -> None:
    with pytest.raises(KernelFault) as caught:
        run(body)
    assert FAULTS[body] in str(caught.value)


@pytest.mark.parametrize("body", UNWRITTEN)
def test_what_nobody_wrote_is_nan(body: str) -> None:
    y = run(body)
    assert np.isnan(y[0])
    assert not np.isnan(y[1:]).any()


@pytest.mark.parametrize("body", RACES)
def test_a_missing_barrier_shows_between_orders(body: str) -> None:
    results = {run(body, seed).tobytes() for seed in range(4)}
    assert len(results) > 1


def test_grids_and_blocks_have_three_sizes(host: HostDriver) -> None:
    text = """
extern "C" __global__ void where(int *y) {
    const int block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
    const int thread = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
    y[block * 24 + thread] = blockIdx.x + 10 * blockIdx.y + 100 * blockIdx.z
        + 1000 * threadIdx.x + 10000 * threadIdx.y + 100000 * threadIdx.z;
}"""
    source = _source.parsed("where.cu", text)
    y = host.empty((2 * 3 * 2, 24), np.int32)
    module = host.load(host.compile(source, ()))
    host.launch(module, "where", source.kernels["where"], (2, 3, 2), (4, 3, 2), 0, [y])
    blocks = [x + 10 * b + 100 * z for z in range(2) for b in range(3) for x in range(2)]
    threads = [
        1000 * x + 10000 * b + 100000 * z for z in range(2) for b in range(3) for x in range(4)
    ]
    np.testing.assert_array_equal(y, np.add.outer(blocks, threads))


def test_one_array_passed_twice_is_one_array(host: HostDriver) -> None:
    text = 'extern "C" __global__ void f(const float *x, float *y) { y[0] = 5; y[1] = x[0]; }'
    source = _source.parsed("f.cu", text)
    x = np.zeros(2, np.float32)
    module = host.load(host.compile(source, ()))
    host.launch(module, "f", source.kernels["f"], (1, 1, 1), (1, 1, 1), 0, [x, x])
    assert x.tolist() == [5, 5]


def test_a_table_of_arrays(host: HostDriver) -> None:
    text = """
extern "C" __global__ void f(float *const *all, const long long *sizes) {
    const int t = threadIdx.x;
    for (long long i = 0; i < sizes[t]; ++i) all[t][i] += t;
}"""
    source = _source.parsed("f.cu", text)
    arrays, sizes = [np.zeros(n, np.float32) for n in (1, 0, 3)], np.array([1, 0, 3])
    module = host.load(host.compile(source, ()))
    host.launch(module, "f", source.kernels["f"], (1, 1, 1), (3, 1, 1), 0, [arrays, sizes])
    assert [a.tolist() for a in arrays] == [[0], [], [2, 2, 2]]


def test_the_compiler_s_words_are_shown(host: HostDriver) -> None:
    source = _source.parsed("f.cu", 'extern "C" __global__ void f(int n) { nonsense; }')
    with pytest.raises(MiniCNNError, match="nonsense"):
        host.compile(source, ())


def test_a_planted_mistake_has_to_find_its_place() -> None:
    with pytest.raises(AssertionError, match="no 'there is no such text'"):
        HostDriver(mutate=[("unfold.cu", "there is no such text", "")]).compile(
            _source.read("unfold"), _cuda.options("float32", {})
        )
