"""The number of threads: how it is chosen, that no result shows it, and several at once."""

import os
import subprocess
import sys
import threading

import numpy as np
import pytest

from minicnn import errors
from minicnn.kernels import cpu, gemm, threads

NEEDS_TWO = pytest.mark.skipif(threads.available() < 2, reason="this process may use one core only")


@pytest.fixture(autouse=True)
def put_back():
    before = threads.get_num_threads()
    yield
    threads.set_num_threads(before)


def run(code, **environment):
    """Run code in a fresh interpreter that treats warnings as errors; return the process."""
    known = {k: v for k, v in os.environ.items() if not k.startswith(("MINICNN_NUM", "OMP_"))}
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env=known | environment, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip


# ------------------------------------------------------------------------------ the number


def test_the_default_is_every_core_that_this_process_may_use():
    done = run("from minicnn.kernels import threads as t; print(t.get_num_threads())")
    assert done.stdout.strip() == str(threads.available()), done.stderr


def test_the_environment_variable_sets_it():
    code = "from minicnn.kernels import threads as t; print(t.get_num_threads())"
    assert run(code, MINICNN_NUM_THREADS=" 1 ").stdout.strip() == "1"
    assert run(code, MINICNN_NUM_THREADS="100000").stdout.strip() == str(threads.available())


@pytest.mark.parametrize("text", ["0", "-1", "two", "1.5", "²"])
def test_a_bad_environment_variable_is_named_when_it_is_used(text):
    code = "from minicnn.kernels import threads as t; t.get_num_threads()"
    done = run(code, MINICNN_NUM_THREADS=text, PYTHONIOENCODING="utf-8", PYTHONUTF8="1")
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("minicnn.kernels.errors.ArgumentError: MINICNN_NUM_THREADS=")
    assert repr(text) in last


@pytest.mark.parametrize("n", [0, -3, 1.0, "2", None, True])
def test_a_bad_number_is_refused(n):
    before = threads.get_num_threads()
    with pytest.raises(errors.ArgumentError, match="whole number of threads >= 1"):
        threads.set_num_threads(n)
    assert threads.get_num_threads() == before


def test_blas_gets_the_same_number():
    for n in {1, threads.available()}:
        threads.set_num_threads(np.int64(n))
        assert threads.get_num_threads() == n
        assert {lib.get_num_threads() for lib in threads._blas_libraries()} <= {n}


def test_more_threads_than_cores_are_all_cores():
    threads.set_num_threads(10_000)
    assert threads.get_num_threads() == threads.available()


def test_single_threaded_blas_puts_the_number_back():
    def counts():
        return {lib.get_num_threads() for lib in threads._blas_libraries()}

    threads.set_num_threads(threads.available())
    before = counts()
    with threads.single_threaded_blas(), threads.single_threaded_blas():
        assert counts() <= {1}
    assert counts() == before
    with pytest.raises(ZeroDivisionError), threads.single_threaded_blas():
        raise ZeroDivisionError
    assert counts() == before


def test_neither_threads_nor_products_import_numba():
    done = run(
        "import sys; from minicnn.kernels import threads, gemm, buffers; threads.get_num_threads();"
        "assert 'numba' not in sys.modules"
    )
    assert done.returncode == 0, done.stderr


# ------------------------------------------------------------------------------ the same bits


def every_kernel(dtype):
    """Yield (name, function of no arguments that returns arrays), on shapes of many tasks."""
    rng = np.random.default_rng(0)

    def draw(*shape):
        return rng.standard_normal(shape).astype(dtype)

    layers = {
        "3x3": ((9, 5, 37, 41), (7, 5, 3, 3), (1, 1), (1, 1), (1, 1), 1),
        "strided": ((3, 3, 75, 62), (6, 3, 5, 4), (2, 3), (2, 1), (1, 2), 1),
        "small": ((35, 8, 6, 5), (9, 8, 3, 3), (1, 1), (0, 1), (1, 1), 1),
        "one image": ((1, 16, 30, 31), (40, 16, 3, 3), (1, 1), (1, 1), (1, 1), 1),
        "bands": ((2, 20, 120, 110), (5, 20, 3, 3), (1, 1), (1, 1), (1, 1), 1),
        "grouped": ((4, 12, 33, 21), (18, 4, 3, 2), (1, 1), (1, 0), (1, 1), 3),
        "depthwise": ((4, 24, 29, 30), (24, 1, 3, 3), (1, 1), (1, 1), (1, 1), 24),
    }
    for name, (x_shape, w_shape, *settings) in layers.items():
        x, w, b = draw(*x_shape), draw(*w_shape), draw(w_shape[0])
        dy = draw(*cpu.conv2d(x, w, b, *settings).shape)
        yield f"conv2d {name}", lambda a=(x, w, b, *settings): [cpu.conv2d(*a)]
        arguments = (dy, w, x.shape, *settings)
        yield f"input_grad {name}", lambda a=arguments: [cpu.conv2d_input_grad(*a)]
        arguments = (dy, x, w.shape, *settings)
        yield f"weight_grad {name}", lambda a=arguments: [cpu.conv2d_weight_grad(*a)]
        yield f"bias_grad {name}", lambda dy=dy: [cpu.conv2d_bias_grad(dy)]
    x = draw(7, 5, 45, 39)
    window = ((3, 2), (2, 1), (1, 2), (1, 3))  # kernel, dilation, padding, stride
    cols = cpu.unfold(x, *window)
    yield "unfold", lambda: [cpu.unfold(x, *window)]
    yield "fold", lambda: [cpu.fold(cols, x.shape, *window)]
    for pooling in (
        ((3, 2), (2, 2), (1, 0), (1, 1), True),
        ((2, 2), (2, 2), (0, 0), (1, 1), False),
    ):
        pooled, places = cpu.max_pool2d(x, *pooling)
        yield "max_pool2d", lambda p=pooling: cpu.max_pool2d(x, *p)
        arguments = (draw(*pooled.shape), places, x.shape)
        yield "max_pool2d_grad", lambda a=arguments: [cpu.max_pool2d_grad(*a)]
    y = cpu.relu(x)
    yield "relu", lambda: [cpu.relu(x)]
    yield "relu_grad", lambda: [cpu.relu_grad(x, y)]
    for name in ("sigmoid", "tanh", "silu"):
        forward, gradient = getattr(cpu, name), getattr(cpu, f"{name}_grad")
        yield name, lambda f=forward, g=gradient: [f(x), g(x, y)]
    for form in ("none", "tanh"):
        yield "gelu", lambda form=form: [cpu.gelu(x, form), cpu.gelu_grad(x, y, form)]
    yield "leaky_relu", lambda: [cpu.leaky_relu(x, 0.1), cpu.leaky_relu_grad(x, y, 0.1)]
    yield "elu", lambda: [cpu.elu(x, 0.7), cpu.elu_grad(x, y, 0.7)]
    yield "hardtanh", lambda: [cpu.hardtanh(x, -1, 0.5), cpu.hardtanh_grad(x, y, -1, 0.5)]
    for block in (x.reshape(-1, 39, 1), x.reshape(7, 5, -1)):
        soft = cpu.softmax(block)
        yield "softmax", lambda b=block: [cpu.softmax(b), cpu.log_softmax(b)]
        yield "softmax_grad", lambda b=block, s=soft: [cpu.softmax_grad(b, s)]
        yield "log_softmax_grad", lambda b=block, s=soft: [cpu.log_softmax_grad(b, s)]
    for block in (x.reshape(7, 5, -1), x.reshape(63, 325, 3)):  # planes, and columns
        mean, var = cpu.batch_moments(block)
        batch = (block, mean, var, mean, mean, 1e-5)
        sums = cpu.batch_norm_weight_grad(block, block, mean, var, 1e-5)
        arguments = (block, block, mean, var, var, *sums, 1e-5)
        yield "batch_moments", lambda b=block: cpu.batch_moments(b)
        yield "batch_norm", lambda a=batch: [cpu.batch_norm(*a)]
        yield "batch_norm_weight_grad", lambda a=arguments: cpu.batch_norm_weight_grad(*a[:4], 1e-5)
        yield "batch_norm_input_grad", lambda a=arguments: [cpu.batch_norm_input_grad(*a)]
        yield "response_norm", lambda b=block: [cpu.response_norm(b, 4, 0.1, 0.75, 1.0)]
        yield "response_norm_grad", lambda b=block: [cpu.response_norm_grad(b, b, 4, 0.1, 0.7, 1.0)]
    yield "dropout", lambda: [cpu.dropout(x, 0.4, 3, 2**33 + 1)]
    yield "philox", lambda: [cpu.philox(3, 5, 100_003)]
    logits, target = draw(501, 77), rng.integers(0, 77, 501)
    losses, log_probs = cpu.softmax_cross_entropy(logits, target)
    yield "cross entropy", lambda: cpu.softmax_cross_entropy(logits, target)
    arguments = (losses, log_probs, target)
    yield "cross entropy grad", lambda a=arguments: [cpu.softmax_cross_entropy_grad(*a)]
    for M, I, O in [(32, 800, 2), (1, 4099, 2050), (50, 510, 42), (33, 4100, 515), (513, 700, 130)]:  # noqa: E741
        x2, w2, b2, dy2 = draw(M, I), draw(O, I), draw(O), draw(M, O)
        name = f"{M}x{I}x{O}"
        yield f"linear {name}", lambda a=(x2, w2, b2): [cpu.linear(*a)]
        yield f"linear_input_grad {name}", lambda a=(dy2, w2): [cpu.linear_input_grad(*a)]
        yield f"linear_weight_grad {name}", lambda a=(dy2, x2): [cpu.linear_weight_grad(*a)]
        yield f"linear_bias_grad {name}", lambda a=(dy2,): [cpu.linear_bias_grad(*a)]
    state = [draw(100_003), draw(100_003), draw(100_003), np.abs(draw(100_003))]

    def adam():
        arrays = [a.copy() for a in state]
        cpu.adam_step(
            *arrays, step=2, lr=1e-2, beta1=0.9, beta2=0.99, eps=1e-8, weight_decay=0.1,
            decoupled=False,
        )  # fmt: skip
        return arrays

    def sgd():
        arrays = [a.copy() for a in state[:3]]
        cpu.sgd_step(
            *arrays, lr=1e-2, momentum=0.9, dampening=0.1, weight_decay=0.1, nesterov=True,
            first=False,
        )  # fmt: skip
        return arrays

    yield "adam_step", adam
    yield "sgd_step", sgd


@NEEDS_TWO
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_no_kernel_shows_the_number_of_threads(dtype):
    for name, compute in every_kernel(dtype):
        results = []
        for n in (1, 2, threads.available()):
            threads.set_num_threads(n)
            results.append(compute())
        for one, *more in zip(*results, strict=True):
            for other in more:
                np.testing.assert_array_equal(one, other, name)


@NEEDS_TWO
def test_a_product_has_the_same_bits_where_blas_alone_has_not():
    """Sizes at which OpenBLAS 0.3.31 on AVX-512 gave other bits on two threads than on one."""
    rng = np.random.default_rng(0)
    sizes = [(50, 510, 42), (29, 490, 325), (46, 500, 469), (347, 468, 10), (1, 5000, 1000)]
    sizes += [(127, 45, 305), (86, 409, 116), (254, 284, 281), (700, 300, 400), (3, 7000, 900)]
    for M, K, N in sizes:
        for dtype in (np.float32, np.float64):
            a = rng.standard_normal((M, K)).astype(dtype)
            b = rng.standard_normal((N, K)).astype(dtype).T
            results = []
            for n in (2, 1):
                threads.set_num_threads(n)
                results.append(gemm.matmul(a, b))
            np.testing.assert_array_equal(*results, f"{M} x {K} x {N}")
            tolerance = 1e-5 if dtype is np.float32 else 1e-13
            want = a.astype(np.float64) @ b
            np.testing.assert_allclose(results[0], want, 0, tolerance * np.abs(want).max())


def test_a_product_of_views_into_a_given_array():
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((300, 200)), rng.standard_normal((300, 500))
    out = np.empty((200, 500))
    assert gemm.matmul(a.T, b, out) is out
    np.testing.assert_allclose(out, np.einsum("ki,kj->ij", a, b), 0, 1e-12)


@pytest.mark.parametrize("shape", [(0, 3, 4), (3, 0, 4), (3, 4, 0)])
def test_a_product_of_nothing(shape):
    M, K, N = shape
    np.testing.assert_array_equal(gemm.matmul(np.ones((M, K)), np.ones((K, N))), np.zeros((M, N)))


def test_an_error_in_a_block_reaches_the_caller():
    a, b = np.ones((600, 500)), np.ones((500, 600))
    with pytest.raises(TypeError):
        gemm.matmul(a, b, np.empty((600, 600), np.int8))
    assert gemm.matmul(a, b)[0, 0] == 500


# ------------------------------------------------------------------------------ at the same time


TWO_THREADS_LAUNCH = """
import threading
import numpy as np
from minicnn.kernels import cpu, gemm

x = np.random.default_rng(0).standard_normal((8, 6, 40, 40)).astype(np.float32)
w = np.random.default_rng(1).standard_normal((8, 6, 3, 3)).astype(np.float32)
a = np.ones((400, 400), np.float32)
want = cpu.conv2d(x, w, None, (1, 1), (1, 1), (1, 1), 1)
wrong = []

def work():
    for _ in range(100):
        y = cpu.conv2d(x, w, None, (1, 1), (1, 1), (1, 1), 1)
        if not np.array_equal(cpu.relu(y), np.maximum(want, 0)) or gemm.matmul(a, a)[0, 0] != 400:
            wrong.append(1)

workers = [threading.Thread(target=work) for _ in range(4)]
for worker in workers: worker.start()
for worker in workers: worker.join()
print("wrong:", len(wrong))
"""


@pytest.mark.parametrize("layer", ["default", "workqueue"])
def test_threads_that_launch_at_once_get_right_results(layer):
    """Under Numba's workqueue layer, launching without the lock aborts the process."""
    done = run(TWO_THREADS_LAUNCH, NUMBA_THREADING_LAYER=layer)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "wrong: 0"


def test_setting_the_number_while_others_compute():
    x = np.random.default_rng(0).standard_normal((4, 4, 64, 64)).astype(np.float32)
    w = np.ones((4, 4, 3, 3), np.float32)
    want = cpu.conv2d(x, w, None, (1, 1), (1, 1), (1, 1), 1)
    wrong = []

    def work():
        for _ in range(50):
            y = cpu.conv2d(x, w, None, (1, 1), (1, 1), (1, 1), 1)
            wrong.extend(np.flatnonzero(y != want))

    workers = [threading.Thread(target=work) for _ in range(2)]
    for worker in workers:
        worker.start()
    for i in range(200):
        threads.set_num_threads(i % 3 + 1)
    for worker in workers:
        worker.join()
    assert not wrong


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_child_multiplies():
    done = run(
        "import os, warnings, numpy as np\n"
        "from minicnn.kernels import buffers, gemm\n"
        "a = np.ones((600, 600)); gemm.matmul(a, a)\n"
        "warnings.simplefilter('ignore')  # Python warns of any fork beside threads\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    right = gemm.matmul(a, a)[0, 0] == 600 and buffers.empty((1 << 20,), 'f4').size\n"
        "    os._exit(0 if right else 1)\n"
        "print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
    )
    assert done.stdout.strip() == "0", done.stderr
